"""Numbers with error bounds: a covered runtime that starts within the bounds stays within them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from serialformer.architecture import Activation, Architecture, DtypeName
from serialformer.proofs.balls import Ball, activate, activation_value
from serialformer.proofs.bounds import NormInput, normed_errors
from serialformer.proofs.every_prompt import _Machine, certify_every_prompt
from serialformer.proofs.rounding import Float64Rounding, covered_rounding
from serialformer.transformer.forward import layer_norm
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.proofs.test_bounds import made
from tests.proofs.test_rounding import Runtime

FORMATS: tuple[DtypeName, ...] = ("float32", "float16", "bfloat16")


def drawn(random: np.random.Generator, shape: tuple[int, ...], size: float) -> tuple[Ball, np.ndarray]:
    """Numbers with error bounds, and others within these bounds, many of them at the ends."""
    value = random.standard_normal(shape) * size
    error = np.abs(random.standard_normal(shape)) * float(random.choice([0.0, 1e-6, 1e-3, 0.1])) * size
    share = np.clip(random.standard_normal(shape), -1, 1)
    return Ball(value=value, error=error), value + share * error


@pytest.mark.parametrize("dtype", FORMATS)
def test_sums_and_maps_keep_to_their_bounds(dtype: DtypeName) -> None:
    random, rounding = np.random.default_rng(0), covered_rounding(dtype)
    closest = dict.fromkeys(("stored", "plus", "times"), 0.0)
    for _ in range(150):
        runtime = Runtime(random, dtype)
        (one, x), (other, y) = (drawn(random, (3, 7), 4.0) for _ in range(2))
        x, y = x.astype(np.float32), y.astype(np.float32)
        # The end of a bound may not be a float32.
        one, other = (
            Ball(value=ball.value, error=ball.error + np.abs(near) * 2.0**-23) for ball, near in ((one, x), (other, y))
        )
        weight = random.standard_normal((7, 4)).astype(np.float32) * random.integers(0, 2, (7, 4)).astype(np.float32)
        bias = random.standard_normal(4).astype(np.float32) * np.float32(random.integers(0, 2))
        for name, bound, given in (
            ("stored", one.stored(rounding), runtime.store(x)),
            ("plus", one.plus(other, rounding), runtime.store(x + y)),
            (
                "times",
                one.times(weight.astype(np.float64), bias.astype(np.float64), rounding),
                np.stack([runtime.linear(row, weight, bias) for row in x]),
            ),
        ):
            off = np.abs(given.astype(np.float64) - bound.value)
            assert (off <= bound.error).all(), name
            closest[name] = max(closest[name], float((off / bound.error).max()))
    assert min(closest.values()) > 0.5, closest


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_hidden_units_keep_to_their_bounds(activation: Activation, dtype: DtypeName) -> None:
    random, rounding = np.random.default_rng(1), covered_rounding(dtype)
    closest = 0.0
    for _ in range(60):
        seen, x = drawn(random, (200,), float(random.choice([0.5, 2.0, 8.0])))
        x = x.astype(np.float32)
        seen = Ball(value=seen.value, error=seen.error + np.abs(x) * 2.0**-23)
        bound = activate(seen, activation, rounding)
        assert np.allclose(bound.value, activation_value(seen.value, activation))
        runtime = Runtime(random, dtype)
        given = runtime.gelu(x) if activation == "gelu_new" else np.maximum(x, 0)  # which is stored if x is
        off = np.abs(given.astype(np.float64) - bound.value)
        assert (off <= bound.error).all()
        closest = max(closest, float((off / np.maximum(bound.error, 1e-30)).max()))
    assert closest > 0.4


def test_relu_passes_on_an_error_that_reaches_beyond_zero() -> None:
    seen = Ball(value=np.array([-0.5, -2.0]), error=np.array([1.0, 1.0]))
    assert (activate(seen, "relu", covered_rounding("float32")).error >= [0.5, 0.0]).all()


# --- Parts of a forward pass


def machine(width: int, heads: int, dtype: DtypeName = "float32") -> _Machine:
    architecture = Architecture(
        vocabulary=("a", "b"), end_token=1, num_positions=8, num_layers=1, num_heads=heads, width=width,
        hidden_width=4, dtype=dtype, activation="gelu_new", norm_epsilon=1e-5,
    )  # fmt: skip
    weights: dict[str, np.ndarray] = {
        "token_embedding": np.zeros((2, width), dtype=np.float32),
        "position_embedding": np.zeros((8, width), dtype=np.float32),
        "final_norm_gain": np.ones(width, dtype=np.float32),
        "final_norm_bias": np.zeros(width, dtype=np.float32),
    }
    ones, sizes = np.ones(width), {"attention_in": (width, 3 * width), "attention_out": (width, width),
                                   "mlp_in": (width, 4), "mlp_out": (4, width)}  # fmt: skip
    for name, shape in sizes.items():
        weights[f"layers.0.{name}_weight"], weights[f"layers.0.{name}_bias"] = np.zeros(shape), np.zeros(shape[1])
    for name in ("attention_norm", "mlp_norm"):
        weights[f"layers.0.{name}_gain"], weights[f"layers.0.{name}_bias"] = ones, 0 * ones
    stored = {name: weight.astype(np.float32) for name, weight in weights.items()}
    return _Machine(weights_to_transformer(architecture, stored), Float64Rounding())


def attend(x: np.ndarray, weights: dict[str, np.ndarray], heads: int) -> np.ndarray:
    """The stream after one layer's attention, in float64."""
    normed = layer_norm(x, weights["attention_norm_gain"], weights["attention_norm_bias"], 1e-5)
    queries, keys, values = np.split(normed @ weights["attention_in_weight"] + weights["attention_in_bias"], 3, axis=-1)
    mixed, size = [], x.shape[-1] // heads
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = queries[..., part] @ keys[..., part].swapaxes(-1, -2) / np.sqrt(size)
        scores = np.where(np.tri(x.shape[-2], dtype=bool), scores, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed.append(shares / shares.sum(axis=-1, keepdims=True) @ values[..., part])
    return x + np.concatenate(mixed, axis=-1) @ weights["attention_out_weight"] + weights["attention_out_bias"]


@pytest.mark.parametrize("seed", range(6))
def test_attention_passes_on_no_more_than_its_bound(seed: int) -> None:
    """Queries, keys or values are large in turn, so that their error outweighs the others'."""
    random, width, heads = np.random.default_rng(seed), 8, 2
    made, closest = machine(width, heads), 0.0
    for _ in range(30):
        sizes = np.ones(3) * 0.2
        sizes[random.integers(3)] = 2.0
        into = random.standard_normal((width, 3, width)) * sizes[:, None]
        weights: dict[str, np.ndarray] = {
            "attention_norm_gain": np.ones(width), "attention_norm_bias": 0.1 * random.standard_normal(width),
            "attention_in_weight": into.reshape(width, -1),
            "attention_in_bias": 0.5 * random.standard_normal(3 * width),
            "attention_out_weight": random.standard_normal((width, width)),
            "attention_out_bias": random.standard_normal(width),
        }  # fmt: skip
        value = random.standard_normal((1, 3, width))
        error = np.full(value.shape, 10.0 ** random.integers(-6, -2))
        bound = made._attend(Ball(value=value, error=error), weights)
        assert np.allclose(bound.value, attend(value, weights, heads))
        for _ in range(20):
            near = value + error * random.choice([-1.0, 1.0], value.shape)
            off = np.abs(attend(near, weights, heads) - bound.value)
            assert (off <= bound.error).all()
            closest = max(closest, float((off / bound.error).max()))
    assert closest > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_norm_passes_on_no_more_than_its_bound(seed: int) -> None:
    """Errors proportional to the stream change its deviation, and equal errors change its mean."""
    random, width = np.random.default_rng(seed), 16
    made, closest = machine(width, 1), 0.0
    gain, bias = random.standard_normal(width), random.standard_normal(width)
    for _ in range(60):
        value = random.standard_normal((1, 1, width)) * 4.0 ** random.integers(-1, 3) + random.choice([0.0, 2.0])
        error = np.full(value.shape, 10.0 ** random.uniform(-5, -1.5))
        bound = made._norm(Ball(value=value, error=error), gain, bias)
        made._next_norm = 0
        assert np.allclose(bound.value, layer_norm(value, gain, bias, 1e-5))
        for signs in (np.sign(value), np.sign(value - value.mean()), np.ones(width), random.choice([-1.0, 1.0], width)):
            off = np.abs(layer_norm(value + signs * error, gain, bias, 1e-5) - bound.value)
            assert (off <= bound.error).all()
            closest = max(closest, float((off / bound.error).max()))
    assert closest > 0.2


@pytest.mark.parametrize("seed", range(4))
def test_what_a_norm_sees_bounds_what_it_hands_on(seed: int) -> None:
    """The relative and absolute errors hold for any combination of known facts about the stream's error."""
    random, rounding, width = np.random.default_rng(seed), covered_rounding("float32"), 24
    closest = 0.0
    for _ in range(200):
        x = random.integers(-4, 5, width).astype(np.float64) + random.choice([0.0, 0.25, 1.0])
        if x.std() < 1:
            continue
        error = np.zeros(width)
        touched = random.permutation(width)[: int(random.integers(1, width + 1))]
        error[touched] = 10.0 ** random.uniform(-6, -1)
        known: dict[str, Any] = {}
        if random.random() < 0.7:
            known = {"error_sum": float(error.sum()), "largest": float(np.abs(x).max())}
            if random.random() < 0.5:
                known["product"] = float(np.abs(x) @ error)
        square = float(x @ x)
        seen = NormInput(
            sums=(float(x.sum()) - 1, float(x.sum()) + 2), squares=(square * 0.98, square * 1.01),
            error=float(np.linalg.norm(error)), width=width, epsilon=1e-5, **known,
        )  # fmt: skip
        assert seen.mean >= abs(x.mean())
        least, most = seen.deviations
        exact = float(np.sqrt(x.var() + 1e-5))
        assert least <= exact <= most
        relative, absolute = seen.errors(rounding)
        for signs in (np.sign(x), -np.sign(x), np.ones(width), random.choice([-1.0, 1.0], width)):
            near = x + signs * error
            normed = (near - near.mean()) / np.sqrt(near.var() + 1e-5)
            off = np.abs(normed - (x - x.mean()) / exact)
            bound = relative * np.abs(x - x.mean()) / least + absolute + (1 + 2 * relative) * error / least
            assert (off <= bound).all()
            closest = max(closest, float((off[error == 0] / bound[error == 0]).max(initial=0.0)))
    assert closest > 0.1


def test_a_mean_that_is_not_zero_counts() -> None:
    """An error in a coordinate far from the mean changes the variance by more than the coordinate's size suggests."""
    rounding = covered_rounding("float32")
    for width in (8, 16, 64):
        x, error = np.full(width, 3.0), np.zeros(width)
        x[:3], error[0] = -3, 0.05
        seen = NormInput(
            sums=(float(x.sum()), float(x.sum())), squares=(9.0 * width, 9.0 * width), error=0.05, width=width,
            epsilon=1e-5, error_sum=0.05, largest=3.0,
        )  # fmt: skip
        relative, absolute = seen.errors(rounding)
        before, after = (np.sqrt(one.var() + 1e-5) for one in (x, x - error))
        off = np.abs((x - error - (x - error).mean()) / after - (x - x.mean()) / before)[1:]
        assert (off <= (relative * np.abs(x - x.mean()) / before + absolute)[1:]).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_error_of_a_norm_that_should_change_nothing_is_bounded(seed: int) -> None:
    random, rounding, width = np.random.default_rng(seed), covered_rounding("float32"), 16
    for _ in range(50):
        x = random.choice([-2.0, 2.0], width) + float(random.choice([0.0, 0.01, 0.1]))
        error = np.full(width, 10.0 ** random.uniform(-6, -2))
        total, square = float(x.sum()), float(x @ x)
        seen = NormInput(
            sums=(total, total), squares=(square, square), error=float(np.linalg.norm(error)), width=width, epsilon=1e-5
        )  # fmt: skip
        bound = normed_errors(x, error, seen, 2.0, np.full(width, 2.0), np.zeros(width), rounding)
        for signs in (np.sign(x), np.ones(width), random.choice([-1.0, 1.0], width)):
            given = layer_norm(x + signs * error, np.full(width, 2.0), np.zeros(width), 1e-5)
            assert (np.abs(given - x) <= bound).all()


def test_infinities_and_nan_prove_nothing() -> None:
    """Weights that lead to infinities or NaN are refused."""
    _, transformer, _ = made("circuit/two-input table 0110")
    sequences = np.array([[a, b, 2, a ^ b] for a in (0, 1) for b in (0, 1)], dtype=np.int64)

    def certify(changed: Transformer) -> bool:
        return certify_every_prompt(changed, sequences, 3, prompts="all 2^2").holds

    assert certify(transformer)
    weights = dict(transformer.named_weights())
    for name, size in (("layers.0.mlp_in_weight", 3e38), ("layers.0.attention_in_weight", 3e38),
                       ("final_norm_gain", np.nan)):  # fmt: skip
        changed = weights[name].copy()
        changed.reshape(-1)[:2] = size
        assert not certify(weights_to_transformer(transformer.architecture, {**weights, name: changed}))


@pytest.mark.parametrize("block", [1, 1 << 21])
def test_every_prompt_counts_and_the_end_too(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of one prompt, or all in one block."""
    monkeypatch.setattr("serialformer.proofs.every_prompt.NUMBERS_PER_BLOCK", block)
    _, transformer, _ = made("circuit/two-input table 0110")
    sequences = np.array([[a, b, 2, a ^ b] for a in (0, 1) for b in (0, 1)], dtype=np.int64)
    certificate = certify_every_prompt(transformer, sequences, 3, prompts="all 2^2")
    assert certificate.holds and certificate.num_chain_tokens == 1
    for row in range(4):
        wrong = sequences.copy()
        wrong[row, 3] = 1 - wrong[row, 3]
        failure = certify_every_prompt(transformer, wrong, 3, prompts="all 2^2").failure
        assert failure is not None and (failure.position, failure.token) == (2, 0)
    failure = certify_every_prompt(transformer, sequences[:, :3], 3, prompts="all 2^2").failure
    assert failure is not None and (failure.position, failure.token) == (2, 0)


def test_a_norm_of_unbounded_numbers_has_no_bound() -> None:
    part = machine(16, 1)
    value = np.linspace(-1, 1, 16)[None, None]
    error = part._norm(Ball(value=value, error=np.ones_like(value)), np.ones(16), np.zeros(16)).error
    assert np.isinf(error).all()
