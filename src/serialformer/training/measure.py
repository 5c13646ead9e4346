"""Scoring a module while it trains: the one loop of ``evaluation``, computed in torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from serialformer.arrays import Int64
from serialformer.decode.torch_engine import TorchEngine
from serialformer.models.evaluate import Backend, score_samples
from serialformer.models.model import Model
from serialformer.models.score import Score
from serialformer.tasks.examples import Examples
from serialformer.tasks.layout import lay_out
from serialformer.tasks.task import MAX_TOKENS
from serialformer.training.objective import predict_tokens
from serialformer.transformer.module import TransformerModule

LOGITS_PER_PASS = 1 << 22
"""About how many logits are computed together."""


def count_by_group(
    model: Model,
    random: np.random.Generator,
    group_of: Callable[[Examples], Int64[np.ndarray, " rows"]],
    *,
    num_groups: int,
    num_samples: int,
    per_draw: int,
    device: str = "cpu",
) -> Int64[np.ndarray, "groups 2"]:
    """Samples and right answers, given the true tokens before them, of each group of samples.

    Args:
        model: with its weights.
        random: draws the samples from the task's own distribution.
        group_of: the number of the group of each sample.
        num_groups: groups are counted from 0.
        num_samples: of all groups together.
        per_draw: samples that are drawn together.
        device: where the logits are computed.
    """
    module = TransformerModule(model.transformer.architecture, device=device)
    module.load(model.transformer)
    counts = np.zeros((num_groups, 2), dtype=np.int64)
    ids = model.token_ids(model.length)
    for start in range(0, num_samples, per_draw):
        drawn = model.task.sample(random, model.length, min(per_draw, num_samples - start))
        groups, examples = group_of(drawn), drawn.renumber(ids)
        layout = lay_out(model.task, examples, model.setting, model.length)
        predicted = np.take_along_axis(predict_tokens(module, layout), layout.answer_positions, axis=1)
        right = (predicted == examples.answers).all(axis=1)
        counts[:, 0] += np.bincount(groups, minlength=num_groups)
        counts[:, 1] += np.bincount(groups[right], minlength=num_groups)
    return counts


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
