"""The chain of thought in words: which gate each token is, of what, with what result."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from serialformer.arrays import Int64
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.gate_words import describe_gate
from serialformer.circuits.value_problem import NO_GATE, TOKENS_PER_GATE, Translation, translate_circuit
from serialformer.circuits.words import words_to_names
from serialformer.constructions.circuit_depth import circuit_levels
from serialformer.errors import InputError
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.model import Model
from serialformer.models.rotate import reading_basis
from serialformer.models.transcript import Transcript


def trace_lines(model: Model, transcript: Transcript, circuit: Circuit | None = None) -> Iterator[str]:
    """The chain of a compiled circuit, a line for each token; or that of an evaluator, a line for each gate.

    Of a circuit without a chain it is a line for each gate, and one for each token of the answer.

    A token's line is such as ``t17 and(a[0]=1, b[3]=0) = 0  product[2] @50``: the operands show the values that stand
    in the sequence, the name is the gate's own, or the output's. A gate's line is such as
    ``g7 AND g3=TRUE g5=FALSE = FALSE  carry[1] @60``: the name is that of the circuit's input, gate or output whose
    value it is, if it is one and has one. ``@`` is the position of the value in the sequence. Without a chain a gate's
    line is such as ``layer 3: and(a[0]=1, g5=0) = 0  carry[1] @20``: what stands in its column after the layer of
    its level, read from the residual stream; a gate that is too deep for the model's layers has no line.

    Args:
        model: which made the transcript.
        transcript: what it made.
        circuit: for an evaluator: what it was asked about.

    Raises:
        InputError: the model is of a task, or an evaluator without a chain, or the circuit of an evaluator's transcript
            is missing.
    """
    if isinstance(model.protocol, CircuitPrompt):
        if model.protocol.setting == "base":
            raise InputError("an evaluator without a chain writes only outputs", hint="with a chain it has a trace")
        if circuit is None:
            raise InputError("an evaluator knows no circuit", hint="trace_lines(model, transcript, circuit)")
        return _trace_gates(circuit, transcript)
    if model.words.chain == "none":
        return _trace_columns(model, transcript)
    return _trace_tokens(model.words, transcript)


def _trace_tokens(words: CircuitWords, transcript: Transcript) -> Iterator[str]:
    circuit, schedule = words.circuit, words.schedule
    first_output = len(schedule.gate) - circuit.num_outputs
    input_names = words_to_names(words.inputs, circuit.num_inputs)
    output_names = words_to_names(words.outputs, circuit.num_outputs)

    def name_and_value(wire: int) -> str:
        if wire < circuit.num_inputs:
            return f"{input_names[wire]}={transcript.prompt[wire]}"
        gate = wire - circuit.num_inputs
        token = int(schedule.token_of_gate[gate])
        name = circuit.gate_names[gate] if circuit.gate_names else ""
        return f"{name or words.bit_name(token)}={transcript.vocabulary[transcript.chain[token]]}"

    # A chain may have been cut.
    for token, (gate, wire, made) in enumerate(zip(schedule.gate, schedule.wire, transcript.chain, strict=False)):
        if gate >= 0:
            operands = [name_and_value(int(source)) for source in circuit.fan_in[gate] if source != NO_WIRE]
            described = describe_gate(int(circuit.table[gate]), operands)
            names = [circuit.gate_names[gate] if circuit.gate_names else ""]
        else:
            described, names = f"copy({name_and_value(int(wire))})", []
        if token >= first_output:
            names.append(output_names[token - first_output])
        label = " ".join(dict.fromkeys(name for name in names if name))
        position = len(transcript.prompt) + words.bit_place(token)[0]
        value = transcript.vocabulary[made]
        yield f"{words.bit_name(token)} {described} = {value}  {label}{' ' if label else ''}@{position}"


def column_bits(model: Model, tokens: Int64[np.ndarray, " tokens"]) -> Int64[np.ndarray, "layers tokens"]:
    """Of a circuit without a chain: the bit that stands at each position, before the first layer and after each one.

    Raises:
        InputError: the directions of the model have no names.
    """
    from serialformer.decode.dense import DenseEngine
    from serialformer.decode.rounded import RoundedEngine

    names, realism = model.provenance.names, model.provenance.realism
    directions = () if names is None else names.directions
    if realism is not None and realism.directions:
        directions = realism.directions
    is_rounded = model.transformer.architecture.arithmetic is not None
    threshold, num_layers = 0.5 if is_rounded else 0.0, model.transformer.architecture.num_layers
    labels = ["bit.0" if is_rounded else "bit+"] * (num_layers + 1)
    if model.placed is not None:
        # Every layer but the last writes into a dimension of its own, and the last one adds to that of the token.
        labels = ["bit", *(f"bit after layer {layer}" for layer in range(1, num_layers)), "bit"]
        tokens = model.placed.place(tokens[None])[0]
    if missing := [label for label in labels if label not in directions]:
        raise InputError(
            f"no direction is called {missing[0]}", hint="the names lie in serialformer.json; compile it again"
        )
    engine = model.engine("dense")
    assert isinstance(engine, DenseEngine | RoundedEngine)
    streams = engine.streams(tokens[None])
    basis = reading_basis(model)
    if basis is not None:
        streams = streams @ basis
    columns = np.array([directions.index(label) for label in labels])
    return (np.take_along_axis(streams[:, 0], columns[:, None, None], axis=2)[:, :, 0] > threshold).astype(np.int64)


def _trace_columns(model: Model, transcript: Transcript) -> Iterator[str]:
    words = model.words
    circuit, level = words.circuit, circuit_levels(words.circuit).of_wire
    tokens = np.concatenate([transcript.prompt, transcript.chain])[: words.num_tokens]
    bits = column_bits(model, tokens)
    names = words_to_names(words.inputs, circuit.num_inputs) + list(circuit.gate_names or [""] * circuit.num_gates)
    outputs: dict[int, list[str]] = {}
    for wire, name in zip(circuit.outputs.tolist(), words_to_names(words.outputs, circuit.num_outputs), strict=True):
        outputs.setdefault(wire, []).append(name)
    names = [name or f"g{wire - circuit.num_inputs}" for wire, name in enumerate(names)]
    for wire in circuit.num_inputs + np.argsort(level[circuit.num_inputs :], kind="stable"):
        layer, gate = int(level[wire]), int(wire) - circuit.num_inputs
        if layer >= len(bits) - 1:
            break  # the last layer writes the answer
        sources = [int(source) for source in circuit.fan_in[gate] if source != NO_WIRE]
        described = describe_gate(int(circuit.table[gate]), [f"{names[w]}={bits[layer - 1, w]}" for w in sources])
        label = " ".join(dict.fromkeys([names[wire], *outputs.get(int(wire), [])]))
        yield f"layer {layer}: {described} = {bits[layer, wire]}  {label} @{wire}"
    first = words.num_inputs + words.num_columns
    for token, (wire, made) in enumerate(zip(circuit.outputs.tolist(), transcript.chain.tolist(), strict=False)):
        label = words_to_names(words.outputs, circuit.num_outputs)[token]
        copied = f"copy({names[wire]}={bits[-2, wire]})"
        yield f"layer {len(bits) - 1}: {copied} = {transcript.vocabulary[made]}  {label} @{first + 1 + token}"


def _trace_gates(circuit: Circuit, transcript: Transcript) -> Iterator[str]:
    translation = translate_circuit(circuit)
    names = _names(circuit, translation)
    said = transcript.made
    reads = translation.problem.reads.tolist()
    for gate in range(len(said) // TOKENS_PER_GATE):
        kind, first, second, own = said[TOKENS_PER_GATE * gate : TOKENS_PER_GATE * (gate + 1)]
        values = zip(reads[gate], (first, second), strict=True)
        sources = "".join(f" g{source}={value}" for source, value in values if source != NO_GATE)
        position = len(transcript.prompt) + TOKENS_PER_GATE * gate + TOKENS_PER_GATE - 1
        yield f"g{gate + 1} {kind}{sources} = {own}  {names[gate]}{' ' if names[gate] else ''}@{position}"


def _names(circuit: Circuit, translation: Translation) -> list[str]:
    """For each gate what the circuit calls its value."""
    assert circuit.input_words is not None and circuit.output_words is not None
    inputs = words_to_names(circuit.input_words, circuit.num_inputs)
    names: list[list[str]] = [[] for _ in range(translation.problem.num_gates)]
    for gate, wire in enumerate(translation.wire_of_gate.tolist()):
        if wire == NO_WIRE:
            continue
        if wire < circuit.num_inputs:
            names[gate].append(inputs[wire])
        elif circuit.gate_names:
            names[gate].append(circuit.gate_names[wire - circuit.num_inputs])
    outputs = words_to_names(circuit.output_words, circuit.num_outputs)
    for name, gate in zip(outputs, translation.gate_of_output.tolist(), strict=True):
        names[gate - 1].append(name)
    return [" ".join(dict.fromkeys(name for name in of_gate if name)) for of_gate in names]
