// The forward pass of a GPT-2 or a Llama in the page: one position at a time, with a cache of keys and values, in
// doubles. It is written after the definition of the model, as serialformer/transformer/forward.py is; nothing here knows what
// the weights mean, and no shortcut is taken.

import { unpackIntegers, unpackNumbers, type Architecture, type ModelContent } from "./content";

export interface Look {
  position: number;
  weight: number;
}

export interface Unit {
  unit: number;
  value: number;
}

/** What happened at one position. */
export interface View {
  position: number;
  /** For each layer and head the positions that got the largest shares of attention, largest first. */
  attention: Look[][][];
  /** For each layer and head what all positions but the first of those got together. */
  others: number[][];
  /** The residual stream: the embedding, then after the attention and the feed-forward part of each layer. */
  stages: { label: string; values: number[] }[];
  /** For each layer the hidden units with the largest activations. */
  units: Unit[][];
  logits: number[];
}

export const SHOWN_LOOKS = 24;
const SHOWN_UNITS = 12;

interface Layer {
  attentionNormGain?: Float64Array;
  attentionNormBias?: Float64Array;
  attentionInWeight: Sparse;
  attentionInBias?: Float64Array;
  attentionOutWeight: Sparse;
  attentionOutBias?: Float64Array;
  relativeBias?: Float64Array;
  mlpNormGain?: Float64Array;
  mlpNormBias?: Float64Array;
  mlpInWeight: Sparse;
  mlpInBias?: Float64Array;
  /** What the hidden units are multiplied by, if the model is gated. */
  mlpUpWeight?: Sparse;
  mlpOutWeight: Sparse;
  mlpOutBias?: Float64Array;
}

/** A matrix, row by row; rows without a weight other than 0 are left out, which changes no sum. */
interface Sparse {
  values: Float64Array;
  columns: number;
  rows: Int32Array;
}

export interface Weights {
  architecture: Architecture;
  tokenEmbedding: Float64Array;
  positionEmbedding?: Float64Array;
  layers: Layer[];
  finalNormGain?: Float64Array;
  finalNormBias?: Float64Array;
  /** The embedding again, or a matrix of its own. */
  unembedding: Float64Array;
  /** The model's tokens, if each says at which position it stands; the page's own are plain then. */
  placed: Placed | null;
}

/** For each position and each of the page's tokens the id that stands for it there, or -1, and the id that ends a chain;
 * serialformer/constructions/placed_tokens.py. */
interface Placed {
  ids: Int32Array;
  numPlain: number;
  end: number;
}

export async function readWeights(model: ModelContent): Promise<Weights> {
  const packed = model.weights!;
  const arrays: Record<string, Float64Array> = {};
  await Promise.all(
    Object.entries(packed).map(async ([name, one]) => {
      arrays[name] = await unpackNumbers(one);
    }),
  );
  const { width, hidden, layers, heads, key_heads, head_width } = model.architecture;
  const { placed } = model;
  return {
    architecture: model.architecture,
    tokenEmbedding: arrays["token_embedding"],
    positionEmbedding: arrays["position_embedding"],
    finalNormGain: arrays["final_norm_gain"],
    finalNormBias: arrays["final_norm_bias"],
    unembedding: arrays["unembedding"] ?? arrays["token_embedding"],
    placed: placed && { ids: await unpackIntegers(placed.ids), numPlain: placed.ids.shape[1], end: placed.end },
    layers: Array.from({ length: layers }, (_, index) => {
      const part = (name: string) => arrays[`layers.${index}.${name}`];
      return {
        attentionNormGain: part("attention_norm_gain"),
        attentionNormBias: part("attention_norm_bias"),
        attentionInWeight: sparse(part("attention_in_weight"), width, (heads + 2 * key_heads) * head_width),
        attentionInBias: part("attention_in_bias"),
        attentionOutWeight: sparse(part("attention_out_weight"), heads * head_width, width),
        attentionOutBias: part("attention_out_bias"),
        relativeBias: part("attention_relative_bias"),
        mlpNormGain: part("mlp_norm_gain"),
        mlpNormBias: part("mlp_norm_bias"),
        mlpInWeight: sparse(part("mlp_in_weight"), width, hidden),
        mlpInBias: part("mlp_in_bias"),
        mlpUpWeight: part("mlp_up_weight") && sparse(part("mlp_up_weight"), width, hidden),
        mlpOutWeight: sparse(part("mlp_out_weight"), hidden, width),
        mlpOutBias: part("mlp_out_bias"),
      };
    }),
  };
}

