"""Values of a traced function that are not single words: arrays, tuples, tables, and whatever Python knows already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from serialformer.circuits.function.types import ArrayType, DataType, WordType, parts_of
from serialformer.circuits.function.vectors import BitVector, fit, flag
from serialformer.errors import TraceError


def holds_vectors(value: Any) -> bool:
    """Whether a value is a word, or an array of them somewhere."""
    if isinstance(value, (list, tuple)):
        return any(holds_vectors(item) for item in value)
    return isinstance(value, BitVector)


def items_of(value: Any) -> Iterable[Any]:
    """What a loop over the value sees; of a word its bits, least significant first."""
    if isinstance(value, BitVector):
        return [flag(bit) for bit in value.bits]
    if isinstance(value, int):
        raise TraceError(f"the integer {value} has no elements")
    return iter(value)


def freeze(value: Any) -> Any:
    """The value with its lists and arrays as tuples, which cannot be written to."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, bytearray):
        return bytes(value)
    if type(value) in (list, tuple):
        return tuple(freeze(item) for item in value)
    return value


def coerce(value: Any, kind: DataType) -> Any:
    """The value as one of this type: words and integers that fit it, arrays and tuples element by element.

    Raises:
        TraceError: it is something else, or need not fit.
    """
    parts = parts_of(kind)
    if parts is None:
        assert isinstance(kind, WordType)
        if not isinstance(value, (BitVector, int)):
            raise TraceError(f"expected {kind!r}, found a {type(value).__name__}")
        return fit(value, kind)
    if not isinstance(value, (list, tuple, bytes, range)):
        found = repr(value.type) if isinstance(value, BitVector) else f"a {type(value).__name__}"
        raise TraceError(f"expected {kind!r}, found {found}")
    if len(value) != len(parts):
        raise TraceError(f"expected {kind!r}, found {len(value)} elements")
    items = [coerce(item, part) for item, part in zip(value, parts, strict=True)]
    return items if isinstance(kind, ArrayType) else tuple(items)
