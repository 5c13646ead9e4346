"""How many heads of a trained model look at the values of gates, and which gates they leave out, as a Markdown table.

    serialformer train circuit-value --length 16 --setting cot -o DIR
    python recipes/circuit-value/heads.py DIR...

The models have one layer and the chain. Attention is that of the two tokens of each gate before the values of its
inputs, where the model must look them up.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serialformer.arrays import Float
from serialformer.errors import CheckpointError, SerialformerError
from serialformer.models.load import load
from serialformer.models.model import Model
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.transformer.forward import compute_attention

NUM_SAMPLES = 16
TOKENS_PER_GATE, OWN_VALUE = 4, 3
MOST, SOME = 0.5, 0.1
"""Shares of a head's attention."""

SEVERAL = 4
"""How many gates at most are counted together."""


def measure_attention(model: Model) -> Float[np.ndarray, "H T T"]:
    """The attention of the first layer on samples of the task, their mean."""
    length = model.length
    examples = model.task.sample(np.random.default_rng(0), length, NUM_SAMPLES).renumber(model.token_ids(length))
    tokens = np.concatenate([examples.prompts, examples.chains[:, :-1]], axis=1)
    return compute_attention(model.transformer, tokens, dtype=np.float32)[0].mean(axis=0)


def share_by_gate(attention: Float[np.ndarray, "H T T"], length: int) -> Float[np.ndarray, "H gates"]:
    """What share of its attention each head gives to each gate's own value, on average over the gates after it.

    The last gate has none after it, and its share is 0.
    """
    start = TOKENS_PER_GATE * length + 1
    shares = np.zeros((len(attention), length))
    for gate in range(length - 1):
        after = start + TOKENS_PER_GATE * np.arange(gate + 1, length)
        queries = np.concatenate([after, after + 1])
        shares[:, gate] = attention[:, queries, start + TOKENS_PER_GATE * gate + OWN_VALUE].mean(axis=1)
    return shares


def share_on_inputs(attention: Float[np.ndarray, "H T T"], length: int) -> Float[np.ndarray, " H"]:
    """What share of its attention each head gives to the number, in the prompt, of the input that is due."""
    gates = TOKENS_PER_GATE * np.arange(2, length)
    start = TOKENS_PER_GATE * length + 1
    return np.mean([attention[:, start + gates + place, gates + 1 + place] for place in (0, 1)], axis=(0, 2))


def make_table(directories: Sequence[str]) -> str:
    """A row a model.

    A head is counted if more than half of its attention is on the numbers of inputs, on one gate's value, or else on
    several gates' values together. A gate is left out if no head gives its value a tenth. The last gate is never read.

    Raises:
        CheckpointError: a directory is no checkpoint, or its model is not one of circuit value with the chain.
    """
    lines = [
        "| model | gates | heads | on inputs' numbers | on one gate | on several gates | gates left out |",
        "|---|---|---|---|---|---|---|",
    ]
    for directory in directories:
        model = load(directory)
        if model.task.name != CircuitValue.name or model.setting != "cot":
            raise CheckpointError(f"expected a model of {CircuitValue.name} with the chain", where=directory)
        attention = measure_attention(model)
        shares = share_by_gate(attention, model.length)[:, :-1]
        on_one = shares.max(axis=1) > MOST
        on_several = ~on_one & (np.sort(shares, axis=1)[:, -SEVERAL:].sum(axis=1) > MOST)
        on_inputs = share_on_inputs(attention, model.length) > MOST
        left_out = (np.flatnonzero(shares.max(axis=0) < SOME) + 1).tolist()
        lines.append(
            f"| {Path(directory).name} | {model.length} | {len(shares)} | {on_inputs.sum()} | {on_one.sum()} |"
            f" {on_several.sum()} | {', '.join(map(str, left_out))} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        print(make_table(sys.argv[1:]), end="")
    except SerialformerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
