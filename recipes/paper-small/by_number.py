"""Iterated squaring by the number of squarings that a prompt asks for: which models are right about the longest ones?

    serialformer sweep recipes/paper-small/by_number.py -o DIR/by_number.csv    # :small is a part
    python recipes/paper-small/by_number.py DIR/by_number.csv                   # the tables in README.md

Trains the models of the recipe's squarings, and two with primes below 1000. For each it draws prompts from the task's
own distribution until every number of squarings has as many as the experiment asks for, and counts right answers, given
the true tokens before them. *Always 1* is exact, over all primes and residues: the share of prompts whose answer is 1,
the most common one, whatever the prime.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from serialformer.constructions.squaring import primes_below
from serialformer.models.model import Model
from serialformer.models.score import score_teacher_forced, wilson_interval
from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.row import DONE, Row
from serialformer.sweeps.store import read_rows
from serialformer.sweeps.training_experiment import TrainingExperiment
from serialformer.tasks.layout import lay_out
from serialformer.training.presets import make_config
from serialformer.transformer.forward import compute_logits

SETTINGS = ("base", "hint", "cot")
DRAWN_AT_ONCE = 2048


@dataclass(frozen=True, kw_only=True)
class SquaringsByNumber(TrainingExperiment):
    """Trains a model of iterated squaring and counts its right answers by the number of squarings asked for.

    Attributes:
        num_samples: of each number of squarings.
    """

    kind: ClassVar[str] = "squarings-by-number"

    num_samples: int = 2048

    @property
    def evaluations(self) -> tuple[tuple[str, int], ...]:
        return tuple((_name(number), self.config.length) for number in range(1, self.config.length + 1))

    @property
    def title(self) -> str:
        config = self.config
        return f"squarings below {config.parameters['bound']} {config.setting} depth {config.model.num_layers}"

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        counts = enumerate(count(self.train(surroundings).model, self.num_samples), 1)
        return [self.numbered_row(surroundings, number, *found) for number, found in counts]

    def numbered_row(self, surroundings: Surroundings | None, number: int, samples: int, answers: int) -> Row:
        """The row of prompts with so many squarings."""
        variables = {"squarings": number}
        return self.row(surroundings, evaluation=_name(number), variables=variables, samples=samples, answers=answers)


def _name(number: int) -> str:
    return f"{number} squaring{'s' if number > 1 else ''}"


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
            predicted = compute_logits(model.transformer, layout.tokens, dtype=np.float32).argmax(axis=-1)
            samples[number - 1] += len(chosen)
            answers[number - 1] += score_teacher_forced(layout, predicted).answers
    return list(zip(samples.tolist(), answers.tolist(), strict=True))


def runs() -> list[SquaringsByNumber]:
    """The models of eight squarings of the recipe, and two that learn primes below 1000."""
    large = [
        make_config("iterated-squaring", parameters={"bound": 1000}, length=8, setting=setting)
        for setting in ("base", "hint")
    ]
    return [*small(), *(SquaringsByNumber(config=config, num_samples=1024) for config in large)]


def small() -> list[SquaringsByNumber]:
    """Primes below 100."""
    from recipe import squarings

    return [SquaringsByNumber(config=run.config) for run in squarings() if run.config.length == 8]


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
    rows = [row for row in rows if row.status == DONE]
    tables = []
    for parameters, length in dict.fromkeys((row.parameters, row.length) for row in rows):
        own = [row for row in rows if (row.parameters, row.length) == (parameters, length)]
        numbers = range(1, length + 1)
        counts = {(row.setting, row.depth): np.zeros((len(numbers), 2), dtype=np.int64) for row in own}
        seeds = defaultdict(set)
        for row in own:
            counts[row.setting, row.depth][row.variable["squarings"] - 1] += row.samples, row.answers
            seeds[row.setting, row.depth].add(row.seed)
        bound = json.loads(parameters)["bound"]
        lines = [
            f"**Primes below {bound}**, up to {length} squarings",
            "",
            f"| setting | depth | seeds | {' | '.join(map(str, numbers))} |",
            "|---|---|---|" + "---|" * len(numbers),
            f"| always 1 | | | {' | '.join(f'{always_one(bound, number):.3f}' for number in numbers)} |",
        ]
        for setting, depth in sorted(counts, key=lambda place: (SETTINGS.index(place[0]), place[1])):
            found = counts[setting, depth]
            cells = [f"{right / samples:.3f}" for samples, right in found]
            low, high = wilson_interval(int(found[-1, 1]), int(found[-1, 0]))
            cells[-1] += f" [{low:.3f}, {high:.3f}]"
            lines.append(f"| {setting} | {depth} | {len(seeds[setting, depth])} | {' | '.join(cells)} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables) + "\n"


if __name__ == "__main__":
    print(make_tables(read_rows(Path(sys.argv[1]))), end="")
