"""Running a suite: every model in every configuration of an engine, each answer judged, failures tried again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from serialformer.engines.adapters.adapter import Options, Refusal, Value
from serialformer.engines.cases import Case, group_calls
from serialformer.engines.judge import Wrong, judge
from serialformer.engines.session import Breakdown, Call, Session
from serialformer.engines.suite import SuiteModel
from serialformer.errors import EngineError

Sweep = Literal["default", "each", "all"]
SWEEPS: tuple[Sweep, ...] = ("default", "each", "all")

ONE_PASS = "one pass"
"""The family in which the right chain is given, and all positions are compared at once."""

ONE_PASS_LENGTH = 2100
"""Longer chains are not read in one pass: attention would take too much memory."""

KEPT_BUSY = 4
"""How many times as many requests as an engine answers at once are handed over together."""

KEPT_WRONG = 20
"""How many wrong answers of a trial are kept, of which the first is reported."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One model in one configuration.

    Attributes:
        model: which.
        options: the configuration.
        cases: how many cases were answered.
        tokens: how many tokens they expect.
        wrong_cases: how many were wrong.
        wrong: the first of them.
        tried: for each family how many cases were answered.
        failed: for each family how many of them were wrong.
        refused: what the engine does not take, in its words.
        breakdown: how it failed, if it did: ``signal: ended by SIGFPE``.
        detail: what it printed then.
        broken: the call that it failed in; none where it failed before the first.
        effects: what was in effect.
        seconds: how long it took.
    """

    model: SuiteModel
    options: Options
    cases: int = 0
    tokens: int = 0
    wrong_cases: int = 0
    wrong: tuple[Wrong, ...] = ()
    tried: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    breakdown: str | None = None
    detail: str = ""
    broken: tuple[Case, ...] = ()
    effects: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether everything that was answered was right, and it did not break down."""
        return not self.wrong_cases and self.breakdown is None

    @property
    def is_warning(self) -> bool:
        """Whether what is wrong is a choice of the engine and no mistake: fewer bits than the model needs."""
        narrow = any(self.effects.get("dtype", "").startswith(kind) for kind in NARROW)
        return not self.is_right and self.breakdown is None and (self.model.is_sensitive or narrow)


NARROW = ("int4", "int8 by int8", "q8", "q4", "q3", "q2", "nf4", "fp4")
"""Formats with too few bits for a compiled model.

``int8 by int8`` and ``q8_0`` round both factors of a product.
"""


def configurations(options: dict[str, tuple[Value, ...]], sweep: Sweep) -> Iterator[dict[str, Value]]:
    """The configurations of a sweep, the default one first.

    Args:
        options: the values of each option, the default first.
        sweep: ``default`` alone, ``each`` other value on its own, or ``all`` combinations.

    >>> list(configurations({"cache": ("on", "off"), "threads": (2, 1)}, "each"))
    [{'cache': 'on', 'threads': 2}, {'cache': 'off', 'threads': 2}, {'cache': 'on', 'threads': 1}]
    >>> len(list(configurations({"cache": ("on", "off"), "threads": (2, 1)}, "all")))
    4
    """
    default = {name: values[0] for name, values in options.items()}
    if sweep == "all":
        for values in itertools.product(*options.values()):
            yield dict(zip(options, values, strict=True))
        return
    yield default
    if sweep == "each":
        for name, values in options.items():
            for value in values[1:]:
                yield {**default, name: value}


WHOLE_CHAIN = "whole chain"
"""The family of whole chains, which take most of the time."""

BRIEF_LENGTH = 117
"""Longer chains are not generated whole in brief trials.

Of the suite's quick models with about 128 positions, a GPT-2 and a Llama have such a chain.
"""

BRIEF_LENGTH_OF_SENSITIVE = 40


def choose_calls(model: SuiteModel, *, brief: bool = False, quick: bool = False) -> list[list[Case]]:
    """The calls of a model.

    Args:
        model: which.
        brief: the first call of each family, and the last as well where they are short. Models that can only cause a
            warning are asked for a few tokens then, and not for a whole chain.
        quick: all calls, but only one whole chain.
    """
    calls = group_calls(model.cases)
    if quick and not brief:
        whole = [call for call in calls if call[0].family == WHOLE_CHAIN]
        return [call for call in calls if call not in whole[1:]]
    if not brief:
        return calls
    longest = BRIEF_LENGTH_OF_SENSITIVE if model.is_sensitive else BRIEF_LENGTH
    of_family: dict[str, list[list[Case]]] = {}
    for call in calls:
        if len(call[0].expected) <= longest:
            of_family.setdefault(call[0].family, []).append(call)
    chosen = []
    for first, *others in of_family.values():
        is_short = len(first[0].expected) <= 40 and len(first) == 1
        chosen += [first, *(others[-1:] if is_short else [])]
    return sorted(chosen, key=lambda call: call[0].call)


