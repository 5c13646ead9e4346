"""Architecture: the shape of a decoder-only transformer, and nothing of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import ml_dtypes
import numpy as np

from serialformer.errors import SerialformerError

Activation = Literal["relu", "gelu_new", "silu"]
DtypeName = Literal["float32", "float16", "bfloat16"]
NormName = Literal["layer_norm", "rms_norm", "none"]
PositionName = Literal["learned", "rotary"]
BiasName = Literal["all", "attention_in", "none"]
Addressing = Literal["names", "distances", "window"]
Family = Literal["gpt2", "llama", "mistral", "qwen2", "serialformer"]

DTYPES: dict[str, np.dtype] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}

UNKNOWN = "<unk>"
"""The token that a tokenizer makes of text that is no token of the vocabulary, where the vocabulary has it."""

TEXT_MARKS = ("<s>", "</s>", "<pad>")
"""The tokens that begin, end and fill up a text."""

MERGED = ("Ġ", "x", "Ġx")
"""The tokens of the one merge that a byte-level BPE must have; ``Ġ`` stands for a blank."""


def token_separator(vocabulary: Sequence[str]) -> str:
    """The separator of tokens in text: a space if some token is longer than a character, otherwise nothing.

    >>> token_separator(("0", "1", "=", "<unk>")), token_separator(("9", "10", "="))
    ('', ' ')
    """
    return " " if any(len(text) > 1 for text in vocabulary if text not in (UNKNOWN, *TEXT_MARKS)) else ""


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
    """The shape of a decoder: blocks of attention and feed-forward between an embedding and an unembedding.

    By default it is a GPT-2; ``norm``, ``scaled_scores`` and ``arithmetic`` are where the paper's transformer differs;
    ``relative_bias`` is an option for training. A Llama has ``rms_norm``, ``rotary`` positions, ``gated`` hidden units
    with ``silu``, and no biases; ``family`` says which stock family an architecture belongs to.

    Attributes:
        vocabulary: the text of each token, by token id.
        num_positions: the context length, in tokens.
        width: the dimensions of the residual stream; a multiple of ``num_heads`` unless ``head_size`` is given.
        num_layers: blocks of attention and feed-forward.
        num_heads: attention heads a layer.
        hidden_width: hidden units of each feed-forward layer.
        activation: the feed-forward non-linearity, by its Hugging Face name.
        norm_epsilon: what layer norm adds to the variance; 0 without layer norm.
        end_token: the id of the token that ends generation.
        dtype: the number format of the weights.
        norm: ``layer_norm`` or ``rms_norm`` before attention, feed-forward and unembedding, or ``none``.
        scaled_scores: whether attention scores are divided by the square root of the head width.
        arithmetic: what every operation is rounded to; None for plain floats.
        relative_bias: whether each head adds a learned number to the score of each distance between query and key,
            beside the learned positions.
        positions: ``learned``, an embedding of each position; or ``rotary``, queries and keys that are rotated by it.
        rotary_base: of the wavelengths of rotary positions; Hugging Face's ``rope_theta``.
        head_size: the width of a head; ``width / num_heads`` if None.
        key_heads: how many heads have keys and values of their own, which groups of queries share; all if None.
        gated: whether a hidden unit is its activation times a second linear map of the stream.
        biases: which linear maps have biases: ``all``, only queries, keys and values (``attention_in``), or ``none``.
        tied: whether the unembedding is the token embedding.
        window: how many tokens a position attends to, itself included; all before it if None.
        beginning_token: the id of the token that may begin a text; that of the end token if None.
        padding_token: the id of the token that fills rows up; that of the end token if None.
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
    positions: PositionName = "learned"
    rotary_base: float = 0.0
    head_size: int | None = None
    key_heads: int | None = None
    gated: bool = False
    biases: BiasName = "all"
    tied: bool = True
    window: int | None = None
    beginning_token: int | None = None
    padding_token: int | None = None

    def __post_init__(self) -> None:
        sizes = (self.num_positions, self.width, self.num_layers, self.num_heads, self.hidden_width)
        chosen = [size for size in (self.head_size, self.key_heads, self.window) if size is not None]
        if min(*sizes, *chosen) < 1 or not self.vocabulary:
            raise SerialformerError(f"expected positive sizes, found {self}")
        if self.head_size is None and self.width % self.num_heads:
            raise SerialformerError(f"width {self.width} is not a multiple of {self.num_heads} heads")
        if self.num_heads % self.num_key_heads:
            raise SerialformerError(f"{self.num_heads} heads cannot share {self.num_key_heads} heads of keys evenly")
        if self.dtype not in DTYPES:
            raise SerialformerError(f"no dtype {self.dtype!r}", hint=f"one of {', '.join(DTYPES)}")
        if self.norm not in ("layer_norm", "rms_norm", "none"):
            raise SerialformerError(f"no norm {self.norm!r}", hint="layer_norm, rms_norm or none")
        if self.positions == "rotary" and (self.head_width % 2 or not self.rotary_base > 0):
            raise SerialformerError(
                f"expected heads of even width and a positive base for rotary positions, found width {self.head_width}"
                f" and base {self.rotary_base:g}"
            )
        differs = self.norm != "none" or self.scaled_scores or self.activation != "relu" or self.relative_bias
        if self.arithmetic is not None and (differs or not self._is_plain):
            raise SerialformerError(
                f"no rounded arithmetic with norm {self.norm}, {'' if self.scaled_scores else 'un'}scaled scores"
                f"{', a relative bias' if self.relative_bias else ''} and {self.activation}",
                hint="it is defined for norm none, unscaled scores, no relative bias and relu",
            )

    @property
    def head_width(self) -> int:
        """The width of a head."""
        return self.width // self.num_heads if self.head_size is None else self.head_size

    @property
    def num_key_heads(self) -> int:
        """How many heads have keys and values of their own."""
        return self.num_heads if self.key_heads is None else self.key_heads

    @property
    def attention_width(self) -> int:
        """The results of all heads side by side."""
        return self.num_heads * self.head_width

    @property
    def key_width(self) -> int:
        """The keys of all heads side by side."""
        return self.num_key_heads * self.head_width

    @property
    def family(self) -> Family:
        """The stock family whose runtimes know it; ``serialformer`` if there is none."""
        stock = self.scaled_scores and self.arithmetic is None and not self.relative_bias
        if stock and self.norm == "layer_norm" and self.activation != "silu" and self._is_plain:
            return "gpt2"
        if stock and self._is_llama_block:
            if self.biases == "attention_in":
                return "serialformer" if self.window is not None else "qwen2"
            return "llama" if self.window is None else "mistral"
        return "serialformer"

    @property
    def is_gpt2(self) -> bool:
        """Whether stock runtimes know it as a GPT-2."""
        return self.family == "gpt2"

    @property
    def is_stock(self) -> bool:
        """Whether stock runtimes know it."""
        return self.family != "serialformer"

    @property
    def _is_plain(self) -> bool:
        """Whether everything that GPT-2 leaves open is as in GPT-2."""
        shape = self.positions == "learned" and self.head_size is None and self.key_heads is None
        return shape and not self.gated and self.biases == "all" and self.tied and self.window is None

    @property
    def _is_llama_block(self) -> bool:
        block = self.norm == "rms_norm" and self.positions == "rotary" and self.gated and self.activation == "silu"
        return block and self.biases != "all"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What may be chosen of a transformer's shape; None for what follows from the rest.

    Attributes:
        head_width: the width of a head.
        hidden: Llama only: the dimensions of the residual stream.
        key_heads: Llama only: heads with keys and values of their own; there are twice as many queries, or more where
            gates have more inputs.
        layers: Llama only: layers; look-ups are repeated in several or spread over them, and the last has the units.
        spare_positions: how many positions the context has beyond those that are needed.
        addressing: Llama only: how heads find what they read. ``names``: by the name of a position, for any circuit.
            ``distances``: by rotary positions, for circuits whose gates all read at the same few distances. ``window``:
            likewise, in a Mistral whose sliding window just holds the largest of these distances.
        head_biases: Llama only: whether queries, keys and values have biases, which makes it a Qwen2.
        tied: Llama only: whether the unembedding is the token embedding.

    >>> Shape(head_width=64, layers=3).chosen
    ('head_width', 'layers')
    """

    head_width: int | None = None
    hidden: int | None = None
    key_heads: int | None = None
    layers: int | None = None
    spare_positions: int | None = None
    addressing: Addressing | None = None
    head_biases: bool | None = None
    tied: bool | None = None

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of what is not None."""
        return tuple(part.name for part in fields(self) if getattr(self, part.name) is not None)
