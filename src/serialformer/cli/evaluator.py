"""The command ``evaluator``, and what ``run`` and ``info`` do with what it makes."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.circuits.formats.read_write import read
from serialformer.circuits.value_problem import TOKENS_A_GATE, translate_circuit
from serialformer.cli.commands import DtypeOption, Json, print_made, refuse_existing
from serialformer.cli.progress import progress_bar
from serialformer.cli.values import parse_assignments
from serialformer.errors import InputError
from serialformer.evaluator_model import EvaluatorModel, evaluator_trace_lines, load_evaluator, make_evaluator


def evaluator_command(
    gates: Annotated[int, typer.Option("--gates", metavar="M", help="The most gates that a circuit may have.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The checkpoint directory to make.")],
    dtype: Annotated[DtypeOption, typer.Option(help="The number format of the weights.")] = DtypeOption.FLOAT32,
    as_json: Json = False,
) -> None:
    """Make one GPT-2 that evaluates every circuit of up to M gates; run DIR --circuit FILE asks it."""
    started = time.perf_counter()
    refuse_existing(output)
    with progress_bar("constructing", None):
        model = make_evaluator(gates, dtype=dtype.value).save(output)
    print_made(output, evaluator_facts(model), started, as_json=as_json)


def run_evaluator(
    directory: Path,
    circuit_file: Path | None,
    inputs: list[str],
    prompt: str | None,
    engine: str,
    max_tokens: int | None,
    *,
    trace: bool,
    as_json: bool,
) -> None:
    """Runs an evaluator on a circuit file and values of its inputs, or on a prompt as it is typed."""
    if circuit_file is None and prompt is None:
        raise InputError(
            "is an evaluator of circuits, and needs one",
            where=str(directory),
            hint="--circuit FILE -i NAME=VALUE, or --prompt 'TRUE NA NA 1 NOT 1 NA 2'",
        )
    if circuit_file is not None and prompt is not None:
        raise InputError("--circuit and --prompt exclude each other")
    model = load_evaluator(directory)
    if circuit_file is None:
        assert prompt is not None
        with progress_bar("thinking", None) as advance:
            transcript = model.run_prompt(prompt, engine=engine, progress=advance)
        whole = len(transcript.chain)
    else:
        circuit, values = read(circuit_file), parse_assignments(inputs)
        whole = TOKENS_A_GATE * translate_circuit(circuit).problem.num_gates
        num_tokens = whole if max_tokens is None else min(max_tokens, whole)
        with progress_bar("thinking", num_tokens, unit="tokens") as advance:
            transcript = model.run(circuit, values, engine=engine, max_tokens=max_tokens, progress=advance)
        if trace:
            for line in evaluator_trace_lines(circuit, transcript):
                print(line, file=sys.stderr if as_json else sys.stdout)
    tokens = [transcript.vocabulary[token] for token in transcript.chain]
    if as_json:
        print(
            json.dumps(
                {
                    "outputs": dict(transcript.outputs),
                    "chain": tokens,
                    "engine": transcript.engine,
                    "tokens": len(tokens),
                    "seconds": transcript.seconds,
                }
            )
        )
    elif prompt is not None:
        print(" ".join(tokens))
    else:
        for name, value in transcript.outputs.items():
            print(f"{name}={value}")
    if len(tokens) < whole:
        print(f"cut after {len(tokens)} of {whole} chain tokens: no outputs yet", file=sys.stderr)


def evaluator_facts(model: EvaluatorModel) -> dict[str, Any]:
    """What ``info`` says; the gates are the most that a circuit may have, the tokens those of its chain."""
    architecture, margins = model.transformer.architecture, model.manifest.details["margins"]
    return {
        "kind": model.manifest.kind,
        "gates": model.num_gates,
        "tokens": model.manifest.num_chain_tokens,
        "layers": architecture.num_layers,
        "heads": architecture.num_heads,
        "width": architecture.width,
        "hidden_width": architecture.hidden_width,
        "positions": architecture.num_positions,
        "vocabulary": len(architecture.vocabulary),
        "parameters": model.transformer.num_parameters,
        "bytes": model.transformer.num_bytes,
        "dtype": architecture.dtype,
        "activation": architecture.activation,
        "attention_gap": margins["attention_gap"],
        "logit_margin": margins["logit_margin"],
    }
