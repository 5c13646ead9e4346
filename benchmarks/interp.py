"""Interventions on every model of the interpretability suite, and what the judge says of the truth and of chance.

    python benchmarks/interp.py [--interventions 10000] [--model NAME ...]

Prints for each model how many interventions came out as the truth says, and CPU seconds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from serialformer.interp.check import check_truth
from serialformer.interp.judge import judge
from serialformer.interp.pairs import draw_pairs
from serialformer.interp.suite import MEMBERS, NUM_PAIRS, find_truth

RANDOM_SCORES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interventions", type=int, default=10_000)
    parser.add_argument("--model", action="append", default=[])
    options = parser.parse_args()
    for member in MEMBERS:
        if options.model and member.name not in options.model:
            continue
        started = time.process_time()
        model = member.make()
        truth = find_truth(model, draw_pairs(model, NUM_PAIRS, np.random.default_rng(0)), member.task_input)
        made = time.process_time()
        found = check_truth(model, options.interventions)
        checked = time.process_time()
        random = np.random.default_rng(1)
        perfect = judge(truth, {name: float(is_true) for name, is_true in truth["edges"].items()}).edge_auroc
        by_chance = np.mean(
            [judge(truth, {name: random.random() for name in truth["edges"]}).edge_auroc for _ in range(RANDOM_SCORES)]
        )
        print(
            f"{member.name}: {found.interventions - found.wrong} of {found.interventions} as the truth says,"
            f" {found.changed} changed something, {found.tokens} tokens predicted and {found.unknown} not;"
            f" AUROC {perfect:.3f} of the truth, {by_chance:.3f} of chance;"
            f" {made - started:.1f} CPU seconds to make, {checked - made:.1f} to check {found.first_wrong}",
            flush=True,
        )


if __name__ == "__main__":
    main()
