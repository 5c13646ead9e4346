"""Tokens that say where they stand: their proof refuses wrong witnesses and weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serialformer import Shape
from serialformer.constructions.construction import exact_table
from serialformer.errors import CheckpointError, InputError
from serialformer.proofs.every_prompt import certify_every_prompt
from serialformer.proofs.float_reading import read_floats
from serialformer.proofs.induction import InductionError
from serialformer.proofs.layer_maps import one_of, read_layer
from serialformer.proofs.placed_embeddings import _check_end_of_answer, check_placed_claims, check_placed_embeddings
from serialformer.proofs.placed_logits import check_following, check_unembedding
from serialformer.proofs.prove import check_claims
from serialformer.proofs.realisation import check_realisation
from serialformer.proofs.rounding import covered_rounding
from serialformer.proofs.stream import RealisationError
from serialformer.transformer.transformer import weights_to_transformer
from tests.proofs.alterations import add_table, alter_value
from tests.proofs.test_llama import made
from tests.targets.test_llama_tied import made as made_tied

NAME = "random, 2 inputs a gate"


def test_every_token_is_in_the_vocabulary() -> None:
    _, placement = made(NAME)
    placed, construction = placement.placed, placement.construction
    assert placed is not None
    check_placed_claims(construction, placed)
    for number, reason in ((placed.num_tokens, "a token is not in the vocabulary"), (2, "two tokens are one")):
        ids = placed.ids.copy()
        ids[8, 0] = number
        with pytest.raises(InductionError, match=reason):
            check_placed_claims(construction, replace(placed, ids=ids))


def test_only_prompts_of_one_layout() -> None:
    _, placement = made(NAME)
    assert placement.placed is not None
    unknown: Any = object()
    strange = replace(placement.construction, claims=lambda: iter([unknown]))
    with pytest.raises(InductionError, match="only prompts of one layout have tokens that say where they stand"):
        check_placed_claims(strange, placement.placed)


def test_nothing_is_written_after_the_end_of_the_answer() -> None:
    """At the last position, no unit of any table may fire."""
    _, placement = made(NAME)
    construction = placement.construction
    answers = np.zeros(len(construction.vocabulary), dtype=bool)
    answers[[0, 1]] = True
    always = exact_table("always", ["fetched[0]"], [[0]], ["token"], [[0]])
    of_bits = exact_table("bits", ["token"], [[1]], ["token"], [[0]])
    of_end = exact_table("end", ["token", "fetched[0]"], [[2, 0]], ["token"], [[0]])

    def check(*tables: Any, before: tuple[str, ...] = ()) -> None:
        (layer,) = construction.layers
        layers = (replace(layer, tables=(), clears=before), replace(layer, tables=tables))
        _check_end_of_answer(replace(construction, layers=layers), answers)

    check(of_end)
    for tables, before in (((always,), ()), ((of_end, of_bits), ()), ((of_end,), ("token",))):
        with pytest.raises(InductionError, match="may write after the end of the answer") as caught:
            check(*tables, before=before)
        assert caught.value.position == construction.num_positions - 1


@pytest.mark.parametrize("value", [9999, -2])
def test_positions_with_values_out_of_range_are_refused(value: int) -> None:
    transformer, placement = made(NAME)
    allowed = np.ones(len(placement.construction.vocabulary), dtype=bool)
    check_placed_embeddings(transformer, placement, allowed)
    wrong = replace(placement, construction=alter_value(placement.construction, "read[0]", 8, value))
    with pytest.raises(RealisationError, match="positions hold values that read.0. has not"):
        check_placed_embeddings(transformer, wrong, allowed)


def test_the_next_position_is_named() -> None:
    _, placement = made_tied()
    check_following(placement)
    construction, following, codes = placement.construction, placement.following, dict(placement.codes)
    codes[following] = -codes[following]
    last = construction.num_positions - 1
    for wrong, reason in (
        (replace(placement, following="token"), "are not decided by the position"),
        (replace(placement, address="token"), "are not decided by the position"),
        (replace(placement, following="table[0]"), "have different codes"),
        (replace(placement, codes=codes), "have different codes"),
        (replace(placement, construction=alter_value(construction, following, 3, 3)), "does not name the next"),
        (replace(placement, construction=alter_value(construction, following, last, -1)), "does not name the next"),
    ):
        with pytest.raises(RealisationError, match=reason):
            check_following(wrong)


def test_the_unembedding_tells_positions_apart() -> None:
    transformer, placement = made(NAME)
    construction = placement.construction
    check_unembedding(transformer, placement)
    for wrong in (
        replace(placement, address="token"),
        replace(placement, construction=alter_value(construction, "name", 5, 4)),
        replace(placement, construction=alter_value(construction, "name", 5, -1)),
    ):
        with pytest.raises(RealisationError, match="does not tell positions apart"):
            check_unembedding(transformer, wrong)


@pytest.mark.parametrize("change", ["vocabulary", "end_token", "positions", "window", "heads"])
def test_another_shape(change: str) -> None:
    transformer, placement = made(NAME)
    architecture, construction = transformer.architecture, placement.construction
    occurring, _, _ = check_claims(construction)
    check_realisation(transformer, placement, occurring, covered_rounding("float32"))
    other = {
        "vocabulary": {"vocabulary": (*architecture.vocabulary[:-1], "another")},
        "end_token": {"end_token": 3},
        "positions": {"num_positions": construction.num_positions - 1},
        "window": {"window": construction.num_positions - 1},
        "heads": {},
    }[change]
    if change == "heads":
        placement = replace(placement, heads=tuple((*heads, -1) for heads in placement.heads))
    with pytest.raises(RealisationError, match="its shape is not that of the construction"):
        check_realisation(
            replace(transformer, architecture=replace(architecture, **other)),
            placement,
            occurring,
            covered_rounding("float32"),
        )


def test_what_the_final_norm_leaves_is_read_by_one_weight() -> None:
    transformer, placement = made(NAME)
    occurring, _, _ = check_claims(placement.construction)
    weights = dict(transformer.named_weights())
    gain = weights["final_norm_gain"].copy()
    for change in (-gain, 0 * gain):
        wrong = weights_to_transformer(transformer.architecture, {**weights, "final_norm_gain": change})
        with pytest.raises(RealisationError, match="the gain of the final norm is not one positive number"):
            check_realisation(wrong, placement, occurring, covered_rounding("float32"))


def test_heads_have_biases_or_read_what_is_the_same_everywhere() -> None:
    """Queries and keys of a Qwen2 have biases and need not read a constant field."""
    transformer, placement = made(NAME, shape=Shape(head_biases=True, layers=1))
    assert read_layer(transformer, placement, 0).head_biases
    weights = dict(transformer.named_weights())
    into = weights["layers.0.attention_in_weight"].copy()
    into[placement.spans[placement.one].start, 0] = 1
    wrong = weights_to_transformer(transformer.architecture, {**weights, "layers.0.attention_in_weight": into})
    with pytest.raises(RealisationError, match="heads read what is the same everywhere, and have biases"):
        read_layer(wrong, placement, 0)


def test_names_are_turned_by_all_positions() -> None:
    transformer, placement = made(NAME)
    maps, architecture = read_layer(transformer, placement, 0), transformer.architecture
    half, size = architecture.head_width // 2, placement.construction.num_positions
    turns = architecture.rotary_base ** (-np.arange(half) / half)
    assert np.allclose(maps.turns, turns)
    assert (maps.angles >= (size - 1) * np.tile(turns, 2)).all()


def test_only_gpt2s_are_read_without_a_construction() -> None:
    transformer, _ = made(NAME)
    with pytest.raises(CheckpointError, match="no GPT-2"):
        read_floats(transformer, num_inputs=1, num_chain_tokens=1, rounding=covered_rounding("float32"))
    with pytest.raises(InputError, match="expected a GPT-2, found llama"):
        certify_every_prompt(transformer, np.zeros((1, 3), dtype=np.int64), 2, prompts="all of them")


def test_what_is_the_same_everywhere_is_one_number() -> None:
    _, placement = made(NAME)
    dimension, value = one_of(placement)
    assert dimension == placement.spans["one"].start and value == placement.codes["one"][0, 0]
    for codes in (np.zeros((1, 1)), np.ones((2, 1)), np.ones((1, 2))):
        with pytest.raises(RealisationError, match="is not one number"):
            one_of(replace(placement, codes={**placement.codes, "one": codes}))
    with pytest.raises(RealisationError, match="is not one number"):
        one_of(replace(placement, spans={**placement.spans, "one": slice(dimension, dimension + 2)}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"default": {"token": 1}}, "the default is not the end of the chain"),
        ({"default": {}}, "the default is not the end of the chain"),
    ],
)
def test_the_end_is_what_is_written_where_no_unit_writes(change: dict[str, Any], reason: str) -> None:
    _, placement = made(NAME)
    assert placement.placed is not None
    with pytest.raises(InductionError, match=reason):
        check_placed_claims(replace(placement.construction, **change), placement.placed)


def test_no_unit_writes_the_end() -> None:
    _, placement = made(NAME)
    assert placement.placed is not None
    more = exact_table("end", ["fetched[0]"], [[0]], ["token"], [[2]])
    with pytest.raises(InductionError, match="units may write the end of the chain"):
        check_placed_claims(add_table(placement.construction, 0, more), placement.placed)
