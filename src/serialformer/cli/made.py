"""The summary of a checkpoint that a command has made: three lines for people, or everything."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.cli.options import print_facts
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.info import info
from serialformer.models.model import Model
from serialformer.models.task_items import TaskItems

Verbose = Annotated[bool, typer.Option("--verbose", help="Print all sizes, one key: value a line.")]

_MAX_WORDS = 4


def print_made(output: Path, model: Model, started: float, *, as_json: bool, verbose: bool) -> None:
    """Prints what was made.

    Args:
        output: its directory.
        model: as saved there.
        started: when the command began, by ``time.perf_counter``.
        as_json: one JSON object.
        verbose: every fact, one a line.
    """
    facts = {**info(model), "seconds": round(time.perf_counter() - started, 3)}
    if as_json:
        print(json.dumps(facts))
    elif verbose:
        print_facts({"directory": str(output), **facts})
    else:
        for line in made_lines(output, model, facts):
            print(line)


def made_lines(output: Path, model: Model, facts: dict[str, Any]) -> list[str]:
    """What the model is, what is proven of it, and what to do next.

    Args:
        output: its directory.
        model: as saved there.
        facts: see ``info``.
    """
    made = [_count(facts[name], name) for name in ("gates", "layers", "heads") if name in facts]
    made += [f"width {facts['width']}", f"{facts['parameters']:,} parameters"]
    if facts["tokens"] is not None:
        made.append(f"{_count(facts['tokens'], 'tokens')} an answer")
    return [f"{output}: {', '.join(made)}", _proof_line(facts), *_source_lines(facts), _next_line(output, model)]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what.removesuffix('s') if number == 1 else what}"


def _proof_line(facts: dict[str, Any]) -> str:
    if not facts["certified"]:
        return "certified: no"
    unproven = facts.get("unproven_outputs")
    return "certified: right on every input" + (f", but for {', '.join(unproven)}: too few layers" if unproven else "")


def _source_lines(facts: dict[str, Any]) -> list[str]:
    """How Verilog was read, which no certificate covers."""
    if "read_by" not in facts:
        return []
    return [f"read by {facts['read_by']}; the certificate begins {facts['certificate_begins']}"]


def _next_line(output: Path, model: Model) -> str:
    directory = shlex.quote(str(output))
    if isinstance(model.protocol, TaskItems):
        return f"next: serialformer evaluate {directory}"
    if not isinstance(model.protocol, CircuitWords):
        return f"next: serialformer run {directory} --circuit FILE"
    held = {register.name for register in model.protocol.registers}
    words = [shlex.quote(f"{word.name}=0") for word in model.inputs if word.name not in held]
    cycles = " --cycles 8" if held else ""
    given = "".join(f" -i {word}" for word in words[:_MAX_WORDS])
    return f"next: serialformer run {directory}{given}{' ...' if len(words) > _MAX_WORDS else ''}{cycles}"
