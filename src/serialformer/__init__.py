"""serialformer: Boolean circuits as stock GPT-2s and Llamas that evaluate them exactly, by chain of thought."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serialformer.architecture import Shape
    from serialformer.bounds.bound import bound
    from serialformer.bounds.unbounded import UnboundedCircuit
    from serialformer.circuits.builder import CircuitBuilder
    from serialformer.circuits.circuit import Circuit
    from serialformer.circuits.formats.read_write import read, read_sequential, write
    from serialformer.circuits.function.calls import concat
    from serialformer.circuits.function.decorator import CircuitFunction, circuit
    from serialformer.circuits.function.types import I8, I16, I32, I64, U1, U8, U16, U32, U64, Array, Bits, I, U
    from serialformer.circuits.mapping.optimisation import Optimisation
    from serialformer.circuits.mapping.optimise import optimise
    from serialformer.circuits.sequential.sequential import SequentialCircuit
    from serialformer.circuits.words import Word
    from serialformer.errors import SerialformerError
    from serialformer.explorer.explore import explore
    from serialformer.figures.plot_files import plot
    from serialformer.models.circuit_prompt import CircuitPrompt
    from serialformer.models.circuit_words import CircuitWords
    from serialformer.models.compile import compile
    from serialformer.models.construct import construct, construct_evaluator
    from serialformer.models.cycles import CycleRun, run_cycles
    from serialformer.models.evaluate import Evaluation, evaluate
    from serialformer.models.info import info
    from serialformer.models.load import load
    from serialformer.models.model import Model
    from serialformer.models.prove import certify, decompile
    from serialformer.models.rotate import rotate
    from serialformer.models.tables import run_table
    from serialformer.models.task_items import TaskItems
    from serialformer.models.trace import trace_lines
    from serialformer.models.transcript import Transcript
    from serialformer.models.verify import Verification, verify
    from serialformer.proofs.certificate import Certificate
    from serialformer.sweeps.merge import merge_stores
    from serialformer.sweeps.sweep import sweep
    from serialformer.tasks.registry import make_task
    from serialformer.tasks.task import Task
    from serialformer.training.start import configure, train

__version__ = "0.2.0"

_NAMES_OF_MODULES = {
    "serialformer.architecture": "Shape",
    "serialformer.bounds.bound": "bound",
    "serialformer.bounds.unbounded": "UnboundedCircuit",
    "serialformer.circuits.builder": "CircuitBuilder",
    "serialformer.circuits.circuit": "Circuit",
    "serialformer.circuits.formats.read_write": "read read_sequential write",
    "serialformer.circuits.function.calls": "concat",
    "serialformer.circuits.function.decorator": "CircuitFunction circuit",
    "serialformer.circuits.function.types": "I8 I16 I32 I64 U1 U8 U16 U32 U64 Array Bits I U",
    "serialformer.circuits.mapping.optimisation": "Optimisation",
    "serialformer.circuits.mapping.optimise": "optimise",
    "serialformer.circuits.sequential.sequential": "SequentialCircuit",
    "serialformer.circuits.words": "Word",
    "serialformer.errors": "SerialformerError",
    "serialformer.explorer.explore": "explore",
    "serialformer.figures.plot_files": "plot",
    "serialformer.models.circuit_prompt": "CircuitPrompt",
    "serialformer.models.circuit_words": "CircuitWords",
    "serialformer.models.compile": "compile",
    "serialformer.models.construct": "construct construct_evaluator",
    "serialformer.models.cycles": "CycleRun run_cycles",
    "serialformer.models.evaluate": "Evaluation evaluate",
    "serialformer.models.info": "info",
    "serialformer.models.load": "load",
    "serialformer.models.model": "Model",
    "serialformer.models.prove": "certify decompile",
    "serialformer.models.rotate": "rotate",
    "serialformer.models.tables": "run_table",
    "serialformer.models.task_items": "TaskItems",
    "serialformer.models.trace": "trace_lines",
    "serialformer.models.transcript": "Transcript",
    "serialformer.models.verify": "Verification verify",
    "serialformer.proofs.certificate": "Certificate",
    "serialformer.sweeps.merge": "merge_stores",
    "serialformer.sweeps.sweep": "sweep",
    "serialformer.tasks.registry": "make_task",
    "serialformer.tasks.task": "Task",
    "serialformer.training.start": "configure train",
}
"""The public names, by the modules that hold them, which are imported when one of their names is first asked for."""

_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF_NAME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF_NAME})


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
    "Shape",
    "Task",
    "TaskItems",
    "Transcript",
    "U",
    "UnboundedCircuit",
    "Verification",
    "Word",
    "bound",
    "certify",
    "circuit",
    "compile",
    "concat",
    "configure",
    "construct",
    "construct_evaluator",
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
    "rotate",
    "run_cycles",
    "run_table",
    "sweep",
    "trace_lines",
    "train",
    "verify",
    "write",
]
