// The chain of thought as a strip: all of it in small with arcs to where the heads look, and the tokens around the
// present one to read and to click.

import { useComputed } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Layer, prepareCanvas, useWidth } from "./canvas";
import { meaningOf, nameOfWire, shorten, type Circuit } from "./circuit";
import { Heading } from "./help";
import { goTo, step, type ModelState, type Session } from "./session";
import { headColour, HEAD_DASHES, palette } from "./theme";

const ARC_HEIGHT = 96;
const CELL_HEIGHT = 14;
/** Fainter arcs for what was thought before, at most so many and a block. */
const MOST_PAST_ARCS = 6000;
const BLOCK = 1024;
const MOST_BUTTONS = 400;

export function Strip({ session, model }: { session: Session; model: ModelState }) {
  const [reference, width] = useWidth();
  const thought = model.thought.value;
  const ready = useComputed(() => Math.min(model.thought.value.ready.value, session.position.value + 64)).value;
  const position = Math.min(session.position.value, thought.tokens.length - 1);
  return (
    <section class="strip" aria-label={`Chain of thought of ${shorten(model.content.name)}`}>
      <Heading title="Chain of thought" help="strip" />
      <div class="strip-arcs" ref={reference}>
        {width > 0 && <Arcs session={session} model={model} width={width} position={position} ready={ready} />}
      </div>
      {width > 0 && <Tokens session={session} model={model} width={width} position={position} ready={ready} />}
    </section>
  );
}

interface Part {
  session: Session;
  model: ModelState;
  width: number;
  position: number;
  ready: number;
}

