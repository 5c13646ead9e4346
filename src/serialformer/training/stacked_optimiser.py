"""The optimiser of a stack of models: what ``Optimiser`` does to each, in operations that do it to all at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from serialformer.training.config import OptimiserConfig
from serialformer.training.optimiser import MOMENTUM

COEFFICIENTS, NUM_STEPS, SMALLEST_NORM = (3.4445, -4.7750, 2.0315), 5, 1e-7
"""Of Muon's Newton-Schulz iteration, as in ``torch.optim.Muon``."""


class StackedOptimiser:
    """Updates weights whose first axis counts the models of a stack.

    On a GPU every number that changes from step to step is a tensor there, so that a step can be captured as a graph.

    Args:
        weights: by name, each with the models along its first axis.
        config: rates, moments and method.
    """

    def __init__(self, weights: Mapping[str, Tensor], config: OptimiserConfig) -> None:
        self._config, self._weights = config, dict(weights)
        device = next(iter(weights.values())).device
        self._on_device = device.type == "cuda"
        hidden = {
            name: weight for name, weight in weights.items() if config.method == "muon" and _is_matrix(name, weight)
        }
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, weight in weights.items():
            if name not in hidden:
                share = config.position_rate if name.endswith("position_embedding") else 1.0
                decay = config.weight_decay if weight.dim() > 2 else 0.0
                groups.setdefault((decay, share), []).append(weight)
        self._adam = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "weight_decay": decay,
                    "share": share,
                    "lr": torch.zeros((), device=device) if self._on_device else 0.0,
                }
                for (decay, share), parameters in groups.items()
            ],
            betas=config.betas,
            eps=config.epsilon,
            fused=True,
            capturable=self._on_device,
        )
        self._momenta = {name: torch.zeros_like(weight) for name, weight in hidden.items()}
        shapes = dict.fromkeys(weight.shape for weight in hidden.values())
        self._alike = [[name for name in hidden if hidden[name].shape == shape] for shape in shapes]
        self._share_of_matrices = config.matrix_rate / config.learning_rate if config.learning_rate else 0.0

    def step(self, rate: Tensor) -> None:
        """Updates every weight by its gradient, and clears the gradients.

        Args:
            rate: the learning rate of AdamW, a number on the weights' device.
        """
        with torch.no_grad():
            for group in self._adam.param_groups:
                if self._on_device:
                    group["lr"].copy_(rate * group["share"])
                else:
                    group["lr"] = float(rate) * group["share"]
            self._adam.step()
            for names in self._alike:
                self._step_matrices(names, rate * self._share_of_matrices)
        for weight in self._weights.values():
            weight.grad = None

    def _step_matrices(self, names: Sequence[str], rate: Tensor) -> None:
        """Muon, for matrices of one shape in several layers of all models."""
        updates = []
        for name in names:
            gradient, momentum = self._weights[name].grad, self._momenta[name]
            assert gradient is not None
            momentum.lerp_(gradient, 1 - MOMENTUM)
            updates.append(gradient.lerp(momentum, MOMENTUM))
        stacked = _orthogonalise(torch.cat(updates)).float()
        rows, columns = stacked.shape[1:]
        stacked = stacked * (rate * 0.2 * math.sqrt(max(rows, columns)))
        for name, update in zip(names, stacked.split(updates[0].shape[0]), strict=True):
            self._weights[name].mul_(1 - rate * self._config.weight_decay).sub_(update)

    def keep(self, weights: Mapping[str, Tensor], rows: Tensor) -> StackedOptimiser:
        """An optimiser for some of the models, which goes on where this one is.

        Args:
            weights: of those models.
            rows: which of the stack they are.
        """
        kept = StackedOptimiser(weights, self._config)
        for name, momentum in self._momenta.items():
            kept._momenta[name] = momentum[rows].clone()
        for name, weight in self._weights.items():
            if weight in self._adam.state:
                kept._adam.state[weights[name]] = {
                    key: value.clone() if key == "step" else value[rows].clone()
                    for key, value in self._adam.state[weight].items()
                }
        return kept


def _is_matrix(name: str, weight: Tensor) -> bool:
    """Whether it is a matrix of a layer in each model, which Muon is for."""
    return "layers_" in name and weight.dim() == 3 and not name.endswith("relative_bias")


def _orthogonalise(matrices: Tensor) -> Tensor:
    """About the nearest orthogonal matrix of each."""
    wide = matrices.shape[1] <= matrices.shape[2]
    found = (matrices if wide else matrices.mT).bfloat16()
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=SMALLEST_NORM)
    first, second, third = COEFFICIENTS
    for _ in range(NUM_STEPS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=second, alpha=third), found, beta=first)
    return found if wide else found.mT
