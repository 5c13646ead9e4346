"""Files of weights: the bytes that the safetensors library writes."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from serialformer.transformer import row_table
from serialformer.transformer.safetensors_file import write_safetensors
from tests.effort import effort

DTYPES = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]


@effort(1)
@given(
    names=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=1, max_size=6, unique=True),
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=6, max_size=6),
    kinds=st.lists(st.sampled_from(range(3)), min_size=6, max_size=6),
    seed=st.integers(0, 2**32),
)
def test_the_bytes_are_those_of_the_library(
    names: list[str], shapes: list[list[int]], kinds: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # float16 and bfloat16 never stand in one model; the library orders them by a table of its own.
    random = np.random.default_rng(seed)
    half = [np.float16, ml_dtypes.bfloat16][seed % 2]
    weights = {
        name: random.normal(size=shape).astype([np.float64, np.float32, half][kind])
        for name, shape, kind in zip(names, shapes, kinds, strict=False)
    }
    folder = tmp_path_factory.getbasetemp()
    save_file(weights, folder / "theirs", metadata={"format": "pt"})
    write_safetensors(weights, folder / "ours", {"format": "pt"})
    assert (folder / "ours").read_bytes() == (folder / "theirs").read_bytes()


def test_tables_of_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_table, "BLOCK_BYTES", 100)
    table = row_table.make_table(200, 3, np.dtype(np.float32), least_bytes=0)
    table[:] = np.random.default_rng(1).normal(size=table.shape)
    weights = {"table": table, "scalar": np.array(3.0, dtype=np.float32)}
    save_file({name: np.array(weight) for name, weight in weights.items()}, tmp_path / "theirs")
    write_safetensors(weights, tmp_path / "ours", {})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert np.array_equal(load_file(tmp_path / "ours")["table"], table)
