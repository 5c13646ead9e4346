"""The Llama target: every level says the same, token for token, in every shape and number format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import serialformer
from serialformer import Circuit, Model, Shape
from serialformer.circuits.strategies import circuits
from serialformer.constructions.interpret import interpret
from serialformer.constructions.placement import IDLE
from serialformer.constructions.program import EQUALS
from serialformer.errors import CompileError
from serialformer.models.lower import lower_circuit
from serialformer.targets.llama_layout import LlamaLayout, four_squares
from serialformer.transformer.forward import compute_logits, embed
from serialformer.transformer.transformer import weights_to_transformer
from tests.cases import every_input, slow_wires, small_circuits, some_inputs
from tests.effort import effort, pairs

CASES = small_circuits()
SOME = [name for name in CASES if not name.startswith("two-input table") or name.endswith(("0110", "1101"))]
SHAPES = {
    "as it comes": Shape(),
    "one layer": Shape(layers=1),
    "three layers, narrow heads": Shape(layers=3, head_width=32),
    "five layers, most of them idle": Shape(layers=5, hidden=192),
    "one head of keys": Shape(key_heads=1, head_width=16),
    "four heads of keys": Shape(key_heads=4, head_width=20, spare_positions=0),
}


def sequences(model: Model, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prompt and chain as the circuit, by plain Python, says that they must be: as tokens, and in plain bits."""
    wires = np.array([slow_wires(model.circuit, row.tolist()) for row in bits], dtype=np.int64)
    chain = wires.reshape(len(bits), model.circuit.num_wires)[:, model.schedule.wire]
    plain = np.concatenate([bits, np.full((len(bits), 1), EQUALS), chain], axis=1).astype(np.int64)
    placed = model.words.placed
    assert placed is not None
    return placed.place(plain), chain


