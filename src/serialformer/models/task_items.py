"""The items of a task: a prompt is a problem of the task, and the model writes its chain and its answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Int64
from serialformer.constructions.placed_tokens import PlacedTokens
from serialformer.decode.engine import Engine, Progress
from serialformer.errors import InputError, TaskError
from serialformer.models.protocol import Protocol, Run
from serialformer.models.transcript import Transcript
from serialformer.python_file import split_reference
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.examples import Examples
from serialformer.tasks.iterated_squaring import IteratedSquaring
from serialformer.tasks.layout import check_setting, num_new_tokens, num_positions
from serialformer.tasks.registry import find_reference, make_task, make_user_task
from serialformer.tasks.task import EQUALS, ParameterValue, Task
from serialformer.tasks.text import read_prompt
from serialformer.tasks.user_task import check_record, record_source, recorded_reference

STRANGE = "the token of another position"


@dataclass(frozen=True, kw_only=True)
class TaskItems(Protocol):
    """The protocol of a model of one task at one length, constructed or trained.

    A model of a task of your own weights: build a ``Transformer`` whose architecture has the task's vocabulary for that
    length, in any order, with other tokens beside it if need be (``<unk>``); ``=`` as its end token; and at least
    ``num_positions(task, setting, length)`` positions (``tasks.layout``). Then
    ``Model(transformer=..., protocol=TaskItems(task=..., length=...)).save(directory)`` writes a checkpoint that
    Hugging Face's GPT-2 loads and that ``serialformer evaluate`` scores.

    Attributes:
        task: the problem, with its parameters.
        length: the number of items it is made for; it may be asked about fewer, and about more if its positions and
            tokens suffice.
        setting: what it reads and predicts; see ``tasks.layout``.
        placed: the model's tokens, if each says at which position it stands; then only prompts of ``length`` items have
            some, and shorter ones of squarings and circuits. Prompts and chains are still given in the task's tokens.

    Raises:
        TaskError: the task has no such length, or there is no such setting.
    """

    kind = "task"
    what = "a model of a task"
    usage = "give a prompt as text: model.run('0 1 1'), or serialformer run DIR --prompt TEXT; evaluate scores it"

    task: Task
    length: int
    setting: str = "cot"
    placed: PlacedTokens | None = None

    def __post_init__(self) -> None:
        self.task.check_size(self.length, 1)
        check_setting(self.setting)

    @property
    def num_new_tokens(self) -> int:
        return num_new_tokens(self.task, self.setting, self.length)

    def check(self, architecture: Architecture) -> None:
        problems = []
        if self.placed is not None:
            self._check_placed(architecture, self.placed)
            return
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

    def _check_placed(self, architecture: Architecture, placed: PlacedTokens) -> None:
        needed = num_positions(self.task, self.setting, self.length)
        if architecture.vocabulary != placed.vocabulary or architecture.num_positions < needed:
            raise TaskError(
                "its tokens or its positions are not those of the task",
                where=f"{self.task.name} of length {self.length}",
                hint="construct it again",
            )

    def place(self, tokens: Int64[np.ndarray, "rows tokens"]) -> Int64[np.ndarray, "rows tokens"]:
        """The model's tokens for the task's, from the first position on."""
        return tokens if self.placed is None else self.placed.place(tokens)

    def read(self, tokens: Int64[np.ndarray, "rows tokens"], first: int) -> Int64[np.ndarray, "rows tokens"]:
        """The task's tokens for the model's, from position ``first`` on; STRANGE for one of another position."""
        return tokens if self.placed is None else self.placed.read(tokens, first)

    def tokens_at(self, position: int) -> tuple[str, ...]:
        """The task's vocabulary at this length, at every position: prompts and chains have no fixed layout in general.

        >>> TaskItems(task=make_task("parity"), length=4).tokens_at(0)
        ('0', '1', '=')
        """
        self.check_position(position, num_positions(self.task, self.setting, self.length))
        return self.task.vocabulary(self.length)

    def token_ids(self, architecture: Architecture, length: int) -> Int64[np.ndarray, " vocabulary"]:
        """For each token id of the task at a length, the id that a model of this architecture gives the same text.

        Raises:
            TaskError: the task has no such length, or the model too few positions for it, or it lacks a token.
        """
        self.task.check_size(length, 1)
        if self.placed is not None:
            is_shorter = isinstance(self.task, IteratedSquaring | CircuitValue) and length < self.length
            if length != self.length and not is_shorter:
                raise TaskError(
                    f"the model is made for prompts of {self.length} items, and each of its tokens says where it"
                    " stands",
                    where=f"{self.task.name} of length {length}",
                    hint=f"ask for length {self.length}",
                )
            own = self.task.vocabulary(self.length)
            return np.array([own.index(text) for text in self.task.vocabulary(length)], dtype=np.int64)
        where = f"{self.task.name} of length {length}"
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
        """Greedy continuations of prompts of one size: the chain for cot and aligned, the answer otherwise.

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
        made = self.read(engine.generate(self.place(prompts), count, progress), prompts.shape[1])
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

    def run(self, run: Run, question: tuple[Any, ...], named: dict[str, int]) -> Transcript:
        if named or len(question) != 1 or not isinstance(question[0], str):
            raise self.refuse_question(run.where)
        if run.max_tokens is not None:
            raise InputError("a model of a task makes its whole chain", where="max_tokens", hint="leave it out")
        prompt, length = read_prompt(self.task, question[0])
        examples = self.task.solve(prompt[None], length)
        texts, vocabulary = self.task.vocabulary(length), run.architecture.vocabulary
        if self.placed is not None:
            vocabulary = (*self.task.vocabulary(self.length), STRANGE)
        own = examples.renumber(self.token_ids(run.architecture, length))
        started = time.perf_counter()
        made = self.generate(own, length, run.engine, run.progress)
        seconds = time.perf_counter() - started
        answer = own.answers_in(made)[0] if self.setting in ("cot", "aligned") else made[0]
        return Transcript(
            vocabulary=vocabulary,
            prompt=own.prompts[0],
            chain=made[0],
            outputs={},
            answer=tuple(vocabulary[token] for token in answer),
            expected=tuple(texts[token] for token in examples.answers[0]),
            engine=run.engine.name,
            seconds=seconds,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "task": self.task.name,
            "version": self.task.version,
            "parameters": dict(self.task.parameters),
            "length": self.length,
            "setting": self.setting,
            "num_new_tokens": self.num_new_tokens,
            **({} if self.placed is None else {"tokens": "placed"}),
        }

    def write_files(self, directory: Path) -> None:
        """Of a user's task, the text of the file that defines it, for the record."""
        record_source(self.task, directory)

    @classmethod
    def from_json(
        cls, content: dict[str, Any], directory: Path, *, task: str | Task | None = None, trust_code: bool = False
    ) -> TaskItems:
        """The inverse of ``to_json``.

        Args:
            content: what ``to_json`` gave.
            directory: of the checkpoint, which has the record of a user's task.
            task: of a model of a user's task, the file and class again, ``FILE.py:Class``, or the task itself.
            trust_code: whether the recorded source may be run instead.

        Raises:
            TaskError: there is no such task, parameter, length or setting, or the task is at another version now; or it
                is a user's, and is not named, or is not what it was.
            KeyError, TypeError, ValueError: a field is missing or wrong.
        """
        name, parameters, version = str(content["task"]), dict(content["parameters"]), int(content["version"])
        length, setting = int(content["length"]), str(content["setting"])
        made = _find_task(name, parameters, directory, task, trust_code=trust_code)
        if made.version != version:
            raise TaskError(
                f"the model is of version {version} of {made.name}, which is at version {made.version} now",
                hint="make the model again, or use the release that made it",
            )
        if content.get("tokens", "plain") not in ("plain", "placed"):
            raise ValueError(f"expected the tokens 'plain' or 'placed', found {content['tokens']!r}")
        placed = _place(made, length, setting) if content.get("tokens") == "placed" else None
        return cls(task=made, length=length, setting=setting, placed=placed)

    def info(self) -> dict[str, Any]:
        return {
            "task": self.task.name,
            "task_parameters": " ".join(f"{name}={value}" for name, value in self.task.parameters.items()),
            "length": self.length,
            "setting": self.setting,
        }

    def facts(self) -> dict[str, str]:
        parameters = "".join(f" {name}={value}" for name, value in self.task.parameters.items())
        return {"task": f"{self.task.name}{parameters}", "length": f"{self.length:,}", "setting": self.setting}


