"""Permutations written symbol by symbol, composed without a chain: by doubling, with a look-up by content.

Each symbol of the prompt has its own position, its item's number and its slot. In the first layer it takes its own
symbol as its value, and the positions of the answer take those of the last permutation. A value v points to the slot of
symbol v. In each later layer a position fetches the value that stands 1, 2, 4, ... items before, in the slot that its
own value points to, and takes it in place of its own: (σ∘π)_i = σ_{π_i} is one look-up. After l layers a position of
slot i has image i of the product of the last 2^(l - 1) permutations. So products of m permutations take

    ceil(log2(m)) + 1 layers,
    hidden units = 6 V + 2 b(V) + b(w) in each layer but the first and the last, which have fewer,

for permutations of w tokens each, V = w + 1 tokens in all and b(v) = max(1, ceil(log2(v))). With fewer layers, L, it is
the product of the last 2^(L - 1). For L of 2 or more the width is

    2 (3 b(V) + 2 b(w) + (L + 1) b(m + 1) + 2 (L - 1) + 1), rounded up to a multiple of 4,

and from L = 3 on at least 16 b(V) + 8 b(w).

Positions that have nothing to fetch keep their value. Those of the first item point to position 0 meanwhile, since what
their value points to may stand after them; those of other items to the first item.
"""

from __future__ import annotations

import numpy as np

from serialformer.constructions.claim import CompositionClaim
from serialformer.constructions.construction import (
    Bring,
    Clause,
    Construction,
    ConstructionLayer,
    Field,
    LookUp,
    UnitTable,
    check_sizes,
    exact_table,
)
from serialformer.errors import CompileError

KEEP, JOIN, FIRST = range(3)
"""The values of the fields ``step``: what a position does in a layer; FIRST keeps, and points to position 0."""


def num_composition_layers(length: int) -> int:
    """The number of layers that composes a number of permutations.

    >>> [num_composition_layers(length) for length in (1, 2, 3, 4, 5, 8, 16)]
    [1, 2, 3, 3, 4, 4, 5]
    """
    return 1 + (length - 1).bit_length()


def num_composed(length: int, num_layers: int) -> int:
    """How many of the last permutations the answer takes into account."""
    return min(length, 1 << (num_layers - 1))


