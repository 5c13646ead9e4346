"""Writes the reference from the docstrings and from ``--help``: ``python docs/reference/generate.py [FOLDER]``."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from typer.testing import CliRunner

import serialformer
from serialformer.cli.main import app

HERE = Path(__file__).resolve().parent

MODULES = (
    *("circuits.formats.aiger.aiger", "circuits.formats.bench", "circuits.formats.blif.blif"),
    *("circuits.formats.bristol", "circuits.verilog.verilog"),
    *("circuits.evaluate", "circuits.value_problem", "circuits.strategies"),
    *("constructions.construction", "constructions.interpret", "constructions.schedule", "models.lower"),
    *(
        "transformer.transformer",
        "transformer.names",
        "transformer.checkpoint",
        "transformer.forward",
        "transformer.precision",
    ),
    *("decode.engine", "tasks.registry", "tasks.task", "tasks.examples", "tasks.layout", "tasks.curriculum"),
    *(
        "tasks.step_task",
        "tasks.text",
        "models.protocol",
        "models.provenance",
        "models.evaluate",
        "models.score",
        "models.source",
        "training.config",
        "training.presets",
    ),
    *("sweeps.experiment", "sweeps.run", "errors"),
)
"""Beyond the public names: what the guides use, and what a program that extends us needs."""

NOTE = "<!-- Written by docs/reference/generate.py from the docstrings and from --help; change those. -->\n\n"

_SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):\s*$")
_ENTRY = re.compile(r"(\S[^:]*): ?(.*)")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, text in (("python", public_page()), ("modules", module_page()), ("command-line", command_page())):
        (folder / f"{name}.md").write_text(NOTE + text)


def public_page() -> str:
    parts = ["# Python\n\nWhat `import serialformer` gives, in alphabetical order.\n"]
    for name in sorted(serialformer.__all__, key=str.lower):
        parts.extend(describe(f"serialformer.{name}", getattr(serialformer, name), level=2))
    return "\n".join(parts)


def module_page() -> str:
    parts = [
        "# Modules\n\nWhat the guides use beyond the [public names](python.md), and what a program that extends"
        " serialformer needs. These names may move before version 1.\n"
    ]
    public = {id(getattr(serialformer, name)) for name in serialformer.__all__}
    for name in MODULES:
        module = importlib.import_module(f"serialformer.{name}")
        parts += [f"## serialformer.{name}\n", markdown(inspect.getdoc(module) or "")]
        for member, value in own_members(module):
            if id(value) in public:
                parts.append(f"`{member}` is public: see [Python](python.md).\n")
            else:
                parts.extend(describe(member, value, level=3))
    return "\n".join(parts)


def own_members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public classes and functions that a module defines itself, in its order."""
    for name, value in vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__
        if own and not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
            yield name, value


def describe(name: str, value: Any, *, level: int) -> Iterator[str]:
    """A heading, the signature and the docstring; for a class of ours also its public methods and properties."""
    yield f"{'#' * level} {name.removeprefix('serialformer.')}\n"
    if inspect.isfunction(value) or inspect.isclass(value):
        yield signature(name, value)
    text = inspect.getdoc(value) or ""
    if inspect.isclass(value) and re.match(rf"{re.escape(value.__name__)}\(", text):
        text = ""  # made by dataclass: the signature again
    yield markdown(text)
    if inspect.isclass(value):
        for member, found in vars(value).items():
            is_property = isinstance(found, property | cached_property)
            function = getattr(found, "fget", None) or getattr(found, "func", None) or getattr(found, "__func__", found)
            described = inspect.isfunction(function) and not member.startswith("_")
            if described and function.__module__.startswith("serialformer"):
                short = f"{value.__name__}.{member}"
                yield f"**`{short}`**{' (property)' if is_property else ''}\n"
                if not is_property:
                    yield signature(short, function)
                yield markdown(inspect.getdoc(function) or "")


def signature(name: str, value: Any) -> str:
    """The call as it is written, a parameter a line where it would be too long for one."""
    try:
        found = inspect.signature(value)
    except ValueError:
        return ""
    parameters = list(found.parameters.values())
    line = f"{name}{found}".replace("'", "")
    if len(line) > 90 and parameters:
        words, starred = [], False
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY and not starred:
                words.append("*")
            starred |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
            words.append(str(parameter).replace("'", ""))
        result = line.rpartition(" -> ")[2] if found.return_annotation is not found.empty else ""
        line = f"{name}(\n" + "".join(f"    {word},\n" for word in words) + ")" + (f" -> {result}" if result else "")
    line = re.sub(r"<factory>|<object object at 0x[0-9a-f]+>|<class ([^>]*)>", lambda hit: hit[1] or "...", line)
    return f"```python\n{line}\n```\n"


def markdown(text: str) -> str:
    """A docstring in Google's style as Markdown: its sections as lists, its examples as code."""
    shown: list[str] = []
    in_section = in_example = False
    for line in text.splitlines():
        if in_example and not line.strip():
            in_example = False
            shown.append("```")
        if line.lstrip().startswith(">>>") and not in_example:
            in_example = True
            shown += ["", "```pycon"]
        if in_example:
            shown.append(line)
        elif section := _SECTION.match(line):
            in_section = True
            shown += ["", f"*{section[1]}*", ""]
        elif in_section and line.startswith("    "):
            entry = _ENTRY.match(line[4:])
            if line[4] == " ":
                shown.append("  " + line.strip())
            elif entry and re.fullmatch(r"[\w*. (),]+", entry[1]):
                shown.append(f"- `{entry[1]}`: {entry[2]}")
            else:
                shown.append(line.strip())
        else:
            in_section = in_section and not line.strip()
            shown.append(line)
    if in_example:
        shown.append("```")
    text = re.sub(r"\n{3,}", "\n\n", re.sub(r"(?<!`)``([^`]+)``(?!`)", r"`\1`", "\n".join(shown))).strip()
    return f"{text}\n" if text else ""


def command_page() -> str:
    parts = [
        "# Command line\n\nWhat `--help` prints. Data goes to stdout, everything else to stderr. Exit status 0 is"
        " success, 1 means that the answer is no\n(a model that fails verification, say), 2 bad input, 130 Ctrl-C, 141"
        " that whoever reads the output has closed it (`| head -1`).\n"
        "`serialformer --install-completion` lets the shell complete commands and options.\n"
    ]
    overview = help_of()
    parts += ["## serialformer\n", f"```text\n{overview}```\n"]
    commands = overview.partition("Commands:\n")[2].partition("\n\n")[0]
    for line in commands.splitlines():
        if line.startswith("  ") and line[2] != " ":
            name = line.split()[0]
            parts += [f"## {name}\n", f"```text\n{help_of(name)}```\n"]
    return "\n".join(parts)


def help_of(*command: str) -> str:
    """As on a terminal of 80 columns."""
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="serialformer", terminal_width=80, color=False)
    assert result.exit_code == 0, result.output
    return str(result.output).rstrip() + "\n"


if __name__ == "__main__":
    main()
