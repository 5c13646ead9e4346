"""What experiments that train a model have in common: configuration, columns, size, and how far they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from serialformer.errors import SweepError
from serialformer.models.score import Score
from serialformer.sweeps.experiment import Experiment, Report, Surroundings
from serialformer.sweeps.row import GENERATED, TEACHER_FORCED, Row, to_cell
from serialformer.sweeps.size import estimate_bytes, estimate_work
from serialformer.tasks.user_task import source_of
from serialformer.training.config import TrainingConfig

if TYPE_CHECKING:
    from serialformer.training.loop import Report as TrainingReport
    from serialformer.training.loop import TrainingResult

SEMANTICS = 1
"""Goes up when a configuration comes to mean other numbers than before, by more than rounding."""

FINAL = "final"
"""The evaluation that ends a training."""

STEP = "step"
"""Of an evaluation of the training itself: ``step N``."""


@dataclass(frozen=True, kw_only=True)
class TrainingExperiment(Experiment):
    """Trains a model, whatever is done with it then. Further fields of a subclass are plain.

    Attributes:
        config: what is trained.
    """

    config: TrainingConfig

    @property
    def num_bytes(self) -> int:
        return estimate_bytes(self.config)

    @property
    def work(self) -> float:
        return estimate_work(self.config)

    @property
    def num_steps(self) -> int:
        return self.config.optimiser.num_steps

    def versions(self) -> dict[str, Any]:
        """The task's version is in the id, and the source of a user's task, but not where its file lies."""
        task = self.config.make_task()
        source = source_of(task)
        digest = {} if source is None else {"task_source": hashlib.sha256(source.encode()).hexdigest()}
        # What an older release's canonical form becomes, too: see ``rename_canonical``.
        content = {**self.config.to_json(), "task": task.name}
        return {
            "experiment": self.kind,
            **({} if self.version == 1 else {"version": self.version}),
            "config": content,
            "semantics": SEMANTICS,
            "task_version": task.version,
            **digest,
        }

    def fields_to_json(self) -> dict[str, Any]:
        return {part.name: getattr(self, part.name) for part in fields(self)} | {"config": self.config.to_json()}

    @classmethod
    def from_fields(cls, content: Mapping[str, Any]) -> Experiment:
        names = [part.name for part in fields(cls)]
        if set(content) != set(names):
            raise SweepError(f"expected an object of {', '.join(names)}, found {content!r}", where="run")
        return cls(**{**content, "config": TrainingConfig.from_json(content["config"])})

    def facts(self) -> dict[str, Any]:
        config = self.config
        content = config.to_json()
        return {
            "task": config.make_task().name,
            "parameters": to_cell(content["parameters"]),
            "length": config.length,
            "setting": config.setting,
            "depth": config.model.num_layers,
            "width": config.model.width,
            "heads": config.model.num_heads,
            "batch_size": config.optimiser.batch_size,
            "curriculum": "" if content["curriculum"] is None else to_cell(content["curriculum"]),
            "seed": config.seed,
            "evaluated_length": config.length,
        }

    def train(self, surroundings: Surroundings) -> TrainingResult:
        """Trains the model, or resumes its training, or reads what a finished training left."""
        from serialformer.training.loop import Execution, train

        return train(
            self.config,
            surroundings.directory,
            execution=Execution(device=surroundings.device, save_seconds=surroundings.save_seconds),
            resume=True,
            progress=report_training(surroundings),
        )

    def final_row(self, surroundings: Surroundings, result: TrainingResult) -> Row:
        """The evaluation that ends a training."""
        return self.row(
            surroundings,
            evaluation=FINAL,
            steps=result.steps,
            reached_target=result.reached_target,
            cpu_seconds=result.cpu_seconds,
            seconds=result.seconds,
            **score_columns(result.teacher_forced, result.generated, self.config.make_task().num_answer_tokens),
        )


def score_columns(teacher_forced: Score, generated: Score, num_answer_tokens: int) -> dict[str, Any]:
    """The counts of two scores as columns, for a number of tokens per answer."""
    return {
        **{name: teacher_forced.counts[name] for name in TEACHER_FORCED},
        **{name: generated.counts[name] for name in GENERATED},
        "generated_samples": generated.samples,
        "generated_answer_tokens": generated.samples * num_answer_tokens,
    }


def curve_columns(surroundings: Surroundings) -> Iterator[dict[str, Any]]:
    """The evaluations during a training, from its log, as columns of rows."""
    from serialformer.training.log import read_log

    for entry in read_log(surroundings.directory):
        if "chain_accuracy" in entry and not entry.get("final"):
            samples = entry["samples"]
            share = entry.get("pointer_share")
            yield {
                "evaluation": f"{STEP} {entry['step']}",
                "steps": entry["step"],
                "samples": samples,
                "chains": round(entry["chain_accuracy"] * samples),
                "answers": round(entry["answer_accuracy"] * samples),
                "cpu_seconds": entry["cpu_seconds"],
                "seconds": entry["seconds"],
                "measures": {} if share is None else {"pointer_share": share},
            }


def report_training(surroundings: Surroundings) -> Any:
    """Passes what a training reports on to whoever waits for the experiment."""
    tell = surroundings.progress
    if tell is None:
        return None

    def progress(report: TrainingReport) -> None:
        tell(Report(step=report.step, loss=report.loss, accuracy=report.chain_accuracy))

    return progress
