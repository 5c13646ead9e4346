"""The command ``evaluate``: how often a model of a task is right."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.cli.progress import progress_bar
from serialformer.cli.tasks import TaskOption, TrustCode
from serialformer.decode.engine import ENGINE_NAMES
from serialformer.errors import InputError
from serialformer.models.evaluate import Evaluation, evaluate
from serialformer.models.load import load
from serialformer.models.model import Model
from serialformer.models.score import Score

MAX_LENGTHS = 10_000


def evaluate_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A checkpoint directory of a task.")],
    length: Annotated[
        str | None,
        typer.Option("--length", metavar="N|N:M", help="One length, or all from N to M; by default the model's own."),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, metavar="N", help="Prompts per length.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="K", help="The seed of the prompts.")] = 0,
    engine: Annotated[
        str,
        typer.Option("--engine", metavar="|".join(ENGINE_NAMES), help="The engine that generates; auto chooses one."),
    ] = "auto",
    task: TaskOption = None,
    trust_code: TrustCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Score a model on fresh samples of its task, both teacher-forced (after the true chain) and generated."""
    model = load(directory, task=task, trust_code=trust_code)
    lengths = _parse_lengths(length, model.length)
    for number in lengths:
        model.token_ids(number)  # said before the work, not after it
    results = []
    with progress_bar("evaluating", samples * len(lengths), unit="samples") as advance:
        for number in lengths:
            result = evaluate(model, length=number, num_samples=samples, seed=seed, engine=engine, progress=advance)
            results.append(result)
            if engine == "auto" and result.engine == "dense":
                engine = "dense"  # what auto gave up on once it need not try at every length
    if as_json:
        print(json.dumps(_facts(model, results, seed)))
    else:
        _print_results(model, results, seed)


def _parse_lengths(text: str | None, default: int) -> list[int]:
    """The lengths that ``--length`` asks for.

    >>> _parse_lengths("4", 1), _parse_lengths("2:4", 1), _parse_lengths(None, 7)
    ([4], [2, 3, 4], [7])
    """
    if text is None:
        return [default]
    match = re.fullmatch(r"(\d{1,9})(?::(\d{1,9}))?", text.strip())
    if match is None:
        raise InputError(f"expected N or N:M, found {text!r}", where="--length")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise InputError(f"{last} is below {first}", where="--length", hint=f"write {last}:{first}")
    if last - first >= MAX_LENGTHS:
        raise InputError(f"{last - first + 1:,} lengths, over {MAX_LENGTHS:,}", where="--length")
    return list(range(first, last + 1))


def _facts(model: Model, results: list[Evaluation], seed: int) -> dict[str, Any]:
    """The JSON object; several lengths are summed, and each is also an entry of ``lengths``."""
    total = sum((result.score for result in results), Score())
    facts: dict[str, Any] = {
        "task": model.task.name,
        "parameters": model.task.parameters,
        "setting": model.setting,
        "length": results[0].length if len(results) == 1 else f"{results[0].length}:{results[-1].length}",
        "model_length": model.length,
        "samples": total.samples,
        "seed": seed,
        "engine": results[-1].engine,
        "seconds": round(sum(result.seconds for result in results), 3),
        **_shares(total),
    }
    if len(results) > 1:
        facts["lengths"] = [
            {"length": result.length, "samples": result.score.samples, **_shares(result.score)} for result in results
        ]
    return facts


def _shares(score: Score) -> dict[str, Any]:
    intervals = {f"{name}_interval": [round(end, 6) for end in ends] for name, ends in score.intervals.items()}
    return {**score.accuracies, **intervals, "counts": score.counts}


def _print_results(model: Model, results: list[Evaluation], seed: int) -> None:
    parameters = "".join(f" {name}={value}" for name, value in model.task.parameters.items())
    print(f"task: {model.task.name}{parameters}")
    print(f"setting: {model.setting}, made for length {model.length}")
    if len(results) > 1:
        columns = ("chain", "answer", "generated chain", "generated answer")
        print(f"{results[0].score.samples} samples of each length, seed {seed}, engine {results[-1].engine}")
        print("  ".join(("length", *columns)))
        for result in results:
            shares = list(result.score.accuracies.values())
            cells = (f"{share:{len(column)}.4f}" for column, share in zip(columns, shares, strict=False))
            print("  ".join((f"{result.length:6}", *cells)))
        return
    for result in results:
        score, intervals = result.score, result.score.intervals
        print(f"length {result.length}: {score.samples} samples, seed {seed}, engine {result.engine}")
        for name, share in score.accuracies.items():
            low, high = intervals.get(name, (None, None))
            bounds = "" if low is None else f"  (95 %: {low:.4f} to {high:.4f})"
            print(f"  {name}: {share:.4f}{bounds}")
