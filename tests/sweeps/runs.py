"""What the tests of sweeps share: runs of a second or less, and rows that nobody measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serialformer.sweeps.row import CIRCUMSTANCES, DONE, FAILED, Row
from serialformer.sweeps.run import SweepRun
from serialformer.sweeps.store import read_rows
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig


def make_run(seed: int = 0, *, num_steps: int = 20, lengths: tuple[int, ...] = (), **fields: Any) -> SweepRun:
    """A tiny model of parity."""
    plain: dict[str, Any] = {
        "task": "parity",
        "length": 4,
        "setting": "cot",
        "seed": seed,
        "model": ModelConfig(width=16, num_heads=2),
        "optimiser": OptimiserConfig(num_steps=num_steps, batch_size=8, warmup_steps=5),
        "evaluation": EvaluationConfig(
            every=10, num_samples=16, num_generated=4, num_final_samples=32, num_final_generated=8, target=None
        ),
    }
    return SweepRun(config=TrainingConfig(**(plain | fields)), lengths=lengths, num_samples=16)


def failing_run(seed: int = 0) -> SweepRun:
    """One whose loss is infinite after a step."""
    return make_run(
        seed,
        optimiser=OptimiserConfig(num_steps=20, batch_size=8, warmup_steps=0, learning_rate=1e30, clip_norm=None),
    )


def made_row(run: SweepRun, **fields: Any) -> Row:
    """A row that says of a run what it is told."""
    config = run.config
    plain: dict[str, Any] = {
        "experiment": run.kind,
        "run": run.id,
        "task": config.task,
        "parameters": "{}",
        "length": config.length,
        "setting": config.setting,
        "depth": config.model.num_layers,
        "width": config.model.width,
        "heads": config.model.num_heads,
        "batch_size": config.optimiser.batch_size,
        "curriculum": "",
        "seed": config.seed,
        "evaluation": "final",
        "evaluated_length": config.length,
        "samples": 100,
        "chains": 90,
        "generated_samples": 10,
        "generated_chains": 9,
        "steps": 20,
        "cpu_seconds": 1.25,
        "seconds": 1.5,
        "status": DONE,
        "commit": "0" * 40,
        "versions": "{}",
        "device": "cpu",
        "config": run.canonical,
    }
    return Row(**(plain | fields))


def failed_row(run: SweepRun, reason: str = "it would not") -> Row:
    return made_row(run, status=FAILED, reason=reason, samples=0, chains=0, generated_samples=0, generated_chains=0)


def measured(path: Path) -> list[tuple[object, ...]]:
    """What a store says but for clocks and machines, in an order of its own."""
    return sorted((row.measured for row in read_rows(path)), key=repr)


def no_circumstances(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.to_json().items() if name not in CIRCUMSTANCES}
