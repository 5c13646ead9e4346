"""serialformer: Boolean circuits as stock GPT-2 checkpoints that evaluate them, exactly, by chain of thought."""

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats import read, write
from serialformer.circuits.words import Word
from serialformer.decode.transcript import Transcript
from serialformer.errors import SerialformerError
from serialformer.model import Model, load
from serialformer.model import compile_model as compile
from serialformer.trace import trace_lines
from serialformer.verify import Verification, verify

__version__ = "0.1.0"

__all__ = [
    "Circuit",
    "CircuitBuilder",
    "Model",
    "SerialformerError",
    "Transcript",
    "Verification",
    "Word",
    "compile",
    "load",
    "read",
    "trace_lines",
    "verify",
    "write",
]
