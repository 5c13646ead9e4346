"""Sessions with a program of the user's: lines of JSON in, lines of JSON out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from serialformer.engines.adapters.adapter import Options, Refusal
from serialformer.engines.session import Breakdown, Child, Session
from serialformer.errors import InputError

MODEL_PLACE = "{model}"
"""What stands in the command for the directory of the model."""


class CommandSession(Session):
    """A program that reads ``{"id", "prompt", "num_tokens"}`` lines and writes a ``{"id", "tokens"}`` line for each.

    It is started for each model. The lines of one call are written together before any answer is read, so a program may
    answer them in any order.

    Args:
        command: as a shell would take it, though no shell does; ``{model}`` in it becomes the model's directory.
        timeout: how many seconds an answer may take.

    Raises:
        InputError: there is no program in it.
    """

    def __init__(self, command: str, *, timeout: float = 300.0) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise InputError(f"is not a command: {error}", where="--command") from None
        if not self._words:
            raise InputError("names no program", where="--command", hint="--command './engine {model}'")
        self.name = self._words[0]
        self.versions = {}
        self.options = {}
        self._timeout = timeout
        self._child: Child | None = None

    def open(self, directory: Path, options: Options) -> dict[str, str]:
        self.close()
        words = [word.replace(MODEL_PLACE, str(directory)) for word in self._words]
        self._child = Child(words, timeout=self._timeout)
        return {}

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: Path | None) -> list[list[int]]:
        assert self._child is not None
        if draft is not None:
            raise Refusal("a command has no draft models")
        for row, prompt in enumerate(prompts):
            self._child.send(json.dumps({"id": str(row), "prompt": list(prompt), "num_tokens": num_tokens}))
        answers: dict[str, list[int]] = {}
        while len(answers) < len(prompts):
            line = self._child.receive()
            if line.strip():
                name, tokens = _parse(line)
                if name in answers or name not in map(str, range(len(prompts))):
                    raise Breakdown("error", f"answered {name!r}, which was not asked or is answered already")
                answers[name] = tokens
        return [answers[str(row)] for row in range(len(prompts))]

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _parse(line: str) -> tuple[str, list[int]]:
    """The id and the tokens of an answer.

    Raises:
        Breakdown: it is none.
    """
    try:
        content = json.loads(line)
        name, tokens = str(content["id"]), content["tokens"]
    except (ValueError, KeyError, TypeError):
        raise Breakdown("error", f'expected {{"id", "tokens"}}, found {line.strip()[:200]}') from None
    if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
        raise Breakdown("error", f"expected a list of token ids, found {str(tokens)[:200]}")
    return name, tokens
