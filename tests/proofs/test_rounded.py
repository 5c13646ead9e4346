"""The paper's arithmetic: its proof checks its assumptions and refuses wrong weights and witnesses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer.circuits.passes import split_gates
from serialformer.constructions.circuit_depth import circuit_depth_construction
from serialformer.constructions.claim import BitClaim
from serialformer.constructions.construction import Construction
from serialformer.constructions.interpret import interpret
from serialformer.constructions.placement import Placement
from serialformer.errors import CheckpointError
from serialformer.proofs import rounded_reading, rounded_realisation
from serialformer.proofs.prove import check_claims
from serialformer.proofs.reading import find_context
from serialformer.proofs.rounded_reading import check_saturation, read_rounded
from serialformer.proofs.rounded_realisation import check_rounded_realisation
from serialformer.proofs.stream import RealisationError
from serialformer.targets.paper_depth import construction_to_paper_depth
from serialformer.targets.paper_layout import paper_to_placement
from serialformer.transformer.precision import fixed_point
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.cases import every_input, small_circuits
from tests.proofs.alterations import (
    Change,
    add_table,
    alter_bring,
    alter_clause,
    alter_look_up,
    alter_table,
    altered,
    table_of,
)
from tests.proofs.test_constructions import lower_paper, paper_construction, writes_rounded

NAME = "gates of one, two and three inputs"
Made = tuple[Transformer, Placement]


def with_a_chain() -> Made:
    return lower_paper(paper_construction(NAME))


def without_a_chain() -> Made:
    construction = circuit_depth_construction(split_gates(small_circuits()[NAME]))
    transformer, layout = construction_to_paper_depth(construction, precision=1)
    return transformer, paper_to_placement(layout)


def check(transformer: Transformer, placement: Placement, like: Construction) -> None:
    occurring, _, _ = check_claims(like)
    check_rounded_realisation(transformer, placement, occurring)


READS, NAMES = 14, 10
"""Dimensions of what is looked up, and of the position's name."""

VALUES = 44
"""The first column of the first head's values."""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"attention_out_bias": {(0,): 0.5}}, "attention's output bias is not zero"),
        ({"attention_in_weight": {(NAMES, VALUES): 0.5}}, "brings something that it should not"),
        ({"attention_in_bias": {(VALUES,): 0.5}}, "brings something that it should not"),
        ({"attention_in_bias": {(0,): 0.5}}, "does not interleave the codes"),
        ({"attention_in_bias": {(22,): 0.5}}, "does not interleave the codes"),
        ({"attention_in_weight": {(READS, 0): 0.5}}, "does not interleave the codes"),
        ({"attention_in_weight": {(NAMES, 22): 0.5}}, "does not interleave the codes"),
        ({"attention_in_weight": {(0, 22): 0.5}}, "does not interleave the codes"),
        ({"mlp_in_weight": {(NAMES, 0): 0.5}}, "depend on a field that no table reads"),
        ({"mlp_out_weight": {(0, 0): 0.25}}, "what is no number of F_1"),
    ],
)
def test_a_weight(change: Change, reason: str) -> None:
    transformer, placement = with_a_chain()
    wrong = altered(transformer, {f"layers.0.{name}": numbers for name, numbers in change.items()})
    with pytest.raises(RealisationError, match=reason):
        check(wrong, placement, placement.construction)


@pytest.mark.parametrize("name", ["mlp_out_bias", "mlp_out_weight", "mlp_in_weight"])
def test_units_touch_no_field_that_no_table_reads(name: str) -> None:
    transformer, placement = without_a_chain()
    check(transformer, placement, placement.construction)
    dimension = placement.spans["name"].start
    place = {"mlp_out_bias": (dimension,), "mlp_out_weight": (0, dimension), "mlp_in_weight": (dimension, 0)}[name]
    with pytest.raises(RealisationError, match="depend on a field that no table reads"):
        check(altered(transformer, {f"layers.0.{name}": {place: 0.5}}), placement, placement.construction)


