"""Python files that users name as ``FILE.py:NAME``, each imported under a separate module name."""

from __future__ import annotations

import ast
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from serialformer.errors import SerialformerError
from serialformer.files import read_file

_LOADED: dict[tuple[str, str], PythonFile] = {}
"""By path and digest: a file that has not changed is imported once."""


@dataclass(frozen=True, kw_only=True)
class PythonFile:
    """An imported file.

    Attributes:
        path: where it lies.
        source: its text.
        module: what it defines.
        companions: files of its folder that it imported.
    """

    path: Path
    source: str
    module: ModuleType
    companions: tuple[Path, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.source.encode()).hexdigest()


def split_reference(text: str) -> tuple[str, str] | None:
    """The file and the name of ``FILE.py:NAME``; None if a text is not of that form.

    >>> split_reference("tasks/mytask.py:Maximum"), split_reference("parity"), split_reference("mytask.py")
    (('tasks/mytask.py', 'Maximum'), None, ('mytask.py', ''))
    """
    file, colon, name = text.rpartition(":")
    if colon and "/" not in name and "\\" not in name:
        return (file, name) if file.endswith((".py", ".txt")) else None
    return (text, "") if text.endswith(".py") else None


def load_python(path: str | Path, kind: type[SerialformerError] = SerialformerError) -> PythonFile:
    """Imports a file, with its folder on the search path as when Python runs it.

    Args:
        path: the file.
        kind: of the errors.

    Raises:
        SerialformerError: there is no such file, it is not text, or it raises an error; says at which of its lines.
    """
    path = Path(path)
    try:
        source = read_file(path).decode()
    except UnicodeDecodeError:
        raise kind("is not a Python file: it is not UTF-8 text", where=str(path)) from None
    except SerialformerError as error:
        hint = "check the path; the form is FILE.py:NAME"
        raise kind(error.message, where=error.where, hint=hint) from None
    key = str(path.resolve()), hashlib.sha256(source.encode()).hexdigest()
    if key not in _LOADED:
        _LOADED[key] = _import(
            path, source, f"_serialformer_{path.stem}_{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}", kind
        )
    return _LOADED[key]


def _import(path: Path, source: str, name: str, kind: type[SerialformerError]) -> PythonFile:
    module = ModuleType(name)
    module.__file__ = str(path)
    folder = path.resolve().parent
    companions = _companions(source, folder, {path.resolve()})
    for other in companions:
        known = getattr(sys.modules.get(other.stem), "__file__", None)
        if known is not None and Path(known).resolve() != other:
            del sys.modules[other.stem]  # another folder's file of the same name
    sys.path.insert(0, str(folder))
    sys.modules[name] = module
    writes = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # nothing is left in the user's folder
    try:
        # Compiled from the text that was read: what runs is what the digest is of.
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # whatever the file raises is its user's to know
        del sys.modules[name]
        raise located(error, path, kind) from error
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(folder))
    return PythonFile(path=path, source=source, module=module, companions=companions)


def _companions(source: str, folder: Path, seen: set[Path]) -> tuple[Path, ...]:
    """Files of a folder that a file of it imports, and those that they import."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return ()  # importing it says so
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    found: list[Path] = []
    for name in sorted({name.partition(".")[0] for name in names}):
        other = folder / f"{name}.py"
        if other not in seen and other.is_file():
            seen.add(other)
            found += [other, *_companions(other.read_text(encoding="utf-8"), folder, seen)]
    return tuple(found)


def located(error: BaseException, path: Path, kind: type[SerialformerError]) -> SerialformerError:
    """What went wrong in a user's file, with the line of the file that led to it."""
    line = line_of(error, path)
    where = str(path) if line is None else f"{path}:{line}"
    if isinstance(error, SerialformerError):
        within = "" if error.where is None else f"{error.where}: "
        return kind(f"{within}{error.message}", where=where, hint=error.hint)
    reason = error.msg if isinstance(error, SyntaxError) else error
    return kind(f"{type(error).__name__}: {reason}", where=where)


def line_of(error: BaseException, path: Path) -> int | None:
    """The last line of a file that an error passed through."""
    line: int | None = None
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def file_of(kind: type[Any]) -> PythonFile | None:
    """The user's file that defines a class; None if it comes from an installed package."""
    for file in _LOADED.values():
        if file.module.__name__ == kind.__module__:
            return file
    return None
