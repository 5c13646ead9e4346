// A model of a task, or two side by side: the strip, the attention of every head as a heat map, what it says and what
// is true.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { prepareCanvas, useWidth } from "./canvas";
import { shorten } from "./circuit";
import { Facts, Transport } from "./controls";
import { percent } from "./directions";
import { Heading } from "./help";
import { Inspector } from "./inspector";
import { UNUSED } from "./intervention";
import { OwnPrompt } from "./own_prompt_form";
import { goTo, type ModelState, type Session } from "./session";
import { Strip } from "./strip";
import { headColour, isDark, palette } from "./theme";
import { WhatIf } from "./what_if";

export function Task({ session }: { session: Session }) {
  const samples = session.models[0].content.samples!;
  const { vocabulary, separator } = session.models[0].content.architecture;
  // Of a prompt of one's own the true tokens may not be known.
  const isKnown = samples[session.sample.value].labels.some((label) => label >= 0);
  return (
    <>
      <div class="bar">
        <section class="words" aria-label="Prompt">
          <Heading title="Question" help="prompt" />
          <label class="word">
            <b>prompt</b>
            <select value={session.sample.value} onChange={(event) => (session.sample.value = Number(event.currentTarget.value))}>
              {samples.map((sample, index) => (
                <option key={index} value={index}>
                  {index + 1}: {shorten(sample.tokens.slice(0, sample.prompt).map((token) => vocabulary[token]).join(separator), 44)}
                </option>
              ))}
            </select>
          </label>
          <OwnPrompt session={session} />
          <div class="segments" role="group" aria-label="What the model reads">
            <button type="button" aria-pressed={session.generates.value} onClick={() => (session.generates.value = true)}>reads its own tokens</button>
            <button type="button" aria-pressed={!session.generates.value} disabled={!isKnown} onClick={() => (session.generates.value = false)}>reads the true tokens</button>
          </div>
        </section>
        <Transport session={session} />
      </div>
      <div class="columns is-even">
        {session.models.map((model, index) => (
          <Side key={index} session={session} model={model} />
        ))}
      </div>
    </>
  );
}

function Side({ session, model }: { session: Session; model: ModelState }) {
  return (
    <article class="column side" aria-label={shorten(model.content.name)}>
      <div class="side-head">
        <h2>{shorten(model.content.name, 40)}</h2>
        <Score session={session} model={model} />
      </div>
      <Facts facts={model.content.facts} origin={model.content.origin} />
      <Strip session={session} model={model} />
      <HeatMaps session={session} model={model} />
      <Inspector session={session} model={model} />
      <WhatIf session={session} model={model} />
    </article>
  );
}

/** How many of the tokens that it is to say it says, and whether the answer is right. */
function Score({ session, model }: { session: Session; model: ModelState }) {
  const thought = model.thought.value;
  const sample = model.content.samples![session.sample.value];
  if (thought.ready.value < thought.tokens.length) return <span class="none">thinking {"\u2026"}</span>;
  const asked = sample.labels.map((label, place) => ({ label, place })).filter(({ label }) => label >= 0);
  if (!asked.length) {
    const { vocabulary, separator } = model.content.architecture;
    const answer = sample.answer.map((place) => vocabulary[thought.said[place]]).join(separator);
    return <span class="score">answer <b data-answer="unknown">{shorten(answer, 40)}</b>; this page does not know the true one</span>;
  }
  const mistakes = asked.filter(({ label, place }) => thought.said[place] !== label);
  const isRight = sample.answer.every((place) => thought.said[place] === sample.labels[place]);
  return (
    <span class="score">
      <span class={isRight ? "verdict is-right" : "verdict is-wrong"} data-answer={isRight ? "right" : "wrong"}>
        {isRight ? "\u2713 answer right" : "\u2717 answer wrong"}
      </span>{" "}
      {mistakes.length ? (
        <button type="button" class="link" onClick={() => goTo(session, mistakes[0].place)}>
          {mistakes.length} of {asked.length} tokens wrong
        </button>
      ) : (
        <span>all {asked.length} tokens right</span>
      )}
    </span>
  );
}

interface Maps {
  maps: Float32Array[][];
  size: number;
}

