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

from dataclasses import dataclass
from itertools import product

import numpy as np

from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer, LookUp
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
    """Proves that the weights of a model of the paper's arithmetic realise a construction.

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
        architecture.num_layers == len(construction.layers)
        and architecture.width == placement.width
        and architecture.num_positions >= construction.num_positions
        and architecture.vocabulary == construction.vocabulary
        and architecture.end_token == construction.end_token
        and all(architecture.num_heads == len(heads) for heads in placement.heads)
        and all(architecture.num_heads == len(layer.look_ups) for layer in construction.layers)
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
    lead = 0.0
    for index, (layer, parts) in enumerate(zip(transformer.layers, construction.layers, strict=True)):
        weights = {name: weight.astype(np.float64) for name, weight in layer.named_weights()}
        for head, look_up in enumerate(parts.look_ups):
            _check_head(architecture.num_heads, weights, placement, head, look_up, rounded)
        if weights["attention_out_bias"].any():
            raise RealisationError("attention's output bias is not zero")
        seen = _combinations(placement, parts, occurring, is_last=index == len(construction.layers) - 1)
        if index == len(construction.layers) - 1:
            lead = _check_answers(transformer, weights, placement, parts, seen, rounded)
        else:
            _check_overwriting(weights, placement, parts, seen, rounded)
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
    reads = (into[:, used] != 0).any(axis=1) & (placement.constant == 0)
    for bring in look_up.brings:
        reads[placement.spans[bring.source]] = False
    if reads.any() or bias[used].any():
        raise RealisationError(f"look-up {look_up.name} brings something that it should not")
    for bring in look_up.brings:
        values = np.arange(len(placement.codes[bring.source]))
        if _may_be_nothing(placement.construction, bring.source):
            values = np.append(values, NOTHING)
        rows = np.tile(placement.constant, (len(values), 1))
        rows[:, placement.spans[bring.source]] = placement.rows(bring.source, values)
        added = rounded.matmul(rounded.add(rounded.matmul(rows, into), bias), out)
        expected = np.zeros_like(added)
        arriving = bring.arriving(values)
        expected[:, placement.spans[bring.target]] = placement.rows(bring.target, arriving)
        if not np.array_equal(added, expected) or placement.nothing[bring.target].any():
            raise RealisationError(f"look-up {look_up.name} does not bring the codes of {bring.source}")


def _may_be_nothing(construction: Construction, name: str) -> bool:
    """Whether a field that token or position decides holds nothing somewhere."""
    part = construction.field_named[name]
    if part.origin == "token":
        return bool((part.of_token == NOTHING).any())
    return part.origin == "layers" or bool((part.at(slice(0, construction.num_positions)) < 0).any())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Combinations:
    """All combinations of what a layer's units can see.

    Attributes:
        values: for each field that matters its value in each row; of the last layer, those of the token's fields too.
        rows: the residual stream of each row, zero where no field matters.
        fields: those fields.
    """

    values: dict[str, np.ndarray]
    rows: np.ndarray
    fields: tuple[str, ...]


def _combinations(
    placement: Placement, layer: ConstructionLayer, occurring: Occurring, *, is_last: bool
) -> _Combinations:
    """All combinations of a token and of values of the fields that units read, where at most one unit can fire.

    Fields of the token that no earlier layer has overwritten go together, as some token has them.
    """
    construction = placement.construction
    overwritten = {name for earlier in construction.layers[:-1] for name in earlier.clears}
    touched = {name for table in layer.tables for name in table.reads} | set(layer.clears)
    touched |= {name for table in layer.tables for name in table.writes}
    of_token = {part.name for part in construction.fields_of("token")}
    together = [name for name in placement.spans if name in of_token and (is_last or name in touched)]
    together = [name for name in together if name not in overwritten]
    free = [name for name in placement.spans if name in touched and name not in of_token]
    free += [name for name in placement.spans if name in overwritten & of_token]
    tokens = np.flatnonzero(occurring.current if is_last else occurring.anywhere)
    sizes = []
    for name in free:
        part = construction.field_named[name]
        # What is fetched is there.
        misses = part.origin == "position" and _may_be_nothing(construction, name)
        misses |= part.origin == "token" and name not in occurring.filled
        sizes.append([*range(part.num_values), *([NOTHING] if misses else [])])
    number = len(tokens) * int(np.prod([len(size) for size in sizes]))
    if number > MAX_COMBINATIONS:
        raise RealisationError(f"units can see {number:,} combinations of values, over {MAX_COMBINATIONS:,}")
    rows = np.array(list(product(tokens.tolist(), *sizes)), dtype=np.int64)
    values = {name: rows[:, 1 + place] for place, name in enumerate(free)}
    for name in together:
        values[name] = construction.field_named[name].of_token[rows[:, 0]]
    stream = np.tile(placement.constant, (len(rows), 1))
    for name, held in values.items():
        stream[:, placement.spans[name]] = placement.rows(name, held)
    return _Combinations(values=values, rows=stream, fields=(*free, *together))


def _feed_forward(weights: dict[str, np.ndarray], rows: np.ndarray, rounded: NumberFormat) -> np.ndarray:
    """The content of the stream after the hidden units, by the arithmetic's own operations."""
    x = rounded.add(rows, np.zeros_like(rows))
    hidden = rounded.add(rounded.matmul(x, weights["mlp_in_weight"]), weights["mlp_in_bias"])
    out = rounded.matmul(np.maximum(hidden, 0), weights["mlp_out_weight"])
    return rounded.add(x, rounded.add(out, weights["mlp_out_bias"]))


