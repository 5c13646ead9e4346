"""Model cards: every checkpoint has one, and the lines that it shows run and give what it promises."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import serialformer
from serialformer import CircuitBuilder, Model, construct
from serialformer.circuits.circuit import Circuit
from serialformer.models.card import CITATION, model_card
from serialformer.tasks.registry import make_task
from tests.task_models import random_model

ROOT = Path(__file__).parents[2]


def carry() -> Circuit:
    build = CircuitBuilder()
    a, b = build.inputs("a", 2), build.inputs("b", 2)
    build.output("carry", build.and_(a[1], b[1]))
    build.output("odd", build.xor(a[0], b[0]))
    return build.circuit()


MODELS: dict[str, Callable[[], Model]] = {
    "gpt2": lambda: serialformer.compile(carry()),
    "llama": lambda: serialformer.compile(carry(), target="llama"),
    "paper": lambda: serialformer.compile(carry(), target="paper"),
    "columns": lambda: serialformer.compile(carry(), chain="none"),
    "packed": lambda: serialformer.compile(carry(), gates_per_token=2),
    "task": lambda: construct("permutation-composition", 3),
    "base": lambda: construct("parity", 4, setting="base"),
    "evaluator": lambda: construct("circuit-value", 3),
    "trained": lambda: random_model(make_task("parity"), 4),
}


def header(card: str) -> dict[str, str]:
    """The fields at the beginning of a card."""
    first, fields, _ = card.split("---\n", 2)
    assert first == ""
    return dict(line.split(": ", 1) for line in fields.splitlines())


@pytest.mark.parametrize("name", MODELS)
def test_every_checkpoint_has_a_card(name: str, tmp_path: Path) -> None:
    model = MODELS[name]().save(tmp_path / "m")
    card = (tmp_path / "m" / "README.md").read_text()
    assert card == model_card(model) and CITATION in card
    fields = header(card)
    assert ("library_name" in fields) == (name != "paper") and "license" not in fields
    assert fields["tags"].startswith("[serialformer, ")
    assert ("**Certified**" in card) == (name != "trained")
    assert header(model_card(model, licence="mit"))["license"] == "mit"


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"evaluator"}))
def test_its_lines_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    transformers.utils.logging.disable_progress_bar()
    model = MODELS[name]().save(tmp_path / "m")
    monkeypatch.chdir(tmp_path / "m")
    blocks = re.findall(r"```python\n(.*?)```", model_card(model), re.DOTALL)
    assert len(blocks) == (1 if name == "paper" else 2)
    for block in blocks:
        exec(block, {})
    out = capsys.readouterr().out
    if name == "gpt2":
        # The chain is both gates, and the answer its last two tokens.
        assert out.splitlines()[:2] == ["0000", "00"] and "carry=0, odd=0" in out
    if name == "packed":
        assert out.splitlines()[0] == "0 0 0 0 =" and "carry=0, odd=0" in out


def test_the_citation_is_that_of_the_repository() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    for fact in ("2402.12875", "Chain of Thought Empowers Transformers to Solve Inherently Serial Problems", "2024"):
        assert fact in citation and fact in CITATION
