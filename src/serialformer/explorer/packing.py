"""Packing: arrays as text in a page, compressed; the page unpacks them with the browser's own means."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import numpy as np

from serialformer.arrays import Shaped

COMPRESSION_LEVEL = 6


def pack_array(array: Shaped[np.ndarray, "..."]) -> dict[str, Any]:
    """The type, the shape and the bytes of an array (little-endian, gzip, base64), as JSON can hold them.

    Compiled weights are mostly zeros and small whole numbers, so they shrink to a few per cent.

    >>> packed = pack_array(np.arange(3, dtype=np.int32))
    >>> packed["dtype"], packed["shape"], unpack_array(packed).tolist()
    ('int32', [3], [0, 1, 2])
    """
    if array.dtype.itemsize > 1 and array.dtype.kind != "V":
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    compressed = gzip.compress(np.ascontiguousarray(array).tobytes(), COMPRESSION_LEVEL, mtime=0)
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": base64.b64encode(compressed).decode("ascii"),
    }


def unpack_array(packed: dict[str, Any]) -> Shaped[np.ndarray, "..."]:
    """The inverse of ``pack_array`` for numpy's own types."""
    data = gzip.decompress(base64.b64decode(packed["data"]))
    return np.frombuffer(data, dtype=packed["dtype"]).reshape(packed["shape"])
