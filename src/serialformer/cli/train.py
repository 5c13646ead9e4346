"""The command ``train``: a model of a task is trained; its directory is a checkpoint as any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serialformer.cli.options import Force, Json, refuse_existing
from serialformer.cli.progress import Interrupted, progress_bar, say
from serialformer.cli.tasks import Parameters
from serialformer.errors import InputError
from serialformer.tasks.registry import parse_task
from serialformer.training.start import configure, require_torch, train

if TYPE_CHECKING:
    from serialformer.training.loop import TrainingResult


def train_command(
    name: Annotated[
        str, typer.Argument(metavar="TASK", help="A task (serialformer tasks lists them) or FILE.py:Class.")
    ],
    setting: Annotated[
        str,
        typer.Option("--setting", metavar="base|cot|hint|aligned|filler", help="What the model reads and predicts."),
    ],
    length: Annotated[int, typer.Option("--length", metavar="N", help="The number of items.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The directory of the run.")],
    depth: Annotated[int, typer.Option("--depth", min=1, metavar="L", help="The number of layers.")] = 1,
    parameters: Parameters = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="K", help="The seed of initial weights and samples.")
    ] = 0,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, metavar="N", help="The maximum number of steps.")
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", metavar="NAME", help="default (tuned for the task) or paper.")
    ] = "default",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the configuration, such as model.width=256."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in DIR, if there is one.")] = False,
    initial: Annotated[
        Path | None,
        typer.Option("--from", metavar="CHECKPOINT", help="Start from this model of the task, compiled or trained."),
    ] = None,
    pointers: Annotated[
        bool,
        typer.Option("--pointers", help="Log the share of attention on the tokens that the task's construction reads."),
    ] = False,
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="The device for training.")] = "cpu",
    compiled: Annotated[bool, typer.Option("--torch-compile", help="Use torch.compile.")] = False,
    threads: Annotated[
        int, typer.Option("--threads", min=1, metavar="N", help="The number of CPU threads of torch.")
    ] = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard files.")] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train a model of a task on fresh samples; --resume continues an interrupted run."""
    # What is mistyped is refused before torch is imported, which takes seconds.
    config = configure(
        parse_task(name, parameters or []),
        length=length,
        setting=setting,
        depth=depth,
        seed=seed,
        steps=steps,
        preset=preset,
        changes=_parse_changes(changes or []),
        pointers=pointers,
    )
    if resume and force:
        raise InputError("expected --resume or --force, found both", hint="--force starts anew")
    if not resume:
        refuse_existing(output, force=force)
    require_torch()
    from serialformer.training.loop import Execution, Report

    last = 0
    try:
        with progress_bar("training", config.optimiser.num_steps, unit="steps") as advance:

            def show(report: Report) -> None:
                nonlocal last
                accuracy = "" if report.chain_accuracy is None else f"accuracy {report.chain_accuracy:.4f}, "
                advance(report.step - last, f"{accuracy}loss {report.loss:.4f}")
                last = report.step

            result = train(
                config,
                output,
                initial=initial,
                execution=Execution(device=device, compiled=compiled, num_threads=threads, tensorboard=tensorboard),
                resume=resume,
                overwrite=force,
                progress=show,
                say=say,
            )
    except Interrupted as error:
        raise Interrupted(f"{error}\nhint: the same command with --resume continues the run") from None
    _print_result(output, result, as_json=as_json)


def _parse_changes(texts: list[str]) -> dict[str, str]:
    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"expected FIELD=VALUE, found {text!r}", where="--set", hint="such as model.width=256")
        changes[name.strip()] = value.strip()
    return changes


def _print_result(output: Path, result: TrainingResult, *, as_json: bool) -> None:
    teacher_forced, generated = result.teacher_forced.accuracies, result.generated.accuracies
    facts: dict[str, Any] = {
        "directory": str(output),
        "steps": result.steps,
        "cpu_seconds": round(result.cpu_seconds, 3),
        "seconds": round(result.seconds, 3),
        "reached_target": result.reached_target,
        "chain_accuracy": teacher_forced["chain_accuracy"],
        "answer_accuracy": teacher_forced["answer_accuracy"],
        "answer_token_accuracy": teacher_forced["answer_token_accuracy"],
    }
    if result.generated.samples:
        facts["generated_chain_accuracy"] = generated["generated_chain_accuracy"]
        facts["generated_answer_accuracy"] = generated["generated_answer_accuracy"]
    facts["samples"], facts["generated_samples"] = result.teacher_forced.samples, result.generated.samples
    if as_json:
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        print(f"{key}: {value:.4f}" if isinstance(value, float) and "accuracy" in key else f"{key}: {value}")
