// A circuit as arrays, with the questions that the page asks of it. Wires count as in Python: inputs first, then gates.

import { unpackIntegers, type CircuitContent, type Word } from "./content";

export const NO_WIRE = -1;

export interface Circuit {
  numInputs: number;
  numGates: number;
  columns: number;
  inputs: Word[];
  outputs: Word[];
  fanIn: Int32Array;
  kindOfGate: Int32Array;
  kinds: CircuitContent["kinds"];
  outputWires: Int32Array;
  levels: Int32Array;
  names: string[];
  /** For each chain token the wire whose value it is, and the gate that computes it or -1 for a copy. */
  chainWire: Int32Array;
  chainGate: Int32Array;
  tokenOfGate: Int32Array;
  readersStart: Int32Array;
  readers: Int32Array;
  /** For each input bit and each output bit `name[index]`, or the name of a word of one. */
  inputNames: string[];
  outputNames: string[];
}

export async function readCircuit(content: CircuitContent): Promise<Circuit> {
  const [fanIn, kindOfGate, outputWires, chainWire, chainGate, levels] = await Promise.all(
    [
      content.fan_in,
      content.kind_of_gate,
      content.output_wires,
      content.chain_wire,
      content.chain_gate,
      content.levels,
    ].map(unpackIntegers),
  );
  const numGates = kindOfGate.length;
  const numInputs = content.num_inputs;
  const tokenOfGate = new Int32Array(numGates);
  chainGate.forEach((gate, token) => {
    if (gate >= 0) tokenOfGate[gate] = token;
  });
  const columns = content.fan_in.shape[1];
  const readersStart = new Int32Array(numInputs + numGates + 1);
  for (const wire of fanIn) if (wire >= 0) readersStart[wire + 1]++;
  for (let wire = 0; wire < numInputs + numGates; wire++) readersStart[wire + 1] += readersStart[wire];
  const next = readersStart.slice();
  const readers = new Int32Array(readersStart[numInputs + numGates]);
  fanIn.forEach((wire, place) => {
    if (wire >= 0) readers[next[wire]++] = Math.floor(place / columns);
  });
  return {
    numInputs,
    numGates,
    columns,
    inputs: content.inputs,
    outputs: content.outputs,
    fanIn,
    kindOfGate,
    kinds: content.kinds,
    outputWires,
    levels,
    names: content.gate_names,
    chainWire,
    chainGate,
    tokenOfGate,
    readersStart,
    readers,
    inputNames: bitNames(content.inputs, numInputs),
    outputNames: bitNames(content.outputs, outputWires.length),
  };
}

function bitNames(words: Word[], count: number): string[] {
  const names = new Array<string>(count).fill("");
  for (const word of words) {
    word.bits.forEach((place, index) => {
      if (place >= 0) names[place] = word.bits.length > 1 ? `${word.name}[${index}]` : word.name;
    });
  }
  return names;
}

/** The wires that a gate reads. */
export function fanInOf(circuit: Circuit, gate: number): number[] {
  const start = gate * circuit.columns;
  return Array.from(circuit.fanIn.subarray(start, start + circuit.columns)).filter((wire) => wire !== NO_WIRE);
}

/** The gates that read a wire, each once. */
export function readersOf(circuit: Circuit, wire: number): number[] {
  return [...new Set(circuit.readers.subarray(circuit.readersStart[wire], circuit.readersStart[wire + 1]))];
}

export function positionOfWire(circuit: Circuit, wire: number): number {
  return wire < circuit.numInputs ? wire : circuit.numInputs + 1 + circuit.tokenOfGate[wire - circuit.numInputs];
}

/** What a token of the sequence is the value of: a wire, and how; nothing at `=`. */
export interface Meaning {
  kind: "input" | "equals" | "gate" | "copy" | "end";
  wire: number;
  gate: number;
  token: number;
  outputs: string[];
}

export function meaningOf(circuit: Circuit, position: number): Meaning {
  const { numInputs } = circuit;
  const none = { wire: NO_WIRE, gate: -1, token: -1, outputs: [] as string[] };
  if (position < numInputs) return { ...none, kind: "input", wire: position };
  if (position === numInputs) return { ...none, kind: "equals" };
  const token = position - numInputs - 1;
  if (token >= circuit.chainWire.length) return { ...none, kind: "end", token };
  const gate = circuit.chainGate[token];
  const place = token - (circuit.chainWire.length - circuit.outputWires.length);
  return {
    kind: gate < 0 ? "copy" : "gate",
    wire: circuit.chainWire[token],
    gate,
    token,
    outputs: place >= 0 ? [circuit.outputNames[place]] : [],
  };
}

