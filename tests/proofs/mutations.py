"""Checkpoints with one thing altered, and whether they still compute their circuit, by the reference forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from serialformer import Model, certify
from serialformer.circuits.evaluate import evaluate_wires
from serialformer.constructions.program import EQUALS
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.cases import every_input

KINDS = ("set", "scale", "negate", "zero", "add", "copy", "swap rows", "copy row", "flip bit")


def mutate(transformer: Transformer, random: np.random.Generator) -> tuple[Transformer, str]:
    """One weight altered, or two rows of a matrix; and what was done."""
    weights = dict(transformer.named_weights())
    names = [name for name, weight in weights.items() if weight.size]
    # The embedding where the circuit lies as often as all others.
    where = "position_embedding" if "position_embedding" in names else "token_embedding"
    name = where if random.random() < 0.5 else str(random.choice(names))
    changed = weights[name].copy()
    kind = str(random.choice(KINDS))
    flat = changed.reshape(-1)
    used = np.flatnonzero(flat)
    place = int(random.choice(used)) if len(used) and random.random() < 0.7 else int(random.integers(flat.size))
    before = flat[place]
    if kind == "set":
        flat[place] = random.choice([-64, -8, -3, -1, -0.5, 0, 0.5, 1, 3, 8, 64])
    elif kind == "scale":
        flat[place] = float(before) * random.choice([0.25, 0.5, 0.75, 0.9, 1.1, 1.5, 2, 4])
    elif kind == "negate":
        flat[place] = -before
    elif kind == "zero":
        flat[place] = 0
    elif kind == "add":
        flat[place] = float(before) + random.normal() * 10.0 ** random.integers(-4, 2)
    elif kind == "copy":
        flat[place] = flat[int(random.integers(flat.size))]
    elif kind == "flip bit":
        bits = flat[place : place + 1].view(f"u{flat.itemsize}")
        bits ^= bits.dtype.type(1) << bits.dtype.type(random.integers(8 * flat.itemsize))
    elif changed.ndim == 2:
        one, other = random.integers(len(changed), size=2)
        changed[[one, other]] = changed[[other, one]] if kind == "swap rows" else changed[[other, other]]
    weights[name] = changed
    return weights_to_transformer(transformer.architecture, weights), f"{name}[{place}]: {kind}"


def is_right(model: Model, transformer: Transformer) -> bool:
    """Whether it writes every chain token and the end mark, for every prompt, in float64 and float32.

    Given the right context each next token is looked at: if all are right, so is what the model writes by itself.
    """
    bits = every_input(model.words.num_inputs)
    chain = evaluate_wires(model.circuit, bits)[:, model.schedule.wire]
    equals = np.full((len(bits), 1), EQUALS)
    tokens = np.concatenate([bits, equals, chain], axis=1).astype(np.int64)
    if model.words.placed is not None:
        tokens = model.words.placed.place(tokens)
    expected = np.concatenate([chain, equals], axis=1)
    for dtype in (np.float64, np.float32):
        with np.errstate(all="ignore"):
            logits = compute_logits(transformer, tokens, dtype=dtype)[:, model.words.num_inputs :]
        if not np.isfinite(logits).all() or not np.array_equal(
            model.words.read_chains(logits.argmax(axis=-1)), expected
        ):
            return False
    return True


def check_certificates(models: Sequence[Model], number: int, seed: int) -> tuple[int, int]:
    """Alters models in turn; returns how many came out wrong, and how many were certified.

    Raises:
        AssertionError: one was both.
    """
    random, wrong, certified = np.random.default_rng(seed), 0, 0
    for index in range(number):
        model = models[index % len(models)]
        transformer, what = mutate(model.transformer, random)
        holds, right = certify(replace(model, transformer=transformer)).holds, is_right(model, transformer)
        assert right or not holds, what
        wrong, certified = wrong + (not right), certified + holds
    return wrong, certified
