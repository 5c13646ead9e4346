"""A user's own task, ``FILE.py:Class``: imported, checked against its own vocabulary, and compared with a record."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.errors import SerialformerError, TaskError
from serialformer.files import read_file, write_file
from serialformer.python_file import file_of, line_of, load_python, split_reference
from serialformer.tasks.examples import NO_LABEL, Examples
from serialformer.tasks.task import EQUALS, Task

SOURCE_FILE = "task_source.txt"
"""In a checkpoint directory: the text of the file that defined the task. For the record; it is not run from there."""

NUM_CHECKED = 8
"""Samples that are drawn to see whether a task keeps to its own vocabulary."""


def load_task_class(reference: str, name: str | None = None) -> type[Task]:
    """The class that a reference names. Runs the file, as importing it does.

    Args:
        reference: ``FILE.py:Class``.
        name: what the task is called; the file's name and the class unless given.

    Raises:
        TaskError: there is no such file or class, or the class is not a complete Task; says all that is wrong.
    """
    parts = split_reference(reference)
    assert parts is not None
    path, class_name = parts
    file = load_python(path, TaskError)
    known = [
        key
        for key, value in vars(file.module).items()
        if isinstance(value, type) and issubclass(value, Task) and value.__module__ == file.module.__name__
    ]
    hint = f"it has {', '.join(known)}" if known else "it has no subclass of serialformer.tasks.task.Task"
    if not class_name:
        raise TaskError("no class named", where=path, hint=f"write {path}:{known[0] if known else 'Class'}; {hint}")
    kind = vars(file.module).get(class_name)
    if kind is None:
        raise TaskError(f"no class {class_name!r}", where=path, hint=hint)
    where = f"{path}:{class_name}"
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise TaskError("is not a subclass of serialformer.tasks.task.Task", where=where, hint=hint)
    problems = list(_class_problems(kind))
    if problems:
        raise TaskError("; ".join(problems), where=where)
    kind.name = name or f"{Path(path).name}:{class_name}"
    return kind


def _class_problems(kind: type[Task]) -> Iterator[str]:
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        yield f"does not define {', '.join(missing)}"
    if not is_dataclass(kind) or "__dataclass_params__" not in vars(kind) or not _is_frozen(kind):
        yield "is not a frozen dataclass: write @dataclass(frozen=True, kw_only=True) above the class"
    for name, expected in (("version", int), ("items", str), ("prompt_form", str)):
        if not isinstance(getattr(kind, name, None), expected):
            yield f"has no {name} ({'a whole number' if expected is int else 'a text'})"


def _is_frozen(kind: type[Any]) -> bool:
    return bool(kind.__dataclass_params__.frozen)


def check_task(task: Task) -> Task:
    """The task, if a few samples of it are what a task promises.

    Raises:
        TaskError: they are not; says all that is wrong.
    """
    file = file_of(type(task))
    where = task.name if file is None else f"{file.path}:{type(task).__name__}"
    problems: list[str] = []
    length = max(task.min_length, task.example_length)
    vocabulary = _guard(problems, file, "vocabulary", lambda: task.vocabulary(length))
    if vocabulary is not None:
        problems += _vocabulary_problems(vocabulary)
    if vocabulary is not None and not problems:
        drawn = _guard(problems, file, "sample", lambda: task.sample(np.random.default_rng(0), length, NUM_CHECKED))
        again = _guard(problems, file, "sample", lambda: task.sample(np.random.default_rng(0), length, NUM_CHECKED))
        if drawn is not None and again is not None:
            found = list(_sample_problems(task, drawn, again, len(vocabulary), length))
            problems += (
                found
                or _guard(problems, file, "steps_follow", lambda: list(_answer_problems(task, drawn, length)))
                or []
            )
    if problems:
        raise TaskError("; ".join(dict.fromkeys(problems)), where=where)
    return task


def _guard(problems: list[str], file: Any, what: str, call: Callable[[], Any]) -> Any:
    """What a call of the user's code returns; None, and a problem more, if it raises an error."""
    try:
        return call()
    except Exception as error:  # whatever the user's code raises is its user's to know
        line = None if file is None else line_of(error, file.path)
        at = "" if line is None else f" at line {line}"
        text = error.message if isinstance(error, SerialformerError) else f"{type(error).__name__}: {error}"
        problems.append(f"{what} fails{at}: {text}")
        return None


def _vocabulary_problems(vocabulary: Any) -> Iterator[str]:
    texts = list(vocabulary)
    if not all(isinstance(text, str) and text and not any(map(str.isspace, text)) for text in texts):
        wrong = next(text for text in texts if not isinstance(text, str) or not text or any(map(str.isspace, text)))
        yield f"vocabulary: {wrong!r} is not a text without blanks"
    repeated = sorted({str(text) for text in texts if texts.count(text) > 1})
    if repeated:
        yield f"vocabulary: {', '.join(repeated)} more than once"
    if EQUALS not in texts:
        yield f"vocabulary: {EQUALS!r} is missing"


