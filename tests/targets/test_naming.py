"""The names that constructions give: what is named is what happens there."""

from __future__ import annotations

import re

import numpy as np
import pytest

import serialformer
from serialformer import Model, construct
from serialformer.constructions.program import schedule_to_program
from serialformer.tasks.layout import lay_out
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import Task
from serialformer.transformer.forward import (
    add_attention,
    apply_mlp,
    cast_layer,
    compute_attention,
    embed,
    hidden_units,
    mix_values,
    project_heads,
)
from serialformer.transformer.names import UNUSED
from tests.cases import every_input, small_circuits


def names_that_fire(model: Model, tokens: np.ndarray, layer: int) -> list[list[str]]:
    """For each position of one sequence the names of the hidden units of a layer that give anything there."""
    transformer = model.transformer
    architecture = transformer.architecture
    stream = embed(transformer, tokens[None], np.arange(len(tokens)), np.float64)
    for number in range(layer + 1):
        cast = cast_layer(transformer.layers[number], np.float64)
        shares = compute_attention(transformer, tokens[None])[number]
        _, _, values = project_heads(stream, cast, architecture, np.arange(len(tokens)))
        stream = add_attention(stream, mix_values(shares, values), cast)
        hidden = hidden_units(stream, cast, architecture)[0]
        stream = apply_mlp(stream, cast, architecture)
    assert model.provenance.names is not None
    names = list(model.provenance.names.unit_names(layer))
    return [[names[unit] for unit in np.flatnonzero(np.abs(row) > 1e-3)] for row in hidden]


@pytest.mark.parametrize("name", ["random, 2 inputs a gate", "random, 3 inputs a gate", "inverters only"])
def test_the_unit_that_fires_is_named_for_what_was_fetched_and_for_what_the_table_says(name: str) -> None:
    model = serialformer.compile(small_circuits()[name])
    program = schedule_to_program(model.circuit, model.schedule)
    bits = every_input(program.num_inputs)[-2:-1]
    tokens = np.concatenate([model.prompts(bits), model.think(bits, model.engine("dense"))], axis=1)[0]
    fired = names_that_fire(model, tokens, 0)
    for token, reads in enumerate(program.reads):
        seen = [int(tokens[place] == 1) for place in reads]
        fetched = " and ".join(f"fetched[{head}] is {bit}" for head, bit in enumerate(seen))
        entry = sum(bit << head for head, bit in enumerate(seen))
        written = tokens[program.num_inputs + 1 + token]
        expected = f"{fetched} and table[{entry}] is {written}: writes token {written}"
        assert fired[program.num_inputs + token] == [expected]


def test_directions_hold_what_they_are_named_for() -> None:
    model = serialformer.compile(small_circuits()["random, 2 inputs a gate"])
    names = model.provenance.names
    assert names is not None
    token, equals = (names.directions.index(name) for name in ("token+", "equals+"))
    assert model.transformer.token_embedding[:3, token].tolist() == [-1, 1, 0]
    assert model.transformer.token_embedding[:3, equals].tolist() == [0, 0, 1]
    own = [place for place, name in enumerate(names.directions) if name.startswith("name.")]
    assert len(np.unique(model.transformer.position_embedding[:, own], axis=0)) == model.words.num_tokens


def test_the_papers_units_are_named_in_their_order() -> None:
    model = serialformer.compile(small_circuits()["random, 2 inputs a gate"], target="paper")
    names = model.provenance.names
    assert names is not None
    units = list(names.unit_names(0))
    layer = model.transformer.layers[0]
    for unit, name in enumerate(units):
        reads = {
            names.directions[row]: float(layer.mlp_in_weight[row, unit])
            for row in np.flatnonzero(layer.mlp_in_weight[:, unit])
        }
        pattern = (
            r"fetched\[0\] is ([01]) and fetched\[1\] is ([01]) and table\[([0-3])\] is ([01]): writes token ([01])"
        )
        match = re.fullmatch(pattern, name)
        if match is None:
            assert (name, reads) in [
                ("takes token 1 away", {"token.0": 1.0}),
                ("takes token 0 away", {"token.0": -1.0}),
                ("takes = away", {"equals": 1.0}),
            ]
        else:
            first, second, entry, says, written = (int(group) for group in match.groups())
            assert entry == first + 2 * second and written == says
            assert reads == {"fetched[0]": first - 0.5, "fetched[1]": second - 0.5, f"table[{entry}]": says - 0.5}
            writes = np.flatnonzero(layer.mlp_out_weight[unit])
            assert [names.directions[column] for column in writes] == ["token.0", "token.1"]
            assert set(layer.mlp_out_weight[unit, writes].tolist()) == {2.0 * written - 1}


@pytest.mark.parametrize(
    ("task", "length"), [(make_task("parity"), 6), (make_task("word-problem", {"group": "S3"}), 4)]
)
def test_units_of_a_construction_write_the_digits_of_the_next_token(task: Task, length: int) -> None:
    model = construct(task, length)
    examples = task.sample(np.random.default_rng(0), length, 1)
    layout = lay_out(task, examples, "cot", length)
    for fired, label in zip(names_that_fire(model, layout.tokens[0], 0), layout.labels[0].tolist(), strict=True):
        if label < 0:
            continue
        # A unit's name says which digits it watches for and which it writes; digits of a token decide the token.
        assert fired and all(re.search(r"digit\[\d\] is .*: writes digit\[\d\] \d+", name) for name in fired)
        if task.name == "parity":
            assert [re.findall(r"writes digit\[0\] (\d)", name) for name in fired] == [[str(label)]]


def test_every_construction_names_all_of_its_parts() -> None:
    for name, parameters, length in (
        ("majority", {}, 5),
        ("modular-addition", {"modulus": 12}, 4),
        ("permutation-composition", {"degree": 3, "format": "brackets"}, 2),
        ("iterated-squaring", {"bound": 1000}, 4),
        ("circuit-value", {}, 12),
    ):
        model = construct(make_task(name, parameters), length)
        names = model.provenance.names
        assert names is not None
        names.check(model.transformer.architecture)
        used = sum(part.count for layer in names.units for part in layer if part.name != UNUSED)
        assert used == model.provenance.num_hidden_units
        for layer, weights in zip(names.units, model.transformer.layers, strict=True):
            unused = layer[-1].count if layer and layer[-1].name == UNUSED else 0
            first = weights.mlp_in_weight.shape[1] - unused
            assert not weights.mlp_in_weight[:, first:].any() and weights.mlp_in_weight[:, :first].any(axis=0).all()
