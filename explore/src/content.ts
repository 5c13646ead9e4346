// What the page holds, as Python wrote it (serialformer/explorer/content.py), and how arrays are unpacked.

export interface Packed {
  dtype: string;
  shape: number[];
  data: string;
}

export interface Word {
  name: string;
  /** Places among the inputs or outputs, least significant first; -1 where the word has no such bit. */
  bits: number[];
}

export interface Architecture {
  /** Such as "a stock GPT-2". */
  family: string;
  vocabulary: string[];
  separator: string;
  positions: number;
  width: number;
  layers: number;
  heads: number;
  /** Heads with keys and values of their own, which the others share. */
  key_heads: number;
  head_width: number;
  hidden: number;
  activation: "relu" | "gelu_new" | "silu";
  epsilon: number;
  scaled: boolean;
  /** Of the wavelengths of rotary positions; 0 without them. */
  rotary_base: number;
  /** How many positions a position sees, itself included; 0 for all. */
  window: number;
  end: number;
}

export interface Sample {
  tokens: number[];
  labels: number[];
  /** 1 where the token is one that the model says itself when it generates. */
  made: number[];
  prompt: number;
  answer: number[];
}

/** How a prompt of one's own is checked; serialformer/explorer/grammar.py. */
export type Grammar = { form: string } & (
  | { kind: "places"; sets: string[][]; places: number[] }
  | { kind: "circuit"; gates: number; setting: string }
  | { kind: "served" }
);

export interface ModelContent {
  name: string;
  origin: "compiled" | "constructed" | "trained";
  facts: Record<string, string>;
  architecture: Architecture;
  weights: Record<string, Packed> | null;
  /** Of a model whose tokens say where they stand: for each position and each of the page's tokens the id that stands for
   * it there, or -1; and the id that ends a chain. */
  placed: { ids: Packed; end: number } | null;
  directions: string[];
  units: string[];
  /** For each layer the names of its heads; none where nobody knows them. */
  heads: string[][];
  /** Whether directions were mixed, so that a part's output of 0 means nothing. */
  mixed: boolean;
  compiled: boolean;
  samples?: Sample[];
  grammar?: Grammar;
}

export interface GateKind {
  words: string;
  arity: number;
  table: string;
}

export interface CircuitContent {
  inputs: Word[];
  outputs: Word[];
  num_inputs: number;
  kinds: GateKind[];
  kind_of_gate: Packed;
  fan_in: Packed;
  output_wires: Packed;
  chain_wire: Packed;
  chain_gate: Packed;
  levels: Packed;
  gate_names: string[];
}

export interface Content {
  format: number;
  version: string;
  kind: "circuit" | "task";
  title: string;
  live: boolean;
  models: ModelContent[];
  circuit?: CircuitContent;
  max_heat_map?: number;
}

export function readContent(): Content {
  const content = JSON.parse(document.getElementById("content")!.textContent!) as Content;
  if (content.format !== 1) throw new Error(`expected content of format 1, found ${content.format}`);
  return content;
}

/** The bytes of a packed array: base64, then gzip. */
async function unpackBytes(packed: Packed): Promise<ArrayBuffer> {
  const text = atob(packed.data);
  const compressed = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) compressed[place] = text.charCodeAt(place);
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

export async function unpackIntegers(packed: Packed): Promise<Int32Array> {
  if (packed.dtype !== "int32") throw new Error(`expected int32, found ${packed.dtype}`);
  return new Int32Array(await unpackBytes(packed));
}

/** Weights of any of the stored formats as doubles, which hold each of them exactly. */
export async function unpackNumbers(packed: Packed): Promise<Float64Array> {
  const bytes = await unpackBytes(packed);
  if (packed.dtype === "float32") return Float64Array.from(new Float32Array(bytes));
  const halves = new Uint16Array(bytes);
  if (packed.dtype === "bfloat16") {
    const words = new Uint32Array(halves.length);
    for (let place = 0; place < halves.length; place++) words[place] = halves[place] << 16;
    return Float64Array.from(new Float32Array(words.buffer));
  }
  if (packed.dtype === "float16") return Float64Array.from(halves, halfToNumber);
  throw new Error(`expected floats, found ${packed.dtype}`);
}

function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}
