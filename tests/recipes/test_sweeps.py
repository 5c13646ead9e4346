"""Recipes of sweeps: each can be read, and the smallest gives what its folder says it gives."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from serialformer.models.construct import construct
from serialformer.python_file import load_python
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.row import Row
from serialformer.sweeps.store import read_rows
from serialformer.tasks.iterated_squaring import IteratedSquaring
from tests.command import run_command

RECIPES = Path(__file__).parents[2] / "recipes"
NUM_RUNS = {
    "smoke": 7,
    "paper-small": 117,
    "paper-full": 144,
    "paper-figure": 321,
    "circuit-value": 48,
    "majority": 54,
    "depth": 101,
    "length-generalisation": 34,
}
IN_PART = ("paper-figure", "circuit-value")
"""Recipes of which some runs have not been carried out; their README.md says which."""


@cache
def expected_rows(name: str) -> list[Row]:
    """The rows that a recipe gave, which take seconds to read."""
    return read_rows(RECIPES / name / "expected.csv")


@pytest.mark.parametrize(("name", "num_runs"), NUM_RUNS.items())
def test_recipes_are_read(name: str, num_runs: int) -> None:
    runs, num_repeated = load_recipe(str(RECIPES / name))
    assert (len(runs), num_repeated) == (num_runs, 0)


PARTS = {
    "paper-small": ("additions", "permutations", "slow_permutations", "squarings", "circuits"),
    "paper-full": ("additions", "permutations", "squarings", "circuits"),
    "paper-figure": ("additions", "permutations", "as_tokens", "squarings", "circuits"),
}


@pytest.mark.parametrize("name", list(PARTS))
def test_parts_are_the_whole(name: str) -> None:
    whole, _ = load_recipe(str(RECIPES / name))
    parts = [run for part in PARTS[name] for run in load_recipe(f"{RECIPES / name / 'recipe.py'}:{part}")[0]]
    assert [run.id for run in parts] == [run.id for run in whole]


@pytest.mark.parametrize("name", [name for name in NUM_RUNS if (RECIPES / name / "expected.csv").exists()])
def test_expected_rows_are_of_the_recipe(name: str) -> None:
    """Every run of a recipe that was carried out has its rows, and there are no others."""
    runs, _ = load_recipe(str(RECIPES / name))
    expected = {(run.id, *evaluation) for run in runs for evaluation in run.evaluations}
    found = [row.key for row in expected_rows(name) if row.status == "done"]
    assert len(found) == len(set(found))
    if name in IN_PART:  # beside these evaluations, its rows have some of each depth or number
        done = {run for run, *_ in found}
        assert done < {run.id for run in runs} and {key for key in expected if key[0] in done} <= set(found)
    else:
        assert set(found) == expected


SOME = """from serialformer.sweeps.recipe import load_recipe


def runs():
    whole, _ = load_recipe({recipe!r})
    return [whole[number] for number in {numbers}]
"""


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param((0, 2, 6), id="a chain, none, and one beside the bits"),
        pytest.param(range(7), id="all", marks=pytest.mark.slow),
    ],
)
def test_smoke(numbers: Sequence[int], tmp_path: Path) -> None:
    """Counts are to the sample only where a processor rounds alike; what is learnt, and how far it goes, is not."""
    store, recipe = tmp_path / "results.csv", tmp_path / "recipe.py"
    recipe.write_text(SOME.format(recipe=str(RECIPES / "smoke"), numbers=list(numbers)))
    runs, _ = load_recipe(str(recipe))
    assert {run.config.setting for run in runs} >= {"cot", "base", "aligned"}
    done = run_command("sweep", recipe, "-o", store)
    count = len(numbers)
    assert done.status == 0
    assert done.out == f"{store}: {count} runs; 0 were there, {count} done now, 0 failed\n"
    ids = {run.id for run in runs}
    expected = {row.key: row for row in read_rows(RECIPES / "smoke" / "expected.csv") if row.run in ids}
    found = {row.key: row for row in read_rows(store)}
    assert found.keys() == expected.keys() and len({row.run for row in found.values()}) == count
    for key, row in found.items():
        assert row.reached_target == expected[key].reached_target == (row.setting in ("cot", "aligned"))
        assert row.samples == expected[key].samples
        difference = (
            row.teacher_forced.accuracies["answer_accuracy"]
            - expected[key].teacher_forced.accuracies["answer_accuracy"]
        )
        assert abs(difference) < 0.25


@pytest.mark.parametrize("name", ["paper-small", "majority"])
def test_the_tables_are_of_the_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What README.md shows is what tables.py makes of expected.csv."""
    monkeypatch.syspath_prepend(str(RECIPES / "paper-small"))
    tables = importlib.import_module("tables")
    text = (RECIPES / name / "README.md").read_text()
    assert tables.make_tables(expected_rows(name)) in text


def test_squarings_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """README.md shows the rows; a construction is right about every number, and 1 is as common as counting says."""
    monkeypatch.syspath_prepend(str(RECIPES / "paper-small"))
    by_number = importlib.import_module("by_number")
    rows = by_number.read_rows(RECIPES / "paper-small" / "by_number.csv")
    assert by_number.make_tables(rows) in (RECIPES / "paper-small" / "README.md").read_text()
    model = construct(IteratedSquaring(bound=12), 3)
    assert by_number.count(model, 50) == [(50, 50)] * 3
    ones = [pow(residue, 4, prime) == 1 for prime in (2, 3, 5, 7, 11) for residue in range(1, prime)]
    weights = [1 / (5 * (prime - 1)) for prime in (2, 3, 5, 7, 11) for residue in range(1, prime)]
    assert by_number.always_one(12, 2) == pytest.approx(sum(w for w, one in zip(weights, ones, strict=True) if one))


def test_the_tables_of_the_figure_are_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, text = expected_rows("paper-figure"), (RECIPES / "paper-figure" / "README.md").read_text()
    assert load_python(RECIPES / "paper-figure" / "tables.py").module.make_table(rows) in text
    monkeypatch.syspath_prepend(str(RECIPES / "paper-small"))
    assert importlib.import_module("tables").make_tables(rows) in text
    by_depth = load_python(RECIPES / "circuit-value" / "tables.py").module.make_tables(expected_rows("circuit-value"))
    assert by_depth in (RECIPES / "circuit-value" / "README.md").read_text()