def run_trial(
    session: Session,
    model: SuiteModel,
    options: Options,
    *,
    brief: bool = False,
    quick: bool = False,
    only: Sequence[Sequence[Case]] | None = None,
    known: Trial | None = None,
) -> Trial:
    """Asks one model in one configuration.

    Args:
        session: the engine.
        model: the model.
        options: the configuration.
        brief: only the first calls of each family.
        quick: all calls but whole chains after the first.
        only: these calls, and no pass over a whole chain.
        known: a trial of another number format; if the one in effect turns out to be the same, nothing is asked.
    """
    started = time.perf_counter()
    trial = Trial(model=model, options=dict(options))
    calls = choose_calls(model, brief=brief, quick=quick) if only is None else only
    asked: Sequence[Case] = ()
    try:
        trial = replace(trial, effects=session.open(model.directory, options))
        if known is not None and "dtype" in trial.effects and trial.effects == known.effects:
            raise Refusal(f"{trial.effects['dtype']} is in effect by default as well and is not asked twice")
        for together in join_calls(calls, session.num_at_once(options)):
            asked = [case for call in together for case in call]
            trial = _ask(session, trial, together)
        asked = ()
        if only is None:
            trial = _one_pass(session, trial)
    except Refusal as error:
        trial = replace(trial, refused=(*trial.refused, str(error)))
    except Breakdown as error:
        in_a_line = " ".join(f"{error.kind}: {error}".split())
        trial = replace(trial, breakdown=in_a_line, detail=error.detail, broken=tuple(asked))
    return replace(trial, seconds=time.perf_counter() - started)


def join_calls(calls: Sequence[Sequence[Case]], at_once: int) -> Iterator[list[Sequence[Case]]]:
    """Calls that go to an engine together: one, or as many as keep it busy if it answers several requests at a time.

    Args:
        calls: in their order.
        at_once: how many requests it answers at the same time.

    >>> case = Case(id="", family="", purpose="", call=0, prompt=(0,), text=None, num_tokens=1, expected=(),
    ...             gates=(), reads=())
    >>> [len(together) for together in join_calls([[case]] * 10, 1)]
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    >>> [len(together) for together in join_calls([[case]] * 10, 2)]
    [8, 2]
    """
    together: list[Sequence[Case]] = []
    for call in calls:
        if call[0].draft is not None:
            # Models with a draft model have an engine to themselves.
            if together:
                yield together
            yield [call]
            together = []
            continue
        together.append(call)
        if at_once == 1 or sum(map(len, together)) >= at_once * KEPT_BUSY:
            yield together
            together = []
    if together:
        yield together


def _ask(session: Session, trial: Trial, together: Sequence[Sequence[Case]]) -> Trial:
    """Makes calls together and judges their answers."""
    model = trial.model
    calls = [
        Call(
            prompts=tuple(case.prompt for case in call),
            num_tokens=call[0].num_tokens,
            draft=draft_directory(model, call[0]),
        )
        for call in together
    ]
    try:
        answers = session.generate_at_once(calls)
    except Refusal as error:
        if len(together) > 1:
            # One that is refused does not keep the others from being asked.
            for call in together:
                trial = _ask(session, trial, [call])
            return trial
        text = f"{together[0][0].family}: {error}"
        return trial if text in trial.refused else replace(trial, refused=(*trial.refused, text))
    for call, made in zip(together, answers, strict=True):
        trial = _judge_call(trial, call, made)
    return trial


def _judge_call(trial: Trial, call: Sequence[Case], answers: Sequence[Sequence[int]]) -> Trial:
    model, family = trial.model, call[0].family
    if len(answers) != len(call):
        raise Breakdown("error", f"{len(answers)} answers to {len(call)} prompts")
    wrong = [
        judge(case, made, end_token=model.end_token, padding_token=model.padding_token, row=row)
        for row, (case, made) in enumerate(zip(call, answers, strict=True))
    ]
    return _count(trial, family, call, [found for found in wrong if found is not None])


