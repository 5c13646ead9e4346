"""Yosys' slang, which reads Verilog and SystemVerilog.

Yosys has a reader of its own too. It lets a write beyond the end of an array wrap round where the array becomes
registers, takes no notice of a loop that changes its own variable, and obeys comments that no simulator sees; it is not
asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from serialformer.circuits.verilog.combinational import COMBINATIONAL
from serialformer.circuits.verilog.ignored import tokens_of
from serialformer.circuits.verilog.jumps import JUMP_MACROS
from serialformer.circuits.verilog.messages import error_at
from serialformer.circuits.verilog.sources import Sources
from serialformer.circuits.verilog.yosys import Run, excerpt, log_to_error, quote, run_yosys
from serialformer.errors import FormatError, ToolError

_SLANG_OPTIONS = (
    # One unit, as simulators read a list of files: what one defines, the next may use.
    *("--single-unit", "--ignore-assertions", "--error-limit 0", "--timescale 1ns/1ps"),
    *("--allow-use-before-declare", "--relax-enum-conversions", "--relax-string-conversions"),
    *("--allow-merging-ansi-ports", "--allow-genblk-reference"),
    # What is beyond the end of an array is x to read and not there to write, also where the index is a constant.
    *("-Wno-index-oob", "-Wno-range-oob"),
    # Where slang keeps a memory whole, it takes an index below zero for one beyond its end.
    "--no-implicit-memories",
)
_TOPS = re.compile(r"Top level design units:\n((?:    \S+\n)*)")
_LEFT_OUT = re.compile(r"(?m)^(\S[^\n]*?:\d+[.\d-]*): Warning: (wait|expect) statement will not be synthesized$")
_KEYWORDS = {**JUMP_MACROS, COMBINATIONAL: "always_comb"}
"""Macros for words that slang may not know in a file, depending on the version that it is read as."""

MAX_SECONDS = 30.0
"""CPU time that slang may take to read blocks of which it is known that the time can be exponential."""

_NO_TOP = re.compile(r"'[^']*' is not a valid top-level")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A design that slang has read.

    Attributes:
        language: as what: ``Verilog-2005`` or ``SystemVerilog``.
        top: the module at which it began.
        run: of Yosys.
    """

    language: str
    top: str
    run: Run


def read_design(
    sources: Sources,
    top: str | None,
    parameters: Mapping[str, str],
    commands: Sequence[str],
    made: Path,
    directory: Path,
) -> Reading:
    """Reads a design and runs further commands; old keywords are tried first where a file's name ends in .v.

    Args:
        sources: the files.
        top: the module to begin at; None: the only one that no other instantiates.
        parameters: of the top module, as literals.
        commands: what to do with the design; the last of them makes a file.
        made: that file.
        directory: where further files may lie.

    Raises:
        ToolError: this Yosys has no slang.
        FormatError: the design cannot be read: of two attempts the error of the one that came farther.
    """
    failed: list[Run] = []
    for language, command, limit in _commands(sources, directory):
        given = "".join(f" -G {name}={value}" for name, value in parameters.items())
        begin = "" if top is None else f" --top {top}"
        made.unlink(missing_ok=True)
        run = sources.restore(run_yosys([f"{command}{begin}{given}", *commands], directory, limit))
        if "No such command: read_slang" in run.log:
            raise ToolError("this Yosys has no reader called slang", hint="pip install 'serialformer[hdl]'")
        roots = _tops_of_log(run.log)
        if top is None and len(roots) > 1:
            raise _several_tops(roots, sources)
        begun = top or next(iter(roots), None)
        if made.exists() and begun is not None:
            _refuse_what_is_left_out(run, sources)
            return Reading(language=language, top=begun, run=run)
        if not run.ended:
            raise _too_slow(sources)
        failed.append(run)
    names = sorted(set(module_names(sources)))
    if not names:
        raise FormatError("holds no module", where=sources.paths[0], hint="is this Verilog?")
    farthest = max(failed, key=_place_of_error)
    if top is not None and _NO_TOP.search(farthest.log):
        raise FormatError(
            f"no module {top!r}", where=sources.paths[0], hint=f"the modules are: {', '.join(names[:12])}"
        )
    raise log_to_error(farthest, list(sources.paths), sources.kept)


