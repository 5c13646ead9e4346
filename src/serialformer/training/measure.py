"""Scoring a module while it trains: the one loop of ``evaluation``, computed in torch."""

from __future__ import annotations

import numpy as np

from serialformer.decode.torch_engine import TorchEngine
from serialformer.models.evaluate import Backend, score_samples
from serialformer.models.model import Model
from serialformer.models.score import Score
from serialformer.tasks.task import MAX_TOKENS
from serialformer.training.objective import predict_tokens
from serialformer.transformer.module import TransformerModule

LOGITS_PER_PASS = 1 << 22
"""About how many logits are computed together."""


def measure(
    module: TransformerModule, model: Model, random: np.random.Generator, num_samples: int, num_generated: int
) -> tuple[Score, Score]:
    """Scores a module on the task's own distribution, at the length of its model.

    Args:
        module: the weights.
        model: what they mean; its own weights are not looked at.
        random: draws the samples.
        num_samples: samples that are teacher-forced.
        num_generated: samples that are generated, the first of those.

    Returns:
        The score of the teacher-forced samples, and that of the generated ones, which counts fewer samples.
    """
    task, length = model.task, model.length
    per_sample = (task.prompt_width(length) + task.chain_width(length)) * len(module.architecture.vocabulary)
    backend = Backend(predict=lambda layout: predict_tokens(module, layout), engine=TorchEngine(module))
    teacher_forced, generated, _ = score_samples(
        model,
        random,
        lambda examples: backend,
        length=length,
        num_samples=num_samples,
        num_generated=num_generated,
        per_draw=max(1, min(LOGITS_PER_PASS // per_sample, MAX_TOKENS // per_sample, num_samples)),
    )
    return teacher_forced, generated
