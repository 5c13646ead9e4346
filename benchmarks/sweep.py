"""What sweeping costs beside training: two workers against two processes, the driver at many runs, a Ray cluster.

    python benchmarks/sweep.py [parallel] [driver] [ray] [--json FILE]

Prints one table a part. ``parallel`` needs two idle cores, ``ray`` the extra ``ray``; all need ``torch``.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any

from serialformer.sweeps.collect import collect
from serialformer.sweeps.executor import Event, Executor
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.local import LocalExecutor, runs_directory
from serialformer.sweeps.run import SweepRun
from serialformer.sweeps.work import carry_out
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig
from serialformer.training.presets import make_config


def tiny(seed: int) -> SweepRun:
    """A run of a tenth of a second or two: 20 steps of a model 16 wide."""
    return SweepRun(
        config=TrainingConfig(
            task="parity",
            length=4,
            setting="cot",
            seed=seed,
            model=ModelConfig(width=16, num_heads=2),
            optimiser=OptimiserConfig(num_steps=20, batch_size=8, warmup_steps=5),
            evaluation=EvaluationConfig(
                every=20, num_samples=16, num_generated=4, num_final_samples=32, num_final_generated=8, target=None
            ),
        )
    )


def medium(seed: int) -> SweepRun:
    """A run of some ten seconds: S_5 for 300 steps."""
    config = make_config(
        "permutation-composition", parameters={"format": "token"}, length=16, setting="cot", seed=seed
    ).with_steps(300, scaled=False)
    return SweepRun(config=replace(config, evaluation=replace(config.evaluation, target=None)))


PLAIN = """
import sys
from pathlib import Path
from serialformer.training.loop import train
from serialformer.training.config import TrainingConfig
import json
for number, content in enumerate(json.loads(sys.argv[1])):
    train(TrainingConfig.from_json(content), Path(sys.argv[2]) / str(number))
"""


def measure_parallel(rounds: int = 3, num_runs: int = 4) -> list[dict[str, Any]]:
    """The same runs by a sweep with two workers, and by two processes that know nothing of sweeps, in turns."""
    runs = [medium(seed) for seed in range(num_runs)]
    halves = [runs[::2], runs[1::2]]
    rows = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for place in range(len(halves)):
                Path(folder, str(place)).mkdir()
            started = time.perf_counter()
            processes = [
                subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        PLAIN,
                        json.dumps([run.config.to_json() for run in half]),
                        f"{folder}/{place}",
                    ]
                )
                for place, half in enumerate(halves)
            ]
            assert [process.wait() for process in processes] == [0, 0]
            apart = time.perf_counter() - started
            path = Path(folder) / "results.csv"
            started = time.perf_counter()
            result = collect(runs, path, lambda path=path: LocalExecutor(runs_directory(path), num_workers=2))
            swept = time.perf_counter() - started
            assert result.num_done == num_runs
        rows.append({"round": number, "apart_seconds": apart, "sweep_seconds": swept, "efficiency": apart / swept})
        print(f"  {apart:8.1f} s apart  {swept:8.1f} s swept  efficiency {apart / swept:.3f}", flush=True)
    return rows


class Prepared(Executor):
    """Carries nothing out: every run has the same row but for its id."""

    device = "cpu"

    def __init__(self, pattern: Any) -> None:
        self._pattern = pattern

    def carry_out(self, runs: Sequence[Experiment], afresh: AbstractSet[str]) -> Iterator[Event]:
        for run in runs:
            assert isinstance(run, SweepRun)
            yield Event(run=run, state="started")
            row = replace(self._pattern, run=run.id, seed=run.config.seed, config=run.canonical)
            yield Event(run=run, state="done", rows=(row,), step=row.steps)


def measure_driver(num_runs: int = 10_000) -> list[dict[str, Any]]:
    """Seconds that one process, the driver, takes a run: making ids, reading the store, storing rows to the disk."""
    with tempfile.TemporaryDirectory() as folder:
        carry_out(tiny(0), Surroundings(directory=Path(folder) / "warm"))
        seconds = []
        for seed in range(1, 6):
            started = time.perf_counter()
            rows = carry_out(tiny(seed), Surroundings(directory=Path(folder) / f"run{seed}"))
            seconds.append(time.perf_counter() - started)
        a_run = statistics.median(seconds)
        path = Path(folder) / "results.csv"
        runs = [tiny(seed) for seed in range(num_runs)]
        clock, cpu = time.perf_counter(), time.process_time()
        result = collect(runs, path, lambda: Prepared(rows[0]))
        clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
        assert result.num_done == num_runs
        again, again_cpu = time.perf_counter(), time.process_time()
        result = collect([tiny(seed) for seed in range(num_runs)], path, lambda: Prepared(rows[0]))
        again, again_cpu = time.perf_counter() - again, time.process_time() - again_cpu
        assert result.num_skipped == num_runs
    print(f"  a tiny run {1000 * a_run:.0f} ms; the driver {1000 * clock / num_runs:.2f} ms a run on the clock,")
    print(f"  {1000 * cpu / num_runs:.2f} ms of CPU: {100 * clock / num_runs / a_run:.2f} % of a tiny run")
    print(f"  called again, {num_runs:,} runs are found done in {again:.1f} s", flush=True)
    return [
        {
            "runs": num_runs,
            "tiny_run_seconds": a_run,
            "driver_seconds": clock,
            "driver_cpu_seconds": cpu,
            "again_seconds": again,
            "share": clock / num_runs / a_run,
        }
    ]


def measure_ray(num_runs: int = 40) -> list[dict[str, Any]]:
    """The same tiny runs by a local pool and by a local Ray cluster of two cores."""
    from serialformer.sweeps.ray import RayExecutor, import_ray

    import_ray()
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 0})
    for _ in range(2):
        cluster.add_node(**node)
    cluster.wait_for_nodes()
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("here", "ray", "here", "ray"):
                path = Path(folder) / f"{len(rows)}.csv"
                runs = [tiny(seed) for seed in range(num_runs)]
                started = time.perf_counter()
                collect(
                    runs,
                    path,
                    lambda name=name, path=path: (
                        RayExecutor(cluster.address)
                        if name == "ray"
                        else LocalExecutor(runs_directory(path), num_workers=2)
                    ),
                )
                seconds = time.perf_counter() - started
                rows.append({"executor": name, "runs": num_runs, "seconds": seconds, "a_run": seconds / num_runs})
                print(
                    f"  {name:5} {seconds:6.1f} s for {num_runs} runs, {1000 * seconds / num_runs:.0f} ms each",
                    flush=True,
                )
    finally:
        cluster.shutdown()
    return rows


PARTS = {"parallel": measure_parallel, "driver": measure_driver, "ray": measure_ray}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {}
    for part in options.parts:
        print(part, flush=True)
        found[part] = PARTS[part]()
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
