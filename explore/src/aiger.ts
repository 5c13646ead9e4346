// Circuits in ASCII AIGER for an evaluator, rewritten as constants, AND and NOT; docs/formats/aiger.md has the format.

import type { ValueCircuit, ValueGate } from "./value_circuit";

/** Whether a text begins as AIGER does, ASCII or binary. */
export function isAiger(text: string): boolean {
  return /^\s*(aag|aig)\s/.test(text);
}

/** Reads a circuit; `values` has a bit for each input. Throws an Error that says what is wrong. */
export function readAiger(text: string, values: Map<string, number>): ValueCircuit {
  const lines = text.trimStart().split(/\r?\n/);
  const [format, ...header] = lines[0].trim().split(/\s+/);
  if (format === "aig") {
    throw new Error("binary AIGER cannot be pasted; paste the ASCII form (aag), or use serialformer run DIR --circuit FILE.aig");
  }
  if (header.length < 5 || header.length > 9 || !header.every((number) => /^\d+$/.test(number))) {
    throw new Error(`line 1: expected \u201caag M I L O A\u201d, found \u201c${lines[0].trim()}\u201d`);
  }
  const [largest, numInputs, numLatches, numOutputs, numAnds, ...others] = header.map(Number);
  if (numLatches) throw new Error("line 1: the circuit has latches; an evaluator takes circuits without registers");
  if (others.some(Boolean)) throw new Error("line 1: bad states, constraints, justice and fairness are not taken");
  if (!numOutputs) throw new Error("the circuit has no output");

  let at = 1;
  const next = (what: string, count: number): number[] => {
    const line = lines[at++] ?? "";
    const found = line.trim().split(/\s+/);
    if (found.length !== count || !found.every((number) => /^\d+$/.test(number))) {
      throw new Error(`line ${at}: expected ${what}, found \u201c${line.trim()}\u201d`);
    }
    const literals = found.map(Number);
    for (const literal of literals) {
      if (literal > 2 * largest + 1) throw new Error(`line ${at}: literal ${literal} is larger than the header allows (${2 * largest + 1})`);
    }
    return literals;
  };
  const defined = new Set<number>([0]);
  const define = (literal: number) => {
    if (literal % 2) throw new Error(`line ${at}: expected an even literal, found ${literal}`);
    if (defined.has(literal)) throw new Error(`line ${at}: literal ${literal} is defined twice`);
    defined.add(literal);
    return literal;
  };
  const inputs = Array.from({ length: numInputs }, () => define(next("the literal of an input", 1)[0]));
  const outputs = Array.from({ length: numOutputs }, () => next("the literal of an output", 1)[0]);
  const ands = new Map<number, number[]>();
  for (let index = 0; index < numAnds; index++) {
    const [literal, ...reads] = next("the three literals of an AND", 3);
    ands.set(define(literal), reads);
  }

  const gates: ValueGate[] = [];
  const add = (kind: ValueGate["kind"], ...reads: number[]) => gates.push({ kind, reads });
  const names = inputNames(lines, at, numInputs);
  const numbers = new Map<number, number>();
  inputs.forEach((literal, index) => {
    const value = values.get(names[index]);
    if (value === undefined) throw new Error(`input ${names[index]} has no value; write ${names[index]}=0 or ${names[index]}=1`);
    numbers.set(literal, add(value ? "TRUE" : "FALSE"));
  });
  for (const name of values.keys()) if (!names.includes(name)) throw new Error(`there is no input ${name}`);

  /** The gate of a literal; what it needs is added first. */
  const build = (wanted: number): number => {
    const stack = [wanted];
    const open = new Set<number>();
    while (stack.length) {
      const literal = stack[stack.length - 1];
      const reads = literal < 2 ? [] : literal % 2 ? [literal - 1] : ands.get(literal);
      if (numbers.has(literal)) stack.pop();
      else if (!reads) throw new Error(`literal ${literal} is neither an input nor an AND`);
      else if (reads.every((one) => numbers.has(one))) {
        const operands = reads.map((one) => numbers.get(one)!);
        numbers.set(literal, literal < 2 ? add(literal ? "TRUE" : "FALSE") : add(literal % 2 ? "NOT" : "AND", ...operands));
        stack.pop();
      } else if (open.has(literal)) throw new Error(`literal ${literal} depends on itself`);
      else {
        open.add(literal);
        stack.push(...reads.filter((one) => !numbers.has(one)));
      }
    }
    return numbers.get(wanted)!;
  };
  return { outputs: outputs.map(build), gates };
}

/** The names of the inputs: their symbols, or `in[0]`, `in[1]`, \u2026 for those without one, and `in` for a single one. */
function inputNames(lines: string[], start: number, count: number): string[] {
  const names = new Array<string | undefined>(count);
  for (let index = start; index < lines.length; index++) {
    const line = lines[index];
    if (/^c\s*$/.test(line)) break;
    const found = /^([iolbcjf])(\d+) (.+)$/.exec(line);
    if (!found) {
      if (line.trim()) throw new Error(`line ${index + 1}: expected a symbol such as \u201ci0 a\u201d, found \u201c${line}\u201d`);
    } else if (found[1] === "i") {
      if (Number(found[2]) >= count) throw new Error(`line ${index + 1}: there is no input ${found[2]}`);
      names[Number(found[2])] = found[3].trim();
    }
  }
  const unnamed = [...names].filter((name) => name === undefined).length;
  let next = 0;
  return [...names].map((name) => name ?? (unnamed === 1 ? "in" : `in[${next++}]`));
}
