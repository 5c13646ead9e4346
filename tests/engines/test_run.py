"""Runs of engines whose mistake is known: what is reported, and who gets the blame."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from serialformer.engines.adapters.adapter import Options, Refusal
from serialformer.engines.blame import separate_blame
from serialformer.engines.html_report import report_to_html
from serialformer.engines.recipes import Recipe
from serialformer.engines.report import Report, check_engine, report_lines, report_to_junit
from serialformer.engines.reproduction import write_reproduction
from serialformer.engines.run import ONE_PASS, choose_calls, configurations, run_trial
from serialformer.engines.session import Breakdown, Call
from serialformer.engines.suite import SuiteModel, build_suite, choose_models, read_suite
from serialformer.errors import EngineError, InputError
from tests.engines.small_engine import SmallEngine
from tests.engines.zoo import DEFECTS
from tests.engines.zoo_session import ZooSession

FAMILIES = ("whole_chain", "prompt_lengths", "shared_prefixes", "unequal_rows", "ends")
RECIPES = (
    Recipe(name="odd", purpose="p", total=100, tier="quick", families=FAMILIES, sibling="wide", drafts=("right",)),
    Recipe(name="wide", purpose="p", total=140, dtype="bfloat16", families=FAMILIES, shorter="odd"),
    Recipe(name="keys", purpose="p", total=90, variant="offset keys", families=("whole_chain",)),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[SuiteModel, ...]:
    suite = tmp_path_factory.mktemp("run") / "suite"
    build_suite(suite, recipes=RECIPES)
    return read_suite(suite)


def broken_when_off(name: str) -> ZooSession:
    return ZooSession(lambda _, options: DEFECTS[name]() if options["cache"] == "off" else SmallEngine())


def run(session: ZooSession, models: tuple[SuiteModel, ...]) -> Report:
    return check_engine(session, models)


def test_a_sound_engine(models: tuple[SuiteModel, ...]) -> None:
    report = run(ZooSession(lambda _, __: SmallEngine()), models)
    assert (report.status, report.wrong, report.rules, report.blames) == (0, 0, (), ())
    assert report.cases == 2 * sum(len(model.cases) + 1 for model in models)
    assert report_lines(report)[-1] == f"right: {report.cases:,} cases, {report.tokens:,} tokens, 0 wrong"


def test_a_mistake_in_one_configuration(models: tuple[SuiteModel, ...]) -> None:
    report = run(broken_when_off("positions: one late while decoding"), models)
    assert report.status == 1
    assert {str(trial.options["cache"]) for trial in report.failures} == {"off"}
    # The pass over a whole chain is right.
    assert str(report.rules[0]).startswith("all failures: option cache=off and cases is not ")
    blame = report.blames[0]
    assert (blame.is_ours_right, blame.repeated, blame.right_in_one_pass) == (True, True, True)
    assert "The cache: reading the right chain in one pass is right" in blame.verdict
    first = report.to_json()["first"]
    assert first["gate"].startswith("g") and first["row"] == 0 and first["distance"] > 0
    assert any(line.startswith("WRONG: odd, cache=off: whole chain") for line in report_lines(report))


def test_a_mistake_of_odd_heads_only(models: tuple[SuiteModel, ...]) -> None:
    def choose(directory: Path, _: Options) -> SmallEngine:
        return DEFECTS["weights: a bias is forgotten"]() if directory.name == "odd" else SmallEngine()

    report = run(ZooSession(choose), models[:2])
    assert [str(rule) for rule in report.rules] == ["all failures: weights=float32"]
    blame = report.blames[0]
    assert blame.right_sibling is True and blame.right_in_one_pass is False
    assert "The forward pass: wrong without a cache as well." in blame.verdict
    assert "Right in the sibling wide." in blame.verdict


def test_rows_of_a_batch(models: tuple[SuiteModel, ...]) -> None:
    report = run(broken_when_off("positions: counted from the padding of the batch"), models)
    assert report.blames[0].right_alone is True
    assert "The rows of the batch: the case is right alone." in report.blames[0].verdict


class AtOnce(ZooSession):
    """A server that answers several requests at the same time."""

    keeps_running = True

    def num_at_once(self, options: Options) -> int:
        return int(options["concurrency"])


class Exchanging(AtOnce):
    """A server that exchanges the answers of two requests that it works on at the same time."""

    def generate_at_once(self, calls: Sequence[Call]) -> list[list[list[int]]]:
        answers = super().generate_at_once(calls)
        if len(calls) > 1:
            answers[0][0], answers[1][0] = answers[1][0], answers[0][0]
        return answers


def test_requests_at_the_same_time(models: tuple[SuiteModel, ...]) -> None:
    session = Exchanging(lambda _, __: SmallEngine(), {"concurrency": (1, 4)})
    report = run(session, models[:1])
    assert [trial.is_right for trial in report.trials] == [True, False]
    assert report.trials[0].tried == report.trials[1].tried
    blame = report.blames[0]
    assert (blame.repeated, blame.right_alone) == (True, True)
    # The second try ends with the requests that were made together with the wrong one.
    assert sum(map(len, blame.calls)) == 16
    assert "The requests at the same time: the case is right alone." in blame.verdict


def test_what_a_server_was_asked_before(models: tuple[SuiteModel, ...]) -> None:
    session = broken_when_off("prefixes: an answer is kept for the first tokens of its prompt")
    session.keeps_running = True
    assert "What came before: the case is right in a request of its own." in run(session, models).blames[0].verdict


def test_an_engine_that_opens_one_model_only(models: tuple[SuiteModel, ...]) -> None:
    """Until it is started again, it fails at the second model."""

    class OpensOnce(ZooSession):
        is_open = False

        def open(self, directory: Path, options: Options) -> dict[str, str]:
            if self.is_open:
                raise Breakdown("error", "AttributeError: no attribute 'get'")
            self.is_open = True
            return super().open(directory, options)

        def close(self) -> None:
            self.is_open = False

    report = run(OpensOnce(lambda _, __: SmallEngine(), {"cache": ("on",)}), models[:2])
    assert [trial.is_right for trial in report.trials] == [True, False]
    blame = report.blames[0]
    assert blame.verdict.startswith("The engine breaks down (error: AttributeError: no attribute 'get').")
    assert "What came before: it is right in an engine that has just been started." in blame.verdict


def test_a_refused_call_among_others(models: tuple[SuiteModel, ...]) -> None:
    class Short(AtOnce):
        def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: Path | None) -> list[list[int]]:
            if num_tokens > 30:
                raise Refusal("too long")
            return super().generate(prompts, num_tokens, draft)

    trial = run_trial(Short(lambda _, __: SmallEngine(), {"concurrency": (4,)}), models[0], {"concurrency": 4})
    assert trial.refused == ("whole chain: too long",) and trial.is_right
    assert set(trial.tried) == {case.family for case in models[0].cases} - {"whole chain"} | {ONE_PASS}


def test_what_came_before(models: tuple[SuiteModel, ...]) -> None:
    report = run(broken_when_off("prefixes: an answer is kept for the first tokens of its prompt"), models)
    assert report.blames[0].right_alone is True
    assert "right in an engine that has just been started" in report.blames[0].verdict


def test_a_number_format(models: tuple[SuiteModel, ...]) -> None:
    def choose(_: Path, options: Options) -> SmallEngine:
        return SmallEngine() if options["dtype"] == "float32" else DEFECTS["weights: a bias is forgotten"]()

    session = ZooSession(choose, {"dtype": ("bfloat16", "float32")})
    report = run(session, models[:1])
    assert report.blames[0].right_in_float32 is True
    assert report.blames[0].verdict.startswith("The number format: the same calls are right in float32.")
    assert [str(rule) for rule in report.rules] == ["all failures: option dtype=bfloat16"]


def test_weights_that_are_not_numbers(models: tuple[SuiteModel, ...]) -> None:
    class Quantised(ZooSession):
        def open(self, directory: Path, options: Options) -> dict[str, str]:
            super().open(directory, options)
            return {"not a number": "layer.0.weight" if options["cache"] == "off" else "nowhere"}

    session = Quantised(
        lambda _, options: DEFECTS["weights: a bias is forgotten"]() if options["cache"] == "off" else SmallEngine()
    )
    trials = [run_trial(session, models[0], {"cache": value}) for value in ("on", "off")]
    blame = separate_blame(session, trials[1], trials, models)
    assert blame.verdict.startswith("The engine's own weights: layer.0.weight holds values that are not numbers.")
    assert separate_blame(session, replace(trials[1], effects=trials[0].effects), trials, models).not_a_number is None


def test_what_is_not_deterministic(models: tuple[SuiteModel, ...]) -> None:
    opened: list[Path] = []

    def choose(directory: Path, _: Options) -> SmallEngine:
        opened.append(directory)
        return DEFECTS["weights: a bias is forgotten"]() if len(opened) == 1 else SmallEngine()

    session = ZooSession(choose)
    trial = run_trial(session, models[0], {"cache": "on"})
    blame = separate_blame(session, trial, [trial], models)
    assert blame.repeated is False and "Not deterministic" in blame.verdict


def test_a_breakdown_is_a_finding(models: tuple[SuiteModel, ...]) -> None:
    class Fails(SmallEngine):
        def step(self, *_: object) -> None:
            raise IndexError("index\n out of range")

    report = run(ZooSession(lambda _, options: Fails() if options["cache"] == "off" else SmallEngine()), models)
    assert report.status == 1 and len(report.failures) == 3
    assert report.failures[0].breakdown == "error: IndexError: index out of range"
    assert "The engine breaks down" in report.blames[0].verdict
    root = ElementTree.fromstring(report_to_junit(report).partition("\n")[2])
    assert [suite.get("errors") for suite in root] == ["0", "3"]


def test_sensitive_models_warn(models: tuple[SuiteModel, ...]) -> None:
    report = run(broken_when_off("cache: kept in bfloat16"), models)
    assert report.status == 0 and [trial.model.name for trial in report.warnings] == ["keys"]
    lines = report_lines(report)
    assert any(line.startswith("warning: keys, cache=off: whole chain") for line in lines)
    assert any(line.startswith("cache=off") and line.endswith("right, 1 with a warning") for line in lines)
    assert report.to_json()["warnings"] > 0 and report.to_json()["wrong"] == 0


def test_what_is_refused_is_not_wrong(models: tuple[SuiteModel, ...]) -> None:
    report = run(ZooSession(lambda _, __: SmallEngine(), scores=False), models)
    assert report.status == 0
    assert f"not run: {ONE_PASS}: does not score sequences" in report_lines(report)


def test_reports_in_files(models: tuple[SuiteModel, ...], tmp_path: Path) -> None:
    session = broken_when_off("positions: one late while decoding")
    report = run(session, models)
    assert json.loads(json.dumps(report.to_json()))["engine"] == "zoo"
    root = ElementTree.fromstring(report_to_junit(report).partition("\n")[2])
    failures = [test for suite in root for test in suite if test.find("failure") is not None]
    assert failures and all(int(suite.get("tests", 0)) == len(suite) for suite in root)
    script = write_reproduction(session, report.blames[0], tmp_path / "reproductions", 1)
    assert script is not None
    page = report_to_html(report, [script])
    assert "<h1>zoo: wrong</h1>" in page and "open_engine" in page and "http" not in page
    assert len(script.read_text().splitlines()) < 40
    again = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert "WRONG row 0: expected" in again.stdout


def test_only_chosen_options(models: tuple[SuiteModel, ...]) -> None:
    report = check_engine(broken_when_off("weights: a bias is forgotten"), models, chosen={"cache": "on"})
    assert report.status == 0 and {tuple(trial.options.items()) for trial in report.trials} == {(("cache", "on"),)}
    with pytest.raises(EngineError, match="engine zoo has no option 'cash'\nhint: it has: cache"):
        check_engine(broken_when_off("weights: a bias is forgotten"), models, chosen={"cash": 1})


def test_brief_runs_ask_less(models: tuple[SuiteModel, ...]) -> None:
    whole = run_trial(ZooSession(lambda _, __: SmallEngine()), models[0], {"cache": "on"})
    brief = run_trial(ZooSession(lambda _, __: SmallEngine()), models[0], {"cache": "on"}, brief=True)
    assert brief.cases < whole.cases / 2 and brief.tried.keys() == whole.tried.keys()
    keys = run_trial(ZooSession(lambda _, __: SmallEngine()), models[2], {"cache": "on"}, brief=True)
    assert models[2].is_sensitive and "whole chain" not in keys.tried and keys.tried


def test_a_quick_run_asks_for_one_whole_chain(models: tuple[SuiteModel, ...]) -> None:
    whole, quick = (choose_calls(models[0], quick=quick) for quick in (False, True))
    left_out = [call for call in whole if call not in quick]
    assert [call[0].family for call in left_out] == ["whole chain"] and quick == [c for c in whole if c not in left_out]
    report = check_engine(ZooSession(lambda _, __: SmallEngine()), models[:1], sweep="default", brief=True)
    assert report.cases == sum(map(len, quick)) + 1


def test_a_number_format_is_not_asked_twice_in_a_brief_run(models: tuple[SuiteModel, ...]) -> None:
    class Float32ByDefault(ZooSession):
        def open(self, directory: Path, options: Options) -> dict[str, str]:
            super().open(directory, options)
            return {"dtype": "float32" if options["dtype"] == "checkpoint" else str(options["dtype"])}

    session = Float32ByDefault(
        lambda _, __: SmallEngine(), {"dtype": ("float32", "checkpoint", "bfloat16"), "threads": (1, 2)}
    )
    brief, whole = (check_engine(session, models[:1], brief=brief) for brief in (True, False))
    asked = {str(trial.options["dtype"]) + str(trial.options["threads"]): trial.cases for trial in brief.trials}
    assert asked["checkpoint1"] == 0 and all(asked[name] for name in ("float321", "bfloat161", "float322"))
    assert "not run: float32 is in effect by default as well and is not asked twice" in report_lines(brief)
    assert all(trial.cases for trial in whole.trials)


def test_failures_of_every_kind_are_tried_again(models: tuple[SuiteModel, ...]) -> None:
    """Two models that break down in the same way do not keep a wrong answer of a third from being looked at."""

    class Fails(SmallEngine):
        def step(self, *_: object) -> None:
            raise IndexError("index out of range")

    def choose(directory: Path, _: Options) -> SmallEngine:
        return DEFECTS["weights: a bias is forgotten"]() if directory.name == "wide" else Fails()

    report = check_engine(ZooSession(choose), (models[0], models[2], models[1]), sweep="default")
    assert [(blame.model.name, blame.breakdown is None) for blame in report.blames] == [
        ("odd", False),
        ("wide", True),
    ]


def test_configurations() -> None:
    options = {"a": (1, 2, 3), "b": ("x", "y")}
    assert len(list(configurations(options, "default"))) == 1
    assert len(list(configurations(options, "each"))) == 4
    assert len(list(configurations(options, "all"))) == 6
    for sweep in ("default", "each", "all"):
        assert next(configurations(options, sweep)) == {"a": 1, "b": "x"}
    assert list(configurations({}, "all")) == [{}]


def test_models_by_name(models: tuple[SuiteModel, ...]) -> None:
    assert [model.name for model in choose_models(models, ["wide"])] == ["wide"]
    with pytest.raises(InputError, match="no model wild\nhint: there are odd, wide, keys"):
        choose_models(models, ["wild"])


def test_a_call_that_breaks_is_named(models: tuple[SuiteModel, ...]) -> None:
    """An engine that fails where a request uses the last position: what was asked then is a feature of the failure."""

    class FailsAtTheEnd(SmallEngine):
        def generate(self, *arguments: Any, **options: Any) -> Any:
            prompts, num_tokens = arguments[0], arguments[1]
            if max(map(len, prompts)) + num_tokens > 90:
                raise IndexError("index out of range")
            return super().generate(*arguments, **options)

    report = run(ZooSession(lambda _, __: FailsAtTheEnd()), models)
    broken = [trial for trial in report.failures if trial.breakdown]
    assert broken and all(trial.broken for trial in broken)
    blame = report.blames[0]
    assert blame.repeated is True and blame.calls[-1] == broken[0].broken


def test_the_cache_is_blamed_without_scores(models: tuple[SuiteModel, ...]) -> None:
    """Where an engine does not score sequences, the wrong token alone is asked for behind the right chain."""
    session = ZooSession(
        lambda _, options: (
            DEFECTS["positions: one late while decoding"]() if options["cache"] == "off" else SmallEngine()
        ),
        scores=False,
    )
    report = run(session, models)
    assert report.status == 1 and report.blames[0].right_in_one_pass is True
    assert "The cache" in report.blames[0].verdict
