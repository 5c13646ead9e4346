// A netlist laid out in levels, left to right: layers, a place in each, then coordinates.
//
// A wire that passes a layer takes one bend there, shared by all who read it further on, so inputs that are read
// everywhere become rails. dagre, which lays out any graph, takes a minute for 1,400 gates; this takes a tenth of a second.

import { fanInOf, readersOf, type Circuit } from "./circuit";

export interface Layout {
  /** Wires that are shown, with the middle of each; a layer is 1 wide and a gate 1 high. */
  place: Map<number, { x: number; y: number }>;
  /** For each shown wire the height at which it passes each layer after its own, up to its last reader's. */
  rails: Map<number, number[]>;
  layers: number;
  top: number;
  bottom: number;
}

const SWEEPS = 10;
const SETTLINGS = 14;
const BEND_HEIGHT = 0.42;

interface Node {
  wire: number;
  isBend: boolean;
  layer: number;
  before: Node[];
  after: Node[];
  order: number;
  y: number;
}

/** Layers of the wires in a set: as early as possible, but gates that read inputs only as late as possible. */
export function assignLayers(circuit: Circuit, wires: number[]): Map<number, number> {
  const { numInputs } = circuit;
  const shown = new Set(wires);
  const layer = new Map<number, number>();
  const sorted = [...wires].sort((one, other) => one - other);
  for (const wire of sorted) {
    let level = 0;
    if (wire >= numInputs) {
      for (const source of fanInOf(circuit, wire - numInputs)) {
        if (shown.has(source)) level = Math.max(level, layer.get(source)! + 1);
      }
      level = Math.max(level, 1);
    }
    layer.set(wire, level);
  }
  for (const wire of sorted.reverse()) {
    if (wire < numInputs) continue;
    const sources = fanInOf(circuit, wire - numInputs).filter((source) => shown.has(source));
    if (sources.some((source) => source >= numInputs)) continue;
    const readers = readersOf(circuit, wire).filter((gate) => shown.has(numInputs + gate));
    if (readers.length) layer.set(wire, Math.min(...readers.map((gate) => layer.get(numInputs + gate)!)) - 1);
  }
  return layer;
}

export function layOut(circuit: Circuit, wires: number[]): Layout {
  const { numInputs } = circuit;
  const layerOf = assignLayers(circuit, wires);
  const count = wires.length ? Math.max(...layerOf.values()) + 1 : 1;
  const layers: Node[][] = Array.from({ length: count }, () => []);
  const chains = new Map<number, Node[]>();
  for (const wire of wires) {
    const first = layerOf.get(wire)!;
    let last = first;
    for (const gate of readersOf(circuit, wire)) {
      const layer = layerOf.get(numInputs + gate);
      if (layer !== undefined) last = Math.max(last, layer - 1);
    }
    const chain: Node[] = [];
    for (let layer = first; layer <= last; layer++) {
      const node: Node = { wire, isBend: layer > first, layer, before: [], after: [], order: layers[layer].length, y: 0 };
      if (chain.length) link(chain[chain.length - 1], node);
      chain.push(node);
      layers[layer].push(node);
    }
    chains.set(wire, chain);
  }
  for (const wire of wires) {
    if (wire < numInputs) continue;
    const node = chains.get(wire)![0];
    for (const source of fanInOf(circuit, wire - numInputs)) {
      const chain = chains.get(source);
      if (chain) link(chain[node.layer - 1 - chain[0].layer], node);
    }
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (let index = 1; index < count; index++) arrange(layers[index], "before");
    for (let index = count - 2; index >= 0; index--) arrange(layers[index], "after");
  }
  for (const layer of layers) stack(layer);
  for (let round = 0; round < SETTLINGS; round++) {
    const forward = round % 2 === 0;
    for (let index = 0; index < count; index++) settle(layers[forward ? index : count - 1 - index]);
  }
  let top = Infinity;
  let bottom = -Infinity;
  for (const node of layers.flat()) {
    top = Math.min(top, node.y);
    bottom = Math.max(bottom, node.y);
  }
  if (top > bottom) top = bottom = 0;
  const place = new Map<number, { x: number; y: number }>();
  const rails = new Map<number, number[]>();
  for (const [wire, chain] of chains) {
    place.set(wire, { x: chain[0].layer, y: chain[0].y });
    rails.set(wire, chain.slice(1).map((node) => node.y));
  }
  return { place, rails, layers: count, top, bottom };
}

