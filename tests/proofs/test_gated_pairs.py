"""Pairs of gated units: runtimes keep to the bounds, in every number format, and what is no pair is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

import serialformer
from serialformer import Model, Shape, construct
from serialformer.architecture import DTYPES, DtypeName
from serialformer.proofs import units
from serialformer.proofs.gated_pairs import NormedParts, PairInput, pair_errors
from serialformer.proofs.rounding import Rounding
from serialformer.proofs.stream import RealisationError, Stream
from serialformer.transformer.transformer import weights_to_transformer

FORMATS: tuple[DtypeName, ...] = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Checked:
    """One call of the proof for some units, and what it found."""

    seen: PairInput
    stream: Stream
    error: np.ndarray
    gain: np.ndarray
    own: np.ndarray
    together: np.ndarray
    leak: np.ndarray


def watch_proof(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Model]) -> list[Checked]:
    """Makes a model, and returns what the proof was told of each table's units."""
    found: list[Checked] = []

    def watched(
        seen: PairInput, stream: Stream, parts: NormedParts, rounding: Rounding
    ) -> tuple[np.ndarray, np.ndarray]:
        on, off = pair_errors(seen, stream, parts, rounding)
        found.append(Checked(seen, stream, stream.error.copy(), np.full(len(parts.own), 2.0), parts.own, on, off))
        return on, off

    monkeypatch.setattr(units, "pair_errors", watched)
    make()
    assert found
    return found


def give(x: np.ndarray, checked: Checked, unit: int, number: np.dtype, *, stores: bool) -> float:
    """What a pair gives for a stream, all results stored or kept wider."""

    def keep(values: np.ndarray) -> np.ndarray:
        return values.astype(number).astype(np.float32) if stores else values.astype(np.float32)

    placement = checked.stream.placement
    one = placement.spans[placement.one].start
    normed = keep(x / np.sqrt(np.mean(np.square(x), dtype=np.float32) + np.float32(1e-5)))
    normed = keep(normed * checked.gain.astype(np.float32))
    weights = checked.seen.into[:, unit].astype(np.float32)
    given = []
    for less in (0.0, placement.unit_output):
        weights[one] = (checked.seen.constant[unit] - less) / 2
        gate = keep(np.array([normed @ weights], dtype=np.float32))
        with np.errstate(over="ignore"):
            activated = keep(gate / (1 + np.exp(-gate)))
        given.append(keep(activated * keep(normed[one : one + 1] / 2))[0])
    return float(given[0]) - float(given[1])


