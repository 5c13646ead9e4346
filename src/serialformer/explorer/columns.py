"""Content for interventions on a model without a chain: the weights, and of a circuit its gates as columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from serialformer.errors import CheckpointError
from serialformer.explorer.content import model_content
from serialformer.models.construction_of import construction_of
from serialformer.models.model import Model
from serialformer.models.provenance import CompiledProvenance


def columns_content(model: Model) -> dict[str, Any]:
    """What the page needs to intervene: the weights and, for each position, what it reads and its truth table.

    Where the page cannot compute the model, ``problem`` says why, and there is nothing else.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> found = columns_content(compile(build.circuit(), chain="none"))
    >>> found["reads"], found["tables"][2]
    ([[0, 0], [1, 1], [0, 1], [2, 2], [4, 4]], '0110')
    """
    content = weights_content(model)
    if "problem" in content:
        return content
    named = construction_of(model).field_named
    heads = [name for name in named if name.startswith("read[")]
    entries = [name for name in named if name.startswith("table[")]
    positions = slice(0, model.words.num_tokens)
    reads = np.stack([named[name].at(positions) for name in heads], axis=1)
    tables = np.stack([named[name].at(positions) for name in entries], axis=1)
    return {**content, "reads": reads.tolist(), "tables": ["".join(map(str, row)) for row in tables.tolist()]}


def weights_content(model: Model) -> dict[str, Any]:
    """The weights of a model without a chain; only ``problem`` where the page cannot compute the model."""
    if model.placed is not None:
        return {"problem": "it is a Llama, whose tokens say where they stand, and the columns here are those of GPT-2s"}
    origin = "compiled" if isinstance(model.provenance, CompiledProvenance) else "constructed"
    try:
        return model_content(model.transformer, "model", origin, {}, model.provenance, embedded=True)
    except CheckpointError as error:
        return {"problem": error.message}
