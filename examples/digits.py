"""Handwritten digits read by a small neural network: trained with scikit-learn, quantised, and run as a transformer.

The pixels become words of three bits and the weights integers from -7 to 7. The hidden layer is a sum, a ReLU, a shift
and a limit, the answer the place of the greatest score. So the network is integer arithmetic, which a circuit does
exactly: image for image the transformer says what the integer network says.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import serialformer
from serialformer import I16, U16, Array, U, circuit
from serialformer.circuits.evaluate import evaluate_outputs

PIXEL_TOP = 7
WEIGHT_TOP = 7
HIDDEN_TOP = 15
NUM_HIDDEN = 16
NUM_TEST_IMAGES = 500


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of integers: column j of ``weights`` belongs to unit j of the layer."""

    hidden_weights: np.ndarray
    hidden_biases: np.ndarray
    shift: int
    weights: np.ndarray
    biases: np.ndarray

    def classify(self, images: np.ndarray) -> np.ndarray:
        """The digit in each row of 64 pixels, by numpy."""
        sums = images @ self.hidden_weights + self.hidden_biases
        hidden = np.minimum(np.maximum(sums, 0) >> self.shift, HIDDEN_TOP)
        return (hidden @ self.weights + self.biases).argmax(axis=1)


def images_and_digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 images of scikit-learn, eight by eight pixels from 0 to 7, and what they show."""
    pixels, digits = load_digits(return_X_y=True)
    return np.minimum(pixels.astype(np.int64) // 2, PIXEL_TOP), digits


def train(images: np.ndarray, digits: np.ndarray) -> MLPClassifier:
    """One hidden layer of floating-point numbers, on pixels from 0 to 1."""
    network = MLPClassifier((NUM_HIDDEN,), alpha=0.5, learning_rate_init=0.005, max_iter=300, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 300 rounds are enough
        return network.fit(images / PIXEL_TOP, digits)


def quantise(network: MLPClassifier, images: np.ndarray) -> Network:
    """Every layer's weights as multiples of its largest, and as much of the hidden sums as their largest need."""
    (first, second), (first_bias, second_bias) = network.coefs_, network.intercepts_
    first_scale, second_scale = (WEIGHT_TOP / np.abs(weights).max() for weights in (first, second))
    hidden_weights = np.rint(first * first_scale).astype(np.int64)
    hidden_biases = np.rint(first_bias * first_scale * PIXEL_TOP).astype(np.int64)
    sums = images @ hidden_weights + hidden_biases
    shift = max(0, int(np.ceil(np.log2(np.percentile(sums, 99.9) / HIDDEN_TOP))))
    return Network(
        hidden_weights=hidden_weights,
        hidden_biases=hidden_biases,
        shift=shift,
        weights=np.rint(second * second_scale).astype(np.int64),
        biases=np.rint(second_bias * second_scale * first_scale * PIXEL_TOP / 2**shift).astype(np.int64),
    )


IMAGES, DIGITS = images_and_digits()
TRAIN_IMAGES, TEST_IMAGES, TRAIN_DIGITS, TEST_DIGITS = train_test_split(
    IMAGES, DIGITS, test_size=NUM_TEST_IMAGES, random_state=0, stratify=DIGITS
)
FLOAT = train(TRAIN_IMAGES, TRAIN_DIGITS)
NETWORK = quantise(FLOAT, TRAIN_IMAGES)
# As rows, one a unit: weights, bias.
HIDDEN = [(row.tolist(), int(bias)) for row, bias in zip(NETWORK.hidden_weights.T, NETWORK.hidden_biases, strict=True)]
SCORES = [(row.tolist(), int(bias)) for row, bias in zip(NETWORK.weights.T, NETWORK.biases, strict=True)]
SHIFT = NETWORK.shift


def weighted(values, weights, bias):
    """The sum of values times weights, and a bias; what is to be subtracted is added up by itself first."""
    terms = list(zip(values, weights, strict=True))
    plus = sum([U16(value) * weight for value, weight in terms if weight > 0], U16(max(bias, 0)))
    minus = sum([U16(value) * -weight for value, weight in terms if weight < 0], U16(max(-bias, 0)))
    return (plus - minus).signed()


@circuit
def classify(image: Array[U[3], 64]) -> U[4]:
    hidden = []
    for weights, bias in HIDDEN:
        total = weighted(image, weights, bias)
        hidden.append(U[4](0) if total < 0 else U[4](min(total >> SHIFT, HIDDEN_TOP)))
    best, digit = I16(-32768), U[4](0)
    for place, (weights, bias) in enumerate(SCORES):
        score = weighted(hidden, weights, bias)
        if score > best:
            best, digit = score, U[4](place)
    return digit


def compiled(max_fan_in: int = 3) -> tuple[serialformer.Model, serialformer.Optimisation]:
    """The classifier as a transformer, and what optimising it came to."""
    optimised, report = serialformer.optimise(classify.circuit_for(max_fan_in), max_fan_in=max_fan_in)
    return serialformer.compile(optimised), report


def images_to_bits(images: np.ndarray) -> np.ndarray:
    """The bits of each image in the order of the circuit's inputs: three a pixel."""
    return (images[:, :, None] >> np.arange(3) & 1).reshape(len(images), -1).astype(np.uint8)


def bits_to_digits(bits: np.ndarray) -> np.ndarray:
    return bits.astype(np.int64) @ (1 << np.arange(bits.shape[1]))


def main() -> None:
    started = time.perf_counter()
    model, made = compiled()
    shape, tokens = model.transformer.architecture, model.num_new_tokens
    print(f"circuit     {classify.circuit.num_gates:,} gates of 2 inputs, optimised to {made.gates_after:,} of 3")
    print(
        f"model       stock GPT-2, width {shape.width}, {model.transformer.num_parameters:,} parameters,"
        f" compiled in {time.perf_counter() - started:.2f} s"
    )
    bits = images_to_bits(TEST_IMAGES)
    by_numpy = NETWORK.classify(TEST_IMAGES)
    by_circuit = bits_to_digits(evaluate_outputs(classify.circuit, bits))
    started = time.perf_counter()
    by_thought = bits_to_digits(model.run_bits(bits))
    print(f"thought     {tokens:,} tokens an image, {len(bits)} images in {time.perf_counter() - started:.2f} s")
    print(f"accuracy    {FLOAT.score(TEST_IMAGES / PIXEL_TOP, TEST_DIGITS):.1%} floating point, on unseen images")
    for name, answers in (("integers", by_numpy), ("circuit", by_circuit), ("chain of thought", by_thought)):
        print(f"            {np.mean(answers == TEST_DIGITS):.1%} {name}")
    same = (by_numpy == by_circuit).all() and (by_numpy == by_thought).all()
    print(
        f"answer      the same digit for {'every' if same else 'NOT EVERY'} image  ({'correct' if same else 'WRONG'})"
    )


if __name__ == "__main__":
    main()
