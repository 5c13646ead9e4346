// How words are shown and typed: as decimal or hexadecimal numbers, or as text, a byte for each character.

import { signal } from "@preact/signals";
import { parseWord, wordToNumber } from "./circuit";
import type { Word } from "./content";

export type NumberView = "decimal" | "hex" | "text";

export const numberView = signal<NumberView>("decimal");

/** Whether a word is made of bytes. */
export function isBytes(word: Word): boolean {
  return word.bits.length > 0 && word.bits.length % 8 === 0;
}

/** A word as it is shown. As text the first character is the highest byte, and bytes of 0 before it are left out. */
export function formatWord(word: Word, bits: ArrayLike<number>, view: NumberView): string {
  const value = wordToNumber(word, bits);
  if (view === "hex") return `0x${value.toString(16).padStart(Math.ceil(word.bits.length / 4), "0")}`;
  if (view !== "text" || !isBytes(word)) return value.toString();
  let text = "";
  for (let rest = value; rest > 0n; rest >>= 8n) {
    const byte = Number(rest & 255n);
    text = (byte >= 32 && byte < 127 && byte !== 92 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`) + text;
  }
  return text;
}

/** A word as it is typed: a number, or in the view of text its characters. */
export function parseShown(text: string, word: Word, view: NumberView): { value: bigint } | { problem: string } {
  if (view !== "text" || !isBytes(word)) return parseWord(text, word);
  let value = 0n;
  let count = 0;
  for (const [whole, code] of text.matchAll(/\\x([0-9a-f]{2})|[^]/gi)) {
    const byte = code ? parseInt(code, 16) : whole.charCodeAt(0);
    if (byte > 255) return { problem: `expected characters of one byte; ${whole} is none` };
    value = (value << 8n) | BigInt(byte);
    count += 1;
  }
  if (count * 8 > word.bits.length) return { problem: `has ${count} characters; at most ${word.bits.length / 8} fit` };
  return parseWord(value.toString(), word);
}
