"""The training loop: steps, evaluations, log, state; a run that is killed and resumed gives the same result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from serialformer.errors import TrainingError
from serialformer.models.load import load
from serialformer.models.model import Model
from serialformer.models.provenance import TrainedProvenance
from serialformer.models.score import Score
from serialformer.models.task_items import TaskItems
from serialformer.tasks.layout import lay_out
from serialformer.training.config import TrainingConfig
from serialformer.training.initial import draw_weights, make_generator
from serialformer.training.interrupt import noted_interrupts
from serialformer.training.log import Log
from serialformer.training.measure import measure
from serialformer.training.memory import freed_memory_kept
from serialformer.training.objective import compute_loss, make_targets
from serialformer.training.optimiser import Optimiser
from serialformer.training.pointers import find_pointers, pointer_shares
from serialformer.training.run import RunDirectory, create_run, open_run, record_config
from serialformer.training.state import Progress, load_progress, load_state, save_state
from serialformer.training.subnormals import subnormals_flushed
from serialformer.transformer.forward import compute_attention
from serialformer.transformer.module import TransformerModule
from serialformer.transformer.transformer import Transformer

SAMPLES_FOR_POINTERS = 64


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a run is carried out, which changes its numbers by rounding at most.

    Attributes:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        compiled: whether the module goes through ``torch.compile``; pays from a width of 512.
        num_threads: of torch, on the CPU; None leaves it as it is. Small models train fastest with one.
        save_seconds: how often the state is saved.
        log_every: steps between rows of the log.
        tensorboard: whether TensorBoard's files are written beside the log.
    """

    device: str = "cpu"
    compiled: bool = False
    num_threads: int | None = 1
    save_seconds: float = 30.0
    log_every: int = 10
    tensorboard: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingResult:
    """What a run came to.

    Attributes:
        steps: steps done.
        cpu_seconds: of all processes that worked on it, sampling and evaluations included.
        seconds: the same on the clock.
        teacher_forced: the score of the final evaluation's teacher-forced samples.
        generated: the score of its generated samples, which are fewer.
        reached_target: whether the final evaluation, early or not, reached the target.
        config: the run's, with its extensions.
        model: what was trained.
    """

    steps: int
    cpu_seconds: float
    seconds: float
    teacher_forced: Score
    generated: Score
    reached_target: bool
    config: TrainingConfig
    model: Model

    @property
    def curriculum_amount(self) -> float:
        """How much of the curriculum was left at the last step; 0 is the task's own distribution."""
        return self.config.curriculum_amount(self.steps)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A progress report of a run: the latest step, its loss, and the accuracy of the last evaluation."""

    step: int
    loss: float
    chain_accuracy: float | None


def train(
    config: TrainingConfig,
    directory: str | Path,
    *,
    initial: Transformer | None = None,
    construction: Transformer | None = None,
    execution: Execution | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[Report], None] | None = None,
) -> TrainingResult:
    """Trains a model, resumes a run, or reads the result of a finished one.

    Args:
        config: what to train. To resume, it must be the configuration of the run that lies there; with more steps, that
            run is extended.
        directory: of the run: configuration, log, state, and a checkpoint that the other commands take.
        initial: the weights to start from; random ones if None. Not looked at when a run goes on.
        construction: a model of the same task that was constructed; with ``evaluation.pointers``, how much attention
            the trained one gives to what this one reads is written to the log.
        execution: where and how.
        resume: whether to go on with the run in the directory, if there is one.
        overwrite: whether a directory that serialformer wrote there is replaced.
        progress: called after every step.

    Raises:
        TrainingError: the directory is that of another run, or the device is not there.
        CheckpointError: the directory exists, and neither ``resume`` nor ``overwrite`` is asked for.
        KeyboardInterrupt: on Ctrl-C, once the state is saved.
    """
    execution = execution or Execution()
    path = Path(directory)
    check_device(execution.device)
    if resume and path.exists():
        run = open_run(path, config)
    else:
        if (initial is None) != (config.initial is None):
            raise TrainingError("weights to start from go with their digest in the configuration", where="initial")
        start = initial or draw_weights(config.architecture(), config.model, config.seed)
        run = create_run(path, config, start, overwrite=overwrite)
    threads = torch.get_num_threads()
    try:
        if execution.num_threads is not None:
            torch.set_num_threads(execution.num_threads)
        with freed_memory_kept(), subnormals_flushed():
            return _Training(run, execution, construction).go(progress)
    finally:
        torch.set_num_threads(threads)


def check_device(name: str) -> None:
    """Refuses a device that torch does not find.

    Raises:
        TrainingError: with torch's reason.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(f"no device {name!r}: {reason}", hint="cpu, cuda or cuda:N") from None


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; True where torch does not say."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    known = [bool(has) for name, has in capabilities.items() if "bf16" in name]
    return any(known) or not known


