"""How much damage a compiled checkpoint bears: where its certificate fails, and where its tokens change.

    python recipes/robustness/recipe.py -o DIR [--quick] [--figure ROBUSTNESS.png]

writes ``counts.csv``; ``expected.csv`` is what it should be. See README.md for cost and findings. A checkpoint that is
certified and yet writes a wrong token ends the run with an error that names it.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="two circuits, few levels, three checkpoints each")
    parser.add_argument("--only", metavar="ABLATION", help="one of them")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--in-transformers", type=int, default=2, metavar="N", help="checkpoints of each row that transformers runs too"
    )
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="needs the extra plot")
    options = parser.parse_args()
    # One thread a worker, and memory kept rather than given back after each array, which doubles the speed; both are
    # read when the workers start.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    os.environ.update(MALLOC_TRIM_THRESHOLD_="1000000000", MALLOC_MMAP_THRESHOLD_="1000000000")
    from ablations import list_tasks, run_task

    options.output.mkdir(parents=True, exist_ok=True)
    tasks = [task for task in list_tasks(quick=options.quick) if options.only in (None, task.ablation)]
    run = partial(run_task, most_checkpoints=3 if options.quick else 1 << 20, in_transformers=options.in_transformers)
    rows, started = [], time.perf_counter()
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        try:
            for row in pool.map(run, tasks):
                rows.append(row)
                seconds = time.perf_counter() - started
                print(
                    f"\r\033[K{len(rows)}/{len(tasks)} rows, {seconds:.0f} s: {row['ablation']} {row['level']}",
                    end="", file=sys.stderr, flush=True,
                )  # fmt: skip
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    print(file=sys.stderr)
    with (options.output / "counts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    if options.figure:
        from panels import plot

        plot(options.output / "counts.csv", options.figure)


if __name__ == "__main__":
    main()
