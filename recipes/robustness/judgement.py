"""Two judgements of a damaged checkpoint: is it certified, and are its tokens right?

A token is looked at after the right prompt and the right chain so far. If all of them are right, then so is the chain
that the model writes by itself.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cases import Case
from serialformer import certify
from serialformer.architecture import DTYPES
from serialformer.transformer.checkpoint import save_transformer, stored_weights
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer

ROWS_FIRST, ROWS_THEN = 4, 32
"""Most wrong checkpoints are wrong on the first few prompts."""

PROMPTS_IN_TRANSFORMERS = 64
"""Of 256; in bfloat16 a processor takes some 10 ms for each."""


class Contradiction(Exception):
    """A checkpoint that is certified and wrong: a bug in the proof."""


def is_certified(case: Case, transformer: Transformer) -> bool:
    """Whether its certificate holds in the number format of its weights."""
    with np.errstate(all="ignore"):  # what flipped bits make of weights can be of any size
        return certify(replace(case.model, transformer=transformer)).holds


def is_right(case: Case, transformer: Transformer, dtype: type[np.floating] = np.float32) -> bool:
    """Whether the reference forward pass, in this format, gives every token of every chain, and the end mark."""
    first = case.tokens.shape[1] - case.expected.shape[1]
    start, stop = 0, ROWS_FIRST
    while start < len(case.tokens):
        with np.errstate(all="ignore"):
            logits = compute_logits(transformer, case.tokens[start:stop], dtype=dtype)[:, first:]
        if not _are_right(logits, case.expected[start:stop]):
            return False
        start, stop = stop, stop + ROWS_THEN
    return True


def is_right_in_transformers(case: Case, transformer: Transformer) -> bool:
    """The same by Hugging Face transformers, in the number format of the weights, on a spread of 64 prompts."""
    import torch

    model = _stock_model(case)
    # Of ml_dtypes' bfloat16 torch knows only the bits.
    own = DTYPES[transformer.architecture.dtype]
    weights = {
        name: torch.from_numpy(weight.view(f"u{weight.itemsize}")).view(getattr(torch, own.name))
        for name, weight in stored_weights(transformer).items()
    }
    weights["lm_head.weight"] = weights["transformer.wte.weight"]
    model.load_state_dict(weights)
    first = case.tokens.shape[1] - case.expected.shape[1]
    spread = slice(None, None, max(1, len(case.tokens) // PROMPTS_IN_TRANSFORMERS))
    with torch.no_grad():
        logits = model(torch.from_numpy(np.ascontiguousarray(case.tokens[spread]))).logits[:, first:]
    return _are_right(logits.float().numpy(), case.expected[spread])


def _are_right(logits: np.ndarray, expected: np.ndarray) -> bool:
    return not np.isnan(logits).any() and np.array_equal(logits.argmax(axis=-1), expected)


@cache
def _stock_model(case: Case) -> Any:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as directory:
        save_transformer(case.model.transformer, Path(directory), num_new_tokens=1)
        return AutoModelForCausalLM.from_pretrained(directory).eval()
