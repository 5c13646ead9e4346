"""The files of a design as Yosys is given them, and the places in them that its messages and designs name."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from serialformer.circuits.verilog.combinational import find_slow_blocks
from serialformer.circuits.verilog.ignored import (
    blank_ignored,
    case_in_initial,
    escaped_modules,
    increment_behind_choice,
    rename_modules,
)
from serialformer.circuits.verilog.jumps import rewrite_jumps
from serialformer.circuits.verilog.macros import Macros
from serialformer.circuits.verilog.yosys import Run, excerpt, quote
from serialformer.errors import FormatError
from serialformer.files import read_file


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The files of a design.

    Attributes:
        paths: as they were given.
        files: those that Yosys reads: the same, or copies without what computes nothing and what slang does not read.
        faster_files: the same with blocks that slang reads slowly in another form.
        slow: the file and line of the first of these blocks.
        folders: where included files are.
        macros: what is defined before the first line.
        renamed: what modules are called in the files whose own names need a backslash.
        ignored: how often what was left out.
        kept: why a loop or a jump was left as it is, by file and line.
        is_systemverilog: whether there are statements that Verilog-2005 does not know.
    """

    paths: tuple[str, ...]
    files: tuple[str, ...]
    faster_files: tuple[str, ...]
    folders: tuple[str, ...]
    macros: Mapping[str, str]
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    kept: Mapping[tuple[str, int], str] = field(default_factory=dict)
    is_systemverilog: bool = False
    slow: tuple[str, int] | None = None

    @property
    def has_verilog_2005(self) -> bool:
        """Whether a file is called Verilog, not SystemVerilog, and no statement contradicts that."""
        return not self.is_systemverilog and any(path.lower().endswith(".v") for path in self.paths)

    def restore(self, run: Run) -> Run:
        """The run with the files in its log called what the user calls them."""
        return replace(run, log=self.restore_text(run.log))

    def restore_text(self, text: str) -> str:
        """A log or a design with the files in it called what the user calls them."""
        called = [*zip(self.paths, self.paths, strict=True), *zip(self.paths, self.files, strict=True)]
        called += [*zip(self.paths, self.faster_files, strict=True)]
        for path, file in sorted(called, key=lambda pair: -len(pair[1])):
            for name in (file, os.path.relpath(file)):  # slang names files from the working directory on
                if name != path:
                    text = re.sub(rf"(?m)(?<![^\s\"|]){re.escape(name)}(?=:\d)", path.replace("\\", r"\\"), text)
        return text

    def texts(self) -> list[str]:
        """What is in the files."""
        return [Path(file).read_text(encoding="utf-8", errors="replace") for file in self.files]


def prepare_sources(
    paths: Sequence[str],
    includes: Sequence[str | os.PathLike[str]],
    macros: Mapping[str, str],
    directory: Path,
) -> Sources:
    """Checks the files and leaves out of copies what computes nothing.

    Raises:
        FormatError: a file is empty, or there is no such directory for included files.
    """
    if not paths:
        raise FormatError("no Verilog file given")
    folders = [str(folder) for folder in includes]
    for folder in folders:
        if not Path(folder).is_dir():
            raise FormatError("no such directory", where=folder, hint="--include takes a directory")
    texts = [read_file(path).decode("utf-8", errors="replace") for path in paths]
    odd = dict.fromkeys(name for text in texts for name in escaped_modules(text))
    renamed = {name: f"renamed{number}_{re.sub('[^0-9A-Za-z]', '_', name)}" for number, name in enumerate(odd)}
    for name in [*paths, *folders]:
        quote(name)  # which refuses what no script can name
    known = Macros(dict(zip(paths, texts, strict=True)), folders, macros)
    forms: dict[str, list[str]] = {"files": [], "faster": []}
    kept: dict[tuple[str, int], str] = {}
    slow: tuple[str, int] | None = None
    is_systemverilog = False
    ignored: Counter[str] = Counter()
    for number, (path, text) in enumerate(zip(paths, texts, strict=True)):
        _refuse_unreadable(path, text)
        blanked, counts = blank_ignored(text)
        blanked = rename_modules(blanked, renamed)
        ignored += counts
        jumps = rewrite_jumps(blanked, path, known)
        is_systemverilog |= jumps.is_systemverilog
        kept |= {(path, blanked.count("\n", 0, place) + 1): reason for place, reason in jumps.kept.items()}
        blocks = find_slow_blocks(jumps.text, blanked)
        slow = slow or (None if blocks is None else (path, blocks.line))
        for form, made in (("files", jumps.text), ("faster", jumps.text if blocks is None else blocks.text)):
            if form == "faster" and made == jumps.text:
                forms[form].append(forms["files"][-1])
                continue
            copy = directory / form / str(number) / Path(path).name
            if made != text:
                copy.parent.mkdir(parents=True)
                copy.write_text(made, encoding="utf-8")
            forms[form].append(path if made == text else str(copy))
        if forms["files"][-1] != path or forms["faster"][-1] != path:
            folders.append(str(Path(path).parent))
    return Sources(
        paths=tuple(paths),
        files=tuple(forms["files"]),
        folders=tuple(folders),
        macros=dict(macros),
        renamed=renamed,
        ignored=ignored,
        kept=kept,
        is_systemverilog=is_systemverilog,
        faster_files=tuple(forms["faster"]),
        slow=slow,
    )


def _refuse_unreadable(path: str, text: str) -> None:
    if not text.strip():
        raise FormatError("is empty", where=path, hint="a Verilog file holds modules")
    for place, problem, hint in (
        # of which slang takes the default
        (case_in_initial(text), "case in an initial block is not read", "write if instead"),
        # which slang always does
        (
            increment_behind_choice(text),
            "++ or -- within &&, || or ?: is not read: it would not be done always",
            "write it as a statement of its own",
        ),
    ):
        if place is not None:
            line = text.count("\n", 0, place) + 1
            raise FormatError(f"{problem}{excerpt(path, line)}", where=f"{path}:{line}", hint=hint)
