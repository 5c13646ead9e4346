"""``compile``: from a circuit to a checkpoint, on the way through the optimiser."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serialformer.circuits.mapping.optimise import Optimisation, optimise
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.cli.commands import DtypeOption, Json, model_facts, print_made, refuse_existing
from serialformer.cli.progress import progress_bar
from serialformer.cli.source import (
    IncludesOption,
    ParametersOption,
    SourcesOption,
    TopOption,
    has_gates_of_its_own,
    read_source,
)
from serialformer.errors import InputError
from serialformer.model import compile_model


class TargetName(StrEnum):
    GPT2 = "gpt2"
    PAPER = "paper"


def compile_command(
    circuit: Annotated[
        Path,
        typer.Argument(
            metavar="CIRCUIT",
            help="A .aag, .aig, .blif, .bench, .txt (Bristol), .v or .sv file, or module.py:function.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The checkpoint directory to make.")],
    top: TopOption = None,
    parameters: ParametersOption = None,
    includes: IncludesOption = None,
    sources: SourcesOption = None,
    level: Annotated[
        int | None,
        typer.Option(
            "-O",
            metavar="LEVEL",
            min=0,
            max=3,
            help="0: gates as read. 1: mapped anew; for Verilog, Python and --lut unless said. 2, 3: with ABC.",
        ),
    ] = None,
    lut: Annotated[
        int | None,
        typer.Option("--lut", metavar="K", min=2, max=6, help="Gates of up to K inputs: fewer tokens, more heads."),
    ] = None,
    prove: Annotated[
        bool, typer.Option("--prove", help="Have ABC prove that optimising changed nothing; else nothing is written.")
    ] = False,
    target: Annotated[
        TargetName, typer.Option(help="A stock GPT-2, or the paper's transformer, every operation rounded.")
    ] = TargetName.GPT2,
    dtype: Annotated[
        DtypeOption | None, typer.Option(help="gpt2: the number format of the weights, float32 unless said.")
    ] = None,
    precision: Annotated[
        int | None, typer.Option(metavar="S", help="paper: bits before and after the point, 1 unless said.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compile a circuit into a checkpoint that evaluates it by chain of thought."""
    started = time.perf_counter()
    refuse_existing(output)
    if target == TargetName.PAPER and dtype is not None:
        raise InputError("--dtype goes with --target gpt2", hint="target paper has --precision")
    if target == TargetName.GPT2 and precision is not None:
        raise InputError("--precision goes with --target paper", hint="target gpt2 has --dtype")
    if target == TargetName.PAPER and lut is not None and lut > 2:
        raise InputError("--lut goes with --target gpt2", hint="target paper has two heads: gates of two inputs")
    if level is None:
        level = 0 if has_gates_of_its_own(circuit) and lut is None else 1
    with progress_bar("reading", None):
        given = read_source(circuit, top, parameters, includes, sources, max_fan_in=(lut or 2) if level else 2)
    if lut is None and target == TargetName.PAPER:
        lut = 2
    better, report = _optimise(given, level, lut, prove=prove)
    with progress_bar("compiling", None):
        model = compile_model(
            better, target=target.value, dtype=None if dtype is None else dtype.value, precision=precision
        )
        details = {**model.manifest.details, "source": circuit.name, "optimisation": report.to_json()}
        model = replace(model, manifest=replace(model.manifest, details=details)).save(output)
    print_made(output, model_facts(model), started, as_json=as_json)


def _optimise(
    given: SequentialCircuit, level: int, lut: int | None, *, prove: bool
) -> tuple[SequentialCircuit, Optimisation]:
    with progress_bar("optimising", None, unit="attempts") as advance:
        circuit, report = optimise(given.circuit, level=level, max_fan_in=lut, prove=prove, progress=advance)
    if report.out_of_time:
        print(f"optimising stopped after {report.seconds:.0f} s: not everything was tried", file=sys.stderr)
    return replace(given, circuit=circuit), report
