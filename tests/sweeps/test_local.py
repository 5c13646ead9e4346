"""Sweeps on this machine: killed anywhere and called again, the store is that of one that was never killed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serialformer.errors import SerialformerError, SweepError
from serialformer.sweeps.collect import Sweep, collect
from serialformer.sweeps.executor import Event
from serialformer.sweeps.local import LocalExecutor, runs_directory
from serialformer.sweeps.run import SweepRun
from serialformer.sweeps.store import Store, read_rows
from tests.sweeps.runs import failing_run, make_run, measured, no_circumstances

RUNS = [make_run(0, lengths=(2, 4)), failing_run(1), make_run(2, num_steps=30), make_run(3, setting="base")]

PROGRAM = """
import json, sys
from pathlib import Path
from serialformer.sweeps.collect import collect
from serialformer.sweeps.local import LocalExecutor, runs_directory
from serialformer.sweeps.kinds import experiment_from_json
store = Path(sys.argv[1])
runs = [experiment_from_json(content) for content in json.loads(sys.argv[2])]
make = lambda: LocalExecutor(runs_directory(store), num_workers=2, save_seconds=0.05)
collect(runs, store, make, report=lambda event: print(event.state, flush=True))
"""


def sweep(path: Path, runs: Sequence[SweepRun], report: Callable[[Event], None] | None = None, **options: Any) -> Sweep:
    """In this process, with the runs in two others."""

    def make() -> LocalExecutor:
        return LocalExecutor(runs_directory(path), **({"num_workers": 2, "save_seconds": 0.2} | options))

    return collect(runs, path, make, report=report)


def start_sweep(path: Path, runs: Sequence[SweepRun]) -> subprocess.Popen[bytes]:
    """In a process of its own."""
    arguments = [str(path), json.dumps([run.to_json() for run in runs])]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE)


def carried_out(runs: Sequence[SweepRun], folder: Path) -> list[Any]:
    """What the store of a sweep says of the runs when nothing happens to it, measured in this process."""
    from serialformer.sweeps.experiment import Surroundings
    from serialformer.sweeps.work import carry_out

    with Store(folder / "whole.csv") as store:
        for run in runs:
            store.append(carry_out(run, Surroundings(directory=folder / f"whole{run.id}")))
    return measured(folder / "whole.csv")


def steps_done(path: Path) -> int:
    """How many rows the logs of unfinished runs have."""
    return sum(log.read_bytes().count(b"\n") for log in runs_directory(path).glob("r*/log.jsonl"))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep, list[Event]]:
    """The store of a sweep that nothing happened to."""
    path, events = tmp_path_factory.mktemp("swept") / "store.csv", list[Event]()
    return path, sweep(path, RUNS, events.append), events


def test_a_sweep(swept: tuple[Path, Sweep, list[Event]]) -> None:
    path, result, events = swept
    assert result == Sweep(num_runs=4, num_skipped=0, num_done=3, num_failed=1)
    rows = read_rows(path)
    assert sorted((row.run, row.evaluation, row.evaluated_length) for row in rows) == sorted(
        [(run.id, *evaluation) for run in (RUNS[0], *RUNS[2:]) for evaluation in run.evaluations]
        + [(RUNS[1].id, "", 4)]
    )
    (failed,) = [row for row in rows if row.status == "failed"]
    assert failed.reason.startswith("the loss is nan at step 1 | hint: a smaller optimiser.learning_rate")
    final = next(row for row in rows if row.run == RUNS[0].id)
    assert (final.samples, final.generated_samples, final.steps, final.tokens) == (32, 8, 20, 128)
    assert (final.answer_tokens, final.generated_answer_tokens) == (32, 8) and final.cpu_seconds > 0
    assert SweepRun.from_fields(json.loads(final.config)) == RUNS[0]
    ends = {event.run.id: event.state for event in events}
    assert [ends[run.id] for run in RUNS] == ["done", "failed", "done", "done"]
    assert events[0].run == RUNS[2], "the longest is begun first"
    # Only the run that failed is left lying.
    assert [entry.name for entry in runs_directory(path).iterdir() if entry.name[0] != "."] == [RUNS[1].id]


def test_the_same_as_one_run_after_another(swept: tuple[Path, Sweep, list[Event]], tmp_path: Path) -> None:
    """What the workers measure is what this process measures."""
    from serialformer.sweeps.experiment import Surroundings
    from serialformer.sweeps.work import carry_out

    rows = carry_out(RUNS[0], Surroundings(directory=tmp_path / "run"))
    found = [row for row in read_rows(swept[0]) if row.run == RUNS[0].id]
    assert [no_circumstances(row) for row in rows] == [no_circumstances(row) for row in found]


def test_again_does_nothing_but_what_failed(swept: tuple[Path, Sweep, list[Event]], tmp_path: Path) -> None:
    path = tmp_path / "store.csv"
    content = b"".join(line for line in swept[0].read_bytes().splitlines(keepends=True) if b",failed," not in line)
    path.write_bytes(content)
    good = [run for run in RUNS if run != RUNS[1]]

    def refuse() -> LocalExecutor:
        raise AssertionError("there is nothing to do")

    assert collect(good, path, refuse) == Sweep(num_runs=3, num_skipped=3, num_done=0, num_failed=0)
    assert path.read_bytes() == content


LONG = [make_run(seed, num_steps=400 + 100 * seed, lengths=(2,)) for seed in range(2)]


def test_killed_and_called_again(tmp_path: Path) -> None:
    path = tmp_path / "killed.csv"
    with start_sweep(path, LONG) as process:
        assert process.stdout is not None
        for _ in process.stdout:  # a line whenever something happens
            if list(runs_directory(path).glob("r*/state.safetensors")) and steps_done(path) >= 15:
                break  # a state is saved, and training goes on behind it
        assert process.poll() is None
        process.kill()
    assert read_rows(path) == []
    assert sweep(path, LONG, num_workers=1).num_done == 2
    assert not runs_directory(path).exists()
    assert measured(path) == carried_out(LONG, tmp_path)


@pytest.mark.slow  # three minutes
def test_killed_twenty_times_and_called_again(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    runs = [make_run(seed, num_steps=2000 + 100 * seed, lengths=(2, 4)) for seed in range(8)]
    runs[3] = failing_run(3)
    sweep(tmp_path / "whole.csv", runs)
    whole, kills = measured(tmp_path / "whole.csv"), 0
    for attempt in range(5):
        path = tmp_path / f"{attempt}.csv"
        for _ in range(4):
            with start_sweep(path, runs) as process:
                assert process.stdout is not None
                for _ in range(int(random.integers(1, 250))):
                    process.stdout.readline()  # which waits for something to happen
                kills += process.poll() is None
                process.kill()
        with start_sweep(path, runs) as process:
            process.communicate()
        # A run that failed before the kill has failed again after it: one row each time.
        assert sorted(set(measured(path)), key=repr) == whole
    assert kills >= 15


def running_workers(process_id: int) -> list[int]:
    """The children of a process that train."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == process_id and b"serialformer.sweeps.worker" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended
    return found


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_worker_that_is_killed_is_noticed(tmp_path: Path, times: int) -> None:
    """Its run is gone on with once; killed twice, it has failed, and the others go on."""
    path, victim, other = tmp_path / "store.csv", make_run(0, num_steps=600), make_run(1)
    kills, states = 0, list[str]()

    def kill(event: Event) -> None:
        nonlocal kills
        states.extend([event.state] if event.run == victim else [])
        if event.run == victim and event.state == "advanced" and kills < times and states[-2] != "advanced":
            (worker,) = running_workers(os.getpid())
            os.kill(worker, signal.SIGKILL)
            kills += 1

    result = sweep(path, [victim, other], kill, num_workers=1)
    assert kills == times
    once = [state for place, state in enumerate(states) if states[place - 1 : place] != [state]]
    if times == 1:
        assert once[:4] == ["started", "advanced", "again", "started"] and once[-1] == "done"
        assert result.num_done == 2
        assert measured(path) == carried_out([victim, other], tmp_path)
    else:
        assert once == ["started", "advanced", "again", "started", "advanced", "failed"]
        assert (result.num_done, result.num_failed) == (1, 1)
        (row,) = [row for row in read_rows(path) if row.status == "failed"]
        assert row.reason == "its process was killed by SIGKILL (out of memory?), twice"


