"""The sheets of experiments: what is drawn is what the rows say."""

from __future__ import annotations

import json
from math import log2
from typing import Any

import pytest

from serialformer.figures.experiments import (
    bounds_sheet,
    circuit_depth_sheet,
    damage_sheet,
    learning_sheet,
    precision_sheet,
    width_sheet,
)
from serialformer.figures.sheet import Band
from serialformer.sweeps.row import Row
from tests.figures.rows import make_row


def drawn(band: Band, number: int, axes: Any) -> dict[str, list[tuple[float, float]]]:
    """The points of each line of a panel that the legend names."""
    handles = band.panels[number].draw(axes)
    return {
        name: list(zip(map(float, line.get_xdata()), map(float, line.get_ydata()), strict=True))
        for name, line in handles.items()
    }


def measured_row(variables: dict[str, Any], measures: dict[str, Any]) -> Row:
    return make_row(variables=json.dumps(variables), measures=json.dumps(measures))


def test_width(axes: Any) -> None:
    sizes = {1000: (1009, 44), 100: (107, 36)}
    rows = [
        measured_row({"gates": gates}, {"chain": gates, "positions": positions, "width": width})
        for gates, (positions, width) in sizes.items()
    ]
    bands, _ = width_sheet(rows)
    lines = drawn(bands[0], 0, axes)
    assert list(lines) == list(bands[0].labels)
    assert lines["compiled"] == [(100, 36), (1000, 44)]
    assert dict(lines["6 log2(T) + 14"]) == pytest.approx({100: 6 * log2(107) + 14, 1000: 6 * log2(1009) + 14})


def test_precision_leaves_out_codes_that_never_find_every_position(axes: Any) -> None:
    found = {("plain", 4): 2, ("plain", 16): None, ("plain, offset", 16): None, ("interleaved", 16): 1}
    rows = [
        measured_row({"code": code, "positions": positions}, {"precision": precision})
        for (code, positions), precision in found.items()
    ]
    bands, _ = precision_sheet(rows)
    assert drawn(bands[0], 0, axes) == {"plain": [(4, 2)], "interleaved": [(16, 1)]}
    assert list(bands[0].labels) == ["plain", "interleaved"]


def test_damage_adds_up_small_circuits_and_leaves_the_large_one_out(axes: Any) -> None:
    counts = {("parity8", 0.5): (20, 5, 10), ("adder4", 0.5): (20, 15, 20), ("parity8", 0.25): (10, 10, 10)}
    counts[("multiplier16", 0.5)] = (100, 0, 0)
    rows = [
        measured_row(
            {"ablation": "noise", "weights": "all", "dtype": "bfloat16", "circuit": circuit, "level": level},
            {"checkpoints": total, "certified": certified, "right": right},
        )
        for (circuit, level), (total, certified, right) in counts.items()
    ]
    bands, _ = damage_sheet(rows)
    assert [panel.title for band in bands for panel in band.panels] == ["noise, all weights: deviation"]
    assert drawn(bands[0], 0, axes) == {
        "certified, bfloat16": [(0.5, 0.5), (0.25, 1.0)],
        "every token right, bfloat16": [(0.5, 0.75), (0.25, 1.0)],
    }


def test_learning_draws_each_setting_by_its_own_measure(axes: Any) -> None:
    looks = {"cot": [(20, 1.0, 10, 60), (40, 2.0, 90, 95)], "base": [(20, 0.5, 0, 40), (40, 1.5, 0, 55)]}
    rows = [
        make_row(
            setting=setting, evaluation=f"step {step}", steps=step, cpu_seconds=seconds, chains=chains, answers=right
        )
        for setting, curve in looks.items()
        for step, seconds, chains, right in reversed(curve)
    ]
    bands, _ = learning_sheet(rows)
    assert drawn(bands[0], 0, axes) == {
        "cot: whole chains": [(1.0, 0.1), (2.0, 0.9)],
        "base: answers": [(0.5, 0.4), (1.5, 0.55)],
    }


