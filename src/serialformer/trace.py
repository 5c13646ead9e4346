"""The chain of thought in words: which gate each token is, of what, with what result."""

from __future__ import annotations

from collections.abc import Iterator

from serialformer.circuits.circuit import NO_WIRE
from serialformer.circuits.gate_words import describe_gate
from serialformer.circuits.words import words_to_names
from serialformer.decode.transcript import Transcript
from serialformer.model import Model


def trace_lines(model: Model, transcript: Transcript) -> Iterator[str]:
    """One line a chain token, such as ``t17 and(a[0]=1, b[3]=0) = 0  product[2] @50``.

    The operands show the values that stand in the sequence; the name is the gate's own, or the output's; ``@`` is
    the position in the sequence.
    """
    circuit, schedule = model.circuit, model.schedule
    first_output = len(schedule.gate) - circuit.num_outputs
    input_names = words_to_names(model.inputs, circuit.num_inputs)
    output_names = words_to_names(model.outputs, circuit.num_outputs)

    def name_and_value(wire: int) -> str:
        if wire < circuit.num_inputs:
            return f"{input_names[wire]}={transcript.prompt[wire]}"
        gate = wire - circuit.num_inputs
        token = int(schedule.token_of_gate[gate])
        name = circuit.gate_names[gate] if circuit.gate_names else ""
        return f"{name or f't{token}'}={transcript.vocabulary[transcript.chain[token]]}"

    # A chain may have been cut.
    for token, (gate, wire, made) in enumerate(zip(schedule.gate, schedule.wire, transcript.chain, strict=False)):
        if gate >= 0:
            operands = [name_and_value(int(source)) for source in circuit.fan_in[gate] if source != NO_WIRE]
            words = describe_gate(int(circuit.table[gate]), operands)
            names = [circuit.gate_names[gate] if circuit.gate_names else ""]
        else:
            words, names = f"copy({name_and_value(int(wire))})", []
        if token >= first_output:
            names.append(output_names[token - first_output])
        label = " ".join(dict.fromkeys(name for name in names if name))
        position = len(transcript.prompt) + token
        yield f"t{token} {words} = {transcript.vocabulary[made]}  {label}{' ' if label else ''}@{position}"
