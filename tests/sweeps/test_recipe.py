"""Recipes: a file with a function; what is wrong with it is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from serialformer.errors import SweepError
from serialformer.sweeps.recipe import load_recipe

HEAD = """from serialformer.sweeps.run import SweepRun
from serialformer.training.config import TrainingConfig


"""
GOOD = f"""{HEAD}def runs():
    return [SweepRun(config=TrainingConfig(task="parity", length=n, setting="cot")) for n in (2, 3, 2)]


def deep():
    yield runs()[0]
"""


def test_a_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "recipe.py").write_text(GOOD)
    for name in (folder, folder / "recipe.py", f"{folder}:runs"):
        found, num_repeated = load_recipe(str(name))
        assert [run.config.length for run in found] == [2, 3] and num_repeated == 1
    assert len(load_recipe(f"{folder / 'recipe.py'}:deep")[0]) == 1


def test_a_recipe_imports_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "panel_lengths.py").write_text("LENGTHS = (5,)\n")
    (tmp_path / "recipe.py").write_text(
        GOOD.replace("(2, 3, 2)", "LENGTHS").replace("\n\n", "\nfrom panel_lengths import LENGTHS\n", 1)
    )
    assert [run.config.length for run in load_recipe(str(tmp_path))[0]] == [5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def runs(:\n", "{path}:1: SyntaxError: invalid syntax"),
        ("x = 1\nimport no_such_module\n", "{path}:2: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def runs():\n    return [1 / 0]\n", "{path}:2: ZeroDivisionError: division by zero"),
        ("", "{path}: has no function runs()\nhint: def runs(): return [...]"),
        ("runs = 3\n", "{path}: has no function runs()"),
        ("def runs():\n    return 3\n", "{path}: runs() returns int, not a list of runs"),
        (
            "def runs():\n    return [{}]\n",
            "{path}: runs()[0] is dict, no experiment\nhint: from serialformer.sweeps.experiment",
        ),
        ("def runs():\n    return []\n", "{path}: runs() has no runs"),
        (GOOD.replace('"cot"', '"cow"'), "{path}:6: no setting 'cow'\nhint: one of base,"),
        (GOOD.replace('"cot")', '"cot"), lengths=(9,)'), "{path}:6: run of parity: with a max_length of 2 it has"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.py"
    path.write_text(text)
    with pytest.raises(SweepError) as caught:
        load_recipe(str(path))
    assert str(caught.value).startswith(message.format(path=path))


def test_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no such file\nhint: a sweep is a Python file"):
        load_recipe(str(tmp_path / "none.py"))
    (tmp_path / "recipe.txt").write_text(GOOD)
    with pytest.raises(SweepError, match="is no Python file"):
        load_recipe(str(tmp_path / "recipe.txt"))