def test_learning_draws_attention_of_runs_that_were_watched(axes: Any) -> None:
    rows = [
        make_row(
            evaluation=f"step {step}",
            steps=step,
            cpu_seconds=step / 20,
            chains=step,
            variables=json.dumps({"start": start}),
            measures=json.dumps({"pointer_share": share}),
            seed=seed,
        )
        for seed, (start, share) in enumerate({"random": 0.25, "construction": 1.0}.items())
        for step in (20, 40)
    ]
    bands, _ = learning_sheet(rows)
    assert [band.heading for band in bands] == ["Where it looks"]
    assert drawn(bands[0], 0, axes) == {
        "whole chains, from random": [(1.0, 0.2), (2.0, 0.4)],
        "from random": [(1.0, 0.25), (2.0, 0.25)],
        "from construction": [(1.0, 1.0), (2.0, 1.0)],
    }


def test_bounds(axes: Any) -> None:
    def bounds_row(family: str, length: int, depth: int, wires: int, layers: int = 1) -> Row:
        return measured_row(
            {"family": family, "length": length, "layers": layers, "chain": 0}, {"depth": depth, "wires": wires}
        )

    rows = [
        *(bounds_row("cascade", length, 312, 10 * length**2) for length in (8, 4, 16)),
        *(bounds_row("chain", length, 311 * length, 7 * length) for length in (4, 8)),
        bounds_row("cascade", 4, 578, 1, layers=2),
        bounds_row("pass", 4, 312, 1),
    ]
    bands, note = bounds_sheet(rows)
    depth, wires, parity = (drawn(band, 0, axes) for band in bands)
    assert depth == {
        "cascades": [(4, 312), (8, 312), (16, 312)],
        "a chain of n - 2 tokens": [(4, 311 * 4), (8, 311 * 8)],
    }
    assert wires == {
        "cascades: n^2.0": [(4, 160), (8, 640), (16, 2560)],
        "a chain of n - 2 tokens: n^1.0": [(4, 28), (8, 56)],
    }
    ours = dict(parity["cascades, as fitted: n^2.0"])
    assert ours[16] == pytest.approx(log2(10 * (2**16) ** 2))
    bound = dict(parity["parity at depth 312, at least"])
    assert bound[16] == pytest.approx(0.1 ** (312 / 311) * 2 ** (16 / 311))
    # The bound says more than a polynomial only for lengths that nobody has.
    assert bound[2048] < ours[2048] and bound[16384] > ours[16384]
    assert "Håstad" in note[0] and [list(band.labels) for band in bands] == [[*depth], [*wires], [*parity]]
    assert bounds_sheet([bounds_row("pass", 4, 312, 1)])[0] == []


def test_accuracy_by_circuit_depth_is_the_median_of_the_seeds(axes: Any) -> None:
    def row(layers: int, depth: int, seed: int, right: int, samples: int = 100) -> Row:
        variables = json.dumps({"circuit_depth": depth})
        return make_row(right, setting="base", depth=layers, seed=seed, variables=variables, samples=samples)

    rows = [
        *(row(1, 1, seed, right) for seed, right in enumerate((90, 70, 95))),
        *(row(1, 2, seed, right) for seed, right in enumerate((60, 61, 62))),
        row(4, 2, 0, 99),
        row(4, 9, 0, 3, samples=19),
        make_row(50, setting="base"),
    ]
    bands, note = circuit_depth_sheet(rows)
    assert len(bands) == 1 and list(bands[0].labels) == ["1", "4"]
    assert drawn(bands[0], 0, axes) == {"1": [(1, 0.9), (2, 0.61)], "4": [(2, 0.99)]}
    assert "at least 20 circuits" in note[0]
    assert circuit_depth_sheet(rows[-1:])[0] == []
