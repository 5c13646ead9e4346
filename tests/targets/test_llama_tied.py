"""Llamas whose output head is the token embedding: every level says the same, and the certificate knows why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import Model, Shape
from serialformer.architecture import DTYPES, Addressing, DtypeName
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.constructions.placement import Placement
from serialformer.engines.recurrences import shift_register_circuit
from serialformer.errors import CompileError
from serialformer.models.lower import certify_weights, lower_circuit
from serialformer.targets.llama import llama_to_placement
from serialformer.targets.llama_layout import FOLLOWING, LlamaLayout
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.cases import every_input, small_circuits
from tests.effort import pairs
from tests.proofs.mutations import check_certificates, is_right
from tests.targets.test_llama import check_levels, sequences

CASES = small_circuits()
SOME = ["random, 2 inputs a gate", "random, 3 inputs a gate", "random, 6 inputs a gate", "no inputs, constant outputs"]
REGISTER = shift_register_circuit(1, num_inputs=20, num_gates=50, distances=(19, 7, 0))
FAMILIES: dict[str, Shape] = {
    "LlamaForCausalLM": Shape(tied=True, hidden=128, key_heads=4, head_width=32),
    "MistralForCausalLM": Shape(tied=True, addressing="window"),
    "Qwen2ForCausalLM": Shape(tied=True, addressing="distances", head_biases=True),
}


def made(dtype: DtypeName = "float32", shape: Shape | None = None) -> tuple[Transformer, Placement]:
    shape = shape or Shape(tied=True, layers=1)
    lowered = lower_circuit(CASES["random, 2 inputs a gate"], target="llama", dtype=dtype, shape=shape)
    assert isinstance(lowered.layout, LlamaLayout)
    return lowered.transformer, llama_to_placement(lowered.layout)


@pytest.mark.parametrize(("name", "dtype"), pairs(SOME, DTYPES))
def test_the_levels_agree(name: str, dtype: DtypeName) -> None:
    model = serialformer.compile(CASES[name], target="llama", dtype=dtype, shape=Shape(tied=True))
    assert model.certificate is not None and model.certificate.holds
    assert model.transformer.architecture.tied and model.transformer.unembedding is None
    check_levels(CASES[name], model, np.float64 if dtype == "float32" else np.float32)


@pytest.mark.parametrize("addressing", ["distances", "window"])
def test_circuits_by_distance(addressing: Addressing) -> None:
    model = serialformer.compile(
        REGISTER, target="llama", dtype="bfloat16", shape=Shape(tied=True, addressing=addressing)
    )
    bits = np.random.default_rng(0).integers(0, 2, (12, 20), dtype=np.uint8)
    tokens, chain = sequences(model, bits)
    logits = compute_logits(model.transformer, tokens, dtype=np.float32)[:, 20:]
    assert np.array_equal(model.words.read_chains(logits.argmax(axis=-1))[:, :-1], chain)
    assert np.array_equal(evaluate_outputs(serialformer.decompile(model), bits), chain[:, -model.words.num_outputs :])


@pytest.mark.parametrize(("family", "dtype"), pairs(FAMILIES, DTYPES))
def test_transformers_generates_the_chain(family: str, dtype: DtypeName, tmp_path: Path) -> None:
    """The stock class ties its head to the embedding, and leads by no less than was proven."""
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    torch = pytest.importorskip("torch")
    model = serialformer.compile(REGISTER, target="llama", dtype=dtype, shape=FAMILIES[family]).save(tmp_path / "model")
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert type(stock).__name__ == family and str(stock.dtype) == f"torch.{dtype}"
    assert stock.lm_head.weight.data_ptr() == stock.model.embed_tokens.weight.data_ptr()
    tokens, _ = sequences(model, np.random.default_rng(1).integers(0, 2, (3, 20), dtype=np.uint8))
    prompt = torch.from_numpy(tokens[:, :21])
    ended = stock.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=55, do_sample=False)
    assert np.array_equal(ended[:, : tokens.shape[1]].numpy(), tokens)
    assert (ended[:, tokens.shape[1] :] == model.transformer.architecture.end_token).all()
    with torch.no_grad():
        logits = np.sort(stock(torch.from_numpy(tokens)).logits.double().numpy()[:, 20:], axis=-1)
    assert model.certificate is not None
    assert (logits[..., -1] - logits[..., -2]).min() >= model.certificate.logits.rounded > 0


def test_margins_are_reached() -> None:
    model = serialformer.compile(CASES["random, 3 inputs a gate"], target="llama", shape=Shape(tied=True))
    tokens, _ = sequences(model, every_input(6))
    logits = np.sort(compute_logits(model.transformer, tokens)[:, 6:], axis=-1)
    least = (logits[..., -1] - logits[..., -2]).min()
    assert model.certificate is not None
    assert model.certificate.logits.rounded <= least < model.certificate.logits.exact * 1.05


def test_a_checkpoint_certifies_and_decompiles_itself(tmp_path: Path) -> None:
    circuit = CASES["random, 3 inputs a gate"]
    model = serialformer.compile(circuit, target="llama", shape=Shape(tied=True, layers=3)).save(tmp_path / "model")
    loaded = serialformer.load(tmp_path / "model")
    for dtype in DTYPES:
        assert serialformer.certify(loaded, dtype=dtype).holds
    assert serialformer.certify(loaded) == model.certificate
    bits = every_input(6)
    assert np.array_equal(evaluate_outputs(serialformer.decompile(loaded), bits), evaluate_outputs(circuit, bits))
    # The units that put one name in the place of another come after those of the circuit.
    transcript = loaded.run({word.name: 0 for word in loaded.inputs})
    truth = loaded.ground_truth(transcript)
    assert truth.units.rows() and not any("puts" in row["name"] for row in truth.units.rows())


def test_the_name_of_the_position_must_be_replaced() -> None:
    """Without the units that do so the model is wrong: a tied head is symmetric, and points back as much as forth."""
    transformer, placement = made()
    names = placement.dimensions("name")
    weights = dict(transformer.named_weights())
    out = weights["layers.0.mlp_out_weight"].copy()
    out[:, names] = 0
    broken = weights_to_transformer(transformer.architecture, weights | {"layers.0.mlp_out_weight": out})
    model = serialformer.compile(CASES["random, 2 inputs a gate"], target="llama", shape=Shape(tied=True, layers=1))
    assert model.transformer.digest() == transformer.digest()
    assert not is_right(model, broken) and not certify_weights(broken, placement).holds


def test_what_is_wrong_is_said() -> None:
    transformer, placement = made()
    weights = dict(transformer.named_weights())
    assert placement.placed is not None
    one, name = placement.spans["one"].start, placement.spans["name"].start
    following, free = placement.spans[FOLLOWING].start, placement.spans["fetched[0]"].start
    unit = int(np.flatnonzero(weights["layers.0.mlp_out_weight"][:, name])[0])
    token = int(placement.placed.ids[9, 1])

    def change(weight: str, place: tuple[int, ...], value: float) -> str:
        changed = weights[weight].copy()
        changed[place] = value
        altered = weights_to_transformer(transformer.architecture, weights | {weight: changed})
        failure = certify_weights(altered, placement).failure
        return "" if failure is None else str(failure)

    assert "the embedding of '1' at position 9 is not the code" in change("token_embedding", (token, following), 17)
    assert "leads by" in change("token_embedding", (2, one), 20)
    assert "the unembedding of the end token reads more" in change("token_embedding", (2, name), 1)
    assert "never written is not zero" in change("token_embedding", (3, one), 1)
    assert change("token_embedding", (3, free), 1) == "", "the final norm has the gain 0 there"
    assert "is not open everywhere" in change("layers.0.mlp_in_weight", (one, unit), 4)
    assert "is not open everywhere" in change("layers.0.mlp_in_weight", (free, unit), 1)
    assert "reads or writes something else" in change("layers.0.mlp_up_weight", (following, unit), 2)
    assert "reads or writes something else" in change("layers.0.mlp_up_weight", (free, unit), 1)
    assert "reads or writes something else" in change("layers.0.mlp_out_weight", (unit, name), 1)
    assert "reads or writes something else" in change("layers.0.mlp_out_weight", (unit, free), 1)
    assert "not one positive number, and 0 elsewhere" in change("final_norm_gain", (name,), 8)
    assert "the unembedding of" in change("final_norm_gain", (name,), 0)
    assert "the unembedding of" in change("final_norm_gain", (following,), 16)


def test_witnesses_are_not_trusted() -> None:
    transformer, placement = made()
    assert certify_weights(transformer, placement).holds
    construction = placement.construction
    wrong = tuple(
        replace(part, values=lambda rows: np.arange(rows.start, rows.stop, dtype=np.int32))
        if part.name == FOLLOWING
        else part
        for part in construction.fields
    )
    for change in (
        {"following": ""},
        {"following": "name"},
        {"following": "read[0]"},
        {"following": "fetched[0]"},
        {"address": FOLLOWING},
        {"address": FOLLOWING, "following": "name"},
        {"construction": replace(construction, fields=wrong)},
        {"codes": {**placement.codes, FOLLOWING: placement.codes[FOLLOWING][::-1]}},
        {"unit_output": 8.0},
    ):
        assert not certify_weights(transformer, replace(placement, **change)).holds, change
    untied, other = made(shape=Shape(layers=1))
    assert not certify_weights(untied, placement).holds and not certify_weights(transformer, other).holds


def test_only_llamas_can_be_tied_by_choice() -> None:
    with pytest.raises(CompileError, match="target gpt2 has no tied\nhint: tied requires target llama"):
        serialformer.compile(CASES["parity of ten"], shape=Shape(tied=True))


@pytest.mark.parametrize("number", [60, pytest.param(120, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_wrong_checkpoint_is_certified(dtype: DtypeName, number: int) -> None:
    models: list[Model] = [
        serialformer.compile(CASES[name], target="llama", dtype=dtype, shape=shape)
        for name, shape in (
            ("random, 2 inputs a gate", Shape(tied=True, hidden=64, head_width=16)),
            ("two-input table 0110", Shape(tied=True, layers=1, hidden=64, head_width=16)),
        )
    ]
    wrong, certified = check_certificates(models, number, seed=6)
    assert wrong > number // 10 and certified > number // 30
