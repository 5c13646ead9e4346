"""Sweeps on a real Ray cluster of several nodes on this machine: processes and nodes die, the store does not notice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer import CircuitBuilder
from serialformer.errors import SerialformerError
from serialformer.sweeps.collect import Sweep, collect
from serialformer.sweeps.executor import Event
from serialformer.sweeps.local import LocalExecutor, runs_directory
from serialformer.sweeps.ray import RayExecutor, import_ray
from serialformer.sweeps.run import SweepRun
from serialformer.sweeps.store import read_rows
from tests.sweeps.runs import failing_run, make_run, measured

# Ray's own sockets and processes outlive single tests.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

SMALL_NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster whose head carries nothing out, and two nodes of a core each."""
    import_ray()
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**SMALL_NODE, "num_cpus": 0})
    for _ in range(2):
        cluster.add_node(**SMALL_NODE)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def sweep(path: Path, runs: Sequence[SweepRun], address: str, report: Callable[[Event], None] | None = None) -> Sweep:
    return collect(runs, path, lambda: RayExecutor(address, save_seconds=0.2), report=report)


def sweep_here(path: Path, runs: Sequence[SweepRun]) -> Path:
    collect(runs, path, lambda: LocalExecutor(runs_directory(path), num_workers=2))
    return path


def training_processes() -> list[int]:
    """Processes of Ray that carry out a run: their title says so."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"ray::_carry_out" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended
    return found


def leftovers() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("serialformer-*"))


def test_a_sweep(cluster: Any, tmp_path: Path) -> None:
    runs = [make_run(0, lengths=(2, 4)), failing_run(1), *(make_run(seed) for seed in range(2, 8))]
    before = leftovers()
    result = sweep(tmp_path / "ray.csv", runs, cluster.address)
    assert result == Sweep(num_runs=8, num_skipped=0, num_done=7, num_failed=1)
    assert measured(tmp_path / "ray.csv") == measured(sweep_here(tmp_path / "here.csv", runs))
    assert leftovers() == before
    good = [run for run in runs if run != runs[1]]
    assert sweep(tmp_path / "ray.csv", good, cluster.address).num_skipped == 7


def test_a_process_is_killed(cluster: Any, tmp_path: Path) -> None:
    runs = [make_run(seed, num_steps=800) for seed in range(3)]
    killed = list[int]()

    def wait_and_kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            saved = {path for path in leftovers() if (path / "state.safetensors").exists()}
            processes = training_processes()
            if saved and processes:
                os.kill(processes[0], signal.SIGKILL)
                killed.append(processes[0])
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    result = sweep(tmp_path / "ray.csv", runs, cluster.address)
    thread.join()
    assert killed and result.num_done == 3
    assert measured(tmp_path / "ray.csv") == measured(sweep_here(tmp_path / "here.csv", runs))


def test_a_node_is_removed(cluster: Any, tmp_path: Path) -> None:
    runs = [make_run(seed, num_steps=800) for seed in range(4)]
    node = cluster.add_node(**SMALL_NODE)
    cluster.wait_for_nodes()
    removed = list[float]()

    def remove() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if len(training_processes()) == 3 and any((path / "state.safetensors").exists() for path in leftovers()):
                break
            time.sleep(0.05)
        removed.append(len(training_processes()))
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=remove)
    thread.start()
    result = sweep(tmp_path / "ray.csv", runs, cluster.address)
    thread.join()
    assert removed == [3] and result.num_done == 4
    assert measured(tmp_path / "ray.csv") == measured(sweep_here(tmp_path / "here.csv", runs))


def test_the_driver_is_killed(cluster: Any, tmp_path: Path) -> None:
    """What was finished is stored; the next call does the rest."""
    runs = [make_run(seed, num_steps=20 if seed < 2 else 600) for seed in range(5)]
    path = tmp_path / "ray.csv"
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "import json\nfrom pathlib import Path\nfrom serialformer.sweeps.kinds import experiment_from_json\n\n\n"
        "def runs():\n    content = json.loads(Path(__file__).with_name('runs.json').read_text())\n"
        "    return [experiment_from_json(run) for run in content]\n"
    )
    (tmp_path / "runs.json").write_text(json.dumps([run.to_json() for run in runs]))
    command = [sys.executable, "-m", "serialformer", "sweep", str(recipe), "-o", str(path), "--ray", cluster.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.kill()
    assert first.startswith("1/5 done r")
    num_stored = len(read_rows(path))
    assert 1 <= num_stored < 5
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout == f"{path}: 5 runs; {num_stored} were there, {5 - num_stored} done now, 0 failed\n"
    assert len(again.stderr.splitlines()) == 5 - num_stored, "nothing of Ray's own is to be seen"
    assert measured(path) == measured(sweep_here(tmp_path / "here.csv", runs))


def test_rows_of_a_compiled_model(cluster: Any, tmp_path: Path) -> None:
    """The table is the one that this machine writes."""
    build = CircuitBuilder()
    a, b = build.inputs("a", 8), build.inputs("b", 8)
    build.outputs("y", [build.xor(x, build.and_(x, y)) for x, y in zip(a, b, strict=True)])
    serialformer.compile(build.circuit()).save(tmp_path / "model")
    random = np.random.default_rng(0)
    pairs = random.integers(256, size=(3000, 2)).tolist()
    (tmp_path / "in.csv").write_text("a,b\n" + "".join(f"{x},{y}\n" for x, y in pairs))
    command = [
        sys.executable,
        "-m",
        "serialformer",
        "run",
        str(tmp_path / "model"),
        "--batch",
        str(tmp_path / "in.csv"),
    ]
    plain = subprocess.run([*command, "-o", str(tmp_path / "plain.csv")], capture_output=True, text=True, check=True)
    ray = [*command, "--ray", cluster.address, "--engine", "dense", "-o", str(tmp_path / "ray.csv")]
    run = subprocess.run(ray, capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == (plain.stdout, plain.stderr) == ("", "")
    expected = "y\n" + "".join(f"{x & ~y}\n" for x, y in pairs)
    assert (tmp_path / "ray.csv").read_text() == (tmp_path / "plain.csv").read_text() == expected

    (tmp_path / "in.csv").write_text("a\n1\n")
    wrong = subprocess.run([*ray[:-1], str(tmp_path / "wrong.csv")], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "in.csv" in wrong.stderr and not (tmp_path / "wrong.csv").exists()


def test_no_such_cluster(tmp_path: Path, cluster: Any) -> None:
    with pytest.raises(SerialformerError, match="no node of the cluster has one CPU and 1 GPUs for a run"):
        collect([make_run()], tmp_path / "store.csv", lambda: RayExecutor(cluster.address, device="cuda", num_gpus=1.0))
    # Last of all: Ray's client leaves the process that could not connect unable to connect elsewhere.
    with pytest.raises(SerialformerError, match="--ray ray://127.0.0.1:1: cannot be reached.*\nhint: ray start --head"):
        sweep(tmp_path / "store.csv", [make_run()], "ray://127.0.0.1:1")
