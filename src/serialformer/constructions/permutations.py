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

from serialformer.constructions.claim import ANY, Rule, TableClaim, token_sets
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

COMPOSE, COPY, END = range(3)


def permutation_construction(
    name: str, vocabulary: tuple[str, ...], end_token: int, degree: int, item_width: int, length: int
) -> Construction:
    """The construction for ``length`` permutations; the tokens are the symbols, the brackets if there are any, and
    ``=``.

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
    look_ups = [
        LookUp(
            name="given",
            clauses=(Clause(key="item", asked="given item"), Clause(key="slot", asked="wanted slot")),
            brings=(Bring(source="token", target="given"),),
        )
    ]
    look_ups += [
        LookUp(
            name=f"before[{symbol}]",
            clauses=(Clause(key="item", asked="item before"), Clause(key="slot", constant=symbol + bracketed)),
            brings=(Bring(source="token", target=f"before[{symbol}]"),),
        )
        for symbol in range(degree)
    ]
    num_items = 2 * length + 1
    of_position = {
        "item": (num_items, item),
        "slot": (item_width, slot),
        "given item": (num_items, given),
        "item before": (num_items, before),
        "wanted slot": (item_width, wanted_slot),
        "mode": (3, mode),
    }
    brought = ["given", *(f"before[{symbol}]" for symbol in range(degree))]
    return Construction(
        name=name,
        vocabulary=vocabulary,
        end_token=end_token,
        num_positions=num_positions,
        fields=(
            Field(name="token", num_values=num_tokens, origin="token", values=np.arange(num_tokens)),
            *(
                Field(name=field, num_values=num_values, origin="position", values=values)
                for field, (num_values, values) in of_position.items()
            ),
            *(Field(name=field, num_values=num_tokens, origin="layers") for field in brought),
        ),
        layers=(ConstructionLayer(look_ups=tuple(look_ups), tables=_tables(degree, num_tokens, end_token)),),
        prompts=f"all products of {length} permutations",
        num_chain_tokens=num_prompt,
        claims=lambda: iter([_claim(degree, item_width, length, num_tokens, end_token)]),
    )


def _claim(degree: int, item_width: int, length: int, num_tokens: int, end_token: int) -> TableClaim:
    """Item 0 is copied, and so are brackets; a symbol of another item is σ_{π_j}, σ the item before; then comes ``=``.

    Symbols are the tokens 0 to degree - 1; brackets, if there are any, follow.
    """
    bracketed = item_width > degree
    symbols, brackets = np.arange(degree), degree + np.arange(2)
    item_sets = [brackets[:1], *[symbols] * degree, brackets[1:]] if bracketed else [symbols] * degree
    num_prompt = item_width * length
    written = np.arange(num_prompt, dtype=np.int64)
    item, slot = written // item_width, written % item_width
    # Chain token t stands at num_prompt + 1 + t.
    before = (num_prompt + 1 + (item - 1) * item_width + bracketed)[:, None] + symbols
    sources = np.concatenate([written[:, None], before], axis=1)
    composed = (slot >= bracketed) & (slot < bracketed + degree) & (item > 0)
    image, symbol = (grid.ravel() for grid in np.indices((degree, degree)))
    read = np.full((len(image), degree + 1), ANY)
    read[:, 0], read[np.arange(len(image)), 1 + image] = image, symbol
    rules = [_rule(written[composed] + num_prompt, sources[composed], read, symbol)]
    copied = np.delete(np.arange(num_tokens), end_token)
    read = np.full((len(copied), degree + 1), ANY)
    read[:, 0] = copied
    rules.append(_rule(written[~composed] + num_prompt, sources[~composed], read, copied))
    end = np.full((1, degree + 1), ANY)
    rules.append(_rule(np.array([2 * num_prompt]), end, end, np.array([end_token])))
    return TableClaim(
        name=f"all products of {length} permutations",
        prompt=token_sets(num_tokens, *item_sets * length, np.array([end_token])),
        rules=tuple(rules),
    )


def _rule(positions: np.ndarray, sources: np.ndarray, read: np.ndarray, expected: np.ndarray) -> Rule:
    """A rule that does not depend on the current token."""
    own = np.full(len(read), ANY)
    return Rule(positions=positions, sources=sources, own=own, read=read, expected=expected)


def _tables(degree: int, num_tokens: int, end_token: int) -> tuple[UnitTable, ...]:
    """A table for each v of σ_v; the copies; the end."""
    symbols = np.arange(degree)
    tables = []
    for image in range(degree):
        watched = np.stack([np.full(degree, COMPOSE), np.full(degree, image), symbols], axis=1)
        reads = ["mode", "given", f"before[{image}]"]
        tables.append(exact_table(f"compose {image}", reads, watched, ["token"], symbols[:, None]))
    copied = np.delete(np.arange(num_tokens), end_token)
    watched = np.stack([np.full(len(copied), COPY), copied], axis=1)
    tables.append(exact_table("copy", ["mode", "given"], watched, ["token"], copied[:, None]))
    tables.append(exact_table("end", ["mode"], [[END]], ["token"], [[end_token]]))
    return tuple(tables)
