"""serialformer: Boolean circuits as stock GPT-2 checkpoints that evaluate them, exactly, by chain of thought."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.read_write import read, read_sequential, write
from serialformer.circuits.function.calls import concat
from serialformer.circuits.function.decorator import CircuitFunction, circuit
from serialformer.circuits.function.types import I8, I16, I32, I64, U1, U8, U16, U32, U64, Array, Bits, I, U
from serialformer.circuits.mapping.optimise import Optimisation, optimise
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.circuits.words import Word
from serialformer.errors import SerialformerError
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.compile import compile
from serialformer.models.construct import construct
from serialformer.models.cycles import CycleRun, run_cycles
from serialformer.models.evaluate import Evaluation, evaluate
from serialformer.models.info import info
from serialformer.models.load import load
from serialformer.models.model import Model
from serialformer.models.prove import certify, decompile
from serialformer.models.tables import run_table
from serialformer.models.task_items import TaskItems
from serialformer.models.trace import trace_lines
from serialformer.models.transcript import Transcript
from serialformer.models.verify import Verification, verify
from serialformer.proofs.certificate import Certificate
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import Task

if TYPE_CHECKING:
    from serialformer.explorer.explore import explore
    from serialformer.figures.plot_files import plot
    from serialformer.sweeps.merge import merge_stores
    from serialformer.sweeps.sweep import sweep
    from serialformer.training.start import configure, train

__version__ = "0.1.0"

_LATER = {
    "configure": "serialformer.training.start",
    "explore": "serialformer.explorer.explore",
    "merge_stores": "serialformer.sweeps.merge",
    "plot": "serialformer.figures.plot_files",
    "sweep": "serialformer.sweeps.sweep",
    "train": "serialformer.training.start",
}
"""Public functions that are imported when they are first asked for, and their modules: most programs need none."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


__all__ = [
    "I8",
    "I16",
    "I32",
    "I64",
    "U1",
    "U8",
    "U16",
    "U32",
    "U64",
    "Array",
    "Bits",
    "Certificate",
    "Circuit",
    "CircuitBuilder",
    "CircuitFunction",
    "CircuitPrompt",
    "CircuitWords",
    "CycleRun",
    "Evaluation",
    "I",
    "Model",
    "Optimisation",
    "SequentialCircuit",
    "SerialformerError",
    "Task",
    "TaskItems",
    "Transcript",
    "U",
    "Verification",
    "Word",
    "certify",
    "circuit",
    "compile",
    "concat",
    "configure",
    "construct",
    "decompile",
    "evaluate",
    "explore",
    "info",
    "load",
    "make_task",
    "merge_stores",
    "optimise",
    "plot",
    "read",
    "read_sequential",
    "run_cycles",
    "run_table",
    "sweep",
    "trace_lines",
    "train",
    "verify",
    "write",
]
