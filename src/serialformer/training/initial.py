"""The weights that a run starts from, and the random generators of everything it draws."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from serialformer.architecture import DTYPES, Architecture
from serialformer.arrays import Float
from serialformer.training.config import ModelConfig
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer

SHORTEST_WAVE = 3.0
"""In items: the shortest wavelength of a sinusoidal start."""

STREAMS = {"weights": 0, "batch": 1, "evaluation": 2, "final": 3, "length": 4}


def make_generator(
    seed: int, stream: Literal["weights", "batch", "evaluation", "final", "length"], step: int = 0
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
            weight = random.standard_normal(shape)
            if name == "position_embedding" and config.position_start == "sinusoidal":
                weight = _sinusoids(weight, config.position_item)
            weight *= deviation
        weights[name] = weight.astype(DTYPES[architecture.dtype])
    return weights_to_transformer(architecture, weights)


def _sinusoids(
    drawn: Float[np.ndarray, "positions width"], tokens_an_item: int
) -> Float[np.ndarray, "positions width"]:
    """A code of the item that a position is in, and where there are several tokens per item, of the place within it.

    Of variance 1, as what was drawn; the first rows of that are the places' vectors.
    """
    num_positions, width = drawn.shape
    item, place = np.divmod(np.arange(num_positions), tokens_an_item)
    wavelengths = np.geomspace(SHORTEST_WAVE, max(2 * SHORTEST_WAVE, 2 * (item[-1] + 1)), -(-width // 2))
    angles = 2 * np.pi * item[:, None] / wavelengths
    waves = math.sqrt(2) * np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(num_positions, -1)[:, :width]
    return waves if tokens_an_item == 1 else (waves + drawn[place]) / math.sqrt(2)


def add_noise(transformer: Transformer, deviation: float, seed: int) -> Transformer:
    """The transformer with normal noise on every weight: a start that is near another model, and not it."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, weight in transformer.named_weights():
        noise = deviation * random.standard_normal(weight.shape)
        weights[name] = (weight + noise).astype(weight.dtype)
    return weights_to_transformer(transformer.architecture, weights)