@pytest.mark.parametrize("make", [with_a_chain, without_a_chain])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda made: alter_look_up(made, 0, 0, clauses=2 * made.layers[0].look_ups[0].clauses),
            "does not compare one",
        ),
        (lambda made: alter_clause(made, 0, 0, 0, asked=None, constant=0), "does not compare one field with another"),
        (lambda made: alter_clause(made, 0, 0, 0, of_value=tuple(range(16))), "does not compare one field"),
        (lambda made: alter_bring(made, 0, 0, 0, of_value=(1, 0, 0)), "does not bring the codes of"),
        (lambda made: add_table(made, 0, table_of(made, 0, 0)), "two units write into"),
        (
            lambda made: alter_table(
                made, 0, 0, replace(table_of(made, 0, 0), written=1 - table_of(made, 0, 0).written)
            ),
            "for some combination of values",
        ),
        (lambda made: replace(made, end_token=0), "its shape is not that of the construction"),
        (lambda made: replace(made, vocabulary=made.vocabulary[::-1]), "its shape is not that of the construction"),
        (lambda made: replace(made, num_positions=made.num_positions + 1), "its shape is not that of"),
    ],
)
def test_another_construction(
    make: Callable[[], Made], change: Callable[[Construction], Construction], reason: str
) -> None:
    transformer, placement = make()
    with pytest.raises(RealisationError, match=reason):
        check(transformer, replace(placement, construction=change(placement.construction)), placement.construction)


def with_code(placement: Placement, name: str, codes: np.ndarray) -> Placement:
    return replace(placement, codes={**placement.codes, name: codes.astype(np.int8)})


def test_another_placement() -> None:
    transformer, placement = with_a_chain()
    name, read = placement.codes["name"], placement.codes["read[0]"]
    one = placement.constant.copy()
    one[0] = 1
    twice = np.concatenate([name[:1], name[:1], name[2:]])
    nothing = {**placement.nothing, "name": np.ones_like(placement.nothing["name"])}
    for wrong, reason in (
        (replace(placement, constant=one), "there is no one dimension that holds 1 everywhere"),
        (replace(placement, constant=0.5 * placement.constant), "there is no one dimension that holds 1 everywhere"),
        (with_code(placement, "name", 2 * name), "the codes of name are no signs"),
        (replace(placement, nothing=nothing), "the codes of name are no signs"),
        (with_code(placement, "read[0]", read[::-1]), "have different codes"),
        (with_code(with_code(placement, "name", twice), "read[0]", twice), "two values of name have one code"),
        (replace(placement, width=21), "its shape is not that of the construction"),
        (replace(placement, heads=((0, 1, -1),)), "its shape is not that of the construction"),
    ):
        with pytest.MonkeyPatch.context() as patched:
            # The check of the embedding comes first and would refuse all of these.
            patched.setattr(rounded_realisation, "check_embeddings", lambda *_: None)
            check(transformer, placement, placement.construction)
            with pytest.raises(RealisationError, match=reason):
                check(transformer, wrong, placement.construction)


def test_the_embedding_is_checked() -> None:
    transformer, placement = with_a_chain()
    wrong = altered(transformer, {"position_embedding": {(2, NAMES): 0.5}})
    with pytest.raises(RealisationError, match="the embedding of position 2 is not the code of its fields"):
        check(wrong, placement, placement.construction)


def test_too_many_combinations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    transformer, placement = with_a_chain()
    monkeypatch.setattr(rounded_realisation, "MAX_COMBINATIONS", 1)
    with pytest.raises(RealisationError, match="combinations of values, over 1"):
        check(transformer, placement, placement.construction)


def test_an_arithmetic_that_does_not_saturate_is_refused() -> None:
    """Sums of interleaved codes must saturate at the lowest number, whose exponential must be 0."""
    good = fixed_point(1)
    check_saturation(good)

    def wide_sum(x: np.ndarray) -> np.ndarray:
        return np.asarray(x.sum(axis=-1))

    def late_sum(x: np.ndarray) -> np.ndarray:
        return np.where((x > 0).any(axis=-1), good.largest, good.sum(x))

    def soft(x: np.ndarray) -> np.ndarray:
        return np.where(x < 0, 0.5, 1.0)

    for change in ({"sum": wide_sum}, {"sum": late_sum}, {"exp": soft}):
        wrong: Any = SimpleNamespace(**{"name": "another", "largest": good.largest, "sum": good.sum, "exp": good.exp,
                                        **change})  # fmt: skip
        with pytest.raises(CheckpointError, match="another does not make interleaved codes one-hot"):
            check_saturation(wrong)


