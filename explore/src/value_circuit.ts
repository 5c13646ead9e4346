// Circuits for an evaluator: four tokens for each gate, or a netlist (bench, ASCII AIGER) with values for its inputs.

import { isAiger, readAiger } from "./aiger";

export interface ValueGate {
  kind: "TRUE" | "FALSE" | "AND" | "OR" | "NOT";
  /** Numbers of earlier gates, from 1. */
  reads: number[];
}

export interface ValueCircuit {
  gates: ValueGate[];
  /** The numbers of the gates that are asked about. */
  outputs: number[];
}

const ARITY = { TRUE: 0, FALSE: 0, AND: 2, OR: 2, NOT: 1 };

/** Reads any of the formats; throws an Error that says what is wrong. */
export function readValueCircuit(text: string, inputs: string): ValueCircuit {
  if (isAiger(text)) return readAiger(text, readValues(inputs));
  return /[=(]/.test(text.replace(/\s*=\s*$/, "")) ? readBench(text, readValues(inputs)) : readGates(text);
}

/** `TRUE NA NA 1 NOT 1 NA 2`: type, inputs and own number of each gate; serialformer/tasks/circuit_value.py. */
function readGates(text: string): ValueCircuit {
  const tokens = text.trim().split(/\s+/).filter((token) => token && token !== "=");
  if (!tokens.length || tokens.length % 4) throw new Error(`expected four tokens for each gate, found ${tokens.length} tokens`);
  const gates: ValueGate[] = [];
  for (let start = 0; start < tokens.length; start += 4) {
    const [kind, first, second, own] = tokens.slice(start, start + 4);
    const number = gates.length + 1;
    if (!Object.hasOwn(ARITY, kind)) throw new Error(`gate ${number}: \u201c${kind}\u201d is no type of gate`);
    const arity = ARITY[kind as ValueGate["kind"]];
    if (own !== String(number)) throw new Error(`gate ${number}: its own number is \u201c${own}\u201d`);
    const reads: number[] = [];
    [first, second].forEach((wire, place) => {
      if (place >= arity) {
        if (wire !== "NA") throw new Error(`gate ${number}: ${kind} has ${arity} inputs, found \u201c${wire}\u201d instead of NA`);
      } else if (!/^[1-9]\d*$/.test(wire) || Number(wire) >= number) {
        throw new Error(`gate ${number}: input \u201c${wire}\u201d is no earlier gate`);
      } else reads.push(Number(wire));
    });
    gates.push({ kind: kind as ValueGate["kind"], reads });
  }
  return { gates, outputs: [gates.length] };
}

/** `a=1 b=0` */
function readValues(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const part of text.trim().split(/[\s,]+/).filter(Boolean)) {
    const found = /^(.+)=([01])$/.exec(part);
    if (!found) throw new Error(`expected name=0 or name=1, found \u201c${part}\u201d`);
    values.set(found[1], Number(found[2]));
  }
  return values;
}

function readBench(text: string, values: Map<string, number>): ValueCircuit {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const definitions = new Map<string, { kind: string; reads: string[] }>();
  text.split(/\r?\n/).forEach((whole, index) => {
    const line = whole.replace(/#.*/, "").trim();
    if (!line) return;
    const port = /^(INPUT|OUTPUT)\s*\(\s*([^\s()]+)\s*\)$/i.exec(line);
    const gate = /^([^\s=]+)\s*=\s*(\w+)\s*\(([^()]*)\)$/.exec(line);
    if (port) (port[1].toUpperCase() === "INPUT" ? inputs : outputs).push(port[2]);
    else if (gate && !definitions.has(gate[1])) definitions.set(gate[1], { kind: gate[2].toUpperCase(), reads: gate[3].split(",").map((one) => one.trim()).filter(Boolean) });
    else throw new Error(`line ${index + 1}: ${gate ? `${gate[1]} is defined twice` : "expected INPUT(a), OUTPUT(y) or y = AND(a, b)"}`);
  });
  if (!outputs.length) throw new Error("the circuit has no OUTPUT");
  const gates: ValueGate[] = [];
  const add = (kind: ValueGate["kind"], ...reads: number[]) => gates.push({ kind, reads });
  const numbers = new Map<string, number>();
  for (const name of inputs) {
    const value = values.get(name);
    if (value === undefined) throw new Error(`input ${name} has no value; write ${name}=0 or ${name}=1`);
    numbers.set(name, add(value ? "TRUE" : "FALSE"));
  }
  for (const name of values.keys()) if (!inputs.includes(name)) throw new Error(`there is no input ${name}`);
  const exclusive = (one: number, other: number) => {
    const some = add("OR", one, other);
    const both = add("AND", one, other);
    return add("AND", some, add("NOT", both));
  };
  const joined: Record<string, (one: number, other: number) => number> = {
    AND: (one, other) => add("AND", one, other),
    OR: (one, other) => add("OR", one, other),
    XOR: exclusive,
  };
  const build = (name: string, open: Set<string>): number => {
    const known = numbers.get(name);
    if (known) return known;
    const definition = definitions.get(name);
    if (!definition) throw new Error(`${name} is neither an input nor a gate`);
    if (open.has(name)) throw new Error(`${name} depends on itself`);
    const { kind, reads } = definition;
    const plain = { NAND: "AND", NOR: "OR", XNOR: "XOR" }[kind] ?? kind;
    const isSingle = kind === "NOT" || kind === "BUF" || kind === "BUFF";
    if (!isSingle && !Object.hasOwn(joined, plain)) throw new Error(`${name}: no gate ${kind}`);
    if (isSingle ? reads.length !== 1 : reads.length < 1) throw new Error(`${name}: ${kind} has ${reads.length} inputs`);
    const operands = reads.map((one) => build(one, new Set([...open, name])));
    let number = isSingle ? operands[0] : operands.reduce(joined[plain]);
    if (kind === "NOT" || plain !== kind) number = add("NOT", number);
    numbers.set(name, number);
    return number;
  };
  return { outputs: outputs.map((name) => build(name, new Set())), gates };
}

/** The value of each gate. */
export function evaluateGates(gates: ValueGate[]): boolean[] {
  const values: boolean[] = [];
  for (const { kind, reads } of gates) {
    const [first, second] = reads.map((number) => values[number - 1]);
    values.push(kind === "AND" ? first && second : kind === "OR" ? first || second : kind === "NOT" ? !first : kind === "TRUE");
  }
  return values;
}