def test_ctrl_c_saves_what_goes_on(tmp_path: Path) -> None:
    path, runs = tmp_path / "store.csv", [make_run(0), make_run(1, num_steps=100_000)]
    heard = set[tuple[str, str]]()

    def press(event: Event) -> None:
        heard.add((event.run.id, event.state))
        if {(runs[0].id, "done"), (runs[1].id, "advanced")} <= heard:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(path, runs, press, save_seconds=1000.0)
    assert [row.run for row in read_rows(path)] == [runs[0].id]
    assert not running_workers(os.getpid())
    # Saved when it was asked to end, though a save was not due for long.
    assert (runs_directory(path) / runs[1].id / "state.safetensors").exists()


def test_memory_bounds_how_many_go_on_at_once(tmp_path: Path) -> None:
    runs = [make_run(seed) for seed in range(3)]
    going, most = set[str](), 0

    def watch(event: Event) -> None:
        nonlocal most
        (going.add if event.state in ("started", "advanced") else going.discard)(event.run.id)
        most = max(most, len(going))

    sweep(tmp_path / "store.csv", runs, watch, num_workers=3, memory_bytes=int(1.5 * runs[0].num_bytes))
    assert most == 1


def test_the_directory_is_not_writable(tmp_path: Path) -> None:
    path = tmp_path / "store.csv"
    runs_directory(path).write_text("a file is in the way")
    with pytest.raises(SerialformerError, match=r"store\.runs: cannot be written: File exists"):
        sweep(path, RUNS)