def _check_seen(placement: Placement, matters: np.ndarray, fields: tuple[str, ...]) -> None:
    """Checks that only these fields, and what is constant, matter."""
    seen = placement.constant != 0
    for name in fields:
        seen[placement.spans[name]] = True
    if (matters & ~seen).any():
        raise RealisationError("units or logits depend on a field that no table reads")


def _check_overwriting(
    weights: dict[str, np.ndarray],
    placement: Placement,
    layer: ConstructionLayer,
    seen: _Combinations,
    rounded: NumberFormat,
) -> None:
    """Runs all combinations of what units can see through the weights: fields hold what the tables say afterwards."""
    matters = (weights["mlp_in_weight"] != 0).any(axis=1) | (weights["mlp_out_weight"] != 0).any(axis=0)
    _check_seen(placement, matters | (weights["mlp_out_bias"] != 0), seen.fields)
    x = _feed_forward(weights, seen.rows, rounded)
    try:
        after, _ = fire_tables(layer, seen.values, False)
    except CompileError as error:
        raise RealisationError(str(error)) from None
    expected = np.tile(placement.constant, (len(x), 1))
    for name, held in after.items():
        expected[:, placement.spans[name]] = placement.rows(name, held)
    if not np.array_equal(x, expected):
        raise RealisationError("for some combination of values the units leave something else than the tables say")


def _check_answers(
    transformer: Transformer,
    weights: dict[str, np.ndarray],
    placement: Placement,
    layer: ConstructionLayer,
    seen: _Combinations,
    rounded: NumberFormat,
) -> float:
    """The same for the last layer and the token that is written; returns the least lead of a logit."""
    embedding = transformer.token_embedding.astype(np.float64)
    matters = (weights["mlp_in_weight"] != 0).any(axis=1) | (embedding != 0).any(axis=0)
    _check_seen(placement, matters, seen.fields)
    logits = rounded.matmul(_feed_forward(weights, seen.rows, rounded), embedding.T)
    try:
        _, answers = fire_tables(layer, seen.values, True)
        expected = fields_to_tokens(placement.construction, answers)
    except CompileError as error:
        raise RealisationError(str(error)) from None
    if expected is None:
        raise RealisationError("the unit tables write what is no token")
    rows = np.arange(len(logits))
    own = logits[rows, expected].copy()
    logits[rows, expected] = -np.inf
    lead = float((own - logits.max(axis=1)).min())
    if not lead > 0:
        raise RealisationError("for some combination of values another token than the tables say is written")
    return lead
