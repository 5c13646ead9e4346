"""The commands, thin over the Python interface."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.read_write import read
from serialformer.circuits.value_problem import TOKENS_PER_GATE, translate_circuit
from serialformer.cli.clock import ClockOptions, InitialOption, run_clock
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
from serialformer.cli.tasks import TaskOption, TrustCode
from serialformer.cli.values import parse_assignments
from serialformer.decode.engine import ENGINE_NAMES
from serialformer.errors import InputError
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.info import info
from serialformer.models.load import load
from serialformer.models.model import Model
from serialformer.models.source import VerilogOptions, is_verilog, read_source, simulated_source
from serialformer.models.tables import count_rows, run_table
from serialformer.models.trace import trace_lines
from serialformer.models.transcript import Transcript
from serialformer.models.verify import Verification, num_verified_tokens, verify, verify_against_simulator


class DtypeOption(StrEnum):
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


Directory = Annotated[Path, typer.Argument(metavar="DIR", help="A checkpoint directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
EngineFlag = Annotated[
    str, typer.Option("--engine", metavar="|".join(ENGINE_NAMES), help="What runs the model; auto is the fastest.")
]


def run_command(
    directory: Directory,
    inputs: Annotated[
        list[str] | None, typer.Option("-i", "--input", metavar="NAME=VALUE", help="An input word; decimal, 0x or 0b.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Print each chain token with its gate.")] = False,
    engine: EngineFlag = "auto",
    batch: Annotated[
        Path | None,
        typer.Option("--batch", metavar="IN.csv", help="One run a row, columns named like the input words."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.csv", help="Where --batch writes.")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, metavar="N", help="Stop after N chain tokens; see --trace, --json."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="TEXT", help="For a model of a task or an evaluator: what it is asked."),
    ] = None,
    circuit: Annotated[
        Path | None,
        typer.Option("--circuit", metavar="FILE", help="For an evaluator: the circuit that it is asked about."),
    ] = None,
    cycles: Annotated[
        int | None,
        typer.Option("--cycles", min=0, metavar="N", help="For a circuit with registers: feed the state back N times."),
    ] = None,
    stimulus: Annotated[
        Path | None,
        typer.Option("--stimulus", metavar="IN.csv", help="A row a cycle, a column an input that -i does not hold."),
    ] = None,
    vcd: Annotated[
        Path | None, typer.Option("--vcd", metavar="OUT.vcd", help="Where the waveform of the cycles goes.")
    ] = None,
    initial: Annotated[
        InitialOption | None,
        typer.Option("--initial", help="What registers begin with for which nothing else says a value."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of --initial random; 0 unless said.")] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="auto|ADDRESS", help="With --batch: run the rows on a Ray cluster.")
    ] = None,
    task: TaskOption = None,
    trust_code: TrustCode = False,
    as_json: Json = False,
) -> None:
    """Run a model on its input words and print its output words."""
    if ray is not None and batch is None:
        raise InputError("--ray goes with --batch")
    if prompt is None and (task is not None or trust_code):
        raise InputError("--task and --trust-code go with --prompt")
    clock = ClockOptions(cycles=cycles, stimulus=stimulus, vcd=vcd, output=output, initial=initial, seed=seed)
    if clock.is_asked:
        if trace or batch is not None or max_tokens is not None or prompt is not None or circuit is not None:
            raise InputError(
                "--cycles, --stimulus, --vcd, --initial and --seed go with none of"
                " --trace, --batch, --max-tokens, --prompt, --circuit"
            )
        run_clock(directory, inputs or [], clock, engine, as_json=as_json)
        return
    if batch is not None:
        if inputs or trace or as_json or max_tokens is not None or prompt is not None or circuit is not None:
            raise InputError("--batch goes with none of -i, --trace, --json, --max-tokens, --prompt, --circuit")
        _run_batch(load(directory), batch, output, engine, ray)
        return
    if output is not None:
        raise InputError("-o goes with --batch or --cycles", hint="outputs are printed on stdout")
    if prompt is not None and circuit is not None:
        raise InputError("--circuit and --prompt exclude each other")
    if prompt is not None and (inputs or trace or max_tokens is not None):
        raise InputError("--prompt goes with none of -i, --trace, --batch, -o, --max-tokens")
    model = load(directory, task=task, trust_code=trust_code)
    given = None if circuit is None else read(circuit)
    question = _question(given, prompt, parse_assignments(inputs or []))
    whole = _num_tokens(model, given)
    num_tokens = whole if max_tokens is None or whole is None else min(max_tokens, whole)
    with progress_bar("thinking", num_tokens, unit="tokens") as advance:
        transcript = model.run(*question, engine=engine, max_tokens=max_tokens, progress=advance)
    if trace:
        out = sys.stderr if as_json else sys.stdout
        for line in trace_lines(model, transcript, given):
            print(line, file=out)
    _print_transcript(transcript, as_json=as_json, is_text=prompt is not None)
    if num_tokens is not None and whole is not None and num_tokens < whole:
        print(f"cut after {num_tokens} of {whole} chain tokens: no outputs yet", file=sys.stderr)


def _question(circuit: Circuit | None, prompt: str | None, values: dict[str, int]) -> tuple[Any, ...]:
    """What the model is to be asked."""
    if prompt is not None:
        return (prompt,)
    if circuit is not None:
        return (circuit, values)
    return (values,)


def _num_tokens(model: Model, circuit: Circuit | None) -> int | None:
    """How many tokens the model will make; None if the prompt decides that."""
    if isinstance(model.protocol, CircuitPrompt):
        return None if circuit is None else TOKENS_PER_GATE * translate_circuit(circuit).problem.num_gates
    return model.num_new_tokens


def _print_transcript(transcript: Transcript, *, as_json: bool, is_text: bool) -> None:
    """Outputs of words, or the chain and the answer of a prompt that was given as text."""
    if as_json:
        print(json.dumps(transcript.to_json()))
    elif transcript.expected:
        print(f"chain: {' '.join(transcript.made)}")
        print(f"answer: {' '.join(transcript.answer)}")
    elif is_text:
        print(" ".join(transcript.made))
    else:
        for name, value in transcript.outputs.items():
            print(f"{name}={value}")
    if transcript.answer != transcript.expected:
        print(f"the true answer is {' '.join(transcript.expected)}", file=sys.stderr)


def verify_command(
    directory: Directory,
    against: Annotated[
        Path | None,
        typer.Option(metavar="CIRCUIT", help="Another circuit with the same words: compare the answers with its."),
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="How many random inputs to try (64 unless said).")] = None,
    exhaustive: Annotated[bool, typer.Option("--exhaustive", help="Try every input.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random inputs.")] = 0,
    engine: EngineFlag = "auto",
    simulator: Annotated[
        str | None,
        typer.Option(
            "--simulator",
            metavar="iverilog|verilator",
            help="With --against a Verilog file: have the source itself simulated, and compare with that.",
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
        raise InputError("--samples and --exhaustive exclude each other")
    model = load(directory)
    options = VerilogOptions(**verilog_options(against, top, parameters, macros, includes, sources))
    if against is None and options.are_given:
        raise InputError("--top, -P, -D, --include and --source go with --against")
    if simulator is not None:
        if against is None or not is_verilog(against):
            raise InputError("--simulator goes with --against and a Verilog file")
        if exhaustive:
            raise InputError("--simulator goes with --samples, not with --exhaustive")
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


def info_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A circuit file or a checkpoint directory.")],
    top: TopOption = None,
    parameters: ParametersOption = None,
    macros: MacrosOption = None,
    includes: IncludesOption = None,
    sources: SourcesOption = None,
    task: TaskOption = None,
    trust_code: TrustCode = False,
    as_json: Json = False,
) -> None:
    """Print the sizes of a circuit or a checkpoint, one ``key: value`` a line."""
    options = verilog_options(path, top, parameters, macros, includes, sources)
    facts = info(path, **options, task=task, trust_code=trust_code)
    if not path.is_dir():
        print_reading_notes(facts)
    if as_json:
        print(json.dumps(facts))
    else:
        print_facts(facts)


def _run_batch(model: Model, source: Path, target: Path | None, engine: str, ray: str | None = None) -> None:
    if target is None:
        raise InputError("--batch needs -o OUT.csv")
    with progress_bar("running", count_rows(source), unit="rows") as advance:
        if ray is None:
            run_table(model, source, target, engine=engine, progress=advance)
        else:
            from serialformer.sweeps.ray_batch import run_table_on_ray

            run_table_on_ray(model, source, target, ray, engine=engine, progress=advance)


def refuse_existing(output: Path) -> None:
    """Says before the work, not after it, that a directory is there already; saving checks again."""
    if output.exists():
        raise InputError("exists already", where=str(output), hint="remove it or choose another name")


def print_made(output: Path, facts: dict[str, Any], started: float, *, as_json: bool) -> None:
    """What a command says of the directory that it has made, and of the seconds since it started."""
    facts = {**facts, "seconds": round(time.perf_counter() - started, 3)}
    if as_json:
        print(json.dumps(facts))
    else:
        print_facts({"directory": str(output), **facts})


def print_facts(facts: dict[str, Any]) -> None:
    """One ``key: value`` a line."""
    for key, value in facts.items():
        if isinstance(value, dict):
            shown = [f"{name} ({width} bits)" for name, width in list(value.items())[:8]]
            value = ", ".join(shown) + (f", and {len(value) - 8} more" if len(value) > 8 else "")
        elif isinstance(value, list):
            value = ", ".join(map(str, value)) or "none"
        elif isinstance(value, float):
            value = f"{value:.4g}"
        print(f"{key}: {value}")
