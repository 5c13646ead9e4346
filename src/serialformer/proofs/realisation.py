"""The first half of the proof: the weights realise the construction.

A construction and its placement say what the residual stream holds at every position: which field lies where, in
which code. Both are a witness. Layer by layer and field by field it is checked here, for every value that a field can
hold and every rounding that is covered, that

- embeddings hold the codes of what token and position decide, and nothing else;
- every layer norm sees mean 0 and the same deviation, so that it hands the stream on as it is;
- a head's score for a position that meets all clauses of its look-up exceeds that for any other by a gap, so that
  attention brings what stands there, and what it brings is the code of the value that is to arrive;
- a unit fires where its fields hold what it watches for and is silent otherwise, and writes the code that it is to
write;
- the logit of the token that was written leads, whatever token stood there before.

Nothing here depends on which positions are read or which tokens occur. That is ``induction``'s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.constructions.construction import NOTHING
from serialformer.constructions.placement import Placement
from serialformer.proofs.attention import check_attention
from serialformer.proofs.logits import Occurring, check_logits
from serialformer.proofs.rounding import Rounding
from serialformer.proofs.stream import RealisationError, Stream
from serialformer.proofs.units import check_units
from serialformer.transformer.transformer import Transformer

POSITIONS_PER_BLOCK = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Realisation:
    """What was proven of the weights.

    Attributes:
        attention: the least gap of a head's scores, exact and less what rounding can take.
        logits: the least lead of the logit of a token that was written, exact and rounded.
        norms: what each layer norm sees: the mean's largest magnitude, least and largest deviation.
    """

    attention: tuple[float, float]
    logits: tuple[float, float]
    norms: tuple[tuple[float, float, float], ...]


def check_realisation(
    transformer: Transformer, placement: Placement, occurring: Occurring, rounding: Rounding
) -> Realisation:
    """Proves that weights realise a construction.

    Args:
        transformer: the weights, of a GPT-2.
        placement: the witness.
        occurring: which tokens can stand where.
        rounding: the runtimes to cover.

    Raises:
        RealisationError: they do not; says where and why.
    """
    construction = placement.construction
    num_positions = construction.num_positions
    check_shape(transformer, placement)
    stream = check_embeddings(transformer, placement, occurring.anywhere)
    stream.filled = occurring.filled
    attention = (np.inf, np.inf)
    for index, (layer, parts) in enumerate(zip(transformer.layers, construction.layers, strict=True)):
        weights = {name: weight.astype(np.float64) for name, weight in layer.named_weights()}
        gap = check_attention(transformer, stream, weights, index, num_positions, rounding)
        attention = min(attention[0], gap[0]), min(attention[1], gap[1])
        is_last = index == len(construction.layers) - 1
        check_units(transformer, stream, weights, parts, is_last, rounding)
    logits = check_logits(transformer, stream, occurring, rounding)
    return Realisation(attention=attention, logits=logits, norms=tuple(stream.norms))


def check_shape(transformer: Transformer, placement: Placement) -> None:
    """Checks that the witness fits the architecture and that no weight is infinite."""
    architecture, construction = transformer.architecture, placement.construction
    fits = (
        architecture.is_gpt2
        and architecture.num_layers == len(construction.layers)
        and architecture.width == placement.width
        and architecture.num_positions >= construction.num_positions
        and architecture.vocabulary == construction.vocabulary
        and architecture.end_token == construction.end_token
        and all(len(heads) <= architecture.num_heads for heads in placement.heads)
    )
    if not fits:
        raise RealisationError("its shape is not that of the construction")
    used = np.zeros(placement.width, dtype=np.int64)
    for span in placement.spans.values():
        used[span] += 1
    if used.max() > 1:
        raise RealisationError("two fields share a dimension")
    for name, weight in transformer.named_weights():
        if not np.isfinite(weight).all():
            raise RealisationError(f"{name} holds infinities or what is not a number")


def check_embeddings(transformer: Transformer, placement: Placement, allowed: np.ndarray) -> Stream:
    """Checks that tokens and positions hold the codes of what they decide, exactly."""
    construction = placement.construction
    expected = np.zeros((len(construction.vocabulary), placement.width))
    for part in construction.fields_of("token"):
        expected[:, placement.spans[part.name]] = placement.rows(part.name, part.of_token)
    wrong = (transformer.token_embedding.astype(np.float64) != expected).any(axis=1)
    if wrong.any():
        text = construction.vocabulary[int(np.argmax(wrong))]
        raise RealisationError(f"the embedding of token {text!r} is not the code of its fields")
    of_tokens = np.stack([expected.sum(axis=1), np.square(expected).sum(axis=1)], axis=1)[allowed]
    constant = placement.constant.copy()
    for part in construction.fields_of("layers"):
        constant[placement.spans[part.name]] = placement.nothing[part.name]
    may_be_nothing = {part.name: part.origin != "position" for part in construction.fields}
    for part in construction.fields_of("token"):
        may_be_nothing[part.name] = bool((part.of_token[allowed] == NOTHING).any())
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for start in range(0, construction.num_positions, POSITIONS_PER_BLOCK):
        rows = slice(start, min(start + POSITIONS_PER_BLOCK, construction.num_positions))
        block = np.tile(constant.astype(np.float32), (rows.stop - rows.start, 1))
        for part in construction.fields_of("position"):
            values = part.at(rows)
            if (values >= part.num_values).any():
                raise RealisationError(f"positions hold values that {part.name} has not")
            may_be_nothing[part.name] |= bool((values < 0).any())
            block[:, placement.spans[part.name]] = placement.rows(part.name, values)
        wrong = (transformer.position_embedding[rows].astype(np.float32) != block).any(axis=1)
        if wrong.any():
            where = start + int(np.argmax(wrong))
            raise RealisationError(f"the embedding of position {where} is not the code of its fields", where)
        sums = np.stack([block.sum(axis=1), np.square(block).sum(axis=1)], axis=1)
        low, high = np.minimum(low, sums.min(axis=0)), np.maximum(high, sums.max(axis=0))
    return Stream(
        placement=placement,
        allowed=allowed,
        error=np.zeros(placement.width),
        stored=np.zeros(placement.width),
        may_be_nothing=may_be_nothing,
        own=np.stack([low + of_tokens.min(axis=0), high + of_tokens.max(axis=0)]),
    )
