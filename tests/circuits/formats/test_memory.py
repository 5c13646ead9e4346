"""What the readers take at most, and what a circuit keeps, as multiples of the file."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from serialformer.circuits.formats.aiger.aiger import parse_aiger
from serialformer.circuits.formats.aiger.binary import encode_ands
from serialformer.circuits.formats.bench import parse_bench
from serialformer.circuits.formats.blif.blif import parse_blif
from serialformer.circuits.words import Word, names_to_words
from tests.steps import count_steps

PARSERS = {"blif": parse_blif, "bench": parse_bench, "aiger": parse_aiger}


def chain_of_gates(kind: str, num_gates: int) -> bytes:
    """A file in which each gate reads the one before it and another."""
    if kind == "aiger":
        literals = np.arange(6, 6 + 2 * num_gates, 2)
        rhs = np.stack([literals - 2, np.random.default_rng(5).integers(2, literals - 2)], axis=1)
        return f"aig {num_gates + 2} 2 0 1 {num_gates}\n{literals[-1]}\n".encode() + encode_ands(6, rhs)
    blif = kind == "blif"
    lines = [".model m\n.inputs net0 net1\n.outputs out" if blif else "INPUT(net0)\nINPUT(net1)\nOUTPUT(out)"]
    for gate in range(2, num_gates + 2):
        name = f"net{gate}" if gate <= num_gates else "out"
        operands = f"net{gate - 1}", f"net{gate // 2}"
        if blif:
            lines.append(f".names {operands[0]} {operands[1]} {name}\n1- 1\n-1 1")
        else:
            lines.append(f"{name} = NAND({operands[0]}, {operands[1]})")
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize(
    ("kind", "peak_over_file", "kept_over_file"),
    # What is held at one time: tokens, places of lines, nets, gates. An AIGER file has 4 bytes per gate.
    [("blif", 5.0, 1.0), ("bench", 5.0, 1.0), ("aiger", 20.0, 6.0)],
)
def test_a_large_file(kind: str, peak_over_file: float, kept_over_file: float) -> None:
    data = chain_of_gates(kind, 200_000)
    PARSERS[kind](data, name="first")  # what is loaded once does not count, nor the loops that large files compile
    tracemalloc.start()
    try:
        circuit = PARSERS[kind](data, name="large")
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert circuit.num_gates == 200_000
    if kind != "aiger":
        assert circuit.gate_names == [*(f"net{gate}" for gate in range(2, 200_001)), "out"]
    assert peak < peak_over_file * len(data)
    assert kept < kept_over_file * len(data)


def test_many_names_become_words_in_linear_time() -> None:
    def words(number: int) -> tuple[Word, ...]:
        names = [f"n{place}" for place in range(number)] + [f"bus[{place}]" for place in range(number)]
        return names_to_words(names, default="in")

    assert len(words(20_000)) == 20_001 and words(20_000)[-1].width == 20_000
    assert count_steps(lambda: words(2000)) < 2.2 * count_steps(lambda: words(1000))
