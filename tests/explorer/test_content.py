"""What the page holds: the model's own arrays, and only those of models that fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.explorer.models import adder, compiled_adder
from tests.task_models import exact_parity, random_model

from serialformer import compile, construct
from serialformer.errors import SerialformerError
from serialformer.explorer import content
from serialformer.explorer.packing import unpack_array
from serialformer.tasks.layout import SETTINGS, lay_out
from serialformer.tasks.registry import make_task


def test_the_weights_of_the_page_are_those_of_the_model() -> None:
    model = compiled_adder()
    found = content.circuit_content(model)["models"][0]["weights"]
    expected = dict(model.transformer.named_weights())
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        np.testing.assert_array_equal(unpack_array(found[name]), weight)


def test_the_circuit_of_the_page_is_that_of_the_model() -> None:
    model = compiled_adder()
    found = content.circuit_content(model)["circuit"]
    np.testing.assert_array_equal(unpack_array(found["fan_in"]), model.circuit.fan_in)
    np.testing.assert_array_equal(unpack_array(found["chain_gate"]), model.schedule.gate)
    kinds = unpack_array(found["kind_of_gate"])
    tables = [int(found["kinds"][kind]["table"], 16) for kind in kinds]
    assert tables == model.circuit.table.tolist()
    assert found["inputs"] == [{"name": "a", "bits": [0, 1]}, {"name": "b", "bits": [2, 3]}]


def test_a_page_that_asks_a_server_holds_no_weights() -> None:
    found = content.circuit_content(compiled_adder(), embedded=False)
    assert found["live"] is True
    assert found["models"][0]["weights"] is None


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_EMBEDDED_POSITIONS", 10)
    with pytest.raises(SerialformerError) as caught:
        content.circuit_content(compiled_adder())
    assert "positions are too many for a page; at most 32 MiB and 10 positions" in caught.value.message
    assert caught.value.hint == "serialformer explore DIR --serve shows it from this machine"
    content.circuit_content(compiled_adder(), embedded=False)


def test_arithmetic_that_rounds_is_refused() -> None:
    model = compile(adder(1), target="paper")
    with pytest.raises(SerialformerError, match="the model's arithmetic rounds after every operation"):
        content.circuit_content(model)


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_samples_of_a_task_are_its_layouts(setting: str) -> None:
    model = random_model(make_task("parity"), 5, setting, extra=("<unk>",))
    found = content.task_content([model], num_samples=3, seed=4)["models"][0]["samples"]
    examples = model.task.sample(np.random.default_rng([4, 5]), 5, 3).renumber(model.token_ids(5))
    layout = lay_out(model.task, examples, setting, 5)
    assert [row["tokens"] for row in found] == layout.tokens.tolist()
    assert [row["labels"] for row in found] == layout.labels.tolist()
    for row in found:
        # What the model reads of its own is what it said one position before, where it was to say that.
        for place, made in enumerate(row["made"]):
            assert not made or row["labels"][place - 1] == row["tokens"][place]


def test_two_models_stand_side_by_side_on_the_same_prompts() -> None:
    first, second = exact_parity(4), random_model(make_task("parity"), 4)
    found = content.task_content([first, second], num_samples=2)["models"]
    texts = [
        [[model["architecture"]["vocabulary"][token] for token in row["tokens"]] for row in model["samples"]]
        for model in found
    ]
    assert texts[0] == texts[1]


def test_models_of_different_tasks_are_refused() -> None:
    with pytest.raises(SerialformerError, match="expected two models of one task, found parity, length 4 and majority"):
        content.task_content([random_model(make_task("parity"), 4), random_model(make_task("majority"), 4)])


def test_a_constructed_model_is_told_from_a_trained_one() -> None:
    model = random_model(make_task("parity"), 4)
    assert content.task_content([model])["models"][0]["origin"] == "trained"
    made = construct("parity", 4)
    assert content.task_content([made])["models"][0]["origin"] == "constructed"


def test_names_are_those_that_travel_with_the_model() -> None:
    model = compiled_adder()
    found = content.circuit_content(model)["models"][0]
    names = model.provenance.names
    assert names is not None and found["compiled"] is True
    assert found["directions"] == list(names.directions)
    assert found["units"] == [name for name in names.unit_names(0) if name != "unused"] != []
    silent = replace(model, provenance=replace(model.provenance, names=None))
    found = content.circuit_content(silent)["models"][0]
    assert (found["directions"], found["units"], found["compiled"]) == ([], [], False)
    trained = content.task_content([random_model(make_task("parity"), 4)])["models"][0]
    assert (trained["directions"], trained["units"]) == ([], [])
