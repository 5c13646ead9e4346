"""The indexed engine: the dense engine's tokens, always; its own work wherever the proof is there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import serialformer
from serialformer import Circuit
from serialformer.architecture import Architecture
from serialformer.circuits.evaluate import evaluate_wires
from serialformer.circuits.strategies import circuits
from serialformer.decode.dense import DenseEngine
from serialformer.decode.indexed import IndexedEngine
from serialformer.models.lower import lower_circuit
from serialformer.targets.position_codes import code_length, position_codes
from serialformer.transformer.key_shape import find_grid
from serialformer.transformer.transformer import Layer, Transformer, weights_to_transformer
from tests.cases import every_input, small_circuits
from tests.decode.test_engines import noisy
from tests.effort import effort, pairs

CASES = small_circuits()


def same_as_dense(
    transformer: Transformer, prompts: np.ndarray, num_tokens: int, *, on_numbers: bool = False
) -> list[str]:
    """Checks each row against the dense engine; returns the refusals.

    With ``on_numbers``, models of few values are decoded on numbers like the others.
    """
    indexed, refusals = IndexedEngine(transformer), []
    if on_numbers:
        indexed._finite = None
    expected = DenseEngine(transformer).generate(prompts, num_tokens)
    for row, prompt in enumerate(prompts):
        made = indexed.generate(prompt[None], num_tokens)[0]
        padded = np.pad(made, (0, expected.shape[1] - len(made)), constant_values=transformer.architecture.end_token)
        assert np.array_equal(padded, expected[row]), indexed.refusal
        refusals.append(indexed.refusal)
    assert np.array_equal(indexed.generate(prompts, num_tokens), expected)
    return refusals


@pytest.mark.parametrize(("name", "dtype"), pairs(CASES, ["float32", "bfloat16"]))
def test_compiled_models_are_proven(name: str, dtype: str) -> None:
    model = serialformer.compile(CASES[name], dtype=dtype, activation="relu" if dtype == "bfloat16" else "gelu_new")
    bits = every_input(CASES[name].num_inputs)[:70]
    # One more than the chain: the end mark.
    refusals = same_as_dense(model.transformer, model.prompts(bits), model.num_new_tokens + 1)
    assert set(refusals) == {""}
    chain = model.engine("indexed").generate(model.prompts(bits), model.num_new_tokens)
    assert np.array_equal(chain, evaluate_wires(CASES[name], bits)[:, model.schedule.wire])


@effort(0.5)
@given(circuits(max_inputs=5, max_gates=16))
def test_random_circuits(circuit: Circuit) -> None:
    model = serialformer.compile(circuit)
    bits = every_input(circuit.num_inputs)
    assert set(same_as_dense(model.transformer, model.prompts(bits), 40)) == {""}


SIZES = [1e-6, 1e-4, 3e-3, 3e-2, 0.3]
MORE_SIZES = [1e-5, 1e-3, 1e-2, 0.1, 1.0]


@pytest.mark.parametrize("size", [*SIZES, *(pytest.param(size, marks=pytest.mark.slow) for size in MORE_SIZES)])
def test_noise_on_every_weight(size: float) -> None:
    model = serialformer.compile(CASES["random, 2 inputs a gate"])
    for seed in range(3):
        refusals = same_as_dense(noisy(model.transformer, size, seed), model.prompts(every_input(6)[::9]), 40)
        if size <= 1e-5:
            assert set(refusals) == {""}, "small noise leaves the proof standing"


def altered(transformer: Transformer, name: str, place: int, change: float) -> Transformer:
    """The transformer with one weight changed."""
    weights = {key: weight.copy() for key, weight in transformer.named_weights()}
    flat = weights[name].reshape(-1)
    flat[place % flat.size] += change
    return weights_to_transformer(transformer.architecture, weights)


@given(
    data=st.data(),
    change=st.sampled_from([1e-3, 0.1, 0.5, 1.0, 2.0, -2.0, 4.0, -8.0, 100.0, -1e4]),
    place=st.integers(0, 10**6),
)
def test_one_altered_weight(data: st.DataObject, change: float, place: int) -> None:
    model = serialformer.compile(CASES["gates of one, two and three inputs"])
    name = data.draw(st.sampled_from([name for name, _ in model.transformer.named_weights()]))
    transformer = altered(model.transformer, name, place, change)
    same_as_dense(transformer, model.prompts(every_input(3)), 12)


@given(first=st.integers(0, 40), second=st.integers(0, 40), what=st.sampled_from(["name", "read", "table", "row"]))
def test_one_altered_key_position_or_gate(first: int, second: int, what: str) -> None:
    lowered = lower_circuit(CASES["random, 2 inputs a gate"])
    layout, table = lowered.layout, lowered.transformer.position_embedding.copy()
    first, second = first % len(table), second % len(table)
    columns = {
        "name": layout.span("name"),
        "read": layout.span("read[0]"),
        "table": slice(layout.span("table[0]").start, layout.span("table[3]").stop),
        "row": slice(None),
    }[what]
    table[first, columns] = table[second, columns]
    transformer = replace(lowered.transformer, position_embedding=table)
    prompts = serialformer.compile(CASES["random, 2 inputs a gate"]).prompts(every_input(6)[::7])
    same_as_dense(transformer, prompts, 40)


def test_a_doubled_key_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    lowered = lower_circuit(CASES["random, 2 inputs a gate"])
    layout, table = lowered.layout, lowered.transformer.position_embedding.copy()
    names = layout.span("name")
    read = int(lowered.program.reads[20, 0])
    table[read + 1, names] = table[read, names]
    prompts = serialformer.compile(CASES["random, 2 inputs a gate"]).prompts(every_input(6)[:3])
    refusals = same_as_dense(replace(lowered.transformer, position_embedding=table), prompts, 40)
    assert all("no single key matches the query" in refusal for refusal in refusals)
    assert "the dense engine continues" in capsys.readouterr().err


def idle_layer(width: int) -> Layer:
    """A layer that adds nothing to the residual stream."""
    zeros = np.zeros
    return Layer(
        attention_norm_gain=np.ones(width, np.float32),
        attention_norm_bias=zeros(width, np.float32),
        attention_in_weight=np.random.default_rng(0).normal(size=(width, 3 * width)).astype(np.float32),
        attention_in_bias=zeros(3 * width, np.float32),
        attention_out_weight=zeros((width, width), np.float32),
        attention_out_bias=zeros(width, np.float32),
        mlp_norm_gain=np.ones(width, np.float32),
        mlp_norm_bias=zeros(width, np.float32),
        mlp_in_weight=np.random.default_rng(1).normal(size=(width, 4 * width)).astype(np.float32),
        mlp_in_bias=zeros(4 * width, np.float32),
        mlp_out_weight=zeros((4 * width, width), np.float32),
        mlp_out_bias=zeros(width, np.float32),
    )


@pytest.mark.parametrize("place", ["before", "behind"])
def test_two_layers(place: str) -> None:
    model = serialformer.compile(CASES["random, 3 inputs a gate"])
    one = model.transformer
    idle = idle_layer(one.architecture.width)
    layers = (idle, *one.layers) if place == "before" else (*one.layers, idle)
    two = replace(one, architecture=replace(one.architecture, num_layers=2), layers=layers)
    assert set(same_as_dense(two, model.prompts(every_input(6)[::5]), 40)) == {""}


def reciter(num_items: int) -> Transformer:
    """A model whose keys are token contents: it recites the bits of the prompt's items in the order of the items.

    Tokens: item j with bit b is 2j+b, answer j with bit b is 2 (num_items + j) + b, and one that begins. An answer's
    query is the name of the item after it.
    """
    length = code_length(num_items + 1)
    names = position_codes(np.arange(num_items + 1), length).astype(np.float32)
    bit, item, answer, following = 0, 2, 2 + length, 2 + 2 * length
    width = 2 + 3 * length
    tokens = np.zeros((4 * num_items + 1, width), np.float32)
    for number in range(num_items):
        for value in (0, 1):
            for token, block in ((2 * number + value, item), (2 * (num_items + number) + value, answer)):
                tokens[token, bit : bit + 2] = np.array([1, -1]) * (2 * value - 1)
                tokens[token, block : block + length] = names[number]
            tokens[2 * (num_items + number) + value, following : following + length] = names[number + 1]
    tokens[-1, following : following + length] = names[0]
    layer = idle_layer(width)
    into, out = np.zeros((width, 3, width), np.float32), np.zeros((width, width), np.float32)
    place = np.arange(length)
    into[following + place, 0, place] = 1024
    into[item + place, 1, place] = 1
    into[item + place, 2, place] = 1
    into[bit, 2, length] = 1
    out[place, answer + place] = 64
    out[length, bit : bit + 2] = 64, -64
    layer = replace(layer, attention_in_weight=into.reshape(width, -1), attention_out_weight=out)
    return Transformer(
        architecture=Architecture(
            vocabulary=tuple(str(token) for token in range(len(tokens))), num_positions=2 * num_items + 1, width=width,
            num_layers=1, num_heads=1, hidden_width=4 * width, activation="relu", norm_epsilon=1e-5,
            end_token=len(tokens) - 1, dtype="float32",
        ),
        token_embedding=tokens,
        position_embedding=np.zeros((2 * num_items + 1, width), np.float32),
        layers=(layer,),
        final_norm_gain=np.ones(width, np.float32),
        final_norm_bias=np.zeros(width, np.float32),
    )  # fmt: skip


def test_keys_from_content() -> None:
    num_items = 60
    transformer, random = reciter(num_items), np.random.default_rng(5)
    for _ in range(5):
        bits = random.integers(0, 2, num_items)
        order = random.permutation(num_items)
        prompt = np.append(2 * order + bits[order], 4 * num_items)[None]
        recited = 2 * (num_items + np.arange(num_items)) + bits
        assert same_as_dense(transformer, prompt, num_items) == [""]
        assert DenseEngine(transformer).generate(prompt, num_items)[0].tolist() == recited.tolist()


def test_an_item_that_stands_twice_in_the_content() -> None:
    transformer = reciter(10)
    prompt = np.array([[2 * 0, 2 * 1, 2 * 2, 2 * 1 + 1, 2 * 3, 40]])
    refusals = same_as_dense(transformer, prompt, 8)
    assert "no single key matches" in refusals[0]


def test_a_trained_looking_model_is_left_to_the_dense_engine() -> None:
    model = serialformer.compile(CASES["parity of ten"])
    random = np.random.default_rng(0)
    weights = {
        name: random.normal(0, 0.3, weight.shape).astype(weight.dtype)
        for name, weight in model.transformer.named_weights()
    }
    transformer = weights_to_transformer(model.transformer.architecture, weights)
    refusals = same_as_dense(transformer, model.prompts(every_input(10)[:5]), 9)
    assert all(refusals)


@given(
    st.sets(st.integers(-4, 4), min_size=2),
    st.floats(0.1, 10),
    st.floats(-5, 5),
    st.integers(0, 2**32 - 1),
)
def test_grids_are_found(levels: set[int], step: float, offset: float, seed: int) -> None:
    gaps = np.diff(sorted(levels))
    unit = int(np.gcd.reduce(gaps))
    if gaps.min() > unit or gaps.max() > 3 * unit:
        return  # the step is not seen between any two neighbours, or drowned by a wide gap
    random = np.random.default_rng(seed)
    steps = np.concatenate([sorted(levels), random.choice(sorted(levels), 50)])
    values = offset + step * (steps + random.uniform(-0.02, 0.02, len(steps)))
    grid = find_grid(values)
    assert grid is not None
    assert grid.step == pytest.approx(unit * step, rel=0.1, abs=0.02)


def test_streams_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from serialformer.decode import indexed

    monkeypatch.setattr(indexed, "TOKENS_PER_BLOCK", 4)
    model = serialformer.compile(CASES["random, 2 inputs a gate"])
    blocks = list(model.engine("indexed").stream(model.prompts(every_input(6)[:1]), 28))
    assert len(blocks) > 5
    expected = model.engine("dense").generate(model.prompts(every_input(6)[:1]), 28)
    assert np.array_equal(np.concatenate(blocks, axis=1), expected)
