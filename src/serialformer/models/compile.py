"""Compiling: from a circuit, by way of the optimiser, to a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from serialformer.architecture import Activation, DtypeName, Shape
from serialformer.circuits.mapping.optimise import optimise
from serialformer.constructions.packed_chain import MAX_SLOTS
from serialformer.constructions.schedule import Chain, Schedule, schedule_answer
from serialformer.errors import CompileError
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.lower import Lowered, Target, lower_circuit, lower_columns, lower_packed
from serialformer.models.model import Model
from serialformer.models.provenance import CompiledProvenance
from serialformer.models.source import (
    Source,
    VerilogOptions,
    elaborate_source,
    has_gates_of_its_own,
    source_name,
)

PAPER_FAN_IN = 2
"""The paper's transformer has two heads."""


def compile(
    source: Source,
    *,
    top: str | None = None,
    parameters: Mapping[str, int | str] | None = None,
    macros: Mapping[str, int | str] | None = None,
    includes: Sequence[str | os.PathLike[str]] = (),
    sources: Sequence[str | os.PathLike[str]] = (),
    level: int | None = None,
    lut: int | None = None,
    prove: bool = False,
    chain: Chain = "gates",
    gates_per_token: int = 1,
    layers: int | None = None,
    partial: bool = False,
    target: Target = "gpt2",
    dtype: DtypeName | None = None,
    activation: Activation | None = None,
    attention_gap: float | None = None,
    precision: int | None = None,
    shape: Shape | None = None,
    progress: Callable[[int], None] | None = None,
) -> Model:
    """Compiles a circuit into a model that evaluates it gate by gate, and proves that it does.

    With a chain, one layer writes the gates one after the other as tokens. Without one (``chain="none"``), a layer for
    each level of the circuit computes them, and the answer is written at once.

    Of a sequential circuit it compiles one clock cycle; ``Model.simulate`` feeds the state back. The circuit is
    optimised first (``optimise``); what that did is in the model's provenance.

    Args:
        source: a circuit, a function with ``@circuit``, or a path: a file in any format that ``read`` takes, or
            ``module.py:function``.
        top: Verilog only: the top module.
        parameters: Verilog only: parameters of the top module.
        macros: Verilog only: what `` `define `` would define.
        includes: Verilog only: folders in which ``include`` looks for files.
        sources: Verilog only: further files of the same design.
        level: how hard to optimise, 0 to 3. Default: 0, the gates as they are, for a circuit or a netlist; 1 for
            Verilog and Python functions, which do not say which gates there are, and wherever ``lut`` is given.
        lut: how many wires a gate may read, 2 to 6. More take fewer tokens and more heads. Default: as many as the
            widest gate of the circuit, at least 2; for target paper 2.
        prove: have ABC prove that optimising changed nothing.
        chain: ``gates``: each gate is a token of a chain of thought; ``none``: no chain, but a layer for each level of
            the circuit and one for the answer.
        gates_per_token: how many gates share a chain token, 1 to 4; a token is then one of as many symbols as these
            bits have values. Gates of more than two inputs are split.
        layers: with ``chain="none"``: how many layers; by default as many as the deepest output needs. With several
            gates per token: how many, 1 by default; gates of one token may depend on one another through that many
            levels.
        partial: with ``layers``: accept fewer; the certificate says which outputs are right.
        target: ``gpt2`` is a stock GPT-2, ``llama`` a stock Llama; ``paper`` the transformer of arXiv 2402.12875, every
            operation rounded.
        dtype: not paper: number format of the weights, default float32; the result holds for runtimes that compute in
            it or in a wider one.
        activation: gpt2 only: ``gelu_new``, the default, is what stock GPT-2 has; ``relu`` takes the same weights.
        attention_gap: not paper: the least score difference to aim at; default: 40, more for very long chains.
        precision: paper only: s of its arithmetic F_s, default 1.
        shape: not paper: the width of heads, the number of layers and so on, where they are to be chosen.
        progress: called with 1 for each thing that the optimiser has tried.

    Raises:
        CompileError: it would not hold at this number format and gap, has too many positions or too few layers, or
            would be too large; or an option is another target's, or that of models without a chain.
        CircuitError: the level or ``lut`` is out of range, or the proof failed.
        ToolError: a program that the source, the level or the proof needs is not installed.
        SerialformerError: the source cannot be read.

    >>> from serialformer import U8, circuit, compile
    >>> @circuit
    ... def larger(a: U8, b: U8) -> U8:
    ...     return a if a > b else b
    >>> model = compile(larger)
    >>> model.run(a=3, b=200)["out"], model.provenance.optimisation.level
    (200, 1)
    """
    if target == "paper" and lut is not None and lut > PAPER_FAN_IN:
        raise CompileError(
            f"expected gates of two inputs for target paper, found lut {lut}", hint="more go with target gpt2 or llama"
        )
    check_chain(chain, gates_per_token, layers, partial=partial, target=target, shape=shape)
    if level is None:
        level = 0 if has_gates_of_its_own(source) and lut is None else 1
    options = VerilogOptions(top=top, parameters=parameters, macros=macros, includes=includes, sources=sources)
    reading = elaborate_source(source, options, max_fan_in=(lut or 2) if level else 2)
    given = reading.circuit
    if lut is None and target == "paper":
        lut = PAPER_FAN_IN
    better, report = optimise(given.circuit, level=level, max_fan_in=lut, prove=prove, progress=progress)
    schedule: Schedule
    placed, packed, num_chain_tokens = None, None, None
    if gates_per_token > 1:
        several = lower_packed(
            better, gates_per_token, layers, dtype=dtype, activation=activation, attention_gap=attention_gap
        )
        lowered: Lowered = several
        circuit, schedule, packed = several.circuit, several.schedule, several.packed
        num_chain_tokens = packed.num_tokens
    elif chain == "none":
        columns = lower_columns(
            better,
            num_layers=layers,
            partial=partial,
            target=target,
            dtype=dtype,
            activation=activation,
            attention_gap=attention_gap,
            precision=precision,
            shape=shape,
        )
        lowered = columns
        circuit, schedule, placed = columns.circuit, schedule_answer(columns.circuit), columns.placed
    else:
        chained = lower_circuit(
            better,
            target=target,
            dtype=dtype,
            activation=activation,
            attention_gap=attention_gap,
            precision=precision,
            shape=shape,
        )
        lowered, circuit, schedule, placed = chained, chained.circuit, chained.schedule, chained.placed
    assert circuit.input_words is not None and circuit.output_words is not None
    return Model(
        transformer=lowered.transformer,
        protocol=CircuitWords(
            inputs=circuit.input_words,
            outputs=circuit.output_words,
            num_chain_tokens=len(schedule.wire) if num_chain_tokens is None else num_chain_tokens,
            registers=given.registers,
            circuit=circuit,
            schedule=schedule,
            chain=chain,
            placed=placed,
            packed=packed,
        ),
        provenance=CompiledProvenance(
            source=source_name(source),
            target=target,
            num_gates=circuit.num_gates,
            depth=circuit.depth,
            circuit_sha256=circuit.digest(),
            optimisation=replace(report, seconds=0.0),  # so that the same circuit always gives the same files
            reading=reading.facts,
            names=lowered.names,
        ),
        proof=lowered.certificate,
    )


