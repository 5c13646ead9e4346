"""The command ``train``: a model of a task is trained; its directory is a checkpoint as any other."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serialformer.cli.commands import Json, refuse_existing
from serialformer.cli.progress import progress_bar, say
from serialformer.cli.tasks import Parameters
from serialformer.errors import CompileError, InputError, TrainingError
from serialformer.python_file import split_reference
from serialformer.tasks.registry import parse_task

if TYPE_CHECKING:
    from serialformer.task_model import TaskModel
    from serialformer.training.config import TrainingConfig
    from serialformer.training.loop import TrainingResult
    from serialformer.transformer.transformer import Transformer


def train_command(
    name: Annotated[
        str, typer.Argument(metavar="TASK", help="A task (serialformer tasks lists them) or FILE.py:Class.")
    ],
    setting: Annotated[
        str, typer.Option("--setting", metavar="base|cot|hint|aligned|filler", help="What it reads and predicts.")
    ],
    length: Annotated[int, typer.Option("--length", metavar="N", help="The number of items.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The directory of the run.")],
    depth: Annotated[int, typer.Option("--depth", min=1, metavar="L", help="Layers.")] = 1,
    parameters: Parameters = None,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="K", help="Of initial weights and samples.")] = 0,
    steps: Annotated[int | None, typer.Option("--steps", min=1, metavar="N", help="Steps at most.")] = None,
    preset: Annotated[
        str, typer.Option("--preset", metavar="NAME", help="default (tuned for the task), or paper.")
    ] = "default",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Another configuration, such as model.width=256."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR, if there is one.")] = False,
    initial: Annotated[
        Path | None,
        typer.Option("--from", metavar="CHECKPOINT", help="Start from this model of the task, compiled or trained."),
    ] = None,
    pointers: Annotated[
        bool, typer.Option("--pointers", help="Log how much attention goes where the task's construction reads.")
    ] = False,
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where.")] = "cpu",
    compiled: Annotated[bool, typer.Option("--torch-compile", help="Through torch.compile.")] = False,
    threads: Annotated[int, typer.Option("--threads", min=1, metavar="N", help="Of torch, on the CPU.")] = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard's files as well.")] = False,
    as_json: Json = False,
) -> None:
    """Train a model of a task on fresh samples; killed and begun again with --resume, it goes on where it was."""
    # What is mistyped is refused before torch is imported, which takes seconds.
    from serialformer.training.presets import make_config

    task = parse_task(name, parameters or [])
    config = make_config(
        name if split_reference(name) else task.name,
        parameters=task.parameters,
        length=length,
        setting=setting,
        num_layers=depth,
        seed=seed,
        preset=preset,
    ).with_values(_parse_changes(changes or []))
    if steps is not None:
        config = config.shortened(steps)
    if pointers:
        config = replace(config, evaluation=replace(config.evaluation, pointers=True))
    start = None
    if initial is not None:
        start = _load_initial(initial, config)
        config = replace(config, initial=start.digest())
    if not resume:
        refuse_existing(output)
    require_torch()
    from serialformer.training.loop import Execution, Report, has_bfloat16, train

    execution = Execution(device=device, compiled=compiled, num_threads=threads, tensorboard=tensorboard)
    if config.optimiser.precision == "bfloat16" and device == "cpu" and not has_bfloat16():
        say("this processor has no instructions for bfloat16: float32 is many times faster here")
    construction = _construct(config) if config.evaluation.pointers else None
    num_samples, last = config.optimiser.num_steps * config.optimiser.batch_size, [0]
    with progress_bar("training", num_samples, unit="samples") as advance:

        def show(report: Report) -> None:
            accuracy = "" if report.chain_accuracy is None else f", accuracy {report.chain_accuracy:.4f}"
            done = (report.step - last[0]) * config.optimiser.batch_size
            last[0] = report.step
            advance(done, f"loss {report.loss:.4f}{accuracy}")

        result = train(
            config,
            output,
            initial=start,
            construction=construction,
            execution=execution,
            resume=resume,
            progress=show,
        )
    _print_result(output, result, as_json=as_json)


def require_torch() -> None:
    """Says what to install where torch is missing, before anything is begun."""
    try:
        import_module("torch")
    except ImportError:
        raise TrainingError("training needs torch", hint="pip install 'serialformer[torch]'") from None


def _parse_changes(texts: list[str]) -> dict[str, str]:
    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"expected FIELD=VALUE, found {text!r}", where="--set", hint="such as model.width=256")
        changes[name.strip()] = value.strip()
    return changes


def _load_initial(directory: Path, config: TrainingConfig) -> Transformer:
    """The weights of a model of the same task, setting and length."""
    from serialformer.task_model import load_task_model

    own = config.task if split_reference(config.task) else None
    model: TaskModel = load_task_model(directory, task=own)
    theirs = (model.task.name, model.task.parameters, model.length, model.setting)
    ours = (config.make_task().name, dict(config.parameters), config.length, config.setting)
    if theirs != ours:
        raise InputError(f"is a model of {theirs}, not of {ours}", where=str(directory))
    return model.transformer


def _construct(config: TrainingConfig) -> Transformer | None:
    """The constructed model of a task; None, with a word on stderr, where there is none."""
    from serialformer.construction import construct_model
    from serialformer.evaluator_model import make_evaluator

    if config.setting != "cot":
        print("--pointers: constructions are for the setting cot; not measured", file=sys.stderr)
        return None
    try:
        if config.task == "circuit-value":
            return make_evaluator(config.length).transformer
        return construct_model(config.make_task(), config.length).transformer
    except CompileError as error:
        print(f"--pointers: not measured: {error.message}", file=sys.stderr)
        return None


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
