// What was clicked: its neighbours, position, direction, neuron and name in the source.

import { describeGate, fanInOf, meaningOf, nameOfWire, outputsOfWire, positionOfWire, readersOf, shorten, tableBit, type Circuit } from "./circuit";
import { groupDirections, brief } from "./directions";
import { Heading } from "./help";
import { goTo, type Session } from "./session";
import { describePosition } from "./strip";

const MOST_READERS = 24;

export function Selection({ session }: { session: Session }) {
  const { circuit } = session;
  const position = session.selected.value;
  if (!circuit || position < 0) {
    return (
      <section class="card selection" aria-label="Selected">
        <Heading title="Selected" help="selected" />
        <p class="none">Click a gate, a wire or a token. Double-click a token to go there.</p>
      </section>
    );
  }
  return (
    <section class="card selection" aria-label="Selected">
      <div class="card-head">
        <Heading title="Selected" help="selected">
          <button type="button" class="plain" onClick={() => (session.selected.value = -1)}>Clear</button>
        </Heading>
      </div>
      <Details session={session} circuit={circuit} position={position} />
    </section>
  );
}

function Details({ session, circuit, position }: { session: Session; circuit: Circuit; position: number }) {
  const model = session.models[0];
  const thought = model.thought.value;
  const meaning = meaningOf(circuit, position);
  const { vocabulary } = model.content.architecture;
  const token = position < thought.ready.value ? thought.tokens[position] : -1;
  const go = (wire: number) => (
    <button key={wire} type="button" class="link" onClick={() => (session.selected.value = positionOfWire(circuit, wire))}>
      {shorten(nameOfWire(circuit, wire), 20)}
    </button>
  );
  const rows: [string, preact.ComponentChildren][] = [];
  const kinds = { input: "input bit", equals: "end of the prompt", gate: "gate", copy: "copy of an output", end: "end of the chain" };
  rows.push(["what", kinds[meaning.kind]]);
  if (meaning.wire >= 0) {
    const gate = meaning.gate >= 0 ? meaning.gate : meaning.wire - circuit.numInputs;
    const isGate = meaning.kind !== "input" && gate >= 0;
    const source = isGate ? circuit.names[gate] : circuit.inputNames[meaning.wire];
    rows.push(["name", <span class="source-name">{source ? shorten(source, 160) : "none in the source"}</span>]);
    if (isGate) {
      const { table, arity } = circuit.kinds[circuit.kindOfGate[gate]];
      rows.push(["gate", <code>{`${gate}: ${describeGate(circuit, gate, (wire) => shorten(nameOfWire(circuit, wire), 16))}`}</code>]);
      rows.push(["table", <code>{Array.from({ length: 1 << arity }, (_, index) => tableBit(table, index)).join(" ")}</code>]);
      rows.push(["level", String(circuit.levels[gate])]);
      rows.push(["reads", list(fanInOf(circuit, gate).map(go))]);
    }
    const readers = readersOf(circuit, meaning.wire);
    rows.push([
      "read by",
      readers.length ? (
        <>{list(readers.slice(0, MOST_READERS).map((one) => go(circuit.numInputs + one)))}{readers.length > MOST_READERS ? ` and ${readers.length - MOST_READERS} more` : ""}</>
      ) : (
        "no gate"
      ),
    ]);
    const outputs = meaning.outputs.length ? meaning.outputs : outputsOfWire(circuit, meaning.wire);
    if (outputs.length) rows.push(["output", shorten(outputs.join(", "), 80)]);
  }
  rows.push(["position", `${position}${meaning.token >= 0 ? `, chain token ${meaning.token}` : ""}`]);
  if (token >= 0) rows.push(["token", <b>{vocabulary[token]}</b>]);
  const writer = position - 1;
  if (writer >= circuit.numInputs && !session.content.live && writer < thought.ready.value) {
    const view = thought.view(writer);
    if (!(view instanceof Promise)) {
      const unit = view.units[view.units.length - 1]?.[0];
      rows.push([
        "neuron",
        unit ? <><code>unit {unit.unit}</code> fires ({brief(unit.value)}) <small>{model.content.units[unit.unit]}</small></> : "none fires",
      ]);
      const name = groupDirections(model.content.directions, 0).find((group) => group.label === "name");
      if (name && model.content.compiled) {
        const digits = thought.view(position < thought.ready.value ? position : writer);
        if (!(digits instanceof Promise)) {
          rows.push(["direction", <><code>name</code> = <code>{name.dimensions.map((index) => brief(digits.stages[0].values[index])).join(" ")}</code></>]);
        }
        rows.push(["its bit", <>dimensions <code>token+</code> and <code>token{"\u2212"}</code> of position {position}</>]);
      }
    }
  }
  return (
    <>
      <h3 class="selected-name">{shorten(describePosition(circuit, position), 60)}</h3>
      <dl>
        {rows.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {position > circuit.numInputs && (
        <button
          type="button"
          class="plain"
          onClick={() => {
            session.playing.value = false;
            goTo(session, position - 1);
          }}
        >
          Go to where it is written
        </button>
      )}
    </>
  );
}

function list(items: preact.ComponentChildren[]): preact.ComponentChildren {
  return items.length ? items.map((item, index) => <>{index ? ", " : ""}{item}</>) : "nothing";
}
