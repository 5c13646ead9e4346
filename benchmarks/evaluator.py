"""Tokens a CPU second of evaluators, each on a random circuit of full size.

    python benchmarks/evaluator.py [M ...] [--peers]

The chain is compared with plain Python before anything is printed. Time includes reading the prompt of 4 M + 1 tokens.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from serialformer.decode.engine import Engine
from serialformer.models.construct import construct
from serialformer.models.model import Model
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.transformer.names import UNUSED

REPEATS = 3


def measure(model: Model, engine: Engine, repeats: int) -> tuple[float, float]:
    """Chain tokens per CPU second, and positions per second, prompt included; the median."""
    examples = CircuitValue().sample(np.random.default_rng(1), model.num_gates, 1)
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        chain = engine.generate(examples.prompts, examples.chains.shape[1])
        seconds.append(time.process_time() - started)
        assert np.array_equal(chain, examples.chains)
    assert not getattr(engine, "refusal", "")
    median = float(np.median(seconds))
    return chain.size / median, (chain.size + examples.prompts.size) / median


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:] if text.isdigit()] or [64, 1024, 4096]
    print("| M | width | hidden units | positions | MB | construct s | index s", end="")
    print(" | engine | chain tokens/s | positions/s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size in sizes:
        started = time.process_time()
        model = construct("circuit-value", size)
        seconds = time.process_time() - started
        architecture = model.transformer.architecture
        units = sum(name != UNUSED for name in model.provenance.names.unit_names(0))
        engines = ["indexed"] + (["dense", "hf"] if "--peers" in sys.argv else [])
        for name in engines:
            started = time.process_time()
            engine = model.engine(name)
            index = time.process_time() - started
            if name == "indexed":
                measure(model, engine, 1)  # compiles
            tokens, positions = measure(model, engine, REPEATS if name == "indexed" else 1)
            megabytes = model.transformer.num_bytes / 1e6
            print(
                f"| {size} | {architecture.width} | {units} | {architecture.num_positions:,} | {megabytes:.1f}"
                f" | {seconds:.2f} | {index:.2f} | {name} | {tokens:,.0f} | {positions:,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
