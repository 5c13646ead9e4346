"""The indexed engine of Llamas, Mistrals and Qwen2s: the tokens of the forward pass, in any context."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import serialformer
from serialformer import Circuit, Model, Shape
from serialformer.architecture import DTYPES, DtypeName
from serialformer.circuits.strategies import circuits
from serialformer.decode.dense import DenseEngine
from serialformer.decode.distance_heads import find_distance
from serialformer.decode.token_index import TokenIndexEngine, _Tabulator
from serialformer.decode.token_index_kernels import DONE, NO_ONE_SOURCE, decode_placed
from serialformer.engines.recurrences import shift_register_circuit
from serialformer.transformer.forward import compute_attention, compute_logits
from serialformer.transformer.transformer import Transformer
from tests.cases import small_circuits
from tests.decode.test_engines import noisy
from tests.decode.test_indexed import altered
from tests.effort import effort, pairs

CASES = small_circuits()
REGISTER = shift_register_circuit(1, num_inputs=20, num_gates=50, distances=(19, 7, 0))
NAMES = {
    "a Qwen2": Shape(head_biases=True),
    "a Qwen2, one layer, each head its own keys": Shape(head_biases=True, layers=1, key_heads=4, head_width=32),
    "a Qwen2, three layers, one head of keys": Shape(head_biases=True, layers=3, key_heads=1, hidden=252),
    "a Qwen2, tied": Shape(head_biases=True, tied=True),
    "a Llama, tied, narrow heads": Shape(tied=True, layers=3, head_width=32, key_heads=1),
    "a Llama, four heads of keys": Shape(key_heads=4, head_width=20, spare_positions=0),
    "a Llama, five layers": Shape(layers=5, hidden=192),
}
DISTANCES = {
    "by distance": Shape(addressing="distances"),
    "by distance, one layer": Shape(addressing="distances", layers=1, hidden=64),
    "by distance, three layers": Shape(addressing="distances", layers=3),
    "by distance, tied": Shape(addressing="distances", tied=True),
    "a Mistral": Shape(addressing="window"),
    "a Mistral, four heads of keys, narrow": Shape(addressing="window", key_heads=4, head_width=32),
    "a Mistral, tied, three layers": Shape(addressing="window", tied=True, layers=3),
    "a Qwen2 by distance": Shape(addressing="distances", head_biases=True),
    "a Qwen2 by distance, tied": Shape(addressing="distances", head_biases=True, tied=True),
}
ONE_HEAD_OF_KEYS = {
    "by distance": Shape(addressing="distances", key_heads=1, layers=3),
    "a Mistral, tied": Shape(addressing="window", key_heads=1, tied=True),
    "a Qwen2 by distance": Shape(addressing="distances", key_heads=1, head_biases=True),
}
"""In bfloat16 three distances that share one key would not hold, so `compile` refuses these."""


def contexts(model: Model, seed: int, count: int = 6) -> list[np.ndarray]:
    """Prompts with some of a chain after each, in which some tokens are those of the other bit."""
    random, placed = np.random.default_rng(seed), model.words.placed
    assert placed is not None
    first = model.words.num_inputs + 1
    found = []
    for row in range(count):
        length = first + (0 if row < 2 else int(random.integers(0, max(1, model.num_new_tokens))))
        plain = random.integers(0, 2, (1, length))
        plain[0, first - 1] = 2
        found.append(placed.place(plain))
    return found


def same_as_dense(transformer: Transformer, prompts: list[np.ndarray], num_tokens: int) -> list[str]:
    """Checks the tokens against the dense engine; returns why it took over for each prompt."""
    indexed, dense, refusals = TokenIndexEngine(transformer), DenseEngine(transformer), []
    indexed.announces = False
    for prompt in prompts:
        made = indexed.generate(prompt, num_tokens)
        assert np.array_equal(made, dense.generate(prompt, num_tokens)), indexed.refusal
        refusals.append(indexed.refusal)
    return refusals


def check_whole(model: Model, seed: int = 0) -> None:
    """All of each chain is looked up, and each token is what one pass over the whole sequence says.

    A context in which some tokens are wrong is completed by the dense engine, too.
    """
    transformer = model.transformer
    engine = model.engine("indexed")
    assert isinstance(engine, TokenIndexEngine)
    for row, prompt in enumerate(contexts(model, seed)):
        count = model.words.num_tokens - prompt.shape[1]
        made = engine.generate(prompt, count)
        assert (engine.refusal, engine.name) == ("", "indexed")
        whole = np.concatenate([prompt, made], axis=1)
        said = compute_logits(transformer, whole).argmax(axis=-1)[:, prompt.shape[1] - 1 : -1]
        assert made.shape[1] == count and np.array_equal(said, made)
        if row == 2:
            assert np.array_equal(DenseEngine(transformer).generate(prompt, count), made)
        if count and transformer.architecture.num_positions > model.words.num_tokens:
            ended = engine.generate(prompt, count + 5)
            assert ended[0].tolist() == [*made[0].tolist(), transformer.architecture.end_token]
            assert (engine.refusal, engine.name) == ("", "indexed")


@pytest.mark.parametrize(("shape", "dtype"), pairs(NAMES, DTYPES))
def test_every_shape_by_name(shape: str, dtype: DtypeName) -> None:
    for name in ("random, 2 inputs a gate", "random, 3 inputs a gate"):
        check_whole(serialformer.compile(CASES[name], target="llama", dtype=dtype, shape=NAMES[shape]))


@pytest.mark.parametrize(("shape", "dtype"), pairs(DISTANCES, DTYPES))
def test_every_shape_by_distance(shape: str, dtype: DtypeName) -> None:
    model = serialformer.compile(REGISTER, target="llama", dtype=dtype, shape=DISTANCES[shape])
    check_whole(model)


@pytest.mark.parametrize("shape", ONE_HEAD_OF_KEYS)
def test_all_heads_share_one_key(shape: str) -> None:
    check_whole(serialformer.compile(REGISTER, target="llama", shape=ONE_HEAD_OF_KEYS[shape]))


@effort(0.3)
@given(circuits(max_inputs=5, max_gates=16), st.sampled_from(sorted(NAMES)), st.sampled_from(sorted(DTYPES)))
def test_random_circuits(circuit: Circuit, shape: str, dtype: DtypeName) -> None:
    check_whole(serialformer.compile(circuit, target="llama", dtype=dtype, shape=NAMES[shape]))


@effort(0.3)
@given(
    st.integers(0, 2**32 - 1), st.sets(st.integers(0, 14), min_size=1, max_size=4), st.sampled_from(sorted(DISTANCES))
)
def test_random_registers(seed: int, distances: set[int], shape: str) -> None:
    circuit = shift_register_circuit(seed, num_inputs=15, num_gates=30, distances=tuple(sorted(distances)))
    check_whole(serialformer.compile(circuit, target="llama", shape=DISTANCES[shape]), seed)


def small(shape: Shape) -> Model:
    circuit = CASES["random, 2 inputs a gate"]
    if shape.addressing is not None:
        circuit = shift_register_circuit(3, num_inputs=8, num_gates=16, distances=(7, 3, 0))
    return serialformer.compile(circuit, target="llama", shape=shape)


SMALL = {
    "a Qwen2": Shape(head_biases=True, layers=1, head_width=16, hidden=64),
    "by distance": Shape(addressing="distances", layers=1, hidden=64),
    "a Mistral": Shape(addressing="window", layers=2, hidden=64),
    "a Qwen2 by distance, tied": Shape(addressing="distances", head_biases=True, tied=True, layers=1, hidden=64),
}


@pytest.mark.parametrize("shape", SMALL)
def test_noise_on_every_weight(shape: str) -> None:
    model = small(SMALL[shape])
    for size in (1e-7, 1e-4, 3e-3, 3e-2, 0.3):
        refusals = same_as_dense(noisy(model.transformer, size, seed=1), contexts(model, 1, 4), 20)
        assert all(refusals), "no two tokens have the same key any more"


@pytest.mark.parametrize("shape", SMALL)
@given(
    data=st.data(),
    change=st.sampled_from([1e-3, 0.1, 0.5, 1.0, 2.0, -2.0, 4.0, -8.0, 100.0, -1e4]),
    place=st.integers(0, 10**6),
)
def test_one_altered_weight(shape: str, data: st.DataObject, change: float, place: int) -> None:
    model = small(SMALL[shape])
    name = data.draw(st.sampled_from([name for name, weight in model.transformer.named_weights() if weight.size]))
    same_as_dense(altered(model.transformer, name, place, change), contexts(model, place), 12)


@pytest.mark.parametrize("addressing", ["distances", "window"])
def test_another_window_or_base(addressing: str) -> None:
    """The angles and the window of the model itself are looked at: with others it reads something else."""
    model = small(SMALL["by distance" if addressing == "distances" else "a Mistral"])
    architecture, prompts = model.transformer.architecture, contexts(model, 4, 3)
    right = DenseEngine(model.transformer).generate(prompts[0], 16)
    changed = 0
    for window in (None, 3, 7, 9):
        for base in (2.0, 2.5, 7.0, 10_000.0):
            other = replace(model.transformer, architecture=replace(architecture, window=window, rotary_base=base))
            same_as_dense(other, prompts, 16)
            changed += not np.array_equal(DenseEngine(other).generate(prompts[0], 16), right)
    assert changed > 4


@pytest.mark.parametrize("shape", SMALL)
def test_strange_contexts(shape: str) -> None:
    """Tokens out of their places, twice, or of no place at all; prompts shorter than what is read from them."""
    model = small(SMALL[shape])
    random, (whole, *_) = np.random.default_rng(7), contexts(model, 2)
    reversed_, twice, special = whole[:, ::-1].copy(), whole.copy(), whole.copy()
    twice[0, 1] = twice[0, 4]
    special[0, 2] = 1
    rows = [reversed_, twice, special, whole[:, :1], whole[:, :3], whole[:, 3:]]
    rows += [random.integers(0, len(model.transformer.architecture.vocabulary), (1, 9)) for _ in range(20)]
    same_as_dense(model.transformer, rows, 12)


def test_the_distance_is_where_attention_is() -> None:
    model = serialformer.compile(REGISTER, target="llama", shape=DISTANCES["by distance, one layer"])
    transformer, architecture = model.transformer, model.transformer.architecture
    (layer,), size, heads = transformer.layers, architecture.head_width, architecture.num_heads
    into = (layer.attention_norm_gain[:, None] * layer.attention_in_weight).astype(np.float64)
    embedding = transformer.token_embedding.astype(np.float64)
    (attention,) = compute_attention(transformer, contexts(model, 0)[0])
    found = set()
    for head in range(heads):
        group = head // (heads // architecture.num_key_heads)
        queries, keys = (embedding @ into[:, first * size :][:, :size] for first in (head, heads + group))
        back = find_distance(queries, keys, architecture)
        if back is None:
            continue
        found.add(back.distance)
        for position in range(back.distance, attention.shape[2]):
            assert attention[0, head, position, position - back.distance] > 1 - 1e-9
        assert find_distance(queries, np.roll(np.cumsum(keys, axis=0), 1, axis=0), architecture) is None
    assert found == {0, 7, 19}


def test_what_is_refused() -> None:
    by_name = serialformer.compile(CASES["random, 2 inputs a gate"], target="llama", shape=Shape(layers=1))
    seen = replace(by_name.transformer.architecture, window=5)
    refusals = same_as_dense(replace(by_name.transformer, architecture=seen), contexts(by_name, 0), 9)
    assert set(refusals) == {"attention sees a window of the context only"}


@pytest.mark.parametrize("shape", ["by distance, three layers", "a Mistral, tied, three layers", "a Qwen2 by distance"])
def test_norms_of_positions_that_find_nothing(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first positions of a prompt read mixtures, which later norms see; what they bring is known all the same."""
    model = serialformer.compile(REGISTER, target="llama", shape=DISTANCES[shape])
    transformer, architecture = model.transformer, model.transformer.architecture
    claimed: list[tuple[tuple[float, float], tuple[float, float]]] = []
    check_gap = _Tabulator._check_gap

    def keep(self: Any, gap: Any, known: Any, factors: Any, head: Any) -> float:
        claimed.append(factors)
        return check_gap(self, gap, known, factors, head)

    monkeypatch.setattr(_Tabulator, "_check_gap", keep)
    _Tabulator(transformer).tables()
    by_layer = list(dict.fromkeys(claimed))
    assert len(by_layer) == 2, "any further layer is idle"
    strayed = False
    for prompt in contexts(model, 3):
        count = model.words.num_tokens - prompt.shape[1]
        whole = np.concatenate([prompt, model.engine("dense").generate(prompt, count)], axis=1)
        streams = DenseEngine(transformer).streams(whole)[:, 0].astype(np.float64)
        for layer, (writing, anywhere) in enumerate(by_layer):
            factor = 1 / np.sqrt(np.square(streams[layer]).mean(axis=1) + architecture.norm_epsilon)
            written = factor[model.words.num_inputs :]
            for (low, high), found in ((writing, written), (anywhere, factor)):
                assert low * (1 - 1e-6) <= found.min() and found.max() <= high * (1 + 1e-6)
            strayed |= bool((factor > writing[1] * (1 + 1e-6)).any())
    assert strayed, "some position reads a mixture"


def test_sources_that_are_not_there() -> None:
    """Positions of a prompt need theirs only where a later layer sees what they have read."""
    sources = np.array([[[2, 2]], [[0, 0]], [[1, 1]]], dtype=np.int32)
    following = np.array([[0, 0], [2, 2], [0, 0]], dtype=np.int32)
    known, nothing = np.ones(3, dtype=bool), np.zeros((0, 3), dtype=bool)
    for is_deep, expected in ((False, (2, DONE)), (True, (0, NO_ONE_SOURCE))):
        sequence, seen = np.array([0, 1, 0]), np.zeros(3, dtype=np.int32)
        reached = decode_placed(
            sequence, 0, 2, 2, is_deep, known, np.zeros(0, dtype=np.int64), nothing, sources, following, 9, seen
        )
        assert reached == expected and sequence[2] == (0 if is_deep else 2)
    far, brings = np.array([5]), np.zeros((1, 3), dtype=bool)
    sequence, seen = np.array([0, 1, 0]), np.zeros(3, dtype=np.int32)
    assert decode_placed(sequence, 0, 2, 2, False, known, far, brings, sources, following, 9, seen) == (
        1,
        NO_ONE_SOURCE,
    )
