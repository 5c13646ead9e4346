"""The optimiser of a stack against that of one model, on the same gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from serialformer.training.config import OptimiserConfig
from serialformer.training.optimiser import Optimiser
from serialformer.training.stacked_optimiser import StackedOptimiser
from serialformer.transformer.module import TransformerModule
from tests.training.test_stacked import make_configs

CONFIG = OptimiserConfig(
    num_steps=10, warmup_steps=0, weight_decay=0.1, position_rate=0.5, learning_rate=2e-3, matrix_rate=3e-3
)


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_same_gradients_same_weights(method: str) -> None:
    config = replace(CONFIG, method=method)
    architecture = make_configs()[0].architecture()
    modules = [TransformerModule(architecture) for _ in range(3)]
    generator = torch.Generator().manual_seed(1)
    for module in modules:
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, generator=generator)
    names = [name for name, _ in modules[0].named_parameters()]
    stacked = {
        name: torch.stack([dict(module.named_parameters())[name].detach() for module in modules]).requires_grad_()
        for name in names
    }
    alone = [Optimiser(module, config) for module in modules]
    together = StackedOptimiser(stacked, config)
    for step in range(6):
        if step == 4:  # the one in the middle leaves
            del modules[1], alone[1]
            rows = torch.tensor([0, 2])
            stacked = {name: weight.detach()[rows].requires_grad_() for name, weight in stacked.items()}
            together = together.keep(stacked, rows)
        for name in names:
            gradients = torch.randn(stacked[name].shape, generator=generator)
            stacked[name].grad = gradients.clone()
            for module, gradient in zip(modules, gradients, strict=True):
                dict(module.named_parameters())[name].grad = gradient.clone()
        for optimiser in alone:
            optimiser.step(step)
        together.step(torch.tensor(config.rate(step)))
    for name in names:
        for row, module in enumerate(modules):
            assert torch.allclose(stacked[name][row], dict(module.named_parameters())[name], atol=1e-6), name
    assert all(weight.grad is None for weight in stacked.values())
