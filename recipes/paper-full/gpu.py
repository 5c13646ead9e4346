"""Cells of the paper's own width on one GPU in a few minutes: models that differ in their seeds train as one program.

    bash recipes/paper-full/gpu.sh DIR                       # a test of two minutes, then as many cells as fit in ten
    python recipes/paper-full/gpu.py -o DIR/gpu.csv --minutes 10 --device cuda

Width 512 and 8 heads as in ``recipe.py``, three seeds a cell, thousands of steps at a higher learning rate instead of a
million. Cells are begun in the order of ``cells()``; whatever has not ended at the end of its budget is not in the
store, and the next call goes on from there. The rows merge with those of every other store.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from serialformer.sweeps.local import runs_directory
from serialformer.sweeps.run import SweepRun
from serialformer.sweeps.store import read_rows
from serialformer.sweeps.sweep import sweep
from serialformer.tasks.task import ParameterValue
from serialformer.training.config import EvaluationConfig, ModelConfig
from serialformer.training.presets import make_config
from serialformer.training.stacked import StackReport, train_stack

SEEDS = (0, 1, 2)

CELLS: tuple[tuple[str, dict[str, ParameterValue], int, str, int], ...] = (
    ("permutation-composition", {"format": "brackets"}, 16, "cot", 1),
    ("permutation-composition", {"format": "brackets"}, 16, "base", 4),
    ("circuit-value", {"constants": 0.0}, 16, "base", 4),
    ("circuit-value", {"constants": 0.0}, 16, "base", 1),
    ("circuit-value", {"constants": 0.0}, 16, "cot", 1),
    ("iterated-squaring", {"bound": 1000}, 8, "cot", 1),
    ("iterated-squaring", {"bound": 1000}, 8, "base", 4),
    ("modular-addition", {"modulus": 7}, 16, "base", 2),
    ("permutation-composition", {"format": "brackets"}, 16, "base", 8),
    ("circuit-value", {"constants": 0.0}, 16, "base", 8),
    ("iterated-squaring", {"bound": 1000}, 8, "base", 8),
    ("permutation-composition", {"format": "brackets"}, 16, "hint", 4),
    ("permutation-composition", {"format": "brackets"}, 16, "base", 16),
)
"""Task, parameters, length, setting and depth: what the claims rest on first, deep ones last."""

NUM_STEPS, LEARNING_RATE = 4000, 3e-4


TOY = {"width": 32, "num_steps": 10, "longest": 3, "num_samples": 32}
"""Arguments of ``cells`` for models of a second, to see whether everything works."""


def cells(
    *, width: int = 512, num_steps: int = NUM_STEPS, longest: int = 32, num_samples: int = 4096, device: str = "cuda"
) -> list[list[SweepRun]]:
    """The runs of each cell, one a seed."""
    found = []
    for task, parameters, length, setting, depth in CELLS:
        length = min(length, longest)
        cell = []
        for seed in SEEDS:
            config = make_config(
                task, parameters=parameters, length=length, setting=setting, num_layers=depth, seed=seed
            ).with_steps(num_steps, scaled=True)
            optimiser = replace(
                config.optimiser,
                num_steps=num_steps,
                batch_size=64,
                learning_rate=LEARNING_RATE,
                warmup_steps=min(200, num_steps // 10),
                precision="bfloat16" if device.startswith("cuda") else "float32",
            )
            curriculum = config.curriculum
            if curriculum is not None:
                curriculum = replace(curriculum, num_steps=num_steps // 2)
            model = ModelConfig(num_layers=depth, num_heads=8, width=width)
            evaluation = EvaluationConfig(
                every=max(1, num_steps // 8),
                num_samples=min(512, num_samples),
                num_generated=0,
                num_final_samples=num_samples,
                num_final_generated=min(256, num_samples),
            )
            config = replace(config, model=model, optimiser=optimiser, curriculum=curriculum, evaluation=evaluation)
            cell.append(SweepRun(config=config))
        found.append(cell)
    return found


def train_cells(found: Sequence[Sequence[SweepRun]], store: Path, *, device: str, seconds: float) -> int:
    """Trains the cells that a store does not have, as many as end in time; how many models that were."""
    done = {row.run for row in read_rows(store)} if store.exists() else set()
    directory, deadline, num_models = runs_directory(store), time.monotonic() + seconds, 0
    for cell in found:
        runs = [run for run in cell if run.id not in done and not (directory / run.id).exists()]
        if not runs or time.monotonic() > deadline:
            continue
        started = time.monotonic()
        directory.mkdir(parents=True, exist_ok=True)
        ended = train_stack(
            [run.config for run in runs],
            [directory / run.id for run in runs],
            device=device,
            deadline=deadline,
            progress=partial(_tell, runs[0].title),
        )
        num_models += ended
        print(
            f"\n{runs[0].title}: {ended} of {len(runs)} models in {time.monotonic() - started:.0f} s", file=sys.stderr
        )
    finished = [run for cell in found for run in cell if (directory / run.id).exists()]
    if finished:
        sweep(finished, store, workers=1, device=device)
    return num_models


def _tell(title: str, report: StackReport) -> None:
    if report.step % 100 == 0:
        print(f"\r{title}: step {report.step:,}, loss {report.loss:.3f}", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="STORE.csv")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training; evaluations come on top")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--toy", action="store_true", help="models of a second, to see whether it works")
    options = parser.parse_args(arguments)
    found = cells(device=options.device, **(TOY if options.toy else {}))
    started = time.monotonic()
    num_models = train_cells(found, options.output, device=options.device, seconds=60 * options.minutes)
    minutes = (time.monotonic() - started) / 60
    print(f"{num_models} models in {minutes:.1f} minutes, {num_models / max(minutes, 1e-9):.1f} a minute")


if __name__ == "__main__":
    main()
