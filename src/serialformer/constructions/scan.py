"""A product without a chain, by doubling: layer by layer each position multiplies twice as many items.

Position p begins with item p, and ``=`` with the identity. After l layers position p holds the product of the last 2^l
items up to its own, or of all there are: in layer l it fetches what stands 2^(l - 1) positions before it, and
multiplies that by its own. So ``=`` has the product of all n items after

    ceil(log2(n + 1)) layers,

and with fewer, L, that of the last 2^L - 1 items. It works for any finite monoid: groups, numbers that are added, and
automata, whose letters are maps of states. Elements are written in digits, so that rules of a few digits make the
digits of a product (``DigitRule``; of maps, image s of a product is the right one's image of the left one's image s).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.automaton import DigitRule
from serialformer.constructions.claim import ScanClaim
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

KEEP, JOIN, STOP = range(3)
"""The values of the fields ``joins``: whether a position multiplies in a layer. Where it stops it writes nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Monoid:
    """Elements that are multiplied, and the tokens that stand for them.

    Attributes:
        name: what it is, for messages.
        vocabulary: the text of each token.
        end_token: the id of ``=``, which counts as the identity.
        items: the tokens that may stand in the prompt.
        element: for each of them its element.
        product: for each left and right element their product; element 0 is the identity.
        digits: for each element its digits.
        rules: how digits of a product follow from digits: of the left element as ``state_digits``, of the right one as
            ``symbol_digits``.
        answer: for each element the token that is written.
        answered_by: the one digit on which the answer depends, an image of maps, and for each of its values the token;
            None if it is not so.
        are_tokens: whether tokens are elements, so that the digits of a product are those of its token. If neither is
            so, an element is one digit.
        items_name: what the items are called, for messages.
    """

    name: str
    vocabulary: tuple[str, ...]
    end_token: int
    items: Int64[np.ndarray, " items"]
    element: Int64[np.ndarray, " items"]
    product: Int64[np.ndarray, "elements elements"]
    digits: Int64[np.ndarray, "elements digits"]
    rules: tuple[DigitRule, ...]
    answer: Int64[np.ndarray, " elements"]
    answered_by: tuple[int, Int64[np.ndarray, " values"]] | None = None
    are_tokens: bool = True
    items_name: str = "items"


def num_scan_layers(length: int) -> int:
    """The number of layers that multiplies a number of items.

    >>> [num_scan_layers(length) for length in (1, 2, 3, 4, 7, 8, 16)]
    [1, 2, 2, 3, 3, 4, 5]
    """
    return length.bit_length()


def num_scanned(length: int, num_layers: int) -> int:
    """How many of the last items the answer takes into account."""
    return min(length, (1 << num_layers) - 1)


