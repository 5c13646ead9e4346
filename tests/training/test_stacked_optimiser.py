"""The optimiser of a stack against that of one model, on the same gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.training.test_stacked import make_configs

from serialformer.training.config import OptimiserConfig
from serialformer.training.optimiser import Optimiser
from serialformer.training.stacked_optimiser import StackedOptimiser
from serialformer.training.stacked_weights import StackedWeights
from serialformer.transformer.module import TransformerModule

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
    weights = StackedWeights.stack([dict(module.named_parameters()) for module in modules], config)
    alone = [Optimiser(module, config) for module in modules]
    together = StackedOptimiser(weights, config)
    for step in range(6):
        if step == 4:  # the one in the middle leaves
            del modules[1], alone[1]
            rows = torch.tensor([0, 2])
            weights = weights.keep(rows)
            together = together.keep(weights, rows)
        factors = {name: torch.randn(weight.shape, generator=generator) for name, weight in weights.by_name().items()}
        sum((factors[name] * weight).sum() for name, weight in weights.by_name().items()).backward()
        weights.clip(50.0)
        for row, (module, optimiser) in enumerate(zip(modules, alone, strict=True)):
            for name, parameter in module.named_parameters():
                parameter.grad = factors[name][row].clone()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 50.0)
            optimiser.step(step)
        together.step(torch.tensor(config.rate(step)))
    for name, weight in weights.by_name().items():
        for row, module in enumerate(modules):
            assert torch.allclose(weight[row], dict(module.named_parameters())[name], atol=1e-6), name
    assert all(leaf.grad is None for leaf in weights.leaves)
