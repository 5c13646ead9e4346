"""The optimiser against its definition: one step of Muon computed with a singular value decomposition."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from serialformer.training.config import ModelConfig, OptimiserConfig, TrainingConfig
from serialformer.training.initial import draw_weights
from serialformer.training.muon import Muon
from serialformer.training.optimiser import Optimiser, take_step
from serialformer.transformer.module import TransformerModule

CONFIG = TrainingConfig(
    task="parity",
    length=4,
    setting="cot",
    model=ModelConfig(width=16, num_heads=2, relative_bias=True, initial_deviation=0.1),
    optimiser=OptimiserConfig(method="muon", warmup_steps=0, learning_rate=1e-2, matrix_rate=2e-2, decay_fraction=0.0),
)


def make_module() -> TransformerModule:
    module = TransformerModule(CONFIG.architecture())
    module.load(draw_weights(CONFIG.architecture(), CONFIG.model, seed=3))
    return module


def set_gradients(module: TransformerModule, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _, parameter in module.named_weights():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_matrices_of_layers_move_by_an_orthogonal_matrix_and_the_rest_as_under_adam() -> None:
    module, adam = make_module(), make_module()
    before = {name: parameter.detach().clone() for name, parameter in module.named_weights()}
    gradients = {}
    for one in (module, adam):
        set_gradients(one, seed=5)
        gradients = {name: parameter.grad.clone() for name, parameter in one.named_weights()}
    assert Optimiser(module, CONFIG.optimiser).step(0) == 1e-2
    Optimiser(adam, replace(CONFIG.optimiser, method="adamw")).step(0)
    under_adam = dict(adam.named_weights())
    matrices = 0
    for name, parameter in module.named_weights():
        change = parameter.detach() - before[name]
        is_matrix = name.startswith("layers.") and change.dim() == 2 and not name.endswith("relative_bias")
        if not is_matrix:
            assert torch.equal(parameter, under_adam[name]), name
            continue
        matrices += 1
        size = 2e-2 * 0.2 * max(change.shape) ** 0.5
        left, _, right = torch.linalg.svd(gradients[name], full_matrices=False)
        nearest = -size * (left @ right)
        # Its singular values lie within about .7 and 1.2 after five Newton-Schulz steps.
        assert torch.linalg.norm(change - nearest) < 0.35 * torch.linalg.norm(nearest), name
        values = torch.linalg.svdvals(change) / size
        assert values.min() > 0.5 and values.max() < 1.35, (name, values)
        assert parameter.grad is None
    assert matrices == 4


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_moments_restored_are_moments_kept(method: str) -> None:
    config = OptimiserConfig(method="muon" if method == "muon" else "adamw", warmup_steps=0)
    kept, restored = make_module(), make_module()
    first = Optimiser(kept, config)
    assert not any(list(first.moments(parameter)) for _, parameter in kept.named_weights())
    set_gradients(kept, seed=1)
    first.step(0)
    second = Optimiser(restored, config)
    for (_, ours), (_, theirs) in zip(kept.named_weights(), restored.named_weights(), strict=True):
        theirs.data.copy_(ours.data)
        second.restore(theirs, {name: moment.clone() for name, moment in first.moments(ours)}, step=1)
    for module, optimiser in ((kept, first), (restored, second)):
        set_gradients(module, seed=2)
        optimiser.step(1)
    for (name, ours), (_, theirs) in zip(kept.named_weights(), restored.named_weights(), strict=True):
        assert np.array_equal(ours.detach().numpy(), theirs.detach().numpy()), name


PROGRAM = """
import sys
from pathlib import Path
from serialformer.training.config import ModelConfig, OptimiserConfig, TrainingConfig
from serialformer.training.loop import train
model = ModelConfig(width=16, num_heads=2, relative_bias=True)
for method in ("adamw", "muon"):
    optimiser = OptimiserConfig(method=method, num_steps=2, batch_size=4)
    config = TrainingConfig(task="parity", length=4, setting="cot", model=model, optimiser=optimiser)
    train(config, Path(sys.argv[1]) / method)
print("torch._dynamo" in sys.modules, "torch.optim" in sys.modules)
"""


def test_training_does_not_import_the_compiler(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert made.stdout.split()[-2:] == ["False", "True"]


@pytest.mark.parametrize("kind", [torch.optim.AdamW, Muon])
def test_steps_are_those_of_torch(kind: type[torch.optim.Optimizer]) -> None:
    generator = torch.Generator().manual_seed(1)
    first = torch.randn((4, 3), generator=generator)
    pair = [torch.nn.Parameter(first.clone()) for _ in range(2)]
    ours, theirs = (kind([parameter], lr=0.1, weight_decay=0.2) for parameter in pair)
    for _ in range(3):
        gradient = torch.randn((4, 3), generator=generator)
        for parameter in pair:
            parameter.grad = gradient.clone()
        take_step(ours)
        theirs.step()
        assert torch.equal(*pair) and not torch.equal(pair[0], first)
        assert torch.is_grad_enabled()
