"""Circuits of transformers against the length of the prompt: their depth, their wires, and what parity would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2
from typing import Any

from serialformer.figures.curves import Curve, draw_curves
from serialformer.figures.sheet import Band, Panel
from serialformer.sweeps.row import Row

NAMES = {
    "cascade": "cascades",
    "thresholds": "threshold gates",
    "serial": "term by term",
    "at once": "log2 n tokens at once",
    "chain": "a chain of n - 2 tokens",
    "layers": "log2 n + 1 layers",
}
"""The families of circuits that are drawn, and what the legend calls them."""

LOGARITHMS = tuple(round(2 ** (quarter / 4)) for quarter in range(12, 57))
"""Of the lengths at which the line of parity is drawn, to base 2: lengths up to 2^16384."""


def bounds_bands(rows: Sequence[Row]) -> list[Band]:
    """Depth, wires, and what a circuit of that depth takes for parity, each a band."""
    depth, wires = _curves(rows, "depth"), _curves(rows, "wires")
    if not depth:
        return []
    fitted = {name: fit_exponent(curve) for name, curve in wires.items()}
    named = {f"{name}: n^{fitted[name]:.1f}": curve for name, curve in wires.items()}
    bands = [
        Band(
            heading="Depth of the circuit",
            panels=[Panel(title="", draw=lambda axes: _draw(axes, depth))],
            across="bits of the prompt, n", upright="depth", labels=list(depth), height=1.5,
        ),
        Band(
            heading="Its wires, and the fitted exponent",
            panels=[Panel(title="", draw=lambda axes: _draw(axes, named))],
            across="bits of the prompt, n", upright="wires", labels=list(named), height=1.5,
        ),
    ]  # fmt: skip
    if NAMES["cascade"] in wires:
        bands.append(_parity_band(wires[NAMES["cascade"]], depth[NAMES["cascade"]]))
    return bands


def fit_exponent(curve: Curve) -> float:
    """The slope of the line through the logarithms, by least squares; 0 for one point.

    >>> round(fit_exponent([(2, 12.0), (4, 48.0), (8, 192.0)]), 6)
    2.0
    """
    points = [(log2(size), log2(number)) for size, number in curve]
    mean = [sum(axis) / len(points) for axis in zip(*points, strict=True)]
    spread = sum((x - mean[0]) ** 2 for x, _ in points)
    return sum((x - mean[0]) * (y - mean[1]) for x, y in points) / spread if spread else 0.0


def parity_wires(log_length: int, depth: int) -> float:
    """The binary logarithm of the gates that parity takes at a depth, by Håstad's bound.

    Circuits of depth d for parity of n bits have more than 2^((1/10)^(d/(d-1)) n^(1/(d-1))) gates, for large n
    (Håstad, Almost optimal lower bounds for small depth circuits, STOC 1986).

    Args:
        log_length: log2 n.
        depth: d, at least 2.

    >>> round(parity_wires(20, 3), 2), round(parity_wires(20, 312), 4)
    (32.38, 0.1038)
    """
    return float(0.1 ** (depth / (depth - 1)) * 2 ** (log_length / (depth - 1)))


def _parity_band(wires: Curve, depth: Curve) -> Band:
    """Ours and what parity takes, far beyond what is measured: a polynomial meets the bound only there."""
    exponent = fit_exponent(wires)
    largest, number = max(wires)
    offset = log2(number) - exponent * log2(largest)
    levels = max(level for _, level in depth)
    ours = f"cascades, as fitted: n^{exponent:.1f}"
    lines: dict[str, Curve] = {
        ours: [(size, offset + exponent * size) for size in LOGARITHMS],
        f"parity at depth {levels}, at least": [(size, parity_wires(size, int(levels))) for size in LOGARITHMS],
        "parity at depth 30, at least": [
            (size, parity_wires(size, 30)) for size in LOGARITHMS if parity_wires(size, 30) < 1e6
        ],
    }

    def draw(axes: Any) -> Mapping[str, Any]:
        handles = draw_curves(axes, {}, lines, upright="log")
        axes.set_ylim(0.1, 1e6)
        return handles

    return Band(
        heading="What parity would take",
        panels=[Panel(title="", draw=draw)],
        across="log2 of the bits of the prompt", upright="log2 of wires", labels=list(lines), height=1.5,
    )  # fmt: skip


def _curves(rows: Sequence[Row], measure: str) -> dict[str, Curve]:
    curves: dict[str, list[tuple[int, float]]] = {name: [] for name in NAMES.values()}
    for row in rows:
        name = NAMES.get(row.variable["family"])
        if name is not None and (row.variable["layers"] == 1 or row.variable["family"] == "layers"):
            curves[name].append((row.variable["length"], row.measure[measure]))
    return {name: sorted(curve) for name, curve in curves.items() if curve}


def _draw(axes: Any, curves: Mapping[str, Curve]) -> Mapping[str, Any]:
    return draw_curves(axes, curves, base=2, joined=True, upright="log")
