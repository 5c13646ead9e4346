"""Evaluating a module while it trains: teacher-forced on whole chains, and generating, in torch."""

from __future__ import annotations

import numpy as np

from serialformer.decode.torch_engine import TorchEngine
from serialformer.evaluation import score_generation
from serialformer.score import Score, score_taught
from serialformer.task_model import TaskModel
from serialformer.tasks.examples import Examples
from serialformer.tasks.layout import lay_out
from serialformer.tasks.task import MAX_TOKENS
from serialformer.training.config import TrainingConfig
from serialformer.training.objective import predict_tokens
from serialformer.transformer.module import TransformerModule

LOGITS_PER_PASS = 1 << 22
"""About how many logits are computed together."""


def measure(
    module: TransformerModule,
    model: TaskModel,
    config: TrainingConfig,
    random: np.random.Generator,
    num_samples: int,
    num_generated: int,
) -> tuple[Score, Score]:
    """Scores a module on the task's own distribution.

    Args:
        module: the weights.
        model: what they mean; its own weights are not looked at.
        config: of the run.
        random: draws the samples.
        num_samples: samples that are teacher-forced.
        num_generated: samples that are generated, the first of those.

    Returns:
        The score of the teacher-forced samples, and that of the generated ones, which counts fewer samples.
    """
    task, length = model.task, config.length
    ids = model.token_ids(length)
    per_sample = (task.prompt_width(length) + task.chain_width(length)) * len(module.architecture.vocabulary)
    per_pass = max(1, min(LOGITS_PER_PASS // per_sample, MAX_TOKENS // per_sample, num_samples))
    engine = TorchEngine(module)
    teacher_forced, generated = Score(), Score()
    for start in range(0, num_samples, per_pass):
        examples = task.sample(random, length, min(per_pass, num_samples - start)).renumber(ids)
        layout = lay_out(task, examples, config.setting, length)
        teacher_forced += score_taught(layout, predict_tokens(module, layout))
        count = min(len(examples), num_generated - start)
        if count > 0:
            generated += _generate(model, examples.select(np.arange(count)), length, engine)
    return teacher_forced, generated


def _generate(model: TaskModel, examples: Examples, length: int, engine: TorchEngine) -> Score:
    score = Score()
    for rows in examples.blocks(len(examples)):
        block = examples.select(rows)
        score += Score(samples=len(rows)) + score_generation(model, block, length, engine)
    return score
