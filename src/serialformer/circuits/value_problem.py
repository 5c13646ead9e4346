"""The circuit value problem: circuits whose inputs are known, as four tokens per gate (arXiv 2402.12875, section 4).

A gate is ``type first second own``: its type (TRUE, FALSE, AND, OR, NOT), the numbers of the gates that it reads (NA
where absent) and its own number, counted from 1. Any circuit becomes one: its inputs become constants, wider gates and
other truth tables small networks, and what no output depends on is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from serialformer.arrays import Bool, Int32, UInt8
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.synthesis import network_of_table
from serialformer.errors import FormatError

GATE_TYPES = ("TRUE", "FALSE", "AND", "OR", "NOT")
TRUE, FALSE, AND, OR, NOT = range(len(GATE_TYPES))
NUM_INPUTS = (0, 0, 2, 2, 1)
"""How many gates each type reads."""

ABSENT = "NA"
TOKENS_PER_GATE = 4
NO_GATE = 0
"""Where a gate reads less than two, or a wire has no gate of its own. Gates are counted from 1."""

_TABLES = (0b1, 0b0, 0b1000, 0b1110, 0b01)


@dataclass(frozen=True, kw_only=True, eq=False)
class ValueProblem:
    """A circuit without inputs, of constants, AND, OR and NOT.

    Attributes:
        kind: the type of each gate, a place in GATE_TYPES.
        reads: the numbers of the gates that each reads, ``NO_GATE`` where absent; all smaller than its own.
    """

    kind: UInt8[np.ndarray, " gates"]
    reads: Int32[np.ndarray, "gates 2"]

    @property
    def num_gates(self) -> int:
        return len(self.kind)

    def tokens(self) -> list[str]:
        """The prompt, without the ``=`` after it.

        >>> " ".join(read_value_problem("TRUE NA NA 1 NOT 1 NA 2".split()).tokens())
        'TRUE NA NA 1 NOT 1 NA 2'
        """
        tokens = []
        for gate, (kind, (first, second)) in enumerate(zip(self.kind.tolist(), self.reads.tolist(), strict=True), 1):
            tokens += [GATE_TYPES[kind], str(first or ABSENT), str(second or ABSENT), str(gate)]
        return tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class Translation:
    """A circuit as a value problem, with all inputs 0 for the time being.

    Attributes:
        problem: the gates.
        gate_of_input: the gate of each input bit, ``NO_GATE`` where no output depends on it.
        gate_of_output: the gate of each output bit.
        wire_of_gate: the wire of the circuit whose value each gate is, ``NO_WIRE`` for what only helps to make one.
    """

    problem: ValueProblem
    gate_of_input: Int32[np.ndarray, " inputs"]
    gate_of_output: Int32[np.ndarray, " outputs"]
    wire_of_gate: Int32[np.ndarray, " gates"]

    def with_inputs(self, bits: UInt8[np.ndarray, " inputs"]) -> ValueProblem:
        """The problem for these input bits."""
        kind = self.problem.kind.copy()
        there = self.gate_of_input != NO_GATE
        kind[self.gate_of_input[there] - 1] = np.where(bits[there], TRUE, FALSE)
        return replace(self.problem, kind=kind)


def translate_circuit(circuit: Circuit) -> Translation:
    """Any circuit as a value problem.

    Gates keep their order. A gate that only copies another takes no gate of its own, and what is there already is not
    made again.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("xor", build.xor(*build.inputs("a", 2)))
    >>> translation = translate_circuit(build.circuit())
    >>> " ".join(translation.with_inputs(np.array([1, 0], dtype=np.uint8)).tokens())
    'TRUE NA NA 1 FALSE NA NA 2 OR 1 2 3 AND 1 2 4 NOT 4 NA 5 AND 3 5 6'
    """
    gates = _Gates()
    gate_of_wire = [gates.add(FALSE) for _ in range(circuit.num_inputs)]
    for reads, arity, table in zip(
        circuit.fan_in.tolist(), circuit.arity.tolist(), circuit.table.tolist(), strict=True
    ):
        nodes = [gate_of_wire[wire] for wire in reads[:arity]]
        for small_table, small_reads in network_of_table(table, arity, 2, 3):
            nodes.append(gates.add_table(small_table, [nodes[node] for node in small_reads]))
        gate_of_wire.append(nodes[-1])
    kind, reads_of_gate = gates.arrays()
    gate = np.array(gate_of_wire, dtype=np.int32)
    needed = _needed(reads_of_gate, gate[circuit.outputs])
    new_number = np.zeros(len(kind) + 1, dtype=np.int32)
    new_number[1:] = np.where(needed, np.cumsum(needed), NO_GATE)
    wire_of_gate = np.full(len(kind), NO_WIRE, dtype=np.int32)
    # Of the wires that share a gate the first has it: written last.
    wire_of_gate[gate[::-1] - 1] = np.arange(circuit.num_wires, dtype=np.int32)[::-1]
    return Translation(
        problem=ValueProblem(kind=kind[needed], reads=new_number[reads_of_gate[needed]]),
        gate_of_input=new_number[gate[: circuit.num_inputs]],
        gate_of_output=new_number[gate[circuit.outputs]],
        wire_of_gate=wire_of_gate[needed],
    )


class _Gates:
    """The gates so far; of constants, complements, and ANDs and ORs of the same two gates there is one each."""

    def __init__(self) -> None:
        self._kind: list[int] = []
        self._reads: list[tuple[int, int]] = []
        self._joined: dict[tuple[int, int, int], int] = {}
        self._constants: dict[int, int] = {}
        self._complement: dict[int, int] = {}

    def add(self, kind: int, first: int = NO_GATE, second: int = NO_GATE) -> int:
        """A gate, new unless there is an AND or OR of the same two; its number."""
        key = (kind, min(first, second), max(first, second))
        if first == NO_GATE or key not in self._joined:
            self._kind.append(kind)
            self._reads.append((first, second))
            self._joined[key] = len(self._kind)
            return len(self._kind)
        return self._joined[key]

    def add_table(self, table: int, sources: list[int]) -> int:
        """A gate with the value of a truth table over at most two gates, built from new gates if necessary."""
        if len(sources) == 2 and sources[0] == sources[1]:
            table, sources = (table & 1) | (table >> 2 & 2), sources[:1]
        if len(sources) == 2 and table in (0b1010, 0b0101):
            table, sources = table & 0b11, sources[:1]
        if len(sources) == 2 and table in (0b1100, 0b0011):
            table, sources = (0b10 if table == 0b1100 else 0b01), sources[1:]
        entries = 1 << len(sources)
        if table in (0, (1 << entries) - 1):
            return self._constant(TRUE if table else FALSE)
        if len(sources) == 1:
            return sources[0] if table == 0b10 else self._not(sources[0])
        if table in (0b0110, 0b1001):
            # One of the two alone: either, but not both. Or, for XNOR, both or neither.
            inner, outer = (OR, AND) if table == 0b0110 else (AND, OR)
            return self.add(outer, self.add(inner, *sources), self._not(self.add(outer, *sources)))
        # What is left has one entry, or all but one, that is 1: AND or OR of the sources or their complements.
        is_or = table.bit_count() == 3
        place = (table ^ (0b1111 if is_or else 0)).bit_length() - 1
        wanted = place ^ 0b11 if is_or else place
        if wanted == 0:
            return self._not(self.add(AND if is_or else OR, *sources))
        literals = [source if wanted >> position & 1 else self._not(source) for position, source in enumerate(sources)]
        return self.add(OR if is_or else AND, *literals)

    def arrays(self) -> tuple[UInt8[np.ndarray, " gates"], Int32[np.ndarray, "gates 2"]]:
        """The types of all gates, and what they read."""
        return np.array(self._kind, dtype=np.uint8), np.array(self._reads, dtype=np.int32).reshape(-1, 2)

    def _constant(self, kind: int) -> int:
        if kind not in self._constants:
            self._constants[kind] = self.add(kind)
        return self._constants[kind]

    def _not(self, source: int) -> int:
        if source not in self._complement:
            self._complement[source] = self.add(NOT, source)
            self._complement[self._complement[source]] = source
        return self._complement[source]


def _needed(reads: Int32[np.ndarray, "gates 2"], outputs: Int32[np.ndarray, " outputs"]) -> Bool[np.ndarray, " gates"]:
    """The gates on which an output depends."""
    needed = np.zeros(len(reads) + 1, dtype=bool)
    needed[outputs] = True
    for gate in range(len(reads), 0, -1):
        if needed[gate]:
            needed[reads[gate - 1]] = True
    return needed[1:]


def read_value_problem(tokens: Sequence[str]) -> ValueProblem:
    """The problem that tokens say, with or without the ``=`` after them.

    Raises:
        FormatError: they are none; says which gate, and lists the first few that are wrong.
    """
    if tokens and tokens[-1] == "=":
        tokens = tokens[:-1]
    if len(tokens) % TOKENS_PER_GATE:
        raise FormatError(
            f"expected {TOKENS_PER_GATE} tokens per gate, found {len(tokens)}",
            where="prompt",
            hint="TYPE FIRST SECOND OWN, such as TRUE NA NA 1 NOT 1 NA 2",
        )
    kinds, reads, problems = [], [], []
    for gate, start in enumerate(range(0, len(tokens), TOKENS_PER_GATE), 1):
        kind, first, second, own = tokens[start : start + TOKENS_PER_GATE]
        if kind not in GATE_TYPES:
            problems.append(f"gate {gate}: {kind!r} is none of {', '.join(GATE_TYPES)}")
            continue
        number = GATE_TYPES.index(kind)
        places = []
        for place, source in enumerate((first, second)):
            if place >= NUM_INPUTS[number]:
                places.append(NO_GATE if source == ABSENT else -1)
            else:
                places.append(_earlier_gate(source, gate))
        if -1 in places or own != str(gate):
            problems.append(f"gate {gate}: {kind} {first} {second} {own} does not read {_form(number, gate)}")
            continue
        kinds.append(number)
        reads.append(places)
    if problems:
        more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise FormatError("; ".join(problems[:4]) + more, where="prompt", hint="gates are in topological order")
    return ValueProblem(
        kind=np.array(kinds, dtype=np.uint8), reads=np.array(reads, dtype=np.int32).reshape(len(reads), 2)
    )


def _earlier_gate(text: str, gate: int) -> int:
    """The number of a gate before this one, or -1; numbers are written as tokens are, without leading zeros."""
    if not (text.isascii() and text.isdigit() and not text.startswith("0") and len(text) < 10):
        return -1
    return int(text) if int(text) < gate else -1


def _form(kind: int, gate: int) -> str:
    earlier = [f"a gate before {gate}" if place < NUM_INPUTS[kind] else ABSENT for place in range(2)]
    return f"{GATE_TYPES[kind]}, {earlier[0]}, {earlier[1]}, {gate}"


def value_problem_to_circuit(problem: ValueProblem) -> Circuit:
    """The problem as a circuit without inputs whose one output is the last gate (none if there is no gate).

    >>> value_problem_to_circuit(read_value_problem("TRUE NA NA 1 NOT 1 NA 2".split())).evaluate()
    {'out': 0}
    """
    arity = np.array(NUM_INPUTS, dtype=np.uint8)[problem.kind]
    return Circuit(
        num_inputs=0,
        fan_in=np.where(problem.reads == NO_GATE, NO_WIRE, problem.reads - 1).astype(np.int32),
        arity=arity,
        table=np.array(_TABLES, dtype=np.uint64)[problem.kind],
        outputs=np.arange(problem.num_gates, dtype=np.int32)[-1:],
    )
