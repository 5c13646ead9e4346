"""Construction: a task becomes a model of it that was never trained."""

from __future__ import annotations

from dataclasses import asdict

from serialformer.architecture import Activation, DtypeName
from serialformer.compile.construct import construct_task
from serialformer.compile.evaluator import construct_evaluator
from serialformer.compile.evaluator_units import answer_units
from serialformer.compile.naming import blueprint_names, evaluator_names
from serialformer.errors import CompileError
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.model import Model
from serialformer.models.provenance import ConstructedProvenance, Margins
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
    if isinstance(made, CircuitValue):
        return _construct_evaluator(length, dtype, activation)
    construction = construct_task(made, length, dtype=dtype, activation=activation)
    return Model(
        transformer=construction.transformer,
        protocol=TaskItems(task=made, length=length, setting=setting),
        provenance=ConstructedProvenance(
            construction=construction.blueprint.name,
            num_hidden_units=construction.blueprint.num_units,
            margins=Margins(**asdict(construction.margins)),
            names=blueprint_names(construction.blueprint, construction.transformer.architecture),
        ),
    )


def _construct_evaluator(num_gates: int, dtype: DtypeName, activation: Activation) -> Model:
    """The model of the task circuit-value, whose prompt is a circuit."""
    evaluator = construct_evaluator(num_gates, dtype=dtype, activation=activation)
    layout = evaluator.layout
    num_units = sum(modulus**2 for modulus in layout.moduli) + len(list(answer_units(layout)))
    return Model(
        transformer=evaluator.transformer,
        protocol=CircuitPrompt(num_gates=num_gates),
        provenance=ConstructedProvenance(
            construction="evaluator",
            num_hidden_units=num_units,
            margins=Margins(**asdict(evaluator.margins)),
            names=evaluator_names(layout, evaluator.transformer.architecture),
        ),
    )
