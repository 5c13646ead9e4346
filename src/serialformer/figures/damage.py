"""Damage: one panel an ablation, the shares of checkpoints that are certified and that are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serialformer.figures.sheet import Band, Panel
from serialformer.figures.style import BLUE, VERMILION, Axes, draw_share_axis
from serialformer.sweeps.row import Row

LARGE = "multiplier16"
"""The circuit whose checkpoints are not added to those of the small ones."""

PANELS = (
    ("noise", "all", "noise, all weights", "deviation"),
    ("noise", "position_embedding", "noise, positions", "deviation"),
    ("bit_flips", "all", "flipped bits", "bits"),
    ("integers_per_tensor", "all", "integers, a scale\nper tensor", "bits"),
    ("integers_per_channel", "all", "integers, a scale\nper channel", "bits"),
    ("integers_per_channel_power_of_two", "all", "scales that are\npowers of two", "bits"),
    ("attention_gap", "queries", "attention gap", "least gap"),
    ("answer", "mlp_output", "feed-forward output,\nscaled", "factor"),
)
"""Ablation, weights, title, and what the horizontal axis shows."""

TICKS = {
    "noise": [2.0**-16, 2.0**-8, 2.0**-1],
    "bit_flips": [1.0, 16.0, 256.0],
    "attention_gap": [64.0, 16.0, 4.0, 1.0],
    "answer": [1.0, 0.5, 0.25],
}
COLOURS = {"float32": BLUE, "bfloat16": VERMILION}
COLUMNS = 2

Counts = Mapping[str, tuple[int, int, int]]
"""By level, least damage first: checkpoints, those certified, those right."""


def sum_levels(rows: Sequence[Row], ablation: str, weights: str, dtype: str, *, large: bool = False) -> Counts:
    """For each level, the sum over the small circuits, or the large one's."""
    levels: dict[str, tuple[int, int, int]] = {}
    for row in rows:
        found = row.variable
        same = (found["ablation"], found["weights"], found["dtype"]) == (ablation, weights, dtype)
        if same and (found["circuit"] == LARGE) == large:
            known, level = levels.get(str(found["level"]), (0, 0, 0)), row.measure
            counts = (level["checkpoints"], level["certified"], level["right"])
            levels[str(found["level"])] = (known[0] + counts[0], known[1] + counts[1], known[2] + counts[2])
    return levels


def damage_bands(rows: Sequence[Row]) -> list[Band]:
    """Two panels a band, for those ablations of which there are rows."""
    panels = []
    for ablation, weights, title, across in PANELS:
        counts = {dtype: sum_levels(rows, ablation, weights, dtype) for dtype in COLOURS}
        counts = {dtype: levels for dtype, levels in counts.items() if levels}
        if counts:
            panels.append((f"{title}: {across}", ablation, counts))
    labels = [f"{kind}, {dtype}" for dtype in COLOURS for kind in ("certified", "every token right")]
    return [
        Band(
            heading="Damaged checkpoints" if start == 0 else "",
            panels=[_make_panel(*panel) for panel in panels[start : start + COLUMNS]],
            across="level of damage",
            upright="share",
            labels=labels if start + COLUMNS >= len(panels) else (),
            height=0.85,
        )
        for start in range(0, len(panels), COLUMNS)
    ]


def _make_panel(title: str, ablation: str, counts: Mapping[str, Counts]) -> Panel:
    def draw(axes: Any) -> Mapping[str, Any]:
        return draw_damage(axes, ablation, counts)

    return Panel(title=title, draw=draw)


def draw_damage(axes: Axes, ablation: str, counts: Mapping[str, Counts]) -> dict[str, Any]:
    """Shares against the level of damage, which grows to the right.

    Args:
        axes: where.
        ablation: decides scale and ticks.
        counts: of each number format.

    Returns:
        What stands for each line in a legend.
    """
    handles = {}
    for dtype, levels in counts.items():
        places = [float(level) for level in levels]
        for part, kind in ((1, "certified"), (2, "every token right")):
            shares = [found[part] / found[0] for found in levels.values()]
            full = part == 1
            (handles[f"{kind}, {dtype}"],) = axes.plot(
                places, shares,
                color=COLOURS[dtype], linestyle="-" if full else (0, (3, 1.5)),
                marker="o" if dtype == "float32" else "s", markersize=2.6, markeredgewidth=0.7,
                markerfacecolor=COLOURS[dtype] if full else "white",
                clip_on=False, zorder=3 if dtype == "float32" else 2,
            )  # fmt: skip
    draw_share_axis(axes)
    first = next(iter(counts.values()))
    places = [float(level) for level in first]
    if ablation in ("noise", "bit_flips", "attention_gap"):
        axes.set_xscale("log", base=2)
    axes.minorticks_off()
    ticks = TICKS.get(ablation, places)
    axes.set_xticks(ticks, [_name(tick) for tick in ticks])
    if places[0] > places[-1]:
        axes.invert_xaxis()
    return handles


def _name(tick: float) -> str:
    """A power of two below 1/4 as such.

    >>> _name(0.00390625), _name(0.5), _name(16.0)
    ('2^-8', '0.5', '16')
    """
    power = 0
    while tick * 2**power < 1:
        power += 1
    return f"2^-{power}" if power > 2 and tick * 2**power == 1 else f"{tick:g}"
