"""GGUF and ONNX files, read by the packages of those formats and compared with transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serialformer import Shape, compile
from serialformer.engines.export import export_gguf, export_onnx
from serialformer.engines.scattered import scattered_circuit
from serialformer.errors import InputError, SerialformerError

gguf = pytest.importorskip("gguf")
onnxruntime = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 40,
    "head_dim": 8,
}

CONFIGURATIONS = {
    "gpt2": lambda: transformers.GPT2Config(vocab_size=50, n_positions=40, n_embd=30, n_layer=2, n_head=3),
    "gpt2, erf": lambda: transformers.GPT2Config(
        vocab_size=50, n_positions=40, n_embd=32, n_layer=1, n_head=2, activation_function="gelu"
    ),
    "gpt2, relu": lambda: transformers.GPT2Config(
        vocab_size=50, n_positions=40, n_embd=32, n_layer=1, n_head=2, activation_function="relu"
    ),
    "llama": lambda: transformers.LlamaConfig(**SHAPE),
    "llama, tied": lambda: transformers.LlamaConfig(**SHAPE, tie_word_embeddings=True, rms_norm_eps=1e-3),
    "qwen2": lambda: transformers.Qwen2Config(**SHAPE),
}


def random_checkpoint(folder: Path, name: str) -> Any:
    """A model with random weights, saved in a folder; every tensor is random, biases too."""
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGURATIONS[name]())
    with torch.no_grad():
        for values in model.parameters():
            values.copy_(torch.randn_like(values) * 0.3 + (values.ndim == 1))
    model.save_pretrained(folder)
    tokenizer = {"model": {"vocab": {f"t{token}": token for token in range(50)}}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return model.eval()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_onnx_says_what_transformers_says(name: str, tmp_path: Path) -> None:
    """Two rows, one of them padded on the left, in two pieces of which the second reads the first's cache."""
    model = random_checkpoint(tmp_path, name)
    facts = export_onnx(tmp_path, tmp_path / "model.onnx")
    assert facts["dtype"] == "float32" and facts["bytes"] == (tmp_path / "model.onnx").stat().st_size
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    ids = np.random.default_rng(2).integers(0, 50, (2, 12))
    mask = np.ones_like(ids)
    mask[1, :4] = 0
    places = np.maximum(mask.cumsum(axis=1) - 1, 0)
    with torch.no_grad():
        wanted = model(
            torch.tensor(ids), attention_mask=torch.tensor(mask), position_ids=torch.tensor(places)
        ).logits.numpy()
    inputs = session.get_inputs()
    past = {
        entry.name: np.zeros((2, entry.shape[1], 0, entry.shape[3]), np.float32)
        for entry in inputs
        if entry.name.startswith("past_key_values")
    }
    names = [entry.name for entry in session.get_outputs()]
    pieces = []
    for start, end in ((0, 7), (7, 12)):
        feeds = {"input_ids": ids[:, start:end], "attention_mask": mask[:, :end], "position_ids": places[:, start:end]}
        made = dict(zip(names, session.run(names, {**feeds, **past}), strict=True))
        pieces.append(made.pop("logits"))
        past = {name.replace("present", "past_key_values"): values for name, values in made.items()}
    found = np.concatenate(pieces, axis=1)
    assert np.abs(wanted).max() > 0.5
    np.testing.assert_allclose(found[0], wanted[0], atol=2e-4)
    np.testing.assert_allclose(found[1, 4:], wanted[1, 4:], atol=2e-4)


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The fields and the tensors of a file, as the package ``gguf`` reads them."""
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {one.name: gguf.quants.dequantize(one.data, one.tensor_type) for one in reader.tensors}
    return fields, tensors


def test_gguf_of_a_llama(tmp_path: Path) -> None:
    model = random_checkpoint(tmp_path, "llama")
    assert export_gguf(tmp_path, tmp_path / "model.gguf")["dtype"] == "float32"
    fields, tensors = read_gguf(tmp_path / "model.gguf")
    assert fields["general.architecture"] == "llama" and fields["llama.rope.freq_base"] == 10000.0
    assert (fields["llama.attention.head_count"], fields["llama.attention.head_count_kv"]) == (4, 2)
    assert (fields["llama.block_count"], fields["llama.context_length"]) == (2, 40)
    assert fields["tokenizer.ggml.tokens"] == [f"t{token}" for token in range(50)]
    weights = {name: values.detach().numpy() for name, values in model.named_parameters()}
    assert len(tensors) == len(weights) == 21
    for kind, ours in (("q", "q_proj"), ("k", "k_proj")):
        found = tensors[f"blk.1.attn_{kind}.weight"].reshape(-1, 4, 2, 32)
        wanted = weights[f"model.layers.1.self_attn.{ours}.weight"].reshape(-1, 8, 32)
        # The two dimensions that turn together stand side by side.
        np.testing.assert_array_equal(found[:, :, 0], wanted[:, :4])
        np.testing.assert_array_equal(found[:, :, 1], wanted[:, 4:])
    np.testing.assert_array_equal(tensors["blk.0.ffn_down.weight"], weights["model.layers.0.mlp.down_proj.weight"])
    np.testing.assert_array_equal(tensors["output.weight"], weights["lm_head.weight"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_gguf_of_a_compiled_circuit(dtype: str, tmp_path: Path) -> None:
    """The weights come back as they were, whatever their format."""
    model = compile(scattered_circuit(0, num_inputs=6, num_gates=57), dtype=dtype).save(tmp_path / "model")
    assert export_gguf(tmp_path / "model", tmp_path / "model.gguf")["dtype"] == dtype
    fields, tensors = read_gguf(tmp_path / "model.gguf")
    assert fields["gpt2.attention.layer_norm_epsilon"] == pytest.approx(1e-5)
    assert fields["tokenizer.ggml.tokens"] == ["0", "1", "=", "<unk>", "<s>", "</s>", "<pad>"]
    assert fields["tokenizer.ggml.eos_token_id"] == 2 and len(fields["tokenizer.ggml.merges"]) == 1
    weights = {name: np.asarray(values, dtype=np.float32) for name, values in model.transformer.named_weights()}
    np.testing.assert_array_equal(tensors["token_embd.weight"][:4], weights["token_embedding"])
    np.testing.assert_array_equal(tensors["position_embd.weight"], weights["position_embedding"])
    np.testing.assert_array_equal(tensors["blk.0.attn_qkv.weight"], weights["layers.0.attention_in_weight"].T)
    assert "output.weight" not in tensors  # llama.cpp ties it


@pytest.mark.parametrize("is_qwen", [False, True])
def test_gguf_of_a_tied_model(is_qwen: bool, tmp_path: Path) -> None:
    """There is no output matrix, which tells llama.cpp to take the embedding."""
    shape = Shape(tied=True, head_biases=is_qwen)
    circuit = scattered_circuit(0, num_inputs=6, num_gates=57)
    model = compile(circuit, target="llama", dtype="bfloat16", shape=shape).save(tmp_path / "model")
    assert export_gguf(tmp_path / "model", tmp_path / "model.gguf")["dtype"] == "bfloat16"
    fields, tensors = read_gguf(tmp_path / "model.gguf")
    assert fields["general.architecture"] == ("qwen2" if is_qwen else "llama") and "output.weight" not in tensors
    embedding = model.transformer.token_embedding.astype(np.float32)
    np.testing.assert_array_equal(tensors["token_embd.weight"], embedding)
    # The gain is 0 where the head must not look.
    assert (tensors["output_norm.weight"] == 0).any() and ("blk.0.attn_q.bias" in tensors) == is_qwen


def test_gguf_in_fewer_bits(tmp_path: Path) -> None:
    random_checkpoint(tmp_path, "llama")
    with pytest.raises(InputError, match=r"q8_0 takes rows of 32 weights, and blk.0.ffn_down.weight has \(32, 48\)"):
        export_gguf(tmp_path, tmp_path / "model.gguf", dtype="q8_0")
    assert not (tmp_path / "model.gguf").exists()
    assert export_gguf(tmp_path, tmp_path / "model.gguf", dtype="float16")["dtype"] == "float16"


def test_what_is_refused(tmp_path: Path) -> None:
    random_checkpoint(tmp_path, "llama")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "mistral", "sliding_window": 16}))
    with pytest.raises(InputError, match="cannot be said in GGUF: GGUF's llama has no sliding window"):
        export_gguf(tmp_path, tmp_path / "model.gguf")
    with pytest.raises(InputError, match="cannot be said in ONNX: expected one of gpt2, llama, qwen2, found 'mistral'"):
        export_onnx(tmp_path, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="expected one of float32, float16, found 'int8'"):
        (tmp_path / "config.json").write_text(json.dumps(config))
        export_onnx(tmp_path, tmp_path / "model.onnx", dtype="int8")
    with pytest.raises(SerialformerError, match="no such file: config.json"):
        export_onnx(tmp_path / "none", tmp_path / "model.onnx")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_checkpoint(tmp_path, "llama")
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(InputError, match=r"the package gguf is needed.*\nhint: pip install 'serialformer\[engines\]'"):
        export_gguf(tmp_path, tmp_path / "model.gguf")