function sparse(values: Float64Array, rows: number, columns: number): Sparse {
  const used: number[] = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      if (values[row * columns + column] !== 0) {
        used.push(row);
        break;
      }
    }
  }
  return { values, columns, rows: Int32Array.from(used) };
}

/** y = x weight + bias. */
function multiply(x: Float64Array, weight: Sparse, bias?: Float64Array): Float64Array {
  const { values, columns, rows } = weight;
  const y = bias ? Float64Array.from(bias) : new Float64Array(columns);
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index];
    const factor = x[row];
    if (factor === 0) continue;
    const start = row * columns;
    for (let column = 0; column < columns; column++) y[column] += factor * values[start + column];
  }
  return y;
}

/** Layer norm; without a bias, RMS norm. */
function norm(x: Float64Array, gain: Float64Array | undefined, bias: Float64Array | undefined, epsilon: number) {
  if (!gain) return x;
  if (!bias) {
    let square = 0;
    for (const value of x) square += value * value;
    const scale = 1 / Math.sqrt(square / x.length + epsilon);
    return x.map((value, index) => value * scale * gain[index]);
  }
  let mean = 0;
  for (const value of x) mean += value;
  mean /= x.length;
  let variance = 0;
  for (const value of x) variance += (value - mean) * (value - mean);
  const scale = 1 / Math.sqrt(variance / x.length + epsilon);
  return x.map((value, index) => (value - mean) * scale * gain[index] + bias[index]);
}

function activate(x: Float64Array, activation: string): Float64Array {
  if (activation === "relu") return x.map((value) => Math.max(0, value));
  if (activation === "silu") return x.map((value) => value / (1 + Math.exp(-value)));
  const factor = Math.sqrt(2 / Math.PI);
  return x.map((value) => 0.5 * value * (1 + Math.tanh(factor * (value + 0.044715 * value * value * value))));
}

/** Turns dimension i and dimension i + half of some heads side by side by the angles of a position. */
function rotate(values: Float64Array, position: number, headWidth: number, base: number) {
  const half = headWidth / 2;
  for (let pair = 0; pair < half; pair++) {
    const angle = position * base ** ((-2 * pair) / headWidth);
    const cosine = Math.cos(angle);
    const sine = Math.sin(angle);
    for (let first = pair; first < values.length; first += headWidth) {
      const one = values[first];
      const other = values[first + half];
      values[first] = one * cosine - other * sine;
      values[first + half] = other * cosine + one * sine;
    }
  }
}

/** What is changed, in place, while a position is computed. */
export interface Hooks {
  /** A head's output, before it is brought into the residual stream. */
  head?: (layer: number, head: number, position: number, output: Float64Array) => void;
  /** The residual stream after the embedding (0), the attention (1, 3, ...) and the feed-forward part (2, 4, ...). */
  stream?: (part: number, position: number, values: Float64Array) => void;
}

/** What another run is patched with: a position's residual stream after each part, and each layer's heads in a row. */
export interface Captured {
  streams: Float64Array[];
  heads: Float64Array[];
}

/** One sequence, read position by position. */
export class Run {
  readonly weights: Weights;
  readonly hooks: Hooks;
  /** The tokens that were read, as the page names them. */
  readonly tokens: Int32Array;
  /** How many positions have been read. */
  length = 0;
  /** For each position, layer and head the position that got more than half of the attention, or -1. */
  readonly tops: Int32Array;
  private readonly keys: Float64Array[];
  private readonly values: Float64Array[];
  /** The model's ids of the tokens that were read, and of the one that was written last. */
  private readonly ids: Int32Array;
  private written = 0;

  constructor(weights: Weights, capacity: number, hooks: Hooks = {}) {
    this.weights = weights;
    this.hooks = hooks;
    this.tokens = new Int32Array(capacity);
    this.ids = new Int32Array(capacity);
    this.tops = new Int32Array(capacity * weights.layers.length * weights.architecture.heads).fill(-1);
    const size = capacity * weights.architecture.key_heads * weights.architecture.head_width;
    this.keys = weights.layers.map(() => new Float64Array(size));
    this.values = weights.layers.map(() => new Float64Array(size));
  }

  /** Reads a token and returns the one that is written. */
  read(token: number): number {
    const { placed } = this.weights;
    if (!placed) return this.readId(token, token);
    const id = token < placed.numPlain ? placed.ids[this.length * placed.numPlain + token] : -1;
    return this.readId(token, Math.max(0, id)); // 0 is <unk>
  }