def _too_slow(sources: Sources) -> FormatError:
    assert sources.slow is not None, "only such sources have a limit"
    path, line = sources.slow
    return FormatError(
        f"the reader did not end within {MAX_SECONDS:.0f} seconds of CPU time. A case of many labels on a wide word can"
        f" take it exponential time in this block{excerpt(path, line)}",
        where=f"{path}:{line}",
        hint="write always_comb there, with variables that no other block assigns; or give each output a value before"
        " the case",
    )


def _refuse_what_is_left_out(run: Run, sources: Sources) -> None:
    """Raises where slang only warns that it leaves a statement out on which the result depends."""
    found = _LEFT_OUT.search(run.log)
    if found is not None:
        raise error_at(
            f"expected a statement that takes no time, found {found[2]}, which is not read",
            found[1],
            sources.paths[0],
            hint=f"{found[2]} is for testbenches: leave it out",
        )


def _commands(sources: Sources, directory: Path) -> Iterator[tuple[str, str, float | None]]:
    """The languages to try, the Yosys commands that read the sources in them, and the time limits in seconds.

    First of all without the blocks that slang reads slowly; a failure then may be due to how these were written.
    """
    forms: list[tuple[str, tuple[str, ...], float | None]] = [
        ("files", sources.files, MAX_SECONDS if sources.slow else None)
    ]
    if sources.faster_files != sources.files:
        forms.insert(0, ("faster", sources.faster_files, None))
    folders = [f"-I {quote(folder)}" for folder in sources.folders]
    defined = [f"-D {name}={text}" for name, text in (_KEYWORDS | dict(sources.macros)).items()]
    for form, files, limit in forms:
        listing = directory / f"{form}.f"  # slang takes quotes only in there
        listing.write_text("\n".join([*folders, *map(quote, files)]) + "\n")
        command = " ".join(["read_slang", *_SLANG_OPTIONS, *defined, f"-f {listing}"])
        if sources.has_verilog_2005:
            yield "Verilog-2005", f"{command} --map-keyword-version 1364-2005+/.../*.v,/.../*.vh", limit
        yield "SystemVerilog", command, limit


def module_names(sources: Sources) -> list[str]:
    """The names that the files give to modules."""
    names: list[str] = []
    for text in sources.texts():
        words = [token.text for token in tokens_of(text)]
        names += [
            name.removeprefix("\\")
            for word, name in pairwise(word for word in words if word not in ("automatic", "static"))
            if word in ("module", "macromodule")
        ]
    return names


def unknown_parameters(names: Sequence[str], top: str, sources: Sources) -> FormatError:
    """The error to raise about parameters that the top module does not have."""
    declared = {name for text in sources.texts() for name in re.findall(r"\bparameter\b[^=;]*?(\w+)\s*=", text)}
    return FormatError(
        f"module {top!r} has no parameter {', '.join(map(repr, names))}",
        where=sources.paths[0],
        hint=f"parameters in the sources: {', '.join(sorted(declared)) or 'none'}",
    )


def _several_tops(roots: Sequence[str], sources: Sources) -> FormatError:
    shown = ", ".join(sorted(roots)[:12])
    return FormatError(
        f"expected one top module, found {len(roots)}: {shown}",
        where=sources.paths[0],
        hint="choose one with --top NAME",
    )


def _tops_of_log(log: str) -> list[str]:
    found = _TOPS.search(log)
    return [] if found is None else found[1].split()


def _place_of_error(run: Run) -> int:
    """The line at which a run stopped: of two attempts, the one that got farther knows better what is wrong."""
    places = [int(match[1]) for match in re.finditer(r"(?m)^\S[^\n]*?:(\d+)(?:\.\d+)?(?:-[\d.]+)?: ERROR:", run.log)]
    return min(places, default=1 << 30)
