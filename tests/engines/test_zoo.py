"""Broken engines: each defect of the zoo is found by a case of the suite, and a sound engine never alarms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serialformer.engines.recipes import default_recipes
from serialformer.engines.run import ONE_PASS, choose_calls
from serialformer.engines.suite import SuiteModel, build_suite, read_suite
from tests.engines.llama_zoo import LLAMA_DEFECTS, UNDETECTABLE_IN_LLAMAS
from tests.engines.small_engine import SmallEngine
from tests.engines.undetectable import UNDETECTABLE
from tests.engines.zoo import DEFECTS
from tests.engines.zoo_table import (
    ASKED,
    FOUND_FILE,
    LLAMA_ASKED,
    LLAMA_FOUND_FILE,
    LONG,
    families_of,
    first_wrong,
    found_by,
    write_table,
    zoo_recipes,
)

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "known-answers.md"

FOUND: dict[str, dict[str, str]] = json.loads(FOUND_FILE.read_text())

LLAMA_FOUND: dict[str, dict[str, str]] = json.loads(LLAMA_FOUND_FILE.read_text())

QUICK = (
    *("gpt2-128-float32", "gpt2-129-decoys-float32", "gpt2-96-small-stream", "gpt2-96-offset-keys"),
    *("llama-97-bfloat16-rotary", "mistral-96-bfloat16-window-32", "llama-64-small-stream"),
)


NOT_QUICK = {
    "cache: numbers of blocks are 7 bits wide",
    "rotary: angles in bfloat16",
    "rotary: base off by a hundredth",
}
"""What only models of a thousand tokens and more find; ``engine-test --quick`` does not ask them."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SuiteModel]:
    suite = tmp_path_factory.mktemp("zoo") / "suite"
    build_suite(suite, recipes=zoo_recipes())
    return {model.name: model for model in read_suite(suite)}


def test_there_are_enough_defects_and_each_is_found() -> None:
    assert len(DEFECTS) >= 30 and FOUND.keys() == DEFECTS.keys() and LLAMA_FOUND.keys() == LLAMA_DEFECTS.keys()
    assert all(FOUND.values()) and all(LLAMA_FOUND.values())


@pytest.mark.parametrize("name", DEFECTS | LLAMA_DEFECTS)
def test_a_defect_is_found(name: str, models: dict[str, SuiteModel]) -> None:
    """By one of the families that found it when the table was made, the one with the shortest model."""
    order = {model: place for place, model in enumerate(ASKED + LLAMA_ASKED)}
    family, place = min((FOUND | LLAMA_FOUND)[name].items(), key=lambda item: order[item[1].partition("/")[0]])
    model, _, case = place.partition("/")
    with np.errstate(all="ignore"):
        assert first_wrong((DEFECTS | LLAMA_DEFECTS)[name], models[model], family) == case


@pytest.mark.parametrize("name", QUICK)
def test_a_sound_engine_is_right(name: str, models: dict[str, SuiteModel]) -> None:
    for family in families_of(models[name]):
        assert first_wrong(SmallEngine, models[name], family) is None, family


@pytest.mark.parametrize("name", UNDETECTABLE)
def test_what_cannot_be_found(name: str, models: dict[str, SuiteModel]) -> None:
    """The documents say of these that no case finds them; if one does, they are to be corrected."""
    model = models["gpt2-128-float32"]
    assert all(first_wrong(UNDETECTABLE[name], model, family) is None for family in families_of(model))


@pytest.mark.parametrize("name", UNDETECTABLE_IN_LLAMAS)
def test_what_cannot_be_found_in_llamas(name: str, models: dict[str, SuiteModel]) -> None:
    model = models["llama-97-bfloat16-rotary"]
    assert all(first_wrong(UNDETECTABLE_IN_LLAMAS[name], model, family) is None for family in families_of(model))


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFECTS | LLAMA_DEFECTS)
def test_the_families_that_find_a_defect(name: str, models: dict[str, SuiteModel]) -> None:
    """A line of the table in the documents."""
    asked = tuple(models[model] for model in (ASKED if name in DEFECTS else LLAMA_ASKED))
    with np.errstate(all="ignore"):
        assert found_by((DEFECTS | LLAMA_DEFECTS)[name], asked) == (FOUND | LLAMA_FOUND)[name]


@pytest.mark.slow
@pytest.mark.parametrize("asked", [ASKED, LLAMA_ASKED], ids=["gpt2", "llama"])
def test_no_family_finds_a_defect_in_a_sound_engine(asked: tuple[str, ...], models: dict[str, SuiteModel]) -> None:
    assert found_by(SmallEngine, tuple(models[model] for model in asked)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNDETECTABLE)
def test_no_family_finds_what_cannot_be_found(name: str, models: dict[str, SuiteModel]) -> None:
    with np.errstate(all="ignore"):
        assert found_by(UNDETECTABLE[name], tuple(models[model] for model in ASKED)) == {}


@pytest.mark.slow
def test_the_quick_models_find_all_but_three(tmp_path: Path) -> None:
    build_suite(tmp_path / "suite", recipes=[recipe for recipe in default_recipes() if recipe.tier == "quick"])
    quick = [
        replace(model, cases=tuple(case for call in choose_calls(model, quick=True) for case in call))
        for model in read_suite(tmp_path / "suite", quick=True)
    ]
    missed = set()
    with np.errstate(all="ignore"):
        for name, engine in (DEFECTS | LLAMA_DEFECTS).items():
            asked = [model for model in quick if (model.facts["family"] == "gpt2") == (name in DEFECTS)]
            if not any(
                first_wrong(engine, model, family)
                for model in asked
                for family in (*dict.fromkeys(case.family for case in model.cases), ONE_PASS)
            ):
                missed.add(name)
    assert missed == NOT_QUICK


def test_the_documents_have_the_table() -> None:
    text = PAGE.read_text()
    for found in (FOUND, LLAMA_FOUND):
        assert write_table(found) in text, "run python -m tests.engines.zoo_table [llama] and copy the table"
    assert all(name in text for name in UNDETECTABLE | UNDETECTABLE_IN_LLAMAS)


def test_the_long_models_are_asked_something() -> None:
    assert set(LONG) <= set(ASKED + LLAMA_ASKED) and all(LONG.values())
