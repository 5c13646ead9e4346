"""Experiments on their way to other processes, with the user's files that they need."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from serialformer.errors import SweepError
from serialformer.files import read_file
from serialformer.python_file import PythonFile, load_python, split_reference
from serialformer.sweeps.experiment import Experiment
from serialformer.sweeps.kinds import experiment_from_json


def pack(run: Experiment) -> dict[str, Any]:
    """An experiment as JSON, with the text of each user's file that it names and of the files that those import."""
    content = run.to_json()
    paths = [path for file in _files_in(content) for path in (file.path, *file.companions)]
    files = {str(path.resolve()): read_file(path).decode() for path in paths}
    return {"id": run.id, "run": content, "files": files}


def unpack(package: dict[str, Any]) -> Experiment:
    """The experiment of a package; files that are not here, or differ, are written to a temporary folder.

    Raises:
        SweepError: it is not the experiment that was packed: a file has changed since.
    """
    content = package["run"]
    for folder, texts in _by_folder(package["files"]).items():
        here = Path(folder)
        if not all((here / name).is_file() and (here / name).read_bytes() == text for name, text in texts.items()):
            content = _move(content, here, _write(texts))
    run = experiment_from_json(content)
    if run.id != package["id"]:
        raise SweepError("is not the experiment that was sent", where=run.title, hint="has a file of it changed?")
    return run


def _files_in(content: Any) -> Iterable[PythonFile]:
    """The files that ``FILE.py:NAME`` anywhere in JSON names."""
    if isinstance(content, dict):
        for value in content.values():
            yield from _files_in(value)
    elif isinstance(content, str):
        parts = split_reference(content)
        if parts is not None and parts[1]:
            yield load_python(parts[0], SweepError)


def _by_folder(files: dict[str, str]) -> dict[str, dict[str, bytes]]:
    folders: dict[str, dict[str, bytes]] = {}
    for path, text in files.items():
        folders.setdefault(str(Path(path).parent), {})[Path(path).name] = text.encode()
    return folders


def _write(texts: dict[str, bytes]) -> Path:
    """A folder of these files, the same for every experiment that needs them."""
    digest = hashlib.sha256(json.dumps({name: text.decode() for name, text in sorted(texts.items())}).encode())
    folder = Path(tempfile.gettempdir()) / f"serialformer-files-{digest.hexdigest()[:32]}"
    if not folder.is_dir():
        own = Path(tempfile.mkdtemp(prefix="serialformer-files-"))
        for name, text in texts.items():
            (own / name).write_bytes(text)
        try:
            own.rename(folder)
        except OSError:  # another process was first, and its files are the same
            return own
    return folder


def _move(content: Any, folder: Path, target: Path) -> Any:
    """JSON in which what named a file of a folder names that of another."""
    if isinstance(content, dict):
        return {key: _move(value, folder, target) for key, value in content.items()}
    parts = split_reference(content) if isinstance(content, str) else None
    if parts is not None and Path(parts[0]).resolve().parent == folder:
        return f"{target / Path(parts[0]).name}:{parts[1]}"
    return content
