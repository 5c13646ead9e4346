"""Stores of version 0.1 are read as today's, with today's ids; nothing is added to them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from serialformer.errors import SweepError
from serialformer.sweeps.merge import merge_stores
from serialformer.sweeps.old_store import OLD_COLUMNS, OLD_HEADER
from serialformer.sweeps.run import SweepRun
from serialformer.sweeps.store import Store, read_rows
from serialformer.tasks.curriculum import Curriculum
from serialformer.training.config import TrainingConfig
from tests.sweeps.runs import made_row

RUN = SweepRun(
    config=TrainingConfig(
        task="parity",
        length=4,
        setting="cot",
        max_length=8,
        curriculum=Curriculum(name="neutral", start=0.5, num_steps=3),
    ),
    lengths=(6,),
)
ROW = made_row(RUN, curriculum='{"end":0.0,"name":"neutral","num_steps":3,"start":0.5}')


def old_store(**changes: str) -> bytes:
    """A store as version 0.1 wrote it, of one row."""
    content = json.loads(RUN.canonical)
    config = content.pop("config")
    del content["experiment"]
    config |= {"room": config.pop("max_length"), "sampling": config.pop("curriculum")}
    names = dict(zip(ROW.to_json(), ROW.cells(), strict=False))
    cells = {name: names.get({"sampling": "curriculum"}.get(name, name), "") for name in OLD_COLUMNS}
    cells |= {"format": "1", "run": "r0123456789abcdef"}
    cells["config"] = json.dumps({**content, "config": config}, sort_keys=True, separators=(",", ":"))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow((cells | changes).values())
    return OLD_HEADER + text.getvalue().encode()


def test_the_header_is_that_of_version_0_1() -> None:
    assert OLD_HEADER.decode() == (
        "format,run,task,parameters,length,setting,depth,width,heads,batch_size,sampling,seed,evaluation,"
        "evaluated_length,samples,chains,tokens,tokens_right,answers,answer_tokens,answer_tokens_right,"
        "generated_samples,generated_chains,generated_tokens,generated_tokens_right,generated_answers,"
        "generated_answer_tokens,generated_answer_tokens_right,steps,reached_target,cpu_seconds,seconds,status,"
        "reason,commit,versions,device,config\n"
    )


def test_it_is_read_as_todays(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(old_store())
    assert read_rows(path) == [ROW]
    with pytest.raises(SweepError, match="is a store of version 0.1, which can be read.*\nhint: .* merge"):
        Store(path)
    merge_stores([path], tmp_path / "new.csv")
    with Store(tmp_path / "new.csv") as store:
        assert not store.is_done(RUN)  # its fresh evaluation is missing
        store.append([made_row(RUN, evaluation="fresh", evaluated_length=6)])
        assert store.is_done(RUN)
    both = tmp_path / "both.csv"
    both.write_bytes((tmp_path / "new.csv").read_bytes() + path.read_bytes())
    assert [row.run for row in read_rows(both)] == [RUN.id] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "2"}, ":2: expected format 1, found 2"),
        ({"config": "{}"}, ":2: config: expected the canonical form of a run"),
        ({"config": "x"}, ":2: config: expected the canonical form of a run"),
        ({"chains": "x"}, ":2: chains: expected a whole number, found 'x'"),
    ],
)
def test_refusals(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(old_store(**changes))
    with pytest.raises(SweepError) as caught:
        read_rows(path)
    assert str(caught.value) == f"{path}{message}"