/** A short name for a wire: the input's, the gate's own, the output's, or the number of its chain token. */
export function nameOfWire(circuit: Circuit, wire: number): string {
  if (wire < circuit.numInputs) return circuit.inputNames[wire];
  const gate = wire - circuit.numInputs;
  return circuit.names[gate] || outputsOfWire(circuit, wire)[0] || `t${circuit.tokenOfGate[gate]}`;
}

let outputsByWire: { circuit: Circuit; table: Map<number, string[]> } | undefined;

export function outputsOfWire(circuit: Circuit, wire: number): string[] {
  if (outputsByWire?.circuit !== circuit) {
    const table = new Map<number, string[]>();
    circuit.outputWires.forEach((one, place) => {
      table.set(one, [...(table.get(one) ?? []), circuit.outputNames[place]]);
    });
    outputsByWire = { circuit, table };
  }
  return outputsByWire.table.get(wire) ?? [];
}

/** The words for a gate's function without its operands: `and`, `mux`, `table[0xc]`. */
export function functionOf(circuit: Circuit, gate: number): string {
  const { words } = circuit.kinds[circuit.kindOfGate[gate]];
  const name = words.split("(")[0];
  return words.includes("not ") ? `${name}\u00ac` : name;
}

/** The words for a gate with its operands in them. */
export function describeGate(circuit: Circuit, gate: number, operand: (wire: number) => string): string {
  const wires = fanInOf(circuit, gate);
  return circuit.kinds[circuit.kindOfGate[gate]].words
    .split(/\u00a7(\d)/)
    .map((piece, place) => (place % 2 ? operand(wires[Number(piece)]) : piece))
    .join("");
}

export function tableBit(table: string, index: number): number {
  return (parseInt(table[table.length - 1 - (index >> 2)] ?? "0", 16) >> (index & 3)) & 1;
}

/** The value of every wire, by the truth tables: what the model's chain is compared with. */
export function evaluate(circuit: Circuit, inputBits: ArrayLike<number>): Uint8Array {
  const { numInputs, numGates, columns, fanIn, kinds, kindOfGate } = circuit;
  const values = new Uint8Array(numInputs + numGates);
  for (let place = 0; place < numInputs; place++) values[place] = inputBits[place];
  for (let gate = 0; gate < numGates; gate++) {
    const { arity, table } = kinds[kindOfGate[gate]];
    let index = 0;
    for (let place = 0; place < arity; place++) index |= values[fanIn[gate * columns + place]] << place;
    values[numInputs + gate] = tableBit(table, index);
  }
  return values;
}

export function wordToNumber(word: Word, bits: ArrayLike<number>): bigint {
  let value = 0n;
  for (let index = word.bits.length - 1; index >= 0; index--) {
    value = (value << 1n) | BigInt(word.bits[index] < 0 ? 0 : bits[word.bits[index]]);
  }
  return value;
}

/** The bits of a typed number (decimal, 0x or 0b), or what is wrong with it. */
export function parseWord(text: string, word: Word): { value: bigint } | { problem: string } {
  const plain = text.trim().replaceAll("_", "");
  if (!/^(\d+|0x[0-9a-f]+|0b[01]+)$/i.test(plain)) return { problem: "expected a number: decimal, 0x or 0b" };
  const value = BigInt(plain);
  if (value >> BigInt(word.bits.length)) return { problem: `does not fit ${word.bits.length} bits` };
  for (let index = 0; index < word.bits.length; index++) {
    if (word.bits[index] < 0 && (value >> BigInt(index)) & 1n) return { problem: `bit ${index} must be 0` };
  }
  return { value };
}

/** At most so many characters, the middle left out, for names that may have any length. */
export function shorten(text: string, most = 28): string {
  const characters = text.length > 4 * most ? [...text.slice(0, 2 * most), ...text.slice(-2 * most)] : [...text];
  if (characters.length <= most) return text;
  const side = Math.floor((most - 1) / 2);
  return `${characters.slice(0, side).join("")}\u2026${characters.slice(-side).join("")}`;
}
