"""Edge patching: one part of a model hears another as it is on a second prompt, and all else is computed anew.

The residual stream is a sum: the embedding, and what every head and every feed-forward layer adds. What a part reads is
that sum after a norm, so an edge from one part to another can be patched by itself: the reader's sum takes the term of
the source from the second run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float, Int64
from serialformer.constructions.edges import INPUT, LOGITS, Edge
from serialformer.errors import InputError
from serialformer.transformer.forward import (
    add_bias,
    apply_norm,
    attention_shares,
    cast_layer,
    embed,
    hidden_units,
    rotary_angles,
    rotate,
    score_bias,
    visible_keys,
)
from serialformer.transformer.transformer import Layer, Transformer


@dataclass(frozen=True, kw_only=True)
class Patch:
    """One edge that is patched.

    Attributes:
        source: the part that is heard, such as ``input``, ``a0.h1`` or ``m0``.
        target: the part that hears it, such as ``a1.h0``, ``m0`` or ``logits``.
        via: ``q``, ``k`` or ``v`` of a head; empty otherwise.
        position: at which position; None for all of them.
    """

    source: str
    target: str
    via: str = ""
    position: int | None = None

    @property
    def name(self) -> str:
        """The edge as edge attribution writes it.

        >>> Patch(source="input", target="a0.h1", via="q").name
        'input->a0.h1<q>'
        """
        return f"{self.source}->{self.target}{f'<{self.via}>' if self.via else ''}"

    @classmethod
    def of_edge(cls, edge: Edge) -> Patch:
        """The patch of an edge at its own position."""
        return cls(source=edge.source, target=edge.target, via=edge.via, position=edge.position)


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A forward pass over one sequence.

    Attributes:
        logits: at each position.
        terms: what each part adds to the residual stream at each position.
    """

    logits: Float[np.ndarray, "positions vocabulary"]
    terms: dict[str, Float[np.ndarray, "positions width"]]

    @property
    def tokens(self) -> Int64[np.ndarray, " positions"]:
        """The token that each position writes."""
        return self.logits.argmax(axis=1)


def run_patched(
    transformer: Transformer,
    tokens: Int64[np.ndarray, " positions"],
    other: Run | None = None,
    patches: Iterable[Patch] = (),
    *,
    dtype: type[np.floating] = np.float64,
) -> Run:
    """A forward pass in which some edges carry what they carry in another run.

    Args:
        transformer: the weights. Heads that share keys and values hear what these are made of each by itself.
        tokens: token ids of the whole sequence.
        other: a run of the same model over a sequence of the same length.
        patches: the edges.
        dtype: what to compute in.

    Raises:
        InputError: there is no such part, or it does not come before the one that hears it.
    """
    architecture = transformer.architecture
    wanted: dict[tuple[str, str], list[Patch]] = {}
    for patch in patches:
        wanted.setdefault((patch.target, patch.via), []).append(patch)
    machine = _Machine(transformer, np.arange(len(tokens)), other, wanted, dtype)
    machine.terms[INPUT] = embed(transformer, tokens[None], machine.positions, dtype)[0]
    stream = machine.terms[INPUT].copy()
    for index, stored in enumerate(transformer.layers):
        layer = cast_layer(stored, dtype)
        attended = machine.attend(index, layer, stream)
        for head, term in enumerate(attended):
            machine.terms[f"a{index}.h{head}"] = term
        stream = add_bias(stream + sum(attended), layer.attention_out_bias)
        hidden = hidden_units(machine.hear(stream, f"m{index}", ""), layer, architecture)
        machine.terms[f"m{index}"] = hidden @ layer.mlp_out_weight
        stream = add_bias(stream + machine.terms[f"m{index}"], layer.mlp_out_bias)
    gain, bias = transformer.final_norm_gain.astype(dtype), transformer.final_norm_bias.astype(dtype)
    normed = apply_norm(machine.hear(stream, LOGITS, ""), gain, bias, architecture)
    if wanted:
        target, via = next(iter(wanted))
        raise InputError(f"no part {target}{f'<{via}>' if via else ''}", where="patch")
    return Run(logits=normed @ transformer.head.astype(dtype).T, terms=machine.terms)


class _Machine:
    """What has been computed so far, and the patches that are still to be made."""

    def __init__(
        self,
        transformer: Transformer,
        positions: Int64[np.ndarray, " positions"],
        other: Run | None,
        wanted: dict[tuple[str, str], list[Patch]],
        dtype: type[np.floating],
    ) -> None:
        self.architecture, self.positions, self.other, self.wanted = transformer.architecture, positions, other, wanted
        self.terms: dict[str, np.ndarray] = {}
        self.dtype = dtype

    def hear(self, stream: np.ndarray, target: str, via: str) -> np.ndarray:
        """What a part reads: the stream with the terms of patched edges taken from the other run."""
        patches = self.wanted.pop((target, via), [])
        if not patches:
            return stream
        heard = stream.copy()
        for patch in patches:
            if self.other is None or patch.source not in self.terms:
                raise InputError(f"{patch.source} does not come before {target}", where="patch")
            rows = slice(None) if patch.position is None else patch.position
            heard[rows] += self.other.terms[patch.source][rows] - self.terms[patch.source][rows]
        return heard

    def attend(self, index: int, layer: Layer, stream: np.ndarray) -> Sequence[np.ndarray]:
        """What each head adds to the stream."""
        architecture, width = self.architecture, self.architecture.head_width
        normed = apply_norm(stream, layer.attention_norm_gain, layer.attention_norm_bias, architecture)
        plain = add_bias(normed @ layer.attention_in_weight, layer.attention_in_bias)
        bias = score_bias(layer, self.positions, len(self.positions))
        visible = visible_keys(architecture, self.positions, len(self.positions))
        heads, groups = architecture.num_heads, architecture.num_key_heads
        angles = rotary_angles(architecture, self.positions) if architecture.positions == "rotary" else None
        found = []
        for head in range(heads):
            parts = []
            group = head // (heads // groups)
            for via, place in zip("qkv", (head, heads + group, heads + groups + group), strict=True):
                columns = slice(place * width, (place + 1) * width)
                heard = self.hear(stream, f"a{index}.h{head}", via)
                if heard is stream:
                    parts.append(plain[None, None, :, columns])
                    continue
                own = apply_norm(heard, layer.attention_norm_gain, layer.attention_norm_bias, architecture)
                own_bias = layer.attention_in_bias[columns] if layer.attention_in_bias.size else layer.attention_in_bias
                parts.append(add_bias(own @ layer.attention_in_weight[:, columns], own_bias)[None, None])
            queries, keys, values = parts
            if angles is not None:
                queries, keys = (rotate(part, angles.astype(self.dtype)) for part in (queries, keys))
            shares = attention_shares(
                queries,
                keys,
                visible,
                scaled=architecture.scaled_scores,
                bias=None if bias is None else bias[head : head + 1],
            )
            rows = slice(head * width, (head + 1) * width)
            found.append((shares @ values)[0, 0] @ layer.attention_out_weight[rows])
        return found
