"""The commands ``sweep`` and ``merge``: many runs from one file into one store, and several stores into one."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serialformer.cli.options import Force, Json, refuse_existing
from serialformer.cli.progress import Interrupted, say
from serialformer.training.start import require_torch

if TYPE_CHECKING:
    from serialformer.sweeps.experiment import Experiment


def sweep_command(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="A Python file (or its folder) with a function runs(); FILE.py:NAME."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="RESULTS.csv", help="The results file to append to.")
    ],
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Local processes; by default one per core."),
    ] = None,
    ray: Annotated[str | None, typer.Option("--ray", metavar="auto|ADDRESS", help="Run on this Ray cluster.")] = None,
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="The device for training.")] = "cpu",
    gpus: Annotated[
        float, typer.Option("--gpus", min=0, metavar="F", help="With --ray: the share of a GPU per run.")
    ] = 0.0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the directories of finished runs.")] = False,
    stacks: Annotated[
        int | None,
        typer.Option(
            "--stacks",
            min=1,
            metavar="N",
            help="Train runs that differ only in their seeds as one program, N such programs at a time. For one GPU.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0, metavar="M", help="With --stacks: begin no further step after M minutes."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the experiments of a recipe that are not in the results yet; an interrupted sweep resumes.

    Exit 1 if a run failed; the next call tries it again.
    """
    require_torch()
    from serialformer.cli.sweep_progress import SweepProgress
    from serialformer.sweeps.recipe import load_recipe
    from serialformer.sweeps.sweep import check_options, sweep

    check_options(workers=workers, ray=ray, device=device, gpus=gpus, keep=keep, stacks=stacks, minutes=minutes)
    runs, num_repeated = load_recipe(recipe)
    if num_repeated:
        say(f"{recipe}: {num_repeated} of its runs are listed more than once; each is done once")
    if stacks is not None:
        _sweep_stacks(runs, output, stacks, minutes, device, as_json=as_json)
        return
    with SweepProgress(len(runs)) as progress:
        try:
            result = sweep(
                runs,
                output,
                workers=workers,
                ray=ray,
                device=device,
                gpus=gpus,
                keep=keep,
                report=progress.report,
                begin=progress.begin,
                say=say,
            )
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted: {progress.num_stored} of {len(runs)} runs are in {output}; the same command resumes"
            ) from None
    if as_json:
        print(json.dumps({**asdict(result), "store": str(output)}))
    else:
        print(
            f"{output}: {result.num_runs} runs; {result.num_skipped} were there, {result.num_done} done now,"
            f" {result.num_failed} failed"
        )
    if result.num_failed:
        raise typer.Exit(1)


def _sweep_stacks(
    runs: Sequence[Experiment], output: Path, stacks: int, minutes: float | None, device: str, *, as_json: bool
) -> None:
    from serialformer.sweeps.stacks import check_stackable, sweep_stacks

    try:
        result = sweep_stacks(
            check_stackable(runs),
            output,
            device=device,
            seconds=math.inf if minutes is None else 60 * minutes,
            num_stacks=stacks,
            say=say,
        )
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted: what has ended is in {output}; the same command trains the rest") from None
    if as_json:
        print(json.dumps({**asdict(result), "store": str(output)}))
    else:
        print(
            f"{output}: {len(runs)} runs; {result.num_models} done now in {result.seconds:.0f} s,"
            f" {result.num_failed} failed, {result.num_left} left"
        )
    if result.num_failed:
        raise typer.Exit(1)


def merge_command(
    stores: Annotated[list[Path], typer.Argument(metavar="RESULTS.csv...", help="Results of sweeps.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MERGED.csv", help="The merged file to write.")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Merge results, keeping each evaluation once; refuse results that contradict each other."""
    from serialformer.sweeps.merge import merge_stores

    if not (force and output.is_file()):
        refuse_existing(output)
    merged = merge_stores(stores, output, say)
    facts = {
        "rows": len(merged.rows),
        "repeated": merged.num_repeated,
        "failures_overcome": merged.num_overcome,
        "store": str(output),
    }
    if as_json:
        print(json.dumps(facts))
    else:
        print(
            f"{output}: {facts['rows']} rows; left out {facts['repeated']} said twice"
            f" and {facts['failures_overcome']} failures of runs that were done"
        )