def composition_construction(
    name: str,
    vocabulary: tuple[str, ...],
    end_token: int,
    degree: int,
    item_width: int,
    length: int,
    num_layers: int | None = None,
    *,
    ends: bool = False,
) -> Construction:
    """The construction for ``length`` permutations; tokens are the symbols, the brackets if there are any, and ``=``.

    With ``ends`` there is a position for the last symbol of the answer, at which nothing is written.

    Raises:
        CompileError: it would take too many positions or units; or with ``ends`` there is only one layer.
    """
    num_layers = num_composition_layers(length) if num_layers is None else num_layers
    if ends and num_layers < 2:
        raise CompileError(
            f"{name} of one permutation has no layer that tells where its answer ends",
            hint="ask for two permutations or more, and two layers or more, or use --target gpt2",
        )
    num_prompt, num_tokens = item_width * length, len(vocabulary)
    num_positions = num_prompt + degree + ends
    check_sizes(name, 3 * num_tokens * num_layers, num_positions)
    first_slot = (item_width - degree) // 2
    position = np.arange(num_positions, dtype=np.int64)
    answers = position >= num_prompt
    # Answers come after all items, and read the last one first.
    item = np.where(answers, length, position // item_width)
    slot = np.where(answers, (position - num_prompt) % degree + first_slot, position % item_width)
    own_item = np.where(answers, length - 1, item)
    pointer = np.where(np.arange(num_tokens) < degree, np.arange(num_tokens) + first_slot, 0)
    num_items = length + 1
    steps, reads = [], []
    for layer in range(1, num_layers):
        target = own_item - (1 << (layer - 1))
        steps.append(np.where(target >= 0, JOIN, np.where(item == 0, FIRST, KEEP)).astype(np.int64))
        if layer == num_layers - 1:
            steps[-1][num_prompt + degree :] = FIRST  # of which no unit of the last layer takes note
        reads.append(np.maximum(target, 0))
    gather = LookUp(
        name="given",
        clauses=(Clause(key="item", asked="own item"), Clause(key="slot", asked="slot")),
        brings=(Bring(source="token", target="value"),),
    )
    layers = []
    for layer in range(num_layers):
        look_up = gather if layer == 0 else _follow(layer)
        clears: tuple[str, ...] = ()
        if layer == num_layers - 1:
            tables = _answer(layer, num_tokens)
        elif layer == 0:
            tables = (_point("first pointer", "begins", pointer),)
        else:
            tables, clears = _step_tables(layer, pointer), ("value", "pointer", "fetched")
        layers.append(ConstructionLayer(look_ups=(look_up,), tables=tables, clears=clears))
    claim = CompositionClaim(
        num_items=length,
        item_width=item_width,
        degree=degree,
        first_slot=first_slot,
        num_last=num_composed(length, num_layers),
    )
    which = "" if claim.num_last == length else f", for what the last {claim.num_last} come to"
    of_position = {
        "item": (num_items, item),
        "slot": (item_width, slot),
        "own item": (num_items, own_item),
        **({"begins": (2, (item == 0).astype(np.int64))} if num_layers > 1 else {}),
        **{f"read[{layer + 1}]": (num_items, values) for layer, values in enumerate(reads)},
        **{f"step[{layer + 1}]": (3, values) for layer, values in enumerate(steps)},
    }
    of_layers = {"value": num_tokens, "pointer": item_width, "fetched": num_tokens}
    return Construction(
        name=f"{name} without a chain",
        vocabulary=vocabulary,
        end_token=end_token,
        num_positions=num_positions,
        fields=(
            Field(name="token", num_values=num_tokens, origin="token", values=np.arange(num_tokens)),
            *(
                Field(name=field, num_values=num_values, origin="position", values=values)
                for field, (num_values, values) in of_position.items()
            ),
            *(
                Field(name=field, num_values=num_values, origin="layers")
                for field, num_values in of_layers.items()
                if num_layers > 1 or field == "value"
            ),
        ),
        layers=tuple(layers),
        prompts=f"all products of {length} permutations{which}",
        num_chain_tokens=degree,
        claims=lambda: iter([claim]),
    )


def _follow(layer: int) -> LookUp:
    """Fetches the value in the slot that the position's value points to, a fixed number of items before."""
    return LookUp(
        name=f"{1 << (layer - 1)} before",
        clauses=(Clause(key="item", asked=f"read[{layer}]"), Clause(key="slot", asked="pointer")),
        brings=(Bring(source="value", target="fetched"),),
    )


def _point(name: str, begins: str, pointer: np.ndarray) -> UnitTable:
    """Where each value points, and position 0 for the first item."""
    values = [(value, first) for value in range(len(pointer)) for first in (0, 1)]
    return exact_table(
        name, ["value", begins], values, ["pointer"], [[0 if first else pointer[value]] for value, first in values]
    )


def _step_tables(layer: int, pointer: np.ndarray) -> tuple[UnitTable, ...]:
    """The value that a position takes, and where it points."""
    step, values = f"step[{layer}]", range(len(pointer))
    joined = exact_table(
        "join",
        ["fetched", step],
        [[value, JOIN] for value in values],
        ["value", "pointer"],
        [[value, pointer[value]] for value in values],
    )
    kept = exact_table(
        "keep",
        ["value", step],
        [[value, how] for value in values for how in (KEEP, FIRST)],
        ["value", "pointer"],
        [[value, 0 if how == FIRST else pointer[value]] for value in values for how in (KEEP, FIRST)],
    )
    return joined, kept


def _answer(layer: int, num_tokens: int) -> tuple[UnitTable, ...]:
    """The value as a token."""
    written = [[value] for value in range(num_tokens)]
    if layer == 0:
        return (exact_table("answer", ["value"], written, ["token"], written),)
    step = f"step[{layer}]"
    joined = exact_table("answer", ["fetched", step], [[value, JOIN] for (value,) in written], ["token"], written)
    kept = exact_table("answer alone", ["value", step], [[value, KEEP] for (value,) in written], ["token"], written)
    return joined, kept
