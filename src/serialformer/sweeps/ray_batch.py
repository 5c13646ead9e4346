"""Rows of inputs through one compiled model on a Ray cluster: blocks of rows as tasks, answers in order."""

from __future__ import annotations

import os
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.arrays import UInt8
from serialformer.decode.engine import Engine
from serialformer.errors import EngineError, SerialformerError, SweepError
from serialformer.models.model import Model
from serialformer.models.tables import count_rows, read_blocks, write_table
from serialformer.sweeps.ray import MAX_RETRIES, TASKS_PER_CORE, connect

MIN_ROWS = 64
"""Of a block: as many as the sliced engine takes at once anyway."""

BLOCKS_PER_CORE = 4
"""Of a whole table, so that cores end at about the same time."""

_ENGINES: dict[str, Engine] = {}
"""In a process of a node: the engine of the last batch, by its token. Making one takes longer than a block."""


class Batch:
    """A model on a cluster.

    Args:
        ray: the package, connected.
        model: what runs; it travels to each node once.
        engine: its name.
    """

    def __init__(self, ray: Any, model: Model, engine: str) -> None:
        self._ray, self._model, self._engine = ray, model, engine
        self._shared, self._token = ray.put(model), uuid.uuid4().hex
        self._task = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(_run_block)
        self._cores = int(sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]))
        if not self._cores:
            raise SweepError("no node of the cluster has a CPU", where="--ray")

    def rows_per_block(self, num_rows: int | None) -> int:
        """The number of rows of a table to send together; None if the total is unknown."""
        most = self._model.rows_per_block(self._model.batch_engine(self._engine))
        if num_rows is None:
            return most
        return max(MIN_ROWS, min(-(-num_rows // (BLOCKS_PER_CORE * self._cores)), most))

    def run(self, blocks: Iterable[UInt8[np.ndarray, "_ inputs"]]) -> Iterator[UInt8[np.ndarray, "_ outputs"]]:
        """The output bits of each block, in order; only enough blocks to keep all cores busy are in flight.

        Raises:
            SerialformerError: what the model raises.
            SweepError: a block's process died again and again.
        """
        going: deque[Any] = deque()
        for bits in blocks:
            going.append(self._task.remote(self._shared, bits, self._engine, self._token))
            if len(going) >= TASKS_PER_CORE * self._cores:
                yield self._wait_for(going.popleft())
        while going:
            yield self._wait_for(going.popleft())

    def _wait_for(self, reference: Any) -> UInt8[np.ndarray, "_ outputs"]:
        try:
            answers, error = self._ray.get(reference)
        except self._ray.exceptions.RayError as failure:
            reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
            raise SweepError(f"{reason}, after {MAX_RETRIES} further tries", where="--ray") from None
        if error is not None:
            message, where, hint = error
            raise SerialformerError(message, where=where, hint=hint)
        return np.asarray(answers)


@contextmanager
def open_batch(model: Model, engine: str, address: str) -> Iterator[Batch]:
    """A model on the cluster at an address, as ``ray.init`` takes it.

    Raises:
        ToolError: Ray is not installed, or there is no such cluster.
        EngineError: the engine reads the model's directory, which the nodes do not have.
    """
    if engine == "hf":
        raise EngineError("reads the checkpoint's files, which the nodes do not have", where="--engine hf")
    with connect(address) as ray:
        yield Batch(ray, model, engine)


def _run_block(
    model: Model, bits: UInt8[np.ndarray, "_ inputs"], engine: str, token: str
) -> tuple[UInt8[np.ndarray, "_ outputs"] | None, tuple[str, str | None, str | None] | None]:
    """One block, in a process of a node: its answers, or what the model raised."""
    if token not in _ENGINES:
        _ENGINES.clear()
        _ENGINES[token] = model.batch_engine(engine)
    try:
        return model.run_bits(bits, engine=_ENGINES[token]), None
    except SerialformerError as error:
        return None, (error.message, error.where, error.hint)


def run_table_on_ray(
    model: Model,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    address: str,
    *,
    engine: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> None:
    """``run_table`` with the rows spread over the cores of a Ray cluster; see there and ``open_batch``."""
    path = Path(source)
    with open_batch(model, engine, address) as cluster:
        blocks = read_blocks(path, model.inputs, cluster.rows_per_block(count_rows(path)))
        write_table(Path(target), model.outputs, cluster.run(blocks), progress)
