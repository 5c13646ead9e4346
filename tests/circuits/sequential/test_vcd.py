"""Waveforms, read back by vcdvcd, an independent reader."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.sequential.vcd import VcdWriter
from serialformer.circuits.words import ABSENT, Word, bits_to_values
from tests.effort import effort

vcdvcd = pytest.importorskip("vcdvcd", reason="vcdvcd (extra dev) is not installed")


def write(path: Path, scopes: dict[str, list[Word]], rows: np.ndarray) -> None:
    with path.open("wb") as file:
        writer = VcdWriter(file, scopes, num_bits=rows.shape[1])
        for cycle, bits in enumerate(rows):
            writer.write(cycle, bits)
        writer.end(len(rows))


@effort(0.5)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_reading_gives_the_values_back(
    tmp_path_factory: pytest.TempPathFactory, num_cycles: int, num_bits: int, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    order = chance.permutation(num_bits).tolist()
    cut = int(chance.integers(1, num_bits + 1))
    scopes = {
        "registers": [Word(name="q", bits=(ABSENT, *order[:cut]))],
        "outputs": [Word(name="q" if number else "y[3]", bits=(place,)) for number, place in enumerate(order[cut:])][
            :2
        ],
    }
    rows = chance.integers(0, 2, (num_cycles, num_bits), dtype=np.uint8)
    path = tmp_path_factory.mktemp("vcd") / "wave.vcd"
    write(path, scopes, rows)
    wave = vcdvcd.VCDVCD(str(path))
    for scope, words in scopes.items():
        for word in words:
            bounds = f"[{word.width - 1}:0]" if word.width > 1 else ""
            signal = wave[f"serialformer.{scope}.{word.name}{bounds}"]
            assert int(signal.size) == word.width
            values = [int(signal[cycle], 2) for cycle in range(num_cycles)]
            assert values == [bits_to_values([word], bits)[word.name] for bits in rows]
            # Only changes are written.
            assert len(signal.tv) == 1 + sum(a != b for a, b in pairwise(values))
    assert wave.endtime == num_cycles


def test_many_signals_have_codes_of_their_own(tmp_path: Path) -> None:
    words = [Word(name=f"w {number}", bits=(number,)) for number in range(20_000)]
    rows = np.random.default_rng(0).integers(0, 2, (2, len(words)), dtype=np.uint8)
    write(tmp_path / "wave.vcd", {"inputs": words}, rows)
    wave = vcdvcd.VCDVCD(str(tmp_path / "wave.vcd"))
    assert len(wave.signals) == len(words)
    for number in (0, 93, 94, 95, 9000, 19_999):
        assert [int(wave[f"serialformer.inputs.w_{number}"][cycle]) for cycle in (0, 1)] == rows[:, number].tolist()
