"""From the logs of runs to a figure: loss and accuracy while they train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serialformer.errors import FigureError
from serialformer.figures.loss import LogRow, draw_accuracy, draw_loss
from serialformer.figures.sheet import Band, Figure, Panel, make_sheet
from serialformer.figures.style import SETTING_LINES, Style, line_style


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """One run.

    Attributes:
        name: of its directory.
        facts: what people tell it by (task, setting, length, ...), in order.
        log: the rows of ``log.jsonl``.
        curriculum: of its training, in words; empty if it trained on the task's own distribution.
    """

    name: str
    facts: Mapping[str, str]
    log: Sequence[LogRow]
    curriculum: str = ""


def plot_logs(runs: Sequence[LoggedRun]) -> Figure:
    """Loss above, whole chains right below, one line per run; to be called in ``styled()``.

    Raises:
        FigureError: no run has logged a step.
    """
    runs = [run for run in runs if any("loss" in row for row in run.log)]
    if not runs:
        raise FigureError("no step is logged yet", where="figure", hint="the log has a row every tenth step")
    last = max(row["step"] for run in runs for row in run.log)
    heading, labels = name_runs(runs)
    settings = [run.facts.get("setting", "") for run in runs]
    by_setting = len(set(settings)) == len(runs) and set(settings) <= set(SETTING_LINES)
    styles = [SETTING_LINES[setting] if by_setting else line_style(place) for place, setting in enumerate(settings)]

    def make_panel(draw: Callable[[Any, Sequence[LogRow], Style], Any]) -> Panel:
        def draw_all(axes: Any) -> Mapping[str, Any]:
            handles = {}
            for label, run, style in zip(labels, runs, styles, strict=True):
                handles[label] = draw(axes, run.log, style)
            axes.set_xlim(0, 1.02 * last)
            return handles

        return Panel(title="", draw=draw_all)

    bands = [Band(heading=heading, panels=[make_panel(draw_loss)], across="step", upright="loss")]
    if any("chain_accuracy" in row for run in runs for row in run.log):
        panel = make_panel(draw_accuracy)
        bands.append(Band(heading="", panels=[panel], across="step", upright="whole samples right", labels=labels))
    return make_sheet(bands, ["Thin: the loss of a batch; bold: its running mean.", *_curriculum_notes(runs, labels)])


def name_runs(runs: Sequence[LoggedRun]) -> tuple[str, list[str]]:
    """What all runs share, and what tells each from the others: the facts in which they differ, or its name.

    >>> runs = [LoggedRun(name=name, facts={"task": "parity", "seed": name[-1]}, log=()) for name in ("run0", "run1")]
    >>> name_runs(runs)
    ('parity', ['seed 0', 'seed 1'])
    """
    names = list(runs[0].facts)
    shared = [name for name in names if len({run.facts.get(name) for run in runs}) == 1]
    labels = [", ".join(_say(name, run.facts[name]) for name in names if name not in shared) for run in runs]
    if len(set(labels)) < len(labels) or len(runs) == 1:
        labels = [run.name for run in runs]
    if len(set(labels)) < len(labels):
        labels = [f"{place + 1}: {label}" for place, label in enumerate(labels)]
    return ", ".join(_say(name, runs[0].facts[name]) for name in shared), labels


def _say(name: str, value: str) -> str:
    return value if name in ("task", "setting") else f"{name} {value}"


def _curriculum_notes(runs: Sequence[LoggedRun], labels: Sequence[str]) -> list[str]:
    eased: dict[str, list[str]] = {}
    for run, label in zip(runs, labels, strict=True):
        if run.curriculum:
            eased.setdefault(run.curriculum, []).append(label)
    if not eased:
        return []
    parts = "; ".join(f"{', '.join(found)}: {schedule}" for schedule, found in eased.items())
    return [f"Trained with a curriculum ({parts}); accuracy is on the task's own distribution."]
