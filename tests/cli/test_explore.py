"""The command ``explore``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from serialformer.models.construct import construct
from serialformer.tasks.registry import make_task
from tests.explorer.models import compiled_adder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    compiled_adder().save(directory / "adder")
    for task in ("parity", "majority"):
        construct(make_task(task), 4).save(directory / task)
    return directory


def content_of(page: Path) -> Any:
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page.read_text())
    assert found is not None
    return json.loads(found[1])


def test_the_page_of_a_circuit(models: Path, tmp_path: Path, cli: Any) -> None:
    page = tmp_path / "page.html"
    result = cli("explore", models / "adder", "-o", page)
    assert (result.status, result.err) == (0, "")
    assert result.out == f"page: {page}\nbytes: {page.stat().st_size}\nopen: file://{page}\n"
    content = content_of(page)
    assert (content["kind"], content["title"], content["live"]) == ("circuit", "adder", False)


def test_the_page_of_two_models_of_a_task(models: Path, tmp_path: Path, cli: Any) -> None:
    page = tmp_path / "page.html"
    result = cli("explore", models / "parity", models / "parity", "--samples", 3, "-o", page, "--json")
    assert result.status == 0
    assert json.loads(result.out) == {"page": str(page), "bytes": page.stat().st_size}
    content = content_of(page)
    assert [len(model["samples"]) for model in content["models"]] == [3, 3]


def test_errors_are_one_line_and_nothing_is_written(models: Path, tmp_path: Path, cli: Any) -> None:
    page = tmp_path / "page.html"
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ((tmp_path / "missing", "-o", page), "no such checkpoint directory"),
        ((tmp_path / "empty", "-o", page), "no such file"),
        ((models / "adder",), "expected either -o PAGE.html or --serve"),
        ((models / "adder", "-o", page, "--serve"), "expected either -o PAGE.html or --serve"),
        ((models / "adder", "-o", page, "--port", 80), "--port requires --serve"),
        ((models / "adder", models / "parity", "-o", page), "only models of tasks can be shown side by side"),
        ((models / "parity", models / "adder", "-o", page), "only models of tasks can be shown side by side"),
        ((models / "parity", models / "majority", "-o", page), "expected two models of one task"),
        ((models / "adder", "-o", tmp_path), "is a directory"),
    ):
        result = cli("explore", *arguments)
        assert (result.status, result.out) == (2, "")
        assert message in result.err
        assert result.err.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_serving_says_where_and_ends_with_ctrl_c(models: Path) -> None:
    command = [sys.executable, "-m", "serialformer", "explore", str(models / "adder"), "--serve", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        with urllib.request.urlopen(address, timeout=60) as response:
            assert response.read(15) == b"<!doctype html>"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
