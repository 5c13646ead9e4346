"""The optimiser of a run: AdamW for every parameter, or Muon for the matrices of the layers and AdamW for the rest."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from serialformer.training.config import OptimiserConfig
from serialformer.training.muon import Muon
from serialformer.transformer.module import TransformerModule

MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")
"""What the optimisers remember of a parameter, under torch's names."""


class Optimiser:
    """Updates the parameters of a module; its learning rates are those of a step.

    Muon replaces the momentum of a matrix by the nearest orthogonal one, scaled so that its entries move about as far
    as under AdamW. Embeddings, relative biases and vectors stay with AdamW.

    Args:
        module: whose parameters it updates.
        config: rates, moments and method.
    """

    def __init__(self, module: TransformerModule, config: OptimiserConfig) -> None:
        _do_without_the_compiler()
        self._config = config
        weights = dict(module.named_weights())
        positions = [weights.pop("position_embedding")] if "position_embedding" in weights else []
        hidden: list[torch.nn.Parameter] = []
        if config.method == "muon":
            hidden = [weights.pop(name) for name in list(weights) if _is_layer_matrix(name, weights[name])]
        matrices = [parameter for parameter in weights.values() if parameter.dim() >= 2]
        vectors = [parameter for parameter in weights.values() if parameter.dim() < 2]
        self._adam = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": config.weight_decay, "share": 1.0},
                {"params": vectors, "weight_decay": 0.0, "share": 1.0},
                {"params": positions, "weight_decay": config.weight_decay, "share": config.position_rate},
            ],
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.epsilon,
            fused=True,
        )
        self._muon = None
        if hidden:
            self._muon = Muon(hidden, lr=config.matrix_rate, weight_decay=config.weight_decay)

    def step(self, step: int) -> float:
        """Updates every parameter by its gradient, and clears the gradients.

        Args:
            step: which step this is, counted from 0.

        Returns:
            The learning rate of AdamW at this step.
        """
        rate = self._config.rate(step)
        for group in self._adam.param_groups:
            group["lr"] = rate * group["share"]
        take_step(self._adam)
        self._adam.zero_grad(set_to_none=True)
        if self._muon is not None:
            for group in self._muon.param_groups:
                group["lr"] = rate * self._config.matrix_share
            take_step(self._muon)
            self._muon.zero_grad(set_to_none=True)
        return rate

    def moments(self, parameter: Tensor) -> Iterator[tuple[str, Tensor]]:
        """What it remembers of a parameter, by name; nothing before the first step."""
        state = self._optimiser_of(parameter).state
        if parameter in state:
            yield from ((name, state[parameter][name]) for name in MOMENTS if name in state[parameter])

    def restore(self, parameter: Tensor, moments: Mapping[str, Tensor], step: int) -> None:
        """The inverse of ``moments``, after a number of steps."""
        optimiser = self._optimiser_of(parameter)
        count = {"step": torch.tensor(float(step), device=parameter.device)} if optimiser is self._adam else {}
        optimiser.state[parameter] = {**count, **moments}

    def _optimiser_of(self, parameter: Tensor) -> torch.optim.Optimizer:
        if self._muon is not None and any(parameter is own for own in self._muon.param_groups[0]["params"]):
            return self._muon
        return self._adam


def take_step(optimiser: torch.optim.Optimizer) -> None:
    """A step of an optimiser of torch's, without the wrapper that tells torch's compiler where gradients are off."""
    with torch.no_grad():
        inspect.unwrap(type(optimiser).step)(optimiser)


def _do_without_the_compiler() -> None:
    """Lets torch's optimisers run without importing torch's compiler, which takes as long as torch itself.

    torch wraps some of their methods so that its compiler leaves them alone, and imports the compiler at the first call
    to ask it how. The wrapper keeps the answer at the method; here that is the method itself, as it is without a
    compiler. Where torch has no such wrapper, nothing is changed, and where the compiler is there already, it is asked.
    """
    if "torch._dynamo" in sys.modules:
        return
    for wrapper in vars(torch.optim.Optimizer).values():
        method = getattr(wrapper, "__wrapped__", None)
        if method is not None and getattr(wrapper, "__module__", "") == torch.optim.Optimizer.__module__:
            vars(method).setdefault("__dynamo_disable", method)


def _is_layer_matrix(name: str, parameter: Tensor) -> bool:
    return name.startswith("layers.") and parameter.dim() == 2 and not name.endswith("relative_bias")