function Arcs({ session, model, width, position, ready }: Part) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const past = useRef<Layer[]>([]);
  const thought = model.thought.value;
  const view = model.view.value;
  const count = thought.tokens.length + 1;
  const cell = width / count;
  const { layers, heads } = model.content.architecture;
  const colours = palette();
  const selected = session.selected.value;
  useEffect(() => {
    const context = prepareCanvas(canvas.current!, width, ARC_HEIGHT + CELL_HEIGHT);
    const middle = (place: number) => (place + 0.5) * cell;
    const arc = (on: CanvasRenderingContext2D, from: number, to: number) => {
      const start = middle(from);
      const end = middle(to);
      const high = Math.min(ARC_HEIGHT - 4, 8 + 1.25 * ARC_HEIGHT * Math.sqrt(Math.abs(start - end) / width));
      on.moveTo(start, ARC_HEIGHT);
      if (from === to) on.ellipse(start, ARC_HEIGHT - 5, 3, 5, 0, Math.PI / 2, 2.5 * Math.PI);
      else on.bezierCurveTo(start, ARC_HEIGHT - 1.33 * high, end, ARC_HEIGHT - 1.33 * high, end, ARC_HEIGHT);
    };
    // Arcs of the past lie on a layer for each head, to which a step adds its own; they are faint only when shown.
    const oldest = position - Math.floor(MOST_PAST_ARCS / (layers * heads));
    const start = Math.max(session.first.value, BLOCK * Math.floor(oldest / BLOCK));
    const end = Math.max(start, Math.min(position, ready));
    context.globalAlpha = Math.max(0.03, Math.min(0.22, 24 / (position - session.first.value + 1)));
    for (let head = 0; head < heads; head++) {
      const layer = (past.current[head] ??= new Layer());
      let { context: on, isKept } = layer.prepare(width, ARC_HEIGHT, cell, thought, colours, start);
      if (isKept && layer.drawn[0] > end) {
        layer.wipe(width, ARC_HEIGHT);
        isKept = false;
      }
      on.strokeStyle = headColour(head);
      on.lineWidth = 1;
      on.beginPath();
      for (let one = isKept ? layer.drawn[0] : start; one < end; one++) {
        for (let depth = 0; depth < layers; depth++) {
          const top = thought.tops[(one * layers + depth) * heads + head];
          if (top >= 0) arc(on, one, top);
        }
      }
      on.stroke();
      layer.drawn = Int32Array.of(end);
      layer.show(context, width, ARC_HEIGHT);
    }
    context.globalAlpha = 1;
    // Tokens: full for 1, low for 0 of a circuit; for a task all alike, but what is still to come is hollow.
    const shown = Math.min(ready, position + 2);
    const gap = cell > 4 ? 1 : 0;
    // Of very many tokens as many as there is room for.
    const stride = Math.max(1, Math.floor(count / (2 * width)));
    for (let place = 0; place < count; place += stride) {
      const known = place < shown || place <= position || (place === position + 1 && ready > position);
      const token = place < thought.tokens.length ? thought.tokens[place] : thought.said[place - 1];
      const low = session.circuit ? token !== 1 : false;
      context.fillStyle = !known ? colours.faint : low ? colours.wire : colours.ink;
      const high = !known ? 3 : low ? 5 : CELL_HEIGHT - 3;
      context.fillRect(place * cell, ARC_HEIGHT + CELL_HEIGHT - high, Math.max(0.6, cell - gap), high);
    }
    if (selected >= 0) {
      context.fillStyle = colours.chosen;
      context.fillRect(middle(selected) - 1.5, ARC_HEIGHT - 4, 3, CELL_HEIGHT + 4);
    }
    context.fillStyle = colours.focus;
    context.strokeStyle = colours.ink;
    context.lineWidth = 1;
    const wide = Math.max(5, cell - gap);
    context.fillRect(middle(position + 1) - wide / 2, ARC_HEIGHT + 1, wide, CELL_HEIGHT - 1);
    context.strokeRect(middle(position + 1) - wide / 2, ARC_HEIGHT + 1, wide, CELL_HEIGHT - 1.5);
    if (view?.position === position) {
      for (let layer = 0; layer < view.attention.length; layer++) {
        view.attention[layer].forEach((looks, head) => {
          context.strokeStyle = headColour(head);
          context.fillStyle = headColour(head);
          context.setLineDash(HEAD_DASHES[head % HEAD_DASHES.length]);
          for (const look of looks) {
            if (look.weight < 0.02) break;
            context.globalAlpha = 0.15 + 0.85 * look.weight;
            context.lineWidth = 0.75 + 1.75 * look.weight;
            context.beginPath();
            arc(context, position, look.position);
            context.stroke();
            context.beginPath();
            context.arc(middle(look.position), ARC_HEIGHT, 1.5 + 2 * look.weight, 0, 2 * Math.PI);
            context.fill();
          }
          context.setLineDash([]);
        });
      }
      context.globalAlpha = 1;
    }
  }, [width, position, ready, view, thought, colours, selected]);
  const scrub = (event: PointerEvent) => {
    if (!(event.buttons & 1)) return;
    const box = canvas.current!.getBoundingClientRect();
    session.playing.value = false;
    goTo(session, Math.floor((event.clientX - box.left) / cell) - 1);
  };
  return (
    <>
      <canvas
        ref={canvas}
        class="arcs"
        role="img"
        aria-label="Arcs from the token that is thought about to the tokens that the heads look at"
        onPointerDown={(event) => {
          (event.currentTarget as HTMLCanvasElement).setPointerCapture(event.pointerId);
          scrub(event);
        }}
        onPointerMove={scrub}
      />
    </>
  );
}

