"""How good some edges are as an explanation: faithful, complete and minimal, measured by patching all others."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.arrays import Int64
from serialformer.errors import InputError
from serialformer.files import read_file
from serialformer.interp.patch import Patch, Run, run_patched
from serialformer.interp.universe import all_edges
from serialformer.transformer.transformer import Transformer

PAIRS_FOR_MINIMALITY = 8
"""The number of pairs on which each edge of the circuit is left out."""


@dataclass(frozen=True, kw_only=True)
class CircuitScores:
    """Scores of a set of edges, each a share; 1 is best. They count tokens on which the two prompts of a pair differ.

    Attributes:
        faithfulness: how much of what the model writes on a prompt is still written if all edges outside the set carry
            what they carry on the counterfactual one.
        completeness: how much of it is gone if the edges of the set do, and all others stay.
        minimality: the share of the edges without which what is written changes on some pair.
    """

    faithfulness: float
    completeness: float
    minimality: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenPair:
    """A prompt and a counterfactual one, with what the model writes on each, as token ids.

    Attributes:
        clean: the whole sequence.
        other: the same of the counterfactual prompt.
        first: the first position that writes.
    """

    clean: Int64[np.ndarray, " tokens"]
    other: Int64[np.ndarray, " tokens"]
    first: int


def read_pairs(path: Path) -> list[TokenPair]:
    """Pairs from a ``pairs.jsonl`` of the suite.

    Raises:
        InputError: a line is no pair.
    """
    pairs = []
    for number, line in enumerate(read_file(path).decode().splitlines(), 1):
        try:
            content = json.loads(line)
            clean, other = (np.array(content[name], dtype=np.int64) for name in ("clean_ids", "other_ids"))
            pairs.append(TokenPair(clean=clean, other=other, first=int(content["first_written"]) - 1))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"line {number} is no pair: {error!r}", where=str(path)) from None
    return pairs


def score_circuit(transformer: Transformer, pairs: Sequence[TokenPair], edges: Collection[str]) -> CircuitScores:
    """Scores a set of edges on some pairs.

    Args:
        transformer: the weights.
        pairs: prompts of one length each.
        edges: names such as ``a0.h1->m0``.

    Raises:
        InputError: there is no such edge, or the two prompts of every pair make the model write the same.
    """
    patches = {patch.name: patch for patch in all_edges(transformer.architecture)}
    unknown = [name for name in edges if name not in patches]
    if unknown:
        raise InputError(f"no edge {unknown[0]}", hint=f"edges are called such as {', '.join(list(patches)[:3])}")
    inside = [patch for name, patch in patches.items() if name in set(edges)]
    outside = [patch for name, patch in patches.items() if name not in set(edges)]
    cases = [case for case in (_Case(transformer, pair) for pair in pairs) if case.differs.any()]
    if not cases:
        raise InputError("on all pairs the model writes the same for both prompts", where="pairs")
    kept, lost, total = 0, 0, 0
    for case in cases:
        total += int(case.differs.sum())
        kept += int((case.written(outside) == case.clean)[case.differs].sum())
        lost += int((case.written(inside) != case.clean)[case.differs].sum())
    few = cases[:PAIRS_FOR_MINIMALITY]
    bases = [case.written(outside) for case in few]
    needed = [
        any((case.written([*outside, patch]) != base).any() for case, base in zip(few, bases, strict=True))
        for patch in inside
    ]
    return CircuitScores(
        faithfulness=kept / total, completeness=lost / total, minimality=float(np.mean(needed)) if needed else 1.0
    )


class _Case:
    """A pair with the runs of both prompts."""

    def __init__(self, transformer: Transformer, pair: TokenPair) -> None:
        self._transformer, self._pair = transformer, pair
        self._other: Run = run_patched(transformer, pair.other)
        self.clean = run_patched(transformer, pair.clean).tokens[pair.first :]
        self.differs = self.clean != self._other.tokens[pair.first :]

    def written(self, patches: Sequence[Patch]) -> Int64[np.ndarray, " written"]:
        run = run_patched(self._transformer, self._pair.clean, self._other, patches)
        return run.tokens[self._pair.first :]
