"""The table of the README: compiling random circuits of two-input gates, and decoding one chain of each.

Compiling is measured as in compile.py, in processes of their own; decoding as in decode.py, one thread, and
transformers beside it at 10,000 tokens.

    python benchmarks/front_page.py [--sizes 10000 100000 1000000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np

import serialformer

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.compile import measure, random_circuit

LARGEST_FOR_TRANSFORMERS = 10_000


def tokens_per_second(model: serialformer.Model, engine_name: str, repeats: int) -> float:
    """The best of some runs, after one that is not counted where it is short."""
    engine = model.engine(engine_name)
    bits = np.random.default_rng(0).integers(0, 2, (1, model.words.num_inputs), dtype=np.uint8)
    prompts, count = model.prompts(bits), model.num_new_tokens
    if repeats > 1:
        engine.generate(prompts, count)
    times = []
    for _ in range(repeats):
        started = time.process_time()
        engine.generate(prompts, count)
        times.append(time.process_time() - started)
    return count / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    measure(10, 1)  # so that numba's cache is there, as it is for every run but a machine's first
    # All of these before a runtime is loaded here: a child starts with the peak of its parent.
    rows = [measure(size, arguments.repeats) for size in arguments.sizes]
    print("| random circuit of | width | weights | read, compile, prove, write | peak memory", end="")
    print(" | tokens per second | of transformers |\n|---|---|---|---|---|---|---|", flush=True)
    for size, row in zip(arguments.sizes, rows, strict=True):
        model = serialformer.compile(random_circuit(size))
        ours, theirs = tokens_per_second(model, "indexed", 5), ""
        if size <= LARGEST_FOR_TRANSFORMERS:
            with tempfile.TemporaryDirectory() as folder:
                theirs = f"{tokens_per_second(model.save(Path(folder, 'model')), 'hf', 1):,.0f}"
        print(
            f"| {size:,} gates | {row['width']:.0f} | {row['weights_bytes'] / 1e6:,.0f} MB | {row['total_s']:.1f} s"
            f" | {row['peak_bytes'] / 1e6:,.0f} MB | {ours / 1e6:.1f} million | {theirs} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
