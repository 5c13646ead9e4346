"""Heads of the first layer whose keys are the same share one index of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from serialformer.circuits.builder import CircuitBuilder
from serialformer.decode import routing
from serialformer.decode.flat import SparseMap, flatten_layers
from serialformer.decode.routing import KnownKeys, Routing, route_head
from serialformer.models.compile import compile
from serialformer.transformer.transformer import Transformer


def adder() -> Transformer:
    """Of two bits and a carry, with gates of three inputs, so that there are three heads at least."""
    build = CircuitBuilder()
    inputs = build.inputs("a", 3)
    build.output("carry", build.gate(0b11101000, *inputs))
    build.output("sum", build.gate(0b10010110, *inputs))
    return compile(build.circuit()).transformer


def route(transformer: Transformer, head: int, known: KnownKeys | None, key: SparseMap | None = None) -> Routing:
    (layer,) = flatten_layers(transformer)
    return route_head(
        layer.queries[head],
        layer.keys[head] if key is None else key,
        transformer.token_embedding.astype(np.float64),
        np.ascontiguousarray(transformer.position_embedding, dtype=np.float32),
        epsilon=transformer.architecture.norm_epsilon,
        head_width=transformer.architecture.head_width,
        known=known,
    )


def effective_heads(transformer: Transformer) -> list[int]:
    (layer,) = flatten_layers(transformer)
    return sorted({int(head) for head in layer.value_head})


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> list[SparseMap]:
    """The keys that are indexed from now on."""
    made: list[SparseMap] = []
    original: Callable[..., object] = routing._index_keys

    def index_keys(key: SparseMap, *arguments: object) -> object:
        made.append(key)
        return original(key, *arguments)

    monkeypatch.setattr(routing, "_index_keys", index_keys)
    return made


def test_heads_with_the_same_keys_share_an_index(indexed: list[SparseMap]) -> None:
    transformer = adder()
    heads = effective_heads(transformer)
    assert len(heads) >= 2
    alone = [route(transformer, head, None) for head in heads]
    assert len(indexed) == len(heads)
    indexed.clear()
    known = KnownKeys()
    for head, expected in zip(heads, alone, strict=True):
        found = route(transformer, head, known)
        assert found.targets is not None
        assert expected.targets is not None
        assert np.array_equal(found.targets, expected.targets)
        assert found.least_gap == expected.least_gap
    assert len(indexed) == 1


def test_other_keys_are_indexed_for_themselves(indexed: list[SparseMap]) -> None:
    transformer = adder()
    (layer,) = flatten_layers(transformer)
    head, known = effective_heads(transformer)[0], KnownKeys()
    key = layer.keys[head]
    half = SparseMap(start=key.start, index=key.index, value=key.value / 2, bias=key.bias / 2, size=key.size / 2)
    expected = route(transformer, head, None, half)
    indexed.clear()
    route(transformer, head, known)
    found = route(transformer, head, known, half)
    assert len(indexed) == 2
    assert expected.least_gap == found.least_gap
    assert found.least_gap < route(transformer, head, known).least_gap


def test_a_refusal_is_remembered_with_its_reason(indexed: list[SparseMap]) -> None:
    transformer = adder()
    (layer,) = flatten_layers(transformer)
    head, known = effective_heads(transformer)[0], KnownKeys()
    key = layer.keys[head]
    random = np.random.default_rng(0)
    value = key.value * random.uniform(0.5, 1.5, len(key.value))
    stray = SparseMap(start=key.start, index=key.index, value=value, bias=key.bias + 0.1234, size=key.size * 2)
    first, again = (route(transformer, head, known, stray) for _ in range(2))
    assert first.targets is None
    assert first.refusal == again.refusal != ""
    assert len(indexed) == 1
