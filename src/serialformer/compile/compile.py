"""The compiler: a circuit becomes a transformer. Each pass is a pure function; this page is their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from serialformer.architecture import Activation, DtypeName
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.passes import split_gates
from serialformer.compile.lowering import default_attention_gap, program_to_gpt2
from serialformer.compile.paper import PaperResidual, program_to_paper
from serialformer.compile.program import Program, schedule_to_program
from serialformer.compile.residual import Residual
from serialformer.compile.schedule import Schedule, schedule_chain
from serialformer.errors import CompileError
from serialformer.proofs.certificate import Certificate
from serialformer.transformer.transformer import Transformer

Target = Literal["gpt2", "paper"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Compiled:
    """A transformer and how it came about: a wire can be followed from gate to token to direction.

    ``circuit`` is what the chain computes gate by gate: the circuit given, its wide gates split if the target asks.
    """

    circuit: Circuit
    schedule: Schedule
    program: Program
    residual: Residual | PaperResidual
    transformer: Transformer
    certificate: Certificate


def compile_circuit(
    circuit: Circuit,
    *,
    target: Target = "gpt2",
    dtype: DtypeName | None = None,
    activation: Activation | None = None,
    attention_gap: float | None = None,
    precision: int | None = None,
) -> Compiled:
    """Compiles a circuit into a one-layer transformer that evaluates it gate by gate, and proves that it does.

    Args:
        circuit: what to compute.
        target: ``gpt2`` is a stock GPT-2; ``paper`` the transformer of arXiv 2402.12875, every operation rounded.
        dtype: gpt2 only: number format of the weights, default float32; the result holds for runtimes that compute in
            it or in a wider one.
        activation: gpt2 only: ``gelu_new``, the default, is what stock GPT-2 has; ``relu`` takes the same weights.
        attention_gap: gpt2 only: the least score difference to aim at; default: 40, more for very long chains.
        precision: paper only: s of its arithmetic F_s, default 1.

    Raises:
        CompileError: it would not hold at this number format and gap, or has too many positions; or an option is the
            other target's.
    """
    _check_options(target, {"dtype": dtype, "activation": activation, "attention_gap": attention_gap}, precision)
    circuit = split_gates(circuit) if target == "paper" else circuit
    schedule = schedule_chain(circuit)
    program = schedule_to_program(circuit, schedule)
    residual: Residual | PaperResidual
    if target == "paper":
        transformer, residual = program_to_paper(program, precision=1 if precision is None else precision)
    else:
        transformer, residual = program_to_gpt2(
            program,
            dtype=dtype or "float32",
            activation=activation or "gelu_new",
            attention_gap=default_attention_gap(program.num_positions) if attention_gap is None else attention_gap,
        )
    return Compiled(
        circuit=circuit,
        schedule=schedule,
        program=program,
        residual=residual,
        transformer=transformer,
        certificate=certify_program(transformer, program),
    )


def certify_program(transformer: Transformer, program: Program) -> Certificate:
    """Proves from the weights that a transformer runs a program.

    Raises:
        CompileError: it would not, in the number format of its weights; says where it breaks first.
    """
    from serialformer.proofs.prove import certify_chain

    certificate = certify_chain(
        transformer, num_inputs=program.num_inputs, reads=program.reads, arity=program.arity, table=program.table
    )
    if not certificate.holds:
        is_float = transformer.architecture.arithmetic is None
        number_format = certificate.arithmetic["storage" if is_float else "format"]
        raise CompileError(
            f"in {number_format} it would not hold: {certificate.failure}",
            hint="ask for another attention gap or another dtype" if is_float else None,
        )
    return certificate


def _check_options(target: str, of_gpt2: dict[str, object], precision: int | None) -> None:
    if target not in ("gpt2", "paper"):
        raise CompileError(f"no target {target!r}", hint="gpt2 or paper")
    foreign = [name for name, value in of_gpt2.items() if value is not None]
    if target == "paper" and foreign:
        raise CompileError(f"{', '.join(foreign)} for target paper", hint="its arithmetic is set by precision alone")
    if target == "gpt2" and precision is not None:
        raise CompileError("precision for target gpt2", hint="it has dtype; target paper has precision")
