// The state of the page: which model is thinking about what, where we look, and what is selected.

import { batch, computed, effect, signal, untracked, type ReadonlySignal, type Signal } from "@preact/signals";
import { positionOfWire, readCircuit, type Circuit } from "./circuit";
import type { Content, ModelContent, Sample } from "./content";
import type { View } from "./forward";
import { localThinker, remoteThinker, type Sequence, type Thinker, type Thought } from "./thinker";

export interface ModelState {
  content: ModelContent;
  thinker: Thinker;
  thought: Signal<Thought>;
  /** What happened at the position that is looked at, once that is known. */
  view: Signal<View | null>;
}

export interface Session {
  content: Content;
  circuit: Circuit | null;
  models: ModelState[];
  inputBits: Signal<Uint8Array>;
  sample: Signal<number>;
  /** Whether a model of a task reads its own tokens, rather than the true ones. */
  generates: Signal<boolean>;
  /** The position that is looked at: it reads the token there and writes the next. */
  position: Signal<number>;
  first: ReadonlySignal<number>;
  last: ReadonlySignal<number>;
  playing: Signal<boolean>;
  /** Tokens a second. */
  speed: Signal<number>;
  /** A position whose token was clicked, or -1. */
  selected: Signal<number>;
  problem: Signal<string>;
}

export const SPEEDS = [1, 2, 5, 10, 20, 50, 100, 500];

export async function openSession(content: Content): Promise<Session> {
  const circuit = content.circuit ? await readCircuit(content.circuit) : null;
  const thinkers = await Promise.all(
    content.models.map((model, index) => (content.live ? remoteThinker(index, model) : localThinker(model))),
  );
  const inputBits = signal(startingBits(circuit));
  const sample = signal(0);
  const generates = signal(true);
  const problem = signal("");
  const sequenceOf = (model: ModelContent): Sequence =>
    circuit
      ? circuitSequence(circuit, inputBits.value, model.architecture.end)
      : taskSequence(model.samples![sample.value], generates.value);
  const models = content.models.map((model, index) => ({
    content: model,
    thinker: thinkers[index],
    thought: signal(thinkers[index].begin(sequenceOf(model))),
    view: signal<View | null>(null),
  }));
  const ends = computed(() => models.map((model) => model.thought.value.tokens.length - 1));
  const first = computed(() =>
    circuit ? circuit.numInputs : Math.min(...content.models.map((model) => firstSaid(model.samples![sample.value]))),
  );
  const last = computed(() => Math.max(...ends.value));
  const session: Session = {
    content,
    circuit,
    models,
    inputBits,
    sample,
    generates,
    position: signal(first.value),
    first,
    last,
    playing: signal(false),
    speed: signal(circuit && circuit.numGates > 300 ? 20 : 5),
    selected: signal(-1),
    problem,
  };
  let isFirst = true;
  effect(() => {
    const sequences = content.models.map(sequenceOf);
    if (isFirst) {
      isFirst = false;
      return;
    }
    untracked(() =>
      batch(() => {
        models.forEach((model, index) => {
          model.thought.peek().stop();
          model.thought.value = model.thinker.begin(sequences[index]);
        });
        if (!circuit) session.selected.value = -1;
      }),
    );
  });
  effect(() => {
    const { position } = session;
    if (position.value > last.value) position.value = last.value;
    else if (position.value < first.value) position.value = first.value;
  });
  models.forEach((model) => watchView(session, model));
  effect(() => {
    problem.value = models.map((model) => model.thought.value.failed.value).find((text) => text) ?? "";
  });
  playAlong(session);
  return session;
}

/** Something to look at: bits that look random, the same each time. */
export function startingBits(circuit: Circuit | null): Uint8Array {
  const bits = new Uint8Array(circuit?.numInputs ?? 0);
  return bits.map((_, place) => (Math.imul(place + 1, 0x9e3779b1) >>> 15) & 1);
}

/** The input bits and `=` are given, the chain is the model's own. */
export function circuitSequence(circuit: Circuit, bits: Uint8Array, equals: number): Sequence {
  const length = circuit.numInputs + 1 + circuit.chainWire.length;
  const given = new Int32Array(length);
  given.set(bits);
  given[circuit.numInputs] = equals;
  const made = new Uint8Array(length).fill(1, circuit.numInputs + 1);
  return { given, made };
}

export function taskSequence(sample: Sample, asked: boolean): Sequence {
  const given = Int32Array.from(sample.tokens);
  const generates = asked || sample.labels.every((label) => label < 0);
  return { given, made: generates ? Uint8Array.from(sample.made) : new Uint8Array(given.length) };
}

function firstSaid(sample: Sample): number {
  const first = sample.labels.findIndex((label) => label >= 0);
  return first < 0 ? sample.prompt - 1 : first;
}

/** Keeps a model's view that of the position that is looked at. */
function watchView(session: Session, model: ModelState) {
  let asked = 0;
  effect(() => {
    const thought = model.thought.value;
    const position = Math.min(session.position.value, thought.tokens.length - 1);
    const mine = ++asked;
    if (thought.ready.value <= position) return;
    const view = thought.view(position);
    if (!(view instanceof Promise)) {
      model.view.value = view;
      return;
    }
    view.then(
      (answer) => {
        if (mine === asked) model.view.value = answer;
      },
      (error: Error) => {
        thought.failed.value = error.message;
      },
    );
  });
}

/** Moves on while the page plays, as many tokens per second as it is told, but no further than has been read. */
function playAlong(session: Session) {
  const { playing, speed, position, last, models } = session;
  effect(() => {
    if (!playing.value) return;
    let before = performance.now();
    let owed = 0;
    let frame = requestAnimationFrame(function step(now) {
      owed += (Math.max(0, now - before) / 1000) * speed.peek();
      before = now;
      const steps = Math.floor(owed);
      owed -= steps;
      if (steps) {
        const ready = Math.min(...models.map((model) => readyEnd(model.thought.peek(), last.peek())));
        position.value = Math.min(position.peek() + steps, last.peek(), Math.max(ready, position.peek()));
      }
      if (position.peek() >= last.peek()) playing.value = false;
      else frame = requestAnimationFrame(step);
    });
    return () => cancelAnimationFrame(frame);
  });
}

/** How far one may go by a thought: a short one that has been read whole holds nobody up. */
function readyEnd(thought: Thought, last: number): number {
  const ready = thought.ready.peek();
  return ready >= thought.tokens.length ? last : ready - 1;
}

export function goTo(session: Session, position: number) {
  session.position.value = Math.max(session.first.peek(), Math.min(session.last.peek(), position));
}

export function togglePlaying(session: Session) {
  batch(() => {
    const { playing, position, last, first } = session;
    if (!playing.peek() && position.peek() >= last.peek()) position.value = first.peek();
    playing.value = !playing.peek();
  });
}

export function step(session: Session, count: number) {
  batch(() => {
    session.playing.value = false;
    goTo(session, session.position.peek() + count);
  });
}

export function selectWire(session: Session, wire: number) {
  if (session.circuit) session.selected.value = positionOfWire(session.circuit, wire);
}

export function setBit(session: Session, place: number, bit: number) {
  const bits = session.inputBits.peek().slice();
  bits[place] = bit;
  session.inputBits.value = bits;
}

export function setWord(session: Session, places: number[], value: bigint) {
  const bits = session.inputBits.peek().slice();
  places.forEach((place, index) => {
    if (place >= 0) bits[place] = Number((value >> BigInt(index)) & 1n);
  });
  session.inputBits.value = bits;
}
