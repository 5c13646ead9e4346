"""A sweep: what its store does not have yet is carried out, and stored as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from serialformer.sweeps.executor import Event, Executor
from serialformer.sweeps.experiment import Experiment
from serialformer.sweeps.store import Say, Store
from serialformer.sweeps.work import failed_row


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a call came to, in numbers of runs.

    Attributes:
        num_runs: all.
        num_skipped: those that the store had.
        num_done: those that were done now.
        num_failed: those that failed now.
    """

    num_runs: int
    num_skipped: int
    num_done: int
    num_failed: int


def collect(
    runs: Sequence[Experiment],
    path: str | Path,
    make_executor: Callable[[], Executor],
    *,
    report: Callable[[Event], None] | None = None,
    begin: Callable[[Sequence[Experiment]], None] | None = None,
    say: Say = print,
) -> Sweep:
    """Carries out the runs that a store does not have, and appends their rows.

    A run that fails becomes a row with its reason, and the others go on; the next call tries it again from its
    beginning. Interrupted or killed, the next call goes on where this one was.

    Args:
        runs: each once.
        path: of the store.
        make_executor: called once it is known that there is something to do, and that nobody else does it.
        report: is told what is heard of the runs, once it is stored.
        begin: is told which runs are to be done, before the first.
        say: is told what the user ought to know.

    Raises:
        SweepError: the store or the executor cannot go on; what is stored stays.
    """
    num_done = num_failed = 0
    with Store(path, say) as store:
        left = [run for run in runs if not store.is_done(run)]
        if begin is not None:
            begin(left)
        if left:
            executor = make_executor()
            # An executor's iterator is a generator: closing it ends what it has begun.
            with closing(cast(Any, executor.carry_out(left, frozenset(store.failed)))) as events:
                for event in events:
                    if event.state == "done":
                        store.append(event.rows)
                        num_done += 1
                    elif event.state == "failed":
                        row = failed_row(event.run, event.reason, device=executor.device, seconds=event.seconds)
                        store.append([row])
                        num_failed += 1
                    if report is not None:
                        report(event)
    return Sweep(num_runs=len(runs), num_skipped=len(runs) - len(left), num_done=num_done, num_failed=num_failed)
