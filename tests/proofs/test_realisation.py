"""Weights against their construction: every deviation is refused, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serialformer.constructions.construction import NOTHING, Construction, exact_table
from serialformer.constructions.placement import Placement
from serialformer.models.lower import certify_weights
from serialformer.proofs.clearing import check_clearing
from serialformer.proofs.code_distances import _all_different, check_codes
from serialformer.proofs.prove import certify_construction, check_claims
from serialformer.proofs.realisation import check_realisation, check_steps
from serialformer.proofs.rounding import covered_rounding
from serialformer.proofs.stream import RealisationError, Stream
from serialformer.proofs.units import _check_exclusive
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.construction_cases import constructions_without_a_chain, every_construction
from tests.proofs.alterations import Change, add_table, alter_bring, alter_clause, alter_field, alter_value, altered
from tests.proofs.test_constructions import lower, some_prompts, writes

CONSTRUCTIONS = {**every_construction(), **constructions_without_a_chain()}
EVALUATOR, PARITY, PERMUTATIONS, LAYERS = (
    "evaluator/2",
    "task/parity-1",
    "task/permutation-composition-1",
    "base/parity",
)


def made(name: str) -> tuple[Transformer, Placement]:
    return lower(CONSTRUCTIONS[name]())


def reason_of(transformer: Transformer, placement: Placement) -> str:
    with np.errstate(all="ignore"):
        failure = certify_weights(transformer, placement).failure
    return "" if failure is None else failure.reason


WIDTH = 72
"""The evaluator's width. Its two heads have 36 columns each, and the second head is idle in the second layer."""

IDLE, NAME = 36, 20
"""The first column of that head, and a dimension of the position's name."""

VALUES = 2 * WIDTH


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"attention_in_weight": {(0, VALUES + IDLE): 1}, "attention_out_weight": {(IDLE, 0): 1}},
            "a head beyond those of the construction brings something",
        ),
        (
            {"attention_in_bias": {(VALUES + IDLE,): 1}, "attention_out_weight": {(IDLE, 0): 1}},
            "a head beyond those of the construction brings something",
        ),
        ({"attention_in_weight": {(0, IDLE): 1e20, (0, WIDTH + IDLE): 1e20}}, "a head without effect can overflow"),
        ({"attention_in_bias": {(IDLE,): 1e20, (WIDTH + IDLE,): 1e20}}, "a head without effect can overflow"),
        ({"attention_in_weight": {(0, VALUES + IDLE): 1e38}}, "a head without effect can overflow"),
        ({"attention_in_bias": {(VALUES,): 1}}, "a value has a bias"),
        ({"attention_in_weight": {(NAME, VALUES): 1}}, "brings something that it should not"),
        ({"attention_in_weight": {(0, VALUES): 2}}, "does not bring the codes of kind"),
        ({"attention_out_bias": {(0,): 1}}, "what attention adds everywhere is not what the construction says"),
        ({"attention_in_weight": {(0, WIDTH): 1}}, "hold more than it compares"),
        ({"attention_in_weight": {(0, 0): 1}}, "asks for something else as well"),
        ({"attention_in_weight": {(0, 35): 1e38}}, "can overflow"),
        ({"mlp_in_weight": {(0, 200): 1e38}}, "a hidden unit without effect can overflow"),
        ({"mlp_in_bias": {(200,): 1e38}}, "a hidden unit without effect can overflow"),
        ({"mlp_in_bias": {(200,): 1}, "mlp_out_weight": {(200, 0): 1}}, "beyond those of the construction writes"),
        ({"mlp_out_bias": {(0,): 1}}, "the output bias of the hidden units is not the default"),
    ],
)
def test_a_weight_of_the_second_layer(change: Change, reason: str) -> None:
    transformer, placement = made(EVALUATOR)
    wrong = altered(transformer, {f"layers.1.{name}": numbers for name, numbers in change.items()})
    assert reason in reason_of(wrong, placement)