  /** Reads the token that the model has written itself. */
  readOwn(): number {
    return this.readId(this.nameOf(this.written, this.length), this.written);
  }

  private readId(token: number, id: number): number {
    this.tokens[this.length] = token;
    this.ids[this.length] = id;
    this.length += 1;
    this.written = largest(this.pass(this.length - 1));
    return this.nameOf(this.written, this.length);
  }

  /** A token of the model as the page names it; the last of the page's names is that of all that are out of place. */
  private nameOf(id: number, position: number): number {
    const { placed, architecture } = this.weights;
    if (!placed) return id;
    const { ids, numPlain, end } = placed;
    if (id === end) return architecture.end;
    for (let plain = 0; plain < numPlain; plain++) if (ids[position * numPlain + plain] === id) return plain;
    return architecture.vocabulary.length - 1;
  }

  /** The logits of the tokens that the page names; of those that cannot follow, the least of all. */
  private namedLogits(logits: Float64Array, position: number): number[] {
    const { placed, architecture } = this.weights;
    if (!placed) return Array.from(logits);
    const { ids, numPlain, end } = placed;
    const least = logits.reduce((one, other) => Math.min(one, other));
    const named = new Array<number>(architecture.vocabulary.length).fill(least);
    for (let plain = 0; plain < numPlain; plain++) {
      const id = ids[(position + 1) * numPlain + plain];
      if (id >= 0) named[plain] = logits[id];
    }
    named[architecture.end] = Math.max(named[architecture.end], logits[end]);
    return named;
  }

  /** What happened at a position that has been read. */
  view(position: number): View {
    const view: View = { position, attention: [], others: [], stages: [], units: [], logits: [] };
    const logits = this.pass(position, {
      stage: (label, values) => view.stages.push({ label, values: Array.from(values) }),
      attention: (shares) => {
        const looks = shares.map((of) => largestLooks(of, SHOWN_LOOKS));
        view.attention.push(looks);
        view.others.push(shares.map((of, head) => sumWithout(of, looks[head][0].position)));
      },
      units: (values) => view.units.push(largestUnits(values)),
    });
    view.logits = this.namedLogits(logits, position);
    return view;
  }

  /** The residual stream and the heads' outputs at a position that has been read. */
  capture(position: number): Captured {
    const captured: Captured = { streams: [], heads: [] };
    this.pass(position, {
      stage: (_, values) => captured.streams.push(values.slice()),
      heads: (mixed) => captured.heads.push(mixed.slice()),
    });
    return captured;
  }

  /** All attention weights of a position: for each layer and head a share for each position up to it. */
  shares(position: number): Float64Array[][] {
    const layers: Float64Array[][] = [];
    this.pass(position, { attention: (shares) => layers.push(shares) });
    return layers;
  }

