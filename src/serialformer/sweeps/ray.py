"""Runs on a Ray cluster: plain tasks, whose results come back to the one process that writes the store.

The nodes share no file system with it. Each has the same release of serialformer installed; a run goes on in a
directory of its node, so that where a process dies the next one on that node goes on, and where a node dies the run
begins again elsewhere: either way its numbers are the same.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from serialformer.errors import SweepError, ToolError
from serialformer.sweeps.executor import Event, Executor, done_event
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.row import Row
from serialformer.sweeps.shipping import pack, unpack

MAX_RETRIES = 3
"""How often a run is tried again whose process or node dies."""

TASKS_PER_CORE = 2
"""Tasks handed to Ray for each core of the cluster, so that none waits for the driver."""

SECONDS_BETWEEN_LOOKS = 10.0
"""How often the size of the cluster is looked at again."""


class RayExecutor(Executor):
    """Carries runs out as tasks of Ray.

    Args:
        address: of the cluster, as ``ray.init`` takes it; ``auto`` is the one that this machine belongs to.
        device: of the training.
        num_gpus: the share of a GPU that a run takes.
        save_seconds: how often a run's state is saved on its node.

    Raises:
        ToolError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str, *, device: str = "cpu", num_gpus: float = 0.0, save_seconds: float = 30.0) -> None:
        self.device = device
        self._address, self._num_gpus, self._save_seconds = address, num_gpus, save_seconds
        import_ray()

    def carry_out(self, runs: Sequence[Experiment], afresh: AbstractSet[str]) -> Iterator[Event]:
        """See ``Executor``. The longest run is begun first."""
        with connect(self._address) as ray:
            task = ray.remote(num_cpus=1, num_gpus=self._num_gpus, max_retries=MAX_RETRIES)(_carry_out)
            pending = deque(sorted(runs, key=lambda run: run.work, reverse=True))
            options = {
                "device": self.device,
                "save_seconds": self._save_seconds,
                "version": version("serialformer"),
                "token": uuid.uuid4().hex,
            }
            going: dict[Any, tuple[Experiment, float]] = {}
            self._check_room(ray)
            looked = -SECONDS_BETWEEN_LOOKS
            while pending or going:
                if time.perf_counter() - looked >= SECONDS_BETWEEN_LOOKS:  # nodes come and go
                    room, memory, looked = *self._room(ray), time.perf_counter()
                while pending and len(going) < room:
                    run = pending.popleft()
                    reference = task.options(memory=min(memory, run.num_bytes)).remote(pack(run), options)
                    going[reference] = (run, time.perf_counter())
                    yield Event(run=run, state="started")
                ready, _ = ray.wait(list(going), num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)
                for reference in ready:
                    run, started = going.pop(reference)
                    yield _understand(ray, reference, run, time.perf_counter() - started)

    def _nodes(self, ray: Any) -> list[dict[str, float]]:
        """What each living node has that could carry out a run."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return [node for node in nodes if node.get("CPU", 0.0) >= 1 and node.get("GPU", 0.0) >= self._num_gpus]

    def _check_room(self, ray: Any) -> None:
        if not self._nodes(ray):
            wanted = f"one CPU and {self._num_gpus:g} GPUs" if self._num_gpus else "one CPU"
            raise SweepError(f"no node of the cluster has {wanted} for a run", where=f"--ray {self._address}")

    def _room(self, ray: Any) -> tuple[int, int]:
        """How many tasks to have handed over, and the most memory that one may ask for, or it would wait for ever."""
        places, memory = 0.0, 0.0
        for node in self._nodes(ray):
            cores = node["CPU"]
            places += min(cores, node["GPU"] / self._num_gpus) if self._num_gpus else cores
            memory = max(memory, node.get("memory", 0.0))
        return max(1, int(TASKS_PER_CORE * places)), int(memory)


def import_ray() -> Any:
    """The package, silent and without telemetry.

    Raises:
        ToolError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise ToolError("Ray is not installed", where="--ray", hint="pip install 'serialformer[ray]'") from None
    return ray


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """The package, connected to a cluster; unfinished tasks are cancelled at the end.

    Raises:
        ToolError: Ray is not installed, or there is no such cluster.
    """
    ray = import_ray()
    where = f"--ray {address}"
    hint = "ray start --head begins one on this machine; ray status says whether there is one"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it waited in vain; the error says so
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ToolError(f"cannot be reached: {reason}", where=where, hint=hint) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _understand(ray: Any, reference: Any, run: Experiment, seconds: float) -> Event:
    """What a task came to."""
    try:
        answer = ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        cause = f"{type(error).__name__}, after {MAX_RETRIES} further tries: {reason}"
        return Event(run=run, state="failed", reason=cause, seconds=seconds)
    if "reason" in answer:
        return Event(run=run, state="failed", reason=answer["reason"], seconds=answer["seconds"])
    rows = tuple(Row.from_json(row) for row in answer["rows"])
    return done_event(run, rows, answer["seconds"])


def _carry_out(package: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """One run, in a process of a node."""
    import fcntl

    from serialformer.sweeps.work import carry_out, explain

    started = time.perf_counter()
    found = version("serialformer")
    if found != options["version"]:
        reason = f"the node has serialformer {found}, not {options['version']}"
        return {"reason": reason, "seconds": 0.0}
    # The token is the sweep's, so that what another left lying is not gone on with.
    directory = Path(tempfile.gettempdir()) / f"serialformer-{options['token']}-{package['id']}"
    lock = directory.with_suffix(".lock")
    try:
        with lock.open("w") as file:
            # A process whose node has died may live a moment longer, and share this disk.
            fcntl.flock(file, fcntl.LOCK_EX)
            surroundings = Surroundings(
                directory=directory, device=options["device"], save_seconds=options["save_seconds"]
            )
            rows = carry_out(unpack(package), surroundings)
        answer: dict[str, Any] = {"rows": [row.to_json() for row in rows]}
    except Exception as error:  # whatever it is, it is this run's
        answer = {"reason": explain(error, directory)}
    shutil.rmtree(directory, ignore_errors=True)
    lock.unlink(missing_ok=True)
    return {**answer, "seconds": time.perf_counter() - started}
