"""For the tests of an inference engine: known answers as pytest parameters.

    from serialformer.testing import known_answers

    @known_answers("suite", quick=True)
    def test_my_engine(known_call):
        known_call.check(my_engine(known_call.directory, known_call.prompts, known_call.num_tokens))

A test with this decorator runs once for each call of a suite. The package is a pytest plugin as well: where it is
installed, ``--known-answers SUITE`` says where the suite is, and ``@known_answers()`` uses it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serialformer.engines.cases import Case, group_calls
from serialformer.engines.judge import judge
from serialformer.engines.suite import SuiteModel, choose_models, read_suite

ARGUMENT = "known_call"
"""The name of the argument that a test gets."""


@dataclass(frozen=True, kw_only=True)
class KnownCall:
    """Prompts that an engine gets together, and what it must answer.

    Attributes:
        model: the model of the suite.
        cases: one for each prompt.
    """

    model: SuiteModel
    cases: tuple[Case, ...]

    @property
    def directory(self) -> Path:
        """Where the model lies."""
        return self.model.directory

    @property
    def draft(self) -> Path | None:
        """Where the draft model lies, for speculative decoding; None if there is none."""
        name = self.cases[0].draft
        return None if name is None else self.model.directory.parents[1] / name

    @property
    def prompts(self) -> list[list[int]]:
        """The token ids of the prompts."""
        return [list(case.prompt) for case in self.cases]

    @property
    def num_tokens(self) -> int:
        """How many tokens to make after each."""
        return self.cases[0].num_tokens

    @property
    def name(self) -> str:
        """Model and case."""
        return f"{self.model.name}-{self.cases[0].id}"

    def check(self, answers: Sequence[Sequence[int]]) -> None:
        """Compares answers with the known ones.

        Args:
            answers: for each prompt the ids that the engine made after it.

        Raises:
            AssertionError: a token is wrong; says which, whose gate it is, and what it depends on.
        """
        assert len(answers) == len(self.cases), f"{len(answers)} answers to {len(self.cases)} prompts"
        for row, (case, made) in enumerate(zip(self.cases, answers, strict=True)):
            wrong = judge(
                case,
                [int(token) for token in made],
                end_token=self.model.end_token,
                padding_token=self.model.padding_token,
                row=row,
            )
            if wrong is not None:
                raise AssertionError(
                    f"{self.model.name}, {case.family}, row {row}: token {wrong.token} at position {wrong.position}"
                    f" should be {wrong.expected} (gate {wrong.gate}, which reads positions {list(wrong.reads)}),"
                    f" found {wrong.found}; {case.purpose}"
                )


def known_calls(
    suite: str | os.PathLike[str],
    *,
    quick: bool = False,
    models: Sequence[str] = (),
    families: Sequence[str] = (),
    drafts: bool = False,
) -> tuple[KnownCall, ...]:
    """The calls of a suite, or of the one model of a checkpoint directory.

    Args:
        suite: the directory.
        quick: only the quick models.
        models: only these models.
        families: only these families of cases.
        drafts: also the calls that need speculative decoding with a draft model.

    Raises:
        SerialformerError: there is no such suite or model.
    """
    chosen = choose_models(read_suite(suite, quick=quick), models)
    return tuple(
        KnownCall(model=model, cases=tuple(call))
        for model in chosen
        for call in group_calls(model.cases)
        if (not families or call[0].family in families) and (drafts or call[0].draft is None)
    )


def known_answers(suite: str | os.PathLike[str] | None = None, **which: Any) -> Callable[[Any], Any]:
    """A decorator that runs a test once for each call of a suite, as its argument ``known_call``.

    Args:
        suite: the directory; by default what pytest's option ``--known-answers`` names.
        which: of the calls; see ``known_calls``.
    """
    import pytest

    if suite is None:
        return pytest.mark.known_answers(**which)
    calls = known_calls(suite, **which)
    return pytest.mark.parametrize(ARGUMENT, calls, ids=[call.name for call in calls])


def pytest_addoption(parser: Any) -> None:
    """Adds the option that names the suite."""
    parser.addoption("--known-answers", metavar="SUITE", help="the suite of tests with @known_answers()")


def pytest_configure(config: Any) -> None:
    """Makes the mark known."""
    config.addinivalue_line("markers", "known_answers: runs for each call of the suite that --known-answers names")


def pytest_generate_tests(metafunc: Any) -> None:
    """Gives each test with ``@known_answers()`` the calls of the suite; without a suite it is skipped."""
    import pytest

    mark = metafunc.definition.get_closest_marker("known_answers")
    if mark is None:
        return
    suite = metafunc.config.getoption("--known-answers")
    if suite is None:
        skip = pytest.mark.skip(reason="no suite: pytest --known-answers SUITE")
        metafunc.parametrize(ARGUMENT, [pytest.param(None, marks=skip)], ids=["no suite"])
        return
    calls = known_calls(suite, **mark.kwargs)
    metafunc.parametrize(ARGUMENT, calls, ids=[call.name for call in calls])
