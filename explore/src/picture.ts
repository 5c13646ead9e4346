// How the netlist is drawn on a canvas: wires by their values, gates by theirs, and what the heads look at on top.

import { fanInOf, functionOf, nameOfWire, outputsOfWire, readersOf, shorten, type Circuit } from "./circuit";
import { Layer } from "./canvas";
import type { Layout } from "./layout";
import { SvgPen, type Pen } from "./svg";
import { headColour, HEAD_DASHES, palette } from "./theme";

/** Where a layout's unit lies on the canvas. */
export interface Camera {
  x: number;
  y: number;
  scale: number;
  /** How much further apart rows are than they need be. */
  stretch: number;
}

export const LAYER_WIDTH = 92;
export const ROW_HEIGHT = 26;

/** For each shown wire its pieces, each from one layer to the next, and the reader a piece ends at or -1. */
export interface Piece {
  x: number;
  from: number;
  to: number;
  reader: number;
}

export type Pieces = Map<number, Piece[]>;

export function cutPieces(circuit: Circuit, layout: Layout): Pieces {
  const pieces: Pieces = new Map();
  for (const [wire, { x, y }] of layout.place) {
    const heights = [y, ...layout.rails.get(wire)!];
    const own: Piece[] = [];
    for (let index = 1; index < heights.length; index++) {
      own.push({ x: x + index - 1, from: heights[index - 1], to: heights[index], reader: -1 });
    }
    for (const gate of readersOf(circuit, wire)) {
      const reader = layout.place.get(circuit.numInputs + gate);
      if (!reader) continue;
      own.push({ x: reader.x - 1, from: heights[reader.x - 1 - x] ?? y, to: reader.y, reader: circuit.numInputs + gate });
    }
    pieces.set(wire, own);
  }
  return pieces;
}

export interface Scene {
  circuit: Circuit;
  layout: Layout;
  pieces: Pieces;
  camera: Camera;
  width: number;
  height: number;
  /** A wire's bit in the chain so far, or -1. */
  bitOf: (wire: number) => number;
  /** The wire that is being written, or -1. */
  written: number;
  /** What the heads look at: wires and shares. */
  looks: { head: number; wire: number; weight: number }[];
  selected: number;
}

export function toScreen(camera: Camera, x: number, y: number): [number, number] {
  return [(x * LAYER_WIDTH - camera.x) * camera.scale, (y * ROW_HEIGHT * camera.stretch - camera.y) * camera.scale];
}

/** A camera that shows the whole layout. */
export function fitCamera(layout: Layout, width: number, height: number): Camera {
  const wide = (layout.layers - 1) * LAYER_WIDTH + 104;
  const rows = (layout.bottom - layout.top) * ROW_HEIGHT;
  const scale = Math.min(1.5, width / wide, height / (rows + 56));
  const stretch = rows ? Math.max(1, Math.min(4, (height / scale - 56) / rows)) : 1;
  const high = rows * stretch + 56;
  return {
    scale,
    stretch,
    x: -52 - (width / scale - wide) / 2,
    y: layout.top * ROW_HEIGHT * stretch - 28 - (height / scale - high) / 2,
  };
}

function tracePiece(context: Pen, camera: Camera, piece: Piece) {
  const [x0, y0] = toScreen(camera, piece.x, piece.from);
  const [x1, y1] = toScreen(camera, piece.x + 1, piece.to);
  const middle = (x0 + x1) / 2;
  context.moveTo(x0, y0);
  context.bezierCurveTo(middle, y0, middle, y1, x1, y1);
}

/** What of a scene stays from step to step: its wires and its gates, as drawn with the bits known so far. */
export interface Stage {
  wires: Layer;
  gates: Layer;
}

/** More new bits than this at once, and the whole is drawn anew. */
const MOST_ADDED = 64;

export function drawScene(context: CanvasRenderingContext2D, scene: Scene, stage: Stage) {
  const { width, height } = scene;
  drawStage(scene, stage);
  stage.wires.show(context, width, height);
  drawLooks(context, scene);
  stage.gates.show(context, width, height);
  drawMarked(context, scene);
}

