"""``run --cycles``: a sequential circuit's clock, the state fed back as the next prompt."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from serialformer.cli.progress import progress_bar
from serialformer.cli.values import parse_assignments
from serialformer.errors import InputError
from serialformer.models.cycles import run_cycles
from serialformer.models.load import load


class InitialOption(StrEnum):
    ZERO = "zero"
    RANDOM = "random"


@dataclass(frozen=True, kw_only=True)
class ClockOptions:
    """The options of ``run`` that are for sequential circuits; see ``serialformer.run_cycles``."""

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
    """Runs a model of a sequential circuit for some cycles; the outputs go to stdout unless a file is named.

    Raises:
        InputError: it has no registers, an input or an initial value is missing, or the stimulus is too short.
    """
    if options.seed is not None and options.initial != InitialOption.RANDOM:
        raise InputError("--seed requires --initial random")
    if options.cycles is None and options.stimulus is None:
        raise InputError("how many cycles?", hint="--cycles N, or --stimulus IN.csv with one row per cycle")
    model = load(directory)
    with ExitStack() as bars:
        run = run_cycles(
            model,
            parse_assignments(assignments),
            num_cycles=options.cycles,
            stimulus=options.stimulus,
            output=options.output or (None if as_json else sys.stdout.buffer),
            vcd=options.vcd,
            fill=None if options.initial is None else options.initial.value,
            seed=options.seed or 0,
            engine=engine,
            watch=lambda total: bars.enter_context(progress_bar("running", total, unit="cycles")),
        )
    sys.stdout.buffer.flush()
    if as_json:
        facts = {
            "cycles": run.cycles,
            **({} if options.output is not None else {"outputs": run.outputs}),
            "state": run.state,
            "engine": run.engine,
            "tokens": run.tokens,
            "seconds": run.seconds,
        }
        print(json.dumps(facts))
