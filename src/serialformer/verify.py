"""Verification: does the model's chain say what the circuit says, token for token?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs, evaluate_wires
from serialformer.circuits.words import Word, bits_to_values
from serialformer.decode.engine import Engine, Progress
from serialformer.errors import InputError
from serialformer.model import Model

MAX_EXHAUSTIVE_INPUTS = 16


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The outcome of a verification, in counts.

    Attributes:
        inputs: how many inputs were run.
        tokens: how many chain tokens were compared.
        wrong_inputs: on how many inputs anything differed.
        first_wrong: what differed first, in words; "" if nothing.
        engine: which engine ran the model.
    """

    inputs: int
    tokens: int
    wrong_inputs: int
    first_wrong: str
    engine: str

    @property
    def verified(self) -> bool:
        return self.wrong_inputs == 0


def verify(
    model: Model,
    *,
    against: Circuit | None = None,
    num_samples: int | None = 64,
    seed: int = 0,
    engine: str = "auto",
    progress: Progress | None = None,
) -> Verification:
    """Runs the model and compares every chain token with the circuit that it was compiled from.

    Args:
        model: the model.
        against: another circuit with the same words; then only the answers are compared.
        num_samples: how many random inputs; all of them if None.
        seed: of the random inputs.
        engine: which engine runs the model.
        progress: called with the number of inputs done.

    Raises:
        InputError: the other circuit has other words, or there are too many inputs to try them all.
    """
    if against is not None:
        _check_words(model, against)
    chosen = model.engine(engine)
    wrong, tokens, inputs, first_wrong = 0, 0, 0, ""
    for bits in _input_blocks(model, num_samples, np.random.default_rng(seed), chosen):
        chains = model.think(bits, chosen)
        missing = model.manifest.num_chain_tokens - chains.shape[1]
        chains = np.pad(chains, ((0, 0), (0, missing)), constant_values=-1)
        if against is None:
            expected = evaluate_wires(model.circuit, bits)[:, model.schedule.wire].astype(np.int64)
            found = chains
        else:
            expected = _other_outputs(model, against, bits)
            found = chains[:, chains.shape[1] - expected.shape[1] :]
        differs = found != expected
        rows = np.flatnonzero(differs.any(axis=1))
        if len(rows) and not first_wrong:
            first_wrong = _describe(model, bits[rows[0]], found[rows[0]], expected[rows[0]], against is None)
        wrong += len(rows)
        tokens += expected.size
        inputs += len(bits)
        if progress is not None:
            progress(len(bits))
    return Verification(inputs=inputs, tokens=tokens, wrong_inputs=wrong, first_wrong=first_wrong, engine=chosen.name)


def num_verified_inputs(model: Model, num_samples: int | None) -> int:
    """How many inputs ``verify`` will run."""
    return 1 << model.manifest.num_inputs if num_samples is None else num_samples


def _input_blocks(
    model: Model, num_samples: int | None, random: np.random.Generator, engine: Engine
) -> Iterator[UInt8[np.ndarray, "rows inputs"]]:
    num_inputs = model.manifest.num_inputs
    if num_samples is None and num_inputs > MAX_EXHAUSTIVE_INPUTS:
        raise InputError(
            f"{num_inputs} input bits are too many to try all combinations, at most {MAX_EXHAUSTIVE_INPUTS}",
            hint="use --samples N",
        )
    size = engine.rows_at_once(model.manifest.num_tokens)
    total = num_verified_inputs(model, num_samples)
    for start in range(0, total, size):
        count = min(size, total - start)
        if num_samples is None:
            index = np.arange(start, start + count)[:, None]
            yield (index >> np.arange(num_inputs) & 1).astype(np.uint8)
        else:
            yield random.integers(0, 2, (count, num_inputs), dtype=np.uint8)


def _check_words(model: Model, other: Circuit) -> None:
    assert other.input_words is not None and other.output_words is not None
    for side, ours, theirs in (
        ("input", model.inputs, other.input_words),
        ("output", model.outputs, other.output_words),
    ):
        mine, its = {word.name: word.width for word in ours}, {word.name: word.width for word in theirs}
        if mine != its:
            differing = sorted(set(mine.items()) ^ set(its.items()))[:6]
            shown = ", ".join(f"{name} ({width} bits)" for name, width in differing)
            raise InputError(f"the circuits have different {side} words: {shown}", hint="both need the same words")


def _permutation(ours: tuple[Word, ...], theirs: tuple[Word, ...]) -> np.ndarray:
    """For each of their bits the place of the same bit among ours."""
    places = {word.name: word.bits for word in ours}
    result = np.empty(sum(len(word.places) for word in theirs), dtype=np.int64)
    for word in theirs:
        for index, place in enumerate(word.bits):
            if place >= 0:
                result[place] = places[word.name][index]
    return result


def _other_outputs(model: Model, other: Circuit, bits: UInt8[np.ndarray, "rows inputs"]) -> np.ndarray:
    assert other.input_words is not None and other.output_words is not None
    answers = evaluate_outputs(other, bits[:, _permutation(model.inputs, other.input_words)])
    ours = np.empty((len(bits), model.manifest.num_outputs), dtype=np.int64)
    ours[:, _permutation(model.outputs, other.output_words)] = answers
    return ours


def _describe(model: Model, bits: np.ndarray, found: np.ndarray, expected: np.ndarray, whole_chain: bool) -> str:
    values = ", ".join(f"{name}={value}" for name, value in bits_to_values(model.inputs, bits).items())
    place = int(np.argmax(found != expected))
    token = place if whole_chain else place + model.manifest.num_chain_tokens - len(expected)
    said = "nothing" if found[place] < 0 else model.transformer.architecture.vocabulary[found[place]]
    return f"with {values}: token t{token} is {said}, expected {expected[place]}"
