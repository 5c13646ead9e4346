"""Circuits of unbounded fan-in as text: BENCH, BLIF and Verilog, one gate of any number of inputs a line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from serialformer.bounds.rewrite import expand_thresholds, to_circuit, to_fan_in_two
from serialformer.bounds.unbounded import FALSE, TRUE, UnboundedCircuit
from serialformer.circuits.formats.net_names import UniqueNames, escape_name
from serialformer.circuits.formats.read_write import check_suffix, write
from serialformer.circuits.words import Word, words_to_names
from serialformer.errors import FormatError
from serialformer.files import new_file

_ILLEGAL = re.compile(r"[^A-Za-z0-9_\[\]]")
_PLAIN = re.compile(r"[a-z]\d*|in\d*|out\d*|chain\d+|answer|undefined|sum")
_NOT_PRINTED = re.compile("[^!-~]")
_LINES_AT_ONCE = 1 << 14


def write_unbounded(circuit: UnboundedCircuit, path: str | os.PathLike[str], *, tree: bool = False) -> None:
    """Writes a circuit in the format of the suffix; the file is there whole or not at all.

    ``.bench``, ``.blif`` and ``.v`` have gates of any number of inputs; the other formats that ``write`` knows have
    two-input gates only, and get balanced trees. BENCH and BLIF have no threshold gates: they get what
    ``expand_thresholds`` makes of them. In Verilog a threshold gate is a sum that is compared with a number.

    Args:
        circuit: the circuit.
        path: the file.
        tree: two-input gates in these formats too.

    Raises:
        FormatError: an unknown suffix.
        CircuitError: it takes too many wires without threshold gates, or with two inputs a gate.
        SerialformerError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        check_suffix(path)
        write(to_circuit(circuit), path)
        return
    if tree:
        circuit = to_fan_in_two(circuit)
    elif suffix != ".v":
        circuit = expand_thresholds(circuit)
    with new_file(path) as file:
        lines: list[str] = []
        for line in WRITERS[suffix](circuit):
            lines.append(line)
            if len(lines) == _LINES_AT_ONCE:
                file.write("".join(f"{line}\n" for line in lines).encode())
                lines.clear()
        file.write("".join(f"{line}\n" for line in lines).encode())


def check_unbounded_suffix(path: str | os.PathLike[str]) -> None:
    """Refuses a name whose suffix tells no format, before any work is done for it."""
    if Path(path).suffix.lower() not in WRITERS:
        try:
            check_suffix(path)
        except FormatError as error:
            raise FormatError(
                error.message, where=str(path), hint="one of .bench, .blif, .v, .aig, .aag and .txt"
            ) from None


def format_bench_lines(circuit: UnboundedCircuit) -> Iterator[str]:
    """The lines of a BENCH file. There are no threshold gates in it.

    >>> from serialformer.bounds.unbounded import wire_to_literal
    >>> import numpy as np
    >>> circuit = UnboundedCircuit(
    ...     num_inputs=3,
    ...     threshold=np.array([3], dtype=np.int32),
    ...     start=np.array([0, 3]),
    ...     fan_in=np.array([2, 5, 6], dtype=np.int32),
    ...     outputs=np.array([wire_to_literal(3)], dtype=np.int32),
    ... )
    >>> print("\\n".join(format_bench_lines(circuit)))
    # 3 inputs, 1 outputs, 1 gates, depth 1
    INPUT(in[0])
    INPUT(in[1])
    INPUT(in[2])
    OUTPUT(out)
    n1_not = NOT(in[1])
    n3 = AND(in[0], n1_not, in[2])
    out = BUFF(n3)
    """
    nets = _Nets(circuit)
    yield _summary(circuit, "#")
    yield from (f"INPUT({name})" for name in nets.inputs)
    yield from (f"OUTPUT({name})" for name in nets.outputs)
    negated: set[int] = set()

    def read(literal: int) -> Iterator[str]:
        if literal % 2 and literal not in negated:
            negated.add(literal)
            yield f"{nets.negation(literal)} = NOT({nets.wire(literal)})"

    for gate, literals, needed in _gates(circuit):
        for literal in literals:
            yield from read(literal)
        names = [nets.negation(literal) if literal % 2 else nets.wire(literal) for literal in literals]
        kind = "BUFF" if len(names) == 1 else "OR" if needed == 1 else "AND"
        yield f"{nets.prefix}{gate} = {kind}({', '.join(names)})"
    for name, literal in zip(nets.outputs, circuit.outputs.tolist(), strict=True):
        if literal <= TRUE:
            yield f"{name} = {'vdd' if literal == TRUE else 'gnd'}"
        else:
            yield f"{name} = {'NOT' if literal % 2 else 'BUFF'}({nets.wire(literal)})"


def format_blif_lines(circuit: UnboundedCircuit) -> Iterator[str]:
    """The lines of a BLIF file: each gate is a cover of one row. There are no threshold gates in it."""
    nets = _Nets(circuit)
    yield _summary(circuit, "#")
    yield ".model circuit"
    yield from _wrapped(".inputs", nets.inputs)
    yield from _wrapped(".outputs", nets.outputs)
    for gate, literals, needed in _gates(circuit):
        yield f".names {' '.join(nets.wire(literal) for literal in literals)} {nets.prefix}{gate}"
        # An OR is false in one case: where all its literals are.
        is_or = needed == 1
        yield f"{''.join(str((literal + 1 + is_or) % 2) for literal in literals)} {0 if is_or else 1}"
    for name, literal in zip(nets.outputs, circuit.outputs.tolist(), strict=True):
        if literal <= TRUE:
            yield f".names {name}"
            if literal == TRUE:
                yield "1"
        else:
            yield f".names {nets.wire(literal)} {name}"
            yield f"{(literal + 1) % 2} 1"
    yield ".end"


