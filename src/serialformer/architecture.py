"""Architecture: the shape of a decoder-only transformer, and nothing of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import ml_dtypes
import numpy as np

from serialformer.errors import SerialformerError

Activation = Literal["relu", "gelu_new"]
DtypeName = Literal["float32", "float16", "bfloat16"]

DTYPES: dict[str, np.dtype] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}

UNKNOWN = "<unk>"
"""The token that a tokenizer makes of text that is no token of the vocabulary, where the vocabulary has it."""


def token_separator(vocabulary: Sequence[str]) -> str:
    """What stands between two tokens in text: a blank if some token is longer than a character, otherwise nothing.

    >>> token_separator(("0", "1", "=", "<unk>")), token_separator(("9", "10", "="))
    ('', ' ')
    """
    return " " if any(len(text) > 1 for text in vocabulary if text != UNKNOWN) else ""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a GPT-2: pre-norm blocks, learned positions, tied embedding and unembedding.

    Attributes:
        vocabulary: the text of each token, by token id.
        num_positions: the context length, in tokens.
        width: the dimensions of the residual stream; a multiple of ``num_heads``.
        num_layers: blocks of attention and feed-forward.
        num_heads: attention heads a layer; each is ``width / num_heads`` wide.
        hidden_width: hidden units of each feed-forward layer.
        activation: the feed-forward non-linearity, by its Hugging Face name.
        norm_epsilon: what layer norm adds to the variance.
        end_token: the id of the token that ends generation.
        dtype: the number format of the weights.
    """

    vocabulary: tuple[str, ...]
    num_positions: int
    width: int
    num_layers: int
    num_heads: int
    hidden_width: int
    activation: Activation
    norm_epsilon: float
    end_token: int
    dtype: DtypeName

    def __post_init__(self) -> None:
        sizes = (self.num_positions, self.width, self.num_layers, self.num_heads, self.hidden_width)
        if min(sizes) < 1 or not self.vocabulary:
            raise SerialformerError(f"expected positive sizes, found {self}")
        if self.width % self.num_heads:
            raise SerialformerError(f"width {self.width} is not a multiple of {self.num_heads} heads")
        if self.dtype not in DTYPES:
            raise SerialformerError(f"no dtype {self.dtype!r}", hint=f"one of {', '.join(DTYPES)}")

    @property
    def head_width(self) -> int:
        return self.width // self.num_heads
