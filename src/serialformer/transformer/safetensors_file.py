"""The file format of safetensors, written block by block: the library's own bytes, without a copy of the weights.

A file is the length of a header (8 bytes, least significant first), the header in JSON, padded with blanks to a
multiple of 8, and the tensors, one after another: those of wider numbers first, and then by name. See
https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from serialformer.arrays import Shaped
from serialformer.transformer.row_table import blocks_of

NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
"""What the format calls the types of numbers, the widest first; those of one width in the order of the library."""


def write_safetensors(
    weights: Mapping[str, Shaped[np.ndarray, "..."]], path: Path, metadata: Mapping[str, str]
) -> None:
    """Writes weights of floating-point numbers into a file.

    Raises:
        OSError: it cannot be written.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    ordered = sorted(weights.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    begin = 0
    for name, weight in ordered:
        header[name] = {
            "dtype": NAMES[weight.dtype.name],
            "shape": list(weight.shape),
            "data_offsets": [begin, begin + weight.nbytes],
        }
        begin += weight.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, weight in ordered:
            for block in blocks_of(weight):
                file.write(block.tobytes())
