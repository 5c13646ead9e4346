"""Attention: which position each head of each position looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from serialformer.arrays import Float
from serialformer.figures.style import SMALLEST_SIZE, Axes, line_style

SEEN = 0.5
"""A head looks at a position to which it gives more than this share of its attention."""


def draw_attention_map(
    axes: Axes, weights: Float[np.ndarray, "heads tokens tokens"], texts: Sequence[str], first: int
) -> dict[str, Any]:
    """A row for each position that writes a token, a mark where a head of it looks.

    Args:
        axes: where.
        weights: of one layer, the share that each position gives to each.
        texts: of the tokens.
        first: the position that writes the first token of the chain.

    Returns:
        What stands for each head that looks anywhere, by its name.
    """
    handles = {}
    for head, weight in enumerate(weights):
        rows, columns = np.nonzero(weight[first:-1] > SEEN)
        if not len(rows):
            continue  # an idle head, which looks everywhere
        # Heads that look at one place stand side by side.
        shift = (head - (len(weights) - 1) / 2) * 0.8 / len(weights)
        name, colour = f"head {head}", line_style(head).colour
        handles[name] = axes.scatter(columns + shift, rows + first, s=9, marker="s", color=colour, label=name)
    places = np.arange(first, len(texts) - 1)
    axes.plot(places, places, color="0.8", zorder=0)
    axes.set_xlim(-0.7, len(texts) - 0.3)
    turned = 90 if max(map(len, texts)) > 1 else 0
    axes.set_xticks(range(len(texts)), texts, fontsize=SMALLEST_SIZE, rotation=turned)
    axes.set_yticks(places, texts[first + 1 :], fontsize=SMALLEST_SIZE)
    axes.set_ylim(len(texts) - 1.5, first - 0.5)
    axes.grid(color="0.93", linewidth=0.5)
    axes.set_axisbelow(True)
    return handles
