"""The report of a run: what was asked, what was wrong, what the failures have in common and whose fault they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from serialformer.engines.adapters.adapter import Options
from serialformer.engines.blame import Blame, separate_blame
from serialformer.engines.explain import Rule, explain_trials, shared_places
from serialformer.engines.run import Sweep, Trial, describe_options, run_suite, trial_to_json
from serialformer.engines.session import Session
from serialformer.engines.suite import SuiteModel

MAX_BLAMED = 4
"""How many failures are tried again; more of them usually have the same cause."""

SHOWN_TRIALS = 12


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run has shown.

    Attributes:
        engine: its name.
        versions: of its packages.
        default: its default configuration.
        trials: every model in every configuration.
        rules: what the failures have in common.
        places: what the positions of wrong tokens have in common.
        blames: for the first failures, what happened when they were tried again.
    """

    engine: str
    versions: Mapping[str, str]
    default: Options
    trials: tuple[Trial, ...]
    rules: tuple[Rule, ...] = ()
    places: tuple[str, ...] = ()
    blames: tuple[Blame, ...] = ()

    @property
    def cases(self) -> int:
        """How many cases were answered."""
        return sum(trial.cases for trial in self.trials)

    @property
    def tokens(self) -> int:
        """How many tokens they expect."""
        return sum(trial.tokens for trial in self.trials)

    @property
    def failures(self) -> tuple[Trial, ...]:
        """The trials that were wrong or broke down, warnings left out."""
        return tuple(trial for trial in self.trials if not trial.is_right and not trial.is_warning)

    @property
    def warnings(self) -> tuple[Trial, ...]:
        """The trials that were wrong by choice of the engine: see ``Trial.is_warning``."""
        return tuple(trial for trial in self.trials if trial.is_warning)

    @property
    def wrong(self) -> int:
        """How many cases were wrong, and trials broke down."""
        return sum(trial.wrong_cases + (trial.breakdown is not None) for trial in self.failures)

    @property
    def status(self) -> int:
        """0: right; 1: wrong; 2: nothing could be run."""
        return 1 if self.failures else 0 if self.cases else 2

    def to_json(self) -> dict[str, Any]:
        """As an object of plain values."""
        first = next((trial.wrong[0] for trial in self.failures if trial.wrong), None)
        return {
            "engine": self.engine,
            "versions": dict(self.versions),
            "cases": self.cases,
            "tokens": self.tokens,
            "wrong": self.wrong,
            "warnings": sum(trial.wrong_cases for trial in self.warnings),
            "first": None
            if first is None
            else {"id": first.case, "row": first.row, "token": first.token, "gate": first.gate, **first.to_json()},
            "rules": [str(rule) for rule in self.rules],
            "places": list(self.places),
            "blames": [blame.to_json() for blame in self.blames],
            "trials": [trial_to_json(trial) for trial in self.trials],
        }


