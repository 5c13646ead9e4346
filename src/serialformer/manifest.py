"""What lies beside the Hugging Face files: the meaning of the tokens (``serialformer.json``), circuit, certificate."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.name_table import NameTable
from serialformer.circuits.sequential.registers import Register, check_registers
from serialformer.circuits.words import Word
from serialformer.compile.schedule import Schedule
from serialformer.errors import CheckpointError, SerialformerError
from serialformer.files import allow_reading, write_file
from serialformer.proofs.certificate import Certificate
from serialformer.transformer.checkpoint import WEIGHTS_FILE, read_json

MANIFEST_FILE = "serialformer.json"
CIRCUIT_FILE = "circuit.safetensors"
CERTIFICATE_FILE = "certificate.json"
FORMAT = 1
CIRCUIT_KIND, TASK_KIND, EVALUATOR_KIND = "circuit", "task", "evaluator"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The meaning of a model's tokens.

    Attributes:
        kind: what the model is; ``circuit`` for a compiled circuit.
        inputs: the words of the prompt, over its bits in order.
        outputs: the words of the answer, over its bits in order.
        num_chain_tokens: tokens of the chain of thought, the answer's included.
        details: where the model comes from and what is known of it; for people and for ``info``.
        registers: of a sequential circuit: the first words of prompt and answer, which are state and next state.
    """

    kind: str
    inputs: tuple[Word, ...]
    outputs: tuple[Word, ...]
    num_chain_tokens: int
    details: dict[str, Any] = field(default_factory=dict)
    registers: tuple[Register, ...] = ()

    @cached_property
    def num_inputs(self) -> int:
        return sum(len(word.places) for word in self.inputs)

    @cached_property
    def num_outputs(self) -> int:
        return sum(len(word.places) for word in self.outputs)

    @property
    def num_tokens(self) -> int:
        """Prompt, ``=`` and chain."""
        return self.num_inputs + 1 + self.num_chain_tokens


def save_manifest(manifest: Manifest, directory: Path) -> None:
    """Writes ``serialformer.json``."""
    content = {
        "format": FORMAT,
        "kind": manifest.kind,
        "inputs": [{"name": word.name, "bits": word.bits} for word in manifest.inputs],
        "outputs": [{"name": word.name, "bits": word.bits} for word in manifest.outputs],
        "num_chain_tokens": manifest.num_chain_tokens,
        **({"registers": [asdict(register) for register in manifest.registers]} if manifest.registers else {}),
        "details": manifest.details,
    }
    (directory / MANIFEST_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load_manifest(directory: Path, kind: str = CIRCUIT_KIND) -> Manifest:
    """Reads ``serialformer.json`` of a compiled circuit, or of an evaluator."""
    path = directory / MANIFEST_FILE
    content = _read_content(path)
    if content.get("kind") == TASK_KIND:
        raise CheckpointError(
            f"is a model of the task {content.get('task')!r}, not of a circuit",
            where=str(path),
            hint="serialformer evaluate scores it; run DIR --prompt TEXT runs it",
        )
    if content.get("kind") != kind:
        is_evaluator = content.get("kind") == EVALUATOR_KIND
        raise CheckpointError(
            f"is a model of kind {content.get('kind')!r}, not {kind!r}",
            where=str(path),
            hint="serialformer run DIR --circuit FILE asks an evaluator" if is_evaluator else None,
        )
    try:
        words = {
            side: tuple(
                Word(name=str(word["name"]), bits=tuple(int(bit) for bit in word["bits"])) for word in content[side]
            )
            for side in ("inputs", "outputs")
        }
        manifest = Manifest(
            kind=str(content["kind"]),
            inputs=words["inputs"],
            outputs=words["outputs"],
            num_chain_tokens=int(content["num_chain_tokens"]),
            details=dict(content["details"]),
            registers=tuple(
                Register(name=str(one["name"]), next_name=str(one["next_name"]), initial=tuple(one["initial"]))
                for one in content.get("registers", ())
            ),
        )
        check_registers(manifest.registers, manifest.inputs, manifest.outputs)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"a field is missing or wrong: {error!r}", where=str(path)) from None
    return manifest


