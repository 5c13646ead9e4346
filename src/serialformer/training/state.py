"""The state of a run between two steps: weights and moments of the optimiser, in one file, written atomically."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from serialformer.errors import TrainingError
from serialformer.files import write_file
from serialformer.training.optimiser import MOMENTS, Optimiser
from serialformer.transformer.module import TransformerModule

STATE_FILE = "state.safetensors"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        step: steps done. Batches are drawn from (seed, step), so this is the state of the random generators as well.
        cpu_seconds: of this process and those before it that worked on the run.
        seconds: the same on the clock.
        log_bytes: the length of the log at this step; what stands after it is cut off when the run is resumed.
        finished: whether the run has ended.
    """

    step: int = 0
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    log_bytes: int = 0
    finished: bool = False


def save_state(directory: Path, module: TransformerModule, optimiser: Optimiser, progress: Progress) -> None:
    """Writes the state, whole or not at all.

    Raises:
        SerialformerError: it cannot be written; what was there is there still.
    """
    tensors = {}
    for name, parameter in module.named_weights():
        tensors[f"weight.{name}"] = parameter.detach().cpu().contiguous()
        for moment, values in optimiser.moments(parameter):
            tensors[f"{moment}.{name}"] = values.cpu().contiguous()
    write_file(directory / STATE_FILE, save(tensors, {"progress": json.dumps(asdict(progress))}))


def load_state(directory: Path, module: TransformerModule, optimiser: Optimiser) -> Progress:
    """Reads what ``save_state`` wrote into a module and its optimiser.

    Raises:
        TrainingError: there is no state, or it is not of this model.
    """
    path = directory / STATE_FILE
    progress = load_progress(directory)
    try:
        with safe_open(path, framework="pt") as file:
            present = set(file.keys())
            for name, parameter in module.named_weights():
                with torch.no_grad():
                    parameter.copy_(_tensor(file, f"weight.{name}", parameter, path))
                found = {
                    moment: _tensor(file, f"{moment}.{name}", parameter, path).to(parameter.device)
                    for moment in MOMENTS
                    if f"{moment}.{name}" in present
                }
                if found:
                    optimiser.restore(parameter, found, progress.step)
    except SafetensorError as error:
        raise TrainingError(f"is not the state of this run: {error}", where=str(path)) from None
    return progress


def load_progress(directory: Path) -> Progress:
    """How far the run in a directory is."""
    path = directory / STATE_FILE
    if not path.is_file():
        raise TrainingError("no state of a run", where=str(path), hint="is this the directory of a run?")
    try:
        with safe_open(path, framework="pt") as file:
            content: dict[str, Any] = json.loads((file.metadata() or {}).get("progress", "null"))
        return Progress(**content)
    except (SafetensorError, TypeError, json.JSONDecodeError) as error:
        raise TrainingError(f"is not the state of a run: {error}", where=str(path)) from None


def _tensor(file: Any, name: str, like: torch.Tensor, path: Path) -> torch.Tensor:
    tensor = file.get_tensor(name)
    if tensor.shape != like.shape or tensor.dtype != like.dtype:
        found = f"{tensor.dtype}{list(tensor.shape)}"
        raise TrainingError(f"{name} is {found}, not {like.dtype}{list(like.shape)}", where=str(path))
    return tensor
