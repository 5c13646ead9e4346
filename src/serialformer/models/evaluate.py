"""Scoring a model of a task, or an evaluator, on fresh samples, teacher-forced and generating."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from serialformer.arrays import Int64
from serialformer.decode.auto import AutoEngine
from serialformer.decode.engine import Engine
from serialformer.errors import TaskError
from serialformer.models.load import find_model
from serialformer.models.model import Model
from serialformer.models.score import Score, score_generated, score_teacher_forced
from serialformer.tasks.examples import Examples
from serialformer.tasks.layout import Layout, lay_out, num_positions
from serialformer.tasks.task import MAX_TOKENS, Task
from serialformer.transformer.forward import QUERIES_PER_BLOCK, compute_logits

SAMPLES_PER_BLOCK = 1024
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
    model: Model | str | os.PathLike[str],
    *,
    task: str | Task | None = None,
    trust_code: bool = False,
    length: int | None = None,
    num_samples: int = 1000,
    seed: int = 0,
    engine: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Scores a model on samples of the task's own distribution.

    Args:
        model: of a task, constructed or trained, or an evaluator, whose task is circuit-value; or its directory.
        task: of a model of a user's task, given by its directory: see ``load``.
        trust_code: of such a model: see ``load``.
        length: the number of items; the model's own if None.
        num_samples: how many prompts.
        seed: with the length, decides which.
        engine: what generates; ``auto`` is the indexed engine, or the dense one for a model whose first sample shows
            that its attention cannot be looked up.
        progress: called with the number of samples done.

    Raises:
        InputError: the model is a compiled circuit; or ``task`` or ``trust_code`` is given with a loaded model.
        CheckpointError: the directory holds no model; see ``load``.
        TaskError: the model cannot read prompts of this length, or there are no samples to score.

    >>> from serialformer import construct
    >>> evaluate(construct("parity", 8), num_samples=100).score.accuracies["generated_chain_accuracy"]
    1.0
    """
    model = find_model(model, task=task, trust_code=trust_code)
    items = model.items
    length = items.length if length is None else length
    if num_samples < 1:
        raise TaskError(f"expected at least one sample, found {num_samples}", where="samples")
    started = time.perf_counter()
    num_tokens = num_positions(items.task, items.setting, length)

    def choose(examples: Examples) -> Backend:
        chosen = _choose_engine(model, examples, length, engine)
        return Backend(predict=_predict(model), engine=chosen, num_rows=_rows_at_once(model, chosen, num_tokens))

    teacher_forced, generated, backend = score_samples(
        model,
        np.random.default_rng([seed, length]),
        choose,
        length=length,
        num_samples=num_samples,
        num_generated=num_samples,
        per_draw=max(1, min(SAMPLES_PER_BLOCK, MAX_TOKENS // (4 * num_tokens))),
        progress=progress,
    )
    score = teacher_forced + replace(generated, samples=0)
    return Evaluation(length=length, score=score, engine=backend.engine.name, seconds=time.perf_counter() - started)


@dataclass(frozen=True, kw_only=True)
class Backend:
    """What computes: numpy on a transformer, or torch on a module.

    Attributes:
        predict: the tokens predicted at the labelled positions of a layout.
        engine: generates.
        num_rows: how many samples fit in memory together; None if all that are drawn together do.
    """

    predict: Callable[[Layout], Int64[np.ndarray, "rows tokens"]]
    engine: Engine
    num_rows: int | None = None


def score_samples(
    model: Model,
    random: np.random.Generator,
    choose: Callable[[Examples], Backend],
    *,
    length: int,
    num_samples: int,
    num_generated: int,
    per_draw: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[Score, Score, Backend]:
    """The one loop in which models are scored, while they train and afterwards.

    Args:
        model: what the tokens mean.
        random: draws the samples.
        choose: what computes, given the first samples.
        length: the number of items.
        num_samples: samples that are teacher-forced, at least one.
        num_generated: samples that are generated, the first of those.
        per_draw: samples drawn together; part of what the generator's state means.
        progress: called with the number of samples done.

    Returns:
        The score of the teacher-forced samples, that of the generated ones, and what computed.
    """
    ids = model.token_ids(length)
    teacher_forced, generated, backend = Score(), Score(), None
    for start in range(0, num_samples, per_draw):
        examples = model.task.sample(random, length, min(per_draw, num_samples - start)).renumber(ids)
        if backend is None:
            backend = choose(examples)
        everything = [np.arange(len(examples))]
        for rows in everything if backend.num_rows is None else examples.blocks(backend.num_rows):
            layout = lay_out(model.task, examples.select(rows), model.setting, length)
            teacher_forced += score_teacher_forced(layout, backend.predict(layout))
            if progress is not None:
                progress(len(rows))
        first = examples.select(np.arange(min(len(examples), max(0, num_generated - start))))
        for rows in first.blocks(backend.num_rows or max(1, len(first))):
            block = first.select(rows)
            generated += Score(samples=len(rows)) + score_generation(model, block, length, backend.engine)
    assert backend is not None
    return teacher_forced, generated, backend


def _predict(model: Model) -> Callable[[Layout], Int64[np.ndarray, "rows tokens"]]:
    """By the reference forward pass."""

    def predict(layout: Layout) -> Int64[np.ndarray, "rows tokens"]:
        tokens = model.items.place(layout.tokens)
        return model.items.read(compute_logits(model.transformer, tokens, dtype=np.float32).argmax(axis=-1), 1)

    return predict


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
    if isinstance(engine, AutoEngine):
        engine = engine.indexed
        model.generate(examples.select(np.zeros(1, dtype=np.int64)), length, engine)
        if getattr(engine, "refusal", ""):
            return model.engine("dense")
    return engine


def _rows_at_once(model: Model, engine: Engine, num_tokens: int) -> int:
    """How many samples fit in memory together, read and generated."""
    architecture = model.transformer.architecture
    per_token = (
        len(architecture.vocabulary)
        + 8 * architecture.width
        + 2 * architecture.hidden_width
        + 3 * architecture.num_heads * min(num_tokens, QUERIES_PER_BLOCK)
    )
    return max(1, min(engine.rows_at_once(num_tokens), TEACHING_BYTES // (4 * num_tokens * per_token)))
