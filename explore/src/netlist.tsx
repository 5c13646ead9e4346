// The netlist: a canvas with the circuit in levels, which can be moved, enlarged, clicked and searched.

import { signal, useComputed } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Layer, prepareCanvas, useWidth } from "./canvas";
import { meaningOf, nameOfWire, positionOfWire, shorten, type Circuit } from "./circuit";
import { Heading } from "./help";
import { layOut, neighbourhood } from "./layout";
import { cutPieces, describeFanIn, drawScene, fitCamera, LAYER_WIDTH, ROW_HEIGHT, sceneToSvg, wireAt, type Camera, type Scene, type Stage } from "./picture";
import { goTo, selectWire, type Session } from "./session";
import { download } from "./svg";
import { isDark } from "./theme";

/** Beyond so many gates there is no picture of the whole. */
export const MOST_WHOLE = 2000;

type Mode = "whole" | "follow" | "around";

const mode = signal<Mode | null>(null);
const moved = signal<Camera | null>(null);

export function Netlist({ session }: { session: Session }) {
  const circuit = session.circuit!;
  const [reference, width] = useWidth();
  const canvas = useRef<HTMLCanvasElement>(null);
  const height = width < 500 ? 300 : 420;
  const canShowAll = circuit.numGates <= MOST_WHOLE;
  const chosen: Mode = mode.value ?? (canShowAll ? "whole" : "around");
  const model = session.models[0];
  const thought = model.thought.value;
  const shown = useComputed(() => Math.min(model.thought.value.ready.value, session.position.value + 2)).value;
  const position = session.position.value;
  const meaning = meaningOf(circuit, position + 1);
  const written = meaning.wire;
  const selection = session.selected.value;
  const selected = selection >= 0 ? meaningOf(circuit, selection).wire : -1;
  // The neighbourhood is of what is selected, if anything is, so that a search shows what it found.
  const centre = selected >= 0 ? selected : written >= 0 ? written : circuit.outputWires[circuit.outputWires.length - 1] ?? 0;
  const key = chosen === "around" ? centre : -1;
  const picture = useMemo(() => {
    const wires =
      chosen === "around"
        ? neighbourhood(circuit, centre)
        : Array.from({ length: circuit.numInputs + circuit.numGates }, (_, wire) => wire);
    const layout = layOut(circuit, wires);
    return { layout, pieces: cutPieces(circuit, layout) };
  }, [circuit, chosen, key]);
  const camera = useMemo((): Camera => {
    if (moved.value && chosen !== "around") return moved.value;
    const fitted = fitCamera(picture.layout, Math.max(width, 1), height);
    if (chosen !== "follow") return fitted;
    const at = picture.layout.place.get(centre) ?? { x: 0, y: 0 };
    return { scale: 0.9, stretch: 1, x: at.x * LAYER_WIDTH - (0.62 * width) / 0.9, y: at.y * ROW_HEIGHT - (0.5 * height) / 0.9 };
  }, [picture, width, height, chosen, moved.value, chosen === "follow" ? centre : -1]);
  const view = model.view.value;
  const dark = isDark();
  const scene = useRef<Scene | null>(null);
  const stage = useRef<Stage>({ wires: new Layer(), gates: new Layer() });
  useEffect(() => {
    if (!width) return;
    scene.current = {
      circuit,
      ...picture,
      camera,
      width,
      height,
      bitOf: (wire) => {
        const place = positionOfWire(circuit, wire);
        if (place > position) return place === position + 1 && shown > position ? thought.said[position] : -1;
        return place < shown ? thought.tokens[place] : -1;
      },
      written,
      looks:
        view?.position === position && meaning.kind !== "end"
          ? view.attention
              .flatMap((heads) => heads.flatMap((looks, head) => looks.filter((look) => look.weight > 0.02).map((look) => ({ head, wire: meaningOf(circuit, look.position).wire, weight: look.weight }))))
              .filter((look) => look.wire >= 0)
          : [],
      selected,
    };
    drawScene(prepareCanvas(canvas.current!, width, height), scene.current, stage.current);
  }, [circuit, picture, camera, width, height, position, shown, thought, written, view, selected, dark]);
  const drag = useRef<{ x: number; y: number; camera: Camera; moved: boolean } | null>(null);
  const zoom = (factor: number, x = width / 2, y = height / 2) => {
    const from = camera;
    const scale = Math.max(0.04, Math.min(3, from.scale * factor));
    if (chosen === "around") return;
    moved.value = { ...from, scale, x: from.x + x / from.scale - x / scale, y: from.y + y / from.scale - y / scale };
  };
  const setMode = (next: Mode) => {
    moved.value = null;
    mode.value = next;
  };
  return (
    <section class="card netlist" aria-label="Circuit">
      <div class="card-head">
        <Heading title="Circuit" help="circuit">
        <div class="segments" role="group" aria-label="What is shown">
          {(["whole", "follow", "around"] as const).map((one) => (
            <button
              key={one}
              type="button"
              aria-pressed={chosen === one && !(moved.value && one !== "around")}
              disabled={one !== "around" && !canShowAll}
              onClick={() => setMode(one)}
            >
              {{ whole: "Whole", follow: "Follow", around: "Around the gate" }[one]}
            </button>
          ))}
        </div>
        <div class="segments" role="group" aria-label="Zoom">
          <button type="button" aria-label="Larger" disabled={chosen === "around"} onClick={() => zoom(1.4)}>+</button>
          <button type="button" aria-label="Smaller" disabled={chosen === "around"} onClick={() => zoom(1 / 1.4)}>{"\u2212"}</button>
        </div>
        <div class="segments" role="group" aria-label="Save the picture">
          <button type="button" onClick={() => scene.current && download(new Blob([sceneToSvg(scene.current)], { type: "image/svg+xml" }), "circuit.svg")}>SVG</button>
          <button type="button" onClick={() => canvas.current!.toBlob((blob) => blob && download(blob, "circuit.png"))}>PNG</button>
        </div>
        <Search session={session} circuit={circuit} />
        </Heading>
      </div>
      <div class="canvas-frame" ref={reference}>
        <canvas
          ref={canvas}
          role="img"
          data-scene={chosen}
          aria-label={`The netlist in ${picture.layout.layers} levels. ${written >= 0 ? `Lit: ${shorten(nameOfWire(circuit, written))}${written >= circuit.numInputs ? `, which reads ${describeFanIn(circuit, written) || "nothing"}` : ""}.` : ""}`}
          style={{ height: `${height}px` }}
          onPointerDown={(event) => {
            drag.current = { x: event.clientX, y: event.clientY, camera, moved: false };
            (event.currentTarget as HTMLCanvasElement).setPointerCapture(event.pointerId);
          }}
          onPointerMove={(event) => {
            const from = drag.current;
            if (!from || chosen === "around") return;
            const dx = event.clientX - from.x;
            const dy = event.clientY - from.y;
            if (!from.moved && Math.abs(dx) + Math.abs(dy) < 5) return;
            from.moved = true;
            moved.value = { ...from.camera, x: from.camera.x - dx / from.camera.scale, y: from.camera.y - dy / from.camera.scale };
          }}
          onPointerUp={(event) => {
            const from = drag.current;
            drag.current = null;
            if (!from || from.moved || !scene.current) return;
            const box = canvas.current!.getBoundingClientRect();
            const wire = wireAt(scene.current, event.clientX - box.left, event.clientY - box.top);
            if (wire >= 0) selectWire(session, wire);
            else session.selected.value = -1;
          }}
          onWheel={(event) => {
            if (!event.ctrlKey && !event.metaKey) return;
            event.preventDefault();
            const box = canvas.current!.getBoundingClientRect();
            zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
          }}
        />
      </div>
      <p class="legend">
        <span><i class="chip is-one" /> 1</span>
        <span><i class="chip is-zero" /> 0</span>
        <span><i class="chip is-unknown" /> not thought yet</span>
        <span><i class="chip is-written" /> being written</span>
        <span><i class="output-mark">{"\u25b6"}</i> output</span>
        {circuit.numGates > MOST_WHOLE && <span>{circuit.numGates.toLocaleString("en")} gates: the neighbourhood is shown</span>}
      </p>
    </section>
  );
}

