"""What an adapter is: how one engine is opened, asked and reproduced.

Adapters run in a process of their own, in the engine's own environment, where serialformer need not be installed. So
they import nothing but the standard library, this file, and the engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar

Value = str | int | bool
Options = Mapping[str, Value]

NOT_A_NUMBER, NOWHERE = "not a number", "nowhere"
"""What ``Adapter.open`` may say beside the formats: which of the engine's tensors holds values that are not numbers."""


class Refusal(Exception):
    """The engine says that it does not take this model, this configuration or this call: that is no wrong answer."""


def check_imports(*modules: str) -> None:
    """Imports modules that are needed later, so that a missing package is reported before any work is done.

    Raises:
        ImportError: one of them is not installed.
    """
    for module in modules:
        import_module(module)


class Adapter(ABC):
    """One engine.

    Attributes:
        name: as the command line has it.
        options: what can be configured, and to which values; the first is the default. ``dtype``, if there is one, has
            the value ``checkpoint``, and ``float32`` for comparison.
        requires: what must be installed to use it, as pip takes it.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, tuple[Value, ...]]]
    requires: ClassVar[str]

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """The versions of the packages that matter.

        Raises:
            ImportError: the engine is not installed.
        """

    @abstractmethod
    def open(self, directory: str, options: Options) -> dict[str, str]:
        """Loads a checkpoint directory in a configuration, in the place of what was open.

        Returns:
            What is in effect where it may differ from what was asked for, such as the number format.

        Raises:
            Refusal: the engine does not take this model or this configuration.
        """

    @abstractmethod
    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        """The tokens that greedy decoding makes after each prompt of one call.

        Args:
            prompts: token ids, all for one batch.
            num_tokens: how many tokens to ask for.
            draft: the directory of a draft model for speculative decoding.

        Raises:
            Refusal: the engine does not take this call, such as several prompts with a draft model.
        """

    def score(self, tokens: Sequence[int]) -> list[int]:
        """The token that follows after each token of a sequence, which the engine reads in one pass.

        Raises:
            Refusal: the engine does not say.
        """
        raise Refusal("does not score sequences")

    def script(self, options: Options) -> str:
        """Python lines that define ``open_engine(directory)``, for a reproduction.

        What that returns is called with prompts and a number of tokens, and returns the tokens after each prompt. The
        lines need the engine and nothing of serialformer.

        Raises:
            Refusal: there are none.
        """
        raise Refusal("has no reproduction")

    def close(self) -> None:  # noqa: B027  # most hold nothing that the end of the process does not end
        """Ends what runs and removes what was written."""

    def facts(self) -> dict[str, Any]:
        """What the parent process needs to know of the adapter."""
        return {
            "name": self.name,
            "options": {name: list(values) for name, values in self.options.items()},
            "versions": self.versions(),
        }
