"""Proofs about models: certificates of checkpoints, and circuits read back out of them."""

from __future__ import annotations

from dataclasses import replace

from serialformer.architecture import DtypeName
from serialformer.circuits.circuit import Circuit
from serialformer.constructions.program import schedule_to_program
from serialformer.errors import InputError, SerialformerError
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.construction_of import construction_of
from serialformer.models.every_prompt import certify_by_prompts
from serialformer.models.lower import certify_program, certify_weights, construction_to_placement
from serialformer.models.model import Model
from serialformer.models.read_placed import read_placed_program
from serialformer.models.rotate import rotation_of
from serialformer.proofs.certificate import Certificate
from serialformer.transformer.transformer import cast_transformer


def certify(model: Model, *, dtype: DtypeName | None = None) -> Certificate:
    """Proves from the weights that a model is right on every prompt, in whatever order sums are taken.

    The weights are checked against the construction of the model's circuit or task (``proofs.realisation``), and the
    construction against what the circuit or task says (``proofs.induction``). Where the weights of a GPT-2 of a circuit
    are not as its construction says, what they do is looked for in them (``proofs.prove.certify_chain``).

    Args:
        model: a compiled or constructed model.
        dtype: the number format that it is to be loaded in; that of its weights unless told otherwise.

    Raises:
        InputError: the model was trained, say, so that no construction says what its weights should be.

    >>> from serialformer import CircuitBuilder, compile, construct
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> certificate = certify(compile(build.circuit()), dtype="bfloat16")
    >>> certificate.holds, certificate.arithmetic["storage"], certificate.prompts
    (True, 'bfloat16', 'all 2^2')
    >>> certify(construct("parity", 5)).prompts
    'all words of 5 symbols'
    """
    transformer = model.transformer
    if dtype is not None and dtype != transformer.architecture.dtype:
        if transformer.architecture.arithmetic is not None:
            raise SerialformerError("its arithmetic is its own", hint="it cannot be loaded in another dtype")
        transformer = cast_transformer(transformer, dtype)
    realism = model.provenance.realism
    if realism is not None and realism.kind != "rotated":
        return certify_by_prompts(replace(model, transformer=transformer))
    protocol, construction = model.protocol, construction_of(model)
    placed = model.placed
    placement = construction_to_placement(construction, transformer.architecture, placed)
    rotation = rotation_of(model)
    if isinstance(protocol, CircuitPrompt):
        return certify_weights(transformer, placement, max_gates=None, rotation=rotation)
    certificate = certify_weights(transformer, placement, rotation=rotation)
    is_chain = isinstance(protocol, CircuitWords) and protocol.chain == "gates" and placed is None
    if isinstance(protocol, CircuitWords) and protocol.packed is not None:
        is_chain = False
    if certificate.holds or not is_chain:
        return certificate
    return certify_program(transformer, schedule_to_program(model.words.circuit, model.words.schedule))


def decompile(model: Model) -> Circuit:
    """The circuit that a model evaluates, read out of its weights; only names come from what lies beside them.

    A chain token that copies an earlier one is a wire, not a gate.

    Raises:
        InputError: the model is no compiled circuit, or has no chain.
        CheckpointError: the weights cannot be read; says where and why.
    """
    from serialformer.proofs.decompile import decompile_chain, program_to_reading, reading_to_circuit

    words = model.words
    if words.packed is not None:
        raise InputError(
            "has several bits in a token; decompile reads chains of one",
            where=None if model.directory is None else str(model.directory),
            hint="certify proves that its tokens are what the circuit that lies beside them says",
        )
    if words.chain == "none":
        raise InputError(
            "was compiled without a chain; decompile reads chains",
            where=None if model.directory is None else str(model.directory),
            hint="certify proves that its layers compute the circuit that lies beside them",
        )
    names, gates = words.circuit.gate_names, words.schedule.gate.tolist()
    if words.placed is not None:
        program = read_placed_program(model.transformer, words.placed, words.num_inputs)
        return reading_to_circuit(
            program_to_reading(program.num_inputs, program.reads, program.table),
            num_outputs=words.num_outputs,
            input_words=words.inputs,
            output_words=words.outputs,
            token_names=[names[gate] if gate >= 0 else "" for gate in gates] if len(names) else None,
        )
    return decompile_chain(
        model.transformer,
        num_inputs=words.num_inputs,
        num_chain_tokens=words.num_chain_tokens,
        num_outputs=words.num_outputs,
        input_words=words.inputs,
        output_words=words.outputs,
        token_names=[names[gate] if gate >= 0 else "" for gate in gates] if len(names) else None,
    )