@pytest.mark.parametrize("dtype", FORMATS)
def test_what_pairs_give_is_within_the_bounds(dtype: DtypeName, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream is any that the proof allows: codes, each dimension off by as much as it may be."""

    def make() -> Model:
        return construct("word-problem", 6, setting="base", target="llama", dtype=dtype)

    random, closest = np.random.default_rng(1), 0.0
    for checked in watch_proof(monkeypatch, make)[::7]:
        placement = checked.stream.placement
        output, number = placement.unit_output, np.dtype(DTYPES[dtype])
        for _ in range(30):
            unit = int(random.integers(len(checked.together)))
            x, fires = np.zeros(placement.width), bool(random.integers(2))
            for name, span in placement.spans.items():
                codes = placement.codes[name].astype(np.float64)
                products = codes @ checked.seen.into[span, unit]
                value = int(products.argmax()) if np.ptp(products) else int(random.integers(len(codes)))
                x[span] = codes[value]
            # Ballast makes up for names of another norm.
            if not fires:
                read = [name for name, span in placement.spans.items() if checked.seen.into[span, unit].any()]
                name = str(random.choice(read))
                codes = placement.codes[name].astype(np.float64)
                products = codes @ checked.seen.into[placement.spans[name], unit]
                x[placement.spans[name]] = codes[products.argmin()]
            if np.square(x).sum() != 4 * placement.width:
                continue
            exact = float(x @ checked.seen.into[:, unit] + checked.seen.constant[unit])
            x = x + checked.error * random.choice([-1.0, -0.5, 0.5, 1.0], placement.width)
            given = give(x.astype(np.float32), checked, unit, number, stores=dtype != "float32")
            if fires:
                assert exact == 2 * output
                assert abs(given - output) <= checked.together[unit]
                # Where every result is stored in 16 bits, nothing is left of the errors.
                closest = max(closest, abs(given - output) / max(float(checked.together[unit]), 1e-9))
            else:
                assert exact <= -2 * output and abs(given) <= checked.leak[unit]
    assert closest > 0.02 or dtype != "float32"


def test_the_bound_of_a_pair_does_not_grow_with_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> Model:
        return construct("parity", 120, setting="base", target="llama", shape=Shape(hidden=128, head_width=32))

    found = [float(checked.together.max()) for checked in watch_proof(monkeypatch, make)]
    assert found[-1] < 3 * found[2] < 0.05


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("mlp_in_weight", "second", "are no pairs"),
        ("mlp_out_weight", "second", "are no pairs"),
        ("mlp_up_weight", "second", "multiplied by something else than 1"),
        ("mlp_in_weight", "both", "errs by"),
        ("mlp_out_weight", "both", "does not write what it is to write"),
    ],
)
def test_what_is_no_pair_is_refused(part: str, change: str, message: str) -> None:
    model = construct("parity", 5, setting="base", target="llama", shape=Shape(hidden=128, head_width=32))
    weights = dict(model.transformer.named_weights())
    for layer in range(len(model.transformer.layers)):
        name = f"layers.{layer}.{part}"
        altered = weights[name].copy()
        assert model.provenance.names is not None
        names = list(model.provenance.names.unit_names(layer))
        seconds = [unit for unit, text in enumerate(names) if text.endswith("(no more than this)")]
        first_table = names.index(f"{names[0]} (no more than this)")
        assert seconds and seconds[0] == first_table
        chosen = [seconds[0]] if change == "second" else [0, first_table]
        place = np.flatnonzero(altered[:, chosen[0]] if part != "mlp_out_weight" else altered[chosen[0]])
        if not len(place):
            continue
        for unit in chosen:
            if part == "mlp_out_weight":
                altered[unit, place[0]] *= 1.5
            else:
                altered[place[0], unit] *= 1.5
        broken = weights_to_transformer(model.transformer.architecture, {**weights, name: altered})
        certificate = serialformer.certify(replace(model, transformer=broken))
        assert certificate.failure is not None and message in certificate.failure.reason, layer


def caught_call(monkeypatch: pytest.MonkeyPatch) -> tuple[PairInput, Stream, NormedParts, Rounding]:
    """The arguments with which the proof of a small model bounds the pairs of one table."""
    found: list[tuple[PairInput, Stream, NormedParts, Rounding]] = []

    def watched(
        seen: PairInput, stream: Stream, parts: NormedParts, rounding: Rounding
    ) -> tuple[np.ndarray, np.ndarray]:
        found.append((seen, stream, parts, rounding))
        return pair_errors(seen, stream, parts, rounding)

    monkeypatch.setattr(units, "pair_errors", watched)
    construct("parity", 5, setting="base", target="llama", shape=Shape(hidden=128, head_width=32))
    return found[0]


def test_pairs_that_come_too_near_to_firing_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, stream, parts, rounding = caught_call(monkeypatch)
    pair_errors(seen, stream, parts, rounding)
    for most, holds in ((-14.5, True), (-13.9, False), (0.0, False)):
        nearer = replace(seen, most_off=np.full_like(seen.most_off, most))
        if holds:
            pair_errors(nearer, stream, parts, rounding)
            continue
        with pytest.raises(RealisationError, match="comes too near to firing where it should not"):
            pair_errors(nearer, stream, parts, rounding)


def test_a_factor_that_errs_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, stream, parts, rounding = caught_call(monkeypatch)
    for wrong in (replace(parts, factor=0.02), replace(parts, common=0.02)):
        with pytest.raises(RealisationError, match="is multiplied by errs by"):
            pair_errors(seen, stream, wrong, rounding)
    with pytest.raises(RealisationError, match="errs by 3 of"):
        pair_errors(replace(seen, off_ideal=seen.off_ideal + 3.0), stream, parts, rounding)


def test_every_error_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger error of any kind gives a larger bound on the output of a pair."""
    seen, stream, parts, rounding = caught_call(monkeypatch)
    on, off = pair_errors(seen, stream, parts, rounding)
    for change in ({"own": parts.own + 1e-3}, {"common": 1e-3}, {"factor": 1e-3, "own_factor": 1e-3}):
        more, _ = pair_errors(seen, stream, replace(parts, **change), rounding)
        assert (more > on + 1e-4).all()
    more, _ = pair_errors(replace(seen, off_ideal=seen.off_ideal + 1e-3), stream, parts, rounding)
    assert (more >= on + 1e-3).all()
    _, more = pair_errors(replace(seen, most_off=seen.most_off + 1), stream, parts, rounding)
    assert (more > 2 * off).all() and (off > 0).all()


def test_what_a_pair_leaks_is_no_less_than_silu_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, stream, parts, rounding = caught_call(monkeypatch)
    _, off = pair_errors(replace(seen, most_off=np.full_like(seen.most_off, -15.0)), stream, parts, rounding)
    given = [x / (1 + np.exp(-x)) for x in (-15.0, -15.0 - stream.placement.unit_output)]
    assert (off >= abs(given[0]) + abs(given[1])).all()


def test_what_errs_may_bring_a_pair_too_near(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, stream, parts, rounding = caught_call(monkeypatch)
    near = replace(seen, most_off=np.full_like(seen.most_off, -14.5), bound=seen.bound + 1)
    pair_errors(near, stream, parts, rounding)
    with pytest.raises(RealisationError, match="comes too near to firing where it should not"):
        pair_errors(near, stream, replace(parts, own=parts.own + 0.1), rounding)
