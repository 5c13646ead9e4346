"""The command ``run``: asks a model for its outputs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.read_write import read
from serialformer.circuits.value_problem import TOKENS_PER_GATE, translate_circuit
from serialformer.cli.clock import ClockOptions, InitialOption, run_clock
from serialformer.cli.options import Directory, EngineFlag, Json
from serialformer.cli.progress import progress_bar
from serialformer.cli.tasks import TaskOption, TrustCode
from serialformer.cli.values import parse_assignments
from serialformer.errors import InputError
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.depth import unproven_outputs
from serialformer.models.load import load
from serialformer.models.model import Model
from serialformer.models.tables import count_rows, run_table
from serialformer.models.task_items import TaskItems
from serialformer.models.trace import trace_lines
from serialformer.models.transcript import Transcript
from serialformer.notebook import first_few


def run_command(
    directory: Directory,
    inputs: Annotated[
        list[str] | None, typer.Option("-i", "--input", metavar="NAME=VALUE", help="An input word; decimal, 0x or 0b.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Print each chain token with its gate.")] = False,
    engine: EngineFlag = "auto",
    batch: Annotated[
        Path | None,
        typer.Option(
            "--batch", metavar="IN.csv", help="Inputs, one run per row, with columns named like the input words."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.csv", help="The file that --batch writes.")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, metavar="N", help="Stop after N chain tokens; use with --trace or --json."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="TEXT", help="For a model of a task or an evaluator: the prompt."),
    ] = None,
    circuit: Annotated[
        Path | None,
        typer.Option("--circuit", metavar="FILE", help="For an evaluator: the circuit to evaluate."),
    ] = None,
    cycles: Annotated[
        int | None,
        typer.Option("--cycles", min=0, metavar="N", help="For a circuit with registers: run N clock cycles."),
    ] = None,
    stimulus: Annotated[
        Path | None,
        typer.Option(
            "--stimulus",
            metavar="IN.csv",
            help="Inputs, one row per cycle, with a column for each input not set by -i.",
        ),
    ] = None,
    vcd: Annotated[Path | None, typer.Option("--vcd", metavar="OUT.vcd", help="The waveform file to write.")] = None,
    initial: Annotated[
        InitialOption | None,
        typer.Option("--initial", help="Initial value for registers that specify none."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The seed for --initial random; by default 0.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="auto|ADDRESS", help="With --batch: run the rows on a Ray cluster.")
    ] = None,
    task: TaskOption = None,
    trust_code: TrustCode = False,
    as_json: Json = False,
) -> None:
    """Run a model on its input words and print its output words."""
    if ray is not None and batch is None:
        raise InputError("--ray requires --batch")
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
            raise InputError("--batch cannot be combined with -i, --trace, --json, --max-tokens, --prompt or --circuit")
        _run_batch(load(directory), batch, output, engine, ray)
        return
    if output is not None:
        raise InputError("-o requires --batch or --cycles", hint="outputs are printed on stdout")
    if prompt is not None and circuit is not None:
        raise InputError("--circuit and --prompt cannot be combined")
    if prompt is not None and (inputs or trace or max_tokens is not None):
        raise InputError("--prompt cannot be combined with -i, --trace, --batch, -o or --max-tokens")
    model = load(directory, task=task, trust_code=trust_code)
    given = None if circuit is None else read(circuit)
    question = _question(given, prompt, parse_assignments(inputs or []))
    whole = _num_tokens(model, given)
    num_tokens = whole if max_tokens is None or whole is None else min(max_tokens, whole)
    with progress_bar("thinking", num_tokens, unit="tokens") as advance:
        transcript = model.run(*question, engine=engine, max_tokens=max_tokens, progress=advance)
    lines = list(trace_lines(model, transcript, given)) if trace else None
    _print_transcript(transcript, lines, as_json=as_json, is_text=prompt is not None)
    if transcript.answer != transcript.expected:
        print(f"the true answer is {' '.join(transcript.expected)}{_other_length(model, transcript)}", file=sys.stderr)
    if unproven := unproven_outputs(model):
        print(f"too few layers, nothing is proven of {first_few(unproven)}", file=sys.stderr)
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
    if isinstance(model.protocol, CircuitPrompt) and model.protocol.setting == "cot":
        return None if circuit is None else TOKENS_PER_GATE * translate_circuit(circuit).problem.num_gates
    return model.num_new_tokens


def _print_transcript(transcript: Transcript, trace: list[str] | None, *, as_json: bool, is_text: bool) -> None:
    """The trace, and outputs of words, or the chain and the answer of a prompt that was given as text."""
    if as_json:
        print(json.dumps(transcript.to_json() if trace is None else {**transcript.to_json(), "trace": trace}))
    else:
        for line in trace or ():
            print(line)
        _print_answer(transcript, is_text=is_text)


def _other_length(model: Model, transcript: Transcript) -> str:
    """What explains a wrong answer if the prompt has another length than the model was made for."""
    if not isinstance(model.protocol, TaskItems):
        return ""
    length = model.task.num_items(len(transcript.prompt) - 1)
    return "" if length == model.length else f"; the prompt has length {length}, the model was made for {model.length}"


def _print_answer(transcript: Transcript, *, is_text: bool) -> None:
    if transcript.expected:
        print(f"chain: {' '.join(transcript.made)}")
        print(f"answer: {' '.join(transcript.answer)}")
    elif is_text:
        print(" ".join(transcript.made))
    else:
        for name, value in transcript.outputs.items():
            print(f"{name}={value}")


def _run_batch(model: Model, source: Path, target: Path | None, engine: str, ray: str | None = None) -> None:
    if target is None:
        raise InputError("--batch needs -o OUT.csv")
    with progress_bar("running", count_rows(source), unit="rows") as advance:
        if ray is None:
            run_table(model, source, target, engine=engine, progress=advance)
        else:
            from serialformer.sweeps.ray_batch import run_table_on_ray

            run_table_on_ray(model, source, target, ray, engine=engine, progress=advance)
