"""Models of a user's own task in Python: made from the task itself, loaded by whoever names it, refused otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import serialformer
from serialformer import Model, TaskItems, construct, evaluate, explore, info, load, make_task, train
from serialformer.errors import CheckpointError, CompileError, InputError, SerialformerError, TaskError
from serialformer.models.provenance import TrainedProvenance
from tests.tasks.test_user_task import MAXIMUM

SMALL = {"model.width": "16", "model.num_heads": "2", "evaluation.num_final_samples": "20"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("user") / "mytask.py"
    path.write_text(MAXIMUM)
    return path


@pytest.fixture(scope="module")
def directory(file: Path) -> Path:
    """A model that was trained on the task, which is given as a value."""
    directory = file.parent / "model"
    train(make_task(f"{file}:Maximum", {"digits": 4}), directory, length=4, steps=2, changes=SMALL)
    return directory


def test_a_task_and_its_reference_train_the_same_model(file: Path, directory: Path) -> None:
    result = train(f"{file}:Maximum", file.parent / "named", length=4, steps=2, changes=SMALL, parameters={"digits": 4})
    ours = load(directory, task=f"{file}:Maximum")
    assert result.model.transformer.digest() == ours.transformer.digest()
    assert isinstance(ours.provenance, TrainedProvenance)
    assert ours.provenance.configuration["task"] == "mytask.py:Maximum"
    for name in ("serialformer.json", "run.json", "README.md"):
        path = directory / name
        assert not path.exists() or str(file.parent) not in path.read_text()


def test_every_way_to_name_it_gives_one_model(file: Path, directory: Path) -> None:
    task = make_task(f"{file}:Maximum", {"digits": 4})
    models = [load(directory, task=task), load(directory, task=f"{file}:Maximum"), load(directory, trust_code=True)]
    assert all(model.task.name == "mytask.py:Maximum" and model.task.parameters == {"digits": 4} for model in models)
    transcripts = [model.run("3 1 2 0") for model in models]
    assert all(transcript.expected == ("3",) for transcript in transcripts)
    assert len({transcript.made for transcript in transcripts}) == 1
    score = evaluate(directory, task=task, num_samples=20).score
    assert score == evaluate(models[2], num_samples=20).score and score.samples == 20
    assert info(directory, task=task) == info(models[0])
    assert explore(directory, task=task, output=file.parent / "page.html", num_samples=1) > 0


def test_saved_again_it_keeps_the_record(file: Path, directory: Path) -> None:
    model = load(directory, trust_code=True).save(file.parent / "again")
    assert (file.parent / "again" / "task_source.txt").read_text() == MAXIMUM
    items = load(file.parent / "again", task=f"{file}:Maximum").protocol
    assert isinstance(items, TaskItems) and items.length == model.length
    first = train(
        f"{file}:Maximum",
        file.parent / "from",
        length=4,
        steps=1,
        changes=SMALL,
        parameters={"digits": 4},
        initial=file.parent / "again",
    )
    assert first.steps == 1


def test_refusals(file: Path, directory: Path) -> None:
    with pytest.raises(CheckpointError, match="is a model of the task mytask.py:Maximum, which is not part of"):
        load(directory)
    with pytest.raises(CheckpointError, match="is a model of Maximum.digits=4., not of Maximum.digits=5."):
        load(directory, task=make_task(f"{file}:Maximum", {"digits": 5}))
    with pytest.raises(CheckpointError, match="is a model of mytask.py:Maximum, not of parity"):
        load(directory, task=make_task("parity"))
    with pytest.raises(InputError, match="task and trust_code say how to load a directory"):
        evaluate(load(directory, trust_code=True), trust_code=True)
    with pytest.raises(CompileError, match="has no construction"):
        construct(make_task(f"{file}:Maximum"), 4)
    with pytest.raises(InputError, match="expected the directory of a model of a task with --task and --trust-code"):
        info(serialformer.CircuitBuilder().circuit(), trust_code=True)


def test_models_of_other_tasks(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    train("S_3", directory, length=2, steps=1, changes=SMALL)
    for name in ("permutation-composition", "S_3", make_task("S_3")):
        assert load(directory, task=name).task == make_task("S_3")
    with pytest.raises(CheckpointError, match="is a model of permutation-composition, not of parity"):
        load(directory, task="parity")
    with pytest.raises(CheckpointError, match=r"is a model of .*degree=3.*, not of .*degree=4"):
        load(directory, task=make_task("S_4"))


def test_no_task_is_named_for_a_circuit(tmp_path: Path) -> None:
    build = serialformer.CircuitBuilder()
    build.output("y", build.not_(build.input("x")))
    model: Model = serialformer.compile(build.circuit()).save(tmp_path / "circuit")
    assert load(tmp_path / "circuit").run(x=1)["y"] == model.run(x=1)["y"] == 0
    for options in ({"task": "parity"}, {"trust_code": True}):
        with pytest.raises(
            SerialformerError, match="is a compiled circuit; only a model of a task is loaded with --task"
        ):
            load(tmp_path / "circuit", **options)


def test_a_class_without_a_file_cannot_be_named(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    kind = type(make_task(f"{file}:Maximum"))
    nowhere = type("Nowhere", (kind,), {"__module__": "no_such_module"})
    with pytest.raises(TaskError, match="no file defines Nowhere"):
        serialformer.configure(nowhere(), length=4)
