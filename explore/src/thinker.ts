// Who runs the model: this page, from the weights in it, or the server that the page came from.

import { signal, type Signal } from "@preact/signals";
import { readWeights, Run, type View } from "./forward";
import type { ModelContent } from "./content";
import { SLICE_MILLISECONDS, yieldToPage } from "./slices";

/** A sequence to read: given tokens, and 1 where the model's own token is to be read instead. */
export interface Sequence {
  given: Int32Array;
  made: Uint8Array;
}

/** A sequence that is being read. */
export interface Thought {
  /** The tokens that are read; those that the model makes are there as far as `ready`. */
  tokens: Int32Array;
  /** For each position the token that the model says there. */
  said: Int32Array;
  /** For each position, layer and head the position that got more than half of the attention, or -1. */
  tops: Int32Array;
  /** How many positions have been read. */
  ready: Signal<number>;
  failed: Signal<string>;
  /** How long reading them took so far. */
  milliseconds: Signal<number>;
  /** The run itself, where this page makes it. */
  run?: Run;
  view(position: number): View | Promise<View>;
  /** All attention weights: for each layer and head the rows of all positions, one after another. */
  heatMaps(): Promise<Float32Array[][]>;
  stop(): void;
}

export interface Thinker {
  begin(sequence: Sequence): Thought;
}

const TELLING_MILLISECONDS = 120;

export async function localThinker(model: ModelContent): Promise<Thinker> {
  const weights = await readWeights(model);
  return {
    begin(sequence) {
      const { given, made } = sequence;
      const run = new Run(weights, given.length);
      let stopped = false;
      const thought: Thought = {
        tokens: run.tokens,
        said: new Int32Array(given.length),
        tops: run.tops,
        ready: signal(0),
        failed: signal(""),
        milliseconds: signal(0),
        run,
        view: (position) => run.view(position),
        heatMaps: async () => {
          const { layers, heads } = weights.architecture;
          const size = given.length;
          const maps = Array.from({ length: layers }, () =>
            Array.from({ length: heads }, () => new Float32Array(size * size)),
          );
          for (let position = 0; position < run.length; position++) {
            run.shares(position).forEach((of, layer) =>
              of.forEach((shares, head) => maps[layer][head].set(shares, position * size)),
            );
          }
          return maps;
        },
        stop: () => {
          stopped = true;
        },
      };
      const readSlice = () => {
        const started = performance.now();
        while (run.length < given.length && performance.now() - started < SLICE_MILLISECONDS) {
          const position = run.length;
          thought.said[position] = made[position] ? run.readOwn() : run.read(given[position]);
        }
        milliseconds += performance.now() - started;
        // The page is drawn anew at each of these, so there are few.
        if (run.length === given.length || started > told + TELLING_MILLISECONDS) {
          told = started;
          thought.milliseconds.value = milliseconds;
          thought.ready.value = run.length;
        }
      };
      let milliseconds = 0;
      let told = -Infinity;
      readSlice();
      void (async () => {
        while (run.length < given.length) {
          await yieldToPage();
          if (stopped) return;
          readSlice();
        }
      })();
      return thought;
    },
  };
}

export async function ask<T>(path: string, body?: unknown): Promise<T> {
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `the server says ${response.status}`);
  return answer as T;
}

interface Answer {
  run: number;
  tokens: number[];
  said: number[];
  tops: number[];
  milliseconds: number;
}

export function remoteThinker(index: number, model: ModelContent): Thinker {
  const { layers, heads } = model.architecture;
  return {
    begin(sequence) {
      const { given, made } = sequence;
      const thought: Thought = {
        tokens: new Int32Array(given.length),
        said: new Int32Array(given.length),
        tops: new Int32Array(given.length * layers * heads).fill(-1),
        ready: signal(0),
        failed: signal(""),
        milliseconds: signal(0),
        view: async (position) => ask<View>(`api/view?run=${await started}&position=${position}`),
        heatMaps: async () => {
          const answer = await ask<{ rows: number[][][] }>(`api/attention?run=${await started}`);
          return answer.rows.map((heads) => heads.map((rows) => Float32Array.from(rows)));
        },
        stop: () => {},
      };
      // -1 where the model is to read its own token.
      const body = { model: index, tokens: Array.from(given, (token, place) => (made[place] ? -1 : token)) };
      const started = ask<Answer>("api/run", body).then(
        (answer) => {
          thought.tokens.set(answer.tokens);
          thought.said.set(answer.said);
          thought.tops.set(answer.tops);
          thought.milliseconds.value = answer.milliseconds;
          thought.ready.value = answer.tokens.length;
          return answer.run;
        },
      );
      started.catch((error: Error) => {
        thought.failed.value = `${model.name}: ${error.message}`;
      });
      return thought;
    },
  };
}
