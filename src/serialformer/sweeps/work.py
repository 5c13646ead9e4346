"""Carrying out one run, wherever that is: training, evaluating, and the rows that come of it."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serialformer.errors import SerialformerError
from serialformer.score import Score
from serialformer.sweeps.row import DONE, FAILED, GENERATED, TEACHER_FORCED, Row, one_line
from serialformer.sweeps.run import FINAL, FRESH, SweepRun

if TYPE_CHECKING:
    from serialformer.training.loop import Report

MAX_REASON = 500
"""Characters of a reason that are kept."""


def carry_out(
    run: SweepRun,
    directory: Path,
    *,
    device: str = "cpu",
    save_seconds: float = 30.0,
    progress: Callable[[Report], None] | None = None,
) -> list[Row]:
    """Trains and evaluates, or goes on where the run in the directory was left.

    Args:
        run: what to do.
        directory: of the training run; made if there is none.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        save_seconds: how often the state is saved.
        progress: called after every step.

    Returns:
        A row for each of ``run.evaluations``, in that order.

    Raises:
        SerialformerError: the training fails; see ``train.loop.train``.
    """
    from serialformer.evaluation import evaluate_model
    from serialformer.training.loop import Execution, train

    execution = Execution(device=device, save_seconds=save_seconds)
    result = train(run.config, directory, execution=execution, resume=True, progress=progress)
    trained: dict[str, Any] = {
        **_facts(run, device),
        "steps": result.steps,
        "reached_target": result.reached_target,
        "status": DONE,
    }
    rows = [
        Row(
            **trained,
            evaluation=FINAL,
            evaluated_length=run.config.length,
            cpu_seconds=result.cpu_seconds,
            seconds=result.seconds,
            **_counts(run, result.teacher_forced, result.generated),
        )
    ]
    for length in run.lengths:
        started, seconds = time.process_time(), time.perf_counter()
        score = evaluate_model(result.model, length=length, num_samples=run.num_samples, seed=run.seed).score
        rows.append(
            Row(
                **trained,
                evaluation=FRESH,
                evaluated_length=length,
                cpu_seconds=round(time.process_time() - started, 3),
                seconds=round(time.perf_counter() - seconds, 3),
                **_counts(run, score, score),
            )
        )
    return rows


def explain(error: Exception, directory: Path) -> str:
    """Why a run failed, without the place where it happened to lie, which is not the run's."""
    if not isinstance(error, SerialformerError):
        return f"{type(error).__name__}: {error}"
    where = "" if error.where is None or error.where == str(directory) else f"{error.where}: "
    return f"{where}{error.message}" + (f"\nhint: {error.hint}" if error.hint else "")


def failed_row(run: SweepRun, reason: str, *, device: str = "cpu", seconds: float = 0.0) -> Row:
    """The row of a run that came to nothing."""
    text = one_line(reason)
    return Row(
        **_facts(run, device),
        evaluation="",
        evaluated_length=run.config.length,
        status=FAILED,
        reason=text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 3]}...",
        seconds=round(seconds, 3),
    )


def _facts(run: SweepRun, device: str) -> dict[str, Any]:
    """The columns that say what was run, by what and where."""
    config = run.config
    content = config.to_json()
    return {
        "run": run.id,
        "task": config.task,
        "parameters": _json(content["parameters"]),
        "length": config.length,
        "setting": config.setting,
        "depth": config.model.num_layers,
        "width": config.model.width,
        "heads": config.model.num_heads,
        "batch_size": config.optimiser.batch_size,
        "curriculum": "" if content["curriculum"] is None else _json(content["curriculum"]),
        "seed": config.seed,
        "commit": find_commit(),
        "versions": _versions(),
        "device": _name_device(device),
        "config": run.canonical,
    }


def _counts(run: SweepRun, teacher_forced: Score, generated: Score) -> dict[str, Any]:
    return {
        **{name: teacher_forced.counts[name] for name in TEACHER_FORCED},
        **{name: generated.counts[name] for name in GENERATED},
        "generated_samples": generated.samples,
        "generated_answer_tokens": generated.samples * run.config.make_task().num_answer_tokens,
    }


def _json(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=1)
def find_commit() -> str:
    """The commit of the source that runs, with ``+`` if it was changed; empty outside a git checkout."""
    folder = Path(__file__).resolve().parents[1]
    # No lock: a process that is killed while it asks would leave it in the user's repository.
    try:
        texts = [
            subprocess.run(
                ["git", "--no-optional-locks", *arguments],
                cwd=folder,
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            ).stdout
            for arguments in (
                ["ls-files", "--error-unmatch", "__init__.py"],  # an environment inside another project is not ours
                ["rev-parse", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", "--", "."],
            )
        ]
    except (OSError, subprocess.SubprocessError):
        return ""
    return texts[1].strip() + ("+" if texts[2].strip() else "")


@lru_cache(maxsize=1)
def _versions() -> str:
    packages = {name: version(name) for name in ("serialformer", "torch", "numpy")}
    return _json({"python": platform.python_version(), **packages})


@lru_cache(maxsize=8)
def _name_device(device: str) -> str:
    """The kind of device, and what the system calls it."""
    if device == "cpu":
        name = platform.processor() or platform.machine()
        cpus = Path("/proc/cpuinfo")
        if cpus.is_file():
            for line in cpus.read_text(errors="replace").splitlines():
                if line.startswith("model name"):
                    name = line.partition(":")[2].strip()
                    break
    else:
        import torch

        name = torch.cuda.get_device_name(device)
    return f"{device.partition(':')[0]} ({name})"