def _count(trial: Trial, family: str, call: Sequence[Case], wrong: Sequence[Wrong]) -> Trial:
    return replace(
        trial,
        cases=trial.cases + len(call),
        tokens=trial.tokens + sum(len(case.expected) for case in call),
        wrong_cases=trial.wrong_cases + len(wrong),
        wrong=(*trial.wrong, *wrong)[:KEPT_WRONG],
        tried={**trial.tried, family: trial.tried.get(family, 0) + len(call)},
        failed={**trial.failed, family: trial.failed.get(family, 0) + len(wrong)},
    )


def longest_case(model: SuiteModel) -> Case:
    """The case of a model that expects most tokens."""
    return max(model.cases, key=lambda case: len(case.expected))


def _one_pass(session: Session, trial: Trial) -> Trial:
    case = longest_case(trial.model)
    if len(case.prompt) + len(case.expected) > ONE_PASS_LENGTH:
        return trial
    try:
        wrong = score_case(session, trial.model, case)
    except Refusal as error:
        return replace(trial, refused=(*trial.refused, f"{ONE_PASS}: {error}"))
    return _count(trial, ONE_PASS, [case], [] if wrong is None else [wrong])


def score_case(session: Session, model: SuiteModel, case: Case) -> Wrong | None:
    """Gives an engine the right chain of a case; the first token that it does not confirm, or None.

    Raises:
        Refusal: the engine does not score sequences.
        Breakdown: it fails.
    """
    said = session.score([*case.prompt, *case.expected[:-1]])
    if len(said) != len(case.prompt) + len(case.expected) - 1:
        raise Breakdown("error", f"{len(said)} scores for {len(case.prompt) + len(case.expected) - 1} tokens")
    in_one_pass = replace(case, family=ONE_PASS, num_tokens=len(case.expected))
    made = said[len(case.prompt) - 1 :]
    return judge(in_one_pass, made, end_token=model.end_token, padding_token=model.padding_token)


def run_suite(
    session: Session,
    models: Sequence[SuiteModel],
    *,
    sweep: Sweep = "each",
    brief: bool = False,
    chosen: Options | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> tuple[Trial, ...]:
    """Asks every model in every configuration of a sweep.

    Args:
        session: the engine.
        models: what is asked.
        sweep: which configurations; see ``configurations``.
        brief: only one whole chain of each model; and in configurations other than the default one, only the first
            calls of each family, and no number format that is in effect by default.
        chosen: options that are to have one value only.
        progress: called with 1 and a name for each trial.

    Raises:
        EngineError: there is no such option.
    """
    options: dict[str, tuple[Value, ...]] = dict(session.options)
    for name, value in (chosen or {}).items():
        if name not in options:
            known = ", ".join(options) or "none"
            raise EngineError(f"engine {session.name} has no option {name!r}", hint=f"it has: {known}")
        matching = [one for one in options[name] if str(one) == str(value)]
        options[name] = (matching[0] if matching else value,)
    trials: list[Trial] = []
    for number, configuration in enumerate(configurations(options, sweep)):
        changed = {name for name, values in options.items() if configuration[name] != values[0]}
        for place, model in enumerate(models):
            by_default = trials[place] if brief and changed == {"dtype"} else None
            is_brief = brief and number > 0
            trials.append(run_trial(session, model, configuration, brief=is_brief, quick=brief, known=by_default))
            if progress is not None:
                progress(1, model.name)
    return tuple(trials)


def describe_options(options: Options, default: Options | None = None) -> str:
    """A configuration in words; with the default one, only what differs from it.

    >>> describe_options({"cache": "off", "threads": 2}, {"cache": "on", "threads": 2})
    'cache=off'
    """
    shown = [f"{name}={value}" for name, value in options.items() if default is None or default.get(name) != value]
    return " ".join(shown) or "default"


def trial_to_json(trial: Trial) -> dict[str, Any]:
    """A trial as an object of plain values."""
    return {
        "model": trial.model.name,
        "options": dict(trial.options),
        "effects": trial.effects,
        "cases": trial.cases,
        "tokens": trial.tokens,
        "wrong": trial.wrong_cases,
        "warning": trial.is_warning,
        "first": trial.wrong[0].to_json() if trial.wrong else None,
        "families": {family: {"cases": count, "wrong": trial.failed[family]} for family, count in trial.tried.items()},
        "refused": list(trial.refused),
        "breakdown": trial.breakdown,
        "seconds": round(trial.seconds, 3),
    }


def draft_directory(model: SuiteModel, case: Case) -> Path | None:
    """Where the draft model of a case lies."""
    return None if case.draft is None else model.directory.parents[1] / case.draft
