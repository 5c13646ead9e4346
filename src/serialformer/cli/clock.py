"""``run --cycles``: a sequential circuit's clock, the state fed back as the next prompt."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice, repeat
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8

from serialformer.circuits.sequential.registers import count_state_bits
from serialformer.circuits.sequential.simulation import Cycle, Simulation
from serialformer.circuits.sequential.vcd import VcdWriter
from serialformer.circuits.words import ABSENT, Word, values_to_bits
from serialformer.cli.progress import progress_bar
from serialformer.cli.tables import read_blocks, write_block, write_header
from serialformer.cli.values import parse_assignments
from serialformer.errors import InputError
from serialformer.files import new_file
from serialformer.models.load import load
from serialformer.models.model import Model

ROWS_PER_BLOCK = 1024
"""Of the stimulus, read together."""

CYCLES_PER_BLOCK = 256
"""Of the outputs, written together."""


class InitialOption(StrEnum):
    ZERO = "zero"
    RANDOM = "random"


@dataclass(frozen=True, kw_only=True)
class ClockOptions:
    """What ``run`` was asked of a sequential circuit.

    Attributes:
        cycles: how many cycles; None: as many as the stimulus has rows.
        stimulus: a CSV file, a row a cycle and a column an input word that ``-i`` does not hold.
        vcd: where the waveform goes.
        output: where the outputs go, a row a cycle; None: stdout.
        initial: what registers begin with that have no initial value.
        seed: of random initial values.
    """

    cycles: int | None
    stimulus: Path | None
    vcd: Path | None
    output: Path | None
    initial: InitialOption | None
    seed: int | None

    @property
    def is_asked(self) -> bool:
        return any(value is not None for value in (self.cycles, self.stimulus, self.vcd, self.initial, self.seed))


def run_clock(
    directory: Path, assignments: Sequence[str], options: ClockOptions, engine: str, *, as_json: bool
) -> None:
    """Runs a model of a sequential circuit for some cycles.

    Raises:
        InputError: it has no registers, an input or an initial value is missing, or the stimulus is too short.
    """
    if options.seed is not None and options.initial != InitialOption.RANDOM:
        raise InputError("--seed goes with --initial random")
    if options.cycles is None and options.stimulus is None:
        raise InputError("how many cycles?", hint="--cycles N, or --stimulus IN.csv with a row a cycle")
    model = load(directory)
    if not model.registers:
        raise InputError(
            "is a combinational circuit: it has no registers to feed back",
            where=str(directory),
            hint="run it without --cycles; --batch IN.csv runs many inputs",
        )
    values, chosen = parse_assignments(assignments), model.engine(engine)
    names = {register.name for register in model.registers}
    simulation = model.simulation(
        {name: value for name, value in values.items() if name in names},
        fill=None if options.initial is None else options.initial.value,
        generator=np.random.default_rng(options.seed or 0) if options.initial == InitialOption.RANDOM else None,
        engine=chosen,
    )
    held = {name: value for name, value in values.items() if name not in names}
    num_cycles, rows = _stimulus(simulation, held, options)
    started = time.perf_counter()
    outputs: list[dict[str, int]] = []
    words = model.outputs[len(model.registers) :]
    rows_wanted = not as_json or options.output is not None
    with ExitStack() as files:
        table = sys.stdout.buffer if options.output is None else files.enter_context(new_file(options.output))
        wave = None if options.vcd is None else _Wave(model, files, options.vcd)
        advance = files.enter_context(progress_bar("running", num_cycles, unit="cycles"))
        answers = files.enter_context(_rows(table, words)) if rows_wanted else None
        for bits in rows:
            cycle = simulation.step_bits(bits)
            if answers is not None:
                answers(cycle)
            else:
                outputs.append(cycle.outputs)
            if wave is not None:
                wave.write(cycle)
            advance(1)
        if wave is not None:
            wave.end(simulation)
    sys.stdout.buffer.flush()
    if as_json:
        facts = {
            "cycles": simulation.cycles_done,
            **({} if rows_wanted else {"outputs": outputs}),
            "state": simulation.state,
            "engine": chosen.name,
            "tokens": simulation.cycles_done * model.num_new_tokens,
            "seconds": time.perf_counter() - started,
        }
        print(json.dumps(facts))


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
    simulation: Simulation, held: Mapping[str, int], options: ClockOptions
) -> tuple[int | None, Iterator[UInt8[np.ndarray, " inputs"]]]:
    """How many cycles there will be, if that is known, and the bits of the inputs in each."""
    words = simulation.input_words
    num_bits = sum(len(word.places) for word in words)
    if options.stimulus is None:
        constant = values_to_bits(words, held, num_bits)
        return options.cycles, islice(repeat(constant), options.cycles)
    path = options.stimulus
    free = [word for word in words if word.name not in held]
    # The held values are checked, and take their places, with zeros in the others'.
    constant = values_to_bits(words, {**{word.name: 0 for word in free}, **held}, num_bits)
    places = np.array([place for word in free for place in word.places], dtype=np.int64)
    number = {place: rank for rank, place in enumerate(places.tolist())}
    columns = [replace(word, bits=tuple(ABSENT if p == ABSENT else number[p] for p in word.bits)) for word in free]
    num_cycles = options.cycles
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
    """The words with each place so much later."""
    return [replace(word, bits=tuple(p if p == ABSENT else p + by for p in word.bits)) for word in words]
