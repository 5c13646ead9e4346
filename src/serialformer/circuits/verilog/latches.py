"""Variables that a block does not seem to assign on every way through it: some of them it does assign.

A reader takes ``case (state)`` without a ``default`` for one that may assign nothing, and makes a latch of the
variable, or a multiplexer that chooses between a new value and its own output. Whether it ever chooses that is a
question about the circuit. Here what would be held becomes an input of its own: where nothing depends on it, all cases
are covered, and the latch was none; where something does, an example says which case was forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from serialformer.arrays import UInt8
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.mapping.abc import prove_equal
from serialformer.circuits.mapping.mapping import drop_dead_gates
from serialformer.circuits.verilog.lowering import lower
from serialformer.circuits.verilog.messages import error_at
from serialformer.circuits.verilog.rtlil import Bit, Cell, Module, parse_rtlil, rtlil_name, signal_bits
from serialformer.circuits.verilog.signals import SignalMap
from serialformer.circuits.words import Word, bits_to_values
from serialformer.errors import FormatError

_HELD, _SHOWN = "serialformer_held", "serialformer_shown"
_MAX_EXHAUSTIVE = 14
_NUM_RANDOM_ROWS = 1 << 14
_PROOF_SECONDS = 30.0
_MAX_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class _Hold:
    """A multiplexer that may keep a variable's value.

    Attributes:
        cell: the multiplexer.
        cuts: for which bits of its output it has which bit to choose that depends on this very bit.
        shown: the bits that it may choose.
    """

    cell: Cell
    cuts: tuple[tuple[int, Bit], ...]
    shown: tuple[Bit, ...]

    @property
    def names(self) -> list[str]:
        """The variables that may be kept."""
        return sorted({bit[0] for _, bit in self.cuts if isinstance(bit, tuple)})


@dataclass
class _Cut:
    """The design with what is held as inputs: its text, and how it has come about."""

    text: str
    holds: list[_Hold] = field(default_factory=list)


def settle_latches(text: str, top: str, clock: str | None, path: Path, directory: Path, source: str) -> str:
    """The design without the latches that hold nothing.

    Args:
        text: the design in RTLIL, flat.
        top: its module.
        clock: the input that clocks the registers.
        path: a file to write to.
        directory: where further files may lie.
        source: the file to name where nothing better is known.

    Raises:
        FormatError: a latch holds something; says for which values of what it depends on.
    """
    chosen = _latches_to_choices(text, _module(text, top))
    module = _module(chosen, top)
    holds = list(_loops(module))
    if not holds:
        return text
    text = chosen
    path.write_text(_cut(text, module, holds, as_ports=True))
    circuit = lower(_module(path.read_text(), top), path, clock, directory, source)
    if not _is_free_of_held(circuit.circuit):
        raise _latch_error(circuit.circuit, holds, module, source)
    return _cut(text, module, holds, as_ports=False)


def _module(text: str, name: str) -> Module:
    return {module.name: module for module in parse_rtlil(text)}[name]


def _latches_to_choices(text: str, module: Module) -> str:
    """The design with each latch a multiplexer between its new value and its own output."""
    latches = {cell.name: cell for cell in module.cells if cell.type == "$dlatch"}
    lines: list[str] = []
    is_latch = False
    for line in text.split("\n"):
        if line.startswith("  cell $dlatch ") and (cell := latches.get(line.split()[2])) is not None:
            lines += _latch_to_choice(cell)
            is_latch = True
        if not is_latch:
            lines.append(line)
        is_latch = is_latch and line != "  end"
    return "\n".join(lines)


def _latch_to_choice(cell: Cell) -> list[str]:
    is_active_high = cell.parameters.get("EN_POLARITY", "1").endswith("1")
    held, data = cell.connections["Q"], cell.connections["D"]
    first, second = (held, data) if is_active_high else (data, held)
    return [
        f"  cell $mux {cell.name}",
        f"    parameter \\WIDTH {cell.parameters['WIDTH']}",
        f"    connect \\A {first}",
        f"    connect \\B {second}",
        f"    connect \\S {cell.connections['EN']}",
        f"    connect \\Y {cell.connections['Q']}",
        "  end",
    ]


def _loops(module: Module) -> Iterator[_Hold]:
    """The multiplexers among whose choices is their own output, by way of other multiplexers or not."""
    signals = SignalMap(module)
    muxes = [cell for cell in module.cells if cell.type in ("$mux", "$pmux")]
    driver: dict[Bit, tuple[Cell, int]] = {}
    for cell in muxes:
        for index, bit in enumerate(signal_bits(cell.connections["Y"], module.wires)):
            driver[bit] = (cell, index)
    choices = {cell.name: _choices(cell, module, signals) for cell in muxes}

    def reaches(start: Bit, target: Bit) -> bool:
        seen, waiting = {start}, [start]
        while waiting:
            cell, index = driver[waiting.pop()]
            if target == start:
                return True
            for bit in choices[cell.name][index]:
                if bit == target:
                    return True
                if bit in driver and bit not in seen:
                    seen.add(bit)
                    waiting.append(bit)
        return False

    for cell in muxes:
        outputs = signal_bits(cell.connections["Y"], module.wires)
        # A loop is cut where a variable is read, not between the multiplexers of one assignment.
        cuts = tuple(
            (index, bit)
            for index, output in enumerate(outputs)
            for bit in dict.fromkeys(choices[cell.name][index])
            if bit in driver and (bit == output or _is_named(bit)) and reaches(bit, output)
        )
        if cuts:
            yield _Hold(cell=cell, cuts=cuts, shown=tuple(dict.fromkeys(bit for _, bit in cuts)))


def _choices(cell: Cell, module: Module, signals: SignalMap) -> list[list[Bit]]:
    """For each bit of a multiplexer's output the bits among which it chooses."""
    width = len(signal_bits(cell.connections["Y"], module.wires))
    data = [*signals.bits(cell.connections["A"]), *signals.bits(cell.connections["B"])]
    return [data[index::width] for index in range(width)]


