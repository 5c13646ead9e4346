// What an intervention must change, by the circuit alone: each token follows from the tokens that were read before it.
// No weight is looked at. serialformer/interp/predict.py says the same from the construction.

import { fanInOf, meaningOf, positionOfWire, tableBit, type Circuit } from "./circuit";
import type { Intervention } from "./intervention";

/** Of a token about which the circuit says nothing. */
export const UNKNOWN = -1;
const EQUALS = 2;

/** What the circuit has to know of the model. */
export interface Facts {
  /** Whether a head fetches an operand; others are idle. */
  isUsed: (layer: number, head: number) => boolean;
  /** Whether weights were made dense, so that a head's output of 0 means nothing. */
  isMixed: boolean;
}

/** A chain: the token that the position at the end of a prefix must write, given the tokens that were read. */
export function expectedInChain(
  circuit: Circuit,
  facts: Facts,
  intervention: Intervention | null,
  tokens: ArrayLike<number>,
  other: ArrayLike<number>,
  position: number,
): number {
  const kind = intervention?.kind;
  const isHere = intervention?.position === position;
  const { head: changed = -1, part = -1 } = intervention ?? {};
  const isIdle = intervention !== null && !facts.isUsed(0, changed);
  if (kind === "zero" && facts.isMixed) return UNKNOWN;
  if (kind === "mean" && !isIdle) return UNKNOWN;
  // After the attention everything that a position writes with is there.
  if (kind === "residual" && isHere && part > 0) return expectedInChain(circuit, facts, null, other, other, position);
  const meaning = meaningOf(circuit, position + 1);
  if (meaning.kind === "end" || (kind === "zero" && !isIdle)) return EQUALS;
  const isGate = meaning.gate >= 0;
  const wires = isGate ? fanInOf(circuit, meaning.gate) : [meaning.wire];
  const places = wires.map((wire) => positionOfWire(circuit, wire));
  // Heads without an operand of the gate read its first one again, or "=": a token that is no bit stops the gate there.
  const heads = Math.max(1, ...circuit.kinds.map((one) => one.arity));
  let index = 0;
  for (let head = 0; head < heads; head++) {
    const place = places[head] ?? places[0] ?? circuit.numInputs;
    const isOther = (kind === "head" && isHere && head === changed) || (kind === "residual" && part === 0 && place === intervention!.position);
    const token = (isOther ? other : tokens)[place];
    if (token > EQUALS) return EQUALS;
    if (head < wires.length && token === 1) index |= 1 << head;
  }
  if (!isGate) return index & 1;
  return tableBit(circuit.kinds[circuit.kindOfGate[meaning.gate]].table, index);
}

/** A circuit in columns, layer by layer: which positions each one reads, and its truth table over all heads. */
export interface Columns {
  layers: number;
  reads: number[][];
  /** For each position a digit for each combination of the bits read, the first operand's bit the lowest. */
  tables: string[];
}

const NOTHING = -1;

/** Columns: the token that each position must write, UNKNOWN where nothing is determined; the last one writes `=`. */
export function expectedInColumns(
  columns: Columns,
  facts: Facts,
  intervention: Intervention | null,
  tokens: ArrayLike<number>,
  other: ArrayLike<number>,
): number[] {
  const { kind, part = -1, position: where = -1, layer: changed = -1, head: ablated = -1 } = intervention ?? {};
  const others = kind === "head" || kind === "residual" ? valuesInColumns(columns, other) : [];
  const isIdle = intervention !== null && !facts.isUsed(changed, ablated);
  const count = columns.reads.length;
  if ((kind === "mean" && !isIdle) || (kind === "zero" && facts.isMixed)) return new Array<number>(count).fill(UNKNOWN);
  const values = valuesInColumns(columns, tokens, (at, position, value) =>
    kind === "residual" && position === where && Math.ceil(part / 2) === at ? others[at][position] : value,
    (layer, head, position, value) => {
      if (layer !== changed || head !== ablated || isIdle) return value;
      if (kind === "zero") return NOTHING;
      return kind === "head" && position === where ? others[layer][columns.reads[position][head]] : value;
    },
  );
  return values[columns.layers].map((value, position) => (position === count - 1 ? EQUALS : value === NOTHING ? UNKNOWN : value));
}

/** The value in each column before the first layer and after each one. */
function valuesInColumns(
  columns: Columns,
  tokens: ArrayLike<number>,
  keep: (at: number, position: number, value: number) => number = (_, __, value) => value,
  fetch: (layer: number, head: number, position: number, value: number) => number = (_, __, ___, value) => value,
): number[][] {
  let values = columns.reads.map((_, position) => keep(0, position, tokens[position] === 1 ? 1 : 0));
  const all = [values];
  for (let layer = 0; layer < columns.layers; layer++) {
    const before = values;
    values = columns.reads.map((places, position) => {
      const bits = places.map((place, head) => fetch(layer, head, position, before[place]));
      const value = bits.includes(NOTHING) ? NOTHING : Number(columns.tables[position][bits.reduce((sum, bit, head) => sum | (bit << head), 0)]);
      return keep(layer + 1, position, value);
    });
    all.push(values);
  }
  return all;
}
