"""How many tokens a second of a processor the tasks' samplers draw: they should keep ahead of any trainer.

python benchmarks/samplers.py [--length 16] [--seconds 0.5]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from serialformer.tasks.registry import TASKS, make_task


def tokens_per_second(name: str, length: int, seconds: float) -> float:
    """The rate of one task, in batches of 256 questions."""
    task, random = make_task(name), np.random.default_rng(0)
    task.sample(random, length, 1024)
    tokens, started = 0, time.process_time()
    while (taken := time.process_time() - started) < seconds:
        examples = task.sample(random, length, 256)
        tokens += int(examples.prompt_lengths.sum() + examples.chain_lengths.sum())
    return tokens / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each task")
    arguments = parser.parse_args()
    print(f"{'task':32} million tokens/s")
    for name in TASKS:
        print(f"{name:32} {tokens_per_second(name, arguments.length, arguments.seconds) / 1e6:16.2f}")


if __name__ == "__main__":
    main()
