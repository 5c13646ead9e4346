"""The progress bar: what it says fits a line of a terminal."""

from __future__ import annotations

import io
import re

from rich.console import Console

from serialformer.cli.progress import _figures, _make_bar, _Work


def test_the_longest_line_of_a_training_fits_80_columns() -> None:
    work = _Work("training", 1_000_000, "steps", 999_999, "accuracy 0.9731, loss 0.1234")
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with _make_bar(console) as bar:
        bar.add_task(work.what, total=work.total, completed=work.done, figures=_figures(work, 35_000_000.0))
        bar.refresh()
    text = re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", console.file.getvalue())
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    assert lines and all(line.startswith("training ") and line.rstrip().endswith(" left") for line in lines)
    assert max(map(len, lines)) <= 80
