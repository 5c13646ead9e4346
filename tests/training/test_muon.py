"""Muon against its definition in float64, and against torch's, which rounds to bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from serialformer.training.muon import COEFFICIENTS, NUM_STEPS, Muon, iterate, orthogonalise


def step_by_step(matrix: Tensor) -> Tensor:
    """The iteration as it is written down."""
    first, second, third = COEFFICIENTS
    found = matrix.double() / matrix.double().norm()
    for _ in range(NUM_STEPS):
        gram = found @ found.T
        found = first * found + (second * gram + third * gram @ gram) @ found
    return found


def draw_matrices(rows: int, columns: int, smallest: float) -> Tensor:
    """Three matrices whose singular values fall from 1 to the smallest."""
    generator = torch.Generator().manual_seed(0)
    rank = min(rows, columns)
    left, right = (
        torch.linalg.qr(torch.randn(3, size, rank, generator=generator, dtype=torch.float64))[0]
        for size in (rows, columns)
    )
    return (left * torch.linspace(1, 0, rank).pow(2).clamp(min=smallest) @ right.mT).float()


@pytest.mark.parametrize("shape", [(16, 16), (16, 64), (64, 16)])
@pytest.mark.parametrize("smallest", [0.5, 1e-4, 0.0])
def test_matrices_together_are_each_step_by_step(shape: tuple[int, int], smallest: float) -> None:
    matrices = draw_matrices(*shape, smallest)
    for matrix, found in zip(matrices, orthogonalise(matrices), strict=True):
        expected = step_by_step(matrix)
        assert (found.double() - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("shape", [(16, 16), (16, 64)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-3), (torch.bfloat16, 0.1)])
def test_the_iteration_of_gpus(shape: tuple[int, int], dtype: torch.dtype, error: float) -> None:
    matrices = draw_matrices(*shape, 0.5)
    starts = matrices / matrices.norm(dim=(1, 2), keepdim=True)
    for matrix, found in zip(matrices, iterate(starts.to(dtype)), strict=True):
        expected = step_by_step(matrix)
        assert (found.double() - expected).norm() < error * expected.norm()


def test_no_gradient_no_update() -> None:
    assert not orthogonalise(torch.zeros(2, 8, 16)).any()


def test_steps_are_torchs_up_to_its_rounding() -> None:
    generator = torch.Generator().manual_seed(1)
    starts = [torch.randn(shape, generator=generator) for shape in ((16, 16), (16, 48), (64, 16), (16, 16))]
    ours, theirs = ([torch.nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    mine = Muon(ours, lr=0.1, weight_decay=0.2)
    torchs = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.2, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        mine.step()
        torchs.step()
    for one, other, start in zip(ours, theirs, starts, strict=True):
        assert (one - other).norm() < 0.05 * (other - start).norm()
