"""Scoring a model of a task, or an evaluator, on fresh samples: taught and generating."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from serialformer.decode.engine import Engine
from serialformer.errors import TaskError
from serialformer.models.model import Model
from serialformer.models.score import Score, score_generated, score_taught
from serialformer.tasks.examples import Examples
from serialformer.tasks.layout import lay_out, num_positions
from serialformer.tasks.task import MAX_TOKENS
from serialformer.transformer.forward import QUERIES_A_BLOCK, compute_logits

SAMPLES_A_BLOCK = 1024
"""Samples that are drawn together, fewer if they are very long; part of what a seed means."""

TEACHING_BYTES = 1 << 27
"""About how much memory one forward pass over several rows may take."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The score of a model at one length.

    Attributes:
        length: the number of items.
        score: the counts.
        engine: the engine that generated.
        seconds: how long it took, drawing the samples included.
    """

    length: int
    score: Score
    engine: str
    seconds: float


def evaluate(
    model: Model,
    *,
    length: int | None = None,
    num_samples: int = 1000,
    seed: int = 0,
    engine: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Scores a model on samples of the task's own distribution.

    Args:
        model: of a task, constructed or trained, or an evaluator, whose task is circuit-value.
        length: the number of items; the model's own if None.
        num_samples: how many prompts.
        seed: with the length, decides which.
        engine: what generates; ``auto`` is the indexed engine, or the dense one for a model whose first sample shows
            that its attention cannot be looked up.
        progress: called with the number of samples done.

    Raises:
        InputError: the model is a compiled circuit.
        TaskError: the model cannot read prompts of this length, or there are no samples to score.

    >>> from serialformer import construct
    >>> evaluate(construct("parity", 8), num_samples=100).score.accuracies["generated_chain_accuracy"]
    1.0
    """
    items = model.items
    length = items.length if length is None else length
    if num_samples < 1:
        raise TaskError(f"expected at least one sample, found {num_samples}", where="samples")
    started = time.perf_counter()
    ids = model.token_ids(length)
    num_tokens = num_positions(items.task, items.setting, length)
    random = np.random.default_rng([seed, length])
    score, chosen = Score(), None
    a_block = max(1, min(SAMPLES_A_BLOCK, MAX_TOKENS // (4 * num_tokens)))
    for start in range(0, num_samples, a_block):
        examples = items.task.sample(random, length, min(a_block, num_samples - start)).renumber(ids)
        if chosen is None:
            chosen = _choose_engine(model, examples, length, engine)
        for rows in examples.blocks(_rows_at_once(model, chosen, num_tokens)):
            block = examples.select(rows)
            score += _score_block(model, block, length, chosen)
            if progress is not None:
                progress(len(rows))
    assert chosen is not None
    return Evaluation(length=length, score=score, engine=chosen.name, seconds=time.perf_counter() - started)


def _score_block(model: Model, block: Examples, length: int, engine: Engine) -> Score:
    """Both scores of samples of one size."""
    layout = lay_out(model.task, block, model.setting, length)
    said = compute_logits(model.transformer, layout.tokens, dtype=np.float32).argmax(axis=-1)
    return score_taught(layout, said) + score_generation(model, block, length, engine)


def score_generation(model: Model, block: Examples, length: int, engine: Engine) -> Score:
    """What a model generates of samples of one size, in counts; samples themselves are not counted."""
    made = model.generate(block, length, engine)
    thinks = model.setting in ("cot", "aligned")
    expected = block.chains if thinks else block.answers
    answers = block.answers_in(made) if thinks else made
    return score_generated(expected, made, answers == block.answers)


def _choose_engine(model: Model, examples: Examples, length: int, name: str) -> Engine:
    """The engine asked for; for ``auto``, dense if the indexed engine gives up on the first sample."""
    engine = model.engine(name)
    if name == "auto":
        model.generate(examples.select(np.zeros(1, dtype=np.int64)), length, engine)
        if getattr(engine, "refusal", ""):
            return model.engine("dense")
    return engine


def _rows_at_once(model: Model, engine: Engine, num_tokens: int) -> int:
    """How many samples fit in memory together, read and generated."""
    architecture = model.transformer.architecture
    a_token = (
        len(architecture.vocabulary)
        + 8 * architecture.width
        + 2 * architecture.hidden_width
        + 3 * architecture.num_heads * min(num_tokens, QUERIES_A_BLOCK)
    )
    return max(1, min(engine.rows_at_once(num_tokens), TEACHING_BYTES // (4 * num_tokens * a_token)))
