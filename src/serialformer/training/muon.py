"""Muon (Jordan et al., 2024): matrices move by the nearest orthogonal matrix of their momentum."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from serialformer.arrays import Float

MOMENTUM = 0.95
"""With Nesterov's look ahead."""

COEFFICIENTS, NUM_STEPS, SMALLEST_NORM = (3.4445, -4.7750, 2.0315), 5, 1e-7
"""Of the Newton-Schulz iteration, as in ``torch.optim.Muon``."""


class Muon(torch.optim.Optimizer):  # type: ignore[misc]  # mypy does not read torch, so this base is Any to it
    """``torch.optim.Muon`` with ``match_rms_adamw``, up to rounding; matrices of one shape are updated together.

    Args:
        parameters: matrices.
        lr: the learning rate.
        weight_decay: as under AdamW.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], *, lr: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    def step(self) -> None:
        """Updates every matrix by its gradient."""
        with torch.no_grad():
            for group in self.param_groups:
                alike = defaultdict(list)
                for parameter in group["params"]:
                    alike[parameter.shape].append(parameter)
                for parameters in alike.values():
                    self._update(parameters, group["lr"], group["weight_decay"])

    def _update(self, parameters: list[torch.nn.Parameter], rate: float, weight_decay: float) -> None:
        """Moves matrices of one shape."""
        updates = orthogonalise(torch.stack([self._look_ahead(parameter) for parameter in parameters]))
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - rate * weight_decay)
            parameter.sub_(update, alpha=rate * update_scale(parameter.shape))

    def _look_ahead(self, parameter: Tensor) -> Tensor:
        """The momentum after the next step, if the gradient stayed as it is."""
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        state["momentum_buffer"].lerp_(parameter.grad, 1 - MOMENTUM)
        return parameter.grad.lerp(state["momentum_buffer"], MOMENTUM)


def update_scale(shape: torch.Size) -> float:
    """What makes the entries of an orthogonal matrix about as large as those of an update of AdamW."""
    return 0.2 * math.sqrt(max(shape[-2:]))


def orthogonalise(matrices: Float[Tensor, "N rows columns"]) -> Float[Tensor, "N rows columns"]:
    """About the nearest orthogonal matrix of each: its singular values become numbers around .7 to 1.2.

    Each step multiplies a matrix X by a polynomial of its Gram matrix X X^T. On a CPU, the polynomials are multiplied
    first, in float32: each Gram matrix follows from the one before, and X, which is larger, is needed only at the end.
    On a GPU, the steps are taken one by one in bfloat16, for which many CPUs have no instructions.
    """
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    is_on_cpu = matrices.device.type == "cpu"
    start = wide if is_on_cpu else wide.bfloat16()
    start = start / start.norm(dim=(1, 2), keepdim=True).clamp(min=SMALLEST_NORM)
    found = iterate_polynomials(start) if is_on_cpu else iterate(start)
    return (found if wide is matrices else found.mT).to(matrices.dtype)


def iterate(matrices: Tensor) -> Tensor:
    """The iteration, step by step."""
    first, second, third = COEFFICIENTS
    for _ in range(NUM_STEPS):
        gram = matrices @ matrices.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=second, alpha=third)
        matrices = torch.baddbmm(matrices, polynomial, matrices, beta=first)
    return matrices


def iterate_polynomials(matrices: Tensor) -> Tensor:
    """The same, with two products that are as large as the matrices instead of two for each step."""
    first, second, third = COEFFICIENTS
    gram = matrices @ matrices.mT
    product: Tensor
    for step in range(NUM_STEPS):
        polynomial = torch.baddbmm(gram, gram, gram, beta=second, alpha=third)
        polynomial.diagonal(dim1=1, dim2=2).add_(first)
        product = polynomial @ product if step else polynomial
        if step < NUM_STEPS - 1:
            gram = polynomial @ gram @ polynomial
    return product @ matrices
