// What happens at the present token: where each head looks, the residual stream, the hidden units, the logits.

import { useEffect, useRef } from "preact/hooks";
import { prepareCanvas, useWidth } from "./canvas";
import { describeGate, meaningOf, nameOfWire, shorten, type Circuit } from "./circuit";
import { brief, groupDirections, nameToPosition, percent, type Direction } from "./directions";
import { Heading } from "./help";
import { largest, softmax, type View } from "./forward";
import { UNUSED } from "./intervention";
import type { ModelState, Session } from "./session";
import { describePosition } from "./strip";
import { headColour, inkOn, isDark, shade } from "./theme";

const MOST_LOGITS = 6;

export function Inspector({ session, model }: { session: Session; model: ModelState }) {
  const view = model.view.value;
  if (!view) return <section class="card">Thinking {"\u2026"}</section>;
  return (
    <>
      <Now session={session} model={model} view={view} />
      <Residual session={session} model={model} view={view} />
    </>
  );
}

function nameAt(session: Session, model: ModelState, position: number): string {
  if (session.circuit) return shorten(describePosition(session.circuit, position), 24);
  const { vocabulary } = model.content.architecture;
  return `\u201c${shorten(vocabulary[model.thought.value.tokens[position]] ?? "", 10)}\u201d`;
}

function Now({ session, model, view }: { session: Session; model: ModelState; view: View }) {
  const { circuit } = session;
  const { architecture, heads: names } = model.content;
  const thought = model.thought.value;
  const said = largest(view.logits);
  const layers = view.attention.length;
  return (
    <section class="card now" data-position={view.position} aria-label="At this token">
      <Heading title="At this token" help="now" />
      <p class="sentence" aria-live={session.playing.value ? "off" : "polite"}>
        {circuit ? <CircuitSentence session={session} circuit={circuit} view={view} said={said} /> : (
          <>
            Position {view.position} reads <b>{nameAt(session, model, view.position)}</b> and says <b>{`\u201c${architecture.vocabulary[said]}\u201d`}</b>.
          </>
        )}
      </p>
      <Heading title="Attention" help="attention" level={3} />
      <table class="heads">
        <tbody>
          {view.attention.flatMap((heads, layer) =>
            heads.map((looks, head) => {
              const top = looks[0];
              return (
                <tr key={`${layer}.${head}`} data-layer={layer} data-head={head} data-look={top.position} data-weight={top.weight}>
                  <th scope="row">
                    <i class="swatch" style={{ background: headColour(head) }} /> {layers > 1 ? `layer ${layer} ` : ""}head {head}
                  </th>
                  <td>
                    {names[layer]?.[head] === UNUSED && <b>unused: adds nothing. </b>}
                    <button type="button" class="link" onClick={() => (session.selected.value = top.position)}>
                      {nameAt(session, model, top.position)}
                    </button>{" "}
                    <small>position {top.position}{circuit ? `, token ${architecture.vocabulary[thought.tokens[top.position]]}` : ""}</small>
                  </td>
                  <td class="number">
                    {percent(top.weight)}
                    <small> others {percent(view.others[layer][head])}</small>
                  </td>
                </tr>
              );
            }),
          )}
        </tbody>
      </table>
      <Heading title="Logits" help="logits" level={3} />
      <Logits view={view} vocabulary={architecture.vocabulary} isCircuit={circuit !== null} />
    </section>
  );
}

