"""The annotations of arrays: jaxtyping's for type checkers and where shapes are checked, plain arrays elsewhere.

Shapes are checked at run time by who imports jaxtyping before serialformer, as the tests do. Importing it takes as long
as importing numpy, so no command does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import (
        Bool,
        Float,
        Float32,
        Float64,
        Int,
        Int8,
        Int32,
        Int64,
        Integer,
        Shaped,
        UInt8,
        UInt16,
        UInt64,
    )
else:

    class Shaped:
        """``Shaped[array, "rows columns"]`` is the type of the array, whose shape is for the reader alone."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Float = Float32 = Float64 = Int = Int8 = Int32 = Int64 = Integer = UInt8 = UInt16 = UInt64 = Shaped

__all__ = [
    "Bool",
    "Float",
    "Float32",
    "Float64",
    "Int",
    "Int8",
    "Int32",
    "Int64",
    "Integer",
    "Shaped",
    "UInt8",
    "UInt16",
    "UInt64",
]
