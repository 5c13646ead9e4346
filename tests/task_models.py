"""Small transformers of tasks: random ones, and one made by hand that is exact."""

from __future__ import annotations

import numpy as np

from serialformer.architecture import Architecture
from serialformer.task_model import TaskModel
from serialformer.tasks.layout import num_positions
from serialformer.tasks.task import Task
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer


def task_architecture(
    task: Task, length: int, setting: str, *, width: int = 16, num_heads: int = 2, extra: tuple[str, ...] = ()
) -> Architecture:
    vocabulary = (*extra, *task.vocabulary(length))
    return Architecture(
        vocabulary=vocabulary,
        num_positions=num_positions(task, setting, length),
        width=width,
        num_layers=1,
        num_heads=num_heads,
        hidden_width=2 * width,
        activation="gelu_new",
        norm_epsilon=1e-5,
        end_token=vocabulary.index("="),
        dtype="float32",
    )


def random_transformer(architecture: Architecture, seed: int) -> Transformer:
    """Weights of no meaning, large enough for the logits to differ."""
    random = np.random.default_rng(seed)
    weights = {
        name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in weight_shapes(architecture).items()
    }
    return weights_to_transformer(architecture, weights)


def random_model(
    task: Task, length: int, setting: str = "cot", *, seed: int = 0, extra: tuple[str, ...] = ()
) -> TaskModel:
    architecture = task_architecture(task, length, setting, extra=extra)
    return TaskModel(transformer=random_transformer(architecture, seed), task=task, length=length, setting=setting)
