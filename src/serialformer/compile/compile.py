"""The compiler: a circuit becomes a transformer. Each pass is a pure function; this page is their order."""

from __future__ import annotations

from dataclasses import dataclass

from serialformer.architecture import Activation, DtypeName
from serialformer.circuits.circuit import Circuit
from serialformer.compile.lowering import default_attention_gap, program_to_gpt2
from serialformer.compile.margins import Margins, measure_margins
from serialformer.compile.program import Program, schedule_to_program
from serialformer.compile.residual import Residual
from serialformer.compile.schedule import Schedule, schedule_chain
from serialformer.transformer.transformer import Transformer


@dataclass(frozen=True, kw_only=True, eq=False)
class Compiled:
    """A transformer and how it came about: a wire can be followed from gate to token to direction."""

    circuit: Circuit
    schedule: Schedule
    program: Program
    residual: Residual
    transformer: Transformer
    margins: Margins


def compile_circuit(
    circuit: Circuit,
    *,
    dtype: DtypeName = "float32",
    activation: Activation = "gelu_new",
    attention_gap: float | None = None,
) -> Compiled:
    """Compiles a circuit into a one-layer GPT-2 that evaluates it gate by gate.

    Args:
        circuit: what to compute.
        dtype: number format of the weights; the result holds for runtimes that compute in it or in a wider one.
        activation: ``gelu_new`` is what stock GPT-2 has; ``relu`` is the paper's. The weights are the same.
        attention_gap: the least score difference to aim at; default: 40, more for very long chains.

    Raises:
        CompileError: it would not hold at this number format and gap, or has too many positions.
    """
    schedule = schedule_chain(circuit)
    program = schedule_to_program(circuit, schedule)
    gap = default_attention_gap(program.num_positions) if attention_gap is None else attention_gap
    transformer, residual = program_to_gpt2(program, dtype=dtype, activation=activation, attention_gap=gap)
    return Compiled(
        circuit=circuit,
        schedule=schedule,
        program=program,
        residual=residual,
        transformer=transformer,
        margins=measure_margins(transformer, residual, program),
    )
