"""A progress bar on stderr, only for people: shown on a terminal, and only once it has taken two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BEFORE_SHOWN = 2.0


@contextmanager
def progress_bar(what: str, total: int | None, *, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how many more are done; ``total`` None shows that something goes on."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [TextColumn(what), BarColumn()]
    columns += (
        [TimeElapsedColumn()] if total is None else [MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn()]
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=total is None) as bar:
        bar.live.auto_refresh = total is None
        task = bar.add_task(what, total=total, visible=total is None)
        started = shown = time.perf_counter()

        def advance(count: int) -> None:
            nonlocal shown
            bar.update(task, advance=count)
            now = time.perf_counter()
            if now - started > SECONDS_BEFORE_SHOWN and now - shown > 0.1:
                bar.update(task, visible=True)
                bar.refresh()
                shown = now

        yield advance