def _is_named(bit: Bit) -> bool:
    return isinstance(bit, tuple) and not bit[0].startswith("$")


def _cut(text: str, module: Module, holds: Sequence[_Hold], *, as_ports: bool) -> str:
    """The design with held bits as inputs of their own, and the variables as outputs; or with zeros for them."""
    number_of = {hold.cell.name: number for number, hold in enumerate(holds)}
    signals = SignalMap(module)
    lines: list[str] = []
    wires, connections = [], []
    ports = max((port.order for port in module.ports), default=0)
    for number, hold in enumerate(holds):
        kinds = ("", "")
        if as_ports:
            kinds = (f"input {ports + number + 1} ", f"output {ports + len(holds) + number + 1} ")
        wires.append(f"  wire width {len(hold.cuts)} {kinds[0]}\\{_HELD}{number}")
        wires.append(f"  wire width {len(hold.shown)} {kinds[1]}\\{_SHOWN}{number}")
        connections.append(f"  connect \\{_SHOWN}{number} {_signal(hold.shown)}")
        if not as_ports:
            connections.append(f"  connect \\{_HELD}{number} {len(hold.cuts)}'{'0' * len(hold.cuts)}")
    bits: list[Bit]
    current: int | None = None
    is_top = False
    for line in text.split("\n"):
        if line.startswith("module "):
            is_top = line.split()[1].removeprefix("\\") == module.name
        if is_top and line.startswith("  cell ") and line.split()[2] in number_of:
            current = number_of[line.split()[2]]
        if current is not None:
            kind_of, *rest = line.split(None, 2)
            if kind_of == "connect" and rest[0] in ("\\A", "\\B"):
                hold, bits = holds[current], []
                width = len(signal_bits(hold.cell.connections["Y"], module.wires))
                for place, bit in enumerate(signal_bits(rest[1], module.wires)):
                    cut = (place % width, signals.follow(bit)[0])
                    bits.append((f"{_HELD}{current}", hold.cuts.index(cut)) if cut in hold.cuts else bit)
                line = f"    connect {rest[0]} {_signal(bits)}"
            if line == "  end":
                current = None
        if is_top and line == "end":
            lines += connections
        lines.append(line)
        if is_top and line.startswith("module "):
            lines += wires
    return "\n".join(lines)


def _signal(bits: Sequence[Bit]) -> str:
    """A signal of bits that are given least significant first."""
    parts = [f"1'{bit}" if isinstance(bit, str) else f"{rtlil_name(bit[0])} [{bit[1]}]" for bit in reversed(bits)]
    return "{ " + " ".join(parts) + " }"


def _is_free_of_held(cycle: Circuit) -> bool:
    """Whether no output and no next value depends on what is held."""
    held = _held_inputs(cycle)
    observed = [place for word in cycle.output_words or () if not word.name.startswith(_SHOWN) for place in word.places]
    cone = drop_dead_gates(replace(cycle, outputs=cycle.outputs[observed], output_words=None))
    support = _support(cone)
    if not support & set(held):
        return True
    inputs = sorted(support - set(held))
    if _differing(cone, _rows(inputs, cone.num_inputs), held).any():
        return False
    return len(inputs) <= _MAX_EXHAUSTIVE or _is_proven(cone, held)


def _held_inputs(cycle: Circuit) -> list[int]:
    return [place for word in cycle.input_words or () if word.name.startswith(_HELD) for place in word.places]


