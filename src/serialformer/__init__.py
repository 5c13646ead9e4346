"""serialformer: Boolean circuits as stock GPT-2 checkpoints that evaluate them, exactly, by chain of thought."""

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.read_write import read, read_sequential, write
from serialformer.circuits.function.calls import concat
from serialformer.circuits.function.decorator import CircuitFunction, circuit
from serialformer.circuits.function.types import I8, I16, I32, I64, U1, U8, U16, U32, U64, Array, Bits, I, U
from serialformer.circuits.mapping.optimise import Optimisation, optimise
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.circuits.words import Word
from serialformer.decode.transcript import Transcript
from serialformer.errors import SerialformerError
from serialformer.evaluator_model import EvaluatorModel, load_evaluator, make_evaluator
from serialformer.model import Model, load
from serialformer.model import compile_model as compile
from serialformer.proof import certify, decompile
from serialformer.proofs.certificate import Certificate
from serialformer.trace import trace_lines
from serialformer.verify import Verification, verify

__version__ = "0.1.0"

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
    "EvaluatorModel",
    "I",
    "Model",
    "Optimisation",
    "SequentialCircuit",
    "SerialformerError",
    "Transcript",
    "U",
    "Verification",
    "Word",
    "certify",
    "circuit",
    "compile",
    "concat",
    "decompile",
    "load",
    "load_evaluator",
    "make_evaluator",
    "optimise",
    "read",
    "read_sequential",
    "trace_lines",
    "verify",
    "write",
]
