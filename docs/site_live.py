"""The live pages of the site: five models, each compiled or trained while the site is built, and its page written.

python docs/site_live.py DIR
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from figures.adder import adder

import serialformer
from serialformer.cli.demo import multiplier
from serialformer.tasks.registry import make_task

LENGTH = 4
"""Permutations in each product of the models that are compiled and trained."""

LIVE = ("adder", "multiplier4", "s5", "evaluator", "depth")


def write_live_pages(folder: Path, *, steps: int | None = None) -> None:
    """Writes the pages ``NAME.html`` for the names in ``LIVE``.

    Args:
        folder: where they go.
        steps: how many steps the trained model takes; None trains it until it is right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    products = make_task("permutation-composition", {"format": "token"})
    models = {
        "adder": serialformer.compile(adder()),
        "multiplier4": serialformer.compile(multiplier(4)),
        "s5": serialformer.construct(products, LENGTH),
        "evaluator": serialformer.construct("circuit-value", 8),
        "depth": serialformer.construct("parity", 8, setting="base"),
    }
    with tempfile.TemporaryDirectory() as scratch:
        # A page is headed by the name of its model's directory.
        for name, model in models.items():
            model.save(Path(scratch, name))
        trained = Path(scratch, "s5-trained")
        serialformer.train(products, trained, length=LENGTH, setting="cot", steps=steps)
        for name in LIVE:
            other = trained if name == "s5" else None
            serialformer.explore(Path(scratch, name), other, output=folder / f"{name}.html")


if __name__ == "__main__":
    write_live_pages(Path(sys.argv[1]))
