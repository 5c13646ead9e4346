"""All prompts of a small circuit with their chains, and the proof that goes through them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from serialformer.arrays import Int64
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.errors import InputError
from serialformer.models.model import Model
from serialformer.proofs.certificate import Certificate

MAX_INPUTS = 12
"""Circuits of more input bits have too many prompts to go through."""


def every_sequence(model: Model) -> Int64[np.ndarray, "prompts tokens"]:
    """Every prompt of a compiled circuit with the chain that the circuit says it has, a row each.

    Raises:
        InputError: it is no circuit, or has too many inputs.
    """
    words = model.words
    if words.num_inputs > MAX_INPUTS or words.placed is not None or words.packed is not None:
        raise InputError(
            f"expected a GPT-2 of up to {MAX_INPUTS} input bits, one gate per token, found {words.num_inputs} bits",
            hint="every prompt is gone through",
        )
    bits = (np.arange(1 << words.num_inputs)[:, None] >> np.arange(words.num_inputs) & 1).astype(np.uint8)
    # The circuit with every token of the chain for an output.
    circuit = replace(words.circuit, outputs=words.schedule.wire, output_words=None)
    return np.concatenate([words.prompts(bits), evaluate_outputs(circuit, bits).astype(np.int64)], axis=1)


def certify_by_prompts(model: Model) -> Certificate:
    """The proof that a model is right on every prompt, by running each with bounds for rounding; for any weights.

    Models of one layer are proven for the number format of their weights. Bounds grow so fast from layer to layer that
    models of several are proven for float64.

    Raises:
        InputError: it is no circuit, or has too many inputs.
    """
    from serialformer.proofs.every_prompt import certify_every_prompt
    from serialformer.proofs.rounding import Float64Rounding

    sequences = every_sequence(model)
    num_inputs, num_prompt = model.words.num_inputs, sequences.shape[1] - model.num_new_tokens
    is_deep = model.transformer.architecture.num_layers > 1
    return certify_every_prompt(
        model.transformer,
        sequences,
        num_prompt,
        prompts=f"all 2^{num_inputs}",
        rounding=Float64Rounding() if is_deep else None,
    )
