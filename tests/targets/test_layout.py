"""Layout: a ballast for every square norm, and what layer norms see of every construction in every packing."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer.constructions.construction import (
    NOTHING,
    Bring,
    Clause,
    Construction,
    ConstructionLayer,
    Field,
    LookUp,
    exact_table,
)
from serialformer.constructions.evaluator import evaluator_construction
from serialformer.constructions.task_depth import task_depth_construction
from serialformer.targets.layout import NUM_EVEN_BALLAST, Layout, add_companions, balanced, choose_packing, lay_out
from serialformer.tasks.registry import make_task
from tests.construction_cases import every_construction

CONSTRUCTIONS = every_construction()


def test_every_even_number_is_a_square_norm_of_the_ballast() -> None:
    """The 290 theorem (Bhargava and Hanke): a form that represents 1 to 290 represents every positive number."""
    for half in range(1, 291):
        numbers = balanced(2 * half, NUM_EVEN_BALLAST)
        assert numbers is not None and len(numbers) == NUM_EVEN_BALLAST
        assert sum(numbers) == 0 and sum(number**2 for number in numbers) == 2 * half


def test_an_odd_square_norm_has_no_ballast() -> None:
    """Numbers that add up to 0 have an even square norm."""
    for square in range(1, 60, 2):
        assert all(balanced(square, count) is None for count in range(7))


def test_units_are_pairs_where_two_layers_write_one_field() -> None:
    """Three layers of squaring write the same field twice and clear none; two write it once."""
    task = make_task("iterated-squaring", {"bound": 20})
    packings = [choose_packing(task_depth_construction(task, 8, num_layers)) for num_layers in (2, 3, 4)]
    assert packings == ["signs", "saturated", "saturated"]
    assert choose_packing(evaluator_construction(4)) == "signs"


def toy(num_heads: int) -> Construction:
    """Tokens hold one of 5 values and perhaps one of 100, which heads bring from one of 700 positions."""
    tokens = np.arange(101)
    look_up = LookUp(
        name="number",
        clauses=(Clause(key="place", asked="place"),),
        brings=(Bring(source="number", target="number"),),
        copies=num_heads,
    )
    return Construction(
        name="toy",
        vocabulary=tuple(map(str, tokens)),
        end_token=100,
        num_positions=700,
        fields=(
            Field(name="kind", num_values=5, origin="token", values=tokens % 5),
            Field(name="number", num_values=100, origin="token", values=np.where(tokens < 100, tokens, NOTHING)),
            Field(name="place", num_values=700, origin="position", values=np.arange(700)),
        ),
        layers=(
            ConstructionLayer(
                look_ups=(look_up,), tables=(exact_table("copy", ["number"], [[1]], ["kind", "number"], [[1, 1]]),)
            ),
        ),
        prompts="none",
        num_chain_tokens=1,
        claims=lambda: iter(()),
    )


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_an_even_stream(heads: int) -> None:
    layout = lay_out(toy(heads), "even")
    # A kind takes 4 dimensions, a number 34 and its companion 4, a place 8, a companion that was brought 4.
    used = 4 + 34 + 4 + 8 + 4 + NUM_EVEN_BALLAST
    assert layout.num_heads == heads
    assert layout.width == heads * max(8, -(-38 // heads), -(-used // heads))
    assert layout.span("number") == slice(4, 38) and layout.span("number weight") == slice(38, 42)
    assert layout.span("place") == slice(42, 50) and layout.ballast == slice(54, 59)
    before = 20 + 64 + 40  # a number and its companion have one square norm together
    assert sum(number**2 for number in layout.ballast_before) == 16 * layout.width - before
    assert sum(number**2 for number in layout.ballast_after) == 16 * layout.width - before - 64
    labels = layout.directions()
    assert len(labels) == layout.width == len(set(labels)) and labels[37:39] == ("number.33", "number weight.0")


def test_companions_hold_something_where_their_field_does_not() -> None:
    added = add_companions(toy(2))
    number, weight = (added.field_named[name].of_token for name in ("number", "number weight"))
    assert np.array_equal(weight == 1, number == NOTHING) and np.array_equal(weight == 0, number != NOTHING)
    ((look_up,), (table,)) = added.layers[0].look_ups, added.layers[0].tables
    assert [bring.source for bring in look_up.brings] == ["number", "number weight"]
    assert added.field_named[look_up.brings[1].target].companion_of == "number"
    assert table.writes == ("kind", "number", "number weight") and table.written.tolist() == [[1, 1, 0]]


def test_which_packing_is_chosen() -> None:
    for name, make in CONSTRUCTIONS.items():
        kind = name.partition("/")[0]
        assert choose_packing(make()) == {"circuit": "tight", "task": "even", "evaluator": "signs"}[kind]


def stream(layout: Layout, positions: np.ndarray) -> np.ndarray:
    """What token and position hold together before the first layer: by position, token, dimension."""
    construction = layout.construction
    found = np.zeros((len(positions), len(construction.vocabulary), layout.width))
    for name, coding in layout.codings.items():
        part = construction.field_named[name]
        if part.origin == "token":
            found[:, :, layout.span(name)] += coding.rows(part.of_token)[None]
        elif part.origin == "position":
            values = np.array([int(part.at(slice(place, place + 1))[0]) for place in positions])
            found[:, :, layout.span(name)] += coding.rows(values)[:, None]
        else:
            found[:, :, layout.span(name)] += coding.nothing
    found[:, :, layout.ballast] += layout.ballast_before
    return found


def can_be_brought(construction: Construction, look_up: LookUp, own: int) -> np.ndarray:
    """For each token whether it can stand where a look-up reads, given the token of the position that reads."""
    possible = np.ones(len(construction.vocabulary), dtype=bool)
    for bring in look_up.brings:
        target, source = construction.field_named[bring.target], construction.field_named[bring.source]
        if target.origin == "token" and target.of_token[own] != NOTHING:
            possible &= source.of_token == NOTHING
    return possible


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_a_layer_norm_sees_one_square_norm_before_attention_and_after_it(name: str) -> None:
    layout = lay_out(CONSTRUCTIONS[name]())
    construction = layout.construction
    random = np.random.default_rng(0)
    last = construction.num_positions - 1
    positions = np.unique(np.append(random.integers(0, last + 1, 20), [0, last]))
    allowed = np.array([text != "<unk>" for text in construction.vocabulary])
    before = stream(layout, positions)[:, allowed]
    assert not before.sum(axis=2).any()
    square_norm = layout.deviation**2 * layout.width
    # A position that writes nothing holds no truth table, which the first layer norm must not notice either.
    assert (np.square(before).sum(axis=2) == square_norm).all()
    # What heads bring, from any token and position. A field of the token may be brought where it holds nothing.
    own = int(random.choice(np.flatnonzero(allowed)))
    after = stream(layout, positions)[:, own]
    after[:, layout.ballast] = layout.ballast_after or 0
    for look_up in construction.layers[0].look_ups:
        token = int(random.choice(np.flatnonzero(allowed & can_be_brought(construction, look_up, own))))
        place = int(random.choice(positions))
        for bring in look_up.brings:
            part, target = construction.field_named[bring.source], layout.codings[bring.target]
            value = part.of_token[token] if part.origin == "token" else part.at(slice(place, place + 1))[0]
            arriving = bring.arriving(np.array([int(value)]))
            after[:, layout.span(bring.target)] += target.rows(arriving).astype(float) - target.nothing
    assert not after.sum(axis=1).any()
    assert (np.square(after).sum(axis=1) == square_norm).all()


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_every_dimension_has_one_place_and_one_label(name: str) -> None:
    layout = lay_out(CONSTRUCTIONS[name]())
    used = np.zeros(layout.width, dtype=int)
    for part in layout.codings:
        used[layout.span(part)] += 1
        assert set(layout.carriers(part)) | set(layout.watched(part)) <= set(range(layout.width)[layout.span(part)])
    used[layout.ballast] += 1
    num_used = used.sum()
    assert used[:num_used].all() and used.max() == 1 and not used[num_used:].any(), "padding comes last"
    assert len(layout.ballast_before) == len(layout.ballast_after) == len(range(layout.width)[layout.ballast])
    labels = layout.directions()
    assert len(labels) == len(set(labels)) == layout.width
    for part in layout.codings:
        assert all(part in label or layout.packing == "tight" for label in labels[layout.span(part)])