function CircuitSentence({ session, circuit, view, said }: { session: Session; circuit: Circuit; view: View; said: number }) {
  const model = session.models[0];
  const { vocabulary } = model.content.architecture;
  const thought = model.thought.value;
  const meaning = meaningOf(circuit, view.position + 1);
  const value = <b class="said">{vocabulary[said]}</b>;
  if (meaning.kind === "end") return <>The chain is complete: position {view.position} says {value}, which ends it.</>;
  const outputs = meaning.outputs.length ? <> It is the output <b>{shorten(meaning.outputs[0])}</b>.</> : null;
  const operand = (wire: number) => {
    const position = wire < circuit.numInputs ? wire : circuit.numInputs + 1 + circuit.tokenOfGate[wire - circuit.numInputs];
    return `${shorten(nameOfWire(circuit, wire), 14)}=${position <= view.position ? thought.tokens[position] : "?"}`;
  };
  return meaning.kind === "copy" ? (
    <>Chain token {meaning.token}, a copy of <b>{shorten(nameOfWire(circuit, meaning.wire))}</b>: the model says {value}.{outputs}</>
  ) : (
    <>Chain token {meaning.token}, <code>{describeGate(circuit, meaning.gate, operand)}</code>: the model says {value}.{outputs}</>
  );
}

