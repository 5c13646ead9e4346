"""Models that count: proven for every sum, up to where precision ends, and nothing wrong is proven."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from serialformer.architecture import Activation, DtypeName
from serialformer.constructions.claim import CountClaim
from serialformer.constructions.construction import Construction, Field, LookUp, Tally
from serialformer.constructions.task_depth import task_depth_construction
from serialformer.proofs.balls import Ball, activation_slopes, activation_value
from serialformer.proofs.counting import certify_counting
from serialformer.proofs.prove import certify_construction
from serialformer.targets.counting import count_claim, counting_to_gpt2, counting_to_placement
from serialformer.tasks.registry import make_task
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.proofs.alterations import add_field, add_table, alter_layer, altered
from tests.proofs.mutations import mutate

CASES: list[tuple[str, dict[str, int], int]] = [
    ("majority", {}, 1),
    ("majority", {}, 12),
    ("majority", {}, 101),
    ("parity", {}, 20),
    ("modular-addition", {"modulus": 3}, 9),
    ("modular-addition", {}, 6),
]

MUTATED: list[tuple[str, dict[str, int], int]] = [
    ("majority", {}, 9),
    ("modular-addition", {"modulus": 3}, 5),
    ("parity", {}, 14),
]


def lower(
    name: str,
    parameters: dict[str, int],
    length: int,
    dtype: DtypeName = "float32",
    activation: Activation = "gelu_new",
) -> tuple[Construction, Transformer]:
    construction = task_depth_construction(make_task(name, parameters), length, method="counting")
    return construction, counting_to_gpt2(construction, dtype=dtype, activation=activation)[0]


def words_of_every_sum(claim: CountClaim, end: int, random: np.random.Generator) -> np.ndarray:
    """For each sum a word that has it, its items in any order."""
    rows = []
    largest = int(claim.number.max())
    for total in range(len(claim.answer)):
        full, rest = divmod(total, largest)
        items = [largest] * full + ([rest] if rest else [])
        rows.append([*random.permutation(items + [0] * (claim.num_items - len(items))).tolist(), end])
    return np.array(rows, dtype=np.int64)


def is_right(transformer: Transformer, construction: Construction, random: np.random.Generator) -> bool:
    claim = count_claim(construction)
    words = words_of_every_sum(claim, construction.end_token, random)
    for dtype in (np.float64, np.float32):
        with np.errstate(all="ignore"):
            logits = compute_logits(transformer, words, dtype=dtype)[:, -1]
        if not np.isfinite(logits).all() or not np.array_equal(logits.argmax(axis=1), claim.answer):
            return False
    return True


@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
@pytest.mark.parametrize(("name", "parameters", "length"), CASES)
def test_every_sum_is_proven(name: str, parameters: dict[str, int], length: int, activation: Activation) -> None:
    construction, transformer = lower(name, parameters, length, activation=activation)
    certificate = certify_counting(transformer, construction)
    assert certificate.failure is None and certificate.exhaustive
    assert 0 < certificate.logits.rounded <= certificate.logits.exact
    assert is_right(transformer, construction, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "parameters", "dtype", "last"),
    [
        ("majority", {}, "float16", 200),
        ("majority", {}, "bfloat16", 1534),
        ("majority", {}, "float32", 2000),
        ("parity", {}, "float32", 133),
        ("parity", {}, "float16", 6),
        ("modular-addition", {"modulus": 3}, "float32", 66),
        ("modular-addition", {}, "float32", 19),
    ],
)
def test_where_precision_ends(name: str, parameters: dict[str, int], dtype: DtypeName, last: int) -> None:
    for length, holds in ((last, True), (last + 1, False)):
        construction, transformer = lower(name, parameters, length, dtype)
        certificate = certify_counting(transformer, construction)
        assert certificate.holds is holds
        if not holds:
            assert certificate.failure is not None and "under rounding" in certificate.failure.reason


def test_leads_are_those_of_a_forward_pass() -> None:
    """In float64 the leads are what the proof says they are without rounding; in float32 within what it allows."""
    construction, transformer = lower("modular-addition", {}, 12)
    claim, certificate = count_claim(construction), certify_counting(transformer, construction)
    words = words_of_every_sum(claim, construction.end_token, np.random.default_rng(1))
    leads = []
    for dtype in (np.float64, np.float32):
        logits = compute_logits(transformer, words, dtype=dtype)[:, -1].astype(np.float64)
        right = np.take_along_axis(logits, claim.answer[:, None], axis=1)
        others = logits.copy()
        np.put_along_axis(others, claim.answer[:, None], -np.inf, axis=1)
        leads.append(float((right[:, 0] - others.max(axis=1)).min()))
    assert leads[0] == pytest.approx(certificate.logits.exact, abs=1e-9)
    assert certificate.logits.rounded <= leads[1]


def check_mutations(case: tuple[str, dict[str, int], int], number: int, seed: int) -> tuple[int, int]:
    """How many altered models were certified, and how many were wrong; none may be both."""
    random = np.random.default_rng(seed)
    construction, transformer = lower(*case)
    num_certified = num_wrong = 0
    for _ in range(number):
        altered, what = mutate(transformer, random)
        certified = certify_counting(altered, construction).holds
        is_wrong = not is_right(altered, construction, random)
        assert not (certified and is_wrong), what
        num_certified, num_wrong = num_certified + certified, num_wrong + is_wrong
    return num_certified, num_wrong


@pytest.mark.parametrize("case", [("majority", {}, 9), ("modular-addition", {"modulus": 3}, 5)])
def test_no_altered_weights_are_wrongly_certified(case: tuple[str, dict[str, int], int]) -> None:
    num_certified, num_wrong = check_mutations(case, 150, seed=2)
    assert num_certified > 0 and num_wrong > 0, "some mutations should be harmless, and some not"


@pytest.mark.slow
@pytest.mark.parametrize("case", MUTATED)
def test_no_altered_weights_are_wrongly_certified_in_two_thousand(case: tuple[str, dict[str, int], int]) -> None:
    check_mutations(case, 2000, seed=3)


@pytest.mark.parametrize(
    ("name", "place", "value", "reason"),
    [
        ("position_embedding", (3, 2), 2.5, "positions differ in their embeddings"),
        ("layers.0.attention_in_weight", (6, 1), 1e-20, "queries are not 0"),
        ("layers.0.attention_in_bias", (0,), 1e-20, "queries are not 0"),
        ("layers.0.attention_in_weight", (6, 12), np.inf, "holds infinities"),
        ("layers.0.mlp_in_weight", (0, 0), -1.0, "if the items add up to"),
    ],
)
def test_what_breaks_it_is_named(name: str, place: tuple[int, ...], value: float, reason: str) -> None:
    construction, transformer = lower("majority", {}, 8)
    failure = certify_counting(altered(transformer, {name: {place: value}}), construction).failure
    assert failure is not None and reason in failure.reason


def test_a_construction_that_counts_something_else_is_refused() -> None:
    construction, transformer = lower("majority", {}, 8)
    digit = construction.field_named["digit"]
    values = digit.of_token.copy()
    values[construction.end_token] = 1

    def change(part: Field) -> Field:
        return replace(part, values=values) if part.name == "digit" else part

    wrong = replace(construction, fields=tuple(map(change, construction.fields)))
    failure = certify_counting(transformer, wrong).failure
    assert failure is not None and "a token does not stand for its number" in failure.reason
    other = lower("parity", {}, 8)[0].layers
    failure = certify_counting(transformer, replace(construction, layers=other)).failure
    assert failure is not None and "does not answer what the claim says" in failure.reason


def test_it_is_found_by_what_the_construction_does() -> None:
    construction = task_depth_construction(make_task("parity"), 5, method="counting")
    transformer, layout = counting_to_gpt2(construction, dtype="float32", activation="gelu_new")
    assert certify_construction(transformer, counting_to_placement(layout)).exhaustive


@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_slopes_enclose_all_that_are_near(activation: Activation) -> None:
    random = np.random.default_rng(4)
    centre, reach = random.uniform(-9, 9, 2000), random.uniform(0, 3, 2000)
    slope, away = activation_slopes(Ball(value=centre, error=reach), activation)
    for share in np.linspace(-1, 1, 41):
        near = centre + share * reach
        measured = (activation_value(near + 1e-6, activation) - activation_value(near - 1e-6, activation)) / 2e-6
        assert (np.abs(measured - slope) <= away + 1e-6).all()


def with_claim(made: Construction, **changes: object) -> Construction:
    claim = replace(count_claim(made), **changes)
    return replace(made, claims=lambda: iter([claim]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: alter_layer(made, 0, clears=("sum",)), "the construction does more than count"),
        (lambda made: alter_layer(made, 0, tallies=2 * made.layers[0].tallies), "does more than count"),
        (
            lambda made: alter_layer(made, 0, look_ups=(LookUp(name="more", clauses=(), brings=(), distance=0),)),
            "does more than count",
        ),
        (
            lambda made: alter_layer(
                add_field(made, Field(name="one", num_values=2, origin="position", values=np.ones(9, dtype=np.int64))),
                0,
                tallies=(Tally(source="one", target="sum"),),
            ),
            "what is counted is not decided by tokens",
        ),
        (
            lambda made: alter_layer(made, 0, tallies=(Tally(source="digit", target="equals"),)),
            "what is counted is not decided by tokens",
        ),
        (lambda made: with_claim(made, answer=count_claim(made).answer[:-1]), "the claim is not about all sums"),
        (
            lambda made: with_claim(made, items=count_claim(made).items[1:2], number=count_claim(made).number[1:2]),
            "the claim is not about all sums",
        ),
        (lambda made: add_table(made, 0, made.layers[0].tables[0]), "two units write"),
    ],
)
def test_a_wrong_construction(change: Callable[[Construction], Construction], reason: str) -> None:
    construction, transformer = lower("majority", {}, 8)
    failure = certify_counting(transformer, change(construction)).failure
    assert failure is not None and reason in failure.reason


def test_the_prompt_must_fit() -> None:
    construction = lower("majority", {}, 8)[0]
    failure = certify_counting(lower("majority", {}, 7)[1], construction).failure
    assert failure is not None and "holds the prompt" in failure.reason


def test_counts_that_float32_cannot_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    construction, transformer = lower("majority", {}, 8)
    monkeypatch.setattr("serialformer.proofs.counting.MAX_EXACT_COUNT", 8)
    failure = certify_counting(transformer, construction).failure
    assert failure is not None and "float32 does not count to 9" in failure.reason
    monkeypatch.setattr("serialformer.proofs.counting.MAX_EXACT_COUNT", 9)
    assert certify_counting(transformer, construction).holds


def test_keys_must_not_overflow() -> None:
    """Queries are 0, and 0 times infinity is NaN."""
    construction, transformer = lower("majority", {}, 8)
    width = transformer.architecture.width
    weights = dict(transformer.named_weights())
    into, sign = weights["layers.0.attention_in_weight"].copy(), np.sign(weights["token_embedding"][-1])
    for size, holds in ((1e36, True), (3e38, False)):
        into[:, width] = sign * np.float32(size)
        changed = {**weights, "layers.0.attention_in_weight": into}
        loud = weights_to_transformer(transformer.architecture, changed)
        assert certify_counting(loud, construction).holds is holds
    failure = certify_counting(loud, construction).failure
    assert failure is not None and failure.reason == "keys overflow"
