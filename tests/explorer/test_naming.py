"""Names of dimensions are given only where the weights bear them out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.explorer.models import compiled_adder
from tests.task_models import random_model

from serialformer.compile.residual import lay_out
from serialformer.construction import construct_model
from serialformer.explorer.naming import name_circuit_model, name_task_model
from serialformer.tasks.registry import make_task


def test_a_compiled_circuit_has_named_directions_and_units() -> None:
    model = compiled_adder()
    naming = name_circuit_model(model)
    length = model.manifest.details["layout"]["name_length"]
    assert naming.is_compiled
    assert list(naming.directions) == lay_out(2, length).directions()
    assert naming.units[2:4] == ("fetched 1, 0 and the table says 0", "fetched 1, 0 and the table says 1")


def test_weights_that_are_not_laid_out_so_get_no_names() -> None:
    model = compiled_adder()
    changed = model.transformer.position_embedding.copy()
    changed += np.float32(0.25)
    other = replace(model, transformer=replace(model.transformer, position_embedding=changed))
    assert name_circuit_model(other).directions == ()
    silent = replace(model, manifest=replace(model.manifest, details={}))
    assert name_circuit_model(silent).directions == ()


def test_a_constructed_model_has_the_names_of_its_fields() -> None:
    model = construct_model(make_task("parity"), 6)
    naming = name_task_model(model)
    assert len(naming.directions) == model.transformer.architecture.width
    assert any(label.startswith("digit[0]") for label in naming.directions)
    assert all("writes" in label for label in naming.units)


def test_a_trained_model_gets_plain_numbers() -> None:
    assert name_task_model(random_model(make_task("parity"), 4)).directions == ()
