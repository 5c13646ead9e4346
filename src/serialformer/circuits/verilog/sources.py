"""The files of a design as Yosys is given them, and the places in them that its messages and designs name."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from serialformer.circuits.verilog.ignored import blank_ignored, case_in_initial, escaped_modules, rename_modules
from serialformer.circuits.verilog.yosys import Run, excerpt, quote
from serialformer.errors import FormatError
from serialformer.files import read_file


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The files of a design.

    Attributes:
        paths: as they were given.
        files: those that Yosys reads: the same, or copies without what computes nothing.
        folders: where included files are.
        macros: what is defined before the first line.
        renamed: what modules are called in the files whose own names need a backslash.
        ignored: how often what was left out.
    """

    paths: tuple[str, ...]
    files: tuple[str, ...]
    folders: tuple[str, ...]
    macros: Mapping[str, str]
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)

    @property
    def has_verilog_2005(self) -> bool:
        """Whether a file's name says that it is Verilog, not SystemVerilog."""
        return any(path.lower().endswith(".v") for path in self.paths)

    def restore(self, run: Run) -> Run:
        """The run with the files in its log called what the user calls them."""
        return replace(run, log=self.restore_text(run.log))

    def restore_text(self, text: str) -> str:
        """A log or a design with the files in it called what the user calls them."""
        for path, file in sorted(zip(self.paths, self.files, strict=True), key=lambda pair: -len(pair[1])):
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
    files: list[str] = []
    ignored: Counter[str] = Counter()
    for number, (path, text) in enumerate(zip(paths, texts, strict=True)):
        if not text.strip():
            raise FormatError("is empty", where=path, hint="a Verilog file holds modules")
        place = case_in_initial(text)
        if place is not None:  # of which slang takes the default
            line = text.count("\n", 0, place) + 1
            raise FormatError(
                f"case in an initial block is not read{excerpt(path, line)}",
                where=f"{path}:{line}",
                hint="write if instead",
            )
        blanked, counts = blank_ignored(text)
        blanked = rename_modules(blanked, renamed)
        ignored += counts
        if blanked != text:
            copy = directory / "sources" / str(number) / Path(path).name
            copy.parent.mkdir(parents=True)
            copy.write_text(blanked, encoding="utf-8")
            files.append(str(copy))
            folders.append(str(Path(path).parent))
        else:
            files.append(path)
    for name in [*paths, *folders]:
        quote(name)  # which refuses what no script can name
    return Sources(
        paths=tuple(paths),
        files=tuple(files),
        folders=tuple(folders),
        macros=dict(macros),
        renamed=renamed,
        ignored=ignored,
    )