def check_chain(
    chain: str, gates_per_token: int, layers: int | None, *, partial: bool, target: str, shape: Shape | None
) -> None:
    """Refuses what does not go together about chains and layers.

    >>> check_chain("gates", 9, None, partial=False, target="gpt2", shape=None)
    Traceback (most recent call last):
        ...
    serialformer.errors.CompileError: expected 1 to 4 gates per token, found 9
    """
    if chain not in ("gates", "none"):
        raise CompileError(f"no chain {chain!r}", hint="gates or none")
    if not 1 <= gates_per_token <= MAX_SLOTS:
        raise CompileError(f"expected 1 to {MAX_SLOTS} gates per token, found {gates_per_token}")
    if gates_per_token > 1:
        if chain == "none" or target != "gpt2" or (shape is not None and shape.chosen):
            raise CompileError(
                "several gates per token (--gates-per-token) go with a chain and with a GPT-2 of its default shape",
                hint="leave out --chain none, other targets, and the options of a shape",
            )
        if partial or (layers is not None and layers < 1):
            raise CompileError(
                "expected at least 1 layer, and none to be left out", hint="partial (--partial) requires --chain none"
            )
    elif chain == "gates" and (layers is not None or partial):
        raise CompileError(
            "layers and partial (--layers, --partial) go with a model without a chain (--chain none)",
            hint="layers go with several gates per token as well (--gates-per-token)",
        )
