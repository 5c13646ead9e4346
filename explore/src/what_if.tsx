// "What if?": one intervention, chosen here, and what came of it.

import { signal, type Signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { parseWord, wordToNumber, type Circuit } from "./circuit";
import type { Word } from "./content";
import { Heading } from "./help";
import { describe, intervene, KINDS, partName, UNUSED, type Intervened, type Intervention, type Kind } from "./intervention";
import { circuitSequence, taskSequence, type ModelState, type Session } from "./session";
import { describePosition } from "./strip";
import { ask, type Sequence, type Thought } from "./thinker";
import { expectedInChain, UNKNOWN, type Facts } from "./truth";
import { Outcome, type Result } from "./outcome";
import "./what_if.css";

interface Chosen {
  kind: Kind;
  layer: number;
  head: number;
  part: number;
  /** null while it is that of the token that is looked at. */
  position: number | null;
  token: number;
  sample: number;
  bits: Uint8Array;
}

interface Panel {
  chosen: Signal<Chosen>;
  /** The result, and the thought that it belongs to; gone as soon as anything is changed. */
  result: Signal<{ result: Result; thought: Thought } | null>;
  problem: Signal<string>;
  running: Signal<number>;
}

function makePanel(circuit: Circuit | null): Panel {
  const bits = new Uint8Array(circuit?.numInputs ?? 0);
  return {
    chosen: signal({ kind: "zero", layer: 0, head: 0, part: 0, position: null, token: 0, sample: 0, bits }),
    result: signal(null),
    problem: signal(""),
    running: signal(0),
  };
}

export function WhatIf({ session, model }: { session: Session; model: ModelState }) {
  const panel = useMemo(() => makePanel(session.circuit), [model]);
  const { chosen, result, problem } = panel;
  const thought = model.thought.value;
  const { kind, layer, head, part, token } = chosen.value;
  const { architecture, heads } = model.content;
  const set = (change: Partial<Chosen>) => {
    chosen.value = { ...chosen.peek(), ...change };
    result.value = null;
    problem.value = "";
    panel.running.value++;
  };
  const position = positionOf(session, thought, chosen.value);
  const shown = result.value?.thought === thought ? result.value.result : null;
  const isPatch = kind === "head" || kind === "residual";
  const pick = (label: string, value: number, count: number, name: (index: number) => string, field: "layer" | "head" | "part") => (
    <label>
      {label}
      <select data-field={field} value={value} onChange={(event) => set({ [field]: Number(event.currentTarget.value) })}>
        {Array.from({ length: count }, (_, index) => <option key={index} value={index}>{name(index)}</option>)}
      </select>
    </label>
  );
  return (
    <section class="card what-if" aria-label="What if?">
      <Heading title="What if?" help="whatIf" />
      <div class="what-if-controls">
        <label>
          change
          <select data-field="kind" value={kind} onChange={(event) => set({ kind: event.currentTarget.value as Kind, position: null })}>
            {KINDS.map(([one, words]) => <option key={one} value={one}>{one === "token" && !session.circuit ? "replace a token" : words}</option>)}
          </select>
        </label>
        {kind !== "residual" && kind !== "token" && (
          <>
            {architecture.layers > 1 && pick("layer", layer, architecture.layers, String, "layer")}
            {pick("head", head, architecture.heads, (index) => `${index}${heads[layer]?.[index] ? `: ${heads[layer][index]}` : ""}`, "head")}
          </>
        )}
        {kind === "residual" && pick("where", part, 2 * architecture.layers + 1, (index) => partName(index), "part")}
        {kind !== "zero" && kind !== "mean" && (
          <label>
            position
            <input
              type="number"
              data-field="position"
              min={0}
              max={thought.tokens.length - 1}
              value={position}
              onChange={(event) => set({ position: Math.max(0, Math.min(thought.tokens.length - 1, Math.floor(Number(event.currentTarget.value)))) })}
            />
            <small>{nameOf(session, position)}</small>
          </label>
        )}
        {kind === "token" && !session.circuit && (
          <label>
            becomes
            <select data-field="token" value={token} onChange={(event) => set({ token: Number(event.currentTarget.value) })}>
              {architecture.vocabulary.map((one, index) => <option key={index} value={index}>{one}</option>)}
            </select>
          </label>
        )}
        {isPatch && <Second session={session} model={model} chosen={chosen.value} set={set} />}
        <button type="button" class="plain" disabled={thought.ready.value < thought.tokens.length} onClick={() => void run(session, model, panel)}>
          Run
        </button>
      </div>
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
      {shown && <Outcome session={session} model={model} result={shown} />}
    </section>
  );
}

/** The second input, from which is patched. */
function Second({ session, model, chosen, set }: { session: Session; model: ModelState; chosen: Chosen; set: (change: Partial<Chosen>) => void }) {
  const { circuit } = session;
  if (!circuit) {
    const samples = model.content.samples!;
    return (
      <label>
        from prompt
        <select data-field="sample" value={chosen.sample} onChange={(event) => set({ sample: Number(event.currentTarget.value) })}>
          {samples.map((_, index) => <option key={index} value={index}>{index + 1}</option>)}
        </select>
      </label>
    );
  }
  const change = (word: Word, text: string) => {
    const parsed = parseWord(text, word);
    if ("problem" in parsed) return set({});
    const bits = chosen.bits.slice();
    word.bits.forEach((place, index) => {
      if (place >= 0) bits[place] = Number((parsed.value >> BigInt(index)) & 1n);
    });
    set({ bits });
  };
  return (
    <>
      {circuit.inputs.map((word, number) => (
        <label key={number}>
          second {word.name.length > 12 ? `${word.name.slice(0, 11)}\u2026` : word.name}
          <input
            type="text"
            class="second-word"
            autocomplete="off"
            spellcheck={false}
            value={wordToNumber(word, chosen.bits).toString()}
            onChange={(event) => {
              change(word, event.currentTarget.value);
              event.currentTarget.value = wordToNumber(word, chosen.bits).toString();
            }}
          />
        </label>
      ))}
    </>
  );
}

function nameOf(session: Session, position: number): string {
  return session.circuit ? describePosition(session.circuit, position) : "";
}

/** The position that is changed: the one that is looked at, or for a token the one after it. */
function positionOf(session: Session, thought: Thought, chosen: Chosen): number {
  const looked = session.position.value + (chosen.kind === "token" ? 1 : 0);
  return Math.min(chosen.position ?? looked, thought.tokens.length - 1);
}

/** A served page has the weights elsewhere. */
async function interveneAtServer(model: number, sequence: Sequence, other: Sequence | null, first: number, change: Intervention) {
  const open = ({ given, made }: Sequence) => Array.from(given, (token, place) => (made[place] ? -1 : token));
  const body = { model, tokens: open(sequence), other: other && open(other), first, change };
  const found = await ask<{ tokens: number[]; said: number[]; other: number[] }>("api/intervene", body);
  return { tokens: Int32Array.from(found.tokens), said: Int32Array.from(found.said), other: found.other };
}

async function run(session: Session, model: ModelState, panel: Panel) {
  const { circuit } = session;
  const thought = model.thought.peek();
  const chosen = panel.chosen.peek();
  const { end } = model.content.architecture;
  const position = positionOf(session, thought, chosen);
  let { token } = chosen;
  if (chosen.kind === "token" && circuit) {
    const now = thought.tokens[position];
    if (now > 1) {
      panel.problem.value = `position ${position} holds ${model.content.architecture.vocabulary[now]}, which is not a bit`;
      return;
    }
    token = 1 - now;
  }
  const sequence = circuit ? circuitSequence(circuit, session.inputBits.peek(), end) : taskSequence(model.content.samples![session.sample.peek()], session.generates.peek());
  let other: Sequence | null = null;
  if (chosen.kind === "head" || chosen.kind === "residual") {
    other = circuit ? circuitSequence(circuit, chosen.bits, end) : taskSequence(model.content.samples![chosen.sample], session.generates.peek());
    if (other.given.length !== sequence.given.length) {
      panel.problem.value = `prompt ${chosen.sample + 1} has ${other.given.length} tokens and this one ${sequence.given.length}; both must have the same number`;
      return;
    }
  }
  const { kind, layer, head, part } = chosen;
  const intervention: Intervention = { kind, layer, head, part, position, token };
  const first = session.first.peek();
  const mine = ++panel.running.value;
  const isWanted = () => panel.running.peek() === mine;
  let found: (Intervened & { other: ArrayLike<number> }) | null;
  try {
    found = thought.run
      ? await intervene({ weights: thought.run.weights, sequence, clean: thought.run, first, other }, intervention, isWanted)
      : await interveneAtServer(session.models.indexOf(model), sequence, other, first, intervention);
  } catch (error) {
    panel.problem.value = (error as Error).message;
    return;
  }
  if (!found || !isWanted()) return;
  const expected = new Int32Array(sequence.given.length).fill(UNKNOWN);
  // Where look-ups are spread over several heads and layers, the page knows only what follows from the tokens.
  const { layers, family } = model.content.architecture;
  const hasTruth = circuit !== null && ((layers === 1 && family === "a stock GPT-2") || intervention.kind === "token" || (intervention.kind === "residual" && intervention.part === 0));
  if (hasTruth) {
    const facts: Facts = {
      isUsed: (layer, head) => model.content.heads[layer]?.[head] !== UNUSED,
      isMixed: model.content.mixed,
    };
    for (let place = first; place < expected.length; place++) {
      expected[place] = expectedInChain(circuit, facts, intervention, found.tokens, found.other, place);
    }
  }
  const words = describe(intervention, (place) => nameOf(session, place) || model.content.architecture.vocabulary[thought.tokens[place]]);
  panel.result.value = { thought, result: { words, first, clean: thought.said, said: found.said, tokens: found.tokens, expected: hasTruth ? expected : null } };
}
