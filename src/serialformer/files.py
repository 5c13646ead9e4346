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


@contextmanager
def new_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A directory to fill, which has its name only once the block has ended well; missing folders above it are made.

    Raises:
        CheckpointError: there is something of this name already.
        SerialformerError: as in ``write_file``; nothing is left behind, whatever ends the block.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with refuse_os_errors(str(target)):
        if target.exists() or target.is_symlink():
            raise CheckpointError("exists already", where=str(target), hint="remove it or choose another name")
        with _made_folders(target.parent):
            try:
                temporary.mkdir()
                yield temporary
                temporary.rename(target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)


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
