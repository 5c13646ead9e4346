"""The commands ``interp-suite`` and ``interp-score``: models with known explanations, and a judge of explanations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from serialformer.cli.options import Force, Json, refuse_existing
from serialformer.cli.progress import progress_bar
from serialformer.errors import InputError


def interp_suite_command(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to create.")],
    models: Annotated[
        list[str] | None, typer.Option("--model", metavar="NAME", help="Only this model; may be repeated.")
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=1, metavar="N", help="Prompt pairs per model.")] = 24,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="K", help="Seed of the prompts.")] = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write models with known explanations, including prompts, counterfactuals and ground truth."""
    from serialformer.interp.suite import MEMBERS, write_suite

    known = [member.name for member in MEMBERS]
    unknown = [name for name in models or [] if name not in known]
    if unknown:
        raise InputError(f"no model {', '.join(unknown)}", where="--model", hint=f"one of {', '.join(known)}")
    refuse_existing(output, force=force)
    with progress_bar("making models", len(models or known), unit="models") as advance:
        facts = write_suite(
            output, names=tuple(models or ()), seed=seed, num_pairs=pairs, overwrite=force, progress=advance
        )
    if as_json:
        print(json.dumps({"directory": str(output), "models": facts}))
        return
    for fact in facts:
        layers = f"{fact['layers']} layer{'' if fact['layers'] == 1 else 's'}"
        print(f"{fact['name']}: {layers}, {fact['true_edges']} of {fact['edges']} edges are true")


def interp_score_command(
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="truth.json of a model of the suite, or its folder.")],
    edges: Annotated[
        Path,
        typer.Argument(metavar="EDGES.json", help="Scores of edges by name, or a graph of EAP-IG or MIB (.json, .pt)."),
    ],
    task: Annotated[
        str | None, typer.Option("--task", metavar="INPUT=VALUE", help="For a model of two tasks: score this one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score an explanation, given as edge scores, against the ground truth of a model."""
    from serialformer.interp.circuit_scores import read_pairs, score_circuit
    from serialformer.interp.judge import judge, rank_edges, read_scores, read_truth
    from serialformer.models.load import load

    content = read_truth(truth)
    if task is not None:
        tasks = content.get("tasks", {})
        if task not in tasks:
            raise InputError(f"no task {task!r}", where="--task", hint=f"one of {', '.join(tasks)}" if tasks else None)
        content = tasks[task]
    scores = read_scores(edges, content["edges"])
    judgement = judge(content, scores).to_json()
    if truth.is_dir() and (truth / "pairs.jsonl").is_file():
        pairs = read_pairs(truth / "pairs.jsonl")
        chosen = pairs if task is None else [pairs[place] for place in content["pairs"]]
        circuit = rank_edges(scores)[: judgement["true_edges"]]
        judgement |= score_circuit(load(truth / "model").transformer, chosen, circuit).to_json()
    if as_json:
        print(json.dumps(judgement))
        return
    for name, value in judgement.items():
        print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
