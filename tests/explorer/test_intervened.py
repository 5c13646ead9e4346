"""Interventions of a served page: the tokens are those of patched edges, and for a Llama those of the circuit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.explorer.models import adder, compiled_adder
from tests.task_models import random_model

from serialformer import compile
from serialformer.errors import InputError
from serialformer.explorer.intervened import Change, intervene, read_change
from serialformer.explorer.reading import MADE
from serialformer.interp import interventions
from serialformer.tasks.registry import make_task

NOTHING = {"layer": 0, "head": 0, "part": 0, "position": 0, "token": 0}


def question(bits: list[int]) -> np.ndarray:
    return np.array([*bits, 2, *[MADE] * 7])


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"kind": "zero", "head": 1}, "a0.h1"),
        ({"kind": "mean", "head": 0}, "a0.h0"),
        ({"kind": "head", "head": 1, "position": 5}, "a0.h1"),
        ({"kind": "residual", "part": 0, "position": 1}, "input"),
        ({"kind": "residual", "part": 2, "position": 6}, "m0"),
        ({"kind": "token", "position": 6, "token": 1}, ""),
    ],
)
def test_it_does_what_patching_does(change: dict[str, Any], part: str) -> None:
    model = compiled_adder()
    found = intervene(
        model.transformer, question([1, 0, 1, 1]), Change(**{**NOTHING, **change}), question([0, 1, 0, 0]), 4, None
    )
    position = change.get("position", -1)
    wanted = interventions.Intervention(
        kind=change["kind"], part=part, position=position, token=change.get("token", -1)
    )
    expected = interventions.intervene(model, {"a": 1, "b": 3}, wanted, {"a": 2, "b": 0})
    assert found["said"][4:] == expected.written.tolist()
    if change["kind"] in ("head", "residual"):
        assert found["other"][5:] == model.run(a=2, b=0).chain.tolist()


def test_a_flipped_input_of_a_llama_gives_the_other_sum() -> None:
    model = compile(adder(), target="llama")
    change = Change(**{**NOTHING, "kind": "token", "position": 3, "token": 0})
    found = intervene(model.transformer, question([1, 0, 1, 1]), change, None, 4, model.words.placed)
    assert found["tokens"][5:] == model.run(a=1, b=1).chain.tolist()
    assert found["said"][-1] == 2


def test_a_model_of_several_layers_is_patched_whole() -> None:
    """With the residual stream of every part of the last layer patched, the last token is the other run's."""
    model = random_model(make_task("parity"), 4)
    own, other = np.array([0, 1, 1, 0, 2]), np.array([1, 1, 0, 1, 2])
    change = Change(**{**NOTHING, "kind": "residual", "part": 2, "position": 4})
    plain = intervene(model.transformer, other, Change(**{**NOTHING, "kind": "token", "token": 1}), None, 4, None)
    assert intervene(model.transformer, own, change, other, 4, None)["said"][-1] == plain["said"][-1]


@pytest.mark.parametrize(
    ("change", "other", "message"),
    [
        ({"kind": "shift"}, None, "expected one of zero, mean, head, residual, token"),
        ({"kind": "head"}, None, "and another run to patch from"),
        ({"kind": "zero", "head": 2}, None, "there is no such layer, head"),
        ({"kind": "token", "token": 9}, None, "there is no such layer, head"),
        ({"kind": "head"}, [1, 0, 2], "and the other run as long"),
        ({"kind": "head"}, [7] * 12, "expected token ids of the model's vocabulary"),
    ],
)
def test_what_is_refused(change: dict[str, Any], other: list[int] | None, message: str) -> None:
    theirs = None if other is None else np.array(other)
    with pytest.raises(InputError, match=message):
        intervene(
            compiled_adder().transformer, question([1, 0, 1, 1]), Change(**{**NOTHING, **change}), theirs, 4, None
        )


def test_what_is_no_change() -> None:
    assert read_change({**NOTHING, "kind": "zero"}) == Change(kind="zero", **NOTHING)
    wrong: list[Any] = [[], {"kind": "zero"}, {**NOTHING, "layer": True}, {**NOTHING, "layer": "0"}]
    for body in wrong:
        with pytest.raises(InputError, match="expected whole numbers"):
            read_change(body)
