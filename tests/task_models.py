"""Small models of tasks: random ones, and an exact one made of a lowered circuit."""

from __future__ import annotations

import numpy as np

from serialformer import CircuitBuilder
from serialformer.architecture import Architecture
from serialformer.models.lower import lower_circuit
from serialformer.models.model import Model
from serialformer.models.provenance import Provenance
from serialformer.models.task_items import TaskItems
from serialformer.tasks.layout import num_positions
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import Task
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer


def task_architecture(task: Task, length: int, setting: str, *, extra: tuple[str, ...] = ()) -> Architecture:
    """A width of 16 and two heads; the tokens ``extra`` come before the task's."""
    vocabulary = (*extra, *task.vocabulary(length))
    return Architecture(
        vocabulary=vocabulary,
        num_positions=num_positions(task, setting, length),
        width=16,
        num_layers=1,
        num_heads=2,
        hidden_width=32,
        activation="gelu_new",
        norm_epsilon=1e-5,
        end_token=vocabulary.index("="),
        dtype="float32",
    )


def random_transformer(architecture: Architecture, seed: int) -> Transformer:
    """Weights without a meaning, large enough for what is said to depend on what is read."""
    random = np.random.default_rng(seed)
    weights = {
        name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in weight_shapes(architecture).items()
    }
    return weights_to_transformer(architecture, weights)


def random_model(task: Task, length: int, setting: str = "cot", *, seed: int = 0, extra: tuple[str, ...] = ()) -> Model:
    """A model that knows nothing."""
    transformer = random_transformer(task_architecture(task, length, setting, extra=extra), seed)
    return Model(transformer=transformer, protocol=TaskItems(task=task, length=length, setting=setting))


def exact_parity(length: int) -> Model:
    """The circuit whose outputs are the parities of 1, 2, ... of its inputs: its chain is the task's."""
    build = CircuitBuilder()
    bits = build.inputs("bits", length)
    parities = [bits[0]]
    for bit in bits[1:]:
        parities.append(build.xor(parities[-1], bit))
    build.outputs("parities", parities)
    lowered = lower_circuit(build.circuit())
    return Model(
        transformer=lowered.transformer,
        protocol=TaskItems(task=make_task("parity"), length=length),
        provenance=Provenance(note="made from a circuit"),
    )
