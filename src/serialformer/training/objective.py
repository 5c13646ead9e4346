"""The objective: one cross-entropy over labelled positions, whatever the setting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from serialformer.arrays import Float, Int64
from serialformer.tasks.examples import NO_LABEL
from serialformer.tasks.layout import Layout
from serialformer.transformer.module import TransformerModule


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """A batch as the module takes it.

    Attributes:
        tokens: what is read.
        asked: the positions with a label: a span that all rows share, or some of each row, padded with position 0.
        labels: the token to be predicted at each; NO_LABEL where ``asked`` is padding.
    """

    tokens: Int64[Tensor, "B T"]
    asked: slice | Int64[Tensor, "B L"]
    labels: Int64[Tensor, "B L"]


def make_targets(layout: Layout, device: torch.device | str = "cpu") -> Targets:
    """The labelled positions of a layout, and nothing of the others.

    >>> from serialformer.tasks.layout import lay_out
    >>> from serialformer.tasks.modular_addition import ModularAddition
    >>> task = ModularAddition()
    >>> targets = make_targets(lay_out(task, task.solve(np.array([[3, 5, 6, 7]]), 3), "cot", 3))
    >>> targets.asked, targets.labels.tolist()
    (slice(3, 6, None), [[3, 1, 0]])
    """
    has_loss = layout.has_loss
    tokens = torch.from_numpy(layout.tokens).to(device)
    (places,) = np.nonzero(has_loss.any(axis=0))
    span = slice(int(places[0]), int(places[-1]) + 1)
    if has_loss[:, span].all():
        return Targets(tokens=tokens, asked=span, labels=torch.from_numpy(layout.labels[:, span]).to(device))
    # Labelled positions first, in their order.
    order = np.argsort(~has_loss, axis=1, kind="stable")[:, : int(has_loss.sum(axis=1).max())]
    labels = np.take_along_axis(layout.labels, order, axis=1)
    asked = np.where(labels == NO_LABEL, 0, order)
    return Targets(tokens=tokens, asked=torch.from_numpy(asked).to(device), labels=torch.from_numpy(labels).to(device))


def compute_loss(module: TransformerModule, targets: Targets) -> Float[Tensor, ""]:
    """The mean cross-entropy over all labels of the batch, in nats."""
    logits = module(targets.tokens, targets.asked)
    return functional.cross_entropy(logits.flatten(0, 1).float(), targets.labels.flatten(), ignore_index=NO_LABEL)


def predict_tokens(module: TransformerModule, layout: Layout) -> Int64[np.ndarray, "rows tokens"]:
    """The token with the largest logit at every labelled position, given the true tokens before it; 0 elsewhere."""
    predicted = np.zeros_like(layout.tokens)
    targets = make_targets(layout, module.device)
    with torch.no_grad():
        chosen = module(targets.tokens, targets.asked).argmax(dim=-1).cpu().numpy()
    if isinstance(targets.asked, slice):
        predicted[:, targets.asked] = chosen
    else:
        rows, places = np.nonzero(targets.labels.cpu().numpy() != NO_LABEL)
        predicted[rows, targets.asked.cpu().numpy()[rows, places]] = chosen[rows, places]
    return predicted
