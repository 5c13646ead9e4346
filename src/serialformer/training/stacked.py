"""Many small models of one shape as one program: what a GPU needs so that it is not idle between their kernels.

Each model has its own weights, seed and batches. On a GPU the whole step is captured as a graph, and several stacks in
threads of one process share the device. A stack leaves behind what ``train`` leaves behind for each of its models: the
directory of a run that has ended, which a sweep then reads instead of training it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from serialformer.errors import TrainingError
from serialformer.models.provenance import TrainedProvenance
from serialformer.models.score import Score
from serialformer.tasks.examples import NO_LABEL
from serialformer.training.config import TrainingConfig
from serialformer.training.initial import draw_weights, make_generator
from serialformer.training.log import Log
from serialformer.training.loop import score_facts
from serialformer.training.measure import measure
from serialformer.training.memory import freed_memory_kept
from serialformer.training.optimiser import Optimiser
from serialformer.training.run import RunDirectory, create_run, record_config, untrained_model
from serialformer.training.stacked_batches import Batches, batches_ahead
from serialformer.training.stacked_optimiser import StackedOptimiser
from serialformer.training.stacked_weights import StackedWeights
from serialformer.training.state import Progress, save_state
from serialformer.training.subnormals import subnormals_flushed
from serialformer.transformer.module import TransformerModule

STEPS_BEFORE_CAPTURE = 3
"""Steps on a GPU that run kernel by kernel, so that libraries are initialised before a step becomes a graph."""

CAPTURING = Lock()
"""Only one thread at a time captures a graph."""


@dataclass(frozen=True, kw_only=True)
class StackReport:
    """How far a stack is: steps done, models that are still trained, and the mean of their losses."""

    step: int
    num_models: int
    loss: float


def can_stack(configs: Sequence[TrainingConfig]) -> bool:
    """Whether configurations differ in their seeds only, and train on one length from random weights."""
    first = configs[0]
    same = all(replace(config, seed=0) == replace(first, seed=0) for config in configs)
    plain = first.shortest is None and not first.optimiser.extended_at
    return same and plain and first.initial is None and not first.evaluation.pointers


def train_stack(
    configs: Sequence[TrainingConfig],
    directories: Sequence[Path],
    *,
    device: str = "cpu",
    stop: Callable[[], bool] = lambda: False,
    in_process: bool = False,
    progress: Callable[[StackReport], None] | None = None,
) -> int:
    """Trains models that differ in their seeds only, together.

    Up to rounding, each becomes what ``train`` makes of its configuration. A model that reaches its target leaves the
    stack. Nothing is kept of models that have not ended when it is stopped.

    Args:
        configs: of the models.
        directories: where each run comes to lie; none may exist.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        stop: asked every few steps; once it says so, no further step begins.
        in_process: whether batches are drawn in a process of its own, or in a thread of this one.
        progress: called after every few steps.

    Returns:
        How many have ended.

    Raises:
        TrainingError: they differ in more than their seeds, or have what a stack does not do; a loss is no number.
        CheckpointError: a directory exists.
    """
    if not can_stack(configs):
        raise TrainingError(
            "a stack takes configurations that differ in their seeds only, on one length and from random weights",
            where="stack",
        )
    stack = _Stack(configs, directories, device)
    steps = range(configs[0].optimiser.num_steps)
    seeds = [config.seed for config in configs]
    ahead = batches_ahead(configs[0], seeds, steps, in_process=in_process)
    with ahead as batches, stack.on_stream(), freed_memory_kept(), subnormals_flushed():
        return stack.go(batches, stop, progress)


class _Stack:
    """Models in training."""

    def __init__(self, configs: Sequence[TrainingConfig], directories: Sequence[Path], device: str) -> None:
        self._configs, self._directories = list(configs), list(directories)
        self._config, self._device = configs[0], torch.device(device)
        self._stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
        self._graph: Any = None
        self._num_eager = 0
        self._starts = [draw_weights(config.architecture(), config.model, config.seed) for config in configs]
        with self.on_stream():
            self._module = TransformerModule(self._config.architecture(), device=device, attention="stacked")
            models = []
            for start in self._starts:
                module = TransformerModule(start.architecture, device=device)
                module.load(start)
                models.append(dict(module.named_parameters()))
            self._take(StackedWeights.stack(models, self._config.optimiser), list(range(len(configs))))
            self._optimiser = StackedOptimiser(self._weights, self._config.optimiser)
            self._rate = torch.zeros((), device=self._device)
        self._seconds = [0.0, 0.0]

    def _take(self, weights: StackedWeights, alive: list[int]) -> None:
        self._weights, self._alive, self._graph = weights, alive, None
        self._tokens = self._labels = torch.empty(0, dtype=torch.int32, device=self._device)
        self._losses = torch.zeros(len(alive), device=self._device)

    @contextmanager
    def on_stream(self) -> Iterator[None]:
        """On a GPU, everything of a stack happens on a stream of its own."""
        with torch.cuda.stream(self._stream) if self._stream is not None else nullcontext():
            yield

    def go(
        self, drawn: Iterator[Batches], stop: Callable[[], bool], progress: Callable[[StackReport], None] | None
    ) -> int:
        """All steps, until all have ended or it is stopped; how many have ended."""
        config, ended = self._config, 0
        num_steps, every = config.optimiser.num_steps, config.evaluation.every
        while self._alive and not stop():
            batches = next(drawn)
            started = (time.thread_time(), time.perf_counter())
            self._steps(batches)
            done = batches.first + len(batches.tokens)
            loss = float(self._losses.mean())
            self._count(started)
            if done == num_steps or done % every == 0:
                self._check_losses(done)
                reached = [place for place in self._alive if done == num_steps or self._reaches(place, done)]
                for place in reached:
                    self._finish(place, done)
                ended += len(reached)
                self._keep([place for place in self._alive if place not in reached])
            if progress is not None:
                progress(StackReport(step=done, num_models=len(self._alive), loss=loss))
        return ended

    def _check_losses(self, step: int) -> None:
        values = self._losses.tolist()
        if not all(map(math.isfinite, values)):
            raise TrainingError(f"a loss is {values} at step {step}", where="stack")

    def _count(self, started: tuple[float, float]) -> None:
        """Shares the seconds of some steps out among the models."""
        for kind, clock in enumerate((time.thread_time, time.perf_counter)):
            self._seconds[kind] += (clock() - started[kind]) / max(1, len(self._alive))

    def _steps(self, batches: Batches) -> None:
        """Some steps of every model."""
        num_steps = len(batches.tokens)
        rates = [self._config.optimiser.rate(batches.first + place) for place in range(num_steps)]
        parts = (batches.tokens[:, self._alive], batches.labels[:, self._alive], np.array(rates, dtype=np.float32))
        tokens, labels, all_rates = (torch.from_numpy(part).to(self._device) for part in parts)
        if self._tokens.numel() == 0:
            self._tokens, self._labels = torch.empty_like(tokens[0]), torch.empty_like(labels[0])
        for place in range(num_steps):
            self._tokens.copy_(tokens[place])
            self._labels.copy_(labels[place])
            self._rate.copy_(all_rates[place])
            self._step()

    def _step(self) -> None:
        """One step on what lies in the buffers: kernel by kernel, or as the graph that one was captured as."""
        if self._stream is None or self._num_eager < STEPS_BEFORE_CAPTURE:
            self._num_eager += 1
            self._compute()
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with CAPTURING, torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._compute()
        self._graph.replay()

    def _compute(self) -> None:
        with self._autocast():
            logits = torch.vmap(self._forward, randomness="error")(self._weights.by_name(), self._tokens.int())
        models, vocabulary = logits.shape[0], logits.shape[-1]
        entropies = functional.cross_entropy(
            logits.float().reshape(-1, vocabulary),
            self._labels.reshape(-1).long(),
            ignore_index=NO_LABEL,
            reduction="none",
        ).reshape(models, -1)
        losses = entropies.sum(1) / (self._labels != NO_LABEL).reshape(models, -1).sum(1)
        losses.sum().backward()
        if self._config.optimiser.clip_norm is not None:
            self._weights.clip(self._config.optimiser.clip_norm)
        self._optimiser.step(self._rate)
        self._losses.copy_(losses.detach())

    def _forward(self, weights: dict[str, Tensor], tokens: Tensor) -> Tensor:
        logits: Tensor = functional_call(self._module, weights, (tokens,))
        return logits

    def _autocast(self) -> Any:
        if self._config.optimiser.precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, dtype=torch.bfloat16)

    def _keep(self, places: list[int]) -> None:
        """Continues with these models only."""
        if places == self._alive or not places:
            self._alive = places
            return
        rows = torch.tensor([self._alive.index(place) for place in places], device=self._device)
        weights = self._weights.keep(rows)
        self._optimiser = self._optimiser.keep(weights, rows)
        self._take(weights, places)

    def _unstack(self, place: int) -> TransformerModule:
        """A module with the weights of one model."""
        row = self._alive.index(place)
        module, weights = TransformerModule(self._module.architecture, device=self._device), self._weights.by_name()
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(weights[name][row])
        return module

    def _measure(self, place: int, run: RunDirectory | None, stream: Any, step: int, sizes: tuple[int, int]) -> Any:
        config = self._configs[place]
        model = run.model if run else untrained_model(self._directories[place], config, self._starts[place])
        with self._autocast():
            return measure(self._unstack(place), model, make_generator(config.seed, stream, step), *sizes)

    def _reaches(self, place: int, step: int) -> bool:
        """Whether a model is at its target, by the smaller sample and by the larger."""
        evaluation = self._config.evaluation
        if evaluation.target is None:
            return False
        for stream, sizes in (
            ("evaluation", (evaluation.num_samples, 0)),
            ("final", (evaluation.num_final_samples, 0)),
        ):
            score, _ = self._measure(place, None, stream, step, sizes)
            if score.accuracies["chain_accuracy"] < evaluation.target:
                return False
        return True

    def _finish(self, place: int, step: int) -> None:
        """Writes the directory of a run that has ended, as ``train`` does."""
        config, evaluation = self._configs[place], self._config.evaluation
        run = create_run(self._directories[place], config, self._starts[place])
        scores: tuple[Score, Score] = self._measure(
            place, run, "final", step, (evaluation.num_final_samples, evaluation.num_final_generated)
        )
        module = self._unstack(place)
        target = evaluation.target
        confirmed = target is not None and scores[0].accuracies["chain_accuracy"] >= target
        clock: dict[str, Any] = dict(
            zip(("cpu_seconds", "seconds"), (round(spent, 3) for spent in self._seconds), strict=True)
        )
        with Log(run.path, 0) as log:
            row = {"step": step, "final": True, "reached_target": confirmed, "stacked": len(self._configs)}
            log.write({**row, **score_facts(*scores), **clock})
            provenance = TrainedProvenance(
                steps=step,
                seed=config.seed,
                configuration=record_config(config),
                reached_target=confirmed,
                teacher_forced=scores[0],
                generated=scores[1],
                **clock,
            )
            run.save_model(module.to_transformer(), provenance)
            ended = Progress(step=step, **clock, log_bytes=log.num_bytes, finished=True)
        save_state(run.path, module, Optimiser(module, config.optimiser), ended)
