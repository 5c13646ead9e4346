"""Proofs about models: certificates of checkpoints, and circuits read back out of them."""

from __future__ import annotations

from serialformer.architecture import DtypeName
from serialformer.circuits.circuit import Circuit
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.circuit_depth import circuit_depth_construction
from serialformer.constructions.evaluator import evaluator_construction
from serialformer.constructions.program import schedule_to_program
from serialformer.constructions.task_depth import task_depth_construction
from serialformer.constructions.tasks import task_construction
from serialformer.errors import InputError, SerialformerError
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.lower import certify_program, certify_weights, construction_to_placement
from serialformer.models.model import Model
from serialformer.models.provenance import ConstructedProvenance
from serialformer.models.read_placed import read_placed_program
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
    protocol = model.protocol
    if isinstance(protocol, CircuitWords):
        if protocol.chain == "none":
            construction = circuit_depth_construction(protocol.circuit, transformer.architecture.num_layers)
            return certify_weights(transformer, construction_to_placement(construction, transformer.architecture))
        program = schedule_to_program(protocol.circuit, protocol.schedule)
        placement = construction_to_placement(
            program_to_construction(program), transformer.architecture, protocol.placed
        )
        certificate = certify_weights(transformer, placement)
        if certificate.holds or protocol.placed is not None:
            return certificate
        return certify_program(transformer, program)
    if not isinstance(model.provenance, ConstructedProvenance):
        raise InputError(
            f"was not constructed (provenance: {model.provenance.kind}): no construction says what its weights should"
            " be",
            where=None if model.directory is None else str(model.directory),
            hint="evaluate scores it on samples",
        )
    if isinstance(protocol, CircuitPrompt):
        placement = construction_to_placement(evaluator_construction(protocol.num_gates), transformer.architecture)
        return certify_weights(transformer, placement, max_gates=None)
    items = model.items
    construction = (
        task_depth_construction(items.task, items.length, transformer.architecture.num_layers)
        if items.setting == "base"
        else task_construction(items.task, items.length)
    )
    return certify_weights(transformer, construction_to_placement(construction, transformer.architecture))


def decompile(model: Model) -> Circuit:
    """The circuit that a model evaluates, read out of its weights; only names come from what lies beside them.

    A chain token that copies an earlier one is a wire, not a gate.

    Raises:
        InputError: the model is no compiled circuit, or has no chain.
        CheckpointError: the weights cannot be read; says where and why.
    """
    from serialformer.proofs.decompile import decompile_chain, program_to_reading, reading_to_circuit

    words = model.words
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
