"""Proofs about models: certificates of checkpoints, and circuits read back out of them."""

from __future__ import annotations

from serialformer.architecture import DtypeName
from serialformer.circuits.circuit import Circuit
from serialformer.compile.program import schedule_to_program
from serialformer.errors import SerialformerError
from serialformer.models.model import Model
from serialformer.proofs.certificate import Certificate
from serialformer.transformer.transformer import cast_transformer


def certify(model: Model, *, dtype: DtypeName | None = None) -> Certificate:
    """Proves from the weights that a model's chain is what its circuit says, for every prompt and any order of sums.

    Args:
        model: a compiled model.
        dtype: the number format that it is to be loaded in; that of its weights unless told otherwise.

    Raises:
        InputError: the model is no compiled circuit.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> from serialformer import compile
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> certificate = certify(compile(build.circuit()), dtype="bfloat16")
    >>> certificate.holds, certificate.arithmetic["storage"]
    (True, 'bfloat16')
    """
    from serialformer.proofs.prove import certify_chain

    words, transformer = model.words, model.transformer
    if dtype is not None and dtype != transformer.architecture.dtype:
        if transformer.architecture.arithmetic is not None:
            raise SerialformerError("its arithmetic is its own", hint="it cannot be loaded in another dtype")
        transformer = cast_transformer(transformer, dtype)
    program = schedule_to_program(words.circuit, words.schedule)
    return certify_chain(
        transformer, num_inputs=program.num_inputs, reads=program.reads, arity=program.arity, table=program.table
    )


def decompile(model: Model) -> Circuit:
    """The circuit that a model evaluates, read out of its weights; only names come from what lies beside them.

    A chain token that copies an earlier one is a wire, not a gate.

    Raises:
        InputError: the model is no compiled circuit.
        CheckpointError: the weights cannot be read; says where and why.
    """
    from serialformer.proofs.decompile import decompile_chain

    words = model.words
    names, gates = words.circuit.gate_names, words.schedule.gate.tolist()
    return decompile_chain(
        model.transformer,
        num_inputs=words.num_inputs,
        num_chain_tokens=words.num_chain_tokens,
        num_outputs=words.num_outputs,
        input_words=words.inputs,
        output_words=words.outputs,
        token_names=[names[gate] if gate >= 0 else "" for gate in gates] if len(names) else None,
    )
