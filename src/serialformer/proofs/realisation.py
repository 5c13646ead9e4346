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

from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer
from serialformer.constructions.placed_tokens import END
from serialformer.constructions.placement import IDLE, Placement
from serialformer.proofs.attention import check_attention
from serialformer.proofs.layer_maps import read_layer
from serialformer.proofs.logits import Occurring, check_logits
from serialformer.proofs.placed_embeddings import check_placed_embeddings
from serialformer.proofs.placed_logits import check_placed_logits
from serialformer.proofs.rounding import Rounding
from serialformer.proofs.stream import RealisationError, Stream, values_at
from serialformer.proofs.undo_rotation import undo_rotation
from serialformer.proofs.units import check_units
from serialformer.transformer.rotation import Rotation
from serialformer.transformer.row_table import forget_rows, is_finite
from serialformer.transformer.transformer import Transformer

POSITIONS_PER_BLOCK = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Realisation:
    """What was proven of the weights.

    Attributes:
        attention: the least gap of a head's scores, exact and less what rounding can take.
        logits: the least lead of the logit of a token that was written, exact and rounded.
        norms: what each layer norm sees: the mean's largest magnitude, least and largest deviation.
        logit_error: how much rounding can take from the lead of a token that was written over any other; None if
            nobody looked.
    """

    attention: tuple[float, float]
    logits: tuple[float, float]
    norms: tuple[tuple[float, float, float], ...]
    logit_error: float | None = None


def check_realisation(
    transformer: Transformer,
    placement: Placement,
    occurring: Occurring,
    rounding: Rounding,
    rotation: Rotation | None = None,
) -> Realisation:
    """Proves that weights realise a construction.

    Args:
        transformer: the weights, of a GPT-2 or a Llama.
        placement: the witness.
        occurring: which tokens can stand where.
        rounding: the runtimes to cover.
        rotation: of a rotated model: by what its stream is multiplied, a witness like the placement.

    Raises:
        RealisationError: they do not; says where and why.
    """
    construction, frame = placement.construction, None
    num_positions = construction.num_positions
    if rotation is not None:
        transformer, frame = undo_rotation(transformer, rotation)
    check_shape(transformer, placement)
    check_steps(placement)
    if placement.placed is None:
        stream = check_embeddings(transformer, placement, occurring.anywhere)
    else:
        stream = check_placed_embeddings(transformer, placement, occurring.anywhere)
    stream.filled = occurring.filled
    if frame is not None:
        stream.frame = frame
        rows = (transformer.token_embedding, transformer.position_embedding)
        stream.spread(sum(float(np.linalg.norm(part.astype(np.float64), axis=1).max()) for part in rows), 1, rounding)
    attention = (np.inf, np.inf)
    steps = placement.steps_of_layers
    for index, step in enumerate(steps):
        maps = read_layer(transformer, placement, index)
        stream.head_biases = maps.head_biases
        gap = check_attention(transformer, stream, maps, index, num_positions, rounding)
        attention = min(attention[0], gap[0]), min(attention[1], gap[1])
        is_last = index == len(steps) - 1
        # The last of the layers over which look-ups are spread has the units.
        rest = construction.layers[step] if step not in steps[index + 1 :] else ConstructionLayer(look_ups=())
        check_units(transformer, stream, maps, rest, index, is_last, rounding)
    error = None
    if placement.placed is None:
        exact, rounded, error = check_logits(transformer, stream, occurring, rounding)
    else:
        exact, rounded = check_placed_logits(transformer, stream, occurring, rounding)
    return Realisation(attention=attention, logits=(exact, rounded), norms=tuple(stream.norms), logit_error=error)


def check_shape(transformer: Transformer, placement: Placement) -> None:
    """Checks that the witness fits the architecture and that no weight is infinite."""
    architecture, construction = transformer.architecture, placement.construction
    placed, window = placement.placed, architecture.window
    of_family = (
        (architecture.is_gpt2 and architecture.vocabulary == construction.vocabulary
         and architecture.end_token == construction.end_token)
        if placed is None
        else (architecture.family in ("llama", "mistral", "qwen2") and architecture.vocabulary == placed.vocabulary
              and architecture.end_token == END and placed.plain_end == construction.end_token
              and placed.ids.shape == (construction.num_positions, len(construction.vocabulary))
              and (window is None or window >= construction.num_positions or _goes_by_distance(construction)))
    )  # fmt: skip
    fits = (
        of_family
        and architecture.num_layers == len(placement.steps_of_layers) == len(placement.heads)
        and architecture.width == placement.width
        and architecture.num_positions >= construction.num_positions
        and all(len(heads) <= architecture.num_heads for heads in placement.heads)
    )
    if not fits:
        raise RealisationError("its shape is not that of the construction")
    if not placement.unit_output > 0:
        raise RealisationError("what units give where they fire is not positive")
    used = np.zeros(placement.width, dtype=np.int64)
    for span in placement.spans.values():
        used[span] += 1
    if used.max() > 1:
        raise RealisationError("two fields share a dimension")
    for name, weight in transformer.named_weights():
        if not is_finite(weight):
            raise RealisationError(f"{name} holds infinities or what is not a number")


def _goes_by_distance(construction: Construction) -> bool:
    """Whether every look-up says at which distance it reads, so that attention may check that it is in the window."""
    return all(look_up.distance is not None for layer in construction.layers for look_up in layer.look_ups)


def check_steps(placement: Placement) -> None:
    """Checks that the layers of the transformer make up those of the construction, in order and once.

    Where the look-ups of one layer are spread over several, the later ones see what the earlier ones have brought; so
    none may read that.
    """
    steps, layers = placement.steps_of_layers, placement.construction.layers
    if list(steps) != sorted(steps) or set(steps) != set(range(len(layers))):
        raise RealisationError("its layers are not those of the construction")
    for step, layer in enumerate(layers):
        serving = [set(heads) - {IDLE} for heads, other in zip(placement.heads, steps, strict=True) if other == step]
        if sorted(number for some in serving for number in some) != list(range(len(layer.look_ups))):
            raise RealisationError(f"the look-ups of layer {step} are not served by one layer each")
        if len(serving) > 1:
            brought = {bring.target for look_up in layer.look_ups for bring in look_up.brings}
            read = {clause.key for look_up in layer.look_ups for clause in look_up.clauses}
            read |= {clause.asked or "" for look_up in layer.look_ups for clause in look_up.clauses}
            read |= {bring.source for look_up in layer.look_ups for bring in look_up.brings}
            if brought & read:
                raise RealisationError(f"layer {step} reads what it brings, and is spread over several")


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
            values = values_at(part, rows)
            may_be_nothing[part.name] |= bool((values < 0).any())
            block[:, placement.spans[part.name]] = placement.rows(part.name, values)
        wrong = (transformer.position_embedding[rows].astype(np.float32) != block).any(axis=1)
        forget_rows(transformer.position_embedding)
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
