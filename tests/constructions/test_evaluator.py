"""The evaluator against plain Python: every small circuit, random ones of every length, every number format."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.architecture import Activation, DtypeName
from serialformer.constructions.evaluator import MAX_GATES
from serialformer.constructions.residues import moduli
from serialformer.decode.dense import DenseEngine
from serialformer.decode.indexed import IndexedEngine
from serialformer.errors import CompileError
from serialformer.models.lower import Lowered, lower_evaluator
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.transformer.forward import (
    apply_mlp,
    attend,
    cast_layer,
    compute_logits,
    embed,
    layer_norm,
    merge_heads,
    project_heads,
)
from tests.effort import effort
from tests.value_problems import WORKED_CHAIN, WORKED_PROMPT, every_problem, random_problem, slow_chain


@cache
def evaluator(num_gates: int, dtype: DtypeName = "float32", activation: Activation = "gelu_new") -> Lowered:
    return lower_evaluator(num_gates, dtype=dtype, activation=activation)


@cache
def indexed(num_gates: int, dtype: DtypeName = "float32") -> IndexedEngine:
    return IndexedEngine(evaluator(num_gates, dtype).transformer)


def token_ids(made: Lowered, texts: list[list[str]]) -> np.ndarray:
    number = {text: index for index, text in enumerate(made.transformer.architecture.vocabulary)}
    return np.array([[number[token] for token in text] for text in texts], dtype=np.int64)


def test_the_worked_example_of_the_paper() -> None:
    for num_gates in (4, 5, 64):
        made = evaluator(num_gates)
        prompt = token_ids(made, [WORKED_PROMPT.split()])
        chain = token_ids(made, [[*WORKED_CHAIN.split(), "="]])
        assert np.array_equal(DenseEngine(made.transformer).generate(prompt, 100), chain)
        engine = indexed(num_gates)
        assert np.array_equal(engine.generate(prompt, 100), chain)
        assert engine.refusal == ""


def test_vocabulary_and_sizes() -> None:
    for num_gates in (1, 2, 64, 1000):
        made = evaluator(num_gates)
        architecture = made.transformer.architecture
        length = sum((modulus - 1).bit_length() for modulus in moduli(2 * num_gates + 1))
        task = CircuitValue()
        assert architecture.vocabulary == (*task.vocabulary(num_gates), "<unk>")
        assert architecture.end_token == task.end_token(num_gates)
        assert architecture.num_positions == 8 * num_gates + 1
        assert (architecture.num_layers, architecture.num_heads) == (3, 2)
        assert architecture.width == 8 * length + 48 == len(made.layout.directions())
        assert len(set(made.layout.directions())) == architecture.width


@pytest.mark.parametrize(
    ("num_gates", "activation", "stride"),
    [
        (4, "gelu_new", 7),
        (5, "relu", 29),
        pytest.param(4, "gelu_new", 1, marks=pytest.mark.slow),
        pytest.param(5, "relu", 1, marks=pytest.mark.slow),
    ],
)
def test_every_circuit_of_up_to_four_gates(num_gates: int, activation: Activation, stride: int) -> None:
    """Of four gates every 7th or 29th; all are slow tests. No gate has a multiple of these of lines to choose from."""
    made = evaluator(num_gates, activation=activation)
    count = 0
    for length in range(1, 5):
        problems = list(every_problem(length))[:: stride if length == 4 else 1]
        prompts = token_ids(made, [[*problem, "="] for problem in problems])
        chains = token_ids(made, [[*slow_chain(problem), "="] for problem in problems])
        assert np.array_equal(DenseEngine(made.transformer).generate(prompts, 4 * num_gates + 1), chains)
        count += len(problems)
    assert count == 2 + 10 + 120 + -(-2760 // stride)


@effort(0.5)
@given(st.sampled_from([1, 2, 3, 7, 20, 33, 256]), st.data())
def test_random_circuits_of_every_length(num_gates: int, data: st.DataObject) -> None:
    made = evaluator(num_gates)
    length = data.draw(st.integers(1, num_gates))
    problem = random_problem(np.random.default_rng(data.draw(st.integers(0, 2**32))), length)
    prompt, chain = token_ids(made, [[*problem, "="]]), token_ids(made, [[*slow_chain(problem), "="]])
    engine = indexed(num_gates)
    assert np.array_equal(engine.generate(prompt, 4 * num_gates + 1), chain)
    assert engine.refusal == "", "every token is proven"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_number_format(dtype: DtypeName) -> None:
    made = evaluator(40, dtype)
    random = np.random.default_rng(2)
    for length in (1, 17, 40):
        problems = [random_problem(random, length) for _ in range(4)]
        prompts = token_ids(made, [[*problem, "="] for problem in problems])
        chains = token_ids(made, [[*slow_chain(problem), "="] for problem in problems])
        assert np.array_equal(DenseEngine(made.transformer).generate(prompts, 4 * length + 1), chains)
        assert np.array_equal(indexed(40, dtype).generate(prompts, 4 * length + 1), chains)


@pytest.mark.parametrize("num_gates", [64, 125, 200])
def test_the_task_of_the_same_name_agrees(num_gates: int) -> None:
    examples = CircuitValue().sample(np.random.default_rng(7), num_gates, 5)
    engine = indexed(num_gates)
    assert np.array_equal(engine.generate(examples.prompts, 4 * num_gates), examples.chains)
    assert engine.refusal == ""


def test_every_coordinate_is_a_sign_and_every_gap_is_as_measured() -> None:
    made = evaluator(20)
    transformer, architecture = made.transformer, made.transformer.architecture
    problem = random_problem(np.random.default_rng(3), 13)
    sequence = token_ids(made, [[*problem, "=", *slow_chain(problem)]])
    x = embed(transformer, sequence, np.arange(sequence.shape[1]), np.float64)
    epsilon, start, num_tokens = architecture.norm_epsilon, 4 * 13, sequence.shape[1]
    visible = np.tril(np.ones((num_tokens, num_tokens), dtype=bool))
    least_gaps = []
    for number, layer in enumerate(transformer.layers):
        # In the last layer the prompt's own look-ups find nothing, and nobody reads them.
        rows = slice(start if number else 0, None)
        seen = slice(start, None) if number == 2 else slice(None)
        assert np.allclose(np.abs(x[:, rows]), 1, atol=1e-6)
        assert np.allclose(x[..., ::2], -x[..., 1::2], atol=1e-6)
        cast = cast_layer(layer, np.float64)
        queries, keys, values = project_heads(x, cast, architecture, np.arange(num_tokens))
        for head in range(architecture.num_heads if number == 0 else 1):
            scores = queries[0, head] @ keys[0, head].T / np.sqrt(architecture.head_width)
            ordered = np.sort(np.where(visible, scores, -np.inf)[seen], axis=1)
            leads = ordered[:, -1] - ordered[:, -2]
            least_gaps.append(leads[np.isfinite(leads)].min())
        mixed = attend(queries, keys, values, visible)
        x = x + merge_heads(mixed) @ cast.attention_out_weight + cast.attention_out_bias
        normed = layer_norm(x, cast.mlp_norm_gain, cast.mlp_norm_bias, epsilon)
        assert np.allclose(np.abs(normed[:, seen]), 1, atol=1e-6)
        x = apply_mlp(x, cast, architecture)
    # All gaps are the one that was worked out beforehand, or whole multiples of it.
    assert min(least_gaps) == pytest.approx(made.certificate.attention.exact, rel=1e-5)


def test_the_logit_margin_is_reached_and_not_undercut() -> None:
    made = evaluator(20)
    random, least = np.random.default_rng(4), np.inf
    for length in (5, 12, 20):
        problem = random_problem(random, length)
        sequence = token_ids(made, [[*problem, "=", *slow_chain(problem), "="]])
        logits = compute_logits(made.transformer, sequence[:, :-1])[0, 4 * length :]
        right = logits[np.arange(len(logits)), sequence[0, 4 * length + 1 :]]
        logits[np.arange(len(logits)), sequence[0, 4 * length + 1 :]] = -np.inf
        least = min(least, float((right - logits.max(axis=1)).min()))
    exact = made.certificate.logits.exact
    assert exact * 0.999 <= least <= exact * 1.1, (exact, least)


@pytest.mark.parametrize(
    "text",
    [
        "TRUE NA NA 1 AND 1 <unk> 2 =",  # an input that is no token
        "TRUE NA NA 1 <unk> 1 1 2 =",  # a type that is none
        "1 1 1 1 =",
        "NOT NA NA 1 =",
    ],
)
def test_what_is_no_circuit_ends_the_chain(text: str) -> None:
    made = evaluator(9)
    chain = DenseEngine(made.transformer).generate(token_ids(made, [text.split()]), 36)[0]
    assert chain[-1] == made.transformer.architecture.end_token
    assert len(chain) < len(text.split())


def test_nothing_of_a_smaller_evaluator_is_lost_in_a_larger() -> None:
    # The weights of the layers depend on the moduli and the scale alone: equal for these two.
    small, large = evaluator(50).transformer, evaluator(60).transformer
    for one, other in zip(small.layers, large.layers, strict=True):
        assert all(
            np.array_equal(getattr(one, name), getattr(other, name))
            for name in ("attention_in_weight", "attention_out_weight", "mlp_in_weight", "mlp_out_weight")
        )
    assert np.array_equal(small.position_embedding, large.position_embedding[: len(small.position_embedding)])
    assert np.array_equal(small.token_embedding[:50], large.token_embedding[:50])


@pytest.mark.parametrize(
    ("num_gates", "options", "message"),
    [
        (0, {}, "expected from 1 to 131,072 gates, found 0"),
        (MAX_GATES + 1, {}, "expected from 1 to 131,072 gates, found 131,073"),
        (64, {"attention_gap": -1.0}, "expected an attention gap above 0, found -1.0"),
        (
            64,
            {"attention_gap": 4.0},
            r"end of the circuit\) has a score gap of 4, 4 after rounding, where 13.2 is needed",
        ),
        (
            64,
            {"attention_gap": 8.0, "dtype": "bfloat16"},
            r"a score gap of 8, 7.51 after rounding, where 13.2 is needed",
        ),
        (64, {"attention_gap": 2e3, "dtype": "float16"}, "look-up end of the circuit can overflow"),
        (64, {"attention_gap": 1e4, "dtype": "float16"}, "float16 does not hold the weight 65536 exactly"),
    ],
)
def test_refusals(num_gates: int, options: dict, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        lower_evaluator(num_gates, **options)


@pytest.mark.slow
@pytest.mark.parametrize("num_gates", [1024, 4096])
def test_full_size(num_gates: int) -> None:
    made = evaluator(num_gates)
    engine = indexed(num_gates)
    for length in (num_gates, num_gates - 3):
        problem = random_problem(np.random.default_rng(5), length)
        prompt, chain = token_ids(made, [[*problem, "="]]), token_ids(made, [[*slow_chain(problem), "="]])
        assert np.array_equal(engine.generate(prompt, 4 * num_gates + 1), chain)
        assert engine.refusal == ""
