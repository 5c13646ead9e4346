"""The directory of a transformer that is no GPT-2: a model type of its own, and one clear error for mixtures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import serialformer
from serialformer import Model
from serialformer.architecture import Architecture, Arithmetic
from serialformer.errors import CheckpointError, SerialformerError
from serialformer.transformer.checkpoint import load_transformer, save_transformer
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer
from tests.cases import small_circuits

CASE = small_circuits()["gates of one, two and three inputs"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return serialformer.compile(CASE, target="paper", precision=2).save(tmp_path_factory.mktemp("paper") / "model")


@pytest.fixture
def directory(model: Model, tmp_path: Path) -> Path:
    assert model.directory is not None
    return Path(shutil.copytree(model.directory, tmp_path / "copy"))


def change(directory: Path, **fields: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_the_configuration_says_what_it_is(model: Model) -> None:
    assert model.directory is not None
    config = json.loads((model.directory / "config.json").read_text())
    assert config["model_type"] == "serialformer" and "architectures" not in config
    assert config["norm"] == "none" and config["scale_attn_weights"] is False
    assert config["arithmetic"] == {"precision": 2, "exponent_bits": 0}
    names = set(load_file(model.directory / "model.safetensors"))
    assert names and not any("ln_" in name for name in names)


def test_what_is_saved_is_loaded(model: Model) -> None:
    assert model.directory is not None
    again = serialformer.load(model.directory)
    assert again.transformer.architecture == model.transformer.architecture
    assert again.provenance == model.provenance and again.circuit == model.circuit
    weights = dict(again.transformer.named_weights())
    for name, weight in model.transformer.named_weights():
        assert np.array_equal(weights[name], weight) and weights[name].dtype == weight.dtype
    assert serialformer.verify(again, num_samples=None).verified


def plain_architecture(**fields: Any) -> Architecture:
    base: dict[str, Any] = {
        "vocabulary": ("0", "1", "=", "<unk>"),
        "num_positions": 5,
        "width": 4,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_width": 16,
        "activation": "gelu_new",
        "norm_epsilon": 0.0,
        "end_token": 2,
        "dtype": "float32",
    }
    return Architecture(**{**base, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"norm": "none"},
        {"norm": "none", "scaled_scores": False},
        {"scaled_scores": False, "norm_epsilon": 1e-5},
        {"norm": "none", "scaled_scores": False, "activation": "relu", "arithmetic": Arithmetic(precision=3)},
        {
            "norm": "none",
            "scaled_scores": False,
            "activation": "relu",
            "arithmetic": Arithmetic(precision=2, exponent_bits=3),
        },
    ],
    ids=str,
)
def test_norm_scaling_and_arithmetic_come_back(tmp_path: Path, fields: dict[str, Any]) -> None:
    architecture = plain_architecture(**fields)
    assert not architecture.is_gpt2
    shapes = weight_shapes(architecture)
    weights = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}
    transformer: Transformer = weights_to_transformer(architecture, weights)
    save_transformer(transformer, tmp_path, num_new_tokens=1)
    assert load_transformer(tmp_path).architecture == architecture


def test_stock_runtimes_refuse_it(model: Model) -> None:
    transformers = pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="model type `?serialformer`?"):
        transformers.AutoModelForCausalLM.from_pretrained(model.directory)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "gpt2"}, "config.json: scale_attn_weights=False is not supported"),
        ({"model_type": "gpt2", "scale_attn_weights": True}, "config.json: norm='none' is not supported"),
        ({"model_type": "bert"}, "'llama', 'mistral', 'qwen2' or 'serialformer', found 'bert'"),
        ({"scale_attn_weights": "no"}, "scale_attn_weights='no' is not supported"),
        ({"norm": "rms"}, "config.json: no norm 'rms'\nhint: layer_norm or none"),
        (
            {"norm": "layer_norm"},
            "config.json: no rounded arithmetic with norm layer_norm, unscaled scores and relu\n"
            "hint: it is defined for norm none, unscaled scores, no relative bias and relu",
        ),
        ({"scale_attn_weights": True}, "no rounded arithmetic with norm none, scaled scores and relu"),
        ({"activation_function": "gelu_new"}, "no rounded arithmetic with norm none, unscaled scores and gelu_new"),
        (
            {"arithmetic": {"precision": 99, "exponent_bits": 0}},
            "config.json: expected precision from 1 to 13, found 99",
        ),
        ({"arithmetic": {"precision": 1}}, "a field is missing or wrong: .*arithmetic={'precision': 1}"),
        ({"arithmetic": {"precision": "1", "exponent_bits": 0}}, "a field is missing or wrong"),
        ({"relative_bias": 1}, "a field is missing or wrong: .*relative_bias=1"),
        ({"relative_bias": True}, "no rounded arithmetic with norm none, unscaled scores, a relative bias and relu"),
        ({"arithmetic": 3}, "a field is missing or wrong"),
    ],
)
def test_mixtures_are_one_clear_error(directory: Path, fields: dict[str, Any], message: str) -> None:
    change(directory, **fields)
    with pytest.raises(CheckpointError, match=message):
        serialformer.load(directory)


def test_missing_fields_and_foreign_weights(directory: Path) -> None:
    weights = load_file(directory / "model.safetensors")
    save_file({**weights, "transformer.ln_f.weight": np.ones(4, np.float32)}, directory / "model.safetensors")
    with pytest.raises(CheckpointError, match="transformer.ln_f.weight in a model without layer norm"):
        serialformer.load(directory)
    config = json.loads((directory / "config.json").read_text())
    del config["norm"]
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="a field is missing or wrong: KeyError\\('norm'\\)"):
        serialformer.load(directory)


def test_architectures_that_are_not_defined() -> None:
    # In a process without the tests' type checks, which would speak first.
    program = "from serialformer.architecture import Architecture as A; A(" + (
        "vocabulary=('0',), num_positions=1, width=1, num_layers=1, num_heads=1, hidden_width=1, activation='relu',"
        " norm_epsilon=0.0, end_token=0, dtype='float32', norm='batch')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "no norm 'batch'\nhint: layer_norm, rms_norm or none" in run.stderr
    with pytest.raises(
        SerialformerError, match="no rounded arithmetic with norm layer_norm, scaled scores and gelu_new"
    ):
        plain_architecture(arithmetic=Arithmetic(precision=1))
    assert plain_architecture().is_gpt2
