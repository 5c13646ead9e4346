"""Elements chosen by data: multiplexers that read an array or a table, and decoders that write an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serialformer.circuits.function import vectors
from serialformer.circuits.function.branches import merge_values
from serialformer.circuits.function.logic import FALSE, TRUE, Logic
from serialformer.circuits.function.types import U1, WordType
from serialformer.circuits.function.vectors import BitVector, constant_vector
from serialformer.errors import TraceError


def select(logic: Logic, items: Sequence[Any], index: BitVector, *, as_bytes: bool = False) -> Any:
    """The element that the index names, or 0 where there is none.

    Integers become words as narrow as the widest of them needs, those of ``bytes`` eight bits wide.

    Raises:
        TraceError: the index is signed, or the elements have no common type.
    """
    index = _unsigned(index)
    if not items:
        raise TraceError("an array without elements has none that data can choose")
    items = _with_widths(items, as_bytes)
    outside = _zero_like(items[0])
    # Beyond the array, all is 0; where 2^k elements are read by more than k bits, those above are looked at once.
    used = min(len(index.bits), (len(items) - 1).bit_length())
    size = 1 << used
    row = [*items[:size], *[outside] * (size - len(items))]
    for bit in index.bits[:used]:
        row = [merge_values(logic, bit, high, low) for low, high in zip(row[::2], row[1::2], strict=True)]
    beyond = logic.any_of(index.bits[used:])
    return row[0] if beyond == FALSE else merge_values(logic, beyond, outside, row[0])


def written(logic: Logic, container: Any, index: Any, value: Any) -> Any:
    """The array (or word) with one element (or some bits) replaced; an index beyond it replaces none."""
    if isinstance(container, BitVector):
        return _written_word(logic, container, index, value)
    index = _unsigned(index)
    return [
        merge_values(logic, chosen, value, item) if chosen != FALSE else item
        for item, chosen in zip(container, _decode(logic, index, len(container)), strict=True)
    ]


def _written_word(logic: Logic, word: BitVector, index: Any, value: Any) -> BitVector:
    if isinstance(index, BitVector):
        bit = vectors.fit(value, U1).bits[0]
        chosen = _decode(logic, _unsigned(index), len(word.bits))
        bits = [logic.mux(here, bit, old) for here, old in zip(chosen, word.bits, strict=True)]
    else:
        bits = list(word.bits)
        places = range(len(bits))[index]
        if isinstance(places, int):
            bits[places] = vectors.fit(value, U1).bits[0]
        else:
            new = vectors.fit(value, WordType(width=max(1, len(places)), signed=False))
            for place, bit in zip(places, new.bits[: len(places)], strict=True):
                bits[place] = bit
    return BitVector(bits=tuple(bits), signed=word.signed)


def _decode(logic: Logic, index: BitVector, size: int) -> list[int]:
    """For each number below ``size`` whether the index is that number."""
    chosen = [TRUE]
    for bit in reversed(index.bits):
        # From the top down, and no further than the array.
        chosen = [logic.and_(prefix, choice) for prefix in chosen for choice in (bit ^ 1, bit)][:size]
    return chosen + [FALSE] * (size - len(chosen))


def _unsigned(index: BitVector) -> BitVector:
    if index.signed:
        raise TraceError(f"an index must be unsigned, found {index.type!r}", hint="x.unsigned() reads it so")
    return index


def _with_widths(items: Sequence[Any], as_bytes: bool) -> list[Any]:
    """Integers as words of one type, also in rows of a table."""
    numbers = list(_integers(items))
    if not numbers:
        return list(items)
    signed = min(numbers) < 0
    width = max(max((~number if number < 0 else number).bit_length() for number in numbers) + signed, 1)
    kind = WordType(width=8 if as_bytes else width, signed=signed)

    def convert(item: Any) -> Any:
        if isinstance(item, (list, tuple)):
            return [convert(part) for part in item]
        return constant_vector(item, kind) if isinstance(item, int) else item

    if any(isinstance(item, BitVector) for item in items):  # those say how wide
        return list(items)
    return [convert(item) for item in items]


def _integers(items: Sequence[Any]) -> Any:
    for item in items:
        if isinstance(item, (list, tuple)):
            yield from _integers(item)
        elif isinstance(item, int):
            yield int(item)


def _zero_like(item: Any) -> Any:
    if isinstance(item, BitVector):
        return constant_vector(0, item.type)
    if isinstance(item, (list, tuple)):
        return type(item)(_zero_like(part) for part in item)
    if isinstance(item, int):
        return 0
    raise TraceError(f"data cannot choose among elements such as {item!r}", hint="it chooses among words and integers")
