"""Files at the edge: read whole with a clear error, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from serialformer.errors import SerialformerError


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


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file under a temporary name and renames it, so that it is there whole or not at all.

    Raises:
        SerialformerError: the folder is missing, not writable, or the disk is full; nothing is left behind.
    """
    target = Path(path)
    with refuse_os_errors(str(path)):
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            allow_reading(Path(temporary))
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
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