@pytest.mark.parametrize("place", [0, 48])
def test_a_norm_may_add_to_what_no_unit_reads(place: int) -> None:
    transformer, placement = made(EVALUATOR)
    assert reason_of(altered(transformer, {"layers.1.mlp_norm_bias": {(place,): 1}}), placement) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mlp_norm_bias": {(36,): 1e-3}}, "a unit of table"),
        ({"attention_norm_bias": {(34,): 1e-3}}, "can overflow"),
        ({"mlp_norm_gain": {(36,): 2}}, "a unit of table"),
        ({"mlp_in_weight": {(50, 0): 1}}, "reads a field that it should not"),
        ({"mlp_out_weight": {(0, 0): 1}}, "does not write what it is to write"),
    ],
)
def test_a_weight_of_the_first_layer(change: Change, reason: str) -> None:
    transformer, placement = made(EVALUATOR)
    wrong = altered(transformer, {f"layers.0.{name}": numbers for name, numbers in change.items()})
    assert reason in reason_of(wrong, placement)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"final_norm_bias": {(0,): 1}}, "the final layer norm is not one positive gain and no bias"),
        ({"final_norm_gain": {(0,): 8}}, "the final layer norm is not one positive gain and no bias"),
        ({"final_norm_gain": {(place,): -4 for place in range(WIDTH)}}, "is not one positive gain and no bias"),
        ({"token_embedding": {(0, 0): 2}}, "the embedding of token '1' is not the code of its fields"),
        ({"position_embedding": {(3, 20): 2}}, "the embedding of position 3 is not the code of its fields"),
        ({"token_embedding": {(0, 0): np.inf}}, "token_embedding holds infinities or what is not a number"),
        ({"layers.0.mlp_in_bias": {(200,): np.nan}}, "mlp_in_bias holds infinities or what is not a number"),
    ],
)
def test_another_weight(change: Change, reason: str) -> None:
    transformer, placement = made(EVALUATOR)
    assert reason in reason_of(altered(transformer, change), placement)


def realise(transformer: Transformer, placement: Placement, like: Construction) -> None:
    """Checks the weights alone. Which tokens occur where is taken from the claims of another construction."""
    occurring, _, _ = check_claims(like)
    check_realisation(transformer, placement, occurring, covered_rounding("float32"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda witness: alter_bring(witness, 1, 0, 1, of_value=(NOTHING, 1)), "nothing may arrive in fetched_number"),
        (lambda witness: alter_value(witness, "slot.high", 4, 2), "positions hold values that slot.high has not"),
        (lambda witness: alter_value(witness, "slot.high", 4, -2), "positions hold values that slot.high has not"),
        (lambda witness: replace(witness, vocabulary=witness.vocabulary[::-1]), "its shape is not that of"),
        (lambda witness: replace(witness, end_token=0), "its shape is not that of"),
        (lambda witness: replace(witness, num_positions=18), "its shape is not that of"),
        (lambda witness: replace(witness, layers=witness.layers[:2]), "its shape is not that of"),
    ],
)
def test_another_construction(change: Callable[[Construction], Construction], reason: str) -> None:
    transformer, placement = made(EVALUATOR)
    realise(transformer, placement, placement.construction)
    with pytest.raises(RealisationError, match=reason):
        realise(transformer, replace(placement, construction=change(placement.construction)), placement.construction)


def test_another_placement() -> None:
    transformer, placement = made(EVALUATOR)
    spans = {**placement.spans, "value": placement.spans["previous"]}
    for change, reason in (
        ({"spans": spans}, "two fields share a dimension"),
        ({"unit_output": 0.0}, "what units give where they fire is not positive"),
        ({"unit_output": np.nan}, "what units give where they fire is not positive"),
        ({"width": 71}, "its shape is not that of the construction"),
        ({"heads": ((0, 1), (0, -1, -1), (0,))}, "its shape is not that of the construction"),
        ({"heads": ((0, 1), (0,))}, "its shape is not that of the construction"),
        ({"heads": ((0, 1), (), (0,))}, "the look-ups of layer 1 are not served by one layer each"),
        ({"heads": ((0, 0), (0,), (0,))}, "the look-ups of layer 0 are not served by one layer each"),
    ):
        with pytest.raises(RealisationError, match=reason):
            realise(transformer, replace(placement, **change), placement.construction)


def test_look_ups_that_are_spread_over_layers_read_nothing_that_is_brought() -> None:
    """Later look-ups would see what earlier ones brought."""
    construction = CONSTRUCTIONS["circuit/two-input table 0110"]()
    placement = lower(construction)[1]
    spread = {"steps": (0, 0), "heads": ((0,), (1,))}
    check_steps(replace(placement, **spread))
    for wrong in (
        alter_bring(construction, 0, 1, 0, source="fetched[0]"),
        alter_clause(construction, 0, 1, 0, key="fetched[0]"),
        alter_clause(construction, 0, 1, 0, asked="fetched[0]"),
    ):
        with pytest.raises(RealisationError, match="layer 0 reads what it brings, and is spread over several"):
            check_steps(replace(placement, construction=wrong, **spread))
    for steps in ((1, 0, 2), (0, 2, 2), (0, 0, 1)):
        with pytest.raises(RealisationError, match="its layers are not those of the construction"):
            check_steps(replace(made(EVALUATOR)[1], steps=steps))


