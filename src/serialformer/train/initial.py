"""The weights that a run starts from, and the random generators of everything it draws."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from serialformer.architecture import DTYPES, Architecture
from serialformer.train.config import ModelConfig
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer

STREAMS = {"weights": 0, "batch": 1, "evaluation": 2, "final": 3}


def make_generator(
    seed: int, stream: Literal["weights", "batch", "evaluation", "final"], step: int = 0
) -> np.random.Generator:
    """The generator of one draw: a function of seed, purpose and step, so that a run has no other random state."""
    return np.random.default_rng([seed, STREAMS[stream], step])


def draw_weights(architecture: Architecture, config: ModelConfig, seed: int) -> Transformer:
    """Normal matrices and embeddings, biases of 0, gains of 1; what writes into the residual stream may be smaller."""
    random = make_generator(seed, "weights")
    weights = {}
    for name, shape in weight_shapes(architecture).items():
        if name.endswith("gain"):
            weight = np.ones(shape)
        elif name.endswith("bias"):
            weight = np.zeros(shape)
        else:
            deviation = config.initial_deviation
            if name == "position_embedding" and config.position_deviation is not None:
                deviation = config.position_deviation
            if config.scale_residual and name.endswith("out_weight"):
                deviation /= math.sqrt(2 * architecture.num_layers)
            weight = deviation * random.standard_normal(shape)
        weights[name] = weight.astype(DTYPES[architecture.dtype])
    return weights_to_transformer(architecture, weights)