/** The same picture as an SVG. */
export function sceneToSvg(scene: Scene): string {
  const pen = new SvgPen(scene.width, scene.height, palette().paper);
  const wires = [...scene.layout.place.keys()];
  drawWires(pen, scene, wires);
  drawLooks(pen, scene);
  const drawGate = gatePainter(pen, scene);
  for (const wire of wires) drawGate(wire, undefined);
  drawMarked(pen, scene);
  return pen.toString();
}

/** The wires of what is selected and of what the heads look at. */
function drawLooks(context: Pen, scene: Scene) {
  const { layout, pieces, camera, written, looks, selected } = scene;
  const colours = palette();
  const { scale } = camera;
  const trace = (wire: number, toReader: number, colour: string, wide: number, dashes: number[]) => {
    const own = pieces.get(wire) ?? [];
    const last = own.find((piece) => piece.reader === toReader);
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.setLineDash(dashes);
    context.beginPath();
    if (toReader < 0) own.forEach((piece) => tracePiece(context, camera, piece));
    else if (last) {
      own.filter((piece) => piece.reader < 0 && piece.x < last.x).forEach((piece) => tracePiece(context, camera, piece));
      tracePiece(context, camera, last);
    } else {
      // The head looks where no wire leads: straight there.
      const from = layout.place.get(wire);
      const to = layout.place.get(toReader);
      if (from && to) {
        context.moveTo(...toScreen(camera, from.x, from.y));
        context.lineTo(...toScreen(camera, to.x, to.y));
      }
    }
    context.stroke();
    context.setLineDash([]);
  };
  if (selected >= 0) trace(selected, -1, colours.chosen, Math.max(1.5, 3 * scale), []);
  for (const { head, wire, weight } of looks) {
    context.globalAlpha = 0.2 + 0.8 * weight;
    const dashes = HEAD_DASHES[head % HEAD_DASHES.length].map((one) => one * Math.max(0.8, scale));
    trace(wire, written, headColour(head), Math.max(2, 3.4 * scale), dashes);
  }
  context.globalAlpha = 1;
}

/** Brings what stays up to the bits that are known now: only what is new is drawn, over what was unknown there. */
function drawStage(scene: Scene, stage: Stage) {
  const { layout, camera, width, height, bitOf } = scene;
  const colours = palette();
  const { context: onWires, isKept } = stage.wires.prepare(width, height, layout, camera, colours);
  const { context: onGates } = stage.gates.prepare(width, height, layout, camera, colours);
  const shown = [...layout.place.keys()];
  const bits = Int32Array.from(shown, bitOf);
  let changed = shown;
  if (isKept) {
    const before = stage.wires.drawn;
    changed = shown.filter((_, index) => bits[index] !== before[index]);
    if (changed.length > MOST_ADDED || shown.some((_, index) => before[index] >= 0 && bits[index] !== before[index])) {
      stage.wires.wipe(width, height);
      stage.gates.wipe(width, height);
      changed = shown;
    }
  }
  stage.wires.drawn = bits;
  drawWires(onWires, scene, changed);
  const drawGate = gatePainter(onGates, scene);
  for (const wire of changed) drawGate(wire, undefined);
}

function drawWires(context: Pen, scene: Scene, wires: number[]) {
  const { pieces, camera, width, height, bitOf } = scene;
  const colours = palette();
  const { scale } = camera;
  const margin = LAYER_WIDTH * scale;
  const isSeen = (piece: Piece) => {
    const [x0, y0] = toScreen(camera, piece.x, Math.min(piece.from, piece.to));
    const [, y1] = toScreen(camera, 0, Math.max(piece.from, piece.to));
    return x0 > -margin && x0 < width && y1 > -4 && y0 < height + 4;
  };
  const styles = [
    { bit: -1, colour: colours.faint, wide: Math.max(0.5, 1 * scale), alpha: 1 },
    { bit: 0, colour: colours.wire, wide: Math.max(0.5, 1.1 * scale), alpha: 0.75 },
    { bit: 1, colour: colours.ink, wide: Math.max(0.8, 1.9 * scale), alpha: scale < 0.35 ? 0.6 : 0.85 },
  ];
  for (const style of styles) {
    context.strokeStyle = style.colour;
    context.lineWidth = style.wide;
    context.globalAlpha = style.alpha;
    context.beginPath();
    for (const wire of wires) {
      if (bitOf(wire) !== style.bit) continue;
      for (const piece of pieces.get(wire)!) if (isSeen(piece)) tracePiece(context, camera, piece);
    }
    context.stroke();
  }
  context.globalAlpha = 1;
}

