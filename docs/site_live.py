"""The live pages of the site: five models, each compiled or trained while the site is built, and its page written.

python docs/site_live.py DIR
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import serialformer
from serialformer.circuits.circuit import Circuit
from serialformer.cli.demo import multiplier

SQUARE = {"task": "permutation-composition", "length": 4, "format": "token"}
"""The products that are compiled and trained: four permutations of five, each one token."""

LIVE = ("adder", "multiplier4", "s5", "evaluator", "depth")


def adder() -> Circuit:
    """The adder of the ten-minute start."""
    build = serialformer.CircuitBuilder()
    a, b = build.inputs("a", 2), build.inputs("b", 2)
    carry, half = build.and_(a[0], b[0]), build.xor(a[1], b[1])
    top = build.or_(build.and_(a[1], b[1]), build.and_(half, carry))
    build.outputs("sum", [build.xor(a[0], b[0]), build.xor(half, carry), top])
    return build.circuit()


def write_live_pages(folder: Path) -> None:
    """Writes the pages ``NAME.html`` for the names in ``LIVE``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:

        def show(name: str, model: serialformer.Model, other: serialformer.Model | None = None) -> None:
            paths = []
            for place, each in enumerate((model, other)):
                if each is not None:
                    path = Path(scratch, name if place == 0 else f"{name}-trained")
                    if each.directory is None:
                        each.save(path)
                    paths.append(path if each.directory is None else each.directory)
            serialformer.explore(*paths, output=folder / f"{name}.html")

        show("adder", serialformer.compile(adder()))
        show("multiplier4", serialformer.compile(multiplier(4)))
        compiled = serialformer.construct("permutation-composition", SQUARE["length"], format=SQUARE["format"])
        trained = Path(scratch, "trained")
        serialformer.train("permutation-composition", trained, length=4, setting="cot", format="token")
        show("s5", compiled, serialformer.load(trained))
        show("evaluator", serialformer.construct("circuit-value", 8))
        show("depth", serialformer.construct("parity", 8, setting="base"))


if __name__ == "__main__":
    write_live_pages(Path(sys.argv[1]))
