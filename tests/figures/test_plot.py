"""Whole figures: which panels, what is said below them, sizes of text, and what is refused."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from serialformer.errors import FigureError
from serialformer.figures.chance import chance_level
from serialformer.figures.plot import choose_kind, of_tasks, paper_caption, plot_rows
from serialformer.figures.plot_logs import LoggedRun, plot_logs
from serialformer.figures.sheet import MAX_BANDS, styled
from serialformer.figures.style import COLUMN_WIDTH
from serialformer.tasks.curriculum import Curriculum
from serialformer.training.config import OptimiserConfig
from tests.figures.rows import grid, make_row

KIND_NAMES = ("depth", "heatmap", "lengths", "generated", "samples")


@pytest.fixture(autouse=True)
def in_style() -> Any:
    with styled():
        yield


def texts_of(figure: Any) -> list[Any]:
    """Every text of a figure that is seen, at the resolution of files, drawn once so that ticks have their labels."""
    from matplotlib import rcParams
    from matplotlib.text import Text

    figure.set_dpi(rcParams["savefig.dpi"])
    figure.draw_without_rendering()
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def note_of(figure: Any) -> str:
    return " ".join(figure.texts[-1].get_text().split())


def with_lengths() -> list[Any]:
    rows = grid(lengths=(2, 4))
    fresh = [replace(row, evaluation="fresh", evaluated_length=length) for row in rows for length in (2, 4)]
    return [*rows, *fresh]


def test_the_papers_panels() -> None:
    figure = plot_rows(grid())
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["base: answers", "hint: answers", "cot: whole chains"] * 2
    headings = [text.get_text() for text in figure.texts]
    assert headings[:2] == ["parity", "modular addition, modulus 7"]
    assert note_of(figure) == (
        "Markers: medians of the seeds, which are the faint dots. "
        "Where there is one seed, bars: 95 % intervals (Wilson) of the samples. "
        "Dotted grey: always the most common answer."
    )
    levels = [line.get_ydata()[0] for axes in figure.axes for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert len(levels) == 4, "chance is known of answers, not of whole chains"
    assert levels[:2] == pytest.approx([0.5, 0.5], abs=0.03)
    assert levels[2:] == pytest.approx([1 / 7, 1 / 7], abs=0.02)


def check_texts(figure: Any) -> None:
    """At the width of a column: no text below 6 points, beyond the edge or on another."""
    assert figure.get_figwidth() == COLUMN_WIDTH
    texts = texts_of(figure)
    assert len(texts) > 20 and min(text.get_fontsize() for text in texts) >= 6
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        assert not first.padded(-1).overlaps(second.padded(-1)), (one, other)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_text_is_readable_and_inside(kind: str) -> None:
    check_texts(plot_rows(with_lengths(), kind=kind))


def test_long_titles_are_wrapped() -> None:
    """Configurations that differ in much have titles that say so, and keep off each other."""
    rows = []
    for num_steps, rate in ((600, 5e-3), (3000, 2e-3), (6000, 1e-3)):
        optimiser = OptimiserConfig(num_steps=num_steps, learning_rate=rate, batch_size=num_steps // 10)
        row = make_row(config={"optimiser": optimiser}, lengths=(4, 8))
        rows += [replace(row, evaluation="fresh", evaluated_length=length) for length in (4, 8)]
    figure = plot_rows(rows, kind="lengths")
    check_texts(figure)
    titles = [" ".join(axes.get_title().split()) for axes in figure.axes]
    assert "trained at 8 batch size 60, learning rate 0.005, num steps 600" in titles


def test_settings_stand_under_each_other() -> None:
    rows = [
        make_row(setting="cot"),
        *(make_row(setting=setting, task="majority") for setting in ("base", "aligned", "cot")),
    ]
    figure = plot_rows(rows)
    places: dict[str, set[Any]] = {axes.get_title(): set() for axes in figure.axes}
    for axes in figure.axes:
        places[axes.get_title()].add(round(axes.get_position().x0, 6))
    assert [len(found) for found in places.values()] == [1, 1, 1]
    assert set(places) == {"base: answers", "aligned:\nwhole chains", "cot: whole chains"}
    assert figure.axes[0].get_ylabel() == "share right", "named at a band's first panel, wherever it stands"


def test_failed_runs_are_counted() -> None:
    failed = [
        make_row(task="modular-addition", seed=seed, status="failed", evaluation="", samples=0) for seed in (5, 6)
    ]
    overcome = make_row(1, seed=0)
    rows = [make_row(1, seed=0, status="failed", evaluation="", samples=0), overcome, make_row(1, depth=2)]
    assert "failed" not in note_of(plot_rows(rows))
    assert note_of(plot_rows([*rows, *failed])).endswith(" 2 runs failed and are left out.")
    assert "failed" not in note_of(plot_rows([*rows, *failed], tasks=["parity"]))


def test_a_curriculum_is_declared() -> None:
    schedule = Curriculum(name="neutral", start=0.8, num_steps=500)
    eased = [make_row(setting="cot", curriculum=schedule, steps=500), make_row(setting="base")]
    assert note_of(plot_rows(eased)).endswith(
        "Trained with a curriculum (parity (cot): neutral 0.8 to 0 over 500 steps);"
        " evaluated on the task's own distribution."
    )
    assert "(parity: neutral" in note_of(plot_rows(eased[:1]))
    assert "curriculum" not in note_of(plot_rows(eased[1:]))
    several = [make_row(setting="cot", config={"shortest": 2})]
    assert note_of(plot_rows(several)).endswith("Some were trained on batches of several lengths (2 to 8).")


def test_a_curriculum_that_did_not_end_is_declared() -> None:
    schedule = Curriculum(name="neutral", start=0.8, num_steps=500)
    rows = [make_row(seed=seed, curriculum=schedule, steps=steps) for seed, steps in enumerate((500, 100, 300))]
    assert "2 of 3 runs ended before their curriculum did, which stood at 0.32 to 0.64." in note_of(plot_rows(rows))
    assert "did, which stood at 0.64." in note_of(plot_rows(rows[1:2]))


def test_labels_of_hint_at_first_are_declared() -> None:
    rows = [make_row(setting="base", task="circuit-value", config={"hinted_steps": 1500}), make_row(setting="hint")]
    sentence = "Models without a chain had the labels of hint for their first steps (circuit value: 1,500)."
    assert sentence in note_of(plot_rows(rows)) and sentence in paper_caption(rows)
    assert "for their first steps" not in paper_caption(rows[1:])


def test_shallow_baselines_are_drawn_and_named() -> None:
    rows = [make_row(task="circuit-value", setting="base", length=8)]
    figure = plot_rows(rows)
    (axes,) = figure.axes
    levels = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert levels == pytest.approx([0.5, 0.78, 0.91], abs=0.01)
    assert "; above it, the best guess from the last gate's type and its inputs' types as well." in note_of(figure)


def test_the_papers_figure_has_a_row_for_each_setting_and_a_column_for_each_task() -> None:
    rows = [
        make_row(task=task, setting=setting, depth=depth, seed=seed)
        for task in ("circuit-value", "modular-addition")
        for setting in ("cot", "base")
        for depth in (1, 4)
        for seed in (0, 1)
    ] + [make_row(task="circuit-value", setting="hint")]
    figure = plot_rows(rows, kind="paper")
    headings = [text.get_text() for text in figure.texts if text.get_text()]
    assert headings == ["base: answers", "hint: answers", "cot: whole chains"], "the caption is outside the picture"
    assert [axes.get_title().split()[0] for axes in figure.axes[:2]] == ["modular", "circuit"]
    assert len(figure.axes) == 6 and len({axes.get_xlim() for axes in figure.axes}) == 1
    assert [text.get_text() for text in figure.axes[2].texts] == ["not run"]
    caption = paper_caption(rows)
    assert caption.startswith("Markers are medians of the seeds, which are the faint dots. Dotted,")
    with pytest.raises(FigureError, match="no evaluations that end a training in base, hint or cot"):
        plot_rows([make_row(setting="filler")], kind="paper")


def test_squarings_have_a_line_for_each_number_where_a_store_has_them() -> None:
    """With the level of prompts for that number; a final evaluation alone is one line, and so are whole chains."""
    task = {"task": "iterated-squaring", "config": {"parameters": {"bound": 12}}, "length": 8}
    finals = [make_row(50, setting=setting, depth=depth, **task) for setting in ("base", "cot") for depth in (1, 2)]
    numbered = [
        make_row(
            10 * number + row.depth,
            setting=row.setting,
            depth=row.depth,
            **task,
            evaluation=f"{number} squarings",
            variables=json.dumps({"squarings": number}),
            generated_samples=0,
        )
        for row in finals
        for number in range(1, 9)
    ]

    def lines_in(axes: Any) -> list[list[float]]:
        drawn = [line for line in axes.lines if list(line.get_xdata()) == [1, 2] and line.get_linestyle() != "None"]
        return [list(line.get_ydata()) for line in drawn]

    base, cot = plot_rows([*finals, *numbered], kind="paper").axes
    assert lines_in(base) == [[0.21, 0.22], [0.41, 0.42], [0.81, 0.82]]
    ones = [sum(pow(residue, 4, prime) == 1 for residue in range(1, prime)) / (prime - 1) for prime in (2, 3, 5, 7, 11)]
    levels = [line.get_ydata()[0] for line in base.lines if list(line.get_xdata()) == [0, 1]]
    assert levels[0] == pytest.approx(sum(ones) / 5, abs=0.02)
    assert lines_in(cot) == [[0.5, 0.5]]
    legend = [text.get_text() for text in cot.get_legend().get_texts()]
    assert legend == ["2", "4", "8"], "a line that is drawn in another row only is in the legend, too"
    caption = paper_caption([*finals, *numbered])
    assert "For squarings, a line is for prompts of exactly that number; models were trained on all numbers." in caption
    assert "squarings" not in paper_caption(finals)
    (base, _) = plot_rows(finals, kind="paper").axes
    assert lines_in(base) == [[0.5, 0.5]]


def test_variants_have_panels_of_their_own() -> None:
    rows = [make_row(width=width, seed=seed) for width in (64, 128) for seed in (0, 1)]
    figure = plot_rows(rows)
    assert [text.get_text() for text in figure.texts[:-1]] == ["parity, width 64", "parity, width 128"]
    fresh = [
        make_row(width=width, lengths=(4, 8), evaluation="fresh", evaluated_length=length)
        for width in (64, 128) for length in (4, 8)
    ]  # fmt: skip
    assert [axes.get_title() for axes in plot_rows(fresh).axes] == [
        "trained at 8\nwidth 128", "trained at 8\nwidth 64",
    ]  # fmt: skip


def test_the_kind_is_chosen() -> None:
    assert choose_kind(grid()) == "depth" == choose_kind(with_lengths())
    one_depth = [row for row in with_lengths() if row.depth == 1]
    assert choose_kind(one_depth) == "lengths"
    assert choose_kind([row for row in one_depth if row.evaluation == "final"]) == "depth"


def test_many_lines_and_settings() -> None:
    lengths = range(2, 16)
    settings = ("base", "filler", "hint", "aligned", "cot")
    rows = [make_row(length, setting=setting, length=length) for length in lengths for setting in settings]
    figure = plot_rows(rows)
    assert len(figure.axes) == 5 and figure.get_figwidth() > COLUMN_WIDTH
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [str(length) for length in lengths]
    for text in texts_of(figure):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.get_figwidth() * figure.dpi, text.get_text()


def test_a_dollar_sign_is_no_formula() -> None:
    row = replace(make_row(), parameters='{"name": "$a_1$ ' + "x" * 300 + '"}')
    figure = plot_rows([row])
    assert figure.texts[0].get_text().startswith("parity, name $a_1$") and "…" in figure.texts[0].get_text()
    texts_of(figure)


def test_a_task_with_some_of_its_parameters() -> None:
    rows = [replace(make_row(), parameters=json.dumps({"constants": value})) for value in (0.0, 0.2)]
    assert of_tasks(rows, ["parity"]) == rows == of_tasks(rows, [])
    assert of_tasks(rows, ["parity:constants=0.2"]) == rows[1:]
    assert of_tasks(rows, ["parity:constants=0.2", "parity:constants=0.0"]) == rows
    with pytest.raises(FigureError, match="no rows of 'parity:constants=1'"):
        of_tasks(rows, ["parity:constants=1"])


def test_refusals() -> None:
    rows = [make_row()]
    failed = make_row(status="failed", evaluation="")
    for arguments, message in (
        (([],), "figure: no finished runs\nhint: serialformer sweep fills a store"),
        (([failed],), "figure: no finished runs, and 1 that failed\nhint: serialformer sweep fills a store"),
    ):
        with pytest.raises(FigureError) as caught:
            plot_rows(*arguments)
        assert str(caught.value) == message
    for options, message in (
        ({"kind": "pie"}, "--kind: no kind 'pie'\nhint: one of depth, heatmap, lengths, generated, samples"),
        ({"measure": "luck"}, "--measure: no measure 'luck'\nhint: one of paper, generated, tokens"),
        ({"tasks": ["majority"]}, "--task: no rows of 'majority'\nhint: it has parity"),
        ({"kind": "lengths"}, "--kind lengths: no evaluations on lengths besides the trained"),
    ):
        with pytest.raises(FigureError) as caught:
            plot_rows(rows, **options)
        assert str(caught.value).startswith(message)
    with pytest.raises(FigureError, match="no runs with a target"):
        plot_rows([make_row(target=None)], kind="samples")
    with pytest.raises(FigureError, match=f"{MAX_BANDS + 1} rows of panels, over {MAX_BANDS}"):
        plot_rows([make_row(width=4 * width) for width in range(1, MAX_BANDS + 2)])


def test_chance() -> None:
    assert chance_level("parity", "{}", 8) == pytest.approx(0.5, abs=0.02)
    assert chance_level("permutation-composition", '{"degree": 3, "format": "token"}', 6) == pytest.approx(
        1 / 6, abs=0.02
    )
    assert chance_level("a-task-that-was", "{}", 8) is None


def test_logs() -> None:
    log = [{"step": 10 * step, "loss": 0.9**step} for step in range(1, 50)]
    evaluated = [*log, {"step": 490, "chain_accuracy": 0.75}]
    facts = {"task": "parity", "length": "8"}
    runs = [
        LoggedRun(name=f"run{place}", facts={**facts, "setting": setting}, log=evaluated)
        for place, setting in enumerate(("base", "cot"))
    ]
    figure = plot_logs(runs)
    loss, accuracy = figure.axes
    assert len(loss.lines) == 4 and [line.get_ydata().tolist() for line in accuracy.lines] == [[0.75]] * 2
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["base", "cot"]
    assert figure.texts[0].get_text() == "parity, length 8"
    twice = plot_logs([runs[0], replace(runs[0], name="again")])
    assert [text.get_text() for text in twice.legends[0].get_texts()] == ["run0", "again"]
    assert len(plot_logs([replace(runs[0], log=log)]).axes) == 1, "not evaluated yet"
    with pytest.raises(FigureError, match="no step is logged yet"):
        plot_logs([replace(runs[0], log=[])])


def make_frontier(depth: int, right: int) -> Any:
    """A row of a construction of so many layers."""
    return replace(make_row(right, setting="base", depth=depth), experiment="frontier", evaluation="measured")


def test_constructions_are_lines_in_the_papers_panels() -> None:
    """Without marks, beside trainings or alone."""
    frontier = [make_frontier(depth, right) for depth, right in ((4, 100), (1, 50), (2, 75))]
    trained = [make_row(20, setting="base", depth=1), make_row(30, setting="base", depth=4)]
    for rows in (frontier, [*trained, *frontier]):
        assert choose_kind(rows) == "paper"
        (axes,) = plot_rows(rows).axes
        lines = [line for line in axes.get_lines() if line.get_marker() == "None" and len(line.get_xdata()) == 3]
        assert [(list(line.get_xdata()), list(line.get_ydata())) for line in lines] == [([1, 2, 4], [0.5, 0.75, 1.0])]
        assert "what constructions of that many layers reach" in paper_caption(rows)
    assert "constructions" not in paper_caption(trained)
