"""Construction: a task becomes a model of it, compiled and not trained."""

from __future__ import annotations

from serialformer.architecture import Activation, DtypeName
from serialformer.compile.construct import construct_task
from serialformer.task_model import TaskModel
from serialformer.tasks.task import Task


def construct_model(
    task: Task, length: int, *, dtype: DtypeName = "float32", activation: Activation = "gelu_new"
) -> TaskModel:
    """A model that is right on every prompt of a task at one length. See ``construct_task`` for the options.

    Raises:
        CompileError: the task has no construction, it would be too large, or not hold at this number format.
        TaskError: the task has no such length.

    >>> from serialformer.tasks.registry import make_task
    >>> construct_model(make_task("modular-addition"), 3).run_text("3 5 6").made
    ('3', '1', '0')
    """
    construction = construct_task(task, length, dtype=dtype, activation=activation)
    return TaskModel(transformer=construction.transformer, task=task, length=length, details=construction.details())
