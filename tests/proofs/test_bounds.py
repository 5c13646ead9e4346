"""Margins: what the bounds promise, against torch, which rounds everywhere; and weights that are not as they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serialformer.architecture import DtypeName
from serialformer.compile.blueprint import Blueprint, blueprint_to_gpt2
from serialformer.compile.blueprint_margins import measure_blueprint
from serialformer.compile.construct import task_blueprint
from serialformer.errors import CompileError
from serialformer.tasks.registry import make_task
from serialformer.transformer.checkpoint import save_transformer
from serialformer.transformer.transformer import Transformer

NAMES = ["parity", "word-problem", "permutation-composition", "majority"]


def made(name: str, length: int, dtype: DtypeName = "float32") -> tuple[Blueprint, Transformer]:
    blueprint = task_blueprint(make_task(name), length)
    return blueprint, blueprint_to_gpt2(blueprint, dtype=dtype, activation="gelu_new", attention_gap=None)


@pytest.mark.parametrize("name", NAMES)
def test_rounding_takes_more_in_narrower_formats(name: str) -> None:
    margins = {dtype: measure_blueprint(*made(name, 5, dtype)) for dtype in ("float32", "float16", "bfloat16")}
    exact = {(margin.attention_gap, margin.logit_margin, margin.unit_margin) for margin in margins.values()}
    assert len(exact) == 1
    for of in ("rounded_attention_gap", "rounded_logit_margin"):
        wide, narrow = getattr(margins["float32"], of), getattr(margins["bfloat16"], of)
        assert narrow < wide < getattr(margins["float32"], of.removeprefix("rounded_"))


@pytest.mark.parametrize("name", ["word-problem", "permutation-composition"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rounded_margins_hold_in_torch(name: str, dtype: DtypeName, tmp_path: Path) -> None:
    """The least lead that torch computes, every result rounded to the format, is at least what is promised."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    task, length = make_task(name), 3
    blueprint, transformer = made(name, length, dtype)
    margins = measure_blueprint(blueprint, transformer)
    directory = tmp_path / "m"
    directory.mkdir()
    save_transformer(transformer, directory, num_new_tokens=1)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=getattr(torch, dtype))
    examples = task.sample(np.random.default_rng(0), length, 64)
    start = examples.prompts.shape[1] - 1
    whole = examples.sequences()
    with torch.no_grad():
        logits = model(torch.tensor(whole)).logits.float().numpy()[:, start:]
    expected = np.pad(whole[:, start + 1 :], ((0, 0), (0, 1)), constant_values=examples.end_token)[:, :, None]
    own = np.take_along_axis(logits, expected, axis=2)
    np.put_along_axis(logits, expected, -np.inf, axis=2)
    assert (own[:, :, 0] - logits.max(axis=2)).min() >= margins.rounded_logit_margin


def change(transformer: Transformer, part: str, row: int, column: int, by: float) -> Transformer:
    weight = getattr(transformer.layers[0], part).copy()
    weight[row, column] += by
    return replace(transformer, layers=(replace(transformer.layers[0], **{part: weight}),))


def test_a_query_that_looks_elsewhere() -> None:
    blueprint, transformer = made("parity", 9)
    stream, width = blueprint.stream, blueprint.stream.width
    asked = stream.starts["read"]
    wrong = change(
        transformer, "attention_in_weight", asked, 0, -1.5 * float(transformer.layers[0].attention_in_weight[asked, 0])
    )
    with pytest.raises(CompileError, match="the attention gap .* shrinks to .* under float32 rounding"):
        measure_blueprint(blueprint, wrong)
    assert transformer.layers[0].attention_in_weight.shape == (width, 3 * width)


def test_a_unit_that_fires_elsewhere() -> None:
    blueprint, transformer = made("parity", 9)
    wrong = change(transformer, "mlp_in_weight", blueprint.stream.starts["digit[0]"], 0, 16.0)
    with pytest.raises(CompileError, match="hidden units that are not to fire come too near to it in float32"):
        measure_blueprint(blueprint, wrong)


def test_a_unit_that_reads_what_it_should_not() -> None:
    blueprint, transformer = made("parity", 9)
    wrong = change(transformer, "mlp_in_weight", blueprint.stream.starts["name"], 0, 1.0)
    with pytest.raises(AssertionError):
        measure_blueprint(blueprint, wrong)