class _Training:
    """A run in progress."""

    def __init__(self, run: RunDirectory, execution: Execution, construction: Transformer | None) -> None:
        self._run, self._config, self._execution = run, run.config, execution
        self._construction = construction
        self._module = TransformerModule(run.model.transformer.architecture, device=execution.device)
        self._module.load(run.model.transformer)
        self._optimiser = Optimiser(self._module, self._config.optimiser)
        self._loss = torch.compile(compute_loss) if execution.compiled else compute_loss
        self._ids = {
            length: run.model.token_ids(length)
            for length in range(self._config.shortest or self._config.length, self._config.length + 1)
        }
        self._accuracy: float | None = None

    def go(self, report: Callable[[Report], None] | None) -> TrainingResult:
        """All steps that are left, and the final evaluation."""
        path = self._run.path
        found = load_progress(path) if (path / "state.safetensors").exists() else Progress()
        if found.step:
            found = load_state(path, self._module, self._optimiser)
        ends = self._config.optimiser.extended_at
        was_extended = bool(ends) and found.step == ends[-1]
        if found.finished and not was_extended:
            return self._result(found)
        self._started = (time.process_time() - found.cpu_seconds, time.perf_counter() - found.seconds)
        with Log(path, found.log_bytes, tensorboard=self._execution.tensorboard) as log, noted_interrupts() as stopped:
            confirmed = None
            if found.finished and found.step % self._config.evaluation.every == 0:
                confirmed = self._evaluate(found.step, log)  # as it would have been without an end here
            if confirmed is not None:
                return self._finish(log, (found.step, confirmed))
            return self._finish(log, self._steps(found.step, log, stopped, report))

    def _steps(
        self, first: int, log: Log, stopped: Callable[[], bool], report: Callable[[Report], None] | None
    ) -> tuple[int, tuple[Score, Score] | None]:
        """Steps up to the end or the target; the number done, and the scores that confirm the target."""
        config, last_save = self._config, time.perf_counter()
        num_steps, every = config.optimiser.num_steps, config.evaluation.every
        for step in range(first, num_steps):
            row = self._step(step)
            if not math.isfinite(row["loss"]):
                raise TrainingError(
                    f"the loss is {row['loss']} at step {step}",
                    where=str(self._run.path),
                    hint="a smaller optimiser.learning_rate, or a longer warm-up",
                )
            done = step + 1
            if done % self._execution.log_every == 0 or done == num_steps:
                log.write({**row, **self._clock()})
            if done % every == 0 and done < num_steps:
                confirmed = self._evaluate(done, log)
                if confirmed is not None:
                    return done, confirmed
            if report is not None:
                report(Report(step=done, loss=row["loss"], chain_accuracy=self._accuracy))
            if stopped() or time.perf_counter() - last_save > self._execution.save_seconds:
                self._save(done, log)
                last_save = time.perf_counter()
                if stopped():
                    raise KeyboardInterrupt
        return num_steps, None

    def _step(self, step: int) -> dict[str, Any]:
        """One step of the optimiser on the batch of this step."""
        config, optimiser = self._config, self._config.optimiser
        curriculum = None if config.curriculum is None else config.curriculum.at(step)
        length = config.length
        if config.shortest is not None:
            length = int(make_generator(config.seed, "length", step).integers(config.shortest, length + 1))
        examples = self._run.model.task.sample(
            make_generator(config.seed, "batch", step), length, optimiser.batch_size, curriculum=curriculum
        ).renumber(self._ids[length])
        setting = "hint" if step < config.hinted_steps else config.setting
        targets = make_targets(lay_out(self._run.model.task, examples, setting, length), self._module.device)
        with self._autocast():
            loss = self._loss(self._module, targets)
        loss.backward()
        clip = math.inf if optimiser.clip_norm is None else optimiser.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self._module.parameters(), clip)
        rate = self._optimiser.step(step)
        row = {"step": step + 1, "loss": loss.item(), "gradient_norm": norm.item(), "learning_rate": rate}
        return row if curriculum is None else {**row, "curriculum_amount": curriculum[1]}

    def _autocast(self) -> Any:
        if self._config.optimiser.precision == "float32":
            return nullcontext()
        return torch.autocast(self._module.device.type, dtype=torch.bfloat16)

    def _evaluate(self, step: int, log: Log) -> tuple[Score, Score] | None:
        """Evaluates; if the target is reached, the scores of the larger sample that confirm it."""
        config = self._config.evaluation
        scores = self._measure("evaluation", step, config.num_samples, config.num_generated)
        self._accuracy = scores[0].accuracies["chain_accuracy"]
        log.write({"step": step, **score_facts(*scores), **self._pointers(step), **self._clock()})
        if config.target is None or self._accuracy < config.target:
            return None
        scores = self._measure("final", step, config.num_final_samples, config.num_final_generated)
        return scores if scores[0].accuracies["chain_accuracy"] >= config.target else None

    def _measure(self, stream: Any, step: int, num_samples: int, num_generated: int) -> tuple[Score, Score]:
        with self._autocast():
            return measure(
                self._module,
                self._run.model,
                make_generator(self._config.seed, stream, step),
                num_samples,
                num_generated,
            )

    def _pointers(self, step: int) -> dict[str, Any]:
        """How much attention goes where the construction reads."""
        if self._construction is None or not self._config.evaluation.pointers:
            return {}
        task, length = self._run.model.task, self._config.length
        examples = task.sample(make_generator(self._config.seed, "evaluation", step), length, SAMPLES_FOR_POINTERS)
        layout = lay_out(task, examples, self._config.setting, length)
        items = TaskItems(task=task, length=length, setting=self._config.setting)
        theirs = items.token_ids(self._construction.architecture, length)
        pointers = find_pointers(self._construction, theirs[layout.tokens], layout.has_loss)
        attention = compute_attention(self._module.to_transformer(), self._ids[length][layout.tokens], dtype=np.float32)
        shares = pointer_shares(attention, pointers)
        return {"pointer_share": sum(shares) / len(shares), "pointer_shares": shares} if shares else {}

    def _finish(self, log: Log, reached: tuple[int, tuple[Score, Score] | None]) -> TrainingResult:
        """The final evaluation, the checkpoint, and last of all the state that says that the run has ended."""
        step, scores = reached
        config = self._config.evaluation
        if scores is None:
            scores = self._measure("final", step, config.num_final_samples, config.num_final_generated)
        confirmed = config.target is not None and scores[0].accuracies["chain_accuracy"] >= config.target
        row = {"step": step, "final": True, "reached_target": confirmed}
        log.write({**row, **score_facts(*scores), **self._pointers(step), **self._clock()})
        provenance = replace(
            self._provenance(step), reached_target=confirmed, teacher_forced=scores[0], generated=scores[1]
        )
        self._run.save_model(self._module.to_transformer(), provenance)
        progress = Progress(step=step, **self._clock(), log_bytes=log.num_bytes, finished=True)
        save_state(self._run.path, self._module, self._optimiser, progress)
        return self._result(progress)

    def _save(self, step: int, log: Log) -> None:
        progress = Progress(step=step, **self._clock(), log_bytes=log.num_bytes)
        save_state(self._run.path, self._module, self._optimiser, progress)
        self._run.save_model(self._module.to_transformer(), self._provenance(step))

    def _provenance(self, step: int) -> TrainedProvenance:
        config = self._config
        return TrainedProvenance(steps=step, seed=config.seed, configuration=record_config(config), **self._clock())

    def _clock(self) -> dict[str, Any]:
        """Seconds since the run began."""
        return {
            "cpu_seconds": round(time.process_time() - self._started[0], 3),
            "seconds": round(time.perf_counter() - self._started[1], 3),
        }

    def _result(self, progress: Progress) -> TrainingResult:
        """Read from the directory, so that a run that ended before gives the same."""
        model = load(self._run.path, task=self._config.task)
        trained = model.provenance
        assert (
            isinstance(trained, TrainedProvenance)
            and trained.teacher_forced is not None
            and trained.generated is not None
        )
        return TrainingResult(
            steps=progress.step,
            cpu_seconds=progress.cpu_seconds,
            seconds=progress.seconds,
            teacher_forced=trained.teacher_forced,
            generated=trained.generated,
            reached_target=bool(trained.reached_target),
            config=self._config,
            model=model,
        )


def score_facts(teacher_forced: Score, generated: Score) -> dict[str, Any]:
    """An evaluation as a row of the log."""
    names = ("chain_accuracy", "answer_accuracy", "token_accuracy", "answer_token_accuracy")
    made = ("generated_chain_accuracy", "generated_answer_accuracy")
    return {
        "samples": teacher_forced.samples,
        **{name: teacher_forced.accuracies[name] for name in names},
        **({name: generated.accuracies[name] for name in made} if generated.samples else {}),
    }
