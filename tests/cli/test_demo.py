"""The tour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import serialformer


def test_the_tour_multiplies_and_proves(tmp_path: Path, cli: Any) -> None:
    directory = tmp_path / "tour"
    result = cli("demo", "-o", directory)
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "circuit     1,185 gates, depth 181; it multiplies two words of 16 bits"
    assert "answer      51234 x 47111 = 2413684974  (correct)" in lines
    assert any(line.startswith("certified   all 2^32 inputs, from the weights: attention gap 5") for line in lines)
    page = directory / "page.html"
    link = lines.index(f"page        {page.as_uri()}")
    assert lines[link + 1].split()[:4] == [f"{page.stat().st_size / 1e6:.2f}", "MB:", "open", "it"]
    assert page.read_text().startswith("<!doctype html>")
    assert '"num_inputs":32' in page.read_text()
    model = serialformer.load(directory)
    assert model.run(a=65535, b=65535)["product"] == 65535 * 65535


def test_the_tour_overwrites_nothing(tmp_path: Path, cli: Any) -> None:
    (tmp_path / "mine").mkdir()
    result = cli("demo", "-o", tmp_path / "mine")
    assert result.status == 2
    assert result.err == f"error: {tmp_path}/mine: exists already\nhint: --force replaces it; or choose another name\n"
    assert not list((tmp_path / "mine").iterdir())