/** Bars for the logits: all of a small vocabulary, the largest of others. */
export function Logits({ view, vocabulary, isCircuit }: { view: View; vocabulary: string[]; isCircuit: boolean }) {
  const shares = softmax(view.logits);
  let shown = view.logits.map((_, token) => token);
  if (isCircuit) shown = shown.filter((token) => vocabulary[token] !== "<unk>");
  else if (shown.length > MOST_LOGITS) {
    shown = shown.sort((one, other) => view.logits[other] - view.logits[one] || one - other).slice(0, MOST_LOGITS);
  }
  const most = Math.max(...shown.map((token) => Math.abs(view.logits[token])), 1e-9);
  const best = largest(view.logits);
  return (
    <table class="logits">
      <tbody>
        {shown.map((token) => {
          const logit = view.logits[token];
          const wide = (50 * Math.abs(logit)) / most;
          return (
            <tr key={token} class={token === best ? "is-best" : ""} data-token={token} data-logit={logit}>
              <th scope="row">{shorten(vocabulary[token], 10)}</th>
              <td class="bar-cell">
                <span class="axis" />
                <span class="bar" style={{ left: `${logit < 0 ? 50 - wide : 50}%`, width: `${wide}%` }} />
              </td>
              <td class="number">{brief(logit)}</td>
              <td class="number share">{percent(shares[token])}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Residual({ session, model, view }: { session: Session; model: ModelState; view: View }) {
  const { directions, architecture, compiled, units } = model.content;
  const groups = groupDirections(directions, architecture.width).filter((group) => group.label !== "padding");
  let most = 1e-9;
  for (const stage of view.stages) for (const value of stage.values) most = Math.max(most, Math.abs(value));
  const fired = view.units.flatMap((of, layer) => of.slice(0, 4).map((unit) => ({ ...unit, layer })));
  return (
    <section class="card residual" aria-label="Residual stream">
      <Heading title="Residual stream" help="residual" />
      <div class="scroll" tabIndex={0} role="group" aria-label="Residual stream by direction">
        <table class="stream">
          <thead>
            <tr>
              <th scope="col">direction</th>
              {view.stages.map((stage) => <th scope="col" key={stage.label}>{stage.label}</th>)}
            </tr>
          </thead>
          <tbody>
            {compiled
              ? groupTables(groups).map((group) => (
                  <tr key={group.label}>
                    <th scope="row">{group.label}</th>
                    {(isConstant(group, view) ? view.stages.slice(0, 1) : view.stages).map((stage, _, shown) => (
                      <td key={stage.label} colSpan={shown.length === 1 ? view.stages.length : 1}>
                        <Signal session={session} group={group} values={stage.values} most={9} />
                      </td>
                    ))}
                  </tr>
                ))
              : groupTables(groups).map((group) => (
                  <tr key={group.label}>
                    <th scope="row">{shorten(group.label, 20)}</th>
                    {view.stages.map((stage) => (
                      <td key={stage.label} class="wide">
                        <Barcode values={group.dimensions.map((index) => stage.values[index])} most={most} />
                      </td>
                    ))}
                  </tr>
                ))}
          </tbody>
        </table>
      </div>
      <Heading title="Hidden units that fire" help="units" level={3} />
      {fired.length ? (
        <ul class="units">
          {fired.map(({ unit, value, layer }) => (
            <li key={`${layer}.${unit}`} data-unit={unit}>
              <code>{view.units.length > 1 ? `layer ${layer} unit ${unit}` : `unit ${unit}`}</code> = {brief(value)}
              {layer === view.units.length - 1 && units[unit] ? <small> {shorten(units[unit], 80)}</small> : null}
            </li>
          ))}
        </ul>
      ) : (
        <p class="none">none</p>
      )}
    </section>
  );
}

/** Pairs of one family in one row: table[0], table[1], ... are one block; what heads fetch stays apart. */
function groupTables(groups: Direction[]): Direction[] {
  const shown: Direction[] = [];
  for (const group of groups) {
    const last = shown[shown.length - 1];
    const family = /^(.+)\[.*\]$/.exec(group.label)?.[1];
    if (group.kind === "bit" && family && family !== "fetched") {
      if (last?.label === family) last.dimensions.push(group.dimensions[0]);
      else shown.push({ label: family, dimensions: [group.dimensions[0]], kind: "block" });
    } else shown.push({ ...group, kind: /^(name|read\[\d+\])$/.test(group.label) ? "name" : group.kind });
  }
  return shown;
}

/** Whether no layer adds more than rounding to a name, so that it need be shown once only. */
function isConstant(group: Direction, view: View): boolean {
  const [first, ...rest] = view.stages;
  return group.kind === "name" && rest.every((stage) => group.dimensions.every((index) => Math.abs(stage.values[index] - first.values[index]) < 5e-3));
}

function Signal({ session, group, values, most }: { session: Session; group: Direction; values: number[]; most: number }) {
  const shown = group.kind === "bit" ? [values[group.dimensions[0]]] : group.dimensions.map((index) => values[index]);
  // What attention and feed-forward add to it is rounding; the name is that of the digits.
  const position = group.kind === "name" ? nameToPosition(shown.map(Math.round)) : -1;
  const length = session.circuit ? session.last.value + 1 : 0;
  return (
    <span class={`signal is-${group.kind}`}>
      {shown.map((value, index) => {
        const near = Math.abs(value - Math.round(value)) < 5e-3 ? Math.round(value) : value;
        return (
          <i key={index} class="cell" style={{ background: shade(value, most), color: inkOn(value, most) }} title={String(value)}>
            {brief(near)}
          </i>
        );
      })}
      {position >= 0 && position < length && (
        <button type="button" class="link" title={`The name of position ${position}`} onClick={() => (session.selected.value = position)}>
          {shorten(describePosition(session.circuit!, position), 9)}
        </button>
      )}
    </span>
  );
}

function Barcode({ values, most }: { values: number[]; most: number }) {
  const [reference, width] = useWidth();
  const canvas = useRef<HTMLCanvasElement>(null);
  const dark = isDark();
  useEffect(() => {
    if (!width) return;
    const context = prepareCanvas(canvas.current!, width, 16);
    const wide = width / values.length;
    values.forEach((value, index) => {
      context.fillStyle = shade(value, most);
      context.fillRect(index * wide, 0, wide + 0.3, 16);
      // Negative ones have a notch, so that colour is not all that tells.
      if (value < -0.05 * most && wide > 2) {
        context.fillStyle = shade(0, 1);
        context.fillRect(index * wide, 13, wide, 3);
      }
    });
  }, [values, width, most, dark]);
  const summary = values.length <= 8 ? values.map(brief).join(" ") : `${values.length} numbers from ${brief(Math.min(...values))} to ${brief(Math.max(...values))}`;
  return (
    <div class="barcode" ref={reference} title={summary}>
      <canvas ref={canvas} role="img" aria-label={summary} />
    </div>
  );
}
