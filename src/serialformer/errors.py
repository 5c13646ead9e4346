"""Every error that serialformer raises for a mistake of its user."""

from __future__ import annotations


class SerialformerError(ValueError):
    """A mistake in what the user gave: says where, what was expected, what came, and what to do.

    Args:
        message: what was expected and what came, in one sentence.
        where: the place of the mistake, ``file:line`` or a path; put in front of the message.
        hint: what to do about it; put on a line of its own.

    >>> print(SerialformerError("expected 3 numbers, found 2", where="adder.txt:1", hint="check the header"))
    adder.txt:1: expected 3 numbers, found 2
    hint: check the header
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.message = message
        self.where = where
        self.hint = hint
        text = message if where is None else f"{where}: {message}"
        super().__init__(text if hint is None else f"{text}\nhint: {hint}")


class FormatError(SerialformerError):
    """A file is not what its format asks for."""


class CircuitError(SerialformerError):
    """Arrays or words that do not make up a circuit."""


class InputError(SerialformerError):
    """A value given to a circuit or a model that does not fit its words."""


class CompileError(SerialformerError):
    """A transformer that would not hold at the asked precision or size; nothing is written."""


class CheckpointError(SerialformerError):
    """A directory that is not a checkpoint, or cannot be written."""


class EngineError(SerialformerError):
    """A decoding engine that is not installed or does not take this model."""


class TraceError(SerialformerError):
    """A Python function that cannot be made a circuit; says at which of its lines."""


class TaskError(SerialformerError):
    """A task, parameter, length or prompt that does not exist or does not fit."""


class ArithmeticRangeError(SerialformerError):
    """A number format that does not exist, or an operation that has no result in it: a division by zero."""


class ToolError(SerialformerError):
    """A program that this needs (Yosys, ABC) is not installed, or has failed."""


class TrainingError(SerialformerError):
    """A training run that is not possible, or whose directory is not one."""


class SweepError(SerialformerError):
    """A sweep that is not possible, a recipe that is none, or a store that cannot be read or written."""


class FigureError(SerialformerError):
    """A figure that cannot be drawn: nothing to show, a kind that is none, or matplotlib is not installed."""
