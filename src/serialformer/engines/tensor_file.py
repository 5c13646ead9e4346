"""A checkpoint directory as an adapter reads it: with the standard library and numpy alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read_config(directory: Path) -> dict[str, Any]:
    """The content of ``config.json``."""
    content: dict[str, Any] = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    return content


def end_token(config: Mapping[str, Any]) -> int:
    """The token that ends a chain: the first, if ``config.json`` lists several that end generation.

    >>> end_token({"eos_token_id": [2, 5]}), end_token({"eos_token_id": 2})
    (2, 2)
    """
    ends = config["eos_token_id"]
    return int(ends[0] if isinstance(ends, list) else ends)


def read_vocabulary(directory: Path) -> dict[str, int]:
    """The ids of the tokens by their texts."""
    content = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = content["model"]["vocab"]
    return vocabulary


def read_tensors(directory: Path) -> tuple[dict[str, np.ndarray], str]:
    """The weights as float32, which holds all of their values, and the format in which they are stored.

    Raises:
        ValueError: a tensor is of another format, or not all are of one.
    """
    data = (directory / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    formats = {entry["dtype"] for entry in header.values()}
    if len(formats) != 1 or not formats <= set(FORMATS):
        raise ValueError(f"expected weights of one of the formats {', '.join(FORMATS)}, found {sorted(formats)}")
    (kind,) = formats
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length + start : 8 + length + end], dtype=FORMATS[kind])
        if kind == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = values.astype(np.float32).reshape(entry["shape"])
    return tensors, {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[kind]
