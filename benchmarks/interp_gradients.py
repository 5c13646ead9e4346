"""Gradients of a lead of logits by what each part of a GPT-2 reads, in torch and float64: what EAP needs."""

from __future__ import annotations

import numpy as np
import torch

from serialformer.arrays import Float64, Int64
from serialformer.transformer.transformer import Transformer

Readers = dict[tuple[str, str], Float64[np.ndarray, "positions width"]]


def reader_gradients(
    transformer: Transformer,
    embedded: Float64[np.ndarray, "positions width"],
    first: int,
    ours: Int64[np.ndarray, " written"],
    theirs: Int64[np.ndarray, " written"],
) -> Readers:
    """The gradient of the sum of leads of one token over another, by the stream as each reader hears it.

    Args:
        transformer: a GPT-2.
        embedded: the residual stream before the first layer.
        first: the first position that writes.
        ours: the tokens whose logits lead.
        theirs: the tokens over which they lead.
    """
    shape = transformer.architecture
    heads, size = shape.num_heads, shape.head_width
    stream, heard = torch.from_numpy(embedded), {}

    def hear(name: str, via: str) -> torch.Tensor:
        # A zero for each reader, whose gradient is that of what the reader hears.
        zero = torch.zeros_like(stream, requires_grad=True)
        heard[name, via] = zero
        return stream + zero

    def norm(x: torch.Tensor, gain: np.ndarray, bias: np.ndarray) -> torch.Tensor:
        weights = [torch.from_numpy(part.astype(np.float64)) for part in (gain, bias)]
        return torch.nn.functional.layer_norm(x, (shape.width,), *weights, shape.norm_epsilon)

    hidden = torch.ones(len(embedded), len(embedded), dtype=torch.bool).triu(1)
    for index, layer in enumerate(transformer.layers):
        weights = {name: torch.from_numpy(weight.astype(np.float64)) for name, weight in layer.named_weights()}
        added = weights["attention_out_bias"]
        for head in range(heads):
            parts = []
            for number, via in enumerate("qkv"):
                columns = slice((number * heads + head) * size, (number * heads + head + 1) * size)
                normed = norm(hear(f"a{index}.h{head}", via), layer.attention_norm_gain, layer.attention_norm_bias)
                into, bias = weights["attention_in_weight"], weights["attention_in_bias"]
                parts.append(normed @ into[:, columns] + bias[columns])
            scores = (parts[0] @ parts[1].T / size**0.5).masked_fill(hidden, -torch.inf)
            rows = slice(head * size, (head + 1) * size)
            added = added + scores.softmax(dim=-1) @ parts[2] @ weights["attention_out_weight"][rows]
        stream = stream + added
        normed = norm(hear(f"m{index}", ""), layer.mlp_norm_gain, layer.mlp_norm_bias)
        units = torch.nn.functional.gelu(normed @ weights["mlp_in_weight"] + weights["mlp_in_bias"], approximate="tanh")
        stream = stream + units @ weights["mlp_out_weight"] + weights["mlp_out_bias"]
    final = norm(hear("logits", ""), transformer.final_norm_gain, transformer.final_norm_bias)
    logits = (final @ torch.from_numpy(transformer.head.astype(np.float64)).T)[first:]
    rows = torch.arange(len(ours))
    (logits[rows, torch.from_numpy(ours)] - logits[rows, torch.from_numpy(theirs)]).sum().backward()
    return {reader: zero.grad.numpy() for reader, zero in heard.items() if zero.grad is not None}
