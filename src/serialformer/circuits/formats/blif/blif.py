"""BLIF, the Berkeley Logic Interchange Format: reading and writing. The format's page is docs/formats/blif.md."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.blif.covers import table_to_cover
from serialformer.circuits.formats.blif.flatten import flatten
from serialformer.circuits.formats.blif.models import TokenNumbers, read_models
from serialformer.circuits.formats.blif.root import explain_root, root_first
from serialformer.circuits.formats.gate_list import gates_to_circuit
from serialformer.circuits.formats.latches import gates_to_sequential
from serialformer.circuits.formats.net_names import name_nets
from serialformer.circuits.formats.statements import split_statements
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.files import read_file, write_file

_ILLEGAL = re.compile(r"[\x00-\x20\x7f#%]|^\.|\\$")
"""What a net's name may not hold: space and control characters, ``#``, a dot in front, a backslash at the end."""

_LINE_WIDTH = 78


def read_blif(path: str | os.PathLike[str]) -> Circuit:
    """Reads a BLIF file; see ``parse_blif``."""
    return parse_blif(read_file(path), name=str(path))


def write_blif(circuit: Circuit | SequentialCircuit, path: str | os.PathLike[str]) -> None:
    """Writes a circuit as a BLIF file; see ``format_blif``."""
    write_file(path, format_blif(circuit))


def parse_blif(data: bytes, *, name: str) -> Circuit:
    """The circuit of a BLIF file: one model, with the models that it instantiates put in place.

    Of several models it is the only one that no other instantiates, or else the first.

    A ``.names`` of up to six inputs is one gate; a wider one becomes a tree of two-input gates.

    Args:
        data: the file.
        name: what to call it in messages.

    Raises:
        FormatError: it is not BLIF, or sequential, or its hierarchy is too large.

    >>> text = b".model m\\n.inputs a b\\n.outputs y\\n.names a b y\\n1- 1\\n-1 1\\n.end\\n"
    >>> circuit = parse_blif(text, name="or.blif")
    >>> circuit.evaluate(a=0, b=1)
    {'y': 1}
    """
    statements = split_statements(data, name=name, join=b"\\")
    numbers = TokenNumbers(statements)
    models = root_first(read_models(statements, numbers, sequential=False))
    flat = flatten(statements, models, numbers.texts)
    return gates_to_circuit(
        statements,
        flat.netlist,
        lines=flat.lines,
        net_name=flat.net_name,
        gate_names=flat.gate_names,
        input_lines=models[0].input_lines,
        output_lines=models[0].output_lines,
    )


@dataclass(frozen=True, kw_only=True)
class BlifReading:
    """A circuit that was read from BLIF, and which model it is.

    Attributes:
        circuit: the circuit; without registers where the file has no latches.
        chosen: of several models, which was taken and why; "" where there is one.
    """

    circuit: SequentialCircuit
    chosen: str

    @property
    def facts(self) -> dict[str, str]:
        """What a user should know who has read a file of several models."""
        return {"model": self.chosen} if self.chosen else {}


def read_sequential_blif(path: str | os.PathLike[str]) -> SequentialCircuit:
    """Reads a BLIF file with or without latches; see ``parse_sequential_blif``."""
    return elaborate_blif(path).circuit


def elaborate_blif(path: str | os.PathLike[str]) -> BlifReading:
    """Reads a BLIF file with or without latches, and says which of its models was taken.

    Raises:
        FormatError: as in ``parse_sequential_blif``.
    """
    return _elaborate(read_file(path), str(path))


def parse_sequential_blif(data: bytes, *, name: str) -> SequentialCircuit:
    """The circuit of a BLIF file with its latches, and those of the models that it instantiates.

    Which of several models it is, ``parse_blif`` says. All latches must share one edge of one clock, an input of that
    model. It is no input of the circuit unless something else reads it too.

    Args:
        data: the file.
        name: what to call it in messages.

    Raises:
        FormatError: it is not BLIF, its hierarchy is too large, or its latches have no common clock.

    >>> text = b".model m\\n.outputs q\\n.latch d q 1\\n.names q d\\n0 1\\n.end\\n"
    >>> [cycle.outputs["q"] for cycle in parse_sequential_blif(text, name="toggle.blif").simulate([{}] * 3)]
    [1, 0, 1]
    """
    return _elaborate(data, name).circuit


def _elaborate(data: bytes, name: str) -> BlifReading:
    statements = split_statements(data, name=name, join=b"\\")
    numbers = TokenNumbers(statements)
    models = root_first(read_models(statements, numbers, sequential=True))
    flat = flatten(statements, models, numbers.texts)
    latches, kept = flat.latches(), flat.is_needed_input()
    circuit = gates_to_sequential(
        statements,
        replace(flat.netlist, inputs=flat.netlist.inputs[kept]),
        latches,
        lines=flat.lines,
        net_name=flat.net_name,
        gate_names=flat.gate_names,
        input_lines=models[0].input_lines[kept],
        output_lines=models[0].output_lines,
    )
    return BlifReading(circuit=circuit, chosen=explain_root(models))


def format_blif(circuit: Circuit | SequentialCircuit) -> bytes:
    """A circuit as one BLIF model, a ``.names`` a gate and a ``.latch`` a bit of state.

    Nets are called what the circuit calls its words and gates; what BLIF cannot carry is changed as
    docs/formats/blif.md says.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("y", build.or_(build.input("a"), build.input("b")))
    >>> print(format_blif(build.circuit()).decode(), end="")
    .model circuit
    .inputs a b
    .outputs y
    .names a b y
    00 0
    .end
    """
    initial: tuple[int | None, ...] = ()
    if isinstance(circuit, SequentialCircuit):
        initial, circuit = circuit.initial_of_bits, circuit.circuit
    nets = name_nets(circuit, _ILLEGAL)
    num_state = len(initial)
    lines = [".model circuit"]
    lines += _wrapped(".inputs", nets.wires[num_state : circuit.num_inputs])
    lines += _wrapped(".outputs", nets.outputs[num_state:])
    for place, value in enumerate(initial):
        lines.append(f".latch {nets.outputs[place]} {nets.wires[place]} {3 if value is None else value}")
    fan_in = circuit.fan_in.tolist()
    gates = zip(circuit.arity.tolist(), circuit.table.tolist(), strict=True)
    for gate, (arity, table) in enumerate(gates):
        read = [nets.wires[wire] for wire in fan_in[gate][:arity]]
        lines.append(" ".join([".names", *read, nets.wires[circuit.num_inputs + gate]]))
        rows, value = table_to_cover(table, arity)
        lines += [f"{row} {value}" if row else str(value) for row in rows]
    for output, wire in nets.buffers:
        lines += [f".names {nets.wires[wire]} {output}", "1 1"]
    lines.append(".end\n")
    return "\n".join(lines).encode(errors="backslashreplace")


def _wrapped(word: str, names: list[str]) -> list[str]:
    """A statement on lines of bounded width, each but the last ending in a backslash."""
    lines, line = [], word
    for name in names:
        if len(line) + len(name) > _LINE_WIDTH:
            lines.append(line + " \\")
            line = ""
        line += " " + name
    return [*lines, line] if names else []
