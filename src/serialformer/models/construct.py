"""Construction: a task becomes a model of it that was never trained."""

from __future__ import annotations

from serialformer.architecture import Activation, DtypeName, Shape
from serialformer.constructions.task_depth import Method, default_method
from serialformer.errors import CompileError
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.lower import (
    Lowered,
    Target,
    lower_evaluator,
    lower_task,
    lower_task_to_llama,
    lower_task_without_chain,
    lower_task_without_chain_to_llama,
)
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
    depth: int | None = None,
    by: Method | None = None,
    dtype: DtypeName = "float32",
    activation: Activation = "gelu_new",
    target: Target = "gpt2",
    shape: Shape | None = None,
) -> Model:
    """A model that is right on every prompt of a task at one length.

    Args:
        task: a task, or the name of one whose parameters are to be the default ones. Of ``circuit-value`` it makes the
            evaluator, which takes every circuit of up to ``length`` gates: ``model.run(circuit, a=1)``.
        length: the number of items; of squarings, and of gates, the most.
        setting: ``cot``: it writes a chain of thought, with one layer (the evaluator with three); ``base``: it answers
            at once, with as many layers as that takes.
        depth: with ``base``: how many layers; by default as many as every prompt needs. With fewer it is right on
            shallow prompts, and the certificate says what it answers.
        by: with ``base``, of a task whose answer depends on the sum of its items: ``counting``, in one layer while
            precision carries it, or ``doubling``, in log n layers. By default majority counts, unless a depth is given.
        dtype: number format of the weights; the result holds for runtimes that compute in it or in a wider one.
        activation: gpt2 only: ``gelu_new`` is what stock GPT-2 has; ``relu`` takes the same weights.
        target: ``gpt2``; or ``llama``, with a chain for tasks whose prompts of one length have one layout.
        shape: llama only: what is chosen of the transformer's shape.

    Raises:
        CompileError: the task or the setting has no construction, it would be too large, or not hold at this number
            format.
        TaskError: there is no such task, or it has no such length.

    >>> construct("modular-addition", 3).run("3 5 6").made
    ('3', '1', '0')
    >>> construct("circuit-value", 8).run("TRUE NA NA 1 NOT 1 NA 2").text
    'TRUE NA NA 1 NOT 1 NA 2 = TRUE NA NA TRUE NOT TRUE NA FALSE'
    >>> construct("circuit-value", 8, setting="base", depth=3).run("TRUE NA NA 1 NOT 1 NA 2").made
    ('FALSE',)
    >>> construct("modular-addition", 3, target="llama").run("3 5 6").made
    ('3', '1', '0')
    """
    made = make_task(task) if isinstance(task, str) else task
    if setting not in ("cot", "base"):
        raise CompileError(
            f"no construction for the setting {setting!r}", hint="there are constructions for cot and base"
        )
    if depth is not None and setting != "base":
        raise CompileError("a depth (--depth) requires the setting base", hint="with a chain it is given")
    if by not in (None, "counting", "doubling"):
        raise CompileError(f"no way {by!r} to make a sum", hint="counting or doubling")
    if by is not None and setting != "base":
        raise CompileError("a way to make sums (--by) requires the setting base", hint="with a chain it is given")
    if target != "gpt2" or (shape is not None and shape.chosen):
        return _construct_llama(
            made, length, setting, target, dtype, activation, shape, depth=depth, method=by or "doubling"
        )
    if setting == "base":
        method = by or default_method(made, depth)
        lowered = lower_task_without_chain(made, length, depth, method=method, dtype=dtype, activation=activation)
        protocol = TaskItems(task=made, length=length, setting=setting)
    elif isinstance(made, CircuitValue):
        return construct_evaluator(length, dtype=dtype, activation=activation)
    else:
        lowered = lower_task(made, length, dtype=dtype, activation=activation)
        protocol = TaskItems(task=made, length=length, setting=setting)
    return _model(lowered, protocol)


def _construct_llama(
    task: Task,
    length: int,
    setting: str,
    target: Target,
    dtype: DtypeName,
    activation: Activation,
    shape: Shape | None,
    *,
    depth: int | None,
    method: Method,
) -> Model:
    if target == "gpt2":
        assert shape is not None
        raise CompileError(
            f"target gpt2 has no {' and no '.join(shape.chosen)} for a task", hint="--target llama, or leave it out"
        )
    if target != "llama":
        raise CompileError(
            f"no construction of tasks for the target {target!r}",
            hint="gpt2 takes every task that has a construction, llama those whose prompts have one layout",
        )
    if activation != "gelu_new":
        raise CompileError("target llama has no activation", hint="activation requires target gpt2")
    if isinstance(task, CircuitValue) and setting == "cot":
        raise CompileError(
            "circuit-value takes circuits of any size, so that a token of a Llama cannot say where it stands",
            hint="--target gpt2 takes it; compile CIRCUIT --target llama makes a Llama of one circuit",
        )
    if setting == "base":
        lowered, placed = lower_task_without_chain_to_llama(
            task, length, depth, method=method, dtype=dtype, shape=shape
        )
    else:
        lowered, placed = lower_task_to_llama(task, length, dtype=dtype, shape=shape)
    return _model(lowered, TaskItems(task=task, length=length, setting=setting, placed=placed))


def construct_evaluator(
    num_gates: int,
    *,
    setting: str = "cot",
    depth: int | None = None,
    dtype: DtypeName = "float32",
    activation: Activation = "gelu_new",
) -> Model:
    """One model that evaluates every circuit of up to M gates, given in the prompt.

    Args:
        num_gates: the most gates of a circuit, once it is constants, AND, OR and NOT.
        setting: ``cot``: it writes the value of each gate, with three layers, whatever the circuit's depth; ``base``:
            it answers at once, with a pass for each output.
        depth: with ``base``: how many layers; circuits may be as deep, constants being on level 1. By default
            ``num_gates``, which is enough for any circuit.
        dtype: as in ``construct``, like ``activation``.
        activation: of the hidden units.

    Raises:
        CompileError: it would be too large, or not hold at this number format; or there is no such setting.

    >>> from serialformer import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> construct_evaluator(8, setting="base", depth=4).run(build.circuit(), a=0b01).outputs
    {'odd': 1}
    """
    if setting not in ("cot", "base"):
        raise CompileError(f"no evaluator for the setting {setting!r}", hint="there are evaluators for cot and base")
    if setting == "base":
        lowered = lower_task_without_chain(CircuitValue(), num_gates, depth, dtype=dtype, activation=activation)
    elif depth is not None:
        raise CompileError("a depth (--depth) requires the setting base", hint="with a chain it is given")
    else:
        lowered = lower_evaluator(num_gates, dtype=dtype, activation=activation)
    return _model(lowered, CircuitPrompt(num_gates=num_gates, setting=setting))


def _model(lowered: Lowered, protocol: Protocol) -> Model:
    """What was lowered, with what it can be asked."""
    return Model(
        transformer=lowered.transformer,
        protocol=protocol,
        provenance=ConstructedProvenance(
            construction=lowered.construction.name,
            num_hidden_units=lowered.num_hidden_units,
            names=lowered.names,
        ),
        proof=lowered.certificate,
    )