def check_levels(circuit: Circuit, model: Model, dtype: type[np.floating]) -> None:
    bits = some_inputs(circuit.num_inputs, 64)
    tokens, chain = sequences(model, bits)
    logits = compute_logits(model.transformer, tokens, dtype=dtype)[:, circuit.num_inputs :]
    written = model.words.read_chains(logits.argmax(axis=-1))
    assert np.array_equal(written[:, :-1], chain)
    assert (written[:, -1] == EQUALS).all(), "the last position ends the chain"
    for name in ("dense", "indexed"):
        engine = model.engine(name)
        assert np.array_equal(model.think(bits, engine), chain), name
        assert getattr(engine, "refusal", "") == ""
    prompt = tokens[:: max(1, len(tokens) // 8) | 1, : circuit.num_inputs + 1]
    ended = model.engine("indexed").generate(prompt, chain.shape[1] + 9)
    assert ended.shape[1] == chain.shape[1] + 1 and (ended[:, -1] == model.transformer.architecture.end_token).all()


@pytest.mark.parametrize(("name", "dtype"), pairs(SOME, ["float32", "float16", "bfloat16"]))
def test_small_circuits_in_numpy(name: str, dtype: str) -> None:
    model = serialformer.compile(CASES[name], target="llama", dtype=dtype)
    assert model.certificate is not None and model.certificate.holds
    check_levels(CASES[name], model, np.float64 if dtype == "float32" else np.float32)


@pytest.mark.parametrize(
    ("shape", "name"),
    pairs(SHAPES, ["random, 2 inputs a gate", "random, 3 inputs a gate", "random, 6 inputs a gate"]),
)
def test_shapes(shape: str, name: str) -> None:
    model = serialformer.compile(CASES[name], target="llama", shape=SHAPES[shape], dtype="bfloat16")
    check_levels(CASES[name], model, np.float32)


@effort(0.3)
@given(circuits(max_inputs=5, max_gates=16), st.sampled_from([Shape(), Shape(layers=1), Shape(layers=3)]))
def test_random_circuits(circuit: Circuit, shape: Shape) -> None:
    check_levels(circuit, serialformer.compile(circuit, target="llama", shape=shape), np.float32)


@pytest.mark.parametrize(
    ("name", "dtype"),
    pairs(
        ["random, 2 inputs a gate", "random, 6 inputs a gate", "no inputs, constant outputs"],
        ["float32", "bfloat16", "float16"],
    ),
)
def test_transformers_generates_the_chain(name: str, dtype: str, tmp_path: Path) -> None:
    """From text, with nothing of ours: AutoTokenizer, AutoModelForCausalLM, generate."""
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    model = serialformer.compile(CASES[name], target="llama", dtype=dtype).save(tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert type(stock).__name__ == "LlamaForCausalLM" and str(stock.dtype) == f"torch.{dtype}"
    bits = every_input(CASES[name].num_inputs)[::7]
    tokens, chain = sequences(model, bits)
    first = CASES[name].num_inputs + 1
    vocabulary = model.transformer.architecture.vocabulary
    for row, expected in zip(tokens, chain, strict=True):
        text = "".join(f" {vocabulary[token]}" for token in row[:first])
        given = tokenizer(text, return_tensors="pt")
        assert given["input_ids"][0].tolist() == row[:first].tolist()
        made = stock.generate(**given, max_new_tokens=len(expected) + 1)[0, first:]
        assert made[:-1].tolist() == row[first:].tolist() and made[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(made[:-1]) == "".join(f" {vocabulary[token]}" for token in row[first:])
    assert np.array_equal(model.think(bits, model.engine("hf")), chain)


def test_unequal_prompts_in_a_padded_batch(tmp_path: Path) -> None:
    """A branch of the chain may be given with the prompt; rows are filled up on the left."""
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    torch = pytest.importorskip("torch")
    circuit = CASES["random, 3 inputs a gate"]
    model = serialformer.compile(circuit, target="llama", dtype="bfloat16").save(tmp_path / "model")
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokens, _ = sequences(model, every_input(6)[:5])
    lengths, width = [7, 9, 12, 20, 30], 30
    rows = np.full((5, width), model.transformer.architecture.padding_token)
    for row, length in enumerate(lengths):
        rows[row, width - length :] = tokens[row, :length]
    mask = np.arange(width) >= width - np.array(lengths)[:, None]
    made = stock.generate(torch.from_numpy(rows), attention_mask=torch.from_numpy(mask.astype(int)), max_new_tokens=6)
    for row, length in enumerate(lengths):
        expected = tokens[row, length : length + 6].tolist()
        assert made[row, width:].tolist()[: len(expected)] == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_every_norm_sees_one_deviation(shape: str) -> None:
    lowered = lower_circuit(CASES["random, 3 inputs a gate"], target="llama", shape=SHAPES[shape])
    assert lowered.placed is not None
    ids = lowered.placed.ids[lowered.placed.ids >= 0]
    squares = np.square(lowered.transformer.token_embedding[ids].astype(np.float64)).sum(axis=1)
    assert (squares == 4 * lowered.transformer.architecture.width).all()
    for norm in lowered.certificate.norms[:-1]:
        assert norm.least_deviation == norm.largest_deviation == pytest.approx(2, abs=1e-5)


def test_every_head_and_layer_matters() -> None:
    """Without any one of the heads the model is wrong: so a mistake in one of them shows."""
    circuit = CASES["random, 2 inputs a gate"]
    model = serialformer.compile(circuit, target="llama")
    tokens, chain = sequences(model, every_input(6))
    architecture = model.transformer.architecture
    for index, layer in enumerate(model.transformer.layers):
        for head in range(architecture.num_heads):
            weights = dict(model.transformer.named_weights())
            out = layer.attention_out_weight.copy()
            out[head * architecture.head_width : (head + 1) * architecture.head_width] = 0
            weights[f"layers.{index}.attention_out_weight"] = out
            broken = weights_to_transformer(architecture, weights)
            written = compute_logits(broken, tokens, dtype=np.float32)[:, 6:-1].argmax(axis=-1)
            assert not np.array_equal(model.words.read_chains(written), chain), (index, head)


def test_the_interpreter_runs_what_is_laid_out() -> None:
    circuit = CASES["random, 2 inputs a gate"]
    lowered = lower_circuit(circuit, target="llama", shape=Shape(layers=3))
    assert isinstance(lowered.layout, LlamaLayout)
    assert len(lowered.layout.construction.layers[0].look_ups) == 6, "each look-up is made in each layer"
    bits = every_input(6)[::5]
    prompts = np.concatenate([bits, np.full((len(bits), 1), EQUALS)], axis=1).astype(np.int64)
    count = lowered.program.num_chain_tokens
    assert np.array_equal(
        interpret(lowered.layout.construction, prompts, count), interpret(lowered.construction, prompts, count)
    )


def test_defaults_are_what_engines_ask_for() -> None:
    lowered = lower_circuit(CASES["random, 6 inputs a gate"], target="llama")
    architecture = lowered.transformer.architecture
    assert architecture.family == "llama" and architecture.head_width == 64
    assert architecture.width % 64 == len(architecture.vocabulary) % 64 == architecture.hidden_width % 64 == 0
    assert (architecture.num_layers, architecture.num_key_heads) == (2, 2)
    assert architecture.num_positions == lowered.program.num_positions + 16
    small = lower_circuit(CASES["parity of ten"], target="llama").transformer.architecture
    assert (small.num_heads, small.width) == (4, 256)
    tokens = {architecture.beginning_token, architecture.end_token, architecture.padding_token}
    assert len(tokens) == 3 and "=" not in {architecture.vocabulary[token] for token in tokens if token is not None}


def test_look_ups_are_spread_where_they_cannot_be_repeated() -> None:
    layout = lower_circuit(CASES["random, 6 inputs a gate"], target="llama").layout
    assert isinstance(layout, LlamaLayout)
    assert [sorted(set(heads)) for heads in layout.heads] == [[0, 1, 2], [3, 4, 5]]
    one = lower_circuit(CASES["random, 4 inputs a gate"], target="llama", shape=Shape(layers=6)).layout
    assert isinstance(one, LlamaLayout)
    assert [sorted(set(heads)) for heads in one.heads] == [[0], [1], [2], [3], [IDLE], [IDLE]]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Shape(head_width=63), "expected an even head width"),
        (Shape(head_width=2), "heads of width 2 do not hold codes of length"),
        (Shape(hidden=20), "hidden 20 does not hold"),
        (Shape(hidden=130), "hidden 130 does not hold"),
        (Shape(key_heads=0), "expected an even head width and positive numbers"),
        (Shape(hidden=1 << 17), "more than its four numbers can fill up"),
    ],
)
def test_shapes_that_are_refused(shape: Shape, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        serialformer.compile(CASES["parity of ten"], target="llama", shape=shape)


def test_options_of_other_targets_are_refused() -> None:
    circuit = CASES["parity of ten"]
    with pytest.raises(
        CompileError, match="target llama has no activation and no precision\nhint: activation requires"
    ):
        serialformer.compile(circuit, target="llama", activation="relu", precision=1)
    with pytest.raises(CompileError, match="target gpt2 has no hidden\nhint: hidden requires target llama"):
        serialformer.compile(circuit, shape=Shape(hidden=64))


def test_any_number_is_a_sum_of_four_squares() -> None:
    for number in range(2000):
        squares = four_squares(number)
        assert sum(root * root for root in squares) == number and min(squares) >= 0


def test_unknown_text_has_no_place() -> None:
    model = serialformer.compile(CASES["parity of ten"], target="llama")
    assert not embed(model.transformer, np.zeros((1, 1), np.int64), np.zeros(1, np.int64), np.float64).any()


def test_a_token_out_of_its_place_is_told() -> None:
    model = serialformer.compile(CASES["random, 2 inputs a gate"], target="llama")
    tokens, chain = sequences(model, every_input(6)[:1])
    made = tokens[:, 7:]
    skipped = np.delete(made, 3, axis=1)
    read = model.words.read_chains(skipped)
    assert read[0, :3].tolist() == chain[0, :3].tolist() and (read[0, 3:] > EQUALS).all()
    assert model.words.plain_text(int(read[0, 3])) == "the token of another position"
