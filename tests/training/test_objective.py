"""The loss against a slow one that looks at every position of every row."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from serialformer.tasks.examples import NO_LABEL
from serialformer.tasks.layout import SETTINGS, lay_out, num_positions
from serialformer.tasks.registry import TASKS, make_task
from serialformer.training.config import ModelConfig, TrainingConfig
from serialformer.training.initial import draw_weights, make_generator
from serialformer.training.objective import compute_loss, make_targets, predict_tokens
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.module import TransformerModule

LENGTH = 4


CASES = [
    (name, setting)
    for name in TASKS
    for setting in SETTINGS
    # What does not align, the configuration refuses; see test_config.
    if setting != "aligned" or make_task(name).aligned_items(LENGTH) is not None
]


@pytest.mark.parametrize(("name", "setting"), CASES)
def test_loss_is_the_mean_over_labels(name: str, setting: str) -> None:
    task = make_task(name)
    model = ModelConfig(width=8, num_heads=2, initial_deviation=0.5)
    config = TrainingConfig(task=name, length=LENGTH, setting=setting, model=model)
    transformer = draw_weights(config.architecture(), model, seed=1)
    module = TransformerModule(transformer.architecture, dtype=torch.float64)
    module.load(transformer)
    layout = lay_out(task, task.sample(np.random.default_rng(0), LENGTH, 6), setting, LENGTH)
    assert layout.tokens.shape[1] <= num_positions(task, setting, LENGTH)

    logits = compute_logits(transformer, layout.tokens)
    losses, expected = [], np.zeros_like(layout.tokens)
    for row, labels in enumerate(layout.labels.tolist()):
        for place, label in enumerate(labels):
            if label != NO_LABEL:
                scores = logits[row, place]
                losses.append(math.log(np.exp(scores).sum()) - scores[label])
                expected[row, place] = scores.argmax()
    loss = compute_loss(module, make_targets(layout))
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)  # the last step is in float32
    np.testing.assert_array_equal(predict_tokens(module, layout), expected)


def test_rows_of_one_span_are_asked_as_a_span() -> None:
    task = make_task("modular-addition")
    layout = lay_out(task, task.sample(np.random.default_rng(0), 4, 3), "base", 4)
    assert make_targets(layout).asked == slice(4, 5)
    ragged = make_task("iterated-squaring")
    examples = ragged.sample(np.random.default_rng(0), 4, 8)
    targets = make_targets(lay_out(ragged, examples, "cot", 4))
    assert isinstance(targets.asked, torch.Tensor)
    assert (targets.labels != NO_LABEL).sum(dim=1).tolist() == examples.chain_lengths.tolist()


def test_generators_are_different_and_repeat() -> None:
    draws = {
        (stream, step): make_generator(5, stream, step).integers(1 << 60)
        for stream in ("weights", "batch", "evaluation", "final")
        for step in (0, 1, 2)
    }
    assert len(set(draws.values())) == len(draws)
    assert make_generator(5, "batch", 2).integers(1 << 60) == draws["batch", 2]
    assert make_generator(6, "batch", 2).integers(1 << 60) != draws["batch", 2]


def test_initial_weights_have_the_deviations_asked_for() -> None:
    model = ModelConfig(width=128, num_layers=2, initial_deviation=0.1, position_deviation=0.5)
    config = TrainingConfig(task="circuit-value", length=40, setting="cot", model=model)
    weights = dict(draw_weights(config.architecture(), model, seed=2).named_weights())
    for name, weight in weights.items():
        expected = 0.5 if name == "position_embedding" else 0.05 if name.endswith("out_weight") else 0.1
        if name.endswith(("gain", "bias")):
            assert (weight == (1 if name.endswith("gain") else 0)).all()
        else:
            assert weight.std() == pytest.approx(expected, rel=0.05), name
