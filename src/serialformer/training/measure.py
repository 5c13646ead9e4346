"""Evaluating a module while it trains: taught on whole chains, and generating, in torch."""

from __future__ import annotations

import numpy as np

from serialformer.decode.torch_engine import TorchEngine
from serialformer.models.evaluate import score_generation
from serialformer.models.model import Model
from serialformer.models.score import Score, score_taught
from serialformer.tasks.examples import Examples
from serialformer.tasks.layout import lay_out
from serialformer.tasks.task import MAX_TOKENS
from serialformer.training.config import TrainingConfig
from serialformer.training.objective import say
from serialformer.transformer.module import TransformerModule

LOGITS_A_PASS = 1 << 22
"""About how many logits are computed together."""


def measure(
    module: TransformerModule,
    model: Model,
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
        num_samples: samples that are taught.
        num_generated: samples that are generated, the first of those.

    Returns:
        The score of the taught samples, and that of the generated ones, which counts fewer samples.
    """
    task, length = model.task, config.length
    ids = model.token_ids(length)
    a_sample = (task.prompt_width(length) + task.chain_width(length)) * len(module.architecture.vocabulary)
    a_pass = max(1, min(LOGITS_A_PASS // a_sample, MAX_TOKENS // a_sample, num_samples))
    engine = TorchEngine(module)
    taught, generated = Score(), Score()
    for start in range(0, num_samples, a_pass):
        examples = task.sample(random, length, min(a_pass, num_samples - start)).renumber(ids)
        layout = lay_out(task, examples, config.setting, length)
        taught += score_taught(layout, say(module, layout))
        count = min(len(examples), num_generated - start)
        if count > 0:
            generated += _generate(model, examples.select(np.arange(count)), length, engine)
    return taught, generated


def _generate(model: Model, examples: Examples, length: int, engine: TorchEngine) -> Score:
    score = Score()
    for rows in examples.blocks(len(examples)):
        block = examples.select(rows)
        score += Score(samples=len(rows)) + score_generation(model, block, length, engine)
    return score
