// Deep links: the address of the page names the step and the question, such as #token=12&a=3&b=5 or #token=4&prompt=2.

import { effect } from "@preact/signals";
import { parseWord, wordToNumber } from "./circuit";
import { goTo, setWord, type Session } from "./session";

/** Milliseconds for which a step is shown before the address names it. */
const PAUSE = 400;

/** Circuits of more input words have only the step in their address. */
const MOST_WORDS = 32;

/** Goes to the step of the address, and keeps the address at the step that is shown. */
export function followAddress(session: Session) {
  readAddress(session);
  window.addEventListener("hashchange", () => readAddress(session));
  let isFirst = true;
  let timer = 0;
  effect(() => {
    const address = writeAddress(session);
    if (isFirst) {
      isFirst = false;
      return;
    }
    // Browsers limit how often an address may change, so only the step at which one stays is written.
    clearTimeout(timer);
    timer = window.setTimeout(() => replaceAddress(address), PAUSE);
  });
}

function replaceAddress(address: string) {
  try {
    history.replaceState(null, "", address);
  } catch {
    // A page inside a frame of a notebook has no address of its own.
  }
}

function readAddress(session: Session) {
  const asked = new URLSearchParams(location.hash.slice(1));
  const { circuit } = session;
  if (circuit) {
    for (const word of circuit.inputs) {
      const parsed = asked.has(word.name) ? parseWord(asked.get(word.name)!, word) : null;
      if (parsed && !("problem" in parsed)) setWord(session, word.bits, parsed.value);
    }
  } else {
    const prompt = Number(asked.get("prompt")) - 1;
    if (session.models[0].content.samples![prompt]) session.sample.value = prompt;
  }
  const token = Number(asked.get("token"));
  if (asked.has("token") && Number.isInteger(token) && token >= 0) goTo(session, session.first.value + token);
}

function writeAddress(session: Session): string {
  const shown = new URLSearchParams({ token: String(session.position.value - session.first.value) });
  const { circuit } = session;
  const bits = session.inputBits.value;
  if (circuit && circuit.inputs.length > MOST_WORDS) return `#${shown}`;
  if (circuit) circuit.inputs.forEach((word) => shown.set(word.name, wordToNumber(word, bits).toString()));
  else shown.set("prompt", String(session.sample.value + 1));
  return `#${shown}`;
}
