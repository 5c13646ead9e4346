"""The models of the suite as a collection for a model hub: a folder for each repository, with card and certificate."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from serialformer.engines.cases import write_cases
from serialformer.engines.recipes import Recipe, default_recipes, recipe_to_model
from serialformer.engines.suite import make_cases
from serialformer.files import new_directory
from serialformer.models.card import CARD_FILE, CITATION, model_card
from serialformer.models.model import Model
from serialformer.models.prove import certify

COLLECTION_FILE = "collection.json"

TITLE = "serialformer: models whose every token is known"

CASES_FILE = "cases.jsonl"


def write_collection(
    output: str | os.PathLike[str],
    *,
    recipes: Sequence[Recipe] | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """Makes a folder for each model: what its repository on a hub holds. The same bytes each time.

    Each folder is a checkpoint with its model card, its certificate if it has one, and the cases that an engine is to
    be asked. ``collection.json`` lists them in order, with the title of the collection and a sentence about each.

    Args:
        output: the folder to make.
        recipes: which models; by default those of the suite.
        overwrite: whether a folder that serialformer wrote there is replaced.
        progress: called with 1 for each model that is made.

    Returns:
        How many models there are, how many of them are certified, and the size of all files in bytes.

    Raises:
        SerialformerError: the folder exists and is not replaced, or cannot be written.
    """
    items: list[dict[str, Any]] = []
    with new_directory(output, overwrite=overwrite) as target:
        for recipe in default_recipes() if recipes is None else recipes:
            model = _certified(recipe_to_model(recipe))
            folder = target / recipe.name
            model.save(folder)
            cases = make_cases(model, recipe.families, recipe.seed)
            write_cases(cases, folder / CASES_FILE)
            card = model_card(model, licence="mit") + _about_cases(recipe, len(cases))
            (folder / CARD_FILE).write_text(card, encoding="utf-8")
            items.append(
                {
                    "repository": recipe.name,
                    "note": recipe.purpose,
                    "certified": model.certificate is not None and model.certificate.holds,
                }
            )
            if progress is not None:
                progress(1)
        content = {"title": TITLE, "items": items}
        (target / COLLECTION_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (target / CARD_FILE).write_text(_read_me(items), encoding="utf-8")
        num_bytes = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return {"models": len(items), "certified": sum(item["certified"] for item in items), "bytes": num_bytes}


def _certified(model: Model) -> Model:
    """The model with a certificate of its weights, which were changed after compilation; without one if unproven."""
    certificate = model.certificate or certify(model)
    return replace(model, proof=certificate) if certificate.holds else model


def _about_cases(recipe: Recipe, num_cases: int) -> str:
    return f"""
## Known answers

{recipe.purpose} `{CASES_FILE}` has {num_cases:,} cases, one on each line: the token ids of a prompt, and in `expected`
the ids that greedy decoding must give.
"""


def _read_me(items: Sequence[dict[str, Any]]) -> str:
    rows = "".join(
        f"| `{item['repository']}` | {item['note']} | {'yes' if item['certified'] else 'no'} |\n" for item in items
    )
    return f"""# {TITLE}

Each folder is one model: a checkpoint that Hugging Face transformers loads, its card, its certificate, and prompts with
the tokens that must follow. `{COLLECTION_FILE}` lists the folders in the order of the collection.

| folder | what it is for | certified |
|---|---|---|
{rows}
```bibtex
{CITATION}
```
"""
