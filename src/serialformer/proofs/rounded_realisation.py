"""The first half of the proof in the paper's arithmetic: every result is one known number, so nothing is bounded.

*Attention.* A query (a_1, 1, a_2, 1, ...) and a key (B b_1, -B, B b_2, -B, ...), a_i and b_i signs, B the largest
number, have
a score that is summed pair by pair: +B, -B returns to 0 where the signs agree; -B, -B ends at -B where they do not,
and so does every pair after that. So the score is 0 where all signs agree and -B elsewhere, and as exp(-B) rounds to
0, the softmax is one-hot, exactly. Here it is checked that queries and keys are the signs of the codes that the
construction says, that different values have different codes, and that the arithmetic behaves so.

*Units and logits.* What units see is a few fields of few values. All combinations of these are run through the
weights, by the arithmetic's own operations, and the token that comes out is compared with what the unit tables say.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.construction import NOTHING, Construction, LookUp
from serialformer.constructions.interpret import fields_to_tokens, fire_tables
from serialformer.constructions.placement import Placement
from serialformer.errors import CheckpointError, CompileError
from serialformer.proofs.logits import Occurring
from serialformer.proofs.realisation import Realisation, check_embeddings
from serialformer.proofs.rounded_reading import check_saturation
from serialformer.proofs.stream import RealisationError
from serialformer.transformer.precision import NumberFormat, arithmetic_to_format
from serialformer.transformer.transformer import Transformer

MAX_COMBINATIONS = 1 << 16
"""Combinations of values that units can see."""


def check_rounded_realisation(transformer: Transformer, placement: Placement, occurring: Occurring) -> Realisation:
    """Proves that the weights of a one-layer model of the paper's arithmetic realise a construction.

    Args:
        transformer: the weights.
        placement: the witness.
        occurring: which tokens can stand where.

    Raises:
        RealisationError: they do not; says where and why.
    """
    architecture, construction = transformer.architecture, placement.construction
    assert architecture.arithmetic is not None
    rounded = arithmetic_to_format(architecture.arithmetic)
    fits = (
        architecture.num_layers == len(construction.layers) == 1
        and architecture.width == placement.width
        and architecture.num_positions >= construction.num_positions
        and architecture.vocabulary == construction.vocabulary
        and architecture.end_token == construction.end_token
        and architecture.num_heads == len(placement.heads[0])
        and architecture.norm == "none"
    )
    if not fits:
        raise RealisationError("its shape is not that of the construction")
    for name, weight in transformer.named_weights():
        if not rounded.holds(weight.astype(np.float64)).all():
            raise RealisationError(f"{name} holds what is no number of {rounded.name}")
    try:
        check_saturation(rounded)
    except CheckpointError as error:
        raise RealisationError(error.message) from None
    check_embeddings(transformer, placement, occurring.anywhere)
    weights = {name: weight.astype(np.float64) for name, weight in transformer.layers[0].named_weights()}
    for head, look_up in enumerate(construction.layers[0].look_ups):
        _check_head(architecture.num_heads, weights, placement, head, look_up, rounded)
    lead = _check_units(transformer, weights, placement, occurring, rounded)
    return Realisation(attention=(rounded.largest, rounded.largest), logits=(lead, lead), norms=())


def _check_head(
    num_heads: int,
    weights: dict[str, np.ndarray],
    placement: Placement,
    head: int,
    look_up: LookUp,
    rounded: NumberFormat,
) -> None:
    """Checks that a head compares the codes of its look-up's clause, and that it brings what is to arrive."""
    width = placement.width
    into = weights["attention_in_weight"].reshape(width, 3, num_heads, -1)[:, :, head]
    bias = weights["attention_in_bias"].reshape(3, num_heads, -1)[:, head]
    out = weights["attention_out_weight"].reshape(num_heads, -1, width)[head]
    if len(look_up.clauses) != 1 or look_up.clauses[0].asked is None or look_up.clauses[0].of_value is not None:
        raise RealisationError(f"look-up {look_up.name} does not compare one field with another")
    (clause,), asked = look_up.clauses, str(look_up.clauses[0].asked)
    length = placement.codes[clause.key].shape[1]
    (constant,) = np.nonzero(placement.constant)
    if len(constant) != 1 or placement.constant[constant[0]] != 1:
        raise RealisationError("there is no one dimension that holds 1 everywhere")
    for part, name, size, between in ((0, asked, 1.0, 1.0), (1, clause.key, rounded.largest, -rounded.largest)):
        expected = np.zeros_like(into[:, part])
        sign = np.arange(length)
        expected[placement.spans[name].start + sign, 2 * sign] = size
        expected[constant[0], 2 * sign + 1] = between
        if not np.array_equal(into[:, part], expected) or bias[part].any():
            raise RealisationError(f"look-up {look_up.name} does not interleave the codes of {name} with constants")
        codes = placement.codes[name]
        if placement.nothing[name].any() or (np.abs(codes) != 1).any():
            raise RealisationError(f"the codes of {name} are no signs")
    if not np.array_equal(placement.codes[clause.key], placement.codes[asked]):
        raise RealisationError(f"{asked} and {clause.key} have different codes")
    place = np.uint64(1) << np.arange(length, dtype=np.uint64)
    numbers = ((placement.codes[clause.key] > 0) * place).sum(axis=1, dtype=np.uint64)
    if length > 63 or len(np.unique(numbers)) != len(numbers):
        raise RealisationError(f"two values of {clause.key} have one code")
    _check_values(into[:, 2], bias[2], out, placement, look_up, rounded)


