"""Proofs about models: certificates of checkpoints, and circuits read back out of them."""

from __future__ import annotations

from serialformer.architecture import DtypeName
from serialformer.circuits.circuit import Circuit
from serialformer.compile.program import schedule_to_program
from serialformer.errors import SerialformerError
from serialformer.model import Model
from serialformer.proofs.certificate import Certificate
from serialformer.transformer.transformer import cast_transformer


def certify(model: Model, *, dtype: DtypeName | None = None) -> Certificate:
    """Proves from the weights that a model's chain is what its circuit says, for every prompt and any order of sums.

    Args:
        model: a compiled model.
        dtype: the number format that it is to be loaded in; that of its weights unless told otherwise.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> from serialformer.model import compile_model
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> certificate = certify(compile_model(build.circuit()), dtype="bfloat16")
    >>> certificate.holds, certificate.arithmetic["storage"]
    (True, 'bfloat16')
    """
    from serialformer.proofs.prove import certify_chain

    transformer = model.transformer
    if dtype is not None and dtype != transformer.architecture.dtype:
        if transformer.architecture.arithmetic is not None:
            raise SerialformerError("its arithmetic is its own", hint="it cannot be loaded in another dtype")
        transformer = cast_transformer(transformer, dtype)
    program = schedule_to_program(model.circuit, model.schedule)
    return certify_chain(
        transformer, num_inputs=program.num_inputs, reads=program.reads, arity=program.arity, table=program.table
    )


def decompile(model: Model) -> Circuit:
    """The circuit that a model evaluates, read out of its weights; only names come from what lies beside them.

    A chain token that copies an earlier one is a wire, not a gate.

    Raises:
        CheckpointError: the weights cannot be read; says where and why.
    """
    from serialformer.proofs.decompile import decompile_chain

    names = model.circuit.gate_names
    gates = model.schedule.gate.tolist()
    return decompile_chain(
        model.transformer,
        num_inputs=model.manifest.num_inputs,
        num_chain_tokens=model.manifest.num_chain_tokens,
        num_outputs=model.manifest.num_outputs,
        input_words=model.inputs,
        output_words=model.outputs,
        token_names=[names[gate] if gate >= 0 else "" for gate in gates] if len(names) else None,
    )
