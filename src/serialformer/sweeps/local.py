"""Runs on this machine: a pool of processes, each with one thread, no more at once than memory holds."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import IO, Any

from serialformer.errors import SweepError
from serialformer.files import refuse_os_errors
from serialformer.sweeps.executor import Event, Executor, done_event
from serialformer.sweeps.experiment import Experiment
from serialformer.sweeps.row import Row
from serialformer.sweeps.shipping import pack
from serialformer.sweeps.size import available_bytes, num_cores

MEMORY_SHARE = 0.9
"""Of the memory that is free when the sweep begins, how much its runs may take."""

SECONDS_TO_SAVE = 15.0
"""How long a process may take to save its run on Ctrl-C."""

LOCK_FILE = ".workers"


def runs_directory(store: str | Path) -> Path:
    """Where the runs of a store lie while they are not finished: ``RESULTS.runs`` beside ``RESULTS.csv``."""
    path = Path(store)
    return path.with_name(f"{path.stem}.runs")


class LocalExecutor(Executor):
    """Carries runs out in processes of their own.

    Args:
        directory: where the runs lie.
        num_workers: processes; None for as many as there are cores.
        memory_bytes: what all of them may take together; None for most of what is free.
        device: of the training.
        save_seconds: how often a run's state is saved.
        keep: whether the directories of finished runs stay.
    """

    def __init__(
        self,
        directory: Path,
        *,
        num_workers: int | None = None,
        memory_bytes: int | None = None,
        device: str = "cpu",
        save_seconds: float = 30.0,
        keep: bool = False,
    ) -> None:
        self.device = device
        self._directory, self._keep = directory, keep
        self._num_workers = num_workers or num_cores()
        self._memory = int(available_bytes() * MEMORY_SHARE) if memory_bytes is None else memory_bytes
        self._options = json.dumps({"device": device, "save_seconds": save_seconds})

    def carry_out(self, runs: Sequence[Experiment], afresh: AbstractSet[str]) -> Iterator[Event]:
        """See ``Executor``. The longest run is begun first; one whose process dies is tried once more."""
        with refuse_os_errors(str(self._directory)):
            self._directory.mkdir(exist_ok=True)
        self._wait_for_others()
        for run in runs:
            if run.id in afresh:
                shutil.rmtree(self._directory / run.id, ignore_errors=True)
        pending = sorted(runs, key=lambda run: run.work, reverse=True)
        workers: list[_Worker] = []
        deaths: Counter[str] = Counter()
        with selectors.DefaultSelector() as selector:
            try:
                for run in self._fill(workers, pending, selector):
                    yield Event(run=run, state="started")
                while any(worker.run for worker in workers):
                    for key, _ in selector.select():
                        worker: _Worker = key.data
                        events = worker.hear()
                        if worker.has_died:
                            selector.unregister(worker.output)
                            workers.remove(worker)
                            events += self._bury(worker, pending, deaths)
                        # The next run is on its way before the rows of this one go to the disk.
                        started = list(self._fill(workers, pending, selector))
                        for event in events:
                            yield event
                            self._tidy(event)
                        for run in started:
                            yield Event(run=run, state="started")
            finally:
                for worker in workers:
                    worker.interrupt()
                for worker in workers:
                    worker.end()
        if not self._keep:
            self._tidy_up()

    def _wait_for_others(self) -> None:
        """Processes of a sweep that was killed hold this lock until they have gone, which takes them a moment."""
        import fcntl

        with (self._directory / LOCK_FILE).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    def _fill(
        self, workers: list[_Worker], pending: list[Experiment], selector: selectors.BaseSelector
    ) -> Iterator[Experiment]:
        """Gives idle processes the longest runs that fit into memory next to the current ones; starts processes."""
        while pending:
            busy = [worker.run for worker in workers if worker.run is not None]
            free = self._memory - sum(run.num_bytes for run in busy)
            # One that would not fit into memory by itself still goes on alone: the estimate is one.
            fitting = (place for place, run in enumerate(pending) if not busy or run.num_bytes <= free)
            place = next(fitting, None)
            if place is None:
                return
            worker = next((worker for worker in workers if worker.run is None), None)
            if worker is None:
                if len(workers) == self._num_workers:
                    return
                worker = _Worker(self._directory / LOCK_FILE, self._options)
                workers.append(worker)
                selector.register(worker.output, selectors.EVENT_READ, worker)
            run = pending.pop(place)
            worker.begin(run, self._directory / run.id)
            yield run

    def _bury(self, worker: _Worker, pending: list[Experiment], deaths: Counter[str]) -> list[Event]:
        """The fate of the run of a process that died: once more, or failed."""
        cause = worker.end()
        run = worker.run
        if run is None:
            return []
        deaths[run.id] += 1
        if deaths[run.id] == 1:
            pending.insert(0, run)
            return [Event(run=run, state="again", reason=cause)]
        return [Event(run=run, state="failed", reason=f"{cause}, twice", seconds=worker.seconds)]

    def _tidy(self, event: Event) -> None:
        if event.state == "done" and not self._keep:
            shutil.rmtree(self._directory / event.run.id, ignore_errors=True)

    def _tidy_up(self) -> None:
        """Removes the directory unless a run is left in it; what was being written when something died goes too."""
        left = [path for path in self._directory.iterdir() if not path.name.startswith(".")]
        if not left:
            shutil.rmtree(self._directory, ignore_errors=True)


class _Worker:
    """A process that carries out runs, seen from outside; see ``worker``."""

    def __init__(self, lock: Path, options: str) -> None:
        import fcntl

        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed in ``end``
        # Locks belong to the open file, so the process holds this one from its first moment to its last.
        with lock.open("r") as held:
            fcntl.flock(held, fcntl.LOCK_SH)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serialformer.sweeps.worker", options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=(held.fileno(),),
                start_new_session=True,  # Ctrl-C is for the process that waits for this one, which passes it on
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self.output = self._process.stdin, self._process.stdout
        self._heard = b""
        self._started = 0.0
        self.run: Experiment | None = None
        self.has_died = False

    @property
    def seconds(self) -> float:
        """How long it has been at its run."""
        return time.perf_counter() - self._started

    def begin(self, run: Experiment, directory: Path) -> None:
        """Sends it a run. If it has died, its output will say so."""
        self.run, self._started = run, time.perf_counter()
        command = {"package": pack(run), "directory": str(directory)}
        try:
            self._input.write(json.dumps(command).encode() + b"\n")
            self._input.flush()
        except BrokenPipeError:
            pass

    def hear(self) -> list[Event]:
        """What it has said since.

        Raises:
            SweepError: it says that no run can go on.
        """
        data = os.read(self.output.fileno(), 1 << 16)
        self.has_died = not data
        *lines, self._heard = (self._heard + data).split(b"\n")
        return [self._understand(json.loads(line)) for line in lines]

    def _understand(self, word: dict[str, Any]) -> Event:
        run = self.run
        assert run is not None
        if word["state"] == "advanced":
            return Event(run=run, state="advanced", step=word["step"], loss=word["loss"], accuracy=word["accuracy"])
        if word["state"] == "stopped":
            raise SweepError(
                word["reason"].partition("\nhint: ")[0], hint="what is finished is stored; the same command resumes"
            )
        self.run = None
        if word["state"] == "failed":
            return Event(run=run, state="failed", reason=word["reason"], seconds=word["seconds"])
        rows = tuple(Row.from_json(row) for row in word["rows"])
        return done_event(run, rows, self.seconds)

    def interrupt(self) -> None:
        """Asks it to save its run and end."""
        self._process.send_signal(signal.SIGINT if self.run is not None else signal.SIGKILL)

    def end(self) -> str:
        """Waits for its end, not for long; returns what it died of."""
        try:
            code = self._process.wait(SECONDS_TO_SAVE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._input.close()
        self.output.close()
        self._errors.seek(0)
        said = self._errors.read()[-2000:].decode(errors="replace").strip().splitlines()
        self._errors.close()
        if code < 0:
            name = signal.Signals(-code).name
            of_memory = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"its process was killed by {name}{of_memory}"
        return f"its process ended with status {code}" + (f": {said[-1]}" if said else "")