interface Mark {
  colour: string;
  wide: number;
  fill?: string;
}

/** Where rows have room, gates of a small picture are drawn larger. */
function gateScale(camera: Camera): number {
  return camera.scale * (camera.stretch > 1.2 && camera.scale < 1 ? 1.32 : 1);
}

/** What draws a wire's gate, or its input, marked or not. */
function gatePainter(context: Pen, scene: Scene): (wire: number, mark: Mark | undefined) => void {
  const { circuit, layout, camera, width, height, bitOf } = scene;
  const colours = palette();
  const scale = gateScale(camera);
  const high = 20 * scale;
  const wide = 50 * scale;
  const detailed = scale > 0.42;
  // What is free between a gate and the next one above it.
  const between = 1.15 * ROW_HEIGHT * camera.scale * camera.stretch - high;
  const family = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace";
  context.textAlign = "center";
  context.textBaseline = "middle";
  return (wire, mark) => {
    const at = layout.place.get(wire)!;
    const [x, y] = toScreen(camera, at.x, at.y);
    if (x < -wide || x > width + wide || y < -high || y > height + high) return;
    const bit = bitOf(wire);
    const isInput = wire < circuit.numInputs;
    context.fillStyle = mark?.fill ?? (bit === 1 ? colours.ink : colours.paper);
    context.strokeStyle = mark?.colour ?? (bit === 0 ? colours.muted : bit === 1 ? colours.ink : colours.wire);
    context.lineWidth = mark?.wide ?? Math.max(0.6, 1.1 * scale);
    // What is not known yet is faint, but no wire shows through it.
    const alpha = bit < 0 && !mark ? 0.55 : 1;
    if (!detailed) {
      const size = Math.max(mark ? 3.2 : 1.5, 7 * scale) * (mark?.fill ? 1.5 : 1);
      context.beginPath();
      context.roundRect(x - size, y - size * 0.8, 2 * size, 1.6 * size, isInput ? size : size / 2);
      context.fill();
      context.globalAlpha = alpha;
      context.stroke();
      context.globalAlpha = 1;
      return;
    }
    context.beginPath();
    context.roundRect(x - wide / 2, y - high / 2, wide, high, isInput ? high / 2 : 4 * scale);
    context.fill();
    context.globalAlpha = alpha;
    context.stroke();
    context.fillStyle = mark?.fill ? "#18212f" : bit === 1 ? colours.paper : bit === 0 ? colours.ink : colours.muted;
    const text = isInput ? nameOfWire(circuit, wire) : functionOf(circuit, wire - circuit.numInputs);
    context.font = `600 ${11 * scale}px ${family}`;
    context.fillText(shorten(text, 7), x, y + 0.5 * scale, wide - 4 * scale);
    const outputs = outputsOfWire(circuit, wire);
    if (outputs.length) {
      context.fillStyle = colours.muted;
      context.beginPath();
      context.moveTo(x + wide / 2 - scale, y - 6 * scale);
      context.lineTo(x + wide / 2 + 7 * scale, y);
      context.lineTo(x + wide / 2 - scale, y + 6 * scale);
      context.closePath();
      context.fill();
    }
    const name = isInput ? outputs[0] : outputs[0] || circuit.names[wire - circuit.numInputs];
    const size = Math.max(7.5, 8.5 * scale);
    const most = LAYER_WIDTH * camera.scale - 8;
    // Above the gate, where there is room for it, and no wider than its column; a rim of paper keeps it apart from wires.
    if (name && between > size + 1 && most > 4 * size) {
      context.font = `400 ${size}px ${family}`;
      context.strokeStyle = colours.paper;
      context.lineWidth = 0.3 * size;
      context.fillStyle = colours.ink;
      const label = shorten(name, 15);
      context.strokeText(label, x, y - high / 2 - 0.6 * size, most);
      context.fillText(label, x, y - high / 2 - 0.6 * size, most);
    }
    context.globalAlpha = 1;
  };
}