def check_engine(
    session: Session,
    models: Sequence[SuiteModel],
    *,
    sweep: Sweep = "each",
    brief: bool = False,
    chosen: Options | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Report:
    """Asks an engine a suite, and tries failures again; see ``run_suite`` for the arguments."""
    trials = run_suite(session, models, sweep=sweep, brief=brief, chosen=chosen, progress=progress)
    failures = [trial for trial in trials if not trial.is_right and not trial.is_warning]
    wrong = [trial.wrong[0] for trial in failures if trial.wrong]
    counted = [trial for trial in trials if not trial.is_warning]
    return Report(
        engine=session.name,
        versions=session.versions,
        default={name: values[0] for name, values in session.options.items()},
        trials=trials,
        rules=explain_trials(counted),
        places=tuple(shared_places(wrong)),
        blames=tuple(separate_blame(session, trial, trials, models) for trial in _different(failures)),
    )


def _different(failures: Sequence[Trial]) -> list[Trial]:
    """Failures of different kinds, then of different models and configurations, at most ``MAX_BLAMED``."""
    first_of_kind: dict[tuple[str | None, str], Trial] = {}
    for trial in failures:
        breakdown = None if trial.breakdown is None else re.sub(r"\d+", "", trial.breakdown)
        first_of_kind.setdefault((breakdown, str(trial.model.facts["family"])), trial)
    chosen = list(first_of_kind.values())[:MAX_BLAMED]
    for trial in failures:
        known = {(other.model.name, tuple(other.options.items())) for other in chosen}
        num_alike = sum(other.options == trial.options for other in chosen)
        is_new = (trial.model.name, tuple(trial.options.items())) not in known
        if is_new and len(chosen) < MAX_BLAMED and num_alike < MAX_BLAMED // 2:
            chosen.append(trial)
    return chosen


def describe_failure(trial: Trial) -> str:
    """The first thing that went wrong, in a line."""
    if not trial.wrong:
        return str(trial.breakdown)
    wrong = trial.wrong[0]
    found = "nothing" if wrong.found is None else f"token {wrong.found}"
    reads = (
        f"; it reads positions {', '.join(map(str, wrong.reads))}, up to {wrong.distance} back" if wrong.reads else ""
    )
    return (
        f"{wrong.family}, case {wrong.case}, row {wrong.row}: token {wrong.token} (position {wrong.position}, gate"
        f" {wrong.gate}) should be {wrong.expected} and is {found}{reads}"
    )


def report_lines(report: Report) -> list[str]:
    """The report for a terminal."""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines = [f"{report.engine}{f' ({versions})' if versions else ''}", ""]
    width = max((len(_label(report, trial)) for trial in report.trials), default=0)
    for options in dict.fromkeys(tuple(trial.options.items()) for trial in report.trials):
        of_one = [trial for trial in report.trials if tuple(trial.options.items()) == options]
        wrong = sum(not trial.is_right and not trial.is_warning for trial in of_one)
        cases, tokens = sum(trial.cases for trial in of_one), sum(trial.tokens for trial in of_one)
        warned = sum(trial.is_warning for trial in of_one)
        verdict = f"{wrong} of {len(of_one)} models WRONG" if wrong else "right" if cases else "not run"
        verdict += f", {warned} with a warning" if warned else ""
        lines.append(f"{_label(report, of_one[0]):{width}}  {cases:6,} cases  {tokens:9,} tokens  {verdict}")
    lines.append("")
    for trial in report.failures[:SHOWN_TRIALS]:
        lines.append(f"WRONG: {trial.model.name}, {_label(report, trial)}: {describe_failure(trial)}")
    if len(report.failures) > SHOWN_TRIALS:
        lines.append(f"and {len(report.failures) - SHOWN_TRIALS} more")
    for trial in report.warnings:
        lines.append(f"warning: {trial.model.name}, {_label(report, trial)}: {describe_failure(trial)}")
    lines += [str(rule) for rule in report.rules] + list(report.places)
    for blame in report.blames:
        lines.append(f"{blame.model.name}, {describe_options(blame.options, report.default)}: {blame.verdict}")
    refused = dict.fromkeys(text for trial in report.trials for text in trial.refused)
    lines += [f"not run: {text}" for text in refused]
    verdict = {0: "right", 1: "WRONG", 2: "nothing could be run"}[report.status]
    lines.append(f"{verdict}: {report.cases:,} cases, {report.tokens:,} tokens, {report.wrong:,} wrong")
    return lines


def _label(report: Report, trial: Trial) -> str:
    return describe_options(trial.options, report.default)


def report_to_junit(report: Report) -> str:
    """The report as JUnit XML: a suite for each configuration, a test for each model and family."""
    root = ElementTree.Element("testsuites", name=f"serialformer engine-test {report.engine}")
    for options in dict.fromkeys(tuple(trial.options.items()) for trial in report.trials):
        of_one = [trial for trial in report.trials if tuple(trial.options.items()) == options]
        suite = ElementTree.SubElement(root, "testsuite", name=_label(report, of_one[0]))
        counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        for trial in of_one:
            for family in trial.tried:
                test = ElementTree.SubElement(suite, "testcase", classname=trial.model.name, name=family)
                counts["tests"] += 1
                if trial.failed[family] and not trial.is_warning:
                    counts["failures"] += 1
                    wrong = [found for found in trial.wrong if found.family == family]
                    shown = describe_failure(trial) if not wrong or wrong[0] == trial.wrong[0] else str(wrong[0])
                    message = f"{trial.failed[family]} of {trial.tried[family]} cases wrong"
                    ElementTree.SubElement(test, "failure", message=message).text = shown
            if trial.breakdown is not None or not trial.tried:
                test = ElementTree.SubElement(suite, "testcase", classname=trial.model.name, name="run")
                counts["tests"] += 1
                if trial.breakdown is not None:
                    counts["errors"] += 1
                    error = ElementTree.SubElement(test, "error", message=trial.breakdown)
                    error.text = _printable(trial.detail)
                else:
                    counts["skipped"] += 1
                    ElementTree.SubElement(test, "skipped", message=_printable("; ".join(trial.refused)))
        for name, count in counts.items():
            suite.set(name, str(count))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """What XML can hold."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
