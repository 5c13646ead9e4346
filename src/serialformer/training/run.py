"""The directory of a run: ``run.json`` and the log, the state and the checkpoint of the model as it is so far."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from serialformer.errors import TrainingError
from serialformer.files import new_directory, refuse_os_errors, write_file
from serialformer.models.card import write_card
from serialformer.models.manifest import write_manifest
from serialformer.models.model import Model
from serialformer.models.provenance import TrainedProvenance
from serialformer.models.task_items import TaskItems
from serialformer.python_file import split_reference
from serialformer.tasks.user_task import check_record, recorded_reference
from serialformer.training.config import TrainingConfig, rename_fields
from serialformer.transformer.checkpoint import load_transformer, read_json, save_transformer, save_weights
from serialformer.transformer.transformer import Transformer

RUN_FILE = "run.json"
FORMAT = 2
"""Of ``run.json``; format 1 differs in the names of two fields of the configuration."""


@dataclass(frozen=True, kw_only=True)
class RunDirectory:
    """Where a run lies. A checkpoint directory from the first moment: the other commands take it as such."""

    path: Path
    config: TrainingConfig
    model: Model

    def save_model(self, transformer: Transformer, provenance: TrainedProvenance) -> Model:
        """Replaces the weights, then the manifest; each file whole or not at all."""
        with refuse_os_errors(str(self.path)):
            save_weights(transformer, self.path)
        model = replace(self.model, transformer=transformer, provenance=provenance, directory=self.path)
        write_manifest(model.protocol, model.provenance, self.path)
        write_card(model, self.path)
        return model


def create_run(
    path: Path, config: TrainingConfig, transformer: Transformer, *, overwrite: bool = False
) -> RunDirectory:
    """Makes the directory, with the weights that the run starts from.

    Raises:
        CheckpointError: it exists and is not replaced.
        TaskError: the transformer does not do for the task.
    """
    model = untrained_model(path, config, transformer)
    with new_directory(path, overwrite=overwrite) as temporary:
        save_transformer(transformer, temporary, num_new_tokens=model.num_new_tokens)
        model.protocol.write_files(temporary)
        write_manifest(model.protocol, model.provenance, temporary)
        write_card(model, temporary)
        content = {
            "format": FORMAT,
            "config": record_config(config),
            "versions": {name: version(name) for name in ("serialformer", "torch", "numpy")},
        }
        write_file(temporary / RUN_FILE, _format(content))
    return RunDirectory(path=path, config=config, model=model)


SCHEDULE = ("optimiser.num_steps", "optimiser.warmup_steps", "curriculum.num_steps")
"""Fields that follow the number of steps, as that was asked for when a run began."""

EXTENSIONS = ("optimiser.extended_at", "optimiser.extension_rates")


def open_run(path: Path, config: TrainingConfig) -> RunDirectory:
    """The run that lies in a directory, if it is of this configuration, or of this one with fewer steps.

    A run with fewer steps is extended: its own schedule stays, and another one follows; ``run.json`` says so.

    Raises:
        TrainingError: there is none, or one of another configuration; says how they differ.
    """
    found = load_config(path, config.task)
    theirs, ours = (_flatten(one.to_json()) for one in (found, config))
    differing = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    more = config.optimiser.num_steps - found.optimiser.num_steps
    if more > 0 and not set(differing) - {*SCHEDULE, *EXTENSIONS}:
        found = found.extended(config.optimiser.num_steps)
        content = {**read_json(path / RUN_FILE), "config": record_config(found)}
        write_file(path / RUN_FILE, _format(content))
    elif differing and (more or set(differing) - {*SCHEDULE, *EXTENSIONS} or not found.optimiser.extended_at):
        shown = ", ".join(f"{name} {theirs.get(name)!r} and not {ours.get(name)!r}" for name in differing[:5])
        raise TrainingError(f"is another run: {shown}", where=str(path), hint="choose another directory")
    return RunDirectory(path=path, config=found, model=untrained_model(path, found, load_transformer(path)))


def _flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _format(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"


def untrained_model(path: Path, config: TrainingConfig, transformer: Transformer) -> Model:
    """The model of a run, before its first step.

    Raises:
        TaskError: the transformer does not do for the task.
    """
    return Model(
        transformer=transformer,
        protocol=TaskItems(task=config.make_task(), length=config.length, setting=config.setting),
        provenance=TrainedProvenance(steps=0, seed=config.seed, configuration=record_config(config)),
        directory=path,
    )


def record_config(config: TrainingConfig) -> dict[str, Any]:
    """A configuration as the files of a run have it: a user's task by its name, without the folder of its file."""
    return {**config.to_json(), "task": config.make_task().name}


def load_config(path: Path, task: str | None = None) -> TrainingConfig:
    """The configuration of the run in a directory.

    Args:
        path: of the run.
        task: ``FILE.py:Class``, for a run on a user's task: no file is imported because a run names it.

    Raises:
        TrainingError: there is none, or it is not one that this release knows.
        TaskError: its task is a user's, and is not named, or was another when the run began.
    """
    content = read_run(path)
    name = str(content.get("task"))
    try:
        if split_reference(name) is None:
            return TrainingConfig.from_json(content)
        reference, _ = recorded_reference(name, path, task, trust_code=False)
        config = TrainingConfig.from_json({**content, "task": reference})
    except TrainingError as error:
        raise TrainingError(error.message, where=str(path / RUN_FILE)) from None
    check_record(config.make_task(), path)
    return config


def read_run(path: Path) -> dict[str, Any]:
    """The configuration of the run in a directory, as JSON that nothing has looked at.

    Raises:
        TrainingError: there is none, or it is of another format.
    """
    file = path / RUN_FILE
    if not file.is_file():
        raise TrainingError("no run here", where=str(file), hint="leave --resume out to begin one in a new directory")
    content = read_json(file)
    if content.get("format") not in (1, FORMAT):
        raise TrainingError(f"expected format {FORMAT}, found {content.get('format')!r}", where=str(file))
    config = rename_fields(content.get("config")) if content["format"] == 1 else content.get("config")
    if not isinstance(config, dict):
        raise TrainingError(f"expected a configuration, found {config!r}", where=str(file))
    return config