def format_verilog_lines(circuit: UnboundedCircuit) -> Iterator[str]:
    """The lines of a Verilog file of one module ``circuit``, a port a word."""
    assert circuit.input_words is not None and circuit.output_words is not None
    nets = _Nets(circuit, verilog=True)
    yield _summary(circuit, "//")
    words = [*((word, "input") for word in circuit.input_words), *((word, "output") for word in circuit.output_words)]
    ports = [
        f"  {way} wire {'' if word.width == 1 else f'[{word.width - 1}:0] '}{nets.ports[way, word.name]}"
        for word, way in words
    ]
    yield "module circuit ("
    yield ",\n".join(ports)
    yield ");"
    for gate, literals, needed in _gates(circuit):
        if needed in (1, len(literals)):
            names = [f"{'~' * (literal % 2)}{nets.wire(literal)}" for literal in literals]
            value = (" | " if needed == 1 else " & ").join(names)
        else:
            # Bits are extended to the width of the number; ~ would come after that, ! does not.
            names = [f"{'!' * (literal % 2)}{nets.wire(literal)}" for literal in literals]
            value = f"({' + '.join(names)}) >= 32'd{needed}"
        yield f"  wire {nets.prefix}{gate} = {value};"
    outputs = circuit.outputs.tolist()
    for word in circuit.output_words:
        for index, place in enumerate(word.bits):
            literal = outputs[place] if place >= 0 else FALSE
            value = f"1'b{literal}" if literal <= TRUE else f"{'~' * (literal % 2)}{nets.wire(literal)}"
            yield f"  assign {nets.ports['output', word.name]}{'' if word.width == 1 else f'[{index}]'} = {value};"
    yield "endmodule"


WRITERS: dict[str, Callable[[UnboundedCircuit], Iterator[str]]] = {
    ".bench": format_bench_lines,
    ".blif": format_blif_lines,
    ".v": format_verilog_lines,
}
"""What writes gates of any number of inputs, by suffix."""


class _Nets:
    """Names of inputs, outputs and gates that are legal in all three formats and do not clash."""

    def __init__(self, circuit: UnboundedCircuit, *, verilog: bool = False) -> None:
        assert circuit.input_words is not None and circuit.output_words is not None
        self._num_inputs = circuit.num_inputs
        names = UniqueNames()
        self.ports: dict[tuple[str, str], str] = {}
        if verilog:
            for way, words in (("input", circuit.input_words), ("output", circuit.output_words)):
                for word in words:
                    self.ports[way, word.name] = _identifier(names.claim(word.name))
            self.inputs = self._bits(circuit.input_words, "input", circuit.num_inputs)
            self.outputs = self._bits(circuit.output_words, "output", len(circuit.outputs))
        else:
            self.inputs, self.outputs = (
                [names.claim(escape_name(name, _ILLEGAL)) for name in words_to_names(words, count)]
                for words, count in (
                    (circuit.input_words, circuit.num_inputs),
                    (circuit.output_words, len(circuit.outputs)),
                )
            )
        taken = "\n".join([*names.taken])
        self.prefix = "n"
        while re.search(rf"^{self.prefix}\d", taken, re.M):
            self.prefix += "n"

    def _bits(self, words: tuple[Word, ...], way: str, count: int) -> list[str]:
        bits = [""] * count
        for word in words:
            for index, place in enumerate(word.bits):
                if place >= 0:
                    bits[place] = f"{self.ports[way, word.name]}{'' if word.width == 1 else f'[{index}]'}"
        return bits

    def wire(self, literal: int) -> str:
        """The net of a literal's wire."""
        wire = literal // 2 - 1
        return self.inputs[wire] if wire < self._num_inputs else f"{self.prefix}{wire}"

    def negation(self, literal: int) -> str:
        """The net of a literal that is a negation."""
        return f"{self.prefix}{literal // 2 - 1}_not"


def _identifier(name: str) -> str:
    """A name as Verilog takes it: what might be a word of the language is escaped, and ends in a blank.

    >>> _identifier("x12"), _identifier("wire")
    ('x12', '\\\\wire ')
    """
    if _PLAIN.fullmatch(name):
        return name
    return f"\\{escape_name(name, _NOT_PRINTED)} "


def _gates(circuit: UnboundedCircuit) -> Iterator[tuple[int, list[int], int]]:
    """The wire of each gate, its literals, and how many of them have to be true."""
    block = 1 << 14
    for begin in range(0, circuit.num_gates, block):
        end = min(begin + block, circuit.num_gates)
        starts = circuit.start[begin : end + 1].tolist()
        literals = circuit.fan_in[starts[0] : starts[-1]].tolist()
        for offset, needed in enumerate(circuit.threshold[begin:end].tolist()):
            first, last = starts[offset] - starts[0], starts[offset + 1] - starts[0]
            yield circuit.num_inputs + begin + offset, literals[first:last], needed


def _summary(circuit: UnboundedCircuit, mark: str) -> str:
    return (
        f"{mark} {circuit.num_inputs} inputs, {len(circuit.outputs)} outputs, {circuit.num_gates} gates,"
        f" depth {circuit.depth}"
    )


def _wrapped(keyword: str, names: list[str]) -> Iterator[str]:
    line = keyword
    for name in names:
        if len(line) + len(name) > 98:
            yield f"{line} \\"
            line = ""
        line += f" {name}"
    yield line
