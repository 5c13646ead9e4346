"""The commands, thin over the Python interface."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.circuits.sequential.registers import Register, count_state_bits
from serialformer.cli.clock import ClockOptions, InitialOption, run_clock
from serialformer.cli.progress import progress_bar
from serialformer.cli.source import IncludesOption, ParametersOption, SourcesOption, TopOption, read_source
from serialformer.cli.tables import count_rows, read_blocks, write_block, write_header
from serialformer.cli.tasks import TaskOption, TrustCode, run_prompt
from serialformer.cli.values import parse_assignments
from serialformer.decode.engine import ENGINE_NAMES
from serialformer.errors import InputError
from serialformer.files import new_file
from serialformer.manifest import EVALUATOR_KIND, TASK_KIND, load_kind
from serialformer.model import Model, load
from serialformer.task_model import TaskModel, load_task_model
from serialformer.trace import trace_lines
from serialformer.verify import num_verified_tokens, verify


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
    clock = ClockOptions(cycles=cycles, stimulus=stimulus, vcd=vcd, output=output, initial=initial, seed=seed)
    if clock.is_asked:
        if trace or batch is not None or max_tokens is not None or prompt is not None or circuit is not None:
            raise InputError(
                "--cycles, --stimulus, --vcd, --initial and --seed go with none of"
                " --trace, --batch, --max-tokens, --prompt, --circuit"
            )
        run_clock(directory, inputs or [], clock, engine, as_json=as_json)
        return
    if circuit is not None or (directory.is_dir() and load_kind(directory) == EVALUATOR_KIND):
        from serialformer.cli.evaluator import run_evaluator  # which imports from here

        if (
            batch is not None
            or output is not None
            or (prompt is not None and (inputs or trace or max_tokens is not None))
        ):
            raise InputError(
                "an evaluator takes neither --batch nor -o, and with --prompt no -i, --trace, --max-tokens"
            )
        run_evaluator(directory, circuit, inputs or [], prompt, engine, max_tokens, trace=trace, as_json=as_json)
        return
    if prompt is not None:
        if inputs or trace or batch is not None or output is not None or max_tokens is not None:
            raise InputError("--prompt goes with none of -i, --trace, --batch, -o, --max-tokens")
        run_prompt(directory, prompt, engine, task=task, trust_code=trust_code, as_json=as_json)
        return
    if task is not None or trust_code:
        raise InputError("--task and --trust-code go with --prompt")
    if batch is not None:
        if inputs or trace or as_json or max_tokens is not None:
            raise InputError("--batch goes with none of -i, --trace, --json, --max-tokens")
        _run_batch(load(directory), batch, output, engine, ray)
        return
    if output is not None:
        raise InputError("-o goes with --batch or --cycles", hint="outputs are printed on stdout")
    values = parse_assignments(inputs or [])
    model = load(directory)
    whole = model.manifest.num_chain_tokens
    num_tokens = whole if max_tokens is None else min(max_tokens, whole)
    with progress_bar("thinking", num_tokens, unit="tokens") as advance:
        transcript = model.run(values, engine=engine, max_tokens=max_tokens, progress=advance)
    if trace:
        out = sys.stderr if as_json else sys.stdout
        for line in trace_lines(model, transcript):
            print(line, file=out)
    if as_json:
        tokens = [transcript.vocabulary[token] for token in transcript.chain]
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
    else:
        for name, value in transcript.outputs.items():
            print(f"{name}={value}")
    if num_tokens < whole:
        print(f"cut after {num_tokens} of {whole} chain tokens: no outputs yet", file=sys.stderr)


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
    top: TopOption = None,
    parameters: ParametersOption = None,
    includes: IncludesOption = None,
    sources: SourcesOption = None,
    as_json: Json = False,
) -> None:
    """Run a model and compare every chain token with the circuit; exit 1 if any differs."""
    if exhaustive and samples is not None:
        raise InputError("--samples and --exhaustive exclude each other")
    model = load(directory)
    if against is None and (top is not None or parameters or includes or sources):
        raise InputError("--top, -D, --include and --source go with --against")
    other = None if against is None else read_source(against, top, parameters, includes, sources).circuit
    num_samples = None if exhaustive else samples or 64
    with progress_bar("verifying", num_verified_tokens(model, num_samples), unit="tokens") as advance:
        result = verify(model, against=other, num_samples=num_samples, seed=seed, engine=engine, progress=advance)
    if as_json:
        print(
            json.dumps(
                {
                    "verified": result.verified,
                    "inputs": result.inputs,
                    "tokens": result.tokens,
                    "wrong_inputs": result.wrong_inputs,
                    "first_wrong": result.first_wrong,
                    "engine": result.engine,
                }
            )
        )
    else:
        what = "every input" if exhaustive else "random inputs"
        verdict = "verified" if result.verified else "WRONG"
        print(f"{verdict}: {what}, {result.inputs} run by {result.engine}, {result.wrong_inputs} wrong")
        print(f"tokens compared: {result.tokens}")
        if result.first_wrong:
            print(result.first_wrong)
    if not result.verified:
        raise typer.Exit(1)


def info_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A circuit file or a checkpoint directory.")],
    top: TopOption = None,
    parameters: ParametersOption = None,
    includes: IncludesOption = None,
    sources: SourcesOption = None,
    task: TaskOption = None,
    trust_code: TrustCode = False,
    as_json: Json = False,
) -> None:
    """Print the sizes of a circuit or a checkpoint, one ``key: value`` a line."""
    if path.is_dir():
        facts = _checkpoint_facts(path, task, trust_code=trust_code)
    else:
        sequential = read_source(path, top, parameters, includes, sources)
        circuit = sequential.circuit
        facts = {
            "gates": circuit.num_gates,
            "depth": circuit.depth,
            "inputs": circuit.num_inputs,
            "outputs": circuit.num_outputs,
            "fan_in": circuit.max_arity,
            "input_words": {word.name: word.width for word in circuit.input_words or ()},
            "output_words": {word.name: word.width for word in circuit.output_words or ()},
            **_register_facts(sequential.registers, sequential.num_state_bits),
        }
    if as_json:
        print(json.dumps(facts))
    else:
        print_facts(facts)


def _run_batch(model: Model, source: Path, target: Path | None, engine_name: str, ray: str | None = None) -> None:
    if target is None:
        raise InputError("--batch needs -o OUT.csv")
    if ray is not None:
        _run_batch_on_ray(model, source, target, engine_name, ray)
        return
    engine = model.batch_engine(engine_name)
    blocks = read_blocks(source, model.inputs, model.rows_a_block(engine))
    first = next(blocks, None)  # a bad header is said before anything is written
    with progress_bar("running", count_rows(source), unit="rows") as advance, new_file(target) as file:
        write_header(file, model.outputs)
        for bits in blocks if first is None else chain([first], blocks):
            write_block(file, model.outputs, model.run_bits(bits, engine=engine))
            advance(len(bits))


def _run_batch_on_ray(model: Model, source: Path, target: Path, engine_name: str, address: str) -> None:
    from serialformer.sweeps.ray_batch import open_batch

    num_rows = count_rows(source)
    with open_batch(model, engine_name, address) as cluster:
        blocks = read_blocks(source, model.inputs, cluster.rows_a_block(num_rows))
        answers = cluster.run(blocks)
        first = next(answers, None)  # a bad header is said before anything is written
        with progress_bar("running", num_rows, unit="rows") as advance, new_file(target) as file:
            write_header(file, model.outputs)
            for bits in answers if first is None else chain([first], answers):
                write_block(file, model.outputs, bits)
                advance(len(bits))


def _checkpoint_facts(path: Path, task: str | None = None, *, trust_code: bool = False) -> dict[str, Any]:
    kind = load_kind(path)
    if kind == TASK_KIND:
        return _task_model_facts(load_task_model(path, task=task, trust_code=trust_code))
    if kind == EVALUATOR_KIND:
        from serialformer.cli.evaluator import evaluator_facts  # which imports from here
        from serialformer.evaluator_model import load_evaluator

        return evaluator_facts(load_evaluator(path))
    return model_facts(load(path))


def model_facts(model: Model) -> dict[str, Any]:
    """What is said of a compiled model."""
    architecture, details = model.transformer.architecture, model.manifest.details
    arithmetic = architecture.arithmetic
    return {
        "kind": model.manifest.kind,
        "target": details.get("target", "gpt2"),
        "gates": details["gates"],
        "depth": details["depth"],
        "inputs": model.manifest.num_inputs,
        "outputs": model.manifest.num_outputs,
        "tokens": model.manifest.num_chain_tokens,
        "layers": architecture.num_layers,
        "heads": architecture.num_heads,
        "width": architecture.width,
        "parameters": model.transformer.num_parameters,
        "bytes": model.transformer.num_bytes,
        "dtype": architecture.dtype,
        **({} if arithmetic is None else {"precision": arithmetic.precision}),
        "activation": architecture.activation,
        "attention_gap": details["margins"]["attention_gap"],
        "logit_margin": details["margins"]["logit_margin"],
        "source": details["source"],
        **_optimisation_facts(details.get("optimisation")),
        "input_words": {word.name: word.width for word in model.inputs},
        "output_words": {word.name: word.width for word in model.outputs},
        **_register_facts(model.registers, count_state_bits(model.registers, model.inputs)),
    }


def _optimisation_facts(report: dict[str, Any] | None) -> dict[str, Any]:
    """What optimising did, if the model was compiled from the command line."""
    if report is None:
        return {}
    return {
        "optimisation_level": report["level"],
        "gates_before": report["gates_before"],
        "optimisation_steps": report["steps"],
        "proven": report["proven"],
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


def _task_model_facts(model: TaskModel) -> dict[str, Any]:
    architecture = model.transformer.architecture
    return {
        "kind": TASK_KIND,
        "task": model.task.name,
        "task_parameters": " ".join(f"{name}={value}" for name, value in model.task.parameters.items()),
        "length": model.length,
        "setting": model.setting,
        "tokens": model.num_new_tokens,
        "layers": architecture.num_layers,
        "heads": architecture.num_heads,
        "width": architecture.width,
        "positions": architecture.num_positions,
        "vocabulary": len(architecture.vocabulary),
        "parameters": model.transformer.num_parameters,
        "bytes": model.transformer.num_bytes,
        "dtype": architecture.dtype,
        "activation": architecture.activation,
        "details": dict(model.details),
    }


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
        if key == "details":
            value = json.dumps(value)
        elif isinstance(value, dict):
            shown = [f"{name} ({width} bits)" for name, width in list(value.items())[:8]]
            value = ", ".join(shown) + (f", and {len(value) - 8} more" if len(value) > 8 else "")
        elif isinstance(value, list):
            value = ", ".join(map(str, value)) or "none"
        elif isinstance(value, float):
            value = f"{value:.4g}"
        print(f"{key}: {value}")
