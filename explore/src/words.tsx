// The words of the prompt, which can be changed bit by bit or as numbers, and those of the answer.

import { signal } from "@preact/signals";
import { evaluate, shorten, type Circuit } from "./circuit";
import type { Word } from "./content";
import { Heading } from "./help";
import { formatWord, isBytes, numberView, parseShown, type NumberView } from "./number_view";
import { goTo, setBit, setWord, type Session } from "./session";

const problems = signal<Record<number, string>>({});
const MOST_BITS = 64;

export function Words({ session }: { session: Session }) {
  const circuit = session.circuit!;
  const thought = session.models[0].thought.value;
  const bits = session.inputBits.value;
  return (
    <section class="words" aria-label="Inputs and outputs">
      <Heading title="Inputs" help="words" />
      {circuit.inputs.map((word, number) => (
        <InputWord key={number} session={session} word={word} number={number} bits={bits} />
      ))}
      <button
        type="button"
        class="plain"
        onClick={() => {
          const random = new Uint8Array(circuit.numInputs);
          crypto.getRandomValues(random);
          session.inputBits.value = random.map((byte) => byte & 1);
        }}
      >
        Random
      </button>
      <Views circuit={circuit} />
      <Outputs session={session} circuit={circuit} ready={thought.ready.value} />
    </section>
  );
}

function Views({ circuit }: { circuit: Circuit }) {
  const views: NumberView[] = [...circuit.inputs, ...circuit.outputs].some(isBytes) ? ["decimal", "hex", "text"] : ["decimal", "hex"];
  return (
    <div class="segments" role="group" aria-label="How words are shown">
      {views.map((one) => (
        <button key={one} type="button" aria-pressed={numberView.value === one} onClick={() => (numberView.value = one)}>
          {one}
        </button>
      ))}
    </div>
  );
}

function InputWord({ session, word, number, bits }: { session: Session; word: Word; number: number; bits: Uint8Array }) {
  const problem = problems.value[number];
  const id = `word-${number}`;
  const shown = word.bits.slice(0, MOST_BITS);
  return (
    <div class="word">
      <label for={id} title={shorten(word.name, 200)}>{shorten(word.name, 18)}</label>
      <input
        id={id}
        type="text"
        inputMode="text"
        autocomplete="off"
        spellcheck={false}
        size={Math.max(3, Math.min(22, Math.ceil(word.bits.length * 0.302) + 1))}
        value={formatWord(word, bits, numberView.value)}
        aria-invalid={problem ? "true" : undefined}
        aria-describedby={problem ? `${id}-problem` : undefined}
        onChange={(event) => {
          const parsed = parseShown(event.currentTarget.value, word, numberView.peek());
          if ("problem" in parsed) {
            problems.value = { ...problems.peek(), [number]: parsed.problem };
            return;
          }
          problems.value = { ...problems.peek(), [number]: "" };
          setWord(session, word.bits, parsed.value);
        }}
      />
      <span class="bits" role="group" aria-label={`Bits of ${shorten(word.name)}, the highest first`}>
        {shown
          .map((place, index) => (
            <button
              key={index}
              type="button"
              class={place >= 0 && bits[place] ? "bit is-one" : "bit"}
              disabled={place < 0}
              data-bit={place}
              aria-label={`bit ${index} of ${shorten(word.name)}: ${place >= 0 ? bits[place] : 0}`}
              aria-pressed={place >= 0 && bits[place] === 1}
              onClick={() => setBit(session, place, 1 - bits[place])}
            >
              {place >= 0 ? bits[place] : 0}
            </button>
          ))
          .reverse()}
      </span>
      {problem && <span class="problem" id={`${id}-problem`} role="alert">{problem}</span>}
    </div>
  );
}

function Outputs({ session, circuit, ready }: { session: Session; circuit: Circuit; ready: number }) {
  const thought = session.models[0].thought.value;
  const start = circuit.numInputs + 1 + circuit.chainWire.length - circuit.outputWires.length;
  const isDone = ready >= thought.tokens.length;
  const made = thought.tokens.subarray(start, start + circuit.outputWires.length);
  const values = evaluate(circuit, session.inputBits.value);
  const chain = thought.tokens.subarray(circuit.numInputs + 1);
  let differs = -1;
  if (isDone) differs = circuit.chainWire.findIndex((wire, token) => chain[token] !== values[wire]);
  return (
    <div class="outputs">
      {circuit.outputs.map((word, number) => (
        <span class="output" key={number} data-output={number}>
          {shorten(word.name, 18)} = <b>{isDone ? formatWord(word, made.map((bit) => bit & 1), numberView.value) : "\u2026"}</b>
        </span>
      ))}
      {isDone && differs < 0 && (
        <span class="verdict is-right" title="Every token of the chain is the value of its wire by the truth tables">
          {"\u2713"} all {circuit.chainWire.length.toLocaleString("en")} tokens right
        </span>
      )}
      {isDone && differs >= 0 && (
        <button type="button" class="verdict is-wrong" onClick={() => goTo(session, circuit.numInputs + differs)}>
          {"\u2717"} chain token {differs} is not the circuit's
        </button>
      )}
      {!isDone && <progress max={thought.tokens.length} value={ready} aria-label="How much of the chain is thought" />}
      {isDone && <small>{Math.max(1, Math.round(thought.milliseconds.value))} ms</small>}
    </div>
  );
}
