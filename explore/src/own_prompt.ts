// A prompt of one's own: checked by the grammar in the page, or by the task itself where the page is served.

import type { Architecture, Grammar, ModelContent, Sample } from "./content";
import { evaluateGates, readValueCircuit } from "./value_circuit";

/** The samples of a prompt, one for each model; throws an Error that says what is wrong with it. */
export async function readOwnPrompt(models: ModelContent[], text: string, inputs: string, isLive: boolean): Promise<Sample[]> {
  const grammar = models[0].grammar!;
  if (grammar.kind === "circuit") return models.map((model) => circuitSample(model, model.grammar as typeof grammar, text, inputs));
  if (isLive) return askServer(text);
  if (grammar.kind === "served") throw new Error(SERVED);
  return models.map((model) => plainSample(model, grammar, text));
}

/** Why a page that is a file may not check a prompt. */
export const SERVED = "only Python can check a prompt of this task; serialformer explore DIR --serve takes one";

async function askServer(text: string): Promise<Sample[]> {
  const response = await fetch("api/prompt", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text }) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer.samples;
}

/** The tokens of a text: between blanks, or characters where no token is longer than one. */
function splitTokens(text: string, sets: string[][]): string[] {
  const isShort = sets.every((tokens) => tokens.every((token) => token.length === 1));
  const tokens = isShort ? [...text.replace(/\s/g, "")] : text.trim().split(/\s+/).filter(Boolean);
  if (tokens[tokens.length - 1] === "=") tokens.pop();
  return tokens;
}

function plainSample(model: ModelContent, grammar: Extract<Grammar, { kind: "places" }>, text: string): Sample {
  const { sets, places, form } = grammar;
  const tokens = splitTokens(text, sets);
  if (tokens.length !== places.length) throw new Error(`expected ${places.length} tokens (${form}), found ${tokens.length}`);
  tokens.forEach((token, place) => {
    const allowed = sets[places[place]];
    if (!allowed.includes(token)) {
      throw new Error(`token ${place + 1} is \u201c${token}\u201d; expected ${allowed.length > 12 ? form : `one of ${allowed.join(" ")}`}`);
    }
  });
  // Prompts of one number of tokens are laid out alike; what the true tokens are only Python knows.
  const like = model.samples!.find((sample) => sample.prompt === places.length + 1)!;
  const whole = like.tokens.slice();
  tokens.forEach((token, place) => (whole[place] = model.architecture.vocabulary.indexOf(token)));
  return { ...like, tokens: whole, labels: like.labels.map(() => -1) };
}

function circuitSample(model: ModelContent, grammar: Extract<Grammar, { kind: "circuit" }>, text: string, inputs: string): Sample {
  const { gates, outputs } = readValueCircuit(text, inputs);
  if (gates.length > grammar.gates) {
    throw new Error(`the circuit takes ${gates.length} gates of TRUE, FALSE, AND, OR and NOT; this model is made for ${grammar.gates}`);
  }
  if (grammar.setting !== "cot" && outputs[0] !== gates.length) throw new Error("without a chain the model gives the value of the last gate alone");
  const values = evaluateGates(gates);
  const id = (token: string) => tokenId(model.architecture, token);
  const truth = (number: number | undefined) => (number === undefined ? id("NA") : id(values[number - 1] ? "TRUE" : "FALSE"));
  const prompt = gates.flatMap(({ kind, reads }, index) => [id(kind), ...[0, 1].map((place) => id(String(reads[place] ?? "NA"))), id(String(index + 1))]);
  const chain = gates.flatMap(({ kind, reads }, index) => [id(kind), truth(reads[0]), truth(reads[1]), truth(index + 1)]);
  const isChain = grammar.setting === "cot";
  const said = isChain ? chain : [truth(gates.length)];
  const length = prompt.length + 1;
  return {
    tokens: [...prompt, id("="), ...said.slice(0, -1)],
    labels: [...prompt.map(() => -1), ...said],
    made: [...new Array<number>(length).fill(0), ...said.slice(1).map(() => 1)],
    prompt: length,
    answer: isChain ? outputs.map((number) => prompt.length + 4 * number - 1) : [prompt.length],
  };
}

function tokenId(architecture: Architecture, token: string): number {
  const found = architecture.vocabulary.indexOf(token);
  if (found < 0) throw new Error(`the model has no token ${token}`);
  return found;
}
