"""What is known of a circuit or a model, as names and values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serialformer.circuits.sequential.registers import Register, count_state_bits
from serialformer.errors import InputError
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.depth import unproven_outputs
from serialformer.models.load import find_model, load
from serialformer.models.model import Model
from serialformer.models.provenance import CompiledProvenance
from serialformer.models.source import Source, VerilogOptions, elaborate_source
from serialformer.tasks.task import Task


def info(
    source: Source | Model,
    *,
    top: str | None = None,
    parameters: Mapping[str, int | str] | None = None,
    macros: Mapping[str, int | str] | None = None,
    includes: Sequence[str | os.PathLike[str]] = (),
    sources: Sequence[str | os.PathLike[str]] = (),
    task: str | Task | None = None,
    trust_code: bool = False,
) -> dict[str, Any]:
    """The sizes of a circuit or a model, as JSON can hold them.

    Args:
        source: a model, its directory, or anything that ``compile`` takes.
        top: Verilog only, as are the next four: see ``compile``.
        parameters: of the top module.
        macros: what is defined before the first line.
        includes: folders of files to include.
        sources: further files.
        task: of the directory of a model of a user's task: see ``load``.
        trust_code: of such a directory: see ``load``.

    Raises:
        SerialformerError: it cannot be read, or a task is named for what is no model of a task.

    >>> from serialformer import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("y", build.not_(build.input("x")))
    >>> info(build.circuit())
    {'gates': 1, 'depth': 1, 'inputs': 1, 'outputs': 1, 'fan_in': 1, 'input_words': {'x': 1}, 'output_words': {'y': 1}}
    """
    if isinstance(source, Model):
        return _model_facts(find_model(source, task=task, trust_code=trust_code))
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        return _model_facts(load(source, task=task, trust_code=trust_code))
    if task is not None or trust_code:
        raise InputError("expected the directory of a model of a task with --task and --trust-code", where=str(source))
    options = VerilogOptions(top=top, parameters=parameters, macros=macros, includes=includes, sources=sources)
    reading = elaborate_source(source, options)
    sequential, circuit = reading.circuit, reading.circuit.circuit
    return {
        **({"model": reading.facts["model"]} if "model" in reading.facts else {}),
        "gates": circuit.num_gates,
        "depth": circuit.depth,
        "inputs": circuit.num_inputs,
        "outputs": circuit.num_outputs,
        "fan_in": circuit.max_arity,
        "input_words": {word.name: word.width for word in circuit.input_words or ()},
        "output_words": {word.name: word.width for word in circuit.output_words or ()},
        **_register_facts(sequential.registers, sequential.num_state_bits),
    }


def _model_facts(model: Model) -> dict[str, Any]:
    architecture = model.transformer.architecture
    arithmetic = architecture.arithmetic
    shape = {
        "tokens": model.num_new_tokens,
        "layers": architecture.num_layers,
        "heads": architecture.num_heads,
        "width": architecture.width,
        "parameters": model.transformer.num_parameters,
        "bytes": model.transformer.num_bytes,
        "dtype": architecture.dtype,
        **({} if arithmetic is None else {"precision": arithmetic.precision}),
        "activation": architecture.activation,
        "hidden_width": architecture.hidden_width,
        "positions": architecture.num_positions,
        "vocabulary": len(architecture.vocabulary),
    }
    provenance = {"provenance": model.provenance.kind, **model.provenance.facts(), **model.provenance.realism_facts()}
    if isinstance(model.protocol, CircuitWords):
        return _circuit_model_facts(model, model.protocol, shape, provenance)
    return {"kind": model.protocol.kind, **model.protocol.info(), **shape, **_proof_facts(model), **provenance}


def _proof_facts(model: Model) -> dict[str, Any]:
    certificate = model.certificate
    return {
        "certified": None if certificate is None else certificate.holds,
        "attention_gap": None if certificate is None else certificate.attention.exact,
        "logit_margin": None if certificate is None else certificate.logits.exact,
    }


def _circuit_model_facts(
    model: Model, words: CircuitWords, shape: dict[str, Any], provenance: dict[str, Any]
) -> dict[str, Any]:
    compiled = model.provenance if isinstance(model.provenance, CompiledProvenance) else None
    return {
        "kind": words.kind,
        **({} if compiled is None else {"target": compiled.target}),
        "gates": words.circuit.num_gates,
        "depth": words.circuit.depth if compiled is None else compiled.depth,
        "inputs": words.num_inputs,
        "outputs": words.num_outputs,
        **_columns_facts(model, words),
        **shape,
        **_proof_facts(model),
        **provenance,
        "input_words": {word.name: word.width for word in words.inputs},
        "output_words": {word.name: word.width for word in words.outputs},
        **_register_facts(words.registers, count_state_bits(words.registers, words.inputs)),
    }


def _columns_facts(model: Model, words: CircuitWords) -> dict[str, Any]:
    """Of a circuit without a chain: its columns, and the outputs that are too deep for its layers, if there are any."""
    if words.packed is not None:
        return {"gates_per_token": words.packed.num_slots, "levels_per_token": words.packed.num_levels}
    if words.chain == "gates":
        return {}
    unproven = unproven_outputs(model)
    return {
        "chain": words.chain,
        "columns": words.num_columns,
        **({"unproven_outputs": list(unproven)} if unproven else {}),
    }


def _register_facts(registers: tuple[Register, ...], num_state_bits: int) -> dict[str, Any]:
    """The registers by width, and how many of their bits have no initial value; nothing where there are none."""
    if not registers:
        return {}
    return {
        "registers": {register.name: len(register.initial) for register in registers},
        "state_bits": num_state_bits,
        "uninitialised_bits": sum(register.initial.count(None) for register in registers),
    }