/** The gates that the heads look at, the one that is selected, and the one that is being computed, in a glow. */
function drawMarked(context: Pen, scene: Scene) {
  const { layout, camera, written, looks, selected } = scene;
  const colours = palette();
  const scale = gateScale(camera);
  const marks = new Map<number, Mark>();
  for (const { head, wire } of looks) marks.set(wire, { colour: headColour(head), wide: Math.max(1.6, 2.6 * scale) });
  if (selected >= 0) marks.set(selected, { colour: colours.chosen, wide: Math.max(1.8, 3 * scale) });
  if (written >= 0) marks.set(written, { colour: colours.ink, wide: Math.max(1.6, 2.4 * scale), fill: colours.focus });
  const drawGate = gatePainter(context, scene);
  for (const [wire, mark] of marks) {
    const at = layout.place.get(wire);
    if (!at) continue;
    if (mark.fill) {
      const [x, y] = toScreen(camera, at.x, at.y);
      const reach = Math.max(16, 44 * scale);
      const glow = context.createRadialGradient(x, y, 2, x, y, reach);
      glow.addColorStop(0, "rgba(255, 210, 63, 0.9)");
      glow.addColorStop(1, "rgba(255, 210, 63, 0)");
      context.fillStyle = glow;
      context.fillRect(x - reach, y - reach, 2 * reach, 2 * reach);
    }
    drawGate(wire, mark);
  }
}

/** The wire whose gate, or else whose line, is at a place on the canvas; -1 if none is near. */
export function wireAt(scene: Pick<Scene, "layout" | "pieces" | "camera">, x: number, y: number): number {
  const { layout, pieces, camera } = scene;
  const { scale } = camera;
  let best = -1;
  let least = Infinity;
  for (const [wire, at] of layout.place) {
    const [px, py] = toScreen(camera, at.x, at.y);
    const dx = Math.abs(px - x) / Math.max(6, 26 * scale);
    const dy = Math.abs(py - y) / Math.max(6, 11 * scale);
    const distance = Math.max(dx, dy);
    if (distance <= 1 && distance < least) {
      least = distance;
      best = wire;
    }
  }
  if (best >= 0) return best;
  least = 5;
  for (const [wire, own] of pieces) {
    for (const piece of own) {
      const [x0, y0] = toScreen(camera, piece.x, piece.from);
      const [x1, y1] = toScreen(camera, piece.x + 1, piece.to);
      if (x < x0 || x > x1) continue;
      // The height of the curve there: its x and y are cubic in one parameter, found by halving.
      let low = 0;
      let up = 1;
      for (let round = 0; round < 12; round++) {
        const t = (low + up) / 2;
        const along = 1.5 * t * (1 - t) * (1 - t) + 1.5 * t * t * (1 - t) + t * t * t;
        if (along < (x - x0) / (x1 - x0)) low = t;
        else up = t;
      }
      const t = (low + up) / 2;
      const distance = Math.abs(y0 + (y1 - y0) * (3 * t * t - 2 * t * t * t) - y);
      if (distance < least) {
        least = distance;
        best = wire;
      }
    }
  }
  return best;
}

/** The names of a gate's operands, for those who cannot see the picture. */
export function describeFanIn(circuit: Circuit, wire: number): string {
  if (wire < circuit.numInputs) return "";
  return fanInOf(circuit, wire - circuit.numInputs)
    .map((one) => shorten(nameOfWire(circuit, one)))
    .join(" and ");
}
