"""The index of rows made of few patterns: against going through all rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer import construct
from serialformer.decode.flat import SparseMap, to_sparse_map
from serialformer.decode.indexed import IndexedEngine
from serialformer.decode.records import RowIndex
from serialformer.decode.row_index import index_rows
from serialformer.decode.token_kernels import find_row


def map_of(rows: np.ndarray) -> SparseMap:
    """The linear map whose outputs are these rows."""
    return to_sparse_map(rows.T.copy(), np.zeros(len(rows)))


def look_up(index: RowIndex, group: int, x: np.ndarray, mean: float = 0.0) -> tuple[int, float, float]:
    """The number of the row found in its map, or -1; its product; and what the others lose."""
    chosen = np.empty(index.pattern.shape[1], dtype=np.uint8)
    found, product, loss = find_row(
        *(index.group[group], index.block, index.column, index.value, index.mark, index.slots, index.pattern),
        *(x, mean, chosen),
    )
    return (int(index.row[found]) if found >= 0 else -1), float(product), float(loss)


def codes(generator: np.random.Generator, num_values: tuple[int, ...], width: int) -> np.ndarray:
    """Rows that hold a code of each of some fields, all combinations but some, in any order."""
    fields = [generator.choice([-2.0, -1.0, 1.0, 2.0], (count, width)) for count in num_values]
    places = np.stack(np.meshgrid(*map(np.arange, num_values), indexing="ij"), axis=-1).reshape(-1, len(num_values))
    kept = places[generator.random(len(places)) < 0.8]
    rows = np.concatenate([field[kept[:, number]] for number, field in enumerate(fields)], axis=1)
    return np.unique(rows, axis=0)[generator.permutation(len(np.unique(rows, axis=0)))]


@given(seed=st.integers(0, 2**32 - 1), num_values=st.tuples(*[st.integers(2, 5)] * 3), width=st.integers(1, 4))
def test_what_is_found_is_the_largest_and_the_others_lose_that_much(
    seed: int, num_values: tuple[int, ...], width: int
) -> None:
    generator = np.random.default_rng(seed)
    rows = codes(generator, num_values, width)
    index, spans = index_rows([map_of(rows)])
    assert spans.tolist() == [[0, 1]] and sorted(index.row.tolist()) == list(range(len(rows)))
    if not index.group[0, 5]:
        return
    for _ in range(8):
        # Mostly inputs that are a row and something more, as they are in models.
        x = rows[generator.integers(len(rows))] * generator.choice([0.0, 3.0]) + generator.normal(size=rows.shape[1])
        mean = float(generator.normal())
        products = rows @ (x - mean)
        found, product, loss = look_up(index, 0, x, mean)
        others = np.delete(products, found) if found >= 0 else products
        assert others.max(initial=-np.inf) <= product - loss + 1e-9
        if found >= 0:
            assert product == pytest.approx(products[found], abs=1e-9) and products.argmax() == found


def test_one_hot_codes_are_one_block_and_signs_one_each() -> None:
    one_hot = 2 * np.eye(6) - 1
    signs = 1.0 - 2.0 * (np.arange(8)[:, None] >> np.arange(3) & 1)
    rows = np.concatenate([np.repeat(one_hot, 8, axis=0), np.tile(signs, (6, 1))], axis=1)
    index, _ = index_rows([map_of(rows)])
    widths = (index.block[:, 1] - index.block[:, 0]).tolist()
    assert sorted(widths) == [1, 1, 1, 6] and index.group[0, 5] == 128
    assert [look_up(index, 0, row)[0] for row in rows] == list(range(48))


@pytest.mark.parametrize(
    "rows",
    [
        np.ones((8, 3)),  # all alike
        np.random.default_rng(0).normal(size=(200, 3)),  # of no pattern
        np.array([[1.0, -1.0], [-1.0, 1.0]]),  # too few
        np.zeros((5, 2)),  # of no inputs
    ],
    ids=["alike", "random", "few", "empty"],
)
def test_rows_that_are_not_indexed_are_all_there(rows: np.ndarray) -> None:
    index, spans = index_rows([map_of(rows)])
    assert not index.group[:, 5].any() and not len(index.slots)
    assert sorted(index.row.tolist()) == list(range(len(rows))) and spans[0].tolist() == [0, len(index.group)]


def test_rows_that_read_other_inputs_are_other_groups() -> None:
    first, second = np.zeros((8, 6)), np.zeros((8, 6))
    first[:, :3] = second[:, 3:] = 1.0 - 2.0 * (np.arange(8)[:, None] >> np.arange(3) & 1)
    index, spans = index_rows([map_of(np.concatenate([first, second])), map_of(first)])
    assert spans.tolist() == [[0, 2], [2, 3]] and (index.group[:, 5] == 16).all()
    assert [look_up(index, 1, row)[0] for row in second] == list(range(8, 16))
    assert [look_up(index, 2, row)[0] for row in first] == list(range(8))


def test_the_tokens_and_the_tables_of_an_evaluator_are_indexed() -> None:
    engine = IndexedEngine(construct("circuit-value", 16).transformer)
    assert engine._find_shapes(np.zeros(8, dtype=np.int64))
    index, groups = engine._units.rows, engine._units.groups
    first, last = groups[0]
    assert (index.group[first:last, 5] > 0).all()  # the tables of differences
    (tokens,) = range(*groups[-1])
    assert index.group[tokens, 1] - index.group[tokens, 0] == len(engine.architecture.vocabulary)
    assert index.group[tokens, 5] > 0