def _latch_error(cycle: Circuit, holds: Sequence[_Hold], module: Module, source: str) -> FormatError:
    """Lists for a variable the values of what it depends on nothing assigns it."""
    held = _held_inputs(cycle)
    chosen, example = holds[0], "not every branch assigns it"
    for number, hold in enumerate(holds):
        shown = next(word for word in cycle.output_words or () if word.name == f"{_SHOWN}{number}")
        cone = drop_dead_gates(replace(cycle, outputs=cycle.outputs[list(shown.places)], output_words=None))
        support = sorted(_support(cone) - set(held))
        rows = _rows(support, cycle.num_inputs)
        differs = _differing(cone, rows, held)
        if differs.any():
            inputs = cycle.input_words or ()
            words = [word for word in inputs if _matters(differs, rows, set(word.places) & set(support))]
            chosen, example = hold, _describe(rows[differs], words, len(support) <= _MAX_EXHAUSTIVE)
            break
    named = [name for name in chosen.names if not name.startswith("$")] or chosen.names
    places = [module.wires[name].source for name in named if name in module.wires]
    return error_at(
        f"a latch is inferred for {', '.join(map(repr, named[:4]))}: {example}",
        chosen.cell.source or next(iter(places), ""),
        source,
        hint="assign it a default first, or in every branch",
    )


def _support(circuit: Circuit) -> set[int]:
    """The inputs that some output reads, directly or not."""
    live = np.zeros(circuit.num_wires, dtype=bool)
    live[circuit.outputs[circuit.outputs >= 0]] = True
    for gate in range(circuit.num_gates - 1, -1, -1):
        if live[circuit.num_inputs + gate]:
            live[circuit.fan_in[gate, : circuit.arity[gate]]] = True
    return set(np.flatnonzero(live[: circuit.num_inputs]).tolist())


def _rows(support: Sequence[int], num_inputs: int) -> UInt8[np.ndarray, "rows inputs"]:
    """All values of the inputs that matter where these are few, else some at random."""
    if len(support) <= _MAX_EXHAUSTIVE:
        count = 1 << len(support)
        rows = np.zeros((count, num_inputs), dtype=np.uint8)
        numbers = np.arange(count)
        for index, place in enumerate(support):
            rows[:, place] = numbers >> index & 1
        return rows
    return np.random.default_rng(0).integers(0, 2, (_NUM_RANDOM_ROWS, num_inputs), dtype=np.uint8)


def _differing(cone: Circuit, rows: UInt8[np.ndarray, "rows inputs"], held: Sequence[int]) -> np.ndarray:
    """For which rows some output depends on what is held."""
    zeros, ones = rows.copy(), rows.copy()
    zeros[:, list(held)], ones[:, list(held)] = 0, 1
    return (evaluate_outputs(cone, zeros) != evaluate_outputs(cone, ones)).any(axis=1)


def _is_proven(cone: Circuit, held: Sequence[int]) -> bool:
    """Whether ABC proves that no output depends on what is held."""
    return bool(prove_equal(_with_constant(cone, held, 0), _with_constant(cone, held, 1), seconds=_PROOF_SECONDS))


def _with_constant(cone: Circuit, held: Sequence[int], value: int) -> Circuit:
    """The circuit with gates of a constant in the place of some inputs."""
    constant = cone.num_inputs
    new_wire = np.arange(-1, cone.num_wires, dtype=np.int32)
    new_wire[cone.num_inputs + 1 :] += 1
    new_wire[np.array(held) + 1] = constant
    fan_in = np.vstack([np.full((1, cone.fan_in.shape[1]), -1, dtype=np.int32), new_wire[cone.fan_in + 1]])
    return replace(
        cone,
        fan_in=fan_in,
        arity=np.concatenate([np.zeros(1, dtype=cone.arity.dtype), cone.arity]),
        table=np.concatenate([np.array([value], dtype=cone.table.dtype), cone.table]),
        outputs=new_wire[cone.outputs + 1],
        gate_names=(),
    )


def _matters(differs: np.ndarray, rows: UInt8[np.ndarray, "rows inputs"], places: set[int]) -> bool:
    """Whether bits of the inputs have a say in which rows differ; not known, and so taken to, where rows are random."""
    if not places or len(rows) == _NUM_RANDOM_ROWS:
        return bool(places)
    found = {tuple(row) for row in rows[differs].tolist()}
    for place in places:
        flipped = rows[differs].copy()
        flipped[:, place] ^= 1
        if {tuple(row) for row in flipped.tolist()} != found:
            return True
    return False


def _describe(rows: UInt8[np.ndarray, "rows inputs"], words: Sequence[Word], is_complete: bool) -> str:
    """For which values nothing is assigned."""
    shown = list(
        dict.fromkeys(
            ", ".join(f"{name}={value}" for name, value in bits_to_values(words, row).items())
            for row in rows[: 1 << 10]
        )
    )
    listed = "; ".join(shown[:_MAX_SHOWN]) + ("; ..." if len(shown) > _MAX_SHOWN else "")
    if not words:
        return "nothing assigns it"
    return f"nothing assigns it where {listed}" if is_complete else f"nothing assigns it where, for one, {shown[0]}"
