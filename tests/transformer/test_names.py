"""Names of directions, heads and hidden units: there and back through JSON, and against an architecture."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.errors import CheckpointError
from serialformer.tasks.registry import make_task
from serialformer.transformer.names import Names, UnitRange, named_units
from tests.task_models import random_model

TEXTS = st.text(max_size=5)
RANGES = st.builds(UnitRange, name=TEXTS, count=st.integers(1, 10**6))
NAMES = st.builds(
    Names,
    directions=st.lists(TEXTS, max_size=4).map(tuple),
    heads=st.lists(st.lists(TEXTS, max_size=3).map(tuple), max_size=3).map(tuple),
    units=st.lists(st.lists(RANGES, max_size=4).map(tuple), max_size=3).map(tuple),
)


@given(NAMES)
def test_names_come_back_from_json(names: Names) -> None:
    assert Names.from_json(json.loads(json.dumps(names.to_json()))) == names


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"directions": [], "heads": []},
        {"directions": [1], "heads": [], "units": []},
        {"directions": [], "heads": [[None]], "units": []},
        {"directions": [], "heads": [], "units": [[{"name": "a"}]]},
        {"directions": [], "heads": [], "units": [[{"name": "a", "count": 0}]]},
        {"directions": [], "heads": [], "units": [[{"name": "a", "count": True}]]},
        {"directions": [], "heads": [], "units": [[{"name": 3, "count": 2}]]},
        {"directions": [], "heads": [], "units": [7]},
    ],
)
def test_what_is_no_names_is_refused(content: object) -> None:
    with pytest.raises(CheckpointError, match="a field of the names is missing or wrong"):
        Names.from_json(content)


def test_names_that_do_not_fit_are_all_listed() -> None:
    architecture = random_model(make_task("parity"), 4).transformer.architecture
    assert (architecture.width, architecture.num_heads, architecture.hidden_width) == (16, 2, 32)
    fitting = Names(
        directions=tuple(f"d{number}" for number in range(16)),
        heads=(("a", "b"),),
        units=(named_units(["first", "second"], 32),),
    )
    fitting.check(architecture)
    assert list(fitting.unit_names(0)) == ["first", "second", *["unused"] * 30]
    wrong = replace(fitting, directions=("d",), heads=(("a",),), units=(named_units([], 31),))
    with pytest.raises(CheckpointError) as error:
        wrong.check(architecture)
    assert str(error.value) == (
        "names for 1 directions, not 16; names for 1 heads in layer 0, not 2;"
        " names for 31 hidden units in layer 0, not 32"
    )