def test_a_full_disk_stops_the_sweep(tmp_path: Path) -> None:
    """A limit on the size of files, which the workers inherit, stands for it: nothing fails, everything waits."""
    path, limits = tmp_path / "store.csv", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(SweepError, match="cannot be written.*\nhint: what is finished is stored"):
            sweep(path, RUNS[:1], num_workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_rows(path) == []
    assert sweep(path, RUNS[:1], num_workers=1).num_done == 1


def test_sizes() -> None:
    small, large = make_run(0), make_run(0, length=32)
    assert large.work > 8 * small.work
    assert large.num_bytes > small.num_bytes


def peak_bytes(run: SweepRun, directory: Path) -> int:
    program = (
        "import json, resource, sys; from pathlib import Path;"
        "from serialformer.sweeps.kinds import experiment_from_json;"
        "from serialformer.sweeps.experiment import Surroundings;"
        "from serialformer.sweeps.work import carry_out;"
        "surroundings = Surroundings(directory=Path(sys.argv[2]));"
        "carry_out(experiment_from_json(json.loads(sys.argv[1])), surroundings);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    arguments = [json.dumps(run.to_json()), str(directory)]
    said = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=True)
    return int(said.stdout) << 10


@pytest.mark.slow  # half a minute
@pytest.mark.parametrize("setting", ["base", "cot"])
@pytest.mark.parametrize("depth", [1, 4])
def test_the_estimate_of_memory_is_near(tmp_path: Path, setting: str, depth: int) -> None:
    """Never far below what a run takes, nor so far above that a core stays idle."""
    from serialformer.training.config import EvaluationConfig, OptimiserConfig
    from serialformer.training.presets import make_config

    config = make_config("permutation-composition", length=6, setting=setting, num_layers=depth)
    config = replace(
        config,
        optimiser=OptimiserConfig(num_steps=4),
        evaluation=EvaluationConfig(every=2, num_samples=512, num_final_samples=4096, target=None),
    )
    run = SweepRun(config=config)
    found = peak_bytes(run, tmp_path / "run")
    assert 0.9 * found <= run.num_bytes <= 2.5 * found
