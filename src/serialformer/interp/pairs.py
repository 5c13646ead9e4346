"""Pairs of a prompt and a counterfactual one, and which edges carry what makes their answers differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from serialformer.arrays import Int64
from serialformer.circuits.word_columns import bits_to_columns
from serialformer.circuits.words import words_to_names
from serialformer.interp.patch import Patch, Run, run_patched
from serialformer.interp.predict import UNKNOWN, Prediction, predict
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.ground_truth import GroundTruth
from serialformer.models.model import Model
from serialformer.models.task_items import TaskItems
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.task import Task


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Two prompts of one length, with what the model does on each.

    Attributes:
        clean: the truth about the prompt.
        other: the truth about the counterfactual one.
        change: what was changed, for people.
    """

    clean: GroundTruth
    other: GroundTruth
    change: str

    @cached_property
    def other_run(self) -> Run:
        return run_patched(self.other.model.transformer, self.other.followed.tokens)

    @cached_property
    def clean_prediction(self) -> Prediction:
        return predict(self.clean.followed.construction, self.clean.heads, self.clean.followed.tokens)

    @cached_property
    def other_prediction(self) -> Prediction:
        return predict(self.other.followed.construction, self.other.heads, self.other.followed.tokens)

    @cached_property
    def written(self) -> Int64[np.ndarray, " tokens"]:
        """What the model writes on the prompt, position by position."""
        return run_patched(self.clean.model.transformer, self.clean.followed.tokens).tokens[self._first :]

    @property
    def _first(self) -> int:
        return self.clean.followed.first_writer

    def predicted(self, patch: Patch) -> Int64[np.ndarray, " tokens"]:
        """The tokens that follow if an edge carries its value from the other prompt; UNKNOWN if undetermined."""
        followed = self.clean.followed
        heads, other, plain = self.clean.heads, self.other_prediction, self.clean_prediction
        found = predict(followed.construction, heads, followed.tokens, other, [patch], plain)
        return found.tokens[self._first :]

    def measured(self, patch: Patch) -> Int64[np.ndarray, " tokens"]:
        """What is written, by the weights."""
        tokens = self.clean.followed.tokens
        return run_patched(self.clean.model.transformer, tokens, self.other_run, [patch]).tokens[self._first :]

    def matters(self, patch: Patch) -> bool:
        """Whether an edge changes what is written: by the construction, and by the weights where that is silent."""
        found = self.predicted(patch)
        known = found != UNKNOWN
        if (found != self.written)[known].any():
            return True
        return not known.all() and bool((self.measured(patch) != self.written).any())

    def to_json(self) -> dict[str, Any]:
        """A line of ``pairs.jsonl``."""
        clean, other = self.clean.transcript, self.other.transcript
        return {
            "clean": clean.text,
            "other": other.text,
            "clean_ids": self.clean.followed.tokens.tolist(),
            "other_ids": self.other.followed.tokens.tolist(),
            "first_written": self._first + 1,
            "clean_written": list(clean.made),
            "other_written": list(other.made),
            "change": self.change,
        }


def draw_pairs(model: Model, count: int, random: np.random.Generator) -> list[Pair]:
    """Pairs of prompts: for a circuit, one input bit flipped; for a task, another prompt of the same length."""
    questions = _bit_questions if isinstance(model.protocol, CircuitWords) else _task_questions
    pairs = []
    for clean, other, change in questions(model, count, random):
        truths = [model.ground_truth(model.run(question)) for question in (clean, other)]
        pairs.append(Pair(clean=truths[0], other=truths[1], change=change))
    return pairs


def _bit_questions(model: Model, count: int, random: np.random.Generator) -> Iterator[tuple[Any, Any, str]]:
    words = model.words
    names = words_to_names(words.inputs, words.num_inputs)
    for _ in range(count):
        bits = random.integers(0, 2, (1, words.num_inputs), dtype=np.uint8)
        place = int(random.integers(words.num_inputs))
        other = bits.copy()
        other[0, place] ^= 1
        yield _values(model, bits), _values(model, other), f"{names[place]} flipped"


def _values(model: Model, bits: np.ndarray) -> dict[str, int]:
    columns: Sequence[Sequence[int]] = bits_to_columns(model.inputs, bits)
    return {word.name: int(column[0]) for word, column in zip(model.inputs, columns, strict=True)}


def _task_questions(model: Model, count: int, random: np.random.Generator) -> Iterator[tuple[str, str, str]]:
    protocol = model.protocol
    task: Task = protocol.task if isinstance(protocol, TaskItems) else CircuitValue()
    length = protocol.length if isinstance(protocol, TaskItems) else model.num_gates
    vocabulary = task.vocabulary(length)
    prompts = task.sample(random, length, 2 * count).prompts
    for clean, other in zip(prompts[::2], prompts[1::2], strict=True):
        texts = [" ".join(vocabulary[token] for token in prompt) for prompt in (clean, other)]
        yield texts[0], texts[1], "another prompt of the same length"
