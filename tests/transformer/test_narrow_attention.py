"""Attention by our loops against torch's, in twice the precision."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from serialformer.transformer.narrow_attention import MIN_KEYS, NarrowAttention, is_narrow

SHAPES = [
    # rows, heads, head width, queries, keys: whole blocks of queries and not, heads of one part and of two
    (2, 3, 8, 8, 32),
    (1, 16, 8, 11, 45),
    (3, 2, 16, 64, 64),
    (2, 5, 24, 30, 97),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(shape: tuple[int, ...], spread: float, seed: int) -> list[Tensor]:
    rows, heads, head_width, num_queries, num_keys = shape
    generator = torch.Generator().manual_seed(seed)
    counts = (num_queries, num_keys, num_keys, num_queries)
    return [torch.randn(rows, count, heads * head_width, generator=generator) * spread for count in counts]


def in_torch(queries: Tensor, keys: Tensor, values: Tensor, positions: Tensor, heads: int, scale: float) -> Tensor:
    rows, num_queries, width = queries.shape
    hidden = positions.unsqueeze(1) < torch.arange(keys.shape[1])
    mask = torch.zeros(hidden.shape, dtype=queries.dtype).masked_fill(hidden, -math.inf)
    split = [part.view(rows, -1, heads, width // heads).transpose(1, 2) for part in (queries, keys, values)]
    mixed = functional.scaled_dot_product_attention(*split, attn_mask=mask, scale=scale)
    return mixed.transpose(1, 2).reshape(rows, num_queries, width)


def some_positions(num_queries: int, num_keys: int, last: bool) -> Tensor:
    if last:
        return torch.arange(num_keys - num_queries, num_keys)
    return torch.randint(num_keys, (num_queries,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("spread", [0.1, 1.0, 6.0])
def test_results_and_gradients_are_torchs(shape: tuple[int, ...], last: bool, spread: float) -> None:
    *parts, wanted = draw(shape, spread, seed=0)
    heads, positions = shape[1], some_positions(shape[3], shape[4], last)
    ours = [part.clone().requires_grad_() for part in parts]
    theirs = [part.double().requires_grad_() for part in parts]
    mixed = NarrowAttention.apply(*ours, positions, heads, 0.3)
    queries, keys, values = theirs
    expected = in_torch(queries, keys, values, positions, heads, 0.3)
    mixed.backward(wanted)
    expected.backward(wanted.double())
    assert torch.allclose(mixed.double(), expected, rtol=1e-5, atol=1e-5 * spread)
    for our, their in zip(ours, theirs, strict=True):
        largest = their.grad.abs().max()
        assert (our.grad - their.grad).abs().max() <= 2e-5 * largest


def test_parts_of_one_tensor_are_read_where_they_lie() -> None:
    """Queries, keys and values side by side, and a gradient of one number that is spread over the result."""
    projected = torch.randn(2, 40, 3 * 32, generator=torch.Generator().manual_seed(0))
    gradients = []
    for parts in (projected.split(32, dim=2), [part.contiguous() for part in projected.split(32, dim=2)]):
        ours = [part.detach().requires_grad_() for part in parts]
        NarrowAttention.apply(*ours, torch.arange(40), 4, 0.3).sum().backward()
        gradients.append([part.grad for part in ours])
    for of_parts, of_copies in zip(*gradients, strict=True):
        assert torch.equal(of_parts, of_copies)


def test_far_scores_are_exact() -> None:
    """One key a thousand ahead of the others: all the attention, and no overflow."""
    queries, keys, values, _ = draw((1, 1, 8, 8, 32), 1.0, seed=0)
    keys[0, 3] = 1000 * queries[0, 0]
    mixed = NarrowAttention.apply(queries[:, :1].repeat(1, 8, 1), keys, values, torch.full((8,), 31), 1, 1.0)
    assert torch.equal(mixed[0], values[0, 3].repeat(8, 1))


def test_what_is_no_number_is_not_hidden() -> None:
    queries, keys, values, _ = draw((1, 1, 8, 8, 32), 1.0, seed=0)
    keys[0, 5] = math.nan
    mixed = NarrowAttention.apply(queries, keys, values, torch.arange(8), 1, 1.0)
    assert mixed.isfinite()[0, :5].all()
    assert mixed.isnan()[0, 5:].all()


def test_a_query_that_is_no_number_spoils_no_other() -> None:
    queries, keys, values, _ = draw((1, 1, 8, 20, 32), 1.0, seed=0)
    queries[0, 7] = math.nan
    mixed = NarrowAttention.apply(queries, keys, values, torch.arange(12, 32), 1, 1.0)
    assert mixed.isnan().all(dim=2).flatten().nonzero().flatten().tolist() == [7]
    assert mixed.isnan().any(dim=2).sum() == 1


def test_it_is_asked_only_where_it_is_right() -> None:
    queries, keys, _, _ = draw((2, 4, 16, 16, 64), 1.0, seed=0)
    positions = torch.arange(48, 64)
    assert is_narrow(queries, keys, 4, positions)
    assert not is_narrow(queries.double(), keys.double(), 4, positions)
    assert not is_narrow(queries, keys, 1, positions)  # a head 64 wide
    assert not is_narrow(queries, keys, 32, positions)  # a head 2 wide
    assert not is_narrow(queries, keys[:, : MIN_KEYS - 1], 4, positions)
    assert not is_narrow(queries[:, :1], keys, 4, positions[:1])
    assert not is_narrow(queries, keys, 4, positions.repeat(2, 1))
    torch.set_num_threads(2)
    assert not is_narrow(queries, keys, 4, positions)
