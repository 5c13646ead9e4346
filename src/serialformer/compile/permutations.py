"""Composing permutations written symbol by symbol, with brackets or without, in one layer.

A chain symbol is σ_{π_j}: σ the permutation before in the chain, π the next one of the prompt. The position that
writes it knows by itself which item and slot it writes. One head brings π_j, by item and slot; k heads bring σ_1 to
σ_k, by the item before and a slot of their own; unit (v, s) fires where π_j = v and σ_v = s. So the look-up by content
takes a table of k^2 units and not a second layer. Brackets and the chain's first permutation are copies of the prompt.

    heads = k + 1,  hidden units = k^2 + w + 1,
    width = (k + 1) max(c(2 m + 1) + c(w), ceil(((k + 2) c(V) + 3 c(2 m + 1) + 2 c(w) + 9) / (k + 1)))

for m permutations of degree k, w tokens each (k + 2 with brackets), V = w + 1 tokens in the vocabulary, c as in
``automaton``.
"""

from __future__ import annotations

import numpy as np

from serialformer.compile.blueprint import Blueprint, Cases, Head, Look, Query, UnitTable, check_sizes
from serialformer.compile.fields import anagram_field

COMPOSE, COPY, END = range(3)


def permutation_blueprint(
    name: str, vocabulary: tuple[str, ...], end_token: int, degree: int, item_width: int, length: int
) -> Blueprint:
    """The blueprint for ``length`` permutations; the tokens are the symbols, the brackets if there are any, and ``=``.

    Raises:
        CompileError: it would take too many positions.
    """
    num_prompt = item_width * length
    num_positions = 2 * num_prompt + 1
    num_tokens = len(vocabulary)
    check_sizes(name, degree**2 + item_width + 1, num_positions)
    position = np.arange(num_positions, dtype=np.int64)
    # Items 0 .. m-1 are the prompt's, m .. 2m-1 the chain's, and 2m is "=".
    place = np.where(position > num_prompt, position - 1, position)
    item, slot = place // item_width, place % item_width
    item[num_prompt], slot[num_prompt] = 2 * length, 0
    # Position p writes chain token p - w m.
    token = position - num_prompt
    made, made_slot = token // item_width, token % item_width
    writes = (token >= 0) & (token < num_prompt)
    given = np.where(writes, made, np.where(token < 0, item, 0))
    # Where there is no item before in the chain the last of the prompt stands in; what it brings is not used.
    before = np.where(token >= 0, length + np.maximum(made, 0) - 1, item)
    wanted_slot = np.where(token >= 0, made_slot, slot)
    bracketed = item_width > degree
    is_symbol = (made_slot >= bracketed) & (made_slot < bracketed + degree)
    mode = np.where(writes & is_symbol & (made > 0), COMPOSE, COPY)
    mode[-1] = END
    slots = anagram_field("slot", item_width)
    writers = position[num_prompt:]
    given_position = given * item_width + wanted_slot
    before_position = before * item_width + (before >= length)
    all_tokens = np.arange(num_tokens)
    looks = [Look(head=0, tokens=all_tokens, positions=writers, targets=given_position[writers])]
    heads = [
        Head(
            queries=(Query(key="item", asked="given item"), Query(key="slot", asked="wanted slot")),
            brings=(("token", "given"),),
        )
    ]
    for symbol in range(degree):
        where = symbol + bracketed
        heads.append(
            Head(
                queries=(
                    Query(key="item", asked="item before"),
                    Query(key="slot", constant=tuple(slots.codes[where].astype(float).tolist())),
                ),
                brings=(("token", f"before[{symbol}]"),),
            )
        )
        targets = before_position[writers] + where
        looks.append(Look(head=1 + symbol, tokens=all_tokens, positions=writers, targets=targets))
    return Blueprint(
        name=name,
        vocabulary=vocabulary,
        end_token=end_token,
        token_fields=((anagram_field("token", num_tokens), all_tokens),),
        position_fields=(
            (anagram_field("item", 2 * length + 1), item),
            (slots, slot),
            (anagram_field("given item", 2 * length + 1), given),
            (anagram_field("item before", 2 * length + 1), before),
            (anagram_field("wanted slot", item_width), wanted_slot),
            (anagram_field("mode", 3), mode),
        ),
        brought_fields=(
            anagram_field("given", num_tokens),
            *(anagram_field(f"before[{symbol}]", num_tokens) for symbol in range(degree)),
        ),
        heads=tuple(heads),
        units=_units(degree, num_tokens, end_token),
        looks=tuple(looks),
        cases=_cases(degree, num_tokens, end_token, mode),
    )


def _units(degree: int, num_tokens: int, end_token: int) -> tuple[UnitTable, ...]:
    """A table for each v of σ_v; the copies; the end."""
    symbols = np.arange(degree)
    tables: list[tuple[tuple[str, ...], np.ndarray, np.ndarray]] = []
    for image in range(degree):
        watched = np.stack([np.full(degree, COMPOSE), np.full(degree, image), symbols], axis=1)
        tables.append((("mode", "given", f"before[{image}]"), watched, symbols))
    copied = np.delete(np.arange(num_tokens), end_token)
    tables.append((("mode", "given"), np.stack([np.full(len(copied), COPY), copied], axis=1), copied))
    tables.append((("mode",), np.array([[END]]), np.array([end_token])))
    return tuple(
        UnitTable(reads=reads, values=np.stack([watched, watched], axis=2), writes=("token",), written=written[:, None])
        for reads, watched, written in tables
    )


def _cases(degree: int, num_tokens: int, end_token: int, mode: np.ndarray) -> Cases:
    """After every token: every π_j with every σ at its place; every copied token; the end.

    The other symbols of σ are read by units only together with another π_j, so it does not matter which they are.
    """
    own = np.arange(num_tokens)
    copied = np.delete(own, end_token)
    blocks = []
    (composing,) = np.nonzero(mode == COMPOSE)
    if len(composing):  # not with one permutation
        token, image, symbol = (grid.ravel() for grid in np.indices((num_tokens, degree, degree)))
        read = np.zeros((len(token), degree + 1), dtype=np.int64)
        read[:, 0] = image
        read[np.arange(len(token)), 1 + image] = symbol
        blocks.append((token, np.full(len(token), composing[0]), read, symbol))
    token, given = (grid.ravel() for grid in np.meshgrid(own, copied, indexing="ij"))
    read = np.zeros((len(token), degree + 1), dtype=np.int64)
    read[:, 0] = given
    blocks.append((token, np.full(len(token), np.flatnonzero(mode == COPY)[-1]), read, given))
    read = np.zeros((num_tokens, degree + 1), dtype=np.int64)
    blocks.append((own, np.full(num_tokens, len(mode) - 1), read, np.full(num_tokens, end_token)))
    token, position, read, expected = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return Cases(own=token, position=position, read=read, expected=expected)
