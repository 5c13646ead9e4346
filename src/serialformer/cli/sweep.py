"""The commands ``sweep`` and ``merge``: many runs from one file into one store, and several stores into one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from serialformer.cli.options import Json, refuse_existing
from serialformer.cli.progress import Interrupted, say
from serialformer.training.start import require_torch


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
    as_json: Json = False,
) -> None:
    """Run the experiments of a recipe that are not in the results yet; an interrupted sweep resumes.

    Exit 1 if a run failed; the next call tries it again.
    """
    require_torch()
    from serialformer.cli.sweep_progress import SweepProgress
    from serialformer.sweeps.recipe import load_recipe
    from serialformer.sweeps.sweep import check_options, sweep

    check_options(workers=workers, ray=ray, device=device, gpus=gpus, keep=keep)
    runs, num_repeated = load_recipe(recipe)
    if num_repeated:
        say(f"{recipe}: {num_repeated} of its runs are listed more than once; each is done once")
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


def merge_command(
    stores: Annotated[list[Path], typer.Argument(metavar="RESULTS.csv...", help="Results of sweeps.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MERGED.csv", help="The merged file to write.")],
    as_json: Json = False,
) -> None:
    """Merge results, keeping each evaluation once; refuse results that contradict each other."""
    from serialformer.sweeps.merge import merge_stores

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
