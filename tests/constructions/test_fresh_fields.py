"""Fresh fields: the same tokens at every position, and nothing is cleared or written twice."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from serialformer.constructions.construction import NOTHING
from serialformer.constructions.follow import follow
from serialformer.constructions.fresh_fields import write_fresh
from serialformer.constructions.interpret import interpret
from tests.construction_cases import constructions_without_a_chain, every_construction

CASES = constructions_without_a_chain()


@pytest.mark.parametrize("name", CASES)
def test_every_value_is_held_by_one_of_the_versions(name: str) -> None:
    construction = CASES[name]()
    fresh = write_fresh(construction)
    tokens = np.random.default_rng(1).integers(0, len(construction.vocabulary), (4, construction.num_positions))
    for row in tokens:
        old, new = (follow(one, row, construction.num_positions) for one in (construction, fresh.construction))
        newest = dict.fromkeys(fresh.versions, 0)
        for layer, (before, after) in enumerate(zip(old.layers, new.layers, strict=True)):
            for field, place in newest.items():
                version = fresh.versions[field][place]
                assert np.array_equal(before.before[field], after.before[version]), (layer, field)
                assert np.array_equal(before.brought[field], after.brought[version]), (layer, field)
            for look_up, reads in before.reads.items():
                assert np.array_equal(reads, after.reads[look_up])
            for field in construction.layers[layer].clears:
                newest[field] += 1
        assert [place + 1 for place in newest.values()] == [len(names) for names in fresh.versions.values()]


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_cleared_or_written_twice(name: str) -> None:
    construction = CASES[name]()
    fresh = write_fresh(construction).construction
    assert not any(layer.clears for layer in fresh.layers)
    writers = Counter(
        field
        for layer in fresh.layers[:-1]
        for field in {name for table in layer.tables for name in table.writes}
        | {bring.target for look_up in layer.look_ups for bring in look_up.brings}
    )
    # Squares are written by the first layer or the second, each for half of the residues.
    assert {field for field, number in writers.items() if number > 1} <= {"square"}
    of_layers = {part.name for part in fresh.fields_of("layers")}
    assert set(writers) <= of_layers
    assert [layer.clears for layer in construction.layers] != [()] * len(construction.layers) or (fresh is construction)


def test_a_construction_that_clears_nothing_stays_as_it_is() -> None:
    for name in ("circuit/inverters only", "task/parity-16", "evaluator/2"):
        construction = every_construction()[name]()
        assert write_fresh(construction).construction is construction


def test_the_last_layer_writes_the_next_token() -> None:
    construction = CASES["base/word-problem"]()
    fresh = write_fresh(construction).construction
    prompts = np.array([[1, 2, 3, 4, 5, 6], [5, 5, 4, 1, 0, 6]])
    assert np.array_equal(interpret(fresh, prompts, 1), interpret(construction, prompts, 1))
    written = {name for table in fresh.layers[-1].tables for name in table.writes}
    assert written == {part.name for part in construction.fields_of("token")}
    assert all((part.of_token != NOTHING).all() for part in fresh.fields_of("token"))
