"""Answers counted by groups of samples."""

from __future__ import annotations

import numpy as np
from tests.task_models import exact_parity, random_model

from serialformer.tasks.registry import make_task
from serialformer.training.measure import count_by_group, measure
from serialformer.transformer.module import TransformerModule


def test_groups_add_up_to_the_score() -> None:
    model = random_model(make_task("parity"), 6, setting="base")
    counts = count_by_group(
        model,
        np.random.default_rng(0),
        lambda examples: (examples.prompts[:, 0] % 3).astype(np.int64),
        num_groups=4,
        num_samples=1000,
        per_draw=1000,
    )
    assert counts[:, 0].sum() == 1000 and counts[3].tolist() == [0, 0] and (counts[:, 1] <= counts[:, 0]).all()
    module = TransformerModule(model.transformer.architecture)
    module.load(model.transformer)
    score, _ = measure(module, model, np.random.default_rng(0), 1000, 0)
    assert counts[:, 1].sum() == score.counts["answers"] > 0


def test_a_right_model_is_right_in_every_group() -> None:
    counts = count_by_group(
        exact_parity(5),
        np.random.default_rng(0),
        lambda examples: np.zeros(len(examples.prompts), dtype=np.int64),
        num_groups=1,
        num_samples=64,
        per_draw=64,
    )
    assert counts.tolist() == [[64, 64]]
