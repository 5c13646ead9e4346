"""The store: a CSV file that only grows, written by one process, each row on the disk before anything else happens."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from serialformer.errors import SweepError
from serialformer.files import read_file
from serialformer.sweeps.experiment import Experiment
from serialformer.sweeps.old_store import OLD_HEADER, row_of_old_cells
from serialformer.sweeps.row import COLUMNS, DERIVED, DONE, FAILED, Row

HEADER = (",".join((*COLUMNS, *DERIVED)) + "\n").encode()

Say = Callable[[str], None]
"""Is told, in a sentence, what the user ought to know."""


class Store:
    """A store that is open for appending. Other processes may read it meanwhile, none may write.

    Args:
        path: of the CSV file; made if there is none.
        say: is told if a torn last line was cut off.

    Raises:
        SweepError: it is no store, one of another version, not writable, or another process is writing it.
    """

    def __init__(self, path: str | Path, say: Say = print) -> None:
        self.path = Path(path)
        self._descriptor = self._open()
        try:
            content = read_file(self.path)
            if content.startswith(OLD_HEADER):
                raise SweepError(
                    "is a store of version 0.1, which can be read but not added to",
                    where=str(self.path),
                    hint=f"serialformer merge {self.path} -o NEW.csv makes one of today's",
                )
            rows, whole = parse_store(content, str(self.path))
            if whole < len(content):
                say(f"{self.path}: its last line was not whole ({len(content) - whole} bytes) and is cut off")
                os.ftruncate(self._descriptor, whole)
            self._size = whole
            self._done = {row.key for row in rows if row.status == DONE}
            self.failed = {row.run for row in rows if row.status == FAILED}
            """Runs that have failed at some time."""
            if not whole:
                self._write(HEADER)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _open(self) -> int:
        import fcntl

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise SweepError(f"cannot be written: {error.strerror}", where=str(self.path)) from None
        try:
            # The system lets go of the lock when the process ends, however it ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise SweepError(
                "is being written by another process", where=str(self.path), hint="one sweep a store; merge them later"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise SweepError(
                f"cannot be locked: {error.strerror}", where=str(self.path), hint="choose a local disk"
            ) from None
        return descriptor

    def is_done(self, run: Experiment) -> bool:
        """Whether every evaluation of the run has its row."""
        return all((run.id, *evaluation) in self._done for evaluation in run.evaluations)

    def append(self, rows: Sequence[Row]) -> None:
        """Writes rows, but for those that are there; they are on the disk when this returns.

        Raises:
            SweepError: the disk is full or cannot be written; the store is as it was before.
        """
        new = [row for row in rows if row.key not in self._done]
        self._write(b"".join(format_row(row) for row in new))
        for row in new:
            if row.status == DONE:
                self._done.add(row.key)
            else:
                self.failed.add(row.run)

    def _write(self, data: bytes) -> None:
        try:
            view, place = memoryview(data), self._size
            while view:
                written = os.pwrite(self._descriptor, view, place)
                view, place = view[written:], place + written
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, self._size)
            raise SweepError(
                f"cannot be written: {error.strerror}",
                where=str(self.path),
                hint="every row before this one is there; make room, and the same command resumes",
            ) from None
        self._size += len(data)

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def format_row(row: Row) -> bytes:
    """A row as a line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row.cells())
    return text.getvalue().encode()


def read_rows(path: str | Path, say: Say = print) -> list[Row]:
    """The rows of a store, which may be being written, or several stores one after the other (``cat``).

    Raises:
        SweepError: it is no store, one of another version, or a line is not what its columns ask for.
    """
    content = read_file(path)
    rows, whole = parse_store(content, str(path))
    if whole < len(content):
        say(f"{path}: its last line is not whole ({len(content) - whole} bytes) and is left out")
    return rows


def parse_store(content: bytes, where: str) -> tuple[list[Row], int]:
    """The rows in the bytes of a store, and how many of those bytes are whole lines.

    Raises:
        SweepError: as in ``read_rows``.
    """
    if not content.startswith((HEADER, OLD_HEADER)):
        if HEADER.startswith(content) or OLD_HEADER.startswith(content):
            return [], 0  # nothing yet, or torn in its first line
        first = content.partition(b"\n")[0].decode(errors="replace")
        another = first.startswith(("format,run,", "format,experiment,"))
        raise SweepError(
            "is a store of another version" if another else "is no store of a sweep",
            where=f"{where}:1",
            hint="choose another name" if not another else "use the release that made it, or choose another name",
        )
    whole = content.rfind(b"\n") + 1
    rows, is_old = [], False
    for number, line in enumerate(content[:whole].split(b"\n")[:-1], start=1):
        if line in (HEADER[:-1], OLD_HEADER[:-1]):
            is_old = line == OLD_HEADER[:-1]
            continue  # also between stores that were put one after another
        try:
            text = line.decode()
            (cells,) = csv.reader([text], strict=True)
        except (UnicodeDecodeError, csv.Error, ValueError):
            raise SweepError("is no line of a store", where=f"{where}:{number}") from None
        at = f"{where}:{number}"
        rows.append(row_of_old_cells(cells, at) if is_old else Row.from_cells(cells, at))
    return rows, whole
