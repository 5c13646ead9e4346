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
NormName = Literal["layer_norm", "none"]

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
class Arithmetic:
    """Arithmetic that rounds after every operation: F_s, or F_{e,s}; see ``transformer.precision``.

    Attributes:
        precision: s; numbers have 2s bits and a sign.
        exponent_bits: e; with 0, numbers are equally spaced.
    """

    precision: int
    exponent_bits: int = 0


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a decoder: blocks of attention and feed-forward, learned positions, tied (un)embedding.

    By default it is a GPT-2; ``norm``, ``scaled_scores`` and ``arithmetic`` are where the paper's transformer differs;
    ``relative_bias`` is an option for training.

    Attributes:
        vocabulary: the text of each token, by token id.
        num_positions: the context length, in tokens.
        width: the dimensions of the residual stream; a multiple of ``num_heads``.
        num_layers: blocks of attention and feed-forward.
        num_heads: attention heads a layer; each is ``width / num_heads`` wide.
        hidden_width: hidden units of each feed-forward layer.
        activation: the feed-forward non-linearity, by its Hugging Face name.
        norm_epsilon: what layer norm adds to the variance; 0 without layer norm.
        end_token: the id of the token that ends generation.
        dtype: the number format of the weights.
        norm: ``layer_norm`` before attention, feed-forward and unembedding, or ``none``.
        scaled_scores: whether attention scores are divided by the square root of the head width.
        arithmetic: what every operation is rounded to; None for plain floats.
        relative_bias: whether each head adds a learned number to the score of each distance between query and key,
            beside the learned positions.
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
    norm: NormName = "layer_norm"
    scaled_scores: bool = True
    arithmetic: Arithmetic | None = None
    relative_bias: bool = False

    def __post_init__(self) -> None:
        sizes = (self.num_positions, self.width, self.num_layers, self.num_heads, self.hidden_width)
        if min(sizes) < 1 or not self.vocabulary:
            raise SerialformerError(f"expected positive sizes, found {self}")
        if self.width % self.num_heads:
            raise SerialformerError(f"width {self.width} is not a multiple of {self.num_heads} heads")
        if self.dtype not in DTYPES:
            raise SerialformerError(f"no dtype {self.dtype!r}", hint=f"one of {', '.join(DTYPES)}")
        if self.norm not in ("layer_norm", "none"):
            raise SerialformerError(f"no norm {self.norm!r}", hint="layer_norm or none")
        differs = self.norm != "none" or self.scaled_scores or self.activation != "relu" or self.relative_bias
        if self.arithmetic is not None and differs:
            raise SerialformerError(
                f"no rounded arithmetic with norm {self.norm}, {'' if self.scaled_scores else 'un'}scaled scores"
                f"{', a relative bias' if self.relative_bias else ''} and {self.activation}",
                hint="it is defined for norm none, unscaled scores, no relative bias and relu",
            )

    @property
    def head_width(self) -> int:
        return self.width // self.num_heads

    @property
    def is_gpt2(self) -> bool:
        """Whether stock runtimes know it."""
        plain = self.norm == "layer_norm" and self.scaled_scores
        return plain and self.arithmetic is None and not self.relative_bias