  private pass(
    position: number,
    watch?: {
      stage?: (label: string, values: Float64Array) => void;
      attention?: (shares: Float64Array[]) => void;
      units?: (values: Float64Array) => void;
      heads?: (mixed: Float64Array) => void;
    },
  ): Float64Array {
    const { hooks } = this;
    const { architecture, tokenEmbedding, positionEmbedding, unembedding, layers } = this.weights;
    const { width, heads, key_heads: keyHeads, head_width: headWidth, epsilon } = architecture;
    const queryWidth = heads * headWidth;
    const keyWidth = keyHeads * headWidth;
    const start = architecture.window ? Math.max(0, position + 1 - architecture.window) : 0;
    const id = this.ids[position];
    let x = tokenEmbedding.slice(id * width, (id + 1) * width);
    if (positionEmbedding) {
      for (let index = 0; index < width; index++) x[index] += positionEmbedding[position * width + index];
    }
    hooks.stream?.(0, position, x);
    watch?.stage?.("embedding", x);
    const divisor = architecture.scaled ? Math.sqrt(headWidth) : 1;
    layers.forEach((layer, number) => {
      const normed = norm(x, layer.attentionNormGain, layer.attentionNormBias, epsilon);
      const projected = multiply(normed, layer.attentionInWeight, layer.attentionInBias);
      const keys = this.keys[number];
      const values = this.values[number];
      if (architecture.rotary_base) rotate(projected.subarray(0, queryWidth + keyWidth), position, headWidth, architecture.rotary_base);
      keys.set(projected.subarray(queryWidth, queryWidth + keyWidth), position * keyWidth);
      values.set(projected.subarray(queryWidth + keyWidth), position * keyWidth);
      const mixed = new Float64Array(queryWidth);
      const allShares: Float64Array[] = [];
      for (let head = 0; head < heads; head++) {
        const first = head * headWidth;
        // Heads that follow one another share keys and values.
        const shared = Math.floor(head / (heads / keyHeads)) * headWidth;
        const shares = new Float64Array(position + 1);
        // Dimensions in which the query is 0 add nothing to any score.
        const used: number[] = [];
        for (let index = 0; index < headWidth; index++) if (projected[first + index] !== 0) used.push(index);
        let most = -Infinity;
        let top = 0;
        for (let other = start; other <= position; other++) {
          const key = other * keyWidth + shared;
          let score = 0;
          for (let index = 0; index < used.length; index++) score += projected[first + used[index]] * keys[key + used[index]];
          score /= divisor;
          if (layer.relativeBias) score += layer.relativeBias[head * architecture.positions + position - other];
          shares[other] = score;
          if (score > most) {
            most = score;
            top = other;
          }
        }
        let total = 0;
        for (let other = start; other <= position; other++) {
          const below = shares[other] - most;
          shares[other] = below < -746 ? 0 : Math.exp(below); // smaller than any double
          total += shares[other];
        }
        for (let other = start; other <= position; other++) {
          const share = (shares[other] /= total);
          if (share === 0) continue;
          const value = other * keyWidth + shared;
          for (let index = 0; index < headWidth; index++) mixed[first + index] += share * values[value + index];
        }
        this.tops[(position * layers.length + number) * heads + head] = shares[top] > 0.5 ? top : -1;
        allShares.push(shares);
        hooks.head?.(number, head, position, mixed.subarray(first, first + headWidth));
      }
      watch?.heads?.(mixed);
      watch?.attention?.(allShares);
      const attended = multiply(mixed, layer.attentionOutWeight, layer.attentionOutBias);
      x = x.map((value, index) => value + attended[index]);
      hooks.stream?.(2 * number + 1, position, x);
      watch?.stage?.(layers.length > 1 ? `after attention ${number}` : "after attention", x);
      const again = norm(x, layer.mlpNormGain, layer.mlpNormBias, epsilon);
      const hidden = activate(multiply(again, layer.mlpInWeight, layer.mlpInBias), architecture.activation);
      if (layer.mlpUpWeight) multiply(again, layer.mlpUpWeight).forEach((value, unit) => (hidden[unit] *= value));
      watch?.units?.(hidden);
      const said = multiply(hidden, layer.mlpOutWeight, layer.mlpOutBias);
      x = x.map((value, index) => value + said[index]);
      hooks.stream?.(2 * number + 2, position, x);
      watch?.stage?.(layers.length > 1 ? `after feed-forward ${number}` : "after feed-forward", x);
    });
    const last = norm(x, this.weights.finalNormGain, this.weights.finalNormBias, epsilon);
    const logits = new Float64Array(unembedding.length / width);
    for (let word = 0; word < logits.length; word++) {
      let sum = 0;
      for (let index = 0; index < width; index++) sum += last[index] * unembedding[word * width + index];
      logits[word] = sum;
    }
    return logits;
  }
}

/** The first of the largest. */
export function largest(values: ArrayLike<number>): number {
  let best = 0;
  for (let index = 1; index < values.length; index++) if (values[index] > values[best]) best = index;
  return best;
}

export function largestLooks(shares: ArrayLike<number>, count: number): Look[] {
  const looks: Look[] = [];
  for (let position = 0; position < shares.length; position++) {
    const weight = shares[position];
    if (looks.length === count && weight <= looks[count - 1].weight) continue;
    let place = looks.length;
    while (place > 0 && looks[place - 1].weight < weight) place--;
    looks.splice(place, 0, { position, weight });
    if (looks.length > count) looks.pop();
  }
  return looks;
}

function largestUnits(values: Float64Array): Unit[] {
  const units: Unit[] = [];
  values.forEach((value, unit) => {
    if (Math.abs(value) > 1e-3) units.push({ unit, value });
  });
  units.sort((one, other) => Math.abs(other.value) - Math.abs(one.value) || one.unit - other.unit);
  return units.slice(0, SHOWN_UNITS);
}

function sumWithout(shares: Float64Array, left: number): number {
  let sum = 0;
  for (let position = 0; position < shares.length; position++) if (position !== left) sum += shares[position];
  return sum;
}

export function softmax(logits: number[]): number[] {
  const most = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp(logit - most));
  const total = exponentials.reduce((sum, one) => sum + one, 0);
  return exponentials.map((one) => one / total);
}
