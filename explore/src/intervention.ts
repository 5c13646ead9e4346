// An intervention: what is changed in a run, and the run with it. The model reads its own tokens after the change, so
// that a change propagates through the chain. serialformer/interp/interventions.py does the same in Python.

import { Run, type Captured, type Hooks, type Weights } from "./forward";
import { SLICE_MILLISECONDS, yieldToPage } from "./slices";
import type { Sequence } from "./thinker";

export type Kind = "zero" | "mean" | "head" | "residual" | "token";

export interface Intervention {
  kind: Kind;
  /** For `zero`, `mean` and `head`. */
  layer: number;
  head: number;
  /** For `residual`: 0 after the embedding, 1, 3, ... after the attention, 2, 4, ... after the feed-forward part. */
  part: number;
  /** For `head`, `residual` and `token`. */
  position: number;
  /** For `token`: the new one. */
  token: number;
}

/** A sequence that was read under an intervention. */
export interface Intervened {
  tokens: Int32Array;
  said: Int32Array;
}

/** Reads a sequence to a position and no further. */
function* readTo(run: Run, sequence: Sequence, last: number, said: Int32Array) {
  while (run.length <= last) {
    const position = run.length;
    said[position] = sequence.made[position] ? run.readOwn() : run.read(sequence.given[position]);
    yield;
  }
}

/** The mean output of a head over the positions that write, from the first one on. */
function* meanOutput(run: Run, first: number, layer: number, head: number) {
  const width = run.weights.architecture.head_width;
  const mean = new Float64Array(width);
  for (let position = first; position < run.length; position++) {
    const output = run.capture(position).heads[layer].subarray(head * width, (head + 1) * width);
    output.forEach((value, index) => (mean[index] += value / (run.length - first)));
    yield;
  }
  return mean;
}

function makeHooks(intervention: Intervention, mean: Float64Array | null, other: Captured | null): Hooks {
  const { kind, position: where, part } = intervention;
  const isHead = (layer: number, head: number) => layer === intervention.layer && head === intervention.head;
  if (kind === "residual") {
    return { stream: (at, position, values) => at === part && position === where && values.set(other!.streams[part]) };
  }
  if (kind === "token") return {};
  return {
    head: (layer, head, position, output) => {
      if (!isHead(layer, head)) return;
      if (kind === "zero") output.fill(0);
      else if (kind === "mean") output.set(mean!);
      else if (position === where) {
        const start = head * output.length;
        output.set(other!.heads[layer].subarray(start, start + output.length));
      }
    },
  };
}

export interface Question {
  weights: Weights;
  sequence: Sequence;
  /** The run without the intervention, over the whole sequence. */
  clean: Run;
  /** The first position that writes. */
  first: number;
  /** The other run's sequence, for `head` and `residual`. */
  other: Sequence | null;
}

function* steps(question: Question, intervention: Intervention): Generator<void, Intervened & { other: Int32Array }> {
  const { weights, sequence, clean, first, other } = question;
  const count = sequence.given.length;
  let captured: Captured | null = null;
  let otherTokens: Int32Array = new Int32Array(0);
  if (other) {
    const run = new Run(weights, count);
    // The truth compares with all of the other run.
    yield* readTo(run, other, count - 1, new Int32Array(count));
    captured = run.capture(intervention.position);
    otherTokens = run.tokens;
  }
  const mean = intervention.kind === "mean" ? yield* meanOutput(clean, first, intervention.layer, intervention.head) : null;
  const changed = { given: sequence.given.slice(), made: sequence.made.slice() };
  if (intervention.kind === "token") {
    changed.given[intervention.position] = intervention.token;
    changed.made[intervention.position] = 0;
  }
  const run = new Run(weights, count, makeHooks(intervention, mean, captured));
  const said = new Int32Array(count);
  yield* readTo(run, changed, count - 1, said);
  return { tokens: run.tokens, said, other: otherTokens };
}

/** Makes an intervention, a slice of time after the other; null once it is no longer wanted. */
export async function intervene(question: Question, intervention: Intervention, isWanted: () => boolean) {
  const generator = steps(question, intervention);
  for (;;) {
    const started = performance.now();
    while (performance.now() - started < SLICE_MILLISECONDS) {
      const step = generator.next();
      if (step.done) return step.value;
    }
    await yieldToPage();
    if (!isWanted()) return null;
  }
}

export const KINDS: [Kind, string][] = [
  ["zero", "ablate a head: zero"],
  ["mean", "ablate a head: mean"],
  ["head", "patch a head\u2019s output"],
  ["residual", "patch the residual stream"],
  ["token", "flip a token"],
];

/** The name of a head that nothing uses. */
export const UNUSED = "unused";

/** An intervention in words; layers and heads are counted from a number on. */
export function describe(intervention: Intervention, nameOf: (position: number) => string, from = 0): string {
  const { kind, layer, head, part, position } = intervention;
  const one = `head ${head + from} of layer ${layer + from}`;
  const at = `position ${position} (${nameOf(position)})`;
  if (kind === "zero") return `The output of ${one} is 0 at every position.`;
  if (kind === "mean") return `The output of ${one} is its mean over this run at every position.`;
  if (kind === "head") return `The output of ${one} at ${at} comes from the second input.`;
  if (kind === "residual") return `The residual stream at ${at}, ${partName(part, from)}, comes from the second input.`;
  return `The token at ${at} is replaced.`;
}

export function partName(part: number, from = 0): string {
  if (part === 0) return "after the embedding";
  return `after the ${part % 2 ? "attention" : "feed-forward part"} of layer ${Math.ceil(part / 2) - 1 + from}`;
}
