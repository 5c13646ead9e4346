// "What if?" on the page of a model without a chain: one intervention, computed from the weights below the grid.

import { explainHeadings } from "./columns_help";
import type { ModelContent } from "./content";
import { readWeights, Run, type Weights } from "./forward";
import { describe, intervene, KINDS, partName, UNUSED, type Intervention, type Kind } from "./intervention";
import type { Sequence } from "./thinker";
import { expectedInColumns, UNKNOWN, type Columns } from "./truth";
import "./columns.css";

interface Content {
  /** Of a task the tokens of each input are there; those of a circuit follow from its columns. */
  depth: { names: string[]; kinds: string[]; held: string[][]; tokens?: string[][] };
  inputs: string[];
  model: Model | { problem: string };
}

/** Of a circuit with its gates as columns. */
type Model = ModelContent & { reads?: number[][]; tables?: string[] };

function make<Name extends keyof HTMLElementTagNameMap>(name: Name, text = "", attributes: Record<string, string> = {}) {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function choice(field: string, label: string, options: string[], controls: HTMLElement) {
  const select = make("select", "", { "data-field": field });
  options.forEach((text, index) => select.append(make("option", text, { value: String(index) })));
  const wrapped = make("label", `${label} `);
  wrapped.append(select);
  controls.append(wrapped);
  return { select, wrapped };
}

function show(content: Content, page: HTMLElement) {
  const panel = make("section", "", { class: "what-if", "aria-label": "What if?" });
  panel.append(make("h2", "What if?"));
  page.append(panel);
  explainHeadings(page, content.depth.tokens !== undefined);
  const { model, depth } = content;
  if ("problem" in model) {
    panel.append(make("p", `This page cannot intervene on the model: ${model.problem}.`));
    return;
  }
  panel.append(
    make(
      "p",
      `Change one thing inside the model on the chosen input. The table shows which tokens of the answer change${depth.tokens ? "" : ", and which must change by the circuit"}.`,
    ),
  );
  const { layers, heads } = model.architecture;
  const controls = make("div", "", { class: "controls" });
  const kind = choice("kind", "Change", KINDS.map(([one, words]) => (one === "token" && depth.tokens ? "replace a token" : words)), controls);
  const layer = choice("layer", "Layer", Array.from({ length: layers }, (_, index) => String(index + 1)), controls);
  const head = choice("head", "Head", Array.from({ length: heads }, (_, index) => String(index + 1)), controls);
  const part = choice("part", "Where", Array.from({ length: 2 * layers + 1 }, (_, index) => partName(index, 1)), controls);
  const position = choice("position", "Position", depth.names, controls);
  const token = choice("token", "Becomes", depth.tokens ? model.architecture.vocabulary : [], controls);
  const second = choice("second", "Second input", content.inputs.map((text) => text || "no inputs"), controls);
  const button = make("button", "Run", { type: "button" });
  controls.append(button);
  const result = make("div", "", { "aria-live": "polite" });
  panel.append(controls, result);
  const chosen = () => KINDS[kind.select.selectedIndex][0];
  let wanted = 0;
  const clear = () => {
    wanted++;
    result.replaceChildren();
  };
  const arrange = () => {
    const of: Record<Kind, HTMLElement[]> = {
      zero: [layer.wrapped, head.wrapped],
      mean: [layer.wrapped, head.wrapped],
      head: [layer.wrapped, head.wrapped, position.wrapped, second.wrapped],
      residual: [part.wrapped, position.wrapped, second.wrapped],
      token: depth.tokens ? [position.wrapped, token.wrapped] : [position.wrapped],
    };
    for (const one of [layer, head, part, position, token, second]) one.wrapped.hidden = !of[chosen()].includes(one.wrapped);
    clear();
  };
  controls.addEventListener("change", arrange);
  document.getElementById("input")!.addEventListener("change", clear);
  arrange();
  let weights: Promise<Weights> | null = null;
  button.addEventListener("click", () => {
    const intervention: Intervention = {
      kind: chosen(),
      layer: layer.select.selectedIndex,
      head: head.select.selectedIndex,
      part: part.select.selectedIndex,
      position: position.select.selectedIndex,
      token: Math.max(0, token.select.selectedIndex),
    };
    const mine = ++wanted;
    void (async () => {
      weights ??= readWeights(model);
      const input = Number((document.getElementById("input") as HTMLSelectElement).value);
      const shown = await run(content, model, await weights, intervention, input, second.select.selectedIndex, () => mine === wanted);
      if (mine === wanted && shown) result.replaceChildren(...shown);
    })();
  });
}

/** The prompt of an input, and room for the answer that the model makes. */
function sequenceOf(content: Content, vocabulary: string[], input: number): Sequence {
  const { kinds, held, tokens } = content.depth;
  if (tokens) {
    const texts = tokens[input].filter((text) => text !== " ");
    const first = texts.indexOf("=") + 1;
    return { given: Int32Array.from(texts, (text) => vocabulary.indexOf(text)), made: Uint8Array.from(texts, (_, place) => (place < first ? 0 : 1)) };
  }
  const given = kinds.map((one, position) => (one === "input" ? Number(held[input][0][position]) : vocabulary.indexOf(one === "gate" ? "." : "=")));
  return { given: Int32Array.from(given), made: Uint8Array.from(kinds, (one) => (one === "answer" ? 1 : 0)) };
}

async function run(
  content: Content,
  model: Model,
  weights: Weights,
  intervention: Intervention,
  input: number,
  second: number,
  isWanted: () => boolean,
): Promise<HTMLElement[] | null> {
  const { depth } = content;
  const { vocabulary, layers } = model.architecture;
  const sequence = sequenceOf(content, vocabulary, input);
  const { kind, position } = intervention;
  const first = sequence.given.indexOf(vocabulary.indexOf("="));
  const clean = new Run(weights, sequence.given.length);
  const cleanSaid = new Int32Array(sequence.given.length);
  sequence.given.forEach((token, place) => {
    cleanSaid[place] = sequence.made[place] ? clean.readOwn() : clean.read(token);
  });
  if (position >= sequence.given.length) return [make("p", `This input has ${sequence.given.length} positions.`, { role: "alert" })];
  if (kind === "token" && !depth.tokens) {
    if (clean.tokens[position] > 1) return [make("p", `${depth.names[position]} holds "${vocabulary[clean.tokens[position]]}", which is not a bit.`, { role: "alert" })];
    intervention.token = 1 - clean.tokens[position];
  }
  const other = kind === "head" || kind === "residual" ? sequenceOf(content, vocabulary, second) : null;
  if (other && other.given.length !== sequence.given.length) {
    return [make("p", "The second input has another number of tokens; both must have the same.", { role: "alert" })];
  }
  const found = await intervene({ weights, sequence, clean, first, other }, intervention, isWanted);
  if (!found) return null;
  const words = describe(intervention, (place) => depth.names[place], 1);
  if (!model.reads || !model.tables) return draw(depth.names, vocabulary, words, first, cleanSaid, found.said, null);
  const columns: Columns = { layers, reads: model.reads, tables: model.tables };
  const facts = { isUsed: (layer: number, head: number) => model.heads[layer]?.[head] !== UNUSED, isMixed: model.mixed };
  const expected = expectedInColumns(columns, facts, intervention, found.tokens, found.other);
  return draw(depth.names, vocabulary, words, first, cleanSaid, found.said, expected);
}

function draw(names: string[], vocabulary: string[], words: string, first: number, clean: Int32Array, said: Int32Array, expected: number[] | null): HTMLElement[] {
  const table = make("table", "", { "aria-label": "What is written", class: "outcome" });
  const row = (cells: string[], name: "th" | "td", marked = false) => {
    const line = make("tr", "", marked ? { class: "is-changed" } : {});
    cells.forEach((text, index) => line.append(name === "td" && index ? make("td", text) : make("th", text, { scope: name === "th" ? "col" : "row" })));
    table.append(line);
  };
  row(["writes", "before", "now", ...(expected ? ["by the circuit"] : [])], "th");
  let open = 0;
  let changed = 0;
  let differs = -1;
  for (let position = first; position < said.length; position++) {
    const wanted = expected ? expected[position] : UNKNOWN;
    const isChanged = said[position] !== clean[position];
    if (isChanged) changed++;
    if (wanted === UNKNOWN) open++;
    else if (wanted !== said[position] && differs < 0) differs = position;
    const name = names[position + 1] ?? "end";
    row([name, vocabulary[clean[position]], vocabulary[said[position]], ...(expected ? [wanted === UNKNOWN ? "any" : vocabulary[wanted]] : [])], "td", isChanged);
  }
  table.dataset.written = Array.from(said.subarray(first)).join(" ");
  if (expected) table.dataset.expected = expected.slice(first).join(" ");
  const count = said.length - first;
  const verdict = !expected
    ? "The page has no truth about the parts of a task\u2019s model; for constructed ones Python has: serialformer.interp.interventions."
    : differs < 0
      ? `\u2713 As the circuit says${open ? `; it leaves ${open} of ${count} tokens undetermined` : ""}.`
      : `\u2717 ${names[differs + 1] ?? "end"} is ${vocabulary[said[differs]]}; the circuit says ${vocabulary[expected[differs]]}.`;
  const frame = make("div", "", { class: "frame", tabindex: "0", role: "group", "aria-label": "What is written, in a table" });
  frame.append(table);
  return [
    make("p", `${words} ${changed ? `${changed} of ${count} tokens change.` : "No token changes."}`),
    make("p", verdict, expected ? { "data-verdict": differs < 0 ? "agrees" : "differs" } : {}),
    frame,
  ];
}

const page = document.getElementById("page")!;
const content = JSON.parse(document.getElementById("content")!.textContent!);
if (content.format === 1 && content.model) show(content as Content, page);