/** For each layer and head a square: row by row, where each position looks. */
function HeatMaps({ session, model }: { session: Session; model: ModelState }) {
  const thought = model.thought.value;
  const found = useSignal<Maps | null>(null);
  const { layers, heads } = model.content.architecture;
  const size = thought.tokens.length;
  const isReady = thought.ready.value >= size;
  const tooMany = layers * heads * size * size > session.content.max_heat_map!;
  useEffect(() => {
    let isCurrent = true;
    found.value = null;
    if (isReady && !tooMany) {
      thought.heatMaps().then(
        (maps) => {
          if (isCurrent) found.value = { maps, size };
        },
        (error: Error) => (thought.failed.value = error.message),
      );
    }
    return () => {
      isCurrent = false;
    };
  }, [thought, isReady]);
  return (
    <section class="card" aria-label="Attention of every head">
      <Heading title="Attention, head by head" help="heatMaps" />
      {tooMany ? <p class="none">too many positions for heat maps</p> : null}
      <div class="heat-maps">
        {found.value?.maps.flatMap((of, layer) =>
          of.map((map, head) => (
            <HeatMap key={`${layer}.${head}`} session={session} model={model} map={map} size={size} layer={layer} head={head} />
          )),
        )}
      </div>
    </section>
  );
}

interface MapProps {
  session: Session;
  model: ModelState;
  map: Float32Array;
  size: number;
  layer: number;
  head: number;
}

function HeatMap({ session, model, map, size, layer, head }: MapProps) {
  const [reference, width] = useWidth();
  const canvas = useRef<HTMLCanvasElement>(null);
  const pointed = useSignal("");
  const position = Math.min(session.position.value, size - 1);
  const dark = isDark();
  const { vocabulary } = model.content.architecture;
  const { prompt } = model.content.samples![session.sample.value];
  useEffect(() => {
    if (!width) return;
    const context = prepareCanvas(canvas.current!, width, width);
    const colours = palette();
    const cell = width / size;
    context.fillStyle = colours.faint;
    context.globalAlpha = 0.35;
    context.fillRect(0, 0, width, width);
    context.fillStyle = headColour(head);
    for (let row = 0; row < size; row++) {
      for (let column = 0; column <= row; column++) {
        const weight = map[row * size + column];
        if (weight < 0.004) continue;
        context.globalAlpha = weight;
        context.fillRect(column * cell, row * cell, Math.max(1, cell - 0.4), Math.max(1, cell - 0.4));
      }
    }
    context.globalAlpha = 1;
    context.strokeStyle = colours.muted;
    context.lineWidth = 0.5;
    context.beginPath();
    context.moveTo(prompt * cell, 0);
    context.lineTo(prompt * cell, width);
    context.moveTo(0, prompt * cell);
    context.lineTo(width, prompt * cell);
    context.stroke();
    context.strokeStyle = colours.ink;
    context.lineWidth = 1.5;
    context.strokeRect(0.75, position * cell, width - 1.5, Math.max(3, cell));
  }, [map, size, width, position, dark, prompt]);
  const at = (event: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    return {
      row: Math.max(0, Math.min(size - 1, Math.floor(((event.clientY - box.top) / box.height) * size))),
      column: Math.max(0, Math.min(size - 1, Math.floor(((event.clientX - box.left) / box.width) * size))),
    };
  };
  const tokens = model.thought.value.tokens;
  const name = model.content.architecture.layers > 1 ? `layer ${layer}, head ${head}` : `head ${head}`;
  return (
    <figure class="heat-map">
      <figcaption>
        <i class="swatch" style={{ background: headColour(head) }} /> {name}
        {model.content.heads[layer]?.[head] === UNUSED && <b> (unused)</b>}
      </figcaption>
      <div ref={reference}>
        <canvas
          ref={canvas}
          role="img"
          data-layer={layer}
          data-head={head}
          aria-label={`Where ${name} looks: a row for each position, a column for each position before it`}
          onPointerMove={(event) => {
            const { row, column } = at(event);
            pointed.value = column > row ? "" : `${row} \u2192 ${column} (${vocabulary[tokens[column]]}): ${percent(map[row * size + column])}`;
          }}
          onPointerLeave={() => (pointed.value = "")}
          onPointerDown={(event) => {
            session.playing.value = false;
            goTo(session, at(event).row);
          }}
        />
      </div>
      <p class="pointed">{pointed.value || "\u00a0"}</p>
    </figure>
  );
}