const query = signal("");

/** Positions whose names contain a text, or whose number it is; exact names first. */
export function findPositions(circuit: Circuit, text: string, most = 8): number[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const total = circuit.numInputs + 1 + circuit.chainWire.length;
  const exact: number[] = [];
  const parts: number[] = [];
  if (/^\d+$/.test(wanted) && Number(wanted) < total) exact.push(Number(wanted));
  const token = /^t(\d+)$/.exec(wanted);
  if (token && Number(token[1]) < circuit.chainWire.length) exact.push(circuit.numInputs + 1 + Number(token[1]));
  for (let position = 0; position < total && exact.length < most; position++) {
    const meaning = meaningOf(circuit, position);
    if (meaning.wire < 0) continue;
    for (const name of [nameOfWire(circuit, meaning.wire), ...meaning.outputs]) {
      const lower = name.toLowerCase();
      if (lower === wanted) exact.push(position);
      else if (parts.length < most && lower.includes(wanted)) parts.push(position);
      else continue;
      break;
    }
  }
  return [...new Set([...exact, ...parts])].slice(0, most);
}

function Search({ session, circuit }: { session: Session; circuit: Circuit }) {
  const found = findPositions(circuit, query.value);
  const take = (position: number) => {
    session.playing.value = false;
    session.selected.value = position;
    goTo(session, position - 1);
    query.value = "";
    moved.value = null;
  };
  return (
    <div class="search">
      <input
        id="search"
        type="search"
        placeholder="Find a wire ( / )"
        aria-label="Find a wire by its name, a position by its number, a chain token by t and its number"
        value={query.value}
        onInput={(event) => {
          query.value = event.currentTarget.value;
        }}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Enter" && found.length) {
            take(found[0]);
            event.currentTarget.blur();
          }
          if (event.key === "Escape") {
            query.value = "";
            event.currentTarget.blur();
          }
        }}
      />
      {query.value.trim() !== "" && (
        <ul class="found">
          {found.map((position) => {
            const meaning = meaningOf(circuit, position);
            return (
              <li key={position}>
                <button type="button" onClick={() => take(position)}>
                  {shorten(meaning.wire < 0 ? "=" : (meaning.outputs[0] ?? nameOfWire(circuit, meaning.wire)))} <small>position {position}</small>
                </button>
              </li>
            );
          })}
          {!found.length && <li class="none">no wire or token with that name</li>}
        </ul>
      )}
    </div>
  );
}
