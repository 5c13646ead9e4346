"""Whose fault it is: a failure is tried again with one thing changed at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from serialformer.engines.adapters.adapter import NOT_A_NUMBER, NOWHERE, Options, Refusal
from serialformer.engines.cases import Case, group_calls
from serialformer.engines.judge import Wrong, judge
from serialformer.engines.run import ONE_PASS, ONE_PASS_LENGTH, Trial, join_calls, longest_case, run_trial, score_case
from serialformer.engines.session import Breakdown, Session
from serialformer.engines.suite import SuiteModel
from serialformer.models.load import load


@dataclass(frozen=True, kw_only=True)
class Blame:
    """What happened when a failure was tried again. None: could not be tried.

    Attributes:
        model: of the failure.
        options: its configuration.
        wrong: its first wrong answer; None where the engine broke down.
        breakdown: how it broke down.
        calls: the calls up to the one that failed.
        is_ours_right: whether our own engine gives the expected tokens from the same files.
        repeated: whether the same wrong token came again.
        right_in_float32: whether the same calls are right in float32.
        right_alone: whether the case alone is right in an engine that has just been started.
        right_in_one_pass: whether all tokens are right when the right chain is read in one pass; where the engine does
            not score sequences, whether the wrong token alone is right after the right chain.
        right_sibling: whether a model of the same chain in another head width or number format is right.
        right_shorter: whether a model of the same kind with a shorter chain is right.
        not_a_number: the first tensor of the engine that holds something that is not a number, if it has one.
        at_once: how many requests were made at the same time.
        keeps_running: whether the engine was not started again for what was tried.
    """

    model: SuiteModel
    options: Options
    wrong: Wrong | None
    breakdown: str | None = None
    calls: tuple[tuple[Case, ...], ...] = ()
    is_ours_right: bool | None = None
    repeated: bool | None = None
    right_in_float32: bool | None = None
    right_alone: bool | None = None
    right_in_one_pass: bool | None = None
    right_sibling: bool | None = None
    right_shorter: bool | None = None
    not_a_number: str | None = None
    at_once: int = 1
    keeps_running: bool = False

    @property
    def verdict(self) -> str:
        """Where the mistake is, in a sentence or two."""
        parts = []
        if self.is_ours_right is False:
            return "The suite itself: serialformer's own engine does not give the expected tokens from these files."
        if self.breakdown is not None:
            parts.append(f"The engine breaks down ({self.breakdown}).")
        if self.not_a_number is not None:
            parts.append(f"The engine's own weights: {self.not_a_number} holds values that are not numbers.")
        if self.repeated is False:
            parts.append("Not deterministic: the same calls did not end in the same way the second time.")
        if self.right_in_float32:
            parts.append("The number format: the same calls are right in float32.")
        if self.right_alone:
            parts.append(self._beside)
        if self.right_in_one_pass and self.wrong is not None:
            parts.append("The cache: reading the right chain in one pass is right, generating it is not.")
        elif self.right_in_one_pass is False:
            parts.append("The forward pass: wrong without a cache as well.")
        if self.right_sibling:
            parts.append(f"Right in the sibling {self.model.sibling}.")
        if self.right_shorter:
            parts.append(f"Right in the shorter {self.model.shorter}.")
        return " ".join(parts) or "Wrong each time and in whatever was tried; nothing that was changed makes it right."

    @property
    def _beside(self) -> str:
        """What was there beside a case that is right alone."""
        if self.at_once > 1:
            return "The requests at the same time: the case is right alone."
        if self.calls and len(self.calls[-1]) > 1:
            return "The rows of the batch: the case is right alone."
        if self.keeps_running:
            return "What came before: the case is right in a request of its own."
        subject = "it" if self.wrong is None else "the case"
        return f"What came before: {subject} is right in an engine that has just been started."

    def to_json(self) -> dict[str, object]:
        """As an object of plain values."""
        return {
            "model": self.model.name,
            "options": dict(self.options),
            "first": None if self.wrong is None else self.wrong.to_json(),
            "breakdown": self.breakdown,
            "ours_right": self.is_ours_right,
            "repeated": self.repeated,
            "right_in_float32": self.right_in_float32,
            "right_alone": self.right_alone,
            "right_in_one_pass": self.right_in_one_pass,
            "right_sibling": self.right_sibling,
            "right_shorter": self.right_shorter,
            "not_a_number": self.not_a_number,
            "verdict": self.verdict,
        }


def separate_blame(session: Session, trial: Trial, trials: Sequence[Trial], models: Sequence[SuiteModel]) -> Blame:
    """Tries a failed trial again, one thing changed at a time.

    Args:
        session: the engine.
        trial: what failed.
        trials: all of the run, in which siblings are looked up before they are tried.
        models: all of the suite.
    """
    model, options = trial.model, trial.options
    wrong = trial.wrong[0] if trial.wrong else None
    found = trial.effects.get(NOT_A_NUMBER, NOWHERE)
    blame = Blame(
        model=model,
        options=options,
        wrong=wrong,
        breakdown=trial.breakdown,
        not_a_number=None if found == NOWHERE else found,
        at_once=session.num_at_once(options),
        keeps_running=session.keeps_running,
    )
    case = _case_of(trial, wrong)
    calls = _calls_up_to(trial, case, wrong, session.num_at_once(options))
    blame = replace(
        blame,
        calls=tuple(tuple(call) for call in calls),
        is_ours_right=_is_ours_right(model, case),
        repeated=_is_same(trial, run_trial(session, model, options, only=calls)),
        right_in_float32=_in_float32(session, trial, calls),
        right_sibling=_other(session, trial, trials, models, model.sibling),
        right_shorter=_other(session, trial, trials, models, model.shorter),
    )
    is_opening = wrong is None and not trial.broken
    if wrong is None or wrong.family != ONE_PASS:
        session.close()  # what is tried alone has an engine that has just started
        asked = min(model.cases, key=lambda case: case.num_tokens) if is_opening else case
        alone = _right(run_trial(session, model, options, only=[[asked]]))
        is_other = is_opening or len(calls) > 1 or len(calls[-1]) > 1
        blame = replace(blame, right_alone=alone if is_other else None)
    return blame if wrong is None else replace(blame, right_in_one_pass=_in_one_pass(session, trial, case))


def _case_of(trial: Trial, wrong: Wrong | None) -> Case:
    for case in trial.model.cases:
        if wrong is not None and case.id == wrong.case:
            return case
    return trial.broken[0] if wrong is None and trial.broken else longest_case(trial.model)


def _calls_up_to(trial: Trial, case: Case, wrong: Wrong | None, at_once: int) -> list[list[Case]]:
    """The calls up to that of a case, and those that were made at the same time."""
    if (wrong is None and not trial.broken) or (wrong is not None and wrong.family == ONE_PASS):
        return [[case]]
    calls: list[list[Case]] = []
    for together in join_calls(group_calls(trial.model.cases), at_once):
        calls += [list(call) for call in together]
        if calls[-1][0].call >= case.call:
            break
    return calls


def _is_ours_right(model: SuiteModel, case: Case) -> bool:
    engine = load(model.directory).engine()
    made = engine.generate(np.array([case.prompt], dtype=np.int64), case.num_tokens)[0].tolist()
    return judge(case, made, end_token=model.end_token, padding_token=model.padding_token) is None


def _is_same(before: Trial, after: Trial) -> bool:
    if not before.wrong:
        return after.breakdown == before.breakdown
    return bool(after.wrong) and after.wrong[0] == before.wrong[0]


def _right(trial: Trial) -> bool | None:
    return None if not trial.cases and trial.breakdown is None else trial.is_right


def _in_float32(session: Session, trial: Trial, calls: Sequence[Sequence[Case]]) -> bool | None:
    is_float32 = trial.effects.get("dtype", str(trial.model.facts.get("dtype"))) == "float32"
    if is_float32 or "float32" not in session.options.get("dtype", ()):
        return None
    options = {**trial.options, "dtype": "float32"}
    return _right(run_trial(session, trial.model, options, only=calls))


def _in_one_pass(session: Session, trial: Trial, case: Case) -> bool | None:
    if len(case.prompt) + len(case.expected) > ONE_PASS_LENGTH:
        return None
    try:
        session.open(trial.model.directory, trial.options)
        return score_case(session, trial.model, case) is None
    except Refusal:
        return _behind_the_right_chain(session, trial, case)
    except Breakdown:
        return None


def _behind_the_right_chain(session: Session, trial: Trial, case: Case) -> bool | None:
    """Whether the token that was wrong is right where the engine has read, not made, all that stands before it."""
    found = trial.wrong[0]
    if found.token >= len(case.expected):
        return None
    read = replace(
        case,
        prompt=(*case.prompt, *case.expected[: found.token]),
        num_tokens=1,
        expected=case.expected[found.token : found.token + 1],
        gates=case.gates[found.token : found.token + 1],
        reads=case.reads[found.token : found.token + 1],
        draft=None,
    )
    return _right(run_trial(session, trial.model, trial.options, only=[[read]]))


def _other(
    session: Session, trial: Trial, trials: Sequence[Trial], models: Sequence[SuiteModel], name: str | None
) -> bool | None:
    for other in trials:
        if other.model.name == name and other.options == trial.options:
            return _right(other)
    for model in models:
        if model.name == name:
            return _right(run_trial(session, model, trial.options, brief=True))
    return None
