"""TaskModel: a transformer together with the task that it was compiled or trained for."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from serialformer.decode.engine import Engine, Progress, make_engine
from serialformer.errors import CheckpointError, SerialformerError, TaskError
from serialformer.evaluator_model import load_evaluator
from serialformer.files import new_directory
from serialformer.manifest import (
    EVALUATOR_KIND,
    MANIFEST_FILE,
    TaskManifest,
    load_kind,
    load_task_manifest,
    save_task_manifest,
)
from serialformer.python_file import split_reference
from serialformer.tasks.examples import Examples
from serialformer.tasks.layout import check_setting, num_new_tokens, num_positions
from serialformer.tasks.registry import make_task, make_user_task
from serialformer.tasks.task import EQUALS, Task
from serialformer.tasks.text import read_prompt
from serialformer.tasks.user_task import check_record, record_source, recorded_reference
from serialformer.transformer.checkpoint import load_transformer, save_transformer
from serialformer.transformer.transformer import Transformer


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskTranscript:
    """One run of a model of a task.

    Attributes:
        prompt: the text of each token of the prompt, ``=`` included.
        made: the text of each token that the model made.
        answer: those of its tokens that stand where the answer does.
        expected: the true answer.
        engine: the engine that decoded.
        seconds: how long decoding took.
    """

    prompt: tuple[str, ...]
    made: tuple[str, ...]
    answer: tuple[str, ...]
    expected: tuple[str, ...]
    engine: str
    seconds: float

    @property
    def text(self) -> str:
        """Prompt and what the model made, tokens separated by blanks."""
        return " ".join((*self.prompt, *self.made))


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskModel:
    """A model of one task at one length, compiled or trained: nothing here asks which.

    To make one: build a ``Transformer`` whose architecture has the task's vocabulary for that length, in any order,
    with other tokens beside it if need be (``<unk>``); ``=`` as its end token; and at least
    ``num_positions(task, setting, length)`` positions (``tasks.layout``). Then ``TaskModel(transformer=..., task=...,
    length=...).save(directory)`` writes a checkpoint that Hugging Face's GPT-2 loads and that ``serialformer evaluate``
    scores.

    Attributes:
        transformer: the weights.
        task: the problem, with its parameters.
        length: the number of items it is made for; it may be asked about fewer, and about more if its positions and
            tokens suffice.
        setting: how it was taught, hence what it reads and says; see ``tasks.layout``.
        details: where it comes from, for people and for ``info``; must be JSON.
        directory: where the model lies, if it does.

    Raises:
        TaskError: the vocabulary, the end token or the positions do not do for the task; says all that is wrong.
    """

    transformer: Transformer
    task: Task
    length: int
    setting: str = "cot"
    details: Mapping[str, Any] = field(default_factory=dict)
    directory: Path | None = None

    def __post_init__(self) -> None:
        architecture = self.transformer.architecture
        self.task.check_size(self.length, 1)
        check_setting(self.setting)
        problems = []
        missing = set(self.task.vocabulary(self.length)) - set(architecture.vocabulary)
        if missing:
            problems.append(f"no token {', '.join(sorted(missing)[:8])}")
        if architecture.vocabulary[architecture.end_token] != EQUALS:
            problems.append(f"the end token is {architecture.vocabulary[architecture.end_token]!r}, not {EQUALS!r}")
        needed = num_positions(self.task, self.setting, self.length)
        if needed > architecture.num_positions:
            problems.append(f"{needed} tokens do not fit {architecture.num_positions} positions")
        if problems:
            raise TaskError("; ".join(problems), where=f"{self.task.name} of length {self.length}")

    @property
    def num_new_tokens(self) -> int:
        """How many tokens it generates behind a prompt of its length."""
        return num_new_tokens(self.task, self.setting, self.length)

    @property
    def manifest(self) -> TaskManifest:
        """What ``serialformer.json`` says of it."""
        return TaskManifest(
            task=self.task.name,
            version=self.task.version,
            parameters=dict(self.task.parameters),
            length=self.length,
            setting=self.setting,
            num_new_tokens=self.num_new_tokens,
            details=dict(self.details),
        )

    def engine(self, name: str = "auto") -> Engine:
        """A decoding engine for this model; see ``ENGINE_NAMES``."""
        return make_engine(name, self.transformer, self.directory)

    def token_ids(self, length: int) -> Int64[np.ndarray, " vocabulary"]:
        """For each token id of the task at a length, this model's id of the same text.

        Raises:
            TaskError: the task has no such length, or the model too few positions for it, or it lacks a token.
        """
        self.task.check_size(length, 1)
        where = f"{self.task.name} of length {length}"
        architecture = self.transformer.architecture
        needed = num_positions(self.task, self.setting, length)
        if needed > architecture.num_positions:
            raise TaskError(
                f"takes {needed} positions, the model has {architecture.num_positions}",
                where=where,
                hint=f"the model is made for length {self.length}; ask for no more",
            )
        number = {text: index for index, text in enumerate(architecture.vocabulary)}
        missing = [text for text in self.task.vocabulary(length) if text not in number]
        if missing:
            raise TaskError(
                f"has the token {missing[0]!r}, which the model lacks",
                where=where,
                hint=f"the model is made for length {self.length}; ask for no more",
            )
        return np.array([number[text] for text in self.task.vocabulary(length)], dtype=np.int64)

    def generate(
        self, examples: Examples, length: int, engine: Engine, progress: Progress | None = None
    ) -> Int64[np.ndarray, "rows made"]:
        """What the model makes of prompts of one size, greedily: the chain in cot and aligned, else the answer.

        Args:
            examples: in the model's own ids (``Examples.renumber``), prompts and chains of one size; in aligned the
                chains' sizes are all that is looked at.
            length: the number of items.
            engine: what decodes.
            progress: called with the number of tokens made.

        Returns:
            As many tokens as there should be; what the model left out by ending early is ``=``.
        """
        prompts = examples.prompts
        count = examples.chains.shape[1] if self.setting == "cot" else examples.num_answer_tokens
        if self.setting == "aligned":
            return self._generate_aligned(examples, length, engine, progress)
        if self.setting == "filler":
            prompts = np.pad(prompts, ((0, 0), (0, examples.chains.shape[1])), constant_values=examples.end_token)
        made = engine.generate(prompts, count, progress)
        return np.pad(made, ((0, 0), (0, count - made.shape[1])), constant_values=examples.end_token)

    def _generate_aligned(
        self, examples: Examples, length: int, engine: Engine, progress: Progress | None
    ) -> Int64[np.ndarray, "rows made"]:
        """Item by item: the prompt's tokens of an item are given, the chain's tokens of it are made."""
        items = self.task.aligned_items(length)
        if items is None:
            raise TaskError("the chain does not go along with the prompt", where=self.task.name)
        prompt_items = items[0][: examples.prompts.shape[1]]
        chain_items = items[1][: examples.chains.shape[1]]
        sequence = made = np.empty((len(examples), 0), dtype=np.int64)
        given = 0
        for item, count in zip(*np.unique(chain_items, return_counts=True), strict=True):
            stop = int(np.searchsorted(prompt_items, item, side="right"))
            sequence = np.concatenate([sequence, examples.prompts[:, given:stop]], axis=1)
            given = stop
            tokens = engine.generate(sequence, int(count), progress)
            tokens = np.pad(tokens, ((0, 0), (0, count - tokens.shape[1])), constant_values=examples.end_token)
            sequence = np.concatenate([sequence, tokens], axis=1)
            made = np.concatenate([made, tokens], axis=1)
        return made

    def run_text(self, text: str, *, engine: str | Engine = "auto", progress: Progress | None = None) -> TaskTranscript:
        """Thinks about a prompt as one types it; ``=`` at its end may be left out.

        Raises:
            TaskError: it is no prompt of the task, or too long for the model.
        """
        prompt, length = read_prompt(self.task, text)
        examples = self.task.solve(prompt[None], length)
        texts = self.task.vocabulary(length)
        own = examples.renumber(self.token_ids(length))
        chosen = self.engine(engine) if isinstance(engine, str) else engine
        started = time.perf_counter()
        made = self.generate(own, length, chosen, progress)
        seconds = time.perf_counter() - started
        vocabulary = self.transformer.architecture.vocabulary
        answer = own.answers_in(made)[0] if self.setting in ("cot", "aligned") else made[0]
        return TaskTranscript(
            prompt=tuple(texts[token] for token in prompt),
            made=tuple(vocabulary[token] for token in made[0]),
            answer=tuple(vocabulary[token] for token in answer),
            expected=tuple(texts[token] for token in examples.answers[0]),
            engine=chosen.name,
            seconds=seconds,
        )

    def save(self, directory: str | os.PathLike[str]) -> TaskModel:
        """Writes the checkpoint directory, whole or not at all, and returns the model that lies there.

        Raises:
            CheckpointError: the directory exists, or cannot be written.
        """
        target = Path(directory)
        with new_directory(target) as temporary:
            save_transformer(self.transformer, temporary, num_new_tokens=self.num_new_tokens)
            save_task_manifest(self.manifest, temporary)
            record_source(self.task, temporary)
        return replace(self, directory=target)


def load_task_model(
    directory: str | os.PathLike[str], *, task: str | None = None, trust_code: bool = False
) -> TaskModel:
    """Reads a checkpoint directory that ``TaskModel.save`` wrote, or an evaluator, whose task is circuit-value.

    Args:
        directory: of the checkpoint.
        task: of a model of a user's task, the file and class again: ``FILE.py:Class``.
        trust_code: whether the source of a user's task that lies in the checkpoint may be run instead.

    Raises:
        CheckpointError: it is not one, or a part is missing or does not fit the others; or the task is a user's, and is
            not named or is not what it was.
    """
    path = Path(directory)
    if not path.is_dir():
        raise CheckpointError("no such checkpoint directory", where=str(path), hint="check the path")
    if load_kind(path) == EVALUATOR_KIND:
        evaluator = load_evaluator(path)
        return TaskModel(
            transformer=evaluator.transformer,
            task=make_task("circuit-value", {}),
            length=evaluator.num_gates,
            details=evaluator.manifest.details,
            directory=path,
        )
    manifest = load_task_manifest(path)
    transformer = load_transformer(path)
    where = str(path / MANIFEST_FILE)
    try:
        made = _find_task(manifest, path, task, trust_code=trust_code)
        if made.version != manifest.version:
            raise TaskError(
                f"the model is of version {manifest.version} of {made.name}, which is at version {made.version} now",
                hint="make the model again, or use the release that made it",
            )
        return TaskModel(
            transformer=transformer,
            task=made,
            length=manifest.length,
            setting=manifest.setting,
            details=manifest.details,
            directory=path,
        )
    except SerialformerError as error:
        raise CheckpointError(
            error.message if error.where is None else f"{error.where}: {error.message}", where=where, hint=error.hint
        ) from None


def _find_task(manifest: TaskManifest, directory: Path, reference: str | None, *, trust_code: bool) -> Task:
    """The task of a checkpoint; a user's is imported only if the user names it or trusts the recorded source."""
    if split_reference(manifest.task) is not None:
        chosen, name = recorded_reference(manifest.task, directory, reference, trust_code=trust_code)
        task = make_user_task(chosen, manifest.parameters, name=name)
        if not trust_code:
            check_record(task, directory)
        return task
    if reference is not None and make_task(reference).name != manifest.task:
        raise TaskError(f"is a model of {manifest.task}, not of {reference}", where=str(directory))
    return make_task(manifest.task, manifest.parameters)
