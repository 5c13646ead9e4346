"""Many small models of one shape as one program: what a GPU needs so that it is not idle between their kernels.

Each model has its own weights, seed and batches. A stack leaves behind what ``train`` leaves behind for each of them:
the directory of a run that has ended, which a sweep then reads instead of training it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from serialformer.errors import TrainingError
from serialformer.models.provenance import TrainedProvenance
from serialformer.models.score import Score
from serialformer.tasks.examples import NO_LABEL
from serialformer.tasks.layout import Layout, lay_out
from serialformer.training.config import TrainingConfig
from serialformer.training.initial import draw_weights, make_generator
from serialformer.training.log import Log
from serialformer.training.loop import score_facts
from serialformer.training.measure import measure
from serialformer.training.optimiser import Optimiser
from serialformer.training.run import RunDirectory, create_run, record_config, untrained_model
from serialformer.training.state import Progress, save_state
from serialformer.transformer.module import TransformerModule

DRAWN_AHEAD = 4
"""Batches that are drawn while the device computes."""


@dataclass(frozen=True, kw_only=True)
class StackReport:
    """How far a stack is: steps done, models that are still trained, and the mean of their losses."""

    step: int
    num_models: int
    loss: float


def can_stack(configs: Sequence[TrainingConfig]) -> bool:
    """Whether configurations differ in their seeds only, and have what a stack can do: AdamW on one length."""
    first = configs[0]
    same = all(replace(config, seed=0) == replace(first, seed=0) for config in configs)
    plain = first.optimiser.method == "adamw" and first.shortest is None and not first.optimiser.extended_at
    return same and plain and first.initial is None and not first.evaluation.pointers


def train_stack(
    configs: Sequence[TrainingConfig],
    directories: Sequence[Path],
    *,
    device: str = "cpu",
    deadline: float = math.inf,
    progress: Callable[[StackReport], None] | None = None,
) -> int:
    """Trains models that differ in their seeds only, together.

    Up to rounding, each becomes what ``train`` makes of its configuration. A model that reaches its target leaves the
    stack. Nothing is kept of models that have not ended at the deadline.

    Args:
        configs: of the models.
        directories: where each run comes to lie; none may exist.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        deadline: of ``time.monotonic()``: no step is begun after it.
        progress: called after every step.

    Returns:
        How many have ended.

    Raises:
        TrainingError: they differ in more than their seeds, or have what a stack does not do; a loss is no number.
        CheckpointError: a directory exists.
    """
    if not can_stack(configs):
        raise TrainingError(
            "a stack takes configurations that differ in their seeds only, with AdamW and one length", where="stack"
        )
    return _Stack(configs, directories, device).go(deadline, progress)


class _Stack:
    """Models in training."""

    def __init__(self, configs: Sequence[TrainingConfig], directories: Sequence[Path], device: str) -> None:
        self._configs, self._directories = list(configs), list(directories)
        self._config, self._device = configs[0], device
        self._task = self._config.make_task()
        self._starts = [draw_weights(config.architecture(), config.model, config.seed) for config in configs]
        self._module = TransformerModule(self._config.architecture(), device=device, narrow_attention=False)
        modules = []
        for start in self._starts:
            module = TransformerModule(start.architecture, device=device, narrow_attention=False)
            module.load(start)
            modules.append(module)
        stacked, _ = stack_module_state(modules)
        self._weights: dict[str, Tensor] = stacked
        self._alive = list(range(len(configs)))
        self._optimiser = self._make_optimiser()
        vocabulary = self._config.architecture().vocabulary
        self._ids = np.array([vocabulary.index(text) for text in self._task.vocabulary(self._config.length)])
        self._seconds = [0.0, 0.0]

    def go(self, deadline: float, progress: Callable[[StackReport], None] | None) -> int:
        """All steps, until all have ended or the deadline has come; how many have ended."""
        config, ended = self._config, 0
        num_steps, every = config.optimiser.num_steps, config.evaluation.every
        with ThreadPoolExecutor(1) as pool:
            drawn: list[Future[dict[int, Layout]]] = []
            for step in range(num_steps):
                if time.monotonic() > deadline:
                    break
                while len(drawn) < min(DRAWN_AHEAD, num_steps - step):
                    drawn.append(pool.submit(self._draw, list(self._alive), step + len(drawn)))
                started = (time.process_time(), time.perf_counter())
                batches = drawn.pop(0).result()
                losses = self._step(step, [batches[place] for place in self._alive])
                done = step + 1
                is_last = done == num_steps
                if is_last or done % every == 0:
                    values = losses.tolist()
                    if not all(map(math.isfinite, values)):
                        raise TrainingError(f"a loss is {values} at step {step}", where="stack")
                    self._count(started)
                    reached = [place for place in self._alive if is_last or self._reaches(place, done)]
                    for place in reached:
                        self._finish(place, done)
                        ended += 1
                    self._keep([place for place in self._alive if place not in reached])
                else:
                    self._count(started)
                if progress is not None:
                    progress(StackReport(step=done, num_models=len(self._alive), loss=float(losses.mean())))
                if not self._alive:
                    break
        return ended

    def _count(self, started: tuple[float, float]) -> None:
        """Shares the seconds of a step out among the models."""
        for kind, clock in enumerate((time.process_time, time.perf_counter)):
            self._seconds[kind] += (clock() - started[kind]) / max(1, len(self._alive))

    def _draw(self, places: Sequence[int], step: int) -> dict[int, Layout]:
        config, found = self._config, {}
        curriculum = None if config.curriculum is None else config.curriculum.at(step)
        setting = "hint" if step < config.hinted_steps else config.setting
        for place in places:
            random = make_generator(self._configs[place].seed, "batch", step)
            examples = self._task.sample(random, config.length, config.optimiser.batch_size, curriculum=curriculum)
            found[place] = lay_out(self._task, examples.renumber(self._ids), setting, config.length)
        return found

    def _step(self, step: int, layouts: Sequence[Layout]) -> Tensor:
        """One step of every model; their losses."""
        tokens, labels = (self._join([getattr(layout, name) for layout in layouts]) for name in ("tokens", "labels"))
        with self._autocast(), self._attention():
            logits = torch.vmap(self._forward, randomness="error")(self._weights, tokens)
        models, vocabulary = logits.shape[0], logits.shape[-1]
        entropies = functional.cross_entropy(
            logits.float().reshape(-1, vocabulary), labels.reshape(-1), ignore_index=NO_LABEL, reduction="none"
        ).reshape(models, -1)
        losses = entropies.sum(1) / (labels != NO_LABEL).reshape(models, -1).sum(1)
        losses.sum().backward()
        self._clip()
        rate = self._config.optimiser.rate(step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return losses.detach()

    def _forward(self, weights: dict[str, Tensor], tokens: Tensor) -> Tensor:
        logits: Tensor = functional_call(self._module, weights, (tokens,))
        return logits

    def _join(self, rows: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(rows)).to(self._device, non_blocking=True)

    def _attention(self) -> Any:
        """On a CPU the plain products: torch.func has no rule for the fused kernel there."""
        return sdpa_kernel(SDPBackend.MATH) if torch.device(self._device).type == "cpu" else nullcontext()

    def _autocast(self) -> Any:
        if self._config.optimiser.precision == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self._device).type, dtype=torch.bfloat16)

    def _clip(self) -> None:
        """Shortens the gradient of each model by itself."""
        most = self._config.optimiser.clip_norm
        if most is None:
            return
        gradients = [weight.grad for weight in self._weights.values() if weight.grad is not None]
        squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0)
        shares = (most / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(shares.view(-1, *[1] * (gradient.dim() - 1)))

    def _make_optimiser(self) -> torch.optim.AdamW:
        optimiser = self._config.optimiser
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, weight in self._weights.items():
            share = optimiser.position_rate if name.endswith("position_embedding") else 1.0
            decay = optimiser.weight_decay if weight.dim() > 2 else 0.0
            groups.setdefault((decay, share), []).append(weight)
        return torch.optim.AdamW(
            [{"params": weights, "weight_decay": decay, "share": share} for (decay, share), weights in groups.items()],
            lr=optimiser.learning_rate,
            betas=optimiser.betas,
            eps=optimiser.epsilon,
            fused=True,
        )

    def _keep(self, places: list[int]) -> None:
        """Continues with these models only."""
        if places == self._alive or not places:
            self._alive = places
            return
        rows = torch.tensor([self._alive.index(place) for place in places], device=self._device)
        moments = {name: self._optimiser.state[weight] for name, weight in self._weights.items()}
        self._weights = {name: weight.detach()[rows].clone().requires_grad_() for name, weight in self._weights.items()}
        self._optimiser = self._make_optimiser()
        for name, weight in self._weights.items():
            self._optimiser.state[weight] = {
                key: value if key == "step" else value[rows].clone() for key, value in moments[name].items()
            }
        self._alive = places

    def _unstack(self, place: int) -> TransformerModule:
        """A module with the weights of one model."""
        row = self._alive.index(place)
        module = TransformerModule(self._module.architecture, device=self._device)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(self._weights[name][row])
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
