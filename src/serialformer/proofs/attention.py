"""Attention, proven from the weights: heads tell the position that a look-up asks for from every other one.

A head's score is a sum over the clauses of its look-up: the code of the value that is asked for, scaled, times the
code of the value that a position holds. So the gap between a position that meets all clauses and one that does not is
found clause by clause. Where a clause compares too many values to go through all pairs, both codes are the same but
for a scale; then <a, a> - <a, b> = |a - b|^2 / 2 for codes of one norm, and codes of one sum on a grid that differ
are at least sqrt(2) steps apart.
"""

from __future__ import annotations

import numpy as np

from serialformer.constructions.placement import IDLE
from serialformer.proofs.brought import check_values
from serialformer.proofs.clause_scores import Pair
from serialformer.proofs.distances import distance_gap
from serialformer.proofs.layer_maps import LayerMaps
from serialformer.proofs.rounding import Rounding
from serialformer.proofs.scores import score_gap
from serialformer.proofs.stream import RealisationError, Stream, coordinate_errors
from serialformer.proofs.turned_heads import check_distracting_heads
from serialformer.transformer.transformer import Transformer

LARGEST_LEAK = 2.0**-10
"""How much attention weight all other positions may have together for a head to count as a look-up."""


def check_attention(
    transformer: Transformer, stream: Stream, maps: LayerMaps, index: int, num_positions: int, rounding: Rounding
) -> Pair:
    """Checks a layer's heads and updates the stream to the values after them.

    Returns:
        The least gap of scores, exact and less what rounding can take.

    Raises:
        RealisationError: a head does not do what its look-up says.
    """
    placement, architecture = stream.placement, transformer.architecture
    steps = placement.steps_of_layers
    parts, is_first = placement.construction.layers[steps[index]], index == 0
    head_width = architecture.head_width
    wanted = (maps.into != 0).any(axis=(1, 2, 3))
    if placement.one:
        wanted[placement.spans[placement.one]] = True
    errors = coordinate_errors(
        transformer, stream, maps.attention_gain, maps.attention_gain_bias, wanted, rounding, everywhere=True
    )
    heads = placement.heads[index] + (IDLE,) * (architecture.num_heads - len(placement.heads[index]))
    check_idle_heads(transformer, maps, np.array(heads) == IDLE, rounding)
    gap = (np.inf, np.inf)
    leak = 0.0
    for head, number in enumerate(heads):
        if number == IDLE:
            continue
        look_up = parts.look_ups[number]
        if look_up.distance is None:
            exact, rounded = score_gap(stream, look_up, maps, head, errors, rounding)
        else:
            visible = min(num_positions, architecture.window or num_positions)
            exact, rounded = distance_gap(stream, look_up, maps, head, errors, (num_positions, visible), rounding)
        exact, rounded = exact / float(np.sqrt(head_width)), rounded / float(np.sqrt(head_width))
        needed = np.log(num_positions / LARGEST_LEAK)
        if not rounded >= needed:
            raise RealisationError(
                f"head {head} of layer {index} ({parts.look_ups[number].name}) has a score gap of {exact:.3g},"
                f" {rounded:.3g} after rounding, where {needed:.3g} is needed"
            )
        gap = min(gap[0], exact), min(gap[1], rounded)
        leak = max(leak, num_positions * float(np.exp(-rounded)))
    check_distracting_heads(stream, index, num_positions, rounding)
    check_values(stream, parts, maps, heads, errors, leak, is_first, rounding)
    return gap


def check_idle_heads(transformer: Transformer, maps: LayerMaps, is_idle: np.ndarray, rounding: Rounding) -> None:
    """Checks that heads beyond those of the construction have no effect, and that nothing overflows."""
    into, constant = maps.into[:, :, is_idle], maps.constant[:, is_idle]
    brings = (into[:, 2] != 0).any(axis=0) | (constant[2] != 0)
    if brings[maps.out[is_idle].any(axis=2)].any():
        raise RealisationError("a head beyond those of the construction brings something")
    root = np.sqrt(transformer.architecture.width)
    coordinates = np.abs(maps.attention_gain) * root + np.abs(maps.attention_gain_bias)
    projected = np.einsum("w,wphc->phc", coordinates, np.abs(into)) + np.abs(constant)
    scores = (projected[0] * projected[1]).sum(axis=1)
    if maps.angles.any():  # a rotation makes no coordinate larger than two together
        scores = 4 * projected[0].sum(axis=1) * projected[1].sum(axis=1)
    if not max(projected.max(initial=0.0), scores.max(initial=0.0)) * 4 < rounding.largest:
        raise RealisationError("a head without effect can overflow")
