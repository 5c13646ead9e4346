"""The torch module against transformers' GPT-2 and against the numpy forward pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from serialformer.architecture import Architecture, Arithmetic
from serialformer.decode.dense import DenseEngine
from serialformer.decode.engine import make_engine
from serialformer.decode.torch_engine import TorchEngine
from serialformer.errors import EngineError, SerialformerError
from serialformer.transformer.checkpoint import load_transformer, save_transformer
from serialformer.transformer.forward import compute_attention, compute_logits
from serialformer.transformer.module import Cache, TransformerModule
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer

NUM_TOKENS = 11


def draw_transformer(seed: int = 0, scale: float = 0.3, **fields: Any) -> Transformer:
    """Random weights, every one of them, gains and biases included."""
    plain: dict[str, Any] = {
        "vocabulary": ("0", "1", "2", "3", "="),
        "num_positions": NUM_TOKENS + 3,
        "width": 24,
        "num_layers": 2,
        "num_heads": 3,
        "hidden_width": 40,
        "activation": "gelu_new",
        "norm_epsilon": 1e-5,
        "end_token": 4,
        "dtype": "float32",
    }
    architecture = Architecture(**(plain | fields))
    random = np.random.default_rng(seed)
    return weights_to_transformer(
        architecture,
        {
            name: (scale * random.standard_normal(shape)).astype(np.float32)
            for name, shape in weight_shapes(architecture).items()
        },
    )


KINDS: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "one layer, relu": {"num_layers": 1, "activation": "relu"},
    "no norm": {"norm": "none", "scaled_scores": False, "norm_epsilon": 0.0},
    "relative bias": {"relative_bias": True},
    "all of it": {"relative_bias": True, "norm": "none", "scaled_scores": False, "norm_epsilon": 0.0},
}


def make_module(transformer: Transformer, dtype: torch.dtype = torch.float64) -> TransformerModule:
    module = TransformerModule(transformer.architecture, dtype=dtype)
    module.load(transformer)
    return module


def draw_tokens(rows: int = 5) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 5, (rows, NUM_TOKENS))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_logits_are_those_of_transformers(
    tmp_path: Path, dtype: torch.dtype, tolerance: float, activation: str
) -> None:
    transformer = draw_transformer(activation=activation)
    save_transformer(transformer, tmp_path, num_new_tokens=3)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    tokens = torch.from_numpy(draw_tokens())
    with torch.no_grad():
        difference = (make_module(transformer, dtype)(tokens) - theirs(tokens).logits[..., :5]).abs().max()
    assert difference <= tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_forward_pass(kind: str) -> None:
    transformer = draw_transformer(**KINDS[kind])
    tokens = draw_tokens()
    with torch.no_grad():
        found = make_module(transformer)(torch.from_numpy(tokens)).numpy()
    np.testing.assert_allclose(found, compute_logits(transformer, tokens), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_asked_is_what_all_would_say(kind: str) -> None:
    module = make_module(draw_transformer(**KINDS[kind]))
    tokens = torch.from_numpy(draw_tokens())
    random = np.random.default_rng(2)
    places = torch.from_numpy(np.stack([random.permutation(NUM_TOKENS)[:4] for _ in range(len(tokens))]))
    with torch.no_grad():
        whole = module(tokens)
        span = module(tokens, slice(4, 9))
        chosen = module(tokens, places)
    torch.testing.assert_close(span, whole[:, 4:9])
    torch.testing.assert_close(chosen, whole.gather(1, places.unsqueeze(-1).expand(-1, -1, 5)))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_do_not_depend_on_what_is_computed(kind: str) -> None:
    module = make_module(draw_transformer(**KINDS[kind]))
    tokens, weight = torch.from_numpy(draw_tokens()), torch.randn(5, 3, 5, dtype=torch.float64)
    (module(tokens)[:, 6:9] * weight).sum().backward()
    whole = {name: parameter.grad.clone() for name, parameter in module.named_weights()}
    module.zero_grad()
    (module(tokens, slice(6, 9)) * weight).sum().backward()
    for name, parameter in module.named_weights():
        torch.testing.assert_close(parameter.grad, whole[name])


@pytest.mark.parametrize("kind", KINDS)
def test_attention_for_stacks_has_the_same_gradients_alone(kind: str) -> None:
    transformer = draw_transformer(**KINDS[kind])
    tokens, weight = torch.from_numpy(draw_tokens()), torch.randn(5, NUM_TOKENS, 5, dtype=torch.float64)
    usual = make_module(transformer)
    stacked = TransformerModule(transformer.architecture, dtype=torch.float64, attention="stacked")
    stacked.load(transformer)
    for module in (usual, stacked):
        (module(tokens) * weight).sum().backward()
    for (name, ours), (_, theirs) in zip(stacked.named_weights(), usual.named_weights(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [(11,), (1,) * 11, (4, 1, 6)])
def test_a_cache_changes_nothing(kind: str, pieces: tuple[int, ...]) -> None:
    module = make_module(draw_transformer(**KINDS[kind]))
    tokens = torch.from_numpy(draw_tokens())
    cache = Cache(module.architecture, len(tokens), NUM_TOKENS, next(iter(module.parameters())))
    with torch.no_grad():
        made = torch.cat([module(piece, None, cache) for piece in tokens.split(pieces, dim=1)], dim=1)
        torch.testing.assert_close(made, module(tokens))


@pytest.mark.parametrize("kind", KINDS)
def test_engines_make_the_same_tokens(kind: str) -> None:
    transformer = draw_transformer(seed=3, scale=1.0, **KINDS[kind])
    prompts = draw_tokens(rows=40)[:, :3]
    made = TorchEngine(make_module(transformer, torch.float32)).generate(prompts, 9)
    assert len(np.unique(made)) > 1
    np.testing.assert_array_equal(made, DenseEngine(transformer).generate(prompts, 9))
    # A position each for prompt and chain but the last token, which is not read.
    assert TorchEngine(make_module(transformer)).generate(prompts, 99).shape[1] <= NUM_TOKENS + 1


@pytest.mark.parametrize("kind", KINDS)
def test_weights_come_back(kind: str, tmp_path: Path) -> None:
    transformer = draw_transformer(**KINDS[kind])
    found = make_module(transformer).to_transformer()
    save_transformer(found, tmp_path, num_new_tokens=1)
    loaded = load_transformer(tmp_path)
    assert loaded.architecture == transformer.architecture
    for (name, weight), (_, other) in zip(transformer.named_weights(), loaded.named_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-7, err_msg=name)


def test_attention_is_shares_of_what_may_be_seen() -> None:
    transformer = draw_transformer(relative_bias=True)
    tokens = draw_tokens()
    attention = compute_attention(transformer, tokens)
    assert len(attention) == 2
    for shares in attention:
        np.testing.assert_allclose(shares.sum(axis=-1), 1)
        assert (shares[:, :, *np.triu_indices(NUM_TOKENS, 1)] == 0).all()
    # The bias by hand: scores differ from those without it by the bias of their distance.
    plain = replace(transformer.layers[0], attention_relative_bias=None)
    without = replace(
        transformer,
        architecture=replace(transformer.architecture, relative_bias=False),
        layers=(plain, replace(transformer.layers[1], attention_relative_bias=None)),
    )
    plainly = compute_attention(without, tokens)[0]
    bias = transformer.layers[0].attention_relative_bias
    assert bias is not None
    for query in range(1, NUM_TOKENS):
        expected = bias[:, query - np.arange(query + 1)]
        seen = (slice(None), slice(None), query, slice(query + 1))
        found = np.log(attention[0][seen]) - np.log(plainly[seen])
        np.testing.assert_allclose(found - found[..., :1], np.tile(expected - expected[:, :1], (5, 1, 1)), atol=1e-9)


def test_only_what_a_bias_is_for_takes_it() -> None:
    transformer = draw_transformer(relative_bias=True)
    with pytest.raises(EngineError, match="engine indexed runs stock models only; this model has a relative bias"):
        make_engine("indexed", transformer)
    rounded = replace(
        draw_transformer().architecture,
        norm="none",
        scaled_scores=False,
        activation="relu",
        arithmetic=Arithmetic(precision=1),
    )
    with pytest.raises(SerialformerError, match="rounds after every operation, which torch does not"):
        TransformerModule(rounded)
