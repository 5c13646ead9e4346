"""Messages on stderr for people: lines and, on a terminal after two seconds, a progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

SECONDS_BEFORE_SHOWN = 2.0
SECONDS_BETWEEN_FRAMES = 0.2


def say(text: str) -> None:
    """Writes a line for people; standard output is reserved for data."""
    print(text, file=sys.stderr)


class Interrupted(Exception):
    """Ctrl-C, with how far the work had come. Not a KeyboardInterrupt, which typer takes for itself."""


@dataclass
class _Work:
    """What is being done: written by the thread that does it, read by the one that shows it."""

    what: str
    total: int | None
    unit: str
    done: int = 0
    note: str = ""


class Advance(Protocol):
    """Receives the number of items done since the last call, and an optional note to show."""

    def __call__(self, count: int, note: str = "", /) -> None: ...


@contextmanager
def progress_bar(what: str, total: int | None, *, unit: str = "") -> Iterator[Advance]:
    """Yields a function that advances the bar; with ``total`` None the bar only shows activity.

    Raises:
        Interrupted: on Ctrl-C, once what was begun has been cleaned up.
    """
    work = _Work(what, total, unit)

    def advance(count: int, note: str = "", /) -> None:
        work.done += count
        work.note = note

    try:
        if sys.stderr.isatty():
            with _shown(work):
                yield advance
        else:
            yield advance
    except KeyboardInterrupt:
        of_total = "" if total is None else f" of {total}"
        raise Interrupted(f"interrupted after {work.done}{of_total} {unit}" if unit else "interrupted") from None


@contextmanager
def _shown(work: _Work) -> Iterator[None]:
    """Shows the progress from a separate thread, so that the bar appears whatever the work does."""
    ended = Event()
    thread = Thread(target=_show, args=(work, time.perf_counter(), ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _make_bar(console: Console) -> Progress:
    """A bar that leaves room for its figures on a line of 80 columns."""
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=10), TextColumn("{task.fields[figures]}"))
    return Progress(*columns, console=console, transient=True, auto_refresh=False, redirect_stdout=False)


def _show(work: _Work, started: float, ended: Event) -> None:
    if ended.wait(SECONDS_BEFORE_SHOWN):
        return
    from rich.console import Console

    with _make_bar(Console(stderr=True)) as bar:
        task = bar.add_task(work.what, total=work.total, figures="")
        while True:
            seconds = time.perf_counter() - started
            figures = _figures(work, seconds)
            bar.update(task, completed=work.done, figures=figures)
            bar.refresh()
            if ended.wait(SECONDS_BETWEEN_FRAMES):
                return


def _figures(work: _Work, seconds: float) -> str:
    """How much is done, how fast, and the time left; with a note, that comes first and takes the place of the rate.

    >>> _figures(_Work("thinking", 40_000, "tokens", 4_000), 8.0)
    '4,000/40,000 tokens, 500 tokens/s, 1:12 left'
    >>> _figures(_Work("training", 1_000, "steps", 250, "accuracy 0.9731"), 8.0)
    'accuracy 0.9731, 250/1,000 steps, 0:24 left'
    >>> _figures(_Work("compiling", None, ""), 61.2)
    '1:01'
    """
    if not work.unit:
        return f"{work.note}, {format_seconds(seconds)}" if work.note else format_seconds(seconds)
    of_total = "" if work.total is None else f"/{work.total:,}"
    rate = work.done / seconds
    done = f"{work.done:,}{of_total} {work.unit}"
    figures = f"{work.note}, {done}" if work.note else f"{done}, {rate:,.0f} {work.unit}/s"
    if work.total is None or not work.done:
        return f"{figures}, {format_seconds(seconds)}"
    return f"{figures}, {format_seconds(max(0, work.total - work.done) / rate)} left"


def format_seconds(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any.

    >>> format_seconds(3661.7)
    '1:01:01'
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
