"""Iterated squaring by the number of squarings that a prompt asks for: which models are right about the longest ones?

    serialformer sweep recipes/paper-small/recipe.py:squarings -o DIR/squarings.csv --keep
    serialformer train iterated-squaring -p bound=1000 --length 8 --setting base -o DIR/base  # and hint
    python recipes/paper-small/by_number.py DIR/squarings.runs/* DIR/base DIR/hint -o recipes/paper-small/by_number.csv
    python recipes/paper-small/by_number.py --show recipes/paper-small/by_number.csv     # the tables in README.md

Takes directories of models of that task, as ``train`` and ``sweep --keep`` make them. For each it draws prompts from
the task's own distribution until every number of squarings has ``--samples`` of them, and counts right answers, given
the true tokens before them. *Always 1* is exact, over all primes and residues: the share of prompts whose answer is 1,
the most common one, whatever the prime.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from serialformer.compile.squaring import primes_below
from serialformer.models.load import load
from serialformer.models.model import Model
from serialformer.models.score import score_taught, wilson_interval
from serialformer.tasks.iterated_squaring import IteratedSquaring
from serialformer.tasks.layout import lay_out
from serialformer.training.run import load_config
from serialformer.transformer.forward import compute_logits

COLUMNS = ("bound", "length", "setting", "depth", "seed", "squarings", "samples", "answers")
SETTINGS = ("base", "hint", "cot")
DRAWN_AT_ONCE = 2048

Row = dict[str, str]


def count(model: Model, num_samples: int) -> list[tuple[int, int]]:
    """Samples and right answers for each number of squarings, from one to the model's length."""
    random = np.random.default_rng([1, model.length])
    samples = np.zeros(model.length, dtype=np.int64)
    answers = np.zeros(model.length, dtype=np.int64)
    ids = model.token_ids(model.length)
    while samples.min() < num_samples:
        examples = model.task.sample(random, model.length, DRAWN_AT_ONCE).renumber(ids)
        for number in range(1, model.length + 1):
            wanted = num_samples - samples[number - 1]
            chosen = np.flatnonzero(examples.chain_lengths == number)[:wanted]
            if not len(chosen):
                continue
            layout = lay_out(model.task, examples.select(chosen), model.setting, model.length)
            said = compute_logits(model.transformer, layout.tokens, dtype=np.float32).argmax(axis=-1)
            samples[number - 1] += len(chosen)
            answers[number - 1] += score_taught(layout, said).answers
    return list(zip(samples.tolist(), answers.tolist(), strict=True))


def measure(directory: Path, num_samples: int) -> Iterator[Row]:
    """The rows of one model."""
    model, config = load(directory), load_config(directory)
    if not isinstance(model.task, IteratedSquaring):
        sys.exit(f"{directory}: a model of {model.task.name}, not of {IteratedSquaring.name}")
    facts = (model.task.bound, model.length, model.setting, config.model.num_layers, config.seed)
    for number, counts in enumerate(count(model, num_samples), 1):
        yield dict(zip(COLUMNS, map(str, (*facts, number, *counts)), strict=True))


def always_one(bound: int, number: int) -> float:
    """The share of prompts with so many squarings whose answer is 1."""
    shares = []
    for prime in primes_below(bound):
        residues = np.arange(1, prime)
        for _ in range(number):
            residues = residues * residues % prime
        shares.append((residues == 1).mean())
    return float(np.mean(shares))


def make_tables(rows: Sequence[Row]) -> str:
    """A table for each bound and length: a line for each setting and depth, pooled over seeds."""
    tables = []
    for bound, length in dict.fromkeys((row["bound"], row["length"]) for row in rows):
        own = [row for row in rows if (row["bound"], row["length"]) == (bound, length)]
        numbers = range(1, int(length) + 1)
        places = {(row["setting"], int(row["depth"])) for row in own}
        counts = {place: np.zeros((len(numbers), 2), dtype=np.int64) for place in places}
        seeds = defaultdict(set)
        for row in own:
            place = row["setting"], int(row["depth"])
            counts[place][int(row["squarings"]) - 1] += int(row["samples"]), int(row["answers"])
            seeds[place].add(row["seed"])
        lines = [
            f"**Primes below {bound}**, up to {length} squarings",
            "",
            f"| setting | depth | seeds | {' | '.join(map(str, numbers))} |",
            "|---|---|---|" + "---|" * len(numbers),
            f"| always 1 | | | {' | '.join(f'{always_one(int(bound), number):.3f}' for number in numbers)} |",
        ]
        for setting, depth in sorted(counts, key=lambda place: (SETTINGS.index(place[0]), place[1])):
            found = counts[setting, depth]
            cells = [f"{right / samples:.3f}" for samples, right in found]
            low, high = wilson_interval(int(found[-1, 1]), int(found[-1, 0]))
            cells[-1] += f" [{low:.3f}, {high:.3f}]"
            lines.append(f"| {setting} | {depth} | {len(seeds[setting, depth])} | {' | '.join(cells)} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="*", metavar="DIR")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.csv")
    parser.add_argument("--samples", type=int, default=2048, help="of each number of squarings")
    parser.add_argument("--show", type=Path, metavar="FILE.csv", help="measure nothing: the tables of a file")
    options = parser.parse_args()
    if not options.show and not options.directories:
        parser.error("expected directories of models, or --show FILE.csv")
    if options.show:
        rows = read_rows(options.show)
    else:
        rows = [row for directory in options.directories for row in measure(directory, options.samples)]
        rows.sort(key=lambda row: (*(int(row[name]) for name in ("bound", "length")), SETTINGS.index(row["setting"])))
    if options.output:
        with options.output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    print(make_tables(rows), end="")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
