"""The command ``verify``: compares every token that a model makes with its circuit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from serialformer.cli.options import Directory, EngineFlag, Json
from serialformer.cli.progress import progress_bar
from serialformer.cli.source import (
    IncludesOption,
    MacrosOption,
    ParametersOption,
    SourcesOption,
    TopOption,
    verilog_options,
)
from serialformer.errors import InputError
from serialformer.models.load import load
from serialformer.models.source import VerilogOptions, is_verilog, read_source, simulated_source
from serialformer.models.verify import Verification, num_verified_tokens, verify, verify_against_simulator


def verify_command(
    directory: Directory,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="CIRCUIT", help="Compare the outputs with those of this circuit, which has the same words."
        ),
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="The number of random inputs; by default 64.")] = None,
    exhaustive: Annotated[bool, typer.Option("--exhaustive", help="Try every input.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the random inputs.")] = 0,
    engine: EngineFlag = "auto",
    simulator: Annotated[
        str | None,
        typer.Option(
            "--simulator",
            metavar="iverilog|verilator",
            help="With --against a Verilog file: simulate the source itself and compare the outputs.",
        ),
    ] = None,
    top: TopOption = None,
    parameters: ParametersOption = None,
    macros: MacrosOption = None,
    includes: IncludesOption = None,
    sources: SourcesOption = None,
    as_json: Json = False,
) -> None:
    """Run a model and compare every chain token with the circuit; exit 1 if any differs."""
    if exhaustive and samples is not None:
        raise InputError("--samples and --exhaustive cannot be combined")
    model = load(directory)
    options = VerilogOptions(**verilog_options(against, top, parameters, macros, includes, sources))
    if against is None and options.are_given:
        raise InputError("--top, -P, -D, --include and --source go with --against")
    if simulator is not None:
        if against is None or not is_verilog(against):
            raise InputError("--simulator requires --against and a Verilog file")
        if exhaustive:
            raise InputError("--simulator works with --samples, not with --exhaustive")
        source = simulated_source(against, options)
        with progress_bar("verifying", samples or 64, unit="rows") as advance:
            result = verify_against_simulator(
                model, source, simulator, num_samples=samples or 64, seed=seed, engine=engine, progress=advance
            )
        print_verification(result, f"random inputs against {simulator}", as_json=as_json)
        return
    other = None if against is None else read_source(against, options).circuit
    num_samples = None if exhaustive else samples or 64
    with progress_bar("verifying", num_verified_tokens(model, num_samples), unit="tokens") as advance:
        result = verify(model, against=other, num_samples=num_samples, seed=seed, engine=engine, progress=advance)
    what = "every input" if exhaustive else "random inputs"
    print_verification(result, what, as_json=as_json)


def print_verification(result: Verification, what: str, *, as_json: bool) -> None:
    """Says how a verification ended; the exit status is 1 where anything differs."""
    if as_json:
        facts = {
            "verified": result.verified,
            "inputs": result.inputs,
            "tokens": result.tokens,
            "wrong_inputs": result.wrong_inputs,
            "first_wrong": result.first_wrong,
            "engine": result.engine,
        }
        print(json.dumps(facts))
    else:
        verdict = "verified" if result.verified else "WRONG"
        print(f"{verdict}: {what}, {result.inputs} run by {result.engine}, {result.wrong_inputs} wrong")
        print(f"tokens compared: {result.tokens}")
        if result.undefined_bits:
            print(f"output bits that have no value in the source, so that any will do: {result.undefined_bits}")
        if result.first_wrong:
            print(result.first_wrong)
    if not result.verified:
        raise typer.Exit(1)
