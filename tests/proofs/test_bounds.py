"""Bounds: what they promise, against numbers that are rounded and against torch; and damaged weights are refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serialformer.architecture import DTYPES, DtypeName
from serialformer.constructions.construction import Construction
from serialformer.constructions.placement import Placement
from serialformer.models.lower import certify_weights
from serialformer.proofs.activations import activation_errors
from serialformer.proofs.bounds import NormInput, normed_errors, round_any, round_values, sum_errors, vanishing
from serialformer.proofs.certificate import Certificate, Failure
from serialformer.proofs.rounding import covered_rounding
from serialformer.targets.gpt2 import construction_to_gpt2, layout_to_placement
from serialformer.transformer.checkpoint import save_transformer
from serialformer.transformer.transformer import Transformer
from tests.construction_cases import every_construction
from tests.effort import pairs
from tests.proofs.test_constructions import some_prompts
from tests.value_problems import random_problem, slow_chain

FORMATS: tuple[DtypeName, ...] = ("float32", "float16", "bfloat16")
CONSTRUCTIONS = every_construction()
SOME = (
    *("circuit/random, 2 inputs a gate", "circuit/gates of one, two and three inputs", "task/parity-16"),
    *("task/majority-13", "task/word-problem-D6-5", "task/word-problem-12", "task/permutation-composition-6"),
    *("task/iterated-squaring-20-1", "evaluator/5"),
)


# --- the bounds of bounds.py


@pytest.mark.parametrize("dtype", FORMATS)
def test_what_is_stored_is_within_its_bound(dtype: DtypeName) -> None:
    random, rounding = np.random.default_rng(0), covered_rounding(dtype)
    ideal = np.append(np.repeat(np.arange(-16.0, 17.0), 50), random.normal(0, 8, 1000))
    errors = np.abs(random.normal(size=len(ideal))) * 10.0 ** random.integers(-9, 0, len(ideal))
    ideal, errors = np.rint(ideal * 2**20) / 2**20, np.rint(errors * 2**40) / 2**40  # float64 adds these exactly
    bound, vanishes = round_values(ideal, errors, rounding), vanishing(ideal, errors, rounding)
    always = round_values(ideal, errors, replace(rounding, always_stored=True))
    for share in (-1.0, -0.5, 0.0, 0.75, 1.0):
        reached = ideal + share * errors
        stored = reached.astype(DTYPES[dtype]).astype(np.float64)
        assert (np.abs(stored - ideal) <= bound).all() and (np.abs(stored - ideal) <= always).all()
        assert (np.abs(reached - ideal) <= bound).all(), "it may be kept wider"
        assert np.array_equal(stored[vanishes], ideal[vanishes])
    assert 0 < vanishes.sum() < len(ideal)
    # No looser than twice the error and one rounding of the largest number, and what flushing to zero may take.
    loosest = 2 * errors + 2 * rounding.storage_roundoff * (np.abs(ideal) + errors) + 2 * rounding.smallest
    assert (bound <= loosest).all()


def test_an_error_of_a_whole_step_does_not_vanish() -> None:
    rounding = covered_rounding("bfloat16")
    size = np.array([1.0, 3.0, 4.0])
    assert vanishing(size, np.full(3, 2.0**-10), rounding).all()
    assert not vanishing(size, 2 * rounding.storage_roundoff * size, rounding).any()
    assert not vanishing(np.array([1 + 2.0**-12]), np.zeros(1), rounding).any(), "bfloat16 does not hold this number"


def test_errors_of_numbers_that_may_be_flushed_to_zero_stay() -> None:
    rounding = covered_rounding("float16")
    assert not vanishing(np.array([rounding.smallest / 2, rounding.smallest]), np.zeros(2), rounding).any()
    assert vanishing(np.array([4 * rounding.smallest]), np.zeros(1), rounding).all()


def test_an_activation_that_is_not_the_ideal_counts() -> None:
    """gelu of 1 is 0.84 and gelu of 8 is 8. The error of the input counts as well."""
    rounding = covered_rounding("float32")
    near, far, off = (
        float(activation_errors(ideal, np.array([error]), False, rounding)[0])
        for ideal, error in ((1.0, 0.0), (8.0, 0.0), (8.0, 0.1))
    )
    assert near >= 1 - 0.8411920 and far < 1e-4 and off >= 0.1


@pytest.mark.parametrize("num_terms", [1, 7, 60])
def test_sums_in_any_order_are_within_their_bound(num_terms: int) -> None:
    random, rounding = np.random.default_rng(num_terms), covered_rounding("float32")
    seen = np.zeros(5)
    for _ in range(100):
        weight = random.choice([0.0, 1.0, -8.0, 0.3], (num_terms, 5)).astype(np.float32).astype(np.float64)
        ideal = random.integers(-4, 5, num_terms).astype(np.float64)
        errors = np.abs(random.normal(0, 1e-6, num_terms))
        bound = sum_errors(weight, np.abs(ideal), errors, rounding)
        factors = (ideal + random.uniform(-1, 1, num_terms) * errors).astype(np.float32)
        slack = np.abs(factors - ideal) - errors  # float32 need not hold what is off by so much
        bound = bound + np.maximum(slack, 0) @ np.abs(weight)
        total = np.zeros(5, dtype=np.float32)
        for term in random.permutation(num_terms):
            total = total + factors[term] * weight[term].astype(np.float32)
        seen = np.maximum(seen, np.abs(total - ideal @ weight) / np.maximum(bound, 1e-30))
    assert (seen <= 1).all() and seen.max() > 0.01, seen
    assert np.isinf(sum_errors(np.full((2, 1), 1e30), np.full(2, 1e30), np.zeros(2), rounding)).all()


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("deviation", "size"), [(2, 0.0), (4, 1e-5), (2, 1e-3)])
def test_a_layer_norm_in_float32_is_within_its_bound(dtype: DtypeName, deviation: int, size: float) -> None:
    random, rounding = np.random.default_rng(3), covered_rounding(dtype)
    width, epsilon = 64, 1e-5
    values = np.repeat([deviation, -deviation], width // 2).astype(np.float64)
    gain = np.full(width, float(deviation))
    error = np.full(width, size)
    seen = NormInput(
        sums=(0.0, 0.0),
        squares=(float(width * deviation**2), float(width * deviation**2)),
        error=float(np.sqrt(np.square(error).sum())),
        width=width,
        epsilon=epsilon,
    )
    bound = normed_errors(values, error, seen, float(deviation), gain, np.zeros(width), rounding)
    largest = 0.0
    for _ in range(200):
        stream = (random.permutation(values) + random.uniform(-1, 1, width) * error).astype(np.float32)
        ideal = np.rint(stream / deviation) * deviation
        middle = stream.mean(dtype=np.float32)
        variance = np.square(stream - middle).mean(dtype=np.float32)
        normed = ((stream - middle) / np.sqrt(variance + np.float32(epsilon))).astype(DTYPES[dtype])
        result = (normed.astype(np.float32) * gain.astype(np.float32)).astype(DTYPES[dtype]).astype(np.float64)
        largest = max(largest, float(np.abs(result - ideal).max()))
    # Values differ by their sign alone, so all coordinates have one bound.
    assert largest <= bound.min() == bound.max()
    assert bound.max() < 8 * (deviation * 2 * rounding.storage_roundoff + 3 * size + epsilon)
    biased = normed_errors(values, error, seen, float(deviation), gain, np.ones(width), rounding)
    assert np.isinf(biased).all(), "a bias moves what should stay"


def test_a_layer_norm_of_a_stream_that_may_vanish_has_no_bound() -> None:
    for squares, error in (((0.0, 1.0), 0.5), ((64.0, 64.0), 8.0)):
        seen = NormInput(sums=(0.0, 0.0), squares=squares, error=error, width=16, epsilon=1e-5)
        assert seen.errors(covered_rounding("float32")) == (np.inf, np.inf)


# --- the bounds of whole models


def made(name: str, dtype: DtypeName = "float32") -> tuple[Construction, Transformer, Placement]:
    construction = CONSTRUCTIONS[name]()
    transformer, layout = construction_to_gpt2(construction, dtype=dtype, activation="gelu_new")
    return construction, transformer, layout_to_placement(layout)


@pytest.mark.parametrize("name", SOME)
def test_rounding_takes_more_in_narrower_formats(name: str) -> None:
    certificates = {dtype: certify_weights(*made(name, dtype)[1:]) for dtype in FORMATS}
    wide, narrow = certificates["float32"], certificates["bfloat16"]
    # Units that may err decide nothing about the exact leads, but they round a little themselves.
    for certificate in certificates.values():
        assert certificate.holds
        assert certificate.attention.exact == pytest.approx(wide.attention.exact, rel=1e-5)
        assert certificate.logits.exact == pytest.approx(wide.logits.exact, rel=1e-5)
    assert narrow.attention.rounded < wide.attention.rounded < wide.attention.exact
    assert narrow.logits.rounded < wide.logits.rounded < wide.logits.exact


def prompts_and_chains(name: str, construction: Construction) -> list[tuple[np.ndarray, np.ndarray]]:
    """Prompts of a few shapes and what is to be written behind them, ``=`` included."""
    random = np.random.default_rng(0)
    if not name.startswith("evaluator"):
        return some_prompts(construction, random)
    number = {text: index for index, text in enumerate(construction.vocabulary)}
    cases = []
    for length in (1, 3, 5, 5, 5):
        problem = random_problem(random, length)
        texts = ([*problem, "="], [*slow_chain(problem), "="])
        cases.append(tuple(np.array([[number[text] for text in part]]) for part in texts))
    return [(prompts, chains) for prompts, chains in cases]


class Watched:
    """A model in torch, every result of which is rounded to its format; it notes the least leads that it sees."""

    def __init__(self, transformer: Transformer, placement: Placement, directory: Path) -> None:
        transformers, self.torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
        directory.mkdir()
        save_transformer(transformer, directory, num_new_tokens=1)
        self.architecture = transformer.architecture
        self.heads = placement.heads
        dtype = getattr(self.torch, transformer.architecture.dtype)
        self.model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, attn_implementation="eager"
        )
        self.projected: list[Any] = []
        for block in self.model.transformer.h:
            block.attn.c_attn.register_forward_hook(lambda _module, _input, output: self.projected.append(output))

    def least_leads(self, prompts: np.ndarray, chains: np.ndarray) -> tuple[float, float]:
        """Of scores at the positions that write, and of the right logits there."""
        torch, start = self.torch, prompts.shape[1] - 1
        self.projected.clear()
        whole = np.concatenate([prompts, chains], axis=1)
        with torch.no_grad():
            logits = self.model(torch.tensor(whole[:, :-1])).logits.float().numpy()[:, start:]
        # Behind the model's own tokens are those of beginning, end and padding, which have a test of their own.
        logits = logits[:, :, : len(self.architecture.vocabulary)].copy()
        gap = min(self._least_gap(index, start) for index in range(self.architecture.num_layers))
        own = np.take_along_axis(logits, chains[:, :, None], axis=2)
        np.put_along_axis(logits, chains[:, :, None], -np.inf, axis=2)
        return gap, float((own[:, :, 0] - logits.max(axis=2)).min())

    def _least_gap(self, index: int, start: int) -> float:
        """The lead of the highest score over the next, with queries and keys as torch computed them."""
        architecture, torch = self.architecture, self.torch
        query, key, _ = (
            part.unflatten(2, (architecture.num_heads, architecture.head_width)).transpose(1, 2)
            for part in self.projected[index].split(architecture.width, dim=2)
        )
        scores = (torch.matmul(query, key.transpose(2, 3)) / architecture.head_width**0.5).float().numpy()
        num_tokens = scores.shape[-1]
        scores[:, :, ~np.tri(num_tokens, dtype=bool)] = -np.inf
        seen = np.sort(scores[:, : len(self.heads[index]), max(start, 1) :], axis=-1)
        return float((seen[..., -1] - seen[..., -2]).min())


@pytest.mark.parametrize(("name", "dtype"), pairs(SOME, FORMATS))
def test_rounded_leads_hold_in_torch(name: str, dtype: DtypeName, tmp_path: Path) -> None:
    """The least leads that torch computes, every result rounded to the format, are at least what is promised."""
    construction, transformer, placement = made(name, dtype)
    certificate = certify_weights(transformer, placement)
    watched = Watched(transformer, placement, tmp_path / "m")
    gaps, leads = zip(*(watched.least_leads(*case) for case in prompts_and_chains(name, construction)), strict=True)
    assert min(gaps) >= certificate.attention.rounded > 0
    assert min(leads) >= certificate.logits.rounded > 0
    # And a promise that says something: no less than a third of what is seen in so few prompts.
    assert certificate.attention.rounded > min(gaps) / 3 and certificate.logits.rounded > min(leads) / 4


# --- damaged weights


def change(transformer: Transformer, part: str, row: int, column: int, by: float) -> Transformer:
    weight = getattr(transformer.layers[0], part).copy()
    weight[row, column] += by
    return replace(transformer, layers=(replace(transformer.layers[0], **{part: weight}), *transformer.layers[1:]))


def failure_of(certificate: Certificate) -> Failure:
    assert certificate.failure is not None and not certificate.holds
    return certificate.failure


def test_a_query_that_looks_elsewhere() -> None:
    _, transformer, placement = made("task/parity-16")
    asked, width = placement.spans["read"].start, placement.width
    assert transformer.layers[0].attention_in_weight.shape == (width, 3 * width)
    wrong = change(
        transformer, "attention_in_weight", asked, 0, -1.5 * float(transformer.layers[0].attention_in_weight[asked, 0])
    )
    failure = failure_of(certify_weights(wrong, placement))
    assert failure.position == 16 and failure.token == 0
    assert "head 0 of layer 0 (symbol) has a score gap of -" in failure.reason


def test_a_unit_that_fires_elsewhere() -> None:
    _, transformer, placement = made("task/parity-16")
    wrong = change(transformer, "mlp_in_weight", placement.spans["digit[0]"].start, 0, 16.0)
    assert "a unit of table rule 0 " in failure_of(certify_weights(wrong, placement)).reason


def test_a_unit_that_reads_what_it_should_not() -> None:
    _, transformer, placement = made("task/parity-16")
    wrong = change(transformer, "mlp_in_weight", placement.spans["name"].start, 0, 1.0)
    reason = failure_of(certify_weights(wrong, placement)).reason
    assert reason == "a unit of table rule 0 reads a field that it should not"


@pytest.mark.parametrize(
    ("part", "field", "reason"),
    [
        ("attention_in_weight", "place%3", "has a score gap of|asks for something else|hold more than it compares"),
        ("attention_out_weight", "", "does not bring the codes|beyond those of the construction"),
        ("mlp_in_weight", "place%3", "a unit of table"),
        ("mlp_out_weight", "", "does not write what it is to write|writes something"),
    ],
)
def test_a_damaged_evaluator(part: str, field: str, reason: str) -> None:
    _, transformer, placement = made("evaluator/5")
    row = placement.spans[field].start if field else 0
    for column in (0, 1):
        wrong = change(transformer, part, row, column, -3.0)
        found = failure_of(certify_weights(wrong, placement))
        assert found.position == 4 and found.token == 0
        assert re.search(reason, found.reason), found.reason


def test_a_small_value_may_be_rounded_further_than_a_large_one() -> None:
    """2.0117 becomes 2.0156 in bfloat16, while 6.0117 becomes 6."""
    rounding, errors = covered_rounding("bfloat16"), np.array([0.0117])
    moved = abs(float(np.float32(2.0117).astype(DTYPES["bfloat16"])) - 2)
    assert round_values(np.array([6.0]), errors, rounding)[0] < moved
    assert moved <= round_any(np.array([6.0, 2.0]), errors, rounding)[0]