def _place(task: Task, length: int, setting: str) -> PlacedTokens:
    """The tokens of a model whose tokens say where they stand."""
    # Imported here, since a circuit's model is loaded without the constructions of any task.
    if setting == "base":
        from serialformer.constructions.placed_depth import place_without_chain
        from serialformer.constructions.task_depth import task_depth_construction

        return place_without_chain(task_depth_construction(task, length, ends=True))[1]
    from serialformer.constructions.placed_tasks import place_task
    from serialformer.constructions.tasks import task_construction

    return place_task(task_construction(task, length))[1]


def _find_task(
    name: str,
    parameters: dict[str, ParameterValue],
    directory: Path,
    given: str | Task | None,
    *,
    trust_code: bool,
) -> Task:
    """The task of a checkpoint; a user's is imported only if the user names it or trusts the recorded source."""
    reference = find_reference(given) if isinstance(given, Task) else given
    if split_reference(name) is not None:
        chosen, name = recorded_reference(name, directory, reference, trust_code=trust_code)
        task = make_user_task(chosen, parameters, name=name)
        if not trust_code:
            check_record(task, directory)
    else:
        if reference is not None and make_task(reference).name != name:
            raise TaskError(f"is a model of {name}, not of {reference}", where=str(directory))
        task = make_task(name, parameters)
    if isinstance(given, Task) and given.parameters != task.parameters:
        raise TaskError(f"is a model of {task!r}, not of {given!r}", where=str(directory))
    return task
