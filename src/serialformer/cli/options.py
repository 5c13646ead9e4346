"""Options shared by several commands, and the output of commands that write a directory. Loads quickly."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.decode.engine import ENGINE_NAMES
from serialformer.errors import InputError
from serialformer.files import check_replaceable


class DtypeOption(StrEnum):
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


Directory = Annotated[Path, typer.Argument(metavar="DIR", help="A checkpoint directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
EngineFlag = Annotated[
    str,
    typer.Option(
        "--engine", metavar="|".join(ENGINE_NAMES), help="The engine that runs the model; auto chooses the fastest."
    ),
]

HiddenOption = Annotated[
    int | None, typer.Option("--hidden", metavar="N", min=1, help="llama: dimensions of the residual stream.")
]
KeyHeadsOption = Annotated[
    int | None, typer.Option("--kv-heads", metavar="N", min=1, help="llama: key-value heads; by default 2.")
]
TieOption = Annotated[
    bool, typer.Option("--tie", help="llama: the output head is the token embedding (tie_word_embeddings).")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output of serialformer.")]

RotateOption = Annotated[
    int | None,
    typer.Option(
        "--rotate", metavar="SEED", min=0, help="Rotate the residual stream randomly, which makes the weights dense."
    ),
]


def refuse_existing(output: Path, *, force: bool = False) -> None:
    """Refuses an existing directory before the work starts; saving checks again."""
    if not output.exists():
        return
    if not force:
        raise InputError("exists already", where=str(output), hint="--force replaces it; or choose another name")
    check_replaceable(output)


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