function link(before: Node, after: Node) {
  before.after.push(after);
  after.before.push(before);
}

/** Sorts a layer by where its neighbours on one side stand on average. */
function arrange(layer: Node[], side: "before" | "after") {
  const wanted = new Map<Node, number>();
  for (const node of layer) {
    const neighbours = node[side];
    wanted.set(node, neighbours.length ? mean(neighbours, (one) => one.order) : node.order);
  }
  layer.sort((one, other) => wanted.get(one)! - wanted.get(other)! || one.order - other.order);
  // Places as shares of the layer, so that layers of different sizes compare.
  layer.forEach((node, index) => {
    node.order = (index + 0.5) / layer.length;
  });
}

function mean(nodes: Node[], of: (node: Node) => number): number {
  let sum = 0;
  for (const node of nodes) sum += of(node);
  return sum / nodes.length;
}

function gap(one: Node, other: Node): number {
  if (one.isBend && other.isBend) return BEND_HEIGHT;
  return one.isBend || other.isBend ? 0.75 : 1.15;
}

function stack(layer: Node[]) {
  let height = 0;
  layer.forEach((node, index) => {
    if (index) height += gap(layer[index - 1], node);
    node.y = height;
  });
  for (const node of layer) node.y -= height / 2;
}

/** Moves a layer's nodes as near as may be to their neighbours, in order and a gap apart: least squares, by pooling. */
function settle(layer: Node[]) {
  let offset = 0;
  const blocks: { sum: number; weight: number; from: number }[] = [];
  const offsets: number[] = [];
  layer.forEach((node, index) => {
    if (index) offset += gap(layer[index - 1], node);
    offsets.push(offset);
    const neighbours = [...node.before, ...node.after];
    const weight = node.isBend ? 2 : 1;
    const wanted = neighbours.length ? 0.9 * mean(neighbours, (one) => one.y) + 0.1 * node.y : node.y;
    blocks.push({ sum: weight * (wanted - offset), weight, from: index });
    while (blocks.length > 1) {
      const last = blocks[blocks.length - 1];
      const before = blocks[blocks.length - 2];
      if (before.sum / before.weight <= last.sum / last.weight) break;
      before.sum += last.sum;
      before.weight += last.weight;
      blocks.pop();
    }
  });
  blocks.forEach((block, index) => {
    const to = index + 1 < blocks.length ? blocks[index + 1].from : layer.length;
    for (let place = block.from; place < to; place++) layer[place].y = block.sum / block.weight + offsets[place];
  });
}

/** The wires around a gate: what it reads and who reads it, so many levels each way, at most so many in all. */
export function neighbourhood(circuit: Circuit, wire: number, back = 4, forth = 2, most = 90): number[] {
  const found = new Set([wire]);
  const grow = (next: (wire: number) => number[], rounds: number, limit: number) => {
    let edge = [wire];
    for (let round = 0; round < rounds && edge.length; round++) {
      const grown: number[] = [];
      for (const one of edge) {
        for (const other of next(one)) {
          if (found.size >= limit) return;
          if (!found.has(other)) {
            found.add(other);
            grown.push(other);
          }
        }
      }
      edge = grown;
    }
  };
  const { numInputs } = circuit;
  grow((one) => (one < numInputs ? [] : fanInOf(circuit, one - numInputs)), back, Math.round(most * 0.7));
  grow((one) => readersOf(circuit, one).slice(0, 8).map((gate) => numInputs + gate), forth, most);
  return [...found];
}