def _check_values(
    into: np.ndarray, bias: np.ndarray, out: np.ndarray, placement: Placement, look_up: LookUp, rounded: NumberFormat
) -> None:
    """Checks by the arithmetic's operations that a head adds the code of the value that is to arrive."""
    used = (out != 0).any(axis=1)
    reads = (into[:, used] != 0).any(axis=1)
    for bring in look_up.brings:
        reads[placement.spans[bring.source]] = False
    if reads.any() or bias[used].any() or placement.constant[(into[:, used] != 0).any(axis=1)].any():
        raise RealisationError(f"look-up {look_up.name} brings something that it should not")
    for bring in look_up.brings:
        values = np.append(np.arange(len(placement.codes[bring.source])), NOTHING)
        rows = np.zeros((len(values), placement.width))
        rows[:, placement.spans[bring.source]] = placement.rows(bring.source, values)
        added = rounded.matmul(rounded.add(rounded.matmul(rows, into), bias), out)
        expected = np.zeros_like(added)
        arriving = bring.arriving(values)
        expected[:, placement.spans[bring.target]] = placement.rows(bring.target, arriving)
        if not np.array_equal(added, expected) or placement.nothing[bring.target].any():
            raise RealisationError(f"look-up {look_up.name} does not bring the codes of {bring.source}")


def _check_units(
    transformer: Transformer,
    weights: dict[str, np.ndarray],
    placement: Placement,
    occurring: Occurring,
    rounded: NumberFormat,
) -> float:
    """Runs all combinations of what units can see through the weights; returns the least lead of a logit."""
    construction = placement.construction
    (layer,) = construction.layers
    embedding = transformer.token_embedding.astype(np.float64)
    if weights["attention_out_bias"].any():
        raise RealisationError("attention's output bias is not zero")
    read = [name for name in placement.spans if name in {name for table in layer.tables for name in table.reads}]
    seen = np.zeros(placement.width, dtype=bool)
    for name in [*read, *(part.name for part in construction.fields_of("token"))]:
        seen[placement.spans[name]] = True
    seen |= placement.constant != 0
    matters = (weights["mlp_in_weight"] != 0).any(axis=1) | (embedding != 0).any(axis=0)
    if (matters & ~seen).any():
        raise RealisationError("units or logits depend on a field that no table reads")
    values, tokens = _combinations(construction, read, occurring)
    x = np.tile(placement.constant, (len(tokens), 1))
    for part in construction.fields_of("token"):
        x[:, placement.spans[part.name]] = placement.rows(part.name, part.of_token[tokens])
    for name in read:
        x[:, placement.spans[name]] = placement.rows(name, values[name])
    x = rounded.add(x, np.zeros_like(x))
    hidden = rounded.add(rounded.matmul(x, weights["mlp_in_weight"]), weights["mlp_in_bias"])
    out = rounded.matmul(np.maximum(hidden, 0), weights["mlp_out_weight"])
    x = rounded.add(x, rounded.add(out, weights["mlp_out_bias"]))
    logits = rounded.matmul(x, embedding.T)
    try:
        _, answers = fire_tables(layer, values, True)
        expected = fields_to_tokens(construction, answers)
    except CompileError as error:
        raise RealisationError(str(error)) from None
    if expected is None:
        raise RealisationError("the unit tables write what is no token")
    rows = np.arange(len(tokens))
    own = logits[rows, expected].copy()
    logits[rows, expected] = -np.inf
    lead = float((own - logits.max(axis=1)).min())
    if not lead > 0:
        raise RealisationError("for some combination of values another token than the tables say is written")
    return lead


def _combinations(
    construction: Construction, read: list[str], occurring: Occurring
) -> tuple[dict[str, np.ndarray], Int64[np.ndarray, " rows"]]:
    """All combinations of a token and of values of the fields that units read, where at most one unit can fire."""
    sizes = []
    for name in read:
        part = construction.field_named[name]
        may_miss = part.origin == "position"
        sizes.append([*range(part.num_values), *([NOTHING] if may_miss else [])])
    tokens = np.flatnonzero(occurring.current)
    number = len(tokens) * int(np.prod([len(size) for size in sizes]))
    if number > MAX_COMBINATIONS:
        raise RealisationError(f"units can see {number:,} combinations of values, over {MAX_COMBINATIONS:,}")
    rows = np.array(list(product(tokens.tolist(), *sizes)), dtype=np.int64)
    values = {name: rows[:, 1 + place] for place, name in enumerate(read)}
    for part in construction.fields_of("token"):
        values[part.name] = part.of_token[rows[:, 0]]
    return values, rows[:, 0]
