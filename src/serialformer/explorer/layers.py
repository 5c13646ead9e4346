"""Content of the page of layers: a circuit without a chain as a grid of layers by positions, and a chain beside it.

All that the grid shows has been read from the weights before: what stands in each column before the first layer and
after each one, which token each position writes, and where each head looks. It has all inputs of a small circuit, and
some of a larger one. Interventions alone are computed in the page, from the weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from serialformer.circuits.evaluate import evaluate_wires
from serialformer.circuits.words import bits_to_values, words_to_names
from serialformer.constructions.circuit_depth import circuit_levels
from serialformer.errors import InputError
from serialformer.explorer.columns import columns_content
from serialformer.explorer.content import page_title, refuse_rounding
from serialformer.models.model import Model
from serialformer.models.trace import column_bits

FORMAT = 1
"""Of the JSON object; the page refuses another."""

FRONT = ("layers", "columns")
"""The scripts and the styles of the page: the grid, and interventions below it."""

MAX_CELLS = 40_000
"""Layers by positions, over all inputs and both models: what a page shows at once, and holds as text."""

NUM_INPUTS = 32
"""The most inputs that a page holds; a circuit with fewer shows all of them."""


def layers_content(model: Model, chain: Model | None = None, *, seed: int = 0) -> dict[str, Any]:
    """What the page shows of a circuit without a chain.

    Args:
        model: compiled without a chain.
        chain: the same circuit compiled with one, to stand beside it.
        seed: of the inputs, where they are not all there.

    Raises:
        InputError: the two are not of one circuit, or the model is too large for a page.
        CheckpointError: the model's arithmetic is not that of floats.
    """
    refuse_rounding(model.transformer, page_title(model))
    words = model.words
    if chain is not None and (chain.words.digest() != words.digest() or chain.words.placed or chain.words.packed):
        raise InputError(
            "is no model of the same circuit with a chain of one gate per token",
            where=None if chain.directory is None else str(chain.directory),
            hint="compile the same file twice for a GPT-2, once with --chain none, with the same optimisation",
        )
    num_layers = model.transformer.architecture.num_layers
    bits = _inputs(words.num_inputs, seed)
    cells = (num_layers + 1) * words.num_tokens
    if cells * len(bits) > 8 * MAX_CELLS or cells > MAX_CELLS:
        bits = bits[: max(1, 8 * MAX_CELLS // cells)]
    if cells > MAX_CELLS:
        raise InputError(
            f"{num_layers} layers of {words.num_tokens} positions are too many for a page, at most {MAX_CELLS:,} cells",
            where=None if model.directory is None else str(model.directory),
            hint="serialformer run DIR --trace shows the layers",
        )
    return {
        "format": FORMAT,
        "title": f"{num_layers} layers, no chain",
        "live": False,
        "depth": _grid(model, bits),
        "chain": None if chain is None else _chain(chain, bits),
        "inputs": [_values(model, row) for row in bits],
        "model": columns_content(model),
    }


def _inputs(num_inputs: int, seed: int) -> np.ndarray:
    if 1 << num_inputs <= NUM_INPUTS:
        return (np.arange(1 << num_inputs)[:, None] >> np.arange(num_inputs) & 1).astype(np.uint8)
    return np.random.default_rng(seed).integers(0, 2, (NUM_INPUTS, num_inputs), dtype=np.uint8)


def _values(model: Model, row: np.ndarray) -> str:
    return ", ".join(f"{name}={value}" for name, value in bits_to_values(model.inputs, row).items())


def _answer(model: Model, row: np.ndarray) -> str:
    return ", ".join(f"{name}={value}" for name, value in bits_to_values(model.outputs, row).items())


def _looks(model: Model, row: np.ndarray) -> list[list[list[int]]]:
    """For each layer and head the position that each position gives most of its attention."""
    transcript = model.run(bits_to_values(model.inputs, row), engine="dense")
    cache = model.run_with_cache(transcript)
    layers = range(model.transformer.architecture.num_layers)
    return [cache[f"blocks.{layer}.attn.hook_pattern"].argmax(axis=2).tolist() for layer in layers]


def _grid(model: Model, bits: np.ndarray) -> dict[str, Any]:
    """The columns: their names, what they hold after each layer for each input, and where heads look."""
    words, circuit = model.words, model.circuit
    outputs = words_to_names(words.outputs, words.num_outputs)
    gates = circuit.gate_names or [""] * circuit.num_gates
    names = [
        *words_to_names(words.inputs, words.num_inputs),
        *(name or f"g{number}" for number, name in enumerate(gates)),
        "=",
        *outputs,
    ]
    kinds = ["input"] * words.num_inputs + ["gate"] * circuit.num_gates + ["equals"] + ["answer"] * words.num_outputs
    level = [*circuit_levels(circuit).of_wire.tolist(), *[0] * (1 + words.num_outputs)]
    wires = evaluate_wires(circuit, bits)
    held, wrong, answers = [], [], []
    for row, value in zip(bits, wires, strict=True):
        transcript = model.run(bits_to_values(model.inputs, row), engine="dense")
        tokens = np.concatenate([transcript.prompt, transcript.chain])[: words.num_tokens]
        found = column_bits(model, tokens)
        lines = ["".join(map(str, line)) for line in found.tolist()]
        # The last layer writes tokens: at "=" the first one of the answer, at each of these the next.
        written = "".join(map(str, transcript.chain.tolist()))
        lines[-1] = (" " * circuit.num_wires + written).ljust(words.num_tokens)
        held.append(lines)
        differs = found[:, : circuit.num_wires] != value
        differs[-1] = False
        wrong.append(["".join(map(str, line)) for line in differs.astype(int).tolist()])
        answers.append([_answer(model, words.answers(transcript.chain[None])[0]), transcript.chain.tolist()])
    return {
        "names": [*names][: words.num_tokens],
        "kinds": kinds[: words.num_tokens],
        "levels": level[: words.num_tokens],
        "layers": model.transformer.architecture.num_layers,
        "held": held,
        "wrong": wrong,
        "answers": answers,
        "looks": _looks(model, bits[0]),
        "written": words.num_outputs,
    }


def _chain(model: Model, bits: np.ndarray) -> dict[str, Any]:
    """The tokens of a chain for each input, and where heads look as they are written."""
    words = model.words
    names = [*words_to_names(words.inputs, words.num_inputs), "="]
    gates = model.circuit.gate_names or [""] * model.circuit.num_gates
    for number, gate in enumerate(words.schedule.gate.tolist()):
        names.append((gates[gate] or f"g{gate}") if gate >= 0 else f"t{number}")
    tokens, answers = [], []
    for row in bits:
        transcript = model.run(bits_to_values(model.inputs, row), engine="dense")
        tokens.append(list(transcript.asked + transcript.made))
        answers.append(_answer(model, words.answers(transcript.chain[None])[0]))
    return {
        "names": names,
        "tokens": tokens,
        "answers": answers,
        "looks": _looks(model, bits[0])[0],
        "prompt": words.num_inputs + 1,
        "layers": model.transformer.architecture.num_layers,
    }