@dataclass(frozen=True, kw_only=True)
class TaskManifest:
    """What a model of a task is.

    Attributes:
        task: the task's name.
        version: the version of its vocabulary, formats and distribution.
        parameters: its parameters by name.
        length: the number of items that the model is made for.
        setting: what it reads and says: ``cot``, ``base``, ...
        num_new_tokens: what it generates behind a prompt of this length.
        details: where the model comes from; for people and for ``info``.
    """

    task: str
    version: int
    parameters: dict[str, Any]
    length: int
    setting: str
    num_new_tokens: int
    details: dict[str, Any] = field(default_factory=dict)


def save_task_manifest(manifest: TaskManifest, directory: Path) -> None:
    """Writes ``serialformer.json`` of a model of a task."""
    content = {"format": FORMAT, "kind": TASK_KIND, **asdict(manifest)}
    write_file(directory / MANIFEST_FILE, json.dumps(content, indent=1).encode() + b"\n")


def load_task_manifest(directory: Path) -> TaskManifest:
    """Reads what ``save_task_manifest`` wrote."""
    path = directory / MANIFEST_FILE
    content = _read_content(path)
    if content.get("kind") != TASK_KIND:
        raise CheckpointError(
            f"is a model of kind {content.get('kind')!r}, not of a task",
            where=str(path),
            hint="serialformer run and verify are for circuits; evaluate is for tasks",
        )
    try:
        manifest = TaskManifest(
            task=str(content["task"]),
            version=int(content["version"]),
            parameters=dict(content["parameters"]),
            length=int(content["length"]),
            setting=str(content["setting"]),
            num_new_tokens=int(content["num_new_tokens"]),
            details=dict(content["details"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"a field is missing or wrong: {error!r}", where=str(path)) from None
    return manifest


def load_kind(directory: Path) -> str:
    """What the model in a checkpoint directory is: ``circuit``, ``task``, ..."""
    return str(_read_content(directory / MANIFEST_FILE).get("kind"))


def _read_content(path: Path) -> dict[str, Any]:
    """``serialformer.json`` of the format that is written here."""
    content = read_json(path)
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"expected format {FORMAT}, found {content.get('format')!r}", where=str(path), hint="compile it again"
        )
    return content


def save_circuit(circuit: Circuit, schedule: Schedule, directory: Path) -> None:
    """Writes the circuit and the order of its chain; gates' names as text, one behind the other, and their lengths."""
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


def load_circuit(directory: Path, manifest: Manifest) -> tuple[Circuit, Schedule]:
    """Reads what ``save_circuit`` wrote."""
    path = directory / CIRCUIT_FILE
    try:
        arrays = load_file(path)
        circuit = Circuit(
            num_inputs=manifest.num_inputs,
            fan_in=arrays["fan_in"],
            arity=arrays["arity"],
            table=arrays["table"],
            outputs=arrays["outputs"],
            input_words=manifest.inputs,
            output_words=manifest.outputs,
            gate_names=NameTable.from_lengths(arrays["gate_names"], arrays["gate_name_lengths"]),
        )
        schedule = Schedule(wire=arrays["chain_wire"], gate=arrays["chain_gate"], token_of_gate=arrays["token_of_gate"])
    except FileNotFoundError:
        raise CheckpointError("no such file", where=str(path), hint="compile it again") from None
    except (SafetensorError, KeyError, SerialformerError, OSError) as error:
        raise CheckpointError(f"is not the circuit of this model: {error}", where=str(path)) from None
    return circuit, schedule


def save_certificate(certificate: Certificate, circuit: Circuit, directory: Path, path: Path | None = None) -> None:
    """Writes a certificate, with the hashes of the weights and the circuit that it is about.

    Args:
        certificate: what was proven, or not.
        circuit: what the chain is compared with.
        directory: where the weights lie.
        path: the file to write; ``certificate.json`` in the directory unless told otherwise.
    """
    with (directory / WEIGHTS_FILE).open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    content = {**certificate.to_json(), "weights_sha256": weights, "circuit_sha256": circuit.digest()}
    write_file(directory / CERTIFICATE_FILE if path is None else path, (json.dumps(content, indent=1) + "\n").encode())
