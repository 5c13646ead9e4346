"""Certificates of Llamas: what was compiled has one, no wrong checkpoint has, and runtimes keep to their bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import Model, Shape, certify
from serialformer.architecture import DTYPES, DtypeName
from serialformer.constructions.placed_tokens import ABSENT
from serialformer.constructions.placement import Placement
from serialformer.models.lower import certify_weights, lower_circuit
from serialformer.proofs.activations import silu_errors
from serialformer.proofs.rounding import covered_rounding
from serialformer.proofs.scores import rotated_error
from serialformer.proofs.units import SILU_DIP, SILU_LEAK, SILU_SILENCE
from serialformer.targets.llama import llama_to_placement
from serialformer.targets.llama_layout import LlamaLayout
from serialformer.transformer.forward import activate, compute_logits
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.cases import every_input, small_circuits
from tests.proofs.mutations import check_certificates
from tests.targets.test_llama import sequences

CASES = small_circuits()
FORMATS: tuple[DtypeName, ...] = ("float32", "float16", "bfloat16")


def made(name: str, dtype: DtypeName = "float32", shape: Shape | None = None) -> tuple[Transformer, Placement]:
    lowered = lower_circuit(CASES[name], target="llama", dtype=dtype, shape=shape)
    assert isinstance(lowered.layout, LlamaLayout)
    return lowered.transformer, llama_to_placement(lowered.layout)


def altered(transformer: Transformer, name: str, change: np.ndarray) -> Transformer:
    weights = dict(transformer.named_weights())
    assert weights[name].shape == change.shape
    return weights_to_transformer(transformer.architecture, {**weights, name: change.astype(weights[name].dtype)})


@pytest.mark.parametrize("name", ["random, 2 inputs a gate", "random, 6 inputs a gate"])
def test_rounding_takes_more_in_narrower_formats(name: str) -> None:
    certificates = {dtype: certify_weights(*made(name, dtype)) for dtype in FORMATS}
    for certificate in certificates.values():
        assert certificate.holds and certificate.witness
        assert certificate.attention.exact == pytest.approx(certificates["float32"].attention.exact)
        assert certificate.logits.exact == pytest.approx(certificates["float32"].logits.exact, rel=1e-5)
    attention, logits = (
        [getattr(certificates[dtype], lead).rounded for dtype in FORMATS] for lead in ("attention", "logits")
    )
    assert attention == sorted(attention, reverse=True) and logits == sorted(logits, reverse=True)
    assert attention[0] < certificates["float32"].attention.exact


def test_a_checkpoint_certifies_itself(tmp_path: Path) -> None:
    model = serialformer.compile(
        CASES["random, 3 inputs a gate"], target="llama", shape=Shape(layers=3, head_width=32, hidden=192)
    ).save(tmp_path / "model")
    loaded = serialformer.load(tmp_path / "model")
    assert loaded.certificate is not None and loaded.certificate.holds
    for dtype in FORMATS:
        certificate = certify(loaded, dtype=dtype)
        assert certificate.holds and certificate.arithmetic["storage"] == dtype
    assert certify(loaded) == model.certificate


def test_margins_are_reached_and_not_undercut() -> None:
    model = serialformer.compile(CASES["random, 3 inputs a gate"], target="llama")
    tokens, _ = sequences(model, every_input(6))
    logits = np.sort(compute_logits(model.transformer, tokens)[:, 6:], axis=-1)
    least = (logits[..., -1] - logits[..., -2]).min()
    certificate = model.certificate
    assert certificate is not None
    assert certificate.logits.rounded <= least
    assert certificate.logits.exact * (1 - 1e-4) <= least < certificate.logits.exact * 1.05


@pytest.mark.parametrize("dtype", FORMATS)
def test_transformers_keeps_the_logit_margin(dtype: DtypeName, tmp_path: Path) -> None:
    """The lead that another program computes, in its own order and rounding, is no less than what was proven."""
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    torch = pytest.importorskip("torch")
    model = serialformer.compile(CASES["random, 2 inputs a gate"], target="llama", dtype=dtype).save(tmp_path / "m")
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    tokens, _ = sequences(model, every_input(6))
    with torch.no_grad():
        logits = np.sort(stock(torch.from_numpy(tokens)).logits.double().numpy()[:, 6:], axis=-1)
    assert model.certificate is not None
    assert (logits[..., -1] - logits[..., -2]).min() >= model.certificate.logits.rounded > 0


@pytest.mark.parametrize("dtype", FORMATS)
def test_silu_is_within_its_bound(dtype: DtypeName) -> None:
    random, rounding, number = np.random.default_rng(0), covered_rounding(dtype), DTYPES[dtype]
    errors = 10.0 ** random.uniform(-8, -0.5, 4000)
    for ideal in (16.0, 0.0):
        seen = (ideal + errors * random.uniform(-1, 1, len(errors))).astype(np.float32)
        off = np.abs(seen.astype(np.float64) - ideal)
        bound = silu_errors(ideal, np.maximum(errors, off), rounding)
        given = activate(seen, "silu").astype(number).astype(np.float64)
        assert (np.abs(given - ideal) <= bound).all()
        assert (np.abs(given - ideal) > 0.01 * bound).any()
    x = np.linspace(-200, 0, 200_001)
    assert activate(x, "silu").min() > -SILU_DIP
    assert np.abs(activate(x[x <= -SILU_SILENCE], "silu")).max() <= SILU_LEAK


@pytest.mark.parametrize("dtype", FORMATS)
def test_silu_may_err_by_some_units_in_the_last_place(dtype: DtypeName) -> None:
    """The bound covers a runtime whose exponential and quotient err, and whose input errs as well."""
    rounding = covered_rounding(dtype)
    some = 4 * rounding.accumulation_roundoff
    for ideal in (16.0, 0.0):
        for off in (-0.3, -1e-4, 0.0, 1e-4, 0.3):
            x = ideal + off
            given = [x / (1 + np.exp(-x) * (1 + sign * some)) * (1 + sign * some) for sign in (-1, 1)]
            bound = float(silu_errors(ideal, np.array([abs(off)]), rounding)[0])
            assert np.abs(np.array(given) - ideal).max() <= bound


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_rotation_is_within_its_bound(dtype: DtypeName) -> None:
    random, rounding, number = np.random.default_rng(1), covered_rounding(dtype), DTYPES[dtype]

    def stored(x: np.ndarray) -> np.ndarray:
        return x.astype(number).astype(np.float32) if random.random() < 0.7 else x.astype(np.float32)

    tightest = 0.0
    for _ in range(400):
        angle = 10.0 ** random.uniform(-7, -1)
        levels = np.array([-384.0, -128.0, 128.0, 384.0])
        turn = random.uniform(-angle, angle)
        cosine, sine = (stored(np.full(1, part(turn))) for part in (np.cos, np.sin))
        own, other = random.choice(levels, 200), random.choice(levels, 200)
        result = stored(stored(own * cosine) - stored(other * sine))
        off = np.abs(result.astype(np.float64) - own).max()
        bound = rotated_error(levels, 0.0, 384.0, angle, rounding)
        assert off <= bound
        tightest = max(tightest, off / bound)
    assert tightest > 0.05
    assert rotated_error(np.zeros(1), 0.0, 0.0, 3.0, rounding) == 0
    assert np.isinf(rotated_error(np.ones(1), 0.0, 0.0, 3.0, rounding))


def test_what_is_wrong_is_said() -> None:
    transformer, placement = made("random, 2 inputs a gate", shape=Shape(layers=1))
    placed = placement.placed
    assert placed is not None
    weights = dict(transformer.named_weights())
    name, one = placement.spans["name"], placement.spans["one"].start
    first = placement.spans["read[0]"].start
    token = int(placed.ids[9, 1])

    def change(weight: str, place: tuple[int, ...], value: float) -> str:
        changed = weights[weight].copy()
        changed[place] = value
        failure = certify_weights(altered(transformer, weight, changed), placement).failure
        return "" if failure is None else str(failure)

    assert "the embedding of '1' at position 9 is not the code" in change("token_embedding", (token, first), 17)
    assert "the unembedding of '1' at position 9 is not its name" in change("unembedding", (token, name.start), 17)
    assert "the unembedding of the end token reads more" in change("unembedding", (2, first), 1)
    assert "leads by" in change("unembedding", (2, one), 20)
    assert "never written is not zero" in change("unembedding", (3, one), 1)
    assert "is multiplied by something else than 1" in change("layers.0.mlp_up_weight", (one, 0), 0.25)
    assert "does not write what it is to write" in change("layers.0.mlp_out_weight", (0, 0), 3)
    assert "not one positive number" in change("final_norm_gain", (0,), 8)
    assert "of table" in change("layers.0.mlp_in_weight", (one, 0), -30)
    column = int(np.flatnonzero(weights["layers.0.attention_in_weight"][name.start])[0])
    assert "has a score gap of" in change("layers.0.attention_in_weight", (name.start, column), 0)
    # A name on the fastest pair of dimensions is turned away.
    moved = weights["layers.0.attention_in_weight"].copy()
    for start in (0, transformer.architecture.attention_width):
        moved[:, start] = moved[:, start : start + 64][
            :, int(np.flatnonzero(moved[:, start : start + 64].any(axis=0))[0])
        ]
    assert not certify_weights(altered(transformer, "layers.0.attention_in_weight", moved), placement).holds


def test_witnesses_are_not_trusted() -> None:
    transformer, placement = made("random, 2 inputs a gate")
    placed = placement.placed
    assert placed is not None and certify_weights(transformer, placement).holds
    swapped, doubled, missing = (placed.ids.copy() for _ in range(3))
    swapped[[8, 9]] = swapped[[9, 8]]
    doubled[8, 0] = doubled[8, 1]
    missing[8, 0] = ABSENT
    for ids, message in ((swapped, "its shape"), (doubled, "two tokens are one"), (missing, "there is no token")):
        failure = certify_weights(transformer, replace(placement, placed=replace(placed, ids=ids))).failure
        assert failure is not None and message in failure.reason
    for change in (
        {"heads": placement.heads[::-1]},
        {"heads": ((0, 1, 0, 1), (0, 1, 0, 1))},
        {"heads": placement.heads[:1]},
        {"steps": (0, 1)},
        {"unit_output": 8.0},
        {"answer_weight": 4.0},
        {"address": "read[0]"},
        {"one": "name"},
        {"deviation": 4},
        {"codes": {**placement.codes, "fetched[0]": -placement.codes["fetched[0]"]}},
        {"nothing": {**placement.nothing, "fetched[0]": -placement.nothing["fetched[0]"]}},
    ):
        assert not certify_weights(transformer, replace(placement, **change)).holds, change


def test_units_give_something_where_they_fire() -> None:
    """A negative output would admit units that never fire: silu of -16 is almost 0, not -16."""
    transformer, placement = made("random, 2 inputs a gate", shape=Shape(layers=1))
    weights, num_units = dict(transformer.named_weights()), placement.construction.layers[0].tables[0].num_units
    num_units *= len(placement.construction.layers[0].tables)
    one = placement.spans["one"].start
    into, out = weights["layers.0.mlp_in_weight"].copy(), weights["layers.0.mlp_out_weight"].copy()
    into[one, :num_units] -= np.float32(2 * placement.unit_output / placement.codes["one"][0, 0])
    out[:num_units] *= -1
    silent = {**weights, "layers.0.mlp_in_weight": into, "layers.0.mlp_out_weight": out}
    wrong = weights_to_transformer(transformer.architecture, silent)
    failure = certify_weights(wrong, replace(placement, unit_output=-placement.unit_output)).failure
    assert failure is not None and failure.reason == "what units give where they fire is not positive"


def test_another_circuits_certificate_is_refused() -> None:
    model = serialformer.compile(CASES["two-input table 0110"], target="llama")
    other = serialformer.compile(CASES["two-input table 1000"], target="llama")
    failure = certify(replace(model, transformer=other.transformer)).failure
    assert failure is not None and "the embedding of '=' at position 2" in failure.reason


@pytest.mark.parametrize("number", [60, pytest.param(150, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_wrong_checkpoint_is_certified(dtype: DtypeName, number: int) -> None:
    models: list[Model] = [
        serialformer.compile(CASES[name], target="llama", dtype=dtype, shape=shape)
        for name, shape in (
            ("random, 2 inputs a gate", Shape(hidden=64, head_width=16)),
            ("two-input table 0110", Shape(layers=1, hidden=64, head_width=16)),
        )
    ]
    wrong, certified = check_certificates(models, number, seed=5)
    assert wrong > number // 10 and certified > number // 30
