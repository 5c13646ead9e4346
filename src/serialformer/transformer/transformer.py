"""Transformer: an architecture and its weights as arrays. Compiled or trained, nothing here asks which."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from serialformer.architecture import DTYPES, Architecture, DtypeName
from serialformer.arrays import Shaped
from serialformer.errors import SerialformerError
from serialformer.transformer.row_table import blocks_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """The weights of one block. Matrices map rows to columns: ``y = x @ weight + bias``.

    ``attention_in`` gives queries, keys and values side by side, head after head. Gains and biases that an
    architecture does not have are arrays of size 0. ``attention_relative_bias`` is what a head adds to a score when the
    key stands that many tokens before the query; None in an architecture without it. ``mlp_up_weight`` gives what gated
    hidden units are multiplied by; None where they are not.
    """

    attention_norm_gain: Shaped[np.ndarray, " norm"]
    attention_norm_bias: Shaped[np.ndarray, " norm_bias"]
    attention_in_weight: Shaped[np.ndarray, "width qkv"]
    attention_in_bias: Shaped[np.ndarray, " qkv_bias"]
    attention_out_weight: Shaped[np.ndarray, "attended width"]
    attention_out_bias: Shaped[np.ndarray, " bias"]
    mlp_norm_gain: Shaped[np.ndarray, " norm"]
    mlp_norm_bias: Shaped[np.ndarray, " norm_bias"]
    mlp_in_weight: Shaped[np.ndarray, "width hidden"]
    mlp_in_bias: Shaped[np.ndarray, " hidden_bias"]
    mlp_out_weight: Shaped[np.ndarray, "hidden width"]
    mlp_out_bias: Shaped[np.ndarray, " bias"]
    attention_relative_bias: Shaped[np.ndarray, "heads distances"] | None = None
    mlp_up_weight: Shaped[np.ndarray, "width hidden"] | None = None

    def named_weights(self) -> Iterator[tuple[str, Shaped[np.ndarray, "..."]]]:
        """Every weight that there is, by the name of its field."""
        for part in fields(self):
            if getattr(self, part.name) is not None:
                yield part.name, getattr(self, part.name)


@dataclass(frozen=True, kw_only=True, eq=False)
class Transformer:
    """A decoder's weights.

    Attributes:
        architecture: the shape.
        token_embedding: one row per token.
        position_embedding: one row a position; none where positions are rotary.
        layers: the blocks, first to last.
        final_norm_gain: of the norm before the unembedding.
        final_norm_bias: of the norm before the unembedding.
        unembedding: one row per token; None where it is the token embedding.

    Raises:
        SerialformerError: a weight has another shape or dtype than the architecture says; lists them all.
    """

    architecture: Architecture
    token_embedding: Shaped[np.ndarray, "vocabulary width"]
    position_embedding: Shaped[np.ndarray, "positions width"]
    layers: tuple[Layer, ...]
    final_norm_gain: Shaped[np.ndarray, " norm"]
    final_norm_bias: Shaped[np.ndarray, " norm_bias"]
    unembedding: Shaped[np.ndarray, "vocabulary width"] | None = None

    def __post_init__(self) -> None:
        problems = []
        expected = weight_shapes(self.architecture)
        dtype = DTYPES[self.architecture.dtype]
        weights = dict(self.named_weights())
        for name in expected.keys() | weights.keys():
            if name not in weights or name not in expected:
                problems.append(f"{name} is {'missing' if name not in weights else 'not expected'}")
            elif weights[name].shape != expected[name] or weights[name].dtype != dtype:
                found = weights[name]
                problems.append(f"{name} is {found.dtype}{list(found.shape)}, not {dtype}{list(expected[name])}")
        if problems:
            raise SerialformerError("; ".join(sorted(problems)))

    def named_weights(self) -> Iterator[tuple[str, Shaped[np.ndarray, "..."]]]:
        """Every weight by a name such as ``layers.0.mlp_in_weight``."""
        for field in fields(self):
            if field.name == "layers":
                for index, layer in enumerate(self.layers):
                    for name, weight in layer.named_weights():
                        yield f"layers.{index}.{name}", weight
            elif field.name != "architecture" and getattr(self, field.name) is not None:
                yield field.name, getattr(self, field.name)

    @property
    def head(self) -> Shaped[np.ndarray, "vocabulary width"]:
        """The unembedding, tied or not: one row per token."""
        return self.token_embedding if self.unembedding is None else self.unembedding

    def digest(self) -> str:
        """SHA-256 of the weights and their names, in hexadecimal."""
        state = hashlib.sha256()
        for name, weight in self.named_weights():
            state.update(name.encode())
            for block in blocks_of(weight):
                state.update(block.tobytes())
        return state.hexdigest()

    @property
    def num_parameters(self) -> int:
        return sum(weight.size for _, weight in self.named_weights())

    @property
    def num_bytes(self) -> int:
        return sum(weight.nbytes for _, weight in self.named_weights())


def weight_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The shape of every weight, by the names of ``Transformer.named_weights``."""
    width, hidden = architecture.width, architecture.hidden_width
    attended, projected = architecture.attention_width, architecture.attention_width + 2 * architecture.key_width
    norm = 0 if architecture.norm == "none" else width
    norm_bias = norm if architecture.norm == "layer_norm" else 0
    biases = int(architecture.biases == "all")
    layer: dict[str, tuple[int, ...]] = {
        "attention_norm_gain": (norm,),
        "attention_norm_bias": (norm_bias,),
        "attention_in_weight": (width, projected),
        "attention_in_bias": (0 if architecture.biases == "none" else projected,),
        "attention_out_weight": (attended, width),
        "attention_out_bias": (biases * width,),
        "mlp_norm_gain": (norm,),
        "mlp_norm_bias": (norm_bias,),
        "mlp_in_weight": (width, hidden),
        "mlp_in_bias": (biases * hidden,),
        "mlp_out_weight": (hidden, width),
        "mlp_out_bias": (biases * width,),
    }
    if architecture.relative_bias:
        layer["attention_relative_bias"] = (architecture.num_heads, architecture.num_positions)
    if architecture.gated:
        layer["mlp_up_weight"] = (width, hidden)
    num_tokens = len(architecture.vocabulary)
    return {
        "token_embedding": (num_tokens, width),
        "position_embedding": (architecture.num_positions if architecture.positions == "learned" else 0, width),
        **{
            f"layers.{index}.{name}": shape for index in range(architecture.num_layers) for name, shape in layer.items()
        },
        "final_norm_gain": (norm,),
        "final_norm_bias": (norm_bias,),
        **({} if architecture.tied else {"unembedding": (num_tokens, width)}),
    }


def weights_to_transformer(architecture: Architecture, weights: dict[str, Shaped[np.ndarray, "..."]]) -> Transformer:
    """The inverse of ``Transformer.named_weights``."""
    layers = tuple(
        Layer(
            **{
                part.name: weights[f"layers.{index}.{part.name}"]
                for part in fields(Layer)
                if f"layers.{index}.{part.name}" in weights
            }
        )
        for index in range(architecture.num_layers)
    )
    rest = {name: weight for name, weight in weights.items() if not name.startswith("layers.")}
    return Transformer(architecture=architecture, layers=layers, **rest)


def cast_transformer(transformer: Transformer, dtype: DtypeName) -> Transformer:
    """The same weights, rounded to another number format."""
    with np.errstate(over="ignore"):  # what is too large becomes infinite, as in other libraries
        weights = {name: weight.astype(DTYPES[dtype]) for name, weight in transformer.named_weights()}
    return weights_to_transformer(replace(transformer.architecture, dtype=dtype), weights)
