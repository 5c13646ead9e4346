"""The collection for a model hub: each folder stands alone, and the list names them all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import serialformer
from serialformer import SerialformerError
from serialformer.engines.collection import write_collection
from serialformer.engines.recipes import default_recipes


def test_every_folder_is_a_repository(tmp_path: Path) -> None:
    recipes = [recipe for recipe in default_recipes() if recipe.tier == "quick"]
    chosen = [next(recipe for recipe in recipes if recipe.target == target) for target in ("gpt2", "llama")]
    made = write_collection(tmp_path / "hub", recipes=chosen)
    content = json.loads((tmp_path / "hub" / "collection.json").read_text())
    names = [recipe.name for recipe in chosen]
    assert [item["repository"] for item in content["items"]] == names
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == sorted(
        [*names, "README.md", "collection.json"]
    )
    files = [path for path in (tmp_path / "hub").rglob("*") if path.is_file()]
    certified = [item["repository"] for item in content["items"] if item["certified"]]
    assert certified == names
    assert made == {
        "models": 2,
        "certified": len(certified),
        "bytes": sum(path.stat().st_size for path in files),
    }
    for item in content["items"]:
        folder = tmp_path / "hub" / item["repository"]
        model = serialformer.load(folder)
        card = (folder / "README.md").read_text()
        assert item["certified"] == (model.certificate is not None) == (folder / "certificate.json").is_file()
        assert card.startswith("---\nlicense: mit\n") and "## Known answers" in card
        case = json.loads((folder / "cases.jsonl").read_text().splitlines()[0])
        assert case["expected"] and f"`{item['repository']}`" in (tmp_path / "hub" / "README.md").read_text()
    with pytest.raises(SerialformerError, match="exists already"):
        write_collection(tmp_path / "hub", recipes=[])
    assert write_collection(tmp_path / "hub", recipes=[], overwrite=True)["models"] == 0
