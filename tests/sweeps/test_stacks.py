"""Sweeps of stacks: rows as of single runs, what fails, what is stopped, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serialformer.errors import SweepError, TrainingError
from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.run import SweepRun
from serialformer.sweeps.stacks import check_stackable, sweep_stacks
from serialformer.sweeps.store import read_rows
from tests.sweeps.runs import make_run
from tests.training.test_stacked import make_configs


def stack(**fields: Any) -> list[SweepRun]:
    return [SweepRun(config=config) for config in make_configs(seeds=2, **fields)]


def test_rows_are_those_of_single_runs(tmp_path: Path) -> None:
    runs = [*stack(), *stack(length=4)]
    done = sweep_stacks(runs, tmp_path / "rows.csv", device="cpu", num_stacks=2, say=lambda text: None)
    assert (done.num_models, done.num_failed, done.num_left) == (4, 0, 0)
    rows = {row.run: row for row in read_rows(tmp_path / "rows.csv")}
    for run in runs:
        (alone,) = run.carry_out(Surroundings(directory=tmp_path / run.id))
        assert rows[run.id].samples == alone.samples == 64
        assert abs(rows[run.id].answers - alone.answers) <= 2
    assert not (tmp_path / "rows.runs").exists()


def test_a_stack_that_fails_is_a_row_and_others_go_on(tmp_path: Path) -> None:
    bad = stack(length=4)
    bad = [
        replace(
            run, config=replace(run.config, optimiser=replace(run.config.optimiser, learning_rate=1e30, clip_norm=None))
        )
        for run in bad
    ]
    done = sweep_stacks(
        [*bad, *stack()], tmp_path / "rows.csv", device="cpu", num_stacks=1, in_processes=False, say=lambda text: None
    )
    assert (done.num_models, done.num_failed, done.num_left) == (2, 2, 0)
    failed = [row for row in read_rows(tmp_path / "rows.csv") if row.status == "failed"]
    assert {row.run for row in failed} == {run.id for run in bad} and "a loss is" in failed[0].reason


def test_what_has_not_ended_in_time_is_left(tmp_path: Path) -> None:
    done = sweep_stacks(
        stack(), tmp_path / "rows.csv", device="cpu", seconds=-1, in_processes=False, say=lambda text: None
    )
    assert (done.num_models, done.num_left) == (0, 2)
    assert read_rows(tmp_path / "rows.csv") == [] and not (tmp_path / "rows.runs").exists()


def test_what_cannot_be_stacked_is_refused() -> None:
    assert check_stackable([make_run()]) == [make_run()]
    several = make_run()
    several = replace(several, config=replace(several.config, shortest=1))
    with pytest.raises(SweepError, match="several lengths"):
        check_stackable([make_run(), several])


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no device 'cuda:99'"):
        sweep_stacks(stack(), tmp_path / "rows.csv", device="cuda:99")
    assert not list(tmp_path.iterdir())
