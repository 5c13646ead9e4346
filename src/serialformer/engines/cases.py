"""Cases: prompts for an engine, the tokens it must answer, and the earlier tokens that determine each of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serialformer.errors import FormatError
from serialformer.files import read_file, write_file

VERSION = 1

NUM_KEPT_LINES = 3
"""How many problems of a file one error names."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One prompt with the one right continuation, and what the case is for.

    Attributes:
        id: unique in its file.
        family: what sort of mistake it looks for, in a word or two; see ``engines.families``.
        purpose: what it is for, in a sentence.
        call: cases of one number go to the engine together, as one batch; calls go in the order of their numbers to
            one engine that keeps running.
        prompt: token ids.
        text: the prompt as text, which the model's tokenizer turns into these ids; None where no text does.
        num_tokens: how many tokens to ask for.
        expected: the ids that must come. Fewer than ``num_tokens`` means that the end token must come after them.
        gates: for each expected token the name of the gate whose value it is.
        reads: for each expected token the positions of the tokens that decide it, counted from the prompt's first.
        draft: the directory of a draft model for speculative decoding, beside that of the model; None for none.

    >>> case = Case(
    ...     id="a", family="whole chain", purpose="All of it.", call=0, prompt=(0, 1, 2), text="01", num_tokens=1,
    ...     expected=(1,), gates=("g0",), reads=((0, 1),),
    ... )
    >>> Case.from_json(case.to_json()) == case
    True
    """

    id: str
    family: str
    purpose: str
    call: int
    prompt: tuple[int, ...]
    text: str | None
    num_tokens: int
    expected: tuple[int, ...]
    gates: tuple[str, ...]
    reads: tuple[tuple[int, ...], ...]
    draft: str | None = None

    @property
    def ends(self) -> bool:
        """Whether the model ends its answer before ``num_tokens``."""
        return len(self.expected) < self.num_tokens

    def to_json(self) -> dict[str, Any]:
        """One line of the file, as an object."""
        content = {
            "version": VERSION,
            "id": self.id,
            "family": self.family,
            "purpose": self.purpose,
            "call": self.call,
            "prompt": list(self.prompt),
            "text": self.text,
            "num_tokens": self.num_tokens,
            "expected": list(self.expected),
            "gates": list(self.gates),
            "reads": [list(positions) for positions in self.reads],
        }
        return content if self.draft is None else {**content, "draft": self.draft}

    @classmethod
    def from_json(cls, content: Any) -> Case:
        """The inverse of ``to_json``; unknown keys are passed over.

        Raises:
            FormatError: a key is missing or wrong, or the version is another one.
        """
        try:
            if content["version"] != VERSION:
                raise FormatError(f"expected version {VERSION}, found {content['version']!r}")
            draft = content.get("draft")
            case = cls(
                id=_text(content["id"]),
                family=_text(content["family"]),
                purpose=_text(content["purpose"]),
                call=_number(content["call"]),
                prompt=_numbers(content["prompt"]),
                text=None if content["text"] is None else _text(content["text"]),
                num_tokens=_number(content["num_tokens"]),
                expected=_numbers(content["expected"]),
                gates=tuple(_text(name) for name in content["gates"]),
                reads=tuple(_numbers(positions) for positions in content["reads"]),
                draft=None if draft is None else _text(draft),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"a key is missing or wrong: {error}") from None
        counts = {len(case.expected), len(case.gates), len(case.reads)}
        if len(counts) > 1 or not case.prompt or len(case.expected) > case.num_tokens:
            raise FormatError(
                f"expected a prompt and as many gates and reads as expected tokens, at most {case.num_tokens} of them;"
                f" found {len(case.prompt)}, {len(case.gates)}, {len(case.reads)} and {len(case.expected)}"
            )
        return case


def write_cases(cases: Iterable[Case], path: Path) -> None:
    """Writes a line for each case.

    Raises:
        SerialformerError: the file cannot be written.
    """
    lines = (json.dumps(case.to_json(), separators=(",", ":")) for case in cases)
    write_file(path, "".join(f"{line}\n" for line in lines).encode())


def read_cases(path: Path) -> tuple[Case, ...]:
    """Reads what ``write_cases`` wrote.

    Raises:
        FormatError: a line is no case, or two have one id; says which lines.
        SerialformerError: the file cannot be read.
    """
    cases: list[Case] = []
    problems: list[str] = []
    ids: set[str] = set()
    for number, line in enumerate(read_file(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            case = Case.from_json(json.loads(line))
            if case.id in ids:
                raise FormatError(f"the id {case.id!r} stands there twice")
            ids.add(case.id)
            cases.append(case)
        except (FormatError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            problems.append(f"line {number}: {error}")
    if problems:
        more = f"; and {len(problems) - NUM_KEPT_LINES} more lines" if len(problems) > NUM_KEPT_LINES else ""
        raise FormatError("; ".join(problems[:NUM_KEPT_LINES]) + more, where=str(path), hint="make the file again")
    return tuple(cases)


def group_calls(cases: Sequence[Case]) -> list[list[Case]]:
    """The cases of each call, calls in order."""
    calls: dict[int, list[Case]] = {}
    for case in cases:
        calls.setdefault(case.call, []).append(case)
    return [calls[number] for number in sorted(calls)]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {value!r}")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"expected a number, found {value!r}")
    return value


def _numbers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list):
        raise TypeError(f"expected a list of numbers, found {values!r}")
    return tuple(_number(value) for value in values)