def test_positions_hold_no_value_below_nothing() -> None:
    """The weights would treat -2 as nothing, and the look-ups would treat it as the last value."""
    construction = CONSTRUCTIONS["base/word-problem"]()
    last = construction.field_named["name"].num_values - 1
    for name in ("name", "read[0]", "read[1]", "read[2]"):  # position 0 and the last one exchange their names
        values = np.array(construction.field_named[name].at(slice(0, construction.num_positions)))
        renamed = np.where(values == 0, last, np.where(values == last, 0, values))
        construction = alter_field(construction, name, values=renamed)
    assert certify_construction(*lower(construction)).holds
    wrong = alter_value(construction, "name", 0, -2)
    check_claims(wrong)
    transformer, placement = lower(wrong)
    assert not all(writes(transformer, *case) for case in some_prompts(construction, np.random.default_rng(0)))
    assert reason_of(transformer, placement) == "positions hold values that name has not"


def test_two_clauses_share_no_column() -> None:
    transformer, placement = made(PERMUTATIONS)
    into = transformer.layers[0].attention_in_weight
    slot = placement.spans["slot"].start
    (column,) = np.flatnonzero(into[placement.spans["item"].start, placement.width : placement.width + 10])[:1]
    place = (slot, placement.width + int(column))
    wrong = altered(transformer, {"layers.0.attention_in_weight": {place: 1}})
    assert "two clauses of look-up given share a column of their head" in reason_of(wrong, placement)


def test_clauses_of_many_values_compare_one_field_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serialformer.proofs.clause_scores.MAX_PAIRS", 0)
    transformer, placement = made(PERMUTATIONS)
    assert "slot has too many values to go through all pairs of them" in reason_of(transformer, placement)


def test_fields_that_are_compared_have_one_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serialformer.proofs.clause_scores.MAX_PAIRS", 0)
    transformer, placement = made(LAYERS)
    assert reason_of(transformer, placement) == ""
    construction, read = placement.construction, "read[0]"
    codes = {**placement.codes, read: np.roll(placement.codes[read], 1, axis=0)}
    other = replace(placement, codes=codes)
    embedding = transformer.position_embedding.copy()
    values = construction.field_named[read].at(slice(0, construction.num_positions))
    embedding[: len(values), placement.spans[read]] = other.rows(read, values)
    weights = {**dict(transformer.named_weights()), "position_embedding": embedding}
    wrong = weights_to_transformer(transformer.architecture, weights)
    assert "read[0] and name have different codes" in reason_of(wrong, other)


@pytest.mark.parametrize(
    ("codes", "levels"),
    [
        ([[1, 1], [1, -1], [1, 1]], [-1, 1]),
        ([[1, 1], [1, -1], [2, 1]], [-1, 1, 2]),
        ([[4, 1], [1, 4]], [1, 4, 6]),
    ],
)
def test_codes_are_different_points_of_a_grid_with_one_norm(codes: list[list[int]], levels: list[float]) -> None:
    with pytest.raises(RealisationError, match="are not all different points of a grid with one norm"):
        check_codes(np.array(codes, dtype=np.int8), np.array(levels, dtype=np.float64), "name")


def test_equal_codes_are_found_wherever_they_stand() -> None:
    one, other = np.repeat([1, 5], 8), np.repeat([2, 3], 8)
    assert _all_different(np.array([one, other, one[::-1]], dtype=np.int8))
    assert not _all_different(np.array([one, other, one], dtype=np.int8))
    assert not _all_different(np.array([-one, other, -one], dtype=np.int8))


@pytest.mark.parametrize("seed", range(4))
def test_no_two_codes_are_closer_than_the_gap(seed: int) -> None:
    """Compared with all pairs."""
    random = np.random.default_rng(seed)
    rows = random.permutation(np.array(list(np.ndindex(*[2] * 10))) * 2 - 1)[:60].astype(np.int8)
    if seed % 2:
        rows = np.concatenate([rows, -rows], axis=1)  # of one sum
    square, gap = check_codes(rows, np.array([-1.0, 1.0]), "name")
    products = rows.astype(np.float64) @ rows.T
    assert (np.diagonal(products) == square).all()
    np.fill_diagonal(products, -np.inf)
    assert square - products.max() >= gap > 0


def test_no_two_units_of_a_table_fire_together() -> None:
    table = exact_table("both", ["a"], [[0], [1], [0]], ["b"], [[0], [1], [1]])
    with pytest.raises(RealisationError, match="two units of table both fire for the same values"):
        _check_exclusive(table)


