"""What all weights of the paper's own transformer have in common: its shape, its embeddings and its heads."""

from __future__ import annotations

import numpy as np

from serialformer.architecture import Architecture, Arithmetic
from serialformer.arrays import Float64
from serialformer.constructions.construction import Construction, ConstructionLayer
from serialformer.errors import CompileError
from serialformer.targets.paper_layout import PaperLayout
from serialformer.transformer.precision import fixed_point
from serialformer.transformer.transformer import Layer, Transformer

MAX_PAPER_PRECISION = 12
"""B_s has 2s binary digits, and the weights are stored in float32."""

MAX_HEADS = 2
"""K/2 + 1/2, the largest sum of a hidden unit, has to stay below B_1 = 3/2."""


def check_paper(construction: Construction, precision: int) -> None:
    """Refuses what has no such weights.

    Raises:
        CompileError: the precision is not between 1 and MAX_PAPER_PRECISION, or gates read more than two wires.
    """
    if not 1 <= precision <= MAX_PAPER_PRECISION:
        raise CompileError(
            f"expected a precision from 1 to {MAX_PAPER_PRECISION}, found {precision}",
            hint="1 is enough for any circuit",
        )
    num_inputs = len(construction.layers[0].look_ups)
    if num_inputs > MAX_HEADS:
        raise CompileError(
            f"gates of {num_inputs} inputs, at most {MAX_HEADS} for target paper",
            hint="split_gates makes two-input ones",
        )


def paper_architecture(layout: PaperLayout, hidden_width: int, precision: int) -> Architecture:
    """No layer norm, unscaled scores, relu, every operation rounded in F_s with s = ``precision``."""
    construction = layout.construction
    return Architecture(
        vocabulary=construction.vocabulary,
        num_positions=construction.num_positions,
        width=layout.width,
        num_layers=len(construction.layers),
        num_heads=layout.num_heads,
        hidden_width=hidden_width,
        activation="relu",
        norm_epsilon=0.0,
        end_token=construction.end_token,
        dtype="float32",
        norm="none",
        scaled_scores=False,
        arithmetic=Arithmetic(precision=precision),
    )


def paper_transformer(layout: PaperLayout, architecture: Architecture, layers: tuple[Layer, ...]) -> Transformer:
    """The layers with the embeddings of a layout."""
    return Transformer(
        architecture=architecture,
        token_embedding=layout.token_rows(),
        position_embedding=layout.position_rows(),
        layers=layers,
        final_norm_gain=np.zeros(0, dtype=np.float32),
        final_norm_bias=np.zeros(0, dtype=np.float32),
    )


def paper_layer(
    layout: PaperLayout,
    layer: ConstructionLayer,
    precision: int,
    *,
    mlp_in: Float64[np.ndarray, "width hidden"],
    mlp_in_bias: Float64[np.ndarray, " hidden"],
    mlp_out: Float64[np.ndarray, "hidden width"],
    mlp_out_bias: Float64[np.ndarray, " width"],
) -> Layer:
    """A layer whose hidden units are given; its heads follow from the look-ups, each of which compares two ids."""
    width, heads, start, largest = layout.width, layout.num_heads, layout.start, fixed_point(precision).largest
    into, out = np.zeros((width, 3, heads, width // heads)), np.zeros((heads, width // heads, width))
    sign = np.arange(layout.code_length)
    for head, look_up in enumerate(layer.look_ups):
        (clause,), (bring,) = look_up.clauses, look_up.brings
        assert clause.asked is not None and (bring.source, bring.of_value) == start.source, look_up
        into[layout.starts[clause.asked] + sign, 0, head, 2 * sign] = 1
        into[start.one, 0, head, 2 * sign + 1] = 1
        into[layout.starts[clause.key] + sign, 1, head, 2 * sign] = largest
        into[start.one, 1, head, 2 * sign + 1] = -largest
        for dimension, factor in start.value.items():
            into[dimension, 2, head, 0] = factor
        out[head, 0, layout.starts[bring.target]] = 1
    arrays = {
        "attention_norm_gain": np.zeros(0),
        "attention_norm_bias": np.zeros(0),
        "attention_in_weight": into.reshape(width, 3 * width),
        "attention_in_bias": np.zeros(3 * width),
        "attention_out_weight": out.reshape(width, width),
        "attention_out_bias": np.zeros(width),
        "mlp_norm_gain": np.zeros(0),
        "mlp_norm_bias": np.zeros(0),
        "mlp_in_weight": mlp_in,
        "mlp_in_bias": mlp_in_bias,
        "mlp_out_weight": mlp_out,
        "mlp_out_bias": mlp_out_bias,
    }
    return Layer(**{name: array.astype(np.float32) for name, array in arrays.items()})
