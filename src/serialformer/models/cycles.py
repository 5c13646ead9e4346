"""A sequential model run for some clock cycles, from a stimulus in a file to outputs and a waveform in files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice, repeat
from pathlib import Path
from typing import BinaryIO

import numpy as np

from serialformer.arrays import UInt8
from serialformer.circuits.sequential.registers import Fill, count_state_bits
from serialformer.circuits.sequential.simulation import Cycle, Simulation
from serialformer.circuits.sequential.vcd import VcdWriter
from serialformer.circuits.words import ABSENT, Word, values_to_bits
from serialformer.decode.engine import Engine
from serialformer.errors import InputError
from serialformer.files import new_file
from serialformer.models.model import Model
from serialformer.models.tables import read_blocks, write_block, write_header

ROWS_PER_BLOCK = 1024
"""Of the stimulus, read together."""

CYCLES_PER_BLOCK = 256
"""Of the outputs, written together."""


@dataclass(frozen=True, kw_only=True)
class CycleRun:
    """What a run of some cycles came to.

    Attributes:
        cycles: how many cycles were run.
        outputs: the output words of each cycle; empty where they were written to a file.
        state: what the last cycle left in the registers.
        engine: the name of the engine.
        tokens: how many chain tokens the model made.
        seconds: how long the cycles took.
    """

    cycles: int
    outputs: tuple[dict[str, int], ...]
    state: dict[str, int]
    engine: str
    tokens: int
    seconds: float


def run_cycles(
    model: Model,
    values: Mapping[str, int] | None = None,
    *,
    num_cycles: int | None = None,
    stimulus: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | BinaryIO | None = None,
    vcd: str | os.PathLike[str] | None = None,
    fill: Fill | None = None,
    seed: int = 0,
    engine: str | Engine = "auto",
    watch: Callable[[int | None], Callable[[int], None]] | None = None,
) -> CycleRun:
    """Runs a model of a sequential circuit: each cycle is a prompt and a chain, its state fed back.

    Args:
        model: the model.
        values: initial values of registers, and values of input words that are the same in every cycle.
        num_cycles: how many cycles; None: as many as the stimulus has rows.
        stimulus: a CSV file with a row for each cycle and a column for each input word that ``values`` does not hold.
        output: a file for a CSV table of the outputs, a row for each cycle; None: the outputs are returned.
        vcd: a file for the waveform of registers, inputs and outputs.
        fill: what registers without an initial value begin with, ``zero`` or ``random``; None: they must have one.
        seed: of ``random``.
        engine: the name of an engine, or one made before.
        watch: called once with the number of cycles, None where that is not known; returns what is called with the
            number of cycles that are done.

    Raises:
        InputError: the circuit has no registers, a value is missing, or the stimulus is too short.

    >>> from serialformer import compile
    >>> from serialformer.circuits.formats.aiger.aiger import parse_sequential_aiger
    >>> toggle = parse_sequential_aiger(b"aag 1 0 1 1 0\\n2 3\\n2\\nl0 q\\n", name="toggle.aag")
    >>> run_cycles(compile(toggle), num_cycles=3).outputs
    ({'out': 0}, {'out': 1}, {'out': 0})
    """
    if num_cycles is None and stimulus is None:
        raise InputError("how many cycles?", hint="--cycles N, or --stimulus IN.csv with one row per cycle")
    if not model.registers:
        raise InputError(
            "is a combinational circuit: it has no registers to feed back",
            where=None if model.directory is None else str(model.directory),
            hint="run it without --cycles; --batch IN.csv runs many inputs",
        )
    values, chosen = values or {}, model.engine(engine) if isinstance(engine, str) else engine
    names = {register.name for register in model.registers}
    simulation = model.simulation(
        {name: value for name, value in values.items() if name in names},
        fill=fill,
        generator=np.random.default_rng(seed) if fill == "random" else None,
        engine=chosen,
    )
    held = {name: value for name, value in values.items() if name not in names}
    num_cycles, rows = _stimulus(simulation, held, num_cycles, None if stimulus is None else Path(stimulus))
    started = time.perf_counter()
    outputs: list[dict[str, int]] = []
    with ExitStack() as files:
        table = files.enter_context(new_file(Path(output))) if isinstance(output, str | os.PathLike) else output
        wave = None if vcd is None else _Wave(model, files, Path(vcd))
        advance = None if watch is None else watch(num_cycles)
        words = model.outputs[len(model.registers) :]
        answers = None if table is None else files.enter_context(_rows(table, words))
        for bits in rows:
            cycle = simulation.step_bits(bits)
            if answers is not None:
                answers(cycle)
            else:
                outputs.append(cycle.outputs)
            if wave is not None:
                wave.write(cycle)
            if advance is not None:
                advance(1)
        if wave is not None:
            wave.end(simulation)
    return CycleRun(
        cycles=simulation.cycles_done,
        outputs=tuple(outputs),
        state=simulation.state,
        engine=chosen.name,
        tokens=simulation.cycles_done * model.num_new_tokens,
        seconds=time.perf_counter() - started,
    )


@contextmanager
def _rows(table: BinaryIO, words: Sequence[Word]) -> Iterator[Callable[[Cycle], None]]:
    """Yields what writes the outputs of a cycle: a block of rows at a time, and the rest however it ends."""
    made: list[UInt8[np.ndarray, " made"]] = []

    def flush() -> None:
        if made:
            write_block(table, words, np.stack(made))
            made.clear()

    def add(cycle: Cycle) -> None:
        made.append(cycle.made)
        if len(made) == CYCLES_PER_BLOCK:
            flush()

    write_header(table, words)
    try:
        yield add
    finally:
        flush()


class _Wave:
    """Registers, inputs and outputs of each cycle in a VCD file."""

    def __init__(self, model: Model, files: ExitStack, path: Path) -> None:
        num_registers = len(model.registers)
        self._num_state = count_state_bits(model.registers, model.inputs)
        later = model.words.num_inputs - self._num_state
        scopes = {
            "registers": model.inputs[:num_registers],
            "inputs": model.inputs[num_registers:],
            "outputs": _moved(model.outputs[num_registers:], later),
        }
        num_bits = later + model.words.num_outputs
        self._last = np.zeros(num_bits, dtype=np.uint8)
        self._writer = VcdWriter(files.enter_context(new_file(path)), scopes, num_bits=num_bits)

    def write(self, cycle: Cycle) -> None:
        self._last = np.concatenate([cycle.given, cycle.made[self._num_state :]])
        self._writer.write(cycle.number, self._last)

    def end(self, simulation: Simulation) -> None:
        """Shows what the last cycle has left in the registers, for one cycle more."""
        self._last = self._last.copy()
        self._last[: self._num_state] = simulation.state_bits
        self._writer.write(simulation.cycles_done, self._last)
        self._writer.end(simulation.cycles_done + 1)


def _stimulus(
    simulation: Simulation, held: Mapping[str, int], num_cycles: int | None, path: Path | None
) -> tuple[int | None, Iterator[UInt8[np.ndarray, " inputs"]]]:
    """How many cycles there will be, if that is known, and the bits of the inputs in each."""
    words = simulation.input_words
    num_bits = sum(len(word.places) for word in words)
    if path is None:
        constant = values_to_bits(words, held, num_bits)
        return num_cycles, islice(repeat(constant), num_cycles)
    free = [word for word in words if word.name not in held]
    # The held values are checked, and take their places, with zeros in the others'.
    constant = values_to_bits(words, {**{word.name: 0 for word in free}, **held}, num_bits)
    places = np.array([place for word in free for place in word.places], dtype=np.int64)
    number = {place: rank for rank, place in enumerate(places.tolist())}
    columns = [replace(word, bits=tuple(ABSENT if p == ABSENT else number[p] for p in word.bits)) for word in free]
    if path.is_file():  # what is wrong with it is said before the first cycle
        num_rows = sum(len(block) for block in read_blocks(path, columns, ROWS_PER_BLOCK))
        num_cycles = num_rows if num_cycles is None else num_cycles
        if num_rows < num_cycles:
            raise _too_short(path, num_rows, num_cycles)

    def rows() -> Iterator[UInt8[np.ndarray, " inputs"]]:
        done = 0
        for block in read_blocks(path, columns, ROWS_PER_BLOCK):
            for row in block[: None if num_cycles is None else num_cycles - done]:
                bits = constant.copy()
                bits[places] = row
                yield bits
                done += 1
            if done == num_cycles:
                return
        if num_cycles is not None:
            raise _too_short(path, done, num_cycles)

    return num_cycles, rows()


def _too_short(path: Path, num_rows: int, num_cycles: int) -> InputError:
    return InputError(
        f"expected a row for each of {num_cycles} cycles, found {num_rows}",
        where=str(path),
        hint="leave --cycles out to run as many cycles as there are rows",
    )


def _moved(words: Sequence[Word], by: int) -> list[Word]:
    """The words with each place moved up."""
    return [replace(word, bits=tuple(p if p == ABSENT else p + by for p in word.bits)) for word in words]
