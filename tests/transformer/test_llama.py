"""Llamas, Mistrals and Qwen2s of random weights: our forward passes and files against transformers' own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serialformer.architecture import DTYPES, MERGED, Architecture
from serialformer.decode.dense import DenseEngine
from serialformer.errors import CheckpointError, SerialformerError
from serialformer.transformer.checkpoint import load_transformer, save_transformer
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer

VOCABULARY = ("<unk>", "<s>", "</s>", "<pad>", *MERGED, *(f"word{letter}" for letter in "abcdefghi"))

LLAMA = Architecture(
    vocabulary=VOCABULARY,
    num_positions=40,
    width=32,
    num_layers=2,
    num_heads=4,
    hidden_width=24,
    activation="silu",
    norm_epsilon=1e-5,
    end_token=2,
    dtype="float32",
    norm="rms_norm",
    positions="rotary",
    rotary_base=500.0,
    head_size=6,
    key_heads=2,
    gated=True,
    biases="none",
    tied=False,
    beginning_token=1,
    padding_token=3,
)

ARCHITECTURES = {
    "llama": LLAMA,
    "llama, tied": replace(LLAMA, tied=True),
    "llama, every head its own keys": replace(LLAMA, key_heads=4, head_size=8),
    "mistral": replace(LLAMA, window=5),
    "qwen2": replace(LLAMA, biases="attention_in"),
}


def random_transformer(architecture: Architecture, seed: int = 0) -> Transformer:
    random = np.random.default_rng(seed)
    dtype = DTYPES[architecture.dtype]
    return weights_to_transformer(
        architecture,
        {name: (0.5 * random.normal(size=shape)).astype(dtype) for name, shape in weight_shapes(architecture).items()},
    )


def tokens_for(architecture: Architecture, count: int = 23) -> np.ndarray:
    return np.random.default_rng(1).integers(4, len(architecture.vocabulary), (3, count))


def load_stock(directory: Path) -> Any:
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    return transformers.AutoModelForCausalLM.from_pretrained(directory).eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_logits_are_those_of_transformers(name: str, dtype: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the extra torch is not installed")
    architecture = replace(ARCHITECTURES[name], dtype=dtype)
    transformer = random_transformer(architecture)
    save_transformer(transformer, tmp_path, num_new_tokens=5)
    stock, tokens = load_stock(tmp_path), tokens_for(architecture)
    assert type(stock).__name__.lower().startswith(architecture.family)
    assert str(stock.dtype) == f"torch.{dtype}"
    with torch.no_grad():
        theirs = stock.to(torch.float64)(torch.from_numpy(tokens)).logits.numpy()
    ours = compute_logits(transformer, tokens)
    # Their angles and norms are float32 throughout.
    assert np.allclose(ours, theirs, rtol=1e-4, atol=2e-4)
    assert np.abs(ours).max() > 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_token_at_a_time_is_all_at_once(name: str) -> None:
    transformer = random_transformer(ARCHITECTURES[name])
    tokens = tokens_for(ARCHITECTURES[name], 12)[:1]
    made = DenseEngine(transformer).generate(tokens, 20)
    whole = np.concatenate([tokens, made], axis=1)
    said = compute_logits(transformer, whole, dtype=np.float32).argmax(axis=-1)
    assert np.array_equal(said[:, 11:-1], made)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_generated_tokens_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the extra torch is not installed")
    transformer = random_transformer(ARCHITECTURES[name])
    save_transformer(transformer, tmp_path, num_new_tokens=5)
    tokens = tokens_for(ARCHITECTURES[name], 12)[:1]
    theirs = load_stock(tmp_path).generate(torch.from_numpy(tokens), do_sample=False, max_new_tokens=20)
    made = DenseEngine(transformer).generate(tokens, 20)
    assert theirs[:, 12:].tolist() == made.tolist()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_torch_module_agrees(name: str) -> None:
    torch = pytest.importorskip("torch", reason="the extra torch is not installed")
    from serialformer.transformer.module import Cache, TransformerModule

    transformer = random_transformer(ARCHITECTURES[name])
    module = TransformerModule(transformer.architecture, dtype=torch.float64)
    module.load(transformer)
    tokens = tokens_for(transformer.architecture)
    expected = compute_logits(transformer, tokens)
    given = torch.from_numpy(tokens)
    with torch.no_grad():
        assert np.allclose(module(given).numpy(), expected)
        assert np.allclose(module(given, slice(7, 9)).numpy(), expected[:, 7:9])
        cache = Cache(transformer.architecture, 3, 23, module.weights["token_embedding"])
        parts = [module(given[:, start : start + 8], None, cache).numpy() for start in range(0, 23, 8)]
    assert np.allclose(np.concatenate(parts, axis=1), expected)
    back = dict(module.to_transformer().named_weights())
    assert all(np.array_equal(back[part], weight) for part, weight in transformer.named_weights())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_round_trip(name: str, tmp_path: Path) -> None:
    transformer = random_transformer(replace(ARCHITECTURES[name], dtype="bfloat16"))
    save_transformer(transformer, tmp_path, num_new_tokens=5)
    loaded = load_transformer(tmp_path)
    assert loaded.architecture == transformer.architecture
    assert loaded.digest() == transformer.digest()
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["model.safetensors"]


def test_tokenizer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    save_transformer(random_transformer(LLAMA), tmp_path, num_new_tokens=5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    words = [*range(7, len(VOCABULARY))]
    text = "".join(f" {VOCABULARY[index]}" for index in words)
    assert tokenizer(text)["input_ids"] == words
    assert tokenizer(text.strip())["input_ids"] == words, "the first blank may be left out"
    assert tokenizer.decode(words) == text
    assert tokenizer(" worda nonsense wordb")["input_ids"][0] == 7
    assert 0 in tokenizer(" worda nonsense wordb")["input_ids"], "what is no token is <unk>"
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 3)
    padded = tokenizer([" worda", " worda wordb"], padding=True)
    assert padded["input_ids"] == [[3, 7], [7, 8]] and padded["attention_mask"] == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_act": "relu"}, "hidden_act='relu' is not supported"),
        ({"attention_bias": True}, "attention_bias=True is not supported"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, "rope_scaling=None is not supported"),
        ({"vocab_size": 4}, "the tokenizer's vocabulary is not the configuration's"),
        ({"num_key_value_heads": 3}, "4 heads cannot share 3 heads of keys evenly"),
        ({"hidden_size": None}, "a field is missing or wrong"),
        ({"intermediate_size": 25}, "model.layers.0.mlp.gate_proj.weight is [24, 32], not [25, 32]"),
        ({"num_hidden_layers": 3}, "no weight 'model.layers.2.input_layernorm.weight'"),
        ({"dtype": "float16"}, "model.embed_tokens.weight is float32, not float16"),
    ],
)
def test_configurations_that_are_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    save_transformer(random_transformer(LLAMA), tmp_path, num_new_tokens=5)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(CheckpointError) as error:
        load_transformer(tmp_path)
    assert said in str(error.value)


def test_what_no_format_has(tmp_path: Path) -> None:
    transformer = random_transformer(replace(LLAMA, window=3, biases="attention_in"))
    with pytest.raises(SerialformerError, match="no checkpoint format has an architecture like this"):
        save_transformer(transformer, tmp_path, num_new_tokens=5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"head_size": 5}, "expected heads of even width and a positive base"),
        ({"rotary_base": 0.0}, "expected heads of even width and a positive base"),
        ({"key_heads": 3}, "4 heads cannot share 3 heads of keys evenly"),
        ({"window": 0}, "expected positive sizes"),
    ],
)
def test_shapes_that_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SerialformerError) as error:
        replace(LLAMA, **change)
    assert said in str(error.value)
