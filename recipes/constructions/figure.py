"""Where the heads of constructions look: real attention weights of small models, and of the evaluator's three layers.

python recipes/constructions/figure.py CONSTRUCTIONS.png                # needs the extra plot
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.figures.attention import draw_attention_map
from serialformer.figures.sheet import Band, Panel, make_sheet, styled, write_figure
from serialformer.models.construct import construct
from serialformer.tasks.registry import make_task
from serialformer.transformer.forward import compute_attention
from serialformer.transformer.transformer import Transformer

MODELS: tuple[tuple[str, str, dict[str, Any], int, str], ...] = (
    ("modular addition", "modular-addition", {}, 4, "3 5 6 4"),
    ("word problem of S3", "word-problem", {"group": "S3"}, 4, "1 5 2 3"),
    ("permutations in brackets", "permutation-composition", {"degree": 3}, 2, "( 2 3 1 ) ( 1 3 2 )"),
    ("iterated squaring", "iterated-squaring", {"bound": 30}, 4, "23 5 ^2 ^2 ^2"),
)
CIRCUIT = "TRUE NA NA 1 NOT 1 NA 2 OR 2 1 3"
INCHES_PER_ROW = 0.115
NOTE = (
    "A row is a position, named by the token that it writes; a column is a position, named by its token.",
    "A square: this head of that row has more than half of its weight there. The grey line is the position itself.",
)


def make_band(title: str, transformer: Transformer, texts: list[str], layer: int) -> Band:
    """The heads of one layer on one prompt with its chain."""
    ids = np.array([transformer.architecture.vocabulary.index(text) for text in texts])
    weights = list(compute_attention(transformer, ids[None], dtype=np.float64))[layer][0]
    first = texts.index("=")
    labels = [f"head {head}" for head in range(len(weights))]
    panel = Panel(title="", draw=lambda axes: draw_attention_map(axes, weights, texts, first))
    height = max(0.5, INCHES_PER_ROW * (len(texts) - first))
    longest = max(map(len, texts))
    turned = 0.06 * longest if longest > 1 else 0.0
    return Band(heading=title, panels=[panel], across="", upright="", labels=labels, height=height, below=turned)


def main() -> None:
    bands = []
    for title, name, parameters, length, prompt in MODELS:
        model = construct(make_task(name, parameters), length)
        transcript = model.run_text(prompt)
        bands.append(make_band(title, model.transformer, [*transcript.prompt, *transcript.made], 0))
    evaluator = construct("circuit-value", 3)
    texts = evaluator.run(CIRCUIT).text.split()
    bands += [make_band(f"evaluator, layer {layer + 1}", evaluator.transformer, texts, layer) for layer in range(3)]
    with styled():
        write_figure(make_sheet(bands, NOTE), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
