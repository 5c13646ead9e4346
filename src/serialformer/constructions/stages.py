"""Stages: a construction of one layer whose look-ups a target spreads over several layers, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from serialformer.constructions.construction import Construction, ConstructionLayer
from serialformer.constructions.placement import IDLE


def spread_over_layers(
    construction: Construction, heads: Sequence[Sequence[int]]
) -> tuple[Construction, tuple[tuple[int, ...], ...]]:
    """The construction with a layer for each one of the transformer: look-ups where they are made, units in the last.

    Args:
        construction: of one layer.
        heads: for each layer of the transformer and each head the number of the look-up that it serves, or IDLE.

    Returns:
        The construction, and for each layer and head the number of the look-up within that layer, or IDLE.

    >>> import numpy as np
    >>> from serialformer.constructions.tasks import task_construction
    >>> from serialformer.tasks.registry import make_task
    >>> one = task_construction(make_task("parity"), 3)
    >>> several, heads = spread_over_layers(one, [[-1, -1], [0, 0]])
    >>> [len(layer.look_ups) for layer in several.layers], [len(layer.tables) > 0 for layer in several.layers], heads
    ([0, 1], [False, True], ((-1, -1), (0, 0)))
    """
    (layer,) = construction.layers
    layers: list[ConstructionLayer] = []
    numbers: list[tuple[int, ...]] = []
    for served in heads:
        made = sorted({number for number in served if number != IDLE})
        is_last = len(layers) == len(heads) - 1
        look_ups = tuple(layer.look_ups[number] for number in made)
        layers.append(replace(layer, look_ups=look_ups) if is_last else ConstructionLayer(look_ups=look_ups))
        numbers.append(tuple(IDLE if number == IDLE else made.index(number) for number in served))
    return replace(construction, layers=tuple(layers)), tuple(numbers)