def test_a_checkpoint_that_does_not_saturate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise CheckpointError("it does not saturate")

    transformer, placement = with_a_chain()
    monkeypatch.setattr(rounded_realisation, "check_saturation", refuse)
    with pytest.raises(RealisationError, match="it does not saturate"):
        check(transformer, placement, placement.construction)


def test_only_models_of_its_own_arithmetic_are_read() -> None:
    floats = serialformer.compile(small_circuits()["inverters only"]).transformer
    with pytest.raises(CheckpointError, match="its arithmetic is that of floats"):
        read_rounded(floats, num_inputs=1, num_chain_tokens=1)


def test_what_cannot_be_a_circuit_is_not_read() -> None:
    transformer, _ = with_a_chain()
    architecture = transformer.architecture
    with pytest.raises(CheckpointError, match="tokens do not fit"):
        find_context(transformer, 3, architecture.num_positions)
    weights = dict(transformer.named_weights())
    for vocabulary in (("a", *architecture.vocabulary[1:]), (*architecture.vocabulary, *map(str, range(2, 260)))):
        rows = np.zeros((len(vocabulary), architecture.width), dtype=weights["token_embedding"].dtype)
        strange = weights_to_transformer(
            replace(architecture, vocabulary=vocabulary), {**weights, "token_embedding": rows}
        )
        with pytest.raises(CheckpointError, match="is not that of a circuit"):
            find_context(strange, 3, 1)


def test_tokens_that_depend_on_too_many_positions_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounded_reading, "MAX_FAN_IN", 1)
    transformer, _ = with_a_chain()
    with pytest.raises(CheckpointError, match="a token may depend on 3 positions, more than 1"):
        read_rounded(transformer, num_inputs=3, num_chain_tokens=2)


ONE_MORE = {
    "token_embedding": (0, 1),
    "position_embedding": (0, 1),
    "attention_out_weight": (1, 1),
    "mlp_in_weight": (1, 0),
    "mlp_in_bias": (0,),
    "mlp_out_weight": (0, 1),
    "attention_out_bias": (1,),
    "mlp_out_bias": (1,),
}
"""How much one more dimension adds to each axis of each weight. Other weights keep their shape."""


def widened(transformer: Transformer, placement: Placement) -> Made:
    """Adds a dimension that holds 0 and a second head that does nothing."""
    width, weights = placement.width, {}
    for name, weight in transformer.named_weights():
        part = name.rpartition(".")[2]
        if part.startswith("attention_in"):
            by_part = weight.reshape(-1, 3, width)
            more = np.pad(by_part, ((0, int(weight.ndim == 2)), (0, 0), (0, 1)))
            weights[name] = more.reshape(-1, 3 * width + 3)[0 if weight.ndim == 1 else slice(None)]
        else:
            weights[name] = np.pad(weight, [(0, more) for more in ONE_MORE.get(part, (0,))])
    architecture = replace(transformer.architecture, width=width + 1, num_heads=2)
    constants = {name: np.append(getattr(placement, name), 0.0) for name in ("constant", "constant_change")}
    wide = replace(placement, width=width + 1, heads=((0, -1),), **constants)
    return weights_to_transformer(architecture, weights), wide


def test_every_head_serves_a_look_up() -> None:
    """An extra head could add anything."""
    transformer, placement = widened(*lower_paper(paper_construction("inverters only")))
    width, half = placement.width, placement.width // 2
    into = transformer.layers[0].attention_in_weight.reshape(width, 3, width)
    assert not into[:, :, half:].any(), "all columns of the look-up are the first head's"
    (constant,) = np.flatnonzero(placement.constant)
    wrong = altered(
        transformer,
        {
            "layers.0.attention_in_weight": {(int(constant), 2 * width + half): 1.0},
            "layers.0.attention_out_weight": {(half, placement.spans["fetched[0]"].start): 1.0},
        },
    )
    (claim,) = placement.construction.claims()
    assert isinstance(claim, BitClaim)
    bits = every_input(claim.num_inputs)
    prompts = np.append(bits, np.full((len(bits), 1), placement.construction.end_token), axis=1).astype(np.int64)
    chains = interpret(placement.construction, prompts, len(claim.arity) + 1)
    assert writes_rounded(transformer, prompts, chains) and not writes_rounded(wrong, prompts, chains)
    with pytest.raises(RealisationError, match="its shape is not that of the construction"):
        check(wrong, placement, placement.construction)
