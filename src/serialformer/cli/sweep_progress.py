"""How a sweep goes: a live table on a terminal, one line per run elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from serialformer.cli.progress import format_seconds
from serialformer.sweeps.executor import Event
from serialformer.sweeps.experiment import Experiment

if TYPE_CHECKING:
    from rich.table import Table

MAX_ROWS = 16
"""Of the table: runs that go on, and the last that have ended."""


class SweepProgress:
    """Receives the events of a sweep and shows them.

    Args:
        num_runs: of the whole sweep, with those that are stored already.
    """

    def __init__(self, num_runs: int) -> None:
        self._num_runs = num_runs
        self._going: dict[str, tuple[Event, float]] = {}
        self._ended: deque[Event] = deque(maxlen=MAX_ROWS)
        self._work: dict[str, float] = {}
        self._work_done = self._work_all = 0.0
        self._started = time.perf_counter()
        self._live: Any = None
        self.num_stored = self.num_failed = 0
        """Runs that are in the store, and runs that failed now."""

    def begin(self, left: Sequence[Experiment]) -> None:
        """The store has all but these."""
        self.num_stored = self._num_runs - len(left)
        self._work = {run.id: run.work for run in left}
        self._work_all = sum(self._work.values())
        self._started = time.perf_counter()
        if left and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                get_renderable=self._table,
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                refresh_per_second=2,
            )
            self._live.start()

    def report(self, event: Event) -> None:
        """What is heard of a run."""
        identity = event.run.id
        if event.state in ("done", "failed"):
            self._going.pop(identity, None)
            self._ended.append(event)
            self._work_done += self._work.get(identity, 0.0)
            self.num_stored += event.state == "done"
            self.num_failed += event.state == "failed"
        else:
            since = self._going[identity][1] if identity in self._going else time.perf_counter()
            self._going[identity] = (event, since)
        if self._live is None and event.state in ("done", "failed", "again"):
            number = self.num_stored + self.num_failed
            print(f"{number}/{self._num_runs} {describe(event)}{self._left()}", file=sys.stderr, flush=True)

    def _left(self) -> str:
        seconds = self.seconds_left()
        return "" if not seconds else f"; {format_seconds(seconds)} left"

    def seconds_left(self) -> float | None:
        """From the work done so far, as sizes estimate it; None before there is any."""
        done = self._work_done
        for event, _ in list(self._going.values()):
            done += self._work.get(event.run.id, 0.0) * event.step / event.run.num_steps
        if not done:
            return None
        return (self._work_all - done) / done * (time.perf_counter() - self._started)

    def _table(self) -> Table:
        from rich.table import Table

        going, ended = list(self._going.values()), list(self._ended)
        left = len(self._work) - self._num_now() - len(going)
        title = (
            f"{self.num_stored} of {self._num_runs} runs done, {self.num_failed} failed, {left} waiting{self._left()}"
        )
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for name in ("run", "state", "accuracy", "left"):
            table.add_column(name, justify="left" if name in ("run", "state") else "right", no_wrap=True)
        shown = going[:MAX_ROWS]
        for event in ended[max(0, len(ended) - (MAX_ROWS - len(shown))) :]:
            state = "done" if event.state == "done" else f"failed: {event.reason.splitlines()[0]}"
            table.add_row(event.run.title, state, _share(event.accuracy), "")
        for event, since in shown:
            steps, seconds = event.run.num_steps, time.perf_counter() - since
            rest = format_seconds(seconds * (steps - event.step) / event.step) if event.step else ""
            table.add_row(event.run.title, f"step {event.step}/{steps}", _share(event.accuracy), rest)
        return table

    def _num_now(self) -> int:
        """Runs that have ended in this call."""
        return self.num_stored + self.num_failed - (self._num_runs - len(self._work))

    def __enter__(self) -> SweepProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def describe(event: Event) -> str:
    """An event in a line."""
    title = f"{event.run.id} {event.run.title}"
    if event.state == "done":
        return (
            f"done {title}: accuracy {_share(event.accuracy)} after {event.step} steps, {format_seconds(event.seconds)}"
            if event.accuracy is not None
            else f"done {title}: {format_seconds(event.seconds)}"
        )
    reason = " | ".join(event.reason.splitlines())
    return f"{'failed' if event.state == 'failed' else 'trying again'} {title}: {reason}"


def _share(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{accuracy:.4f}"
