"""The weights of a stack of models as few tensors: those that an optimiser treats alike lie in one.

A step of small models on a GPU costs as much as the number of its operations. With a tensor for each weight, clipping
and updating alone would be hundreds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from serialformer.training.config import OptimiserConfig


@dataclass(frozen=True, kw_only=True)
class Group:
    """Weights that an optimiser treats alike.

    Attributes:
        method: ``adamw`` or ``muon``.
        decay: the weight decay.
        share: of the learning rate.
        names: of the weights.
        shapes: of each, in one model.
    """

    method: str
    decay: float
    share: float
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]


class StackedWeights:
    """The weights of S models, in one tensor a group, which is what is differentiated by.

    Args:
        groups: which weights lie together.
        leaves: of each group: ``(S, numbers)`` for AdamW, ``(S, matrices, rows, columns)`` for Muon.
    """

    def __init__(self, groups: Sequence[Group], leaves: Sequence[Tensor]) -> None:
        self.groups = tuple(groups)
        self.leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]

    @staticmethod
    def stack(models: Sequence[Mapping[str, Tensor]], config: OptimiserConfig) -> StackedWeights:
        """The weights of models of one shape, by their parameters' names."""
        alike: dict[tuple[str, float, float, tuple[int, ...]], list[str]] = {}
        for name, weight in models[0].items():
            if config.method == "muon" and _is_matrix_of_layer(name, weight):
                key = ("muon", config.weight_decay, config.matrix_share, tuple(weight.shape))
            else:
                share = config.position_rate if name.endswith("position_embedding") else 1.0
                key = ("adamw", config.weight_decay if weight.dim() > 1 else 0.0, share, ())
            alike.setdefault(key, []).append(name)
        groups = [
            Group(
                method=method,
                decay=decay,
                share=share,
                names=tuple(names),
                shapes=tuple(tuple(models[0][name].shape) for name in names),
            )
            for (method, decay, share, _), names in alike.items()
        ]
        return StackedWeights(groups, [torch.stack([_join(group, model) for model in models]) for group in groups])

    def by_name(self) -> dict[str, Tensor]:
        """Every weight, with the models along its first axis, as a view that gradients pass through."""
        found: dict[str, Tensor] = {}
        for group, leaf in zip(self.groups, self.leaves, strict=True):
            if group.method == "muon":
                found.update(zip(group.names, leaf.unbind(1), strict=True))
                continue
            parts = leaf.split([torch.Size(shape).numel() for shape in group.shapes], dim=1)
            for name, shape, part in zip(group.names, group.shapes, parts, strict=True):
                found[name] = part.view(-1, *shape)
        return found

    def keep(self, rows: Tensor) -> StackedWeights:
        """Those of some of the models."""
        return StackedWeights(self.groups, [leaf[rows] for leaf in self.leaves])

    def clip(self, most: float) -> None:
        """Shortens the gradient of each model to a length by itself."""
        gradients = [leaf.grad for leaf in self.leaves if leaf.grad is not None]
        squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0)
        shares = (most / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(shares.view(-1, *[1] * (gradient.dim() - 1)))


def _join(group: Group, model: Mapping[str, Tensor]) -> Tensor:
    weights = [model[name].detach() for name in group.names]
    return torch.stack(weights) if group.method == "muon" else torch.cat([weight.flatten() for weight in weights])


def _is_matrix_of_layer(name: str, weight: Tensor) -> bool:
    return "layers_" in name and weight.dim() == 2 and not name.endswith("relative_bias")
