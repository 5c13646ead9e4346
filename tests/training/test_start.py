"""Training by one call: by a task's name, from a configuration, from another model."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import serialformer
from serialformer import SerialformerError, configure, construct, load, make_task, train
from serialformer.models.provenance import TrainedProvenance

SMALL = {"model.width": "16", "model.num_heads": "2", "evaluation.num_final_samples": "20"}


def test_a_name_and_a_configuration_make_the_same_run(tmp_path: Path) -> None:
    by_name = train("parity", tmp_path / "name", length=4, steps=10, changes=SMALL)
    config = configure(make_task("parity"), length=4, steps=10, changes=SMALL)
    by_config = train(config, tmp_path / "config")
    assert by_name.model.transformer.digest() == by_config.model.transformer.digest()
    found = load(tmp_path / "name")
    provenance = found.provenance
    assert isinstance(provenance, TrainedProvenance) and provenance.names is None
    assert (provenance.steps, provenance.seed) == (10, 0) and provenance.configuration == config.to_json()
    assert provenance.generated is not None and provenance.generated == by_config.generated
    assert repr(found).startswith("Model(trained task: parity, length 4, setting cot; gpt2 float32, 1 layer, 2 heads,")
    assert serialformer.info(found)["provenance"] == "trained"


def test_training_on_from_a_constructed_model(tmp_path: Path) -> None:
    start = construct("parity", 4)
    result = train("parity", tmp_path / "run", length=4, steps=2, changes=SMALL, initial=start)
    assert result.model.transformer.architecture.width == start.transformer.architecture.width
    assert result.model.provenance.names is None  # its directions may mean anything by now
    with pytest.raises(SerialformerError, match="is a model of .* 4, 'cot'.*, not of .* 5, 'cot'"):
        train("parity", tmp_path / "other", length=5, steps=2, changes=SMALL, initial=start)
    assert not (tmp_path / "other").exists()


def test_pointers_of_a_task_without_a_construction_are_not_measured(tmp_path: Path) -> None:
    said: list[str] = []
    options = {"length": 3, "steps": 2, "changes": {**SMALL, "evaluation.every": "1"}, "pointers": True}
    train("edit-distance", tmp_path / "run", say=said.append, **options)
    assert said == ["pointers are not measured: edit-distance has no construction"]


def test_refusals(tmp_path: Path) -> None:
    config = configure("parity", length=4, steps=2)
    with pytest.raises(SerialformerError, match="a configuration and length, seed as well"):
        train(config, tmp_path / "run", length=4, seed=3)
    with pytest.raises(SerialformerError, match="parameters: a task that is made already has its parameters"):
        configure(make_task("parity"), length=4, parameters={"modulus": 3})
    with pytest.raises(SerialformerError, match="no task 'parties'\nhint: did you mean parity?"):
        train("parties", tmp_path / "run", length=4)
    assert not (tmp_path / "run").exists()


def test_fewer_steps_shorten_the_whole_schedule() -> None:
    preset = configure("modular-addition", length=8, setting="base")
    assert preset.curriculum is not None
    short = configure("modular-addition", length=8, setting="base", steps=600)
    share = 600 / preset.optimiser.num_steps
    assert short.curriculum is not None and short.curriculum.num_steps == round(share * preset.curriculum.num_steps)
    assert short.optimiser.warmup_steps == round(share * preset.optimiser.warmup_steps)
    assert short.curriculum_amount(600) == 0.0
    long = configure("modular-addition", length=8, setting="base", steps=20_000)
    assert (long.curriculum, long.optimiser.warmup_steps) == (preset.curriculum, preset.optimiser.warmup_steps)


def test_a_run_says_that_its_curriculum_did_not_end(tmp_path: Path) -> None:
    said: list[str] = []
    changes = {**SMALL, "optimiser.num_steps": "10", "evaluation.target": "none"}  # the curriculum stays as it is
    result = train("parity", tmp_path / "run", length=4, changes=changes, say=said.append)
    assert result.curriculum_amount == pytest.approx(0.8 * 50 / 60)
    assert said == [
        "warning: the run ended at step 10, before its curriculum did: neutral stood at 0.67 and reaches 0 at step 60;"
        " the model was never trained on the task's own distribution"
    ]


def test_a_run_says_why_it_stopped_early(tmp_path: Path) -> None:
    said: list[str] = []
    changes = {**SMALL, "evaluation.every": "5", "evaluation.target": "0.0", "curriculum": "none"}
    train("parity", tmp_path / "run", length=4, steps=20, changes=changes, say=said.append)
    assert said == [
        "stopped at step 5 of 20: at least 0.0% of 20 samples have every labelled token right (evaluation.target)"
    ]