def test_a_layer_without_biases_clears_nothing() -> None:
    stream: Any = SimpleNamespace(placement=SimpleNamespace(one="one"))
    nothing: Any = None
    with pytest.raises(RealisationError, match="a layer without biases clears nothing"):
        check_clearing(nothing, stream, nothing, ("bit",), 0, np.zeros(1), covered_rounding("float32"))


def stream_of(placement: Placement) -> Stream:
    return Stream(
        placement=placement,
        allowed=np.ones(3, dtype=bool),
        error=np.zeros(placement.width),
        stored=np.zeros(placement.width),
        may_be_nothing=dict.fromkeys(placement.spans, False),
        own=np.zeros((2, 2)),
    )


def test_what_was_brought_together_is_cleared_together() -> None:
    stream = stream_of(made(EVALUATOR)[1])
    stream.brought.append((("gate%2", "gate%3"), np.ones((2, 2))))
    with pytest.raises(RealisationError, match="were brought together, and are not cleared together"):
        stream.clear(("gate%2",))
    stream.clear(("gate%2", "gate%3"))
    assert stream.brought == [] and stream.may_be_nothing["gate%2"] and stream.may_be_nothing["gate%3"]


@pytest.mark.parametrize("act", ["clear", "fill"])
def test_a_field_that_is_overwritten_has_codes_of_one_sum_and_norm(act: str) -> None:
    placement = made(EVALUATOR)[1]
    for code in ([1, 1, 1, 1], [2, -2, 2, -2]):
        codes = placement.codes["gate%3"].copy()
        codes[0] = code
        stream = stream_of(replace(placement, codes={**placement.codes, "gate%3": codes}))
        with pytest.raises(RealisationError, match="which is overwritten, differ in their sum or norm"):
            stream.clear(("gate%3",)) if act == "clear" else stream.fill("gate%3")


def scaled(transformer: Transformer, placement: Placement, names: list[str], units: slice, share: float) -> Transformer:
    """Moves part of the units' weights into their biases, so that their inputs stay the same where they fire."""
    weights = dict(transformer.named_weights())
    into, bias = weights["layers.0.mlp_in_weight"].copy(), weights["layers.0.mlp_in_bias"].copy()
    for name in names:
        rows = placement.spans[name]
        bias[units] += (1 - share) * np.abs(into[rows, units]).sum(axis=0)
        into[rows, units] *= share
    return weights_to_transformer(
        transformer.architecture, {**weights, "layers.0.mlp_in_weight": into, "layers.0.mlp_in_bias": bias}
    )


def test_units_are_silent_where_they_should_not_fire() -> None:
    transformer, placement = made(PARITY)
    table = placement.construction.layers[0].tables[0]
    assert reason_of(scaled(transformer, placement, ["mode"], slice(0, table.num_units), 1.0), placement) == ""
    reason = reason_of(scaled(transformer, placement, ["mode"], slice(0, table.num_units), 0.5), placement)
    assert reason == "a unit of table rule 0 comes too near to firing where it should not"


def test_units_give_nothing_where_a_field_holds_nothing() -> None:
    transformer, placement = made("circuit/two-input table 0110")
    for number in range(4):
        units = slice(2 * number, 2 * number + 2)
        transformer = scaled(transformer, placement, [f"table[{number}]"], units, 0.875)
    assert reason_of(transformer, placement) == "a unit of table bits 0, 0 can fire where a field holds nothing"


def test_an_extra_table_is_not_in_the_weights() -> None:
    transformer, placement = made(PARITY)
    more = exact_table("more", ["name"], [[0]], ["digit[0]"], [[0]])
    with pytest.raises(RealisationError, match="of table more"):
        realise(
            transformer,
            replace(placement, construction=add_table(placement.construction, 0, more)),
            placement.construction,
        )


def test_units_must_not_overflow_on_the_way() -> None:
    """A term added to both dimensions of a value cancels, but only at the end of the sum."""
    transformer, placement = lower(CONSTRUCTIONS[PARITY](), "float16")
    into, rows = transformer.layers[0].mlp_in_weight, placement.dimensions("mode").tolist()
    change: dict[tuple[int, ...], float] = {(row, 0): float(into[row, 0]) + 2.0**14 for row in rows}
    wrong = altered(transformer, {"layers.0.mlp_in_weight": change})
    assert "a unit of table rule 0" in reason_of(wrong, placement)


def test_heads_add_to_fields_only() -> None:
    transformer, placement = made(PARITY)
    beside = int(np.flatnonzero(placement.constant)[0])
    wrong = altered(transformer, {"layers.0.attention_out_weight": {(5, beside): 1}})
    assert reason_of(wrong, placement) == "attention adds to dimensions that no field has"