def scan_construction(
    monoid: Monoid, length: int, num_layers: int | None = None, *, ends: bool = False
) -> Construction:
    """The construction of products of ``length`` items.

    Args:
        monoid: what is multiplied.
        length: how many items.
        num_layers: by default as many as the whole product needs.
        ends: whether there is a position for the answer, at which nothing is written.

    Raises:
        CompileError: it would take too many units or positions.
    """
    num_layers = num_scan_layers(length) if num_layers is None else num_layers
    num_positions, places = length + 1 + ends, range(monoid.digits.shape[1])
    num_units = sum(len(rule.table) for rule in monoid.rules) + int(monoid.digits.max(axis=0).sum()) + len(places)
    check_sizes(monoid.name, num_layers * num_units, num_positions, len(monoid.product) ** 2)
    sizes = [max(2, int(monoid.digits[:, place].max()) + 1) for place in places]
    of_token = np.tile(monoid.digits[0], (len(monoid.vocabulary), 1))
    of_token[monoid.items] = monoid.digits[monoid.element]
    position = np.arange(num_positions, dtype=np.int64)
    before = [np.where(position > length, -1, position - (1 << layer)) for layer in range(num_layers)]
    joins = [np.where(target >= 0, JOIN, KEEP).astype(np.int64) for target in before]
    joins[-1][length + 1 :] = STOP
    tokens = np.arange(len(monoid.vocabulary))
    mark = Field(name="equals", num_values=2, origin="token", values=(tokens == monoid.end_token).astype(np.int64))
    if not monoid.are_tokens:
        mark = Field(name="token", num_values=len(tokens), origin="token", values=tokens)
    layers = [
        ConstructionLayer(
            look_ups=(_look_up(layer, places),),
            tables=_multiply(monoid, layer, sizes),
            clears=tuple(f"{name}[{place}]" for name in ("digit", "left") for place in places),
        )
        for layer in range(num_layers - 1)
    ]
    last = num_layers - 1
    if monoid.are_tokens:
        tables = _answer_by_digits(monoid, last, sizes)
    else:
        by_image = monoid.answered_by is not None
        tables = (_answer_by_image if by_image else _answer_by_table)(monoid, last, of_token)
    layers.append(ConstructionLayer(look_ups=(_look_up(last, places),), tables=tables))
    num_last = num_scanned(length, num_layers)
    claim = ScanClaim(
        num_items=length,
        items=monoid.items,
        element=monoid.element,
        product=monoid.product,
        codes=monoid.digits,
        carried=tuple(f"digit[{place}]" for place in places),
        answer=monoid.answer,
        num_last=num_last,
    )
    which = "" if num_last == length else f", for what the last {num_last} come to"
    return Construction(
        name=f"{monoid.name} without a chain",
        vocabulary=monoid.vocabulary,
        end_token=monoid.end_token,
        num_positions=num_positions,
        fields=(
            mark,
            *(
                Field(name=f"digit[{place}]", num_values=sizes[place], origin="token", values=of_token[:, place])
                for place in places
            ),
            Field(name="name", num_values=num_positions, origin="position", values=position),
            *(
                Field(
                    name=f"read[{layer}]",
                    num_values=num_positions,
                    origin="position",
                    values=np.where(target >= 0, target, position),
                )
                for layer, target in enumerate(before)
            ),
            *(
                Field(
                    name=f"joins[{layer}]",
                    num_values=3 if ends and layer == num_layers - 1 else 2,
                    origin="position",
                    values=values,
                )
                for layer, values in enumerate(joins)
            ),
            *(Field(name=f"left[{place}]", num_values=sizes[place], origin="layers") for place in places),
        ),
        layers=tuple(layers),
        prompts=f"all words of {length} {monoid.items_name}{which}",
        num_chain_tokens=1,
        claims=lambda: iter([claim]),
    )


def _look_up(layer: int, places: range) -> LookUp:
    """Fetches a field from a fixed number of positions before."""
    return LookUp(
        name=f"{1 << layer} before",
        clauses=(Clause(key="name", asked=f"read[{layer}]"),),
        brings=tuple(Bring(source=f"digit[{place}]", target=f"left[{place}]") for place in places),
    )


def _rule_tables(
    monoid: Monoid, layer: int, also: Callable[[tuple[int, ...]], dict[str, int]]
) -> tuple[UnitTable, ...]:
    """The rules of a product, which may write more beside the digits."""
    tables = []
    for number, rule in enumerate(monoid.rules):
        reads = [f"left[{place}]" for place in rule.state_digits] + [f"digit[{place}]" for place in rule.symbol_digits]
        more = also(rule.next_digits)
        watched, written = rule.table[:, : len(reads)], rule.table[:, len(reads) :]
        tables.append(
            exact_table(
                f"rule {number}",
                [*reads, f"joins[{layer}]"],
                np.pad(watched, ((0, 0), (0, 1)), constant_values=JOIN),
                [*(f"digit[{place}]" for place in rule.next_digits), *more],
                np.concatenate(
                    [written, np.tile(np.array([*more.values()], dtype=np.int64), (len(written), 1))], axis=1
                ),
            )
        )
    return tuple(tables)


def _keep_tables(
    layer: int, sizes: list[int], also: Callable[[tuple[int, ...]], dict[str, int]]
) -> tuple[UnitTable, ...]:
    """Where there is nothing to multiply by, digits stay."""
    tables = []
    for place, size in enumerate(sizes):
        more = also((place,))
        tables.append(
            exact_table(
                f"keep digit {place}",
                [f"digit[{place}]", f"joins[{layer}]"],
                [[value, KEEP] for value in range(size)],
                [f"digit[{place}]", *more],
                [[value, *more.values()] for value in range(size)],
            )
        )
    return tuple(tables)


