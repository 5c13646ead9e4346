"""The log of a run: one JSON object a line, cut back to the state's step when a run is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from serialformer.errors import TrainingError
from serialformer.files import refuse_os_errors

LOG_FILE = "log.jsonl"


class Log:
    """Appends rows to ``log.jsonl``, and to TensorBoard if asked.

    Args:
        directory: of the run.
        num_bytes: what of an existing log counts; the rest is cut off.
        tensorboard: whether TensorBoard's files are written as well, under ``tensorboard/``.

    Raises:
        TrainingError: TensorBoard is asked for and not installed, or the log is shorter than that.
    """

    def __init__(self, directory: Path, num_bytes: int, *, tensorboard: bool = False) -> None:
        self._path = directory / LOG_FILE
        self._writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise TrainingError(
                    "TensorBoard is not installed",
                    where="--tensorboard",
                    hint="pip install 'serialformer[tensorboard]'",
                ) from None
            self._writer = SummaryWriter(str(directory / "tensorboard"))
        with refuse_os_errors(str(self._path)):
            self._path.touch()
            size = self._path.stat().st_size
            if size < num_bytes:
                raise TrainingError(f"has {size} bytes, its run's state says {num_bytes}", where=str(self._path))
            self._file = self._path.open("r+b")
            self._file.truncate(num_bytes)
            self._file.seek(num_bytes)

    def write(self, row: dict[str, Any]) -> None:
        """Appends a row; it is in the file when this returns."""
        with refuse_os_errors(str(self._path)):
            self._file.write(json.dumps(row).encode() + b"\n")
            self._file.flush()
        if self._writer is not None:
            for name, value in row.items():
                if isinstance(value, int | float) and name != "step":
                    self._writer.add_scalar(name, value, row["step"])

    @property
    def num_bytes(self) -> int:
        return self._file.tell()

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def read_log(directory: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of a run's log; a last line that is not whole is left out.

    Raises:
        TrainingError: there is no log, or a line before the last is no JSON.
    """
    path = Path(directory) / LOG_FILE
    if not path.is_file():
        raise TrainingError("no log of a run", where=str(path), hint="is this the directory of a run?")
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            raise TrainingError("is no JSON", where=f"{path}:{number}") from None
