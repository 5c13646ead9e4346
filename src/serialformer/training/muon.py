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


class Muon(torch.optim.Optimizer):  # type: ignore[misc]  # torch has no types here
    """``torch.optim.Muon`` with ``match_rms_adamw``, up to rounding; matrices of one shape are updated together.

    Args:
        parameters: matrices.
        lr: the learning rate.
        weight_decay: as under AdamW.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], *, lr: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch has no types here
    def step(self) -> None:
        for group in self.param_groups:
            alike = defaultdict(list)
            for parameter in group["params"]:
                alike[parameter.shape].append(parameter)
            for shape, parameters in alike.items():
                updates = orthogonalise(torch.stack([self._look_ahead(parameter) for parameter in parameters]))
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(update, alpha=group["lr"] * update_scale(shape))

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
    first, second, third = COEFFICIENTS
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    found = wide if matrices.device.type == "cpu" else wide.bfloat16()
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=SMALLEST_NORM)
    if matrices.device.type == "cpu":
        gram = found @ found.mT
        product = torch.eye(gram.shape[1]).expand_as(gram)
        for step in range(NUM_STEPS):
            polynomial = torch.baddbmm(gram, gram, gram, beta=second, alpha=third)
            polynomial.diagonal(dim1=1, dim2=2).add_(first)
            product = polynomial @ product if step else polynomial
            gram = polynomial @ gram @ polynomial if step < NUM_STEPS - 1 else gram
        found = product @ found
    else:
        for _ in range(NUM_STEPS):
            gram = found @ found.mT
            found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=second, alpha=third), found, beta=first)
    return (found if wide is matrices else found.mT).to(matrices.dtype)