function Tokens({ session, model, width, position, ready }: Part) {
  const { circuit } = session;
  const thought = model.thought.value;
  const { vocabulary } = model.content.architecture;
  const count = thought.tokens.length + 1;
  const longest = useMemo(() => Math.max(...vocabulary.filter((one) => one !== "<unk>").map((one) => one.length)), [vocabulary]);
  // Names below the tokens of a circuit have up to five characters.
  const longestName = useMemo(() => (circuit ? longestTokenName(circuit) : 0), [circuit]);
  const cell = circuit ? Math.max(26, 8 + 6 * longestName) : 20 + 8 * Math.min(6, longest);
  const wraps = !circuit && count <= MOST_BUTTONS;
  const room = wraps ? count : Math.max(3, Math.floor(width / cell));
  const start = Math.max(0, Math.min(count - room, position + 1 - Math.floor(room * 0.6)));
  const end = Math.min(count, start + room);
  const sample = model.content.samples?.[session.sample.value];
  const looks = new Map<number, { head: number; weight: number }[]>();
  if (model.view.value?.position === position) {
    for (const heads of model.view.value.attention) {
      heads.forEach((of, head) => {
        for (const look of of) {
          if (look.weight < 0.05) break;
          looks.set(look.position, [...(looks.get(look.position) ?? []), { head, weight: look.weight }]);
        }
      });
    }
  }
  const cells = [];
  for (let place = start; place < end; place++) {
    const token = place < ready ? thought.tokens[place] : place === ready && place > 0 ? thought.said[place - 1] : -1;
    const isHidden = place > position + 1 && (circuit !== null || (session.generates.value && (sample!.made[place] ?? 1) === 1));
    const said = place > 0 && place - 1 < ready ? thought.said[place - 1] : -1;
    const label = sample && place > 0 ? sample.labels[place - 1] : -1;
    const wrong = label >= 0 && said >= 0 && said !== label && !(place > position + 1);
    const classes = ["token"];
    if (place === position + 1) classes.push("is-written");
    if (place === position) classes.push("is-reading");
    if (place === session.selected.value) classes.push("is-selected");
    if (circuit && token === 1 && !isHidden) classes.push("is-one");
    if (isHidden) classes.push("is-hidden");
    if (wrong) classes.push("is-wrong");
    if (place < session.first.value) classes.push("is-given");
    // Of a task the token that stands is the one that is read; where the model says another, both are shown.
    const text = token < 0 || isHidden ? "\u00b7" : vocabulary[token];
    const name = circuit ? describePosition(circuit, place) : label >= 0 ? "said" : "given";
    const below = circuit
      ? tokenName(name)
      : wrong
        ? `\u2717 ${shorten(vocabulary[said], 6)}, not ${shorten(vocabulary[label], 6)}`
        : label >= 0 && place <= position + 1
          ? "\u2713"
          : "";
    const at = looks.get(place) ?? [];
    cells.push(
      <button
        key={place}
        type="button"
        class={classes.join(" ")}
        data-position={place}
        aria-current={place === position + 1 ? "true" : undefined}
        aria-label={`${shorten(text, 8)} ${below}, position ${place}, ${shorten(name)}${wrong ? ", a mistake" : ""}`}
        title={shorten(name, 60)}
        style={circuit ? { width: `${cell - 2}px` } : { minWidth: `${cell - 6}px` }}
        onClick={() => {
          session.selected.value = place;
          if (!circuit) {
            session.playing.value = false;
            goTo(session, place - 1);
          }
        }}
        onDblClick={() => {
          session.playing.value = false;
          goTo(session, place - 1);
        }}
      >
        {at.length > 0 && (
          <span class="token-heads">
            {at.map(({ head, weight }, index) => (
              <i key={index} style={{ background: headColour(head), opacity: 0.3 + 0.7 * weight }} />
            ))}
          </span>
        )}
        <span class="token-text">{shorten(text, 8)}</span>{" "}
        <span class="token-name">{below}</span>
      </button>,
    );
  }
  return (
    <div
      class={wraps ? "tokens is-wrapping" : "tokens"}
      role="group"
      aria-label="Tokens"
      onWheel={(event) => {
        if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) step(session, Math.sign(event.deltaX) * 3);
      }}
    >
      {cells}
    </div>
  );
}

/** What fits below a token: `p[12]` for `product[12]`. */
function tokenName(name: string): string {
  const bit = /^(.).*(\[\d+\])$/su.exec(name);
  return shorten(name.length > 5 && bit ? bit[1] + bit[2] : name, 5);
}

/** How long the names below tokens are at most; of very many tokens the first are looked at. */
function longestTokenName(circuit: Circuit): number {
  const count = Math.min(2000, circuit.numInputs + 1 + circuit.chainWire.length);
  let longest = 0;
  for (let place = 0; place < count; place++) longest = Math.max(longest, [...tokenName(describePosition(circuit, place))].length);
  return longest;
}

/** What the token at a position stands for, in few words. */
export function describePosition(circuit: Circuit, position: number): string {
  const meaning = meaningOf(circuit, position);
  if (meaning.kind === "equals") return "=";
  if (meaning.kind === "end") return "end";
  if (meaning.kind === "copy") return meaning.outputs[0] ?? "copy";
  return meaning.outputs[0] ?? nameOfWire(circuit, meaning.wire);
}
