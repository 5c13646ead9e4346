"""``compile``: from a circuit to a checkpoint, on the way through the optimiser."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serialformer.architecture import Shape
from serialformer.cli.made import Verbose, print_made
from serialformer.cli.options import (
    DtypeOption,
    Force,
    HiddenOption,
    Json,
    KeyHeadsOption,
    RotateOption,
    TieOption,
    refuse_existing,
)
from serialformer.cli.progress import progress_bar
from serialformer.cli.source import (
    IncludesOption,
    MacrosOption,
    ParametersOption,
    SourcesOption,
    TopOption,
    print_reading_notes,
    verilog_options,
)
from serialformer.errors import InputError
from serialformer.models.compile import compile
from serialformer.models.provenance import CompiledProvenance
from serialformer.models.rotate import rotate


class ChainName(StrEnum):
    GATES = "gates"
    NONE = "none"


class AddressName(StrEnum):
    NAMES = "names"
    DISTANCES = "distances"
    WINDOW = "window"


class TargetName(StrEnum):
    GPT2 = "gpt2"
    LLAMA = "llama"
    PAPER = "paper"


def compile_command(
    circuit: Annotated[
        Path,
        typer.Argument(
            metavar="CIRCUIT",
            help="A .aag, .aig, .blif, .bench, .txt (Bristol), .v or .sv file, or module.py:function.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The checkpoint directory to create.")],
    top: TopOption = None,
    parameters: ParametersOption = None,
    macros: MacrosOption = None,
    includes: IncludesOption = None,
    sources: SourcesOption = None,
    level: Annotated[
        int | None,
        typer.Option(
            "-O",
            metavar="LEVEL",
            min=0,
            max=3,
            help="0: keep the gates. 1: remap them (default for Verilog, Python and --lut). 2, 3: optimise with ABC.",
        ),
    ] = None,
    lut: Annotated[
        int | None,
        typer.Option("--lut", metavar="K", min=2, max=6, help="Gates of up to K inputs: fewer tokens, more heads."),
    ] = None,
    prove: Annotated[
        bool,
        typer.Option("--prove", help="Let ABC prove that optimisation kept the function; write nothing otherwise."),
    ] = False,
    chain: Annotated[
        ChainName,
        typer.Option(help="gates: one token per gate, one layer. none: no chain, one layer per level."),
    ] = ChainName.GATES,
    gates_per_token: Annotated[
        int,
        typer.Option(
            "--gates-per-token",
            metavar="B",
            min=1,
            max=4,
            help="gpt2: up to B gates share a chain token.",
        ),
    ] = 1,
    layers: Annotated[
        int | None,
        typer.Option(
            "--layers",
            metavar="L",
            min=1,
            help="Layers of target llama, by default 2; with --chain none, by default the depth plus one; with several"
            " gates per token, by default 1.",
        ),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="With --layers: allow too few layers; the certificate lists the outputs that are right."
        ),
    ] = False,
    target: Annotated[
        TargetName,
        typer.Option(help="A stock GPT-2 or Llama, or the paper's transformer, which rounds every operation."),
    ] = TargetName.GPT2,
    dtype: Annotated[
        DtypeOption | None, typer.Option(help="gpt2, llama: the number format of the weights; by default float32.")
    ] = None,
    precision: Annotated[
        int | None, typer.Option(metavar="S", help="paper: bits before and after the binary point; by default 1.")
    ] = None,
    head_width: Annotated[
        int | None, typer.Option("--head-width", metavar="W", min=1, help="gpt2, llama: the width of each head.")
    ] = None,
    hidden: HiddenOption = None,
    kv_heads: KeyHeadsOption = None,
    spare_positions: Annotated[
        int | None,
        typer.Option(
            "--spare-positions",
            metavar="N",
            min=0,
            help="gpt2, llama: extra positions; by default 0 for gpt2 and 16 for llama.",
        ),
    ] = None,
    address: Annotated[
        AddressName | None,
        typer.Option(
            "--address",
            help="llama: heads find positions by name (default), by rotary distance, or by distance within a window.",
        ),
    ] = None,
    gguf: Annotated[
        Path | None, typer.Option("--gguf", metavar="FILE", help="gpt2, llama: also write GGUF, for llama.cpp.")
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option("--onnx", metavar="FILE", help="gpt2, llama: also write ONNX, with a cache.")
    ] = None,
    head_biases: Annotated[
        bool, typer.Option("--head-biases", help="llama: add biases to queries, keys and values, as in a Qwen2.")
    ] = False,
    tie: TieOption = False,
    rotated: RotateOption = None,
    force: Force = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Compile a circuit into a checkpoint that evaluates it by chain of thought, or without one in as many layers."""
    started = time.perf_counter()
    refuse_existing(output, force=force)
    of_target = {
        "--dtype": (dtype, "gpt2 or llama"),
        "--precision": (precision, "paper"),
        "--head-width": (head_width, "gpt2 or llama"),
        "--hidden": (hidden, "llama"),
        "--kv-heads": (kv_heads, "llama"),
        "--spare-positions": (spare_positions, "gpt2 or llama"),
        "--address": (address, "llama"),
        "--gguf": (gguf, "gpt2 or llama"),
        "--onnx": (onnx, "gpt2 or llama"),
        "--head-biases": (head_biases or None, "llama"),
        "--tie": (tie or None, "llama"),
    }
    for option, (value, targets) in of_target.items():
        if value is not None and target.value not in targets.split(" or "):
            mine = [other for other, (_, names) in of_target.items() if target.value in names.split(" or ")]
            raise InputError(
                f"{option} requires --target {targets}", hint=f"target {target.value} has {', '.join(mine)}"
            )
    is_of_shape = target == TargetName.LLAMA and chain == ChainName.GATES
    with progress_bar("compiling", None) as advance:
        model = compile(
            circuit,
            **verilog_options(circuit, top, parameters, macros, includes, sources),
            level=level,
            lut=lut,
            prove=prove,
            chain=chain.value,
            gates_per_token=gates_per_token,
            layers=None if is_of_shape else layers,
            partial=partial,
            target=target.value,
            dtype=None if dtype is None else dtype.value,
            precision=precision,
            shape=Shape(
                head_width=head_width,
                hidden=hidden,
                key_heads=kv_heads,
                layers=layers if is_of_shape else None,
                spare_positions=spare_positions,
                addressing=None if address is None else address.value,
                head_biases=head_biases or None,
                tied=tie or None,
            ),
            progress=advance,
        )
        model = (model if rotated is None else rotate(model, rotated)).save(output, overwrite=force)
    _export(output, gguf, onnx)
    if isinstance(model.provenance, CompiledProvenance) and model.provenance.is_out_of_time:
        print("optimising stopped when its time was over: not everything was tried", file=sys.stderr)
    if isinstance(model.provenance, CompiledProvenance):
        print_reading_notes(model.provenance.reading)
    print_made(output, model, started, as_json=as_json, verbose=verbose)


def _export(output: Path, gguf: Path | None, onnx: Path | None) -> None:
    """Writes the checkpoint in the formats that were asked for."""
    if gguf is None and onnx is None:
        return
    from serialformer.engines.export import export_gguf, export_onnx

    if gguf is not None:
        export_gguf(output, gguf)
    if onnx is not None:
        export_onnx(output, onnx)
