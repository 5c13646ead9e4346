"""Figures as files: by suffix, whole or not at all, the same bytes every time; and matplotlib as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serialformer.errors import FigureError
from serialformer.figures.plot import plot_rows
from serialformer.figures.sheet import check_suffix, make_sheet, styled, write_figure
from serialformer.figures.style import draw_doubling_axis
from serialformer.figures.text import cut_text, text_width, wrap_text
from tests.figures.rows import make_row

BEGINNINGS = {".png": b"\x89PNG\r\n", ".svg": b"<?xml", ".pdf": b"%PDF-", ".PNG": b"\x89PNG\r\n"}


def some_figure() -> Any:
    return plot_rows([make_row(90, setting="base"), make_row(80, depth=2)])


@pytest.mark.parametrize("suffix", BEGINNINGS)
def test_formats_and_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    with styled():
        for name in ("a", "b"):
            write_figure(some_figure(), tmp_path / f"{name}{suffix}")
    first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("a", "b"))
    assert first.startswith(BEGINNINGS[suffix]) and first == second
    if suffix == ".svg":
        assert b"<dc:date>" not in first and b"nan" not in first.lower().replace(b"dejavusans", b"")
    if suffix == ".png":
        width, height = (int.from_bytes(first[start : start + 4]) for start in (16, 20))
        assert width >= 200 * 3.4 and height > 200


def test_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with styled():
        figure = some_figure()
        monkeypatch.setattr(figure, "savefig", lambda file, **options: file.write(b"half") and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_figure(figure, tmp_path / "figure.png")
        with pytest.raises(FigureError, match=r"figure\.jpg: expected a name that ends in \.png, \.svg or \.pdf"):
            write_figure(figure, tmp_path / "figure.jpg")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FigureError, match="found no ending"):
        check_suffix("figure")


def test_matplotlib_is_left_as_it_was() -> None:
    import matplotlib

    matplotlib.rcParams["font.size"] = 13
    try:
        before = dict(matplotlib.rcParams)
        with styled():
            assert matplotlib.rcParams["font.size"] == 7
        assert dict(matplotlib.rcParams) == before
    finally:
        matplotlib.rcParams["font.size"] = matplotlib.rcParamsDefault["font.size"]


def test_nothing_to_draw() -> None:
    with pytest.raises(FigureError, match="there is nothing to draw"):
        make_sheet([])


def test_texts_fit() -> None:
    text = "one run failed and is left out of what is drawn above"
    lines = wrap_text(text, 60, 7)
    assert " ".join(lines) == text and all(text_width(line, 7) <= 60 for line in lines)
    assert text_width(" ".join([lines[0], lines[1].split()[0]]), 7) > 60, "no line is shorter than it must be"
    cut = cut_text("x" * 100, 60, 7)
    assert cut.endswith("…") and 50 < text_width(cut, 7) <= 60
    assert wrap_text("x" * 100, 60, 7) == [cut]


def test_ticks_are_thinned(axes: Any) -> None:
    draw_doubling_axis(axes, list(range(1, 65)))
    written = [int(label.get_text()) for label in axes.get_xticklabels() if label.get_text()]
    assert written[0] == 1 and written[-1] == 64 and len(written) <= 6
    assert len(axes.get_xticks()) == 64