def _sample_problems(task: Task, drawn: Examples, again: Examples, num_tokens: int, length: int) -> Iterator[str]:
    for name in ("prompts", "chains"):
        found, most = getattr(drawn, name), (task.prompt_width if name == "prompts" else task.chain_width)(length)
        if not np.array_equal(found, getattr(again, name)):
            yield f"{name} differ although the random generator is the same"
        if found.shape != (NUM_CHECKED, most):
            yield f"{name} are an array of {list(found.shape)}, not {[NUM_CHECKED, most]}"
        outside = found[(found < 0) | (found >= num_tokens)]
        if outside.size:
            yield f"{name} hold a token that the vocabulary does not have (id {outside[0]})"
    labels = drawn.hints[drawn.hints != NO_LABEL]
    if ((labels < 0) | (labels >= num_tokens)).any():
        yield "hints hold a token that the vocabulary does not have"
    for row, (chain, size) in enumerate(zip(drawn.chains, drawn.chain_lengths.tolist(), strict=True)):
        if (chain[:size] == drawn.end_token).any():
            yield f"the chain of sample {row} contains {EQUALS!r}, which ends generation"
            break
    sizes = {int(size) - 1 for size in drawn.prompt_lengths}
    unknown = sorted(size for size in sizes if task.num_items(size) is None)
    if unknown:
        yield f"num_items({unknown[0]}) is None, but there are prompts of {unknown[0]} tokens"


def _answer_problems(task: Task, drawn: Examples, length: int) -> Iterator[str]:
    follow = task.chains_are_right(drawn.prompts, _padded(drawn, task.chain_width(length)), length)
    if not follow.all():
        yield f"steps_follow refuses the chain of sample {int(np.argmin(follow))}"
    right = task.answers_are_right(drawn.prompts, drawn.answers, length)
    if not right.all():
        yield f"the answer of sample {int(np.argmin(right))} is not the one that its chain ends with"


def _padded(drawn: Examples, width: int) -> np.ndarray:
    missing = width - drawn.chains.shape[1]
    return np.pad(drawn.chains, ((0, 0), (0, missing)), constant_values=drawn.end_token)


def source_of(task: Task) -> str | None:
    """The text of the file that defines a task; None for the tasks of this package."""
    file = file_of(type(task))
    return None if file is None else file.source


def record_source(task: Task, directory: Path) -> None:
    """Writes the source of a user's task into a checkpoint directory, for the record."""
    source = source_of(task)
    if source is not None:
        write_file(directory / SOURCE_FILE, source.encode())


def check_record(task: Task, directory: Path) -> None:
    """Refuses a user's task that is not the one that a checkpoint was made with; comments and layout may differ.

    Raises:
        TaskError: the sources differ, or the checkpoint has none.
    """
    source = source_of(task)
    if source is None:
        return
    file = file_of(type(task))
    assert file is not None
    recorded = _read_record(directory)
    if not _same_program(source, recorded):
        raise TaskError(
            f"is not the file that the model was made with: {directory / SOURCE_FILE} differs",
            where=str(file.path),
            hint="name the file as it was; --trust-code runs the recorded source instead",
        )


def recorded_reference(name: str, directory: Path, reference: str | None, *, trust_code: bool) -> tuple[str, str]:
    """Which class to load for a checkpoint whose task is a user's.

    Args:
        name: of the task, as the checkpoint has it: ``FILE.py:Class``.
        directory: of the checkpoint.
        reference: what the user names.
        trust_code: whether the source in the checkpoint may be run.

    Returns:
        A reference, and the name of the task.

    Raises:
        TaskError: neither was given, or both.
    """
    if reference is not None and trust_code:
        raise TaskError("expected --task or --trust-code, found both", where=str(directory))
    parts = split_reference(name)
    assert parts is not None
    if trust_code:
        _read_record(directory)
        return f"{directory / SOURCE_FILE}:{parts[1]}", name
    if reference is None:
        raise TaskError(
            f"is a model of the task {name}, which is not part of serialformer",
            where=str(directory),
            hint=f"--task {name} names the file again; --trust-code runs the recorded source, {SOURCE_FILE}",
        )
    named = split_reference(reference)
    if named is None or named[1] != parts[1]:
        raise TaskError(f"is a model of {name}, not of {reference}", where=str(directory))
    return reference, name


def _read_record(directory: Path) -> str:
    path = directory / SOURCE_FILE
    if not path.is_file():
        raise TaskError("the source of its task is missing", where=str(path), hint="is the directory complete?")
    return read_file(path).decode(errors="replace")


def _same_program(one: str, other: str) -> bool:
    """Whether two texts are the same program, whatever their comments and blanks."""
    if one == other:
        return True
    try:
        return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    except SyntaxError:
        return False
