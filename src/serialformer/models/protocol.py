"""Protocol: how a question becomes the tokens of a prompt, and how an answer is read from the tokens after it."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from serialformer.architecture import Architecture
from serialformer.decode.engine import Engine, Progress
from serialformer.errors import InputError
from serialformer.models.transcript import Transcript


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """How a question is to be run.

    Attributes:
        architecture: of the model that is asked.
        engine: what decodes.
        max_tokens: stop after this many tokens; None for no limit.
        progress: called with the number of tokens made.
        where: the model's directory, for errors.
    """

    architecture: Architecture
    engine: Engine
    max_tokens: int | None = None
    progress: Progress | None = None
    where: str | None = None

    def limit(self, num_tokens: int) -> int:
        """The number of tokens to make, of ``num_tokens`` in all.

        Raises:
            InputError: the limit is negative.
        """
        if self.max_tokens is not None and self.max_tokens < 0:
            raise InputError(f"expected a number of tokens, found {self.max_tokens}", where="max_tokens")
        return num_tokens if self.max_tokens is None else min(self.max_tokens, num_tokens)


class Protocol(ABC):
    """What a model can be asked, in which tokens, and what its tokens mean. One file for each kind.

    Attributes:
        kind: its name in ``serialformer.json``.
        what: what a model with this protocol is, in words, for errors.
        usage: how to ask such a model, for errors.
        subject: what a certificate of such a model is about, in one word.
    """

    kind: ClassVar[str]
    what: ClassVar[str]
    usage: ClassVar[str]
    subject: ClassVar[str] = "task"

    @property
    @abstractmethod
    def num_new_tokens(self) -> int:
        """How many tokens the model makes after a prompt of its full size."""

    @abstractmethod
    def check(self, architecture: Architecture) -> None:
        """Compares the protocol with the vocabulary and the positions of an architecture.

        Raises:
            SerialformerError: they do not fit; lists everything that does not.
        """

    @abstractmethod
    def tokens_at(self, position: int) -> tuple[str, ...]:
        """The tokens that a position may hold, as text, whatever the question is.

        Raises:
            InputError: no question reaches this position.
        """

    @abstractmethod
    def run(self, run: Run, question: tuple[Any, ...], named: dict[str, int]) -> Transcript:
        """Asks one question and reads the answer.

        Raises:
            InputError: it is no question of this protocol.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What ``serialformer.json`` keeps of it."""

    def digest(self) -> str:
        """SHA-256 of what the chain is to be, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    # Most protocols need no further files.
    def write_files(self, directory: Path) -> None:  # noqa: B027
        """Writes what it needs beside ``serialformer.json`` into a checkpoint directory."""

    def facts(self) -> dict[str, str]:
        """What a notebook shows of it."""
        return {}

    def info(self) -> dict[str, Any]:
        """The lines that ``info`` prints."""
        return {}

    def refuse_question(self, where: str | None) -> InputError:
        """The error for a question of another protocol."""
        return InputError(f"is {self.what}, which takes other input", where=where, hint=self.usage)

    def check_position(self, position: int, num_positions: int) -> None:
        """Refuses a position that no question reaches."""
        if not 0 <= position < num_positions:
            raise InputError(f"expected a position from 0 to {num_positions - 1}, found {position}")
