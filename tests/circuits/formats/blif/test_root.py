"""Of several models, the one that is the circuit, and what is said of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from serialformer.circuits.formats.blif.blif import elaborate_blif

BUFFER = ".model {name}\n.inputs a\n.outputs y\n.names a y\n1 1\n.end\n"
AROUND = ".model {name}\n.inputs a\n.outputs y\n.subckt {child} a=a y=t\n.names t y\n0 1\n.end\n"
OUTSIDE = ".model {name}\n.inputs a\n.outputs y\n.blackbox\n.end\n"
INVERTS, KEEPS = [1, 0], [0, 1]


@pytest.mark.parametrize(
    ("text", "chosen", "outputs"),
    [
        (BUFFER.format(name="b"), "", KEEPS),
        (
            BUFFER.format(name="b") + AROUND.format(name="top", child="b"),
            "'top' of 2, the only one that no other instantiates",
            INVERTS,
        ),
        (
            AROUND.format(name="top", child="b") + BUFFER.format(name="b"),
            "'top' of 2, the only one that no other instantiates",
            INVERTS,
        ),
        (
            BUFFER.format(name="b") + AROUND.format(name="c", child="b") + AROUND.format(name="d", child="b"),
            "'b' of 3, the first of the file: several are instantiated by no other ('c', 'd')",
            KEEPS,
        ),
        (
            BUFFER.format(name="b") + AROUND.format(name="c", child="d") + AROUND.format(name="d", child="c"),
            "'b' of 3, the only one that no other instantiates",
            KEEPS,
        ),
        (
            BUFFER.format(name="b")
            + AROUND.format(name="c", child="d")
            + AROUND.format(name="d", child="c").replace(".names t y", ".subckt b a=t y=u\n.names u y"),
            "'b' of 3, the first of the file: each is instantiated by another",
            KEEPS,
        ),
        (OUTSIDE.format(name="cell") + BUFFER.format(name="b"), "", KEEPS),
        (
            OUTSIDE.format(name="cell") + BUFFER.format(name="b") + AROUND.format(name="top", child="b"),
            "'top' of 2, the only one that no other instantiates",
            INVERTS,
        ),
        (
            "".join(BUFFER.format(name=f"b{number}") for number in range(8)),
            "'b0' of 8, the first of the file: several are instantiated by no other"
            " ('b0', 'b1', 'b2', 'b3', 'b4', 'b5' and 2 more)",
            KEEPS,
        ),
    ],
)
def test_which_model_and_why(text: str, chosen: str, outputs: list[int], tmp_path: Path) -> None:
    (tmp_path / "m.blif").write_text(text)
    reading = elaborate_blif(tmp_path / "m.blif")
    assert reading.chosen == chosen
    assert reading.facts == ({"model": chosen} if chosen else {})
    assert [reading.circuit.circuit.evaluate(a=a)["y"] for a in (0, 1)] == outputs
