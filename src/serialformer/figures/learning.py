"""Learning curves: accuracy against CPU seconds, one panel per task, and attention to what the construction reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serialformer.figures.chance import chance_level
from serialformer.figures.depth import draw_chance
from serialformer.figures.points import describe_task
from serialformer.figures.sheet import Band, Panel
from serialformer.figures.style import BLACK, GREEN, GREY, ORANGE, PURPLE, SETTING_LINES, Axes, draw_share_axis
from serialformer.sweeps.row import Row

STEP = "step "
"""Of the evaluations while a model trains."""

FINE_TUNED = ((GREEN, 4.0), (ORANGE, 2.2), (PURPLE, 1.0))
"""Colour and width of lines that lie on each other."""

RANDOM = "random"
COLUMNS = 2


def curves_of(rows: Sequence[Row]) -> list[list[Row]]:
    """The evaluations of each run while it trained, in the order of its steps."""
    runs: dict[str, list[Row]] = {}
    for row in rows:
        if row.evaluation.startswith(STEP):
            runs.setdefault(row.run, []).append(row)
    return [sorted(found, key=lambda row: row.steps) for found in runs.values()]


def learning_bands(rows: Sequence[Row]) -> list[Band]:
    """First the accuracy of the settings after the same time, then where models look while they train."""
    curves = curves_of(rows)
    learnt = [curve for curve in curves if "start" not in curve[0].variable]
    watched = [curve for curve in curves if "start" in curve[0].variable]
    return [
        *_bands(learnt, draw_accuracy, "share of samples right", "Learning"),
        *_bands(watched, draw_attention, "share of attention", "Where it looks"),
    ]


def _bands(curves: Sequence[list[Row]], draw: Any, upright: str, heading: str) -> list[Band]:
    groups: dict[tuple[str, str, int], list[list[Row]]] = {}
    for curve in curves:
        groups.setdefault((curve[0].task, curve[0].parameters, curve[0].length), []).append(curve)

    def make_panel(place: tuple[str, str, int], group: Sequence[list[Row]]) -> Panel:
        title = f"{describe_task(*place[:2])}, length {place[2]}"
        return Panel(title=title, draw=lambda axes: draw(axes, group))

    panels = [make_panel(place, group) for place, group in groups.items()]
    starts = range(0, len(panels), COLUMNS)
    labels = [SETTING_NAMES[setting] for setting in SETTING_NAMES] if draw is draw_accuracy else _starts(curves)
    return [
        Band(
            heading=heading if start == 0 else "",
            panels=panels[start : start + COLUMNS],
            across="CPU seconds",
            upright=upright,
            labels=labels if start == starts[-1] else (),
        )
        for start in starts
    ]


SETTING_NAMES = {"base": "base: answers", "hint": "hint: answers", "cot": "cot: whole chains"}


def _starts(curves: Sequence[list[Row]]) -> list[str]:
    starts = dict.fromkeys(f"from {curve[0].variable['start']}" for curve in curves)
    return [*starts, "whole chains, from random"]


def draw_accuracy(axes: Axes, curves: Sequence[list[Row]]) -> Mapping[str, Any]:
    """The paper's measure while models train, one line per run."""
    handles = {}
    for curve in curves:
        setting = curve[0].setting
        style = SETTING_LINES[setting]
        right = [(row.chains if setting in ("cot", "aligned") else row.answers) / row.samples for row in curve]
        label = SETTING_NAMES.get(setting, setting)
        seconds = [row.cpu_seconds for row in curve]
        (handles[label],) = axes.plot(seconds, right, color=style.colour, linestyle=style.dashes)
    first = curves[0][0]
    chance = chance_level(first.task, first.parameters, first.length)
    if chance is not None:
        draw_chance(axes, [chance])
    draw_share_axis(axes)
    axes.set_xlim(0, None)
    return handles


def draw_attention(axes: Axes, curves: Sequence[list[Row]]) -> Mapping[str, Any]:
    """The share of attention to what the construction reads, one line per run, by the start of training."""
    handles = {}
    starts = list(dict.fromkeys(curve[0].variable["start"] for curve in curves))
    tuned = [start for start in starts if start != RANDOM]
    for curve in curves:
        start, seconds = curve[0].variable["start"], [row.cpu_seconds for row in curve]
        colour, width = (BLACK, 1.6) if start == RANDOM else FINE_TUNED[tuned.index(start) % len(FINE_TUNED)]
        if start == RANDOM:
            whole = [row.chains / row.samples for row in curve]
            (handles["whole chains, from random"],) = axes.plot(seconds, whole, color=GREY, linewidth=0.8)
        shares = [row.measure["pointer_share"] for row in curve]
        (handles[f"from {start}"],) = axes.plot(seconds, shares, color=colour, linewidth=width)
    draw_share_axis(axes)
    axes.set_xlim(0, None)
    return handles
