"""``circuit.tensors``: the circuit that was compiled, and the order of its chain, in the format of safetensors.

It has a suffix of its own because some engines read every ``.safetensors`` file of a directory as weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.name_table import NameTable
from serialformer.circuits.words import Word
from serialformer.constructions.schedule import Schedule
from serialformer.errors import CheckpointError, SerialformerError
from serialformer.files import allow_reading

CIRCUIT_FILE = "circuit.tensors"
OLD_CIRCUIT_FILE = "circuit.safetensors"
"""Its name in older checkpoints."""


def save_circuit(circuit: Circuit, schedule: Schedule, directory: Path) -> None:
    """Writes the circuit and the order of its chain; gates' names as text, one after the other, and their lengths."""
    names = NameTable.from_strings(circuit.gate_names)
    lengths = names.lengths
    length_type = np.min_scalar_type(int(lengths.max(initial=0)))  # unsigned, a byte in most files
    arrays = {
        "fan_in": circuit.fan_in,
        "arity": circuit.arity,
        "table": circuit.table,
        "outputs": circuit.outputs,
        "gate_names": names.data,
        "gate_name_lengths": lengths.astype(length_type),
        "chain_wire": schedule.wire,
        "chain_gate": schedule.gate,
        "token_of_gate": schedule.token_of_gate,
    }
    metadata = {"num_inputs": str(circuit.num_inputs)}
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(contiguous, directory / CIRCUIT_FILE, metadata)
    allow_reading(directory / CIRCUIT_FILE)


def load_circuit(directory: Path, inputs: tuple[Word, ...], outputs: tuple[Word, ...]) -> tuple[Circuit, Schedule]:
    """Reads what ``save_circuit`` wrote; the words are in ``serialformer.json``.

    Raises:
        CheckpointError: the file is missing, or is not the circuit of these words.
    """
    path = directory / CIRCUIT_FILE
    if not path.exists() and (directory / OLD_CIRCUIT_FILE).exists():
        path = directory / OLD_CIRCUIT_FILE
    try:
        arrays = load_file(path)
        circuit = Circuit(
            num_inputs=sum(len(word.places) for word in inputs),
            fan_in=arrays["fan_in"],
            arity=arrays["arity"],
            table=arrays["table"],
            outputs=arrays["outputs"],
            input_words=inputs,
            output_words=outputs,
            gate_names=NameTable.from_lengths(arrays["gate_names"], arrays["gate_name_lengths"]),
        )
        schedule = Schedule(wire=arrays["chain_wire"], gate=arrays["chain_gate"], token_of_gate=arrays["token_of_gate"])
    except FileNotFoundError:
        raise CheckpointError(
            "no such file", where=str(path), hint="copy it from the original directory, or compile again"
        ) from None
    except (SafetensorError, KeyError, SerialformerError, OSError) as error:
        raise CheckpointError(f"is not the circuit of this model: {error}", where=str(path)) from None
    return circuit, schedule
