"""The figures of experiments other than trainings: for each kind, the bands of a sheet and the sentences below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2

from serialformer.figures.bounds import bounds_bands
from serialformer.figures.circuit_depth import BY_DEPTH, FEWEST_SAMPLES, circuit_depth_bands
from serialformer.figures.curves import Curve, draw_curves
from serialformer.figures.damage import damage_bands
from serialformer.figures.learning import learning_bands
from serialformer.figures.sheet import Band, Panel
from serialformer.sweeps.row import Row

Sheet = tuple[list[Band], list[str]]
"""Bands, and the sentences of the note."""


def width_sheet(rows: Sequence[Row]) -> Sheet:
    """How wide compiled circuits are, against the length of their chains, and a twin for every signal beside it."""
    measures = [row.measure for row in rows]
    compiled: Curve = [(found["chain"], found["width"]) for found in measures]
    twins: Curve = [(found["chain"], 6 * log2(found["positions"]) + 14) for found in measures]
    names = ("compiled", "6 log2(T) + 14")
    panel = Panel(title="", draw=lambda axes: draw_curves(axes, {names[0]: compiled}, {names[1]: twins}))
    band = Band(
        heading="Compiled circuits", panels=[panel], across="tokens of the chain", upright="width", labels=names
    )
    return [band], ["T: positions, prompt and chain. One circuit each, of random gates."]


def precision_sheet(rows: Sequence[Row]) -> Sheet:
    """The least precision at which each kind of code finds every position."""
    curves: dict[str, list[tuple[int, int]]] = {"plain": [], "plain, offset": [], "interleaved": []}
    for row in rows:
        if row.measure["precision"] is not None:
            curves[row.variable["code"]].append((row.variable["positions"], row.measure["precision"]))
    drawn = {name: curve for name, curve in curves.items() if curve}
    panel = Panel(title="", draw=lambda axes: draw_curves(axes, drawn, base=2, joined=True))
    band = Band(
        heading="Codes of positions", panels=[panel], across="positions", upright="least precision s",
        labels=list(drawn), height=1.6,
    )  # fmt: skip
    return [band], ["The least number of bits at which every position is found."]


def damage_sheet(rows: Sequence[Row]) -> Sheet:
    """The shares of damaged checkpoints that are certified, and that are right."""
    return damage_bands(rows), ["Small circuits together; damage grows to the right."]


def learning_sheet(rows: Sequence[Row]) -> Sheet:
    """Accuracy, and attention to what the construction reads, while models train."""
    return learning_bands(rows), [
        "CPU seconds with evaluations and sampling included. Dotted grey: always the most common answer."
    ]


def bounds_sheet(rows: Sequence[Row]) -> Sheet:
    """Depth and wires of circuits that compute what transformers compute."""
    return bounds_bands(rows), [
        "F_1 and one layer, except where the legend says otherwise. Depth includes the copies that delay an output to"
        " the depth that layers and precision give. The bound on parity is Håstad's (1986)."
    ]


def circuit_depth_sheet(rows: Sequence[Row]) -> Sheet:
    """Accuracy of models of each number of layers on circuits of each depth."""
    return circuit_depth_bands(rows), [
        f"Medians of the seeds, which are the faint dots; depths with at least {FEWEST_SAMPLES} circuits a seed."
    ]


SHEETS: dict[str, Callable[[Sequence[Row]], Sheet]] = {
    "width": width_sheet,
    "precision": precision_sheet,
    "damage": damage_sheet,
    "bounds": bounds_sheet,
    BY_DEPTH: circuit_depth_sheet,
    "learning": learning_sheet,
}
"""By the kind of figure; all but the last are also kinds of experiments."""