def _multiply(monoid: Monoid, layer: int, sizes: list[int]) -> tuple[UnitTable, ...]:
    return _rule_tables(monoid, layer, lambda _: {}) + _keep_tables(layer, sizes, lambda _: {})


def _answer_by_digits(monoid: Monoid, layer: int, sizes: list[int]) -> tuple[UnitTable, ...]:
    """The digits of the product are those of its token. What writes digit 0 also writes that it is not ``=``."""

    def also(places: tuple[int, ...]) -> dict[str, int]:
        return {"equals": 0} if 0 in places else {}

    return _rule_tables(monoid, layer, also) + _keep_tables(layer, sizes, also)


def _answer_by_image(
    monoid: Monoid, layer: int, of_token: Int64[np.ndarray, "vocabulary digits"]
) -> tuple[UnitTable, ...]:
    """The token follows from one digit: image s of the product is the right one's image of the left one's image s."""
    assert monoid.answered_by is not None
    place, token = monoid.answered_by
    said = [[int(one), *of_token[one].tolist()] for one in token]
    rest = [f"digit[{other}]" for other in range(of_token.shape[1])]
    writes = ["token", *rest]
    joined = [
        exact_table(
            f"image {image}",
            [f"left[{place}]", f"digit[{image}]", f"joins[{layer}]"],
            [[image, value, JOIN] for value in range(len(token))],
            writes,
            said,
        )
        for image in range(len(token))
    ]
    kept = exact_table(
        "no image",
        [f"digit[{place}]", f"joins[{layer}]"],
        [[value, KEEP] for value in range(len(token))],
        writes,
        said,
    )
    return (*joined, kept)


def _answer_by_table(
    monoid: Monoid, layer: int, of_token: Int64[np.ndarray, "vocabulary digits"]
) -> tuple[UnitTable, ...]:
    """The token of each product, for elements of one digit."""
    writes = ["token", "digit[0]"]
    left, right = (grid.ravel() for grid in np.indices(monoid.product.shape))
    digit = monoid.digits[:, 0]
    said = monoid.answer[monoid.product[left, right]]
    joined = exact_table(
        "answer",
        ["left[0]", "digit[0]", f"joins[{layer}]"],
        np.stack([digit[left], digit[right], np.full(len(left), JOIN)], axis=1),
        writes,
        np.stack([said, of_token[said, 0]], axis=1),
    )
    kept = exact_table(
        "answer alone",
        ["digit[0]", f"joins[{layer}]"],
        np.stack([digit, np.full(len(digit), KEEP)], axis=1),
        writes,
        np.stack([monoid.answer, of_token[monoid.answer, 0]], axis=1),
    )
    return joined, kept


def map_monoid(
    letters: Int64[np.ndarray, "letters states"], most: int
) -> tuple[Int64[np.ndarray, "elements states"], Int64[np.ndarray, "elements elements"]] | None:
    """All maps of states that words of letters make, the identity first, and their products; None if there are more.

    >>> maps, product = map_monoid(np.array([[1, 0], [0, 0]]), 10)
    >>> maps.tolist()
    [[0, 1], [1, 0], [0, 0], [1, 1]]
    >>> product[1:3, 1:3].tolist()  # the second row: reset and then swap, reset and then reset
    [[0, 2], [3, 2]]
    """
    number = {tuple(range(letters.shape[1])): 0}
    maps = [np.arange(letters.shape[1])]
    for found in maps:
        for letter in letters:
            following = letter[found]
            key = tuple(following.tolist())
            if key not in number:
                if len(maps) == most:
                    return None
                number[key] = len(maps)
                maps.append(following)
    every = np.stack(maps).astype(np.int64)
    product = np.empty((len(every), len(every)), dtype=np.int64)
    for left, first in enumerate(every):
        product[left] = [number[tuple(row)] for row in every[:, first].tolist()]
    return every, product


def map_rules(num_states: int) -> tuple[DigitRule, ...]:
    """Image s of a product: unit (s, k, v) sees that the left map's image of s is k, and the right map's of k is v."""
    values = np.arange(num_states)
    return tuple(
        DigitRule(
            state_digits=(state,),
            symbol_digits=(image,),
            next_digits=(state,),
            table=np.stack([np.full(num_states, image), values, values], axis=1),
        )
        for state in range(num_states)
        for image in range(num_states)
    )
