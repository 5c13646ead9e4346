"""The optimiser of a stack of models: what ``Optimiser`` does to each, in operations that do it to all at once."""

from __future__ import annotations

import torch
from torch import Tensor

from serialformer.training.config import OptimiserConfig
from serialformer.training.muon import MOMENTUM, orthogonalise, update_scale
from serialformer.training.stacked_weights import StackedWeights


class StackedOptimiser:
    """Updates the weights of a stack.

    On a GPU every number that changes from step to step is a tensor there, so that a step can be captured as a graph.

    Args:
        weights: of the stack.
        config: moments and method; the rates come with each step.
    """

    def __init__(self, weights: StackedWeights, config: OptimiserConfig) -> None:
        self._config, self._weights = config, weights
        pairs = list(zip(weights.groups, weights.leaves, strict=True))
        device = weights.leaves[0].device
        self._on_device = device.type == "cuda"
        self._adam = torch.optim.AdamW(
            [
                {
                    "params": [leaf],
                    "weight_decay": group.decay,
                    "share": group.share,
                    "lr": torch.zeros((), device=device) if self._on_device else 0.0,
                }
                for group, leaf in pairs
                if group.method == "adamw"
            ],
            betas=config.betas,
            eps=config.epsilon,
            fused=True,
            capturable=self._on_device,
        )
        self._muon = [(group, leaf, torch.zeros_like(leaf)) for group, leaf in pairs if group.method == "muon"]

    def step(self, rate: Tensor) -> None:
        """Updates every weight by its gradient, and clears the gradients.

        Args:
            rate: the learning rate of this step, a number on the weights' device.
        """
        with torch.no_grad():
            for parameters in self._adam.param_groups:
                if self._on_device:
                    parameters["lr"].copy_(rate * parameters["share"])
                else:
                    parameters["lr"] = float(rate) * parameters["share"]
            self._adam.step()
            for group, leaf, momentum in self._muon:
                assert leaf.grad is not None
                momentum.lerp_(leaf.grad, 1 - MOMENTUM)
                update = orthogonalise(leaf.grad.lerp(momentum, MOMENTUM).flatten(0, 1)).view_as(leaf)
                own = rate * group.share
                if group.decay:
                    leaf.mul_(1 - own * group.decay)
                leaf.sub_(update * (own * update_scale(leaf.shape)))
        for leaf in self._weights.leaves:
            leaf.grad = None

    def keep(self, weights: StackedWeights, rows: Tensor) -> StackedOptimiser:
        """An optimiser for some of the models, which continues where this one is.

        Args:
            weights: of those models.
            rows: which of the stack they are.
        """
        kept = StackedOptimiser(weights, self._config)
        for (_, _, mine), (_, _, momentum) in zip(kept._muon, self._muon, strict=True):
            mine.copy_(momentum[rows])
        for leaf, before in zip(weights.leaves, self._weights.leaves, strict=True):
            if before in self._adam.state:
                kept._adam.state[leaf] = {
                    key: value.clone() if key == "step" else value[rows].clone()
                    for key, value in self._adam.state[before].items()
                }
        return kept
