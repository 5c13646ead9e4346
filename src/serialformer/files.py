"""Files at the edge: read whole with a clear error, written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError

from serialformer.errors import CheckpointError, SerialformerError


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file.

    Raises:
        SerialformerError: it is missing, a directory, or may not be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise SerialformerError("no such file", where=str(path), hint="check the path") from None
    except OSError as error:
        raise SerialformerError(f"cannot be read: {error.strerror}", where=str(path)) from None


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """A file to read piece by piece; refuses what ``read_file`` refuses."""
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise SerialformerError("no such file", where=str(path), hint="check the path") from None
    except OSError as error:
        raise SerialformerError(f"cannot be read: {error.strerror}", where=str(path)) from None


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file under a temporary name and renames it, so that it is there whole or not at all.

    Raises:
        SerialformerError: the folder is missing, not writable, or the disk is full; nothing is left behind.
    """
    with new_file(path) as file:
        file.write(data)


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write piece by piece, which has its name only once the block has ended well.

    Folders that are missing on the way to it are made. What is no ordinary file (a terminal, a pipe) is written as it
    comes.

    Raises:
        SerialformerError: as in ``write_file``; nothing is left behind, whatever ends the block.
    """
    with refuse_os_errors(str(path)):
        if Path(path).exists() and not Path(path).is_file():
            with Path(path).open("wb") as file:
                yield file
            return
        target = Path(os.path.realpath(path))  # a link stays a link
        with _made_folders(target.parent):
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    yield file
                allow_reading(Path(temporary))
                Path(temporary).replace(target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise


OWN_FILES = ("serialformer.json", "suite.json", "run.json", "collection.json")
"""One of these is in every directory that is written here."""


def check_replaceable(path: Path) -> None:
    """Refuses to replace a directory that holds anything but output of this program.

    Raises:
        CheckpointError: it is neither empty nor written by this program, or is no directory.
    """
    if not path.is_dir() or path.is_symlink():
        raise CheckpointError("is not a directory, and so is not replaced", where=str(path), hint="choose another name")
    if any(path.iterdir()) and not any((path / name).is_file() for name in OWN_FILES):
        raise CheckpointError(
            f"was not written by serialformer (none of {', '.join(OWN_FILES)} is in it), and so is not replaced",
            where=str(path),
            hint="remove it or choose another name",
        )


@contextmanager
def new_directory(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """A directory to fill, which has its name only once the block has ended well; missing folders above it are made.

    Args:
        path: its name.
        overwrite: whether a directory of that name is replaced, once the block has ended well, if it is an output of
            this program (``check_replaceable``).

    Raises:
        CheckpointError: there is something of this name already that is not to be replaced.
        SerialformerError: as in ``write_file``; nothing is left behind, whatever ends the block.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with refuse_os_errors(str(target)):
        exists = target.exists() or target.is_symlink()
        if exists and not overwrite:
            raise CheckpointError("exists already", where=str(target), hint="remove it or choose another name")
        if exists:
            check_replaceable(target)
        with _made_folders(target.parent):
            try:
                temporary.mkdir()
                yield temporary
                if exists:
                    _replace_directory(target, temporary)
                else:
                    temporary.rename(target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)


def _replace_directory(target: Path, temporary: Path) -> None:
    """Gives a directory the name of another, which is removed."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.rename(old)
    try:
        temporary.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _made_folders(folder: Path) -> Iterator[None]:
    """Makes a folder and those above it, and removes what it has made if the block fails."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in missing:
            with suppress(OSError):  # something else has come into it
                path.rmdir()
        raise


def allow_reading(path: Path) -> None:
    """Gives a file that was made for its owner only the permissions of an ordinary new file."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


@contextmanager
def refuse_os_errors(where: str) -> Iterator[None]:
    """Turns the system's refusals (full disk, no permission, no such folder) into one error that says where."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SerialformerError(
            f"cannot be written: {reason}", where=where, hint="nothing was left behind there"
        ) from None
