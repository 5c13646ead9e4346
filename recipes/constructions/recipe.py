"""Every construction on fresh samples, teacher-forced and generating, and a drawing of where its heads look.

    python recipes/constructions/recipe.py -o DIR [--samples 100000] [--figure CONSTRUCTIONS.png]

writes ``counts.csv``, one row a construction, engine and number format; ``expected.csv`` is what it should be but for
the seconds. Needs the extra ``torch``, and ``plot`` for the figure. One thread: set OPENBLAS_NUM_THREADS=1 on a busy
machine.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serialformer.construction import construct_model
from serialformer.evaluation import evaluate_model
from serialformer.evaluator_model import make_evaluator
from serialformer.tasks.registry import make_task
from serialformer.transformer.forward import apply_mlp, cast_layer, embed, merge_heads, project_heads
from serialformer.transformer.transformer import Transformer

CONSTRUCTIONS = (
    ("parity", {}, 16),
    ("majority", {}, 16),
    ("automaton", {}, 16),
    ("modular-addition", {}, 16),
    ("modular-addition", {"modulus": 2}, 16),
    ("word-problem", {}, 16),
    ("word-problem", {"group": "A4_x_Z5"}, 16),
    ("permutation-composition", {"format": "token"}, 16),
    ("permutation-composition", {"format": "symbols"}, 4),
    ("permutation-composition", {"format": "brackets"}, 4),
    ("iterated-squaring", {}, 8),
)
COLUMNS = (
    *("task", "parameters", "length", "dtype", "engine", "samples"),
    *("chain_right", "answer_right", "generated_chain_right", "generated_answer_right", "seconds"),
)
IN_TRANSFORMERS = 1000

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def measure(samples: int, chosen: Sequence[int]) -> list[dict[str, object]]:
    """Our dense engine, which computes in float32 whatever the weights; and transformers, in both number formats."""
    rows = []
    for name, given, length in (CONSTRUCTIONS[number] for number in chosen):
        task = make_task(name, dict(given))
        # Wide tables cost time in proportion; the proof at construction covers every case of them.
        many = samples if name != "iterated-squaring" else min(samples, 10_000)
        for engine, dtype, number in (
            ("dense", "float32", many),
            ("hf", "float32", IN_TRANSFORMERS),
            ("hf", "bfloat16", IN_TRANSFORMERS),
        ):
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                model = construct_model(task, length, dtype=dtype).save(Path(folder, "model"))
                result = evaluate_model(model, num_samples=number, seed=1, engine=engine)
            shares = list(result.score.accuracies.values())
            right = [round(share * number) for share in shares[:4]]
            parameters = " ".join(f"{key}={value}" for key, value in given.items())
            seconds = round(time.perf_counter() - started, 1)
            facts = (name, parameters, length, dtype, result.engine, number, *right, seconds)
            rows.append(dict(zip(COLUMNS, facts, strict=True)))
            print(*facts, sep=",", file=sys.stderr)
    return rows


def attention_of(transformer: Transformer, tokens: np.ndarray) -> list[np.ndarray]:
    """For each layer the attention weights, heads by positions by positions."""
    architecture = transformer.architecture
    x, found = embed(transformer, tokens[None], np.arange(len(tokens)), np.float64), []
    for layer in transformer.layers:
        cast = cast_layer(layer, np.float64)
        queries, keys, values = project_heads(x, cast, architecture.num_heads, architecture.norm_epsilon)
        scores = queries @ keys.swapaxes(-1, -2) / np.sqrt(architecture.head_width)
        scores = np.where(np.tri(len(tokens), dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        found.append(weights[0])
        x = x + merge_heads(weights @ values) @ cast.attention_out_weight + cast.attention_out_bias
        x = apply_mlp(x, cast, architecture.activation, architecture.norm_epsilon)
    return found


def draw(path: Path) -> None:
    """One panel a construction (a layer of the evaluator): what each position that writes the chain looks at."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [
        ("modular addition", construct_model(make_task("modular-addition", {}), 4), "3 5 6 4"),
        ("word problem of S3", construct_model(make_task("word-problem", {"group": "S3"}), 4), "1 5 2 3"),
        (
            "permutations in brackets",
            construct_model(make_task("permutation-composition", {"degree": 3}), 2),
            "( 2 3 1 ) ( 1 3 2 )",
        ),
        ("iterated squaring", construct_model(make_task("iterated-squaring", {"bound": 30}), 4), "23 5 ^2 ^2 ^2"),
    ]
    panels = []
    for title, model, text in shown:
        transcript = model.run_text(text)
        panels.append((title, model.transformer, [*transcript.prompt, *transcript.made], 0))
    evaluator = make_evaluator(3)
    words = evaluator.run_prompt("TRUE NA NA 1 NOT 1 NA 2 OR 2 1 3").text.split()
    panels += [(f"evaluator, layer {layer + 1}", evaluator.transformer, words, layer) for layer in range(3)]
    figure, axes = plt.subplots(4, 2, figsize=(7.2, 14.4), layout="constrained")
    for axis, (title, transformer, texts, layer) in zip(axes.ravel(), panels, strict=False):
        ids = np.array([transformer.architecture.vocabulary.index(text) for text in texts])
        weights = attention_of(transformer, ids)[layer]
        first = texts.index("=")
        for head, weight in enumerate(weights):
            rows, columns = np.nonzero(weight[first:-1] > 0.5)
            if not len(rows):
                continue  # an idle head, which looks everywhere
            # Heads that look at one place stand side by side.
            shift = (head - (len(weights) - 1) / 2) * 0.8 / len(weights)
            axis.scatter(columns + shift, rows + first, s=14, marker="s", color=COLOURS[head], label=f"head {head}")
        axis.plot(np.arange(first, len(texts) - 1), np.arange(first, len(texts) - 1), color="0.8", zorder=0)
        axis.set_xlim(-0.7, len(texts) - 0.3)
        axis.set_xticks(range(len(texts)), texts, fontsize=6, rotation=90 if max(map(len, texts)) > 1 else 0)
        axis.set_yticks(range(first, len(texts) - 1), [f"→ {text}" for text in texts[first + 1 :]], fontsize=6)
        axis.set_ylim(len(texts) - 1.5, first - 0.5)
        axis.set_title(title, fontsize=9)
        axis.grid(color="0.93", linewidth=0.5)
        axis.set_axisbelow(True)
        axis.legend(fontsize=6, loc="upper right", frameon=False, ncols=2)
    axes.ravel()[-1].axis("off")
    axes.ravel()[-1].text(
        0, 0.9, "A row is a position, named by the token that it writes;\na column is a position, named by its token.\n"
        "A square: this head of that row has its weight there.\nThe grey line is the position itself.",
        va="top", fontsize=8,
    )  # fmt: skip
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, metavar="DIR")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--only", type=int, nargs="*", metavar="N", help="constructions by number, from 0")
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    if arguments.figure:
        draw(arguments.figure)
    if arguments.output:
        rows = measure(arguments.samples, range(len(CONSTRUCTIONS)) if arguments.only is None else arguments.only)
        arguments.output.mkdir(parents=True, exist_ok=True)
        with (arguments.output / "counts.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
