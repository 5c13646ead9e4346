"""Circuit value: which gates the heads of a trained model look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from serialformer.errors import CheckpointError
from serialformer.python_file import load_python
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.training.config import EvaluationConfig
from serialformer.training.loop import train
from serialformer.training.presets import make_config

RECIPE = Path(__file__).parents[2] / "recipes" / "circuit-value"
LENGTH = 4


@pytest.fixture(scope="module")
def heads() -> ModuleType:
    return load_python(RECIPE / "heads.py").module


def test_shares_are_of_the_tokens_that_hold_values_and_numbers(heads: ModuleType) -> None:
    """Head 0 looks at the first gate's value only; head 1 at numbers that are checked to be those of the inputs."""
    task = CircuitValue(constants=0.0, negations=0.0)
    examples = task.sample(np.random.default_rng(0), LENGTH, 1)
    prompt, chain = examples.prompts[0], examples.chains[0]
    num_tokens = len(prompt) + len(chain) - 1
    attention = np.zeros((2, num_tokens, num_tokens))
    for gate in range(LENGTH):
        for place in (0, 1):  # the token before the value of each input
            query = len(prompt) + 4 * gate + place
            if gate:  # head 0: the own value of the first gate
                attention[0, query, len(prompt) + 3] = 1.0
            if gate >= 2:  # head 1: the number of the input that is due
                pointer = 4 * gate + 1 + place
                number = prompt[pointer]
                assert chain[4 * gate + 1 + place] == chain[4 * number + 3]
                attention[1, query, pointer] = 0.75
    assert heads.share_by_gate(attention, LENGTH).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
    assert heads.share_on_inputs(attention, LENGTH).tolist() == [0, 0.75]


def train_one_step(task: str, directory: Path) -> None:
    config = make_config(task, length=LENGTH, setting="cot")
    evaluation = EvaluationConfig(every=1, num_samples=4, num_generated=0, num_final_samples=4, num_final_generated=0)
    train(replace(config, optimiser=replace(config.optimiser, num_steps=1), evaluation=evaluation), directory)


def test_the_table_counts_heads_and_gates(heads: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_one_step("circuit-value", tmp_path / "model")
    shares = np.zeros((16, LENGTH))
    shares[0, 0], shares[1, :2] = 0.9, (0.3, 0.3)
    monkeypatch.setattr(heads, "share_by_gate", lambda attention, length: shares)
    monkeypatch.setattr(heads, "share_on_inputs", lambda attention, length: np.array([0.0] * 14 + [0.9, 0.6]))
    assert heads.make_table([str(tmp_path / "model")]).splitlines()[-1] == "| model | 4 | 16 | 2 | 1 | 1 | 3 |"


def test_only_models_of_circuits_with_a_chain(heads: ModuleType, tmp_path: Path) -> None:
    train_one_step("parity", tmp_path / "model")
    with pytest.raises(CheckpointError, match="model: expected a model of circuit-value with the chain"):
        heads.make_table([str(tmp_path / "model")])
