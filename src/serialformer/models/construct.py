"""Construction: a task becomes a model of it that was never trained."""

from __future__ import annotations

from serialformer.architecture import Activation, DtypeName
from serialformer.errors import CompileError
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.lower import lower_evaluator, lower_task
from serialformer.models.model import Model
from serialformer.models.protocol import Protocol
from serialformer.models.provenance import ConstructedProvenance
from serialformer.models.task_items import TaskItems
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import Task


def construct(
    task: Task | str,
    length: int,
    *,
    setting: str = "cot",
    dtype: DtypeName = "float32",
    activation: Activation = "gelu_new",
) -> Model:
    """A model that is right on every prompt of a task at one length.

    Args:
        task: a task, or the name of one whose parameters are to be the default ones. Of ``circuit-value`` it makes the
            evaluator, which takes every circuit of up to ``length`` gates: ``model.run(circuit, a=1)``.
        length: the number of items; of squarings, and of gates, the most.
        setting: what it reads and says; there are constructions for ``cot``.
        dtype: number format of the weights; the result holds for runtimes that compute in it or in a wider one.
        activation: ``gelu_new`` is what stock GPT-2 has; ``relu`` takes the same weights.

    Raises:
        CompileError: the task or the setting has no construction, it would be too large, or not hold at this number
            format.
        TaskError: there is no such task, or it has no such length.

    >>> construct("modular-addition", 3).run("3 5 6").made
    ('3', '1', '0')
    >>> construct("circuit-value", 8).run("TRUE NA NA 1 NOT 1 NA 2").text
    'TRUE NA NA 1 NOT 1 NA 2 = TRUE NA NA TRUE NOT TRUE NA FALSE'
    """
    made = make_task(task) if isinstance(task, str) else task
    if setting != "cot":
        raise CompileError(f"no construction for the setting {setting!r}", hint="there are constructions for cot")
    protocol: Protocol
    if isinstance(made, CircuitValue):
        lowered = lower_evaluator(length, dtype=dtype, activation=activation)
        protocol = CircuitPrompt(num_gates=length)
    else:
        lowered = lower_task(made, length, dtype=dtype, activation=activation)
        protocol = TaskItems(task=made, length=length, setting=setting)
    return Model(
        transformer=lowered.transformer,
        protocol=protocol,
        provenance=ConstructedProvenance(
            construction=lowered.construction.name,
            num_hidden_units=lowered.construction.num_units,
            names=lowered.names,
        ),
        proof=lowered.certificate,
    )
