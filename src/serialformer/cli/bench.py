"""The command ``bench``: runs one of the measurements in ``benchmarks/``, which a source checkout has."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from serialformer.errors import InputError

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks"
"""Beside the sources; a wheel does not bring it."""


def bench_command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The benchmark; if omitted, all are listed.")
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGUMENTS", help="Arguments of the benchmark; -- --help lists them."),
    ] = None,
) -> None:
    """Run a benchmark from a source checkout and print a table; without a name, list all benchmarks.

    Benchmarks that compare with other packages need an extra and name it. Run nothing else meanwhile.
    """
    if not FOLDER.is_dir():
        raise InputError(
            "benchmarks come with the sources, not with the installed package",
            where=str(FOLDER),
            hint="in a clone: pip install --editable '.[torch,hdl,dev]'",
        )
    found = find_benchmarks(FOLDER)
    if name is None:
        width = max(map(len, found))
        for known, path in found.items():
            print(f"{known:{width}}  {describe(path)}")
        return
    program = found.get(name.replace("_", "-"))
    if program is None:
        raise InputError(f"no benchmark {name!r}", hint=f"one of {', '.join(found)}")
    sys.exit(subprocess.call([sys.executable, str(program), *(arguments or [])]))


def find_benchmarks(folder: Path) -> dict[str, Path]:
    """The programs of a folder by name, with hyphens; what they only import is not among them."""
    return {
        path.stem.replace("_", "-"): path
        for path in sorted(folder.glob("*.py"))
        if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    }


def describe(path: Path) -> str:
    """The first line of a program's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
