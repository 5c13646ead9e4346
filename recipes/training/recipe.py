"""What a chain of thought buys in training, and whether what is learnt looks where the construction looks.

    python recipes/training/recipe.py -o DIR [--cases NAME ...] [--seeds 0 1 2] [--figure TRAINING.png]

keeps every run in ``DIR/runs.jsonl`` as soon as it ends, so that the same command goes on where it was stopped, and
writes ``DIR/counts.csv``; ``expected.csv`` is what it should be but for what README.md says. Needs the extra ``torch``,
and ``plot`` for the figure. Leave a core to it: seconds are CPU seconds of one thread, and a busy machine adds to them.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import training_runs as runs

COLUMNS = (
    *("kind", "case", "setting", "start", "depth", "seed", "steps", "cpu_seconds", "reached_target", "pointer_share"),
    *("samples", "chains", "tokens", "tokens_right", "answers", "answer_tokens", "answer_tokens_right"),
    *("generated_samples", "generated_chains", "generated_answers"),
)


def count(row: runs.Row) -> dict[str, object]:
    """A run as a line of counts."""
    teacher_forced, generated = row["teacher_forced"], row["generated"]
    share = row["curve"][-1].get("pointer_share")
    facts = {
        **row,
        **teacher_forced,
        "setting": row["config"]["setting"],
        "start": row.get("start", "random"),
        "depth": row["config"]["model"]["num_layers"],
        "cpu_seconds": round(row["cpu_seconds"], 1),
        "pointer_share": "" if share is None else round(share, 4),
        "generated_samples": generated["samples"],
        "generated_chains": generated["generated_chains"],
        "generated_answers": generated["generated_answers"],
    }
    return {name: facts[name] for name in COLUMNS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--cases", nargs="+", default=list(runs.CASES), choices=list(runs.CASES))
    parser.add_argument(
        "--pointer-cases", nargs="*", default=list(runs.POINTER_CASES), choices=list(runs.POINTER_CASES)
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--report", action="store_true", help="run nothing: tables and figure of the runs in DIR")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="needs the extra plot")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / "runs.jsonl"
    if not options.report:
        runs.learn(file, options.cases, options.seeds, runs.SETTINGS)
        runs.watch_pointers(file, options.pointer_cases, options.seeds)
    learnt, watched = (runs.latest(runs.read_rows(file), kind) for kind in ("learn", "pointers"))
    with (options.output / "counts.csv").open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, fieldnames=COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(count, learnt + watched))
    runs.print_learnt(learnt)
    print()
    runs.print_pointers(watched)
    if options.figure:
        from panels import plot

        plot(learnt, watched, options.figure)


if __name__ == "__main__":
    main()
