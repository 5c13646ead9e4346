"""The command ``tasks``: lists the problems that models can learn or compute."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from serialformer.cli.options import print_facts
from serialformer.errors import TaskError
from serialformer.files import new_file
from serialformer.tasks.registry import ALIASES, TASKS, make_task, parse_task
from serialformer.tasks.task import Task
from serialformer.tasks.text import write_tokens

Parameters = Annotated[
    list[str] | None, typer.Option("-p", "--parameter", metavar="KEY=VALUE", help="A parameter of the task.")
]

_SAMPLES_AT_ONCE = 1000

TaskOption = Annotated[
    str | None,
    typer.Option("--task", metavar="FILE.py:Class", help="For a model of your own task: the file that defines it."),
]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Run the task source stored in the checkpoint.")]


def tasks_command(
    name: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Describe this task, or FILE.py:Class.")] = None,
    parameters: Parameters = None,
    length: Annotated[
        int | None, typer.Option("--length", metavar="N", help="The number of items in the example.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="K", help="Seed of the example or the samples.")] = 0,
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, metavar="N", help="Write N samples of this task to -o.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DATA.jsonl",
            help="With --samples: prompt, chain and answer on each line.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List the tasks: complexity class, parameters, sizes and an example of each."""
    if name is None and (parameters or length is not None):
        raise TaskError("-p and --length go with a TASK", hint=f"one of {', '.join((*TASKS, *ALIASES))}")
    if (samples is None) != (output is None):
        raise TaskError("--samples N and -o DATA.jsonl require each other")
    if samples is not None and output is not None:
        if name is None:
            raise TaskError("--samples requires a TASK", hint=f"one of {', '.join((*TASKS, *ALIASES))}")
        _write_samples(parse_task(name, parameters or []), length, seed, samples, output, as_json=as_json)
        return
    tasks = [make_task(known) for known in TASKS] if name is None else [parse_task(name, parameters or [])]
    facts = {task.name: _facts(task, task.example_length if length is None else length, seed) for task in tasks}
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    for number, (task_name, entry) in enumerate(facts.items()):
        if number:
            print()
        print(task_name)
        for key in ("class", "aliases", "length_counts", "parameters", "prompt", "chain", "answer"):
            value = entry[key]
            if key == "aliases":
                if value:
                    print(f"  also: {', '.join(name + (f' ({what})' if what else '') for name, what in value.items())}")
                continue
            if isinstance(value, dict):
                value = " ".join(f"{parameter}={given}" for parameter, given in value.items()) or "none"
            print(f"  {key.replace('_', ' ')}: {value}")
        if name is not None:
            print(f"  sizes: {entry['vocabulary']} tokens in the vocabulary, at most", end=" ")
            print(f"{entry['prompt_tokens']} in a prompt, {entry['chain_tokens']} in a chain")
            for curriculum, what in entry["curricula"].items():
                print(f"  curriculum {curriculum}: {what}")
            print(f"\n{entry['description']}")


def _write_samples(task: Task, length: int | None, seed: int, num_samples: int, output: Path, *, as_json: bool) -> None:
    """Samples of a task as text, an object a line."""
    random = np.random.default_rng(seed)
    length = task.example_length if length is None else length
    vocabulary = task.vocabulary(length)
    with new_file(output) as file:
        for start in range(0, num_samples, _SAMPLES_AT_ONCE):
            made = task.sample(random, length, min(_SAMPLES_AT_ONCE, num_samples - start))
            for prompt, prompt_length, chain, chain_length, answer in zip(
                made.prompts, made.prompt_lengths, made.chains, made.chain_lengths, made.answers, strict=True
            ):
                row = {
                    "prompt": write_tokens(prompt[:prompt_length].tolist(), vocabulary),
                    "chain": write_tokens(chain[:chain_length].tolist(), vocabulary),
                    "answer": write_tokens(answer.tolist(), vocabulary),
                }
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    facts = {"file": str(output), "samples": num_samples, "length": length}
    if as_json:
        print(json.dumps(facts))
    else:
        print_facts(facts)


def _facts(task: Task, length: int, seed: int) -> dict[str, Any]:
    """What is listed of a task; sizes and example are of this length."""
    vocabulary = task.vocabulary(length)
    examples = task.sample(np.random.default_rng(seed), length, 1)
    prompt = examples.prompts[0, : examples.prompt_lengths[0]].tolist()
    chain = examples.chains[0, : examples.chain_lengths[0]].tolist()
    return {
        "class": task.complexity,
        "version": task.version,
        "curricula": dict(task.curricula),
        "aliases": {alias: what for alias, (known, what) in ALIASES.items() if known == task.name},
        "length_counts": task.items,
        "parameters": task.parameters,
        "length": length,
        "vocabulary": len(vocabulary),
        "prompt_tokens": task.prompt_width(length),
        "chain_tokens": task.chain_width(length),
        "prompt": write_tokens(prompt, vocabulary),
        "chain": write_tokens(chain, vocabulary),
        "answer": write_tokens(examples.answers[0].tolist(), vocabulary),
        "description": (inspect.getdoc(type(task)) or "").replace("``", "`"),
    }
