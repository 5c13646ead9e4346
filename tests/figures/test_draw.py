"""What is drawn is what was counted: lines, bars, dots, cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from serialformer.figures.curves import draw_curves
from serialformer.figures.depth import draw_depth
from serialformer.figures.generated import draw_generated
from serialformer.figures.heat_map import draw_heat_map
from serialformer.figures.lengths import draw_lengths
from serialformer.figures.loss import draw_accuracy, draw_loss, smooth
from serialformer.figures.measures import MEASURES
from serialformer.figures.samples import count_samples, draw_samples
from serialformer.figures.style import SETTING_LINES, line_style
from serialformer.models.score import wilson_interval
from tests.figures.rows import make_row


def bar_ends(handle: Any) -> list[tuple[float, float]]:
    """Low and high end of each error bar."""
    (bars,) = handle.lines[2]
    return [(low, high) for (_, low), (_, high) in bars.get_segments()]


def test_depth(axes: Any) -> None:
    counts = {(8, 1): (90, 70), (8, 4): (100, 100), (16, 1): (3, 5)}
    rows = [
        make_row(right, length=length, depth=depth, seed=seed)
        for (length, depth), of_seeds in counts.items()
        for seed, right in enumerate(of_seeds)
    ]
    handles = draw_depth(axes, rows[::-1])
    assert list(handles) == [8, 16]
    assert handles[8].lines[0].get_xydata().tolist() == [[1, 160 / 200], [4, 1]]
    assert handles[16].lines[0].get_xydata().tolist() == [[1, 8 / 200]]
    (bars,) = handles[8].lines[2]
    assert not any(map(len, bars.get_segments())), "several seeds show their own spread"
    dots = [
        dot
        for collection in axes.collections
        if len(collection.get_offsets()) > 1
        for dot in collection.get_offsets().tolist()
    ]
    assert sorted(dots) == [[1, 0.03], [1, 0.05], [1, 0.7], [1, 0.9], [4, 1], [4, 1]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "4"]
    bottom, top = axes.get_ylim()
    assert bottom < 0 and top > 1


def test_a_failed_seed_does_not_pull_the_line_down_and_is_seen(axes: Any) -> None:
    handles = draw_depth(axes, [make_row(right, seed=seed) for seed, right in enumerate((100, 98, 3))])
    assert handles[8].lines[0].get_xydata().tolist() == [[1, 0.98]]
    (dots,) = (found for found in axes.collections if len(found.get_offsets()) > 1)
    assert dots.get_offsets()[:, 1].tolist() == [1.0, 0.98, 0.03]


def test_a_single_seed_has_an_interval(axes: Any) -> None:
    handles = draw_depth(axes, [make_row(90), make_row(100, depth=4)])
    np.testing.assert_allclose(bar_ends(handles[8]), [wilson_interval(90, 100), wilson_interval(100, 100)], atol=1e-12)


def test_tokens_have_no_interval(axes: Any) -> None:
    handles = draw_depth(axes, [make_row(30)], measure=MEASURES["tokens"])
    assert handles[8].lines[0].get_ydata().tolist() == [0.3] and handles[8].lines[2] == ()


def test_one_seed_has_no_dots(axes: Any) -> None:
    draw_depth(axes, [make_row(30)])
    assert not [
        collection
        for collection in axes.collections
        if hasattr(collection, "get_sizes") and len(collection.get_sizes())
    ]


def test_heat_map(axes: Any) -> None:
    rows = [
        make_row(right, depth=depth, length=length) for right, depth, length in ((100, 1, 4), (0, 2, 4), (55, 1, 8))
    ]
    draw_heat_map(axes, rows)
    (mesh,) = axes.collections
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), -1).reshape(2, 2), [[1, 0], [0.55, -1]])
    cells = {(round(text.get_position()[0]), round(text.get_position()[1])): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "100", (1, 0): "0", (0, 1): "55", (1, 1): "–"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["4", "8"], "lengths go upwards"
    assert axes.get_ylim()[0] < axes.get_ylim()[1]


@pytest.mark.parametrize(("shortest", "marks"), [(None, 1), (2, 1)])
def test_lengths(axes: Any, shortest: int | None, marks: int) -> None:
    rows = [
        make_row(
            right, setting=setting, lengths=(2, 4, 8), evaluation="fresh", evaluated_length=length,
            config={"shortest": shortest},
        )
        for setting, of_lengths in (("cot", (100, 80, 60)), ("base", (50, 40, 30)))
        for length, right in zip((2, 4, 8), of_lengths, strict=True)
    ]  # fmt: skip
    handles = draw_lengths(axes, rows)
    assert list(handles) == ["base", "cot"]
    assert handles["cot"].lines[0].get_xydata().tolist() == [[2, 1], [4, 0.8], [8, 0.6]]
    assert handles["base"].lines[0].get_ydata().tolist() == [0.5, 0.4, 0.3]
    np.testing.assert_allclose(bar_ends(handles["base"])[0], wilson_interval(50, 100), atol=1e-12)
    if shortest is None:
        assert [line.get_xdata() for line in axes.lines if list(line.get_xdata()) == [8, 8]] == [[8, 8]]
    else:
        (band,) = axes.patches
        assert (band.get_x(), band.get_x() + band.get_width()) == (2, 8)


def test_generated(axes: Any) -> None:
    row = make_row(40, generated_answers=10, generated_samples=20)
    draw_generated(axes, [row])
    full, hollow = [line for line in axes.lines if line.get_marker() == "o"]
    assert full.get_ydata().tolist() == [0.4] and hollow.get_ydata().tolist() == [0.5]
    assert hollow.get_markerfacecolor() == "white" and hollow.get_linestyle() == "None"
    ends = [(low, high) for collection in axes.collections for (_, low), (_, high) in collection.get_segments()]
    np.testing.assert_allclose(ends, [wilson_interval(40, 100), wilson_interval(10, 20)], atol=1e-12)


def test_samples(axes: Any) -> None:
    took = {0: (100, True), 1: (300, True), 2: (900, False)}
    rows = [
        make_row(seed=seed, steps=steps, reached_target=reached, batch_size=64)
        for seed, (steps, reached) in took.items()
    ]
    rows.append(make_row(depth=2, steps=900, reached_target=False, batch_size=64))
    rows.append(make_row(depth=4, target=None))
    assert [(effort.depth, effort.samples, effort.solved) for effort in count_samples(rows)] == [
        (1, 6400, True), (1, 19200, True), (1, 57600, False), (2, 57600, False),
    ]  # fmt: skip
    draw_samples(axes, rows)
    solved, censored, medians = axes.lines
    assert solved.get_xydata().tolist() == [[1, 6400], [1, 19200]]
    assert censored.get_xydata().tolist() == [[1, 57600], [2, 57600]]
    assert censored.get_markerfacecolor() == "white" != solved.get_markerfacecolor()
    np.testing.assert_array_equal(medians.get_xydata(), [[1, 19200], [2, np.nan]])
    assert axes.get_yscale() == "log"


def test_loss(axes: Any) -> None:
    log = [{"step": 10 * step, "loss": 1 / step} for step in range(1, 201)]
    log.append({"step": 500, "chain_accuracy": 0.25})
    mean = draw_loss(axes, log, line_style(0), label="a run")
    raw = axes.lines[0]
    axes.figure.draw_without_rendering()
    assert {"0.01", "0.1", "1"} <= {label.get_text() for label in axes.get_yticklabels()}
    assert raw.get_xydata().tolist() == [[row["step"], row["loss"]] for row in log[:200]]
    assert mean.get_ydata().tolist()[0] == 1
    assert mean.get_ydata()[100] == pytest.approx(np.mean([1 / step for step in (99, 100, 101, 102, 103)]))


def test_accuracy_of_a_log(axes: Any) -> None:
    log = [{"step": 400, "loss": 0.5}, {"step": 500, "chain_accuracy": 0.25}]
    log.append({"step": 2000, "final": True, "chain_accuracy": 0.5})
    assert draw_accuracy(axes, log, line_style(0)).get_xydata().tolist() == [[500, 0.25]]


def test_smoothing_keeps_what_is_even() -> None:
    np.testing.assert_allclose(smooth(np.full(1000, 3.0)), 3.0)
    np.testing.assert_allclose(smooth(np.arange(1000.0)), np.arange(1000.0), atol=1e-9)
    assert smooth(np.array([])).tolist() == []


def test_width(axes: Any) -> None:
    handles = draw_curves(axes, {"compiled": [(100, 38), (10, 32)]}, {"6 log2(T) + 14": [(8, 32.0), (1024, 74.0)]})
    assert handles["compiled"].get_xydata().tolist() == [[10, 32], [100, 38]]
    assert handles["compiled"].get_linestyle() == "None" and handles["6 log2(T) + 14"].get_marker() == "None"
    assert axes.get_xscale() == "log" and axes.get_ylim()[0] == 0
    axes.figure.draw_without_rendering()
    assert {"10", "100", "1k"} <= {label.get_text() for label in axes.get_xticklabels()}


# Machado, Oliveira and Fernandes, 2009, severity 1; on linear light.
DEFICIENCIES = {
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}  # fmt: skip


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("styles", [[line_style(place) for place in range(5)], list(SETTING_LINES.values())])
def test_colours_are_told_apart(deficiency: str, styles: list[Any]) -> None:
    """At least 12 units of CIELAB between any two; 2.3 is what is just noticed side by side."""
    from matplotlib.colors import to_rgb

    coded = np.array([to_rgb(style.colour) for style in styles])
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(DEFICIENCIES[deficiency]).T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratios = seen @ to_xyz.T / to_xyz.sum(axis=1)
    roots = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    lab = np.stack(
        [116 * roots[:, 1] - 16, 500 * (roots[:, 0] - roots[:, 1]), 200 * (roots[:, 1] - roots[:, 2])], axis=1
    )
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert distances[np.triu_indices(len(styles), 1)].min() > 12


def test_lines_differ_without_their_colours() -> None:
    styles = [line_style(place) for place in range(42)]
    assert len({(style.marker, str(style.dashes)) for style in styles[:7]}) == 7
    assert len({style.marker for style in styles[:7]}) == 7 == len({str(style.dashes) for style in styles[:7]})
    assert len({(style.colour, style.marker, str(style.dashes)) for style in styles}) == 42
