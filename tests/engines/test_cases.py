"""The files of cases: written, read back, and refused where they are wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serialformer import compile
from serialformer.engines.cases import Case, group_calls, read_cases, write_cases
from serialformer.engines.families import BLOCKS, FAMILIES
from serialformer.engines.scattered import scattered_circuit
from serialformer.engines.suite import DEFAULT_FAMILIES, make_cases
from serialformer.engines.variants import add_spare_positions
from serialformer.errors import FormatError


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    model = compile(scattered_circuit(0, num_inputs=6, num_gates=80))
    spare = replace(model, transformer=add_spare_positions(model.transformer, 16), proof=None)
    return make_cases(spare, tuple(FAMILIES))


def test_a_model_without_spare_positions_is_not_asked_beyond_them() -> None:
    model = compile(scattered_circuit(0, num_inputs=6, num_gates=80))
    cases = make_cases(model, tuple(FAMILIES))
    assert cases and not any(case.ends for case in cases)
    assert max(len(case.prompt) + case.num_tokens for case in cases) == model.transformer.architecture.num_positions


def test_written_and_read(cases: tuple[Case, ...], tmp_path: Path) -> None:
    write_cases(cases, tmp_path / "cases.jsonl")
    assert read_cases(tmp_path / "cases.jsonl") == cases
    first = json.loads((tmp_path / "cases.jsonl").read_text().splitlines()[0])
    keys = ["version", "id", "family", "purpose", "call", "prompt", "text", "num_tokens", "expected", "gates", "reads"]
    assert list(first) == keys


def test_ids_are_unique_and_calls_in_order(cases: tuple[Case, ...]) -> None:
    assert len({case.id for case in cases}) == len(cases)
    calls = group_calls(cases)
    assert [case for call in calls for case in call] == list(cases)
    assert any(len({len(case.prompt) for case in call}) > 1 for call in calls)


def test_boundaries_are_asked_for(cases: tuple[Case, ...]) -> None:
    lengths = {len(case.prompt) for case in cases if case.family == "prompt length"}
    assert lengths == {15, 16, 17, 31, 32, 33, 63, 64, 65}
    crossed = [(len(case.prompt), len(case.prompt) + len(case.expected)) for case in cases if case.family == "crossing"]
    assert all(any(start < block < stop for start, stop in crossed) for block in BLOCKS[:3])


def test_only_prompts_that_are_questions_have_a_text(cases: tuple[Case, ...]) -> None:
    assert all((case.text is None) == (len(case.prompt) != 7) for case in cases)
    assert any(case.text for case in cases)


def test_chains_that_end_are_among_the_cases(cases: tuple[Case, ...]) -> None:
    assert {case.family for case in cases if case.ends} == {"end token"}


def test_the_default_families_exist() -> None:
    assert set(DEFAULT_FAMILIES) <= set(FAMILIES)
    assert all(function.__doc__ for function in FAMILIES.values())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", 2, "expected version 1, found 2"),
        ("id", 3, "a key is missing or wrong: expected text, found 3"),
        ("prompt", [0, -1], "a key is missing or wrong: expected a number, found -1"),
        ("prompt", [], "expected a prompt and as many gates"),
        ("expected", [0], "as many gates and reads as expected tokens"),
        ("reads", 7, "expected a list of numbers|not iterable"),
        ("num_tokens", 1, "at most 1 of them"),
    ],
)
def test_wrong_lines(cases: tuple[Case, ...], tmp_path: Path, key: str, value: Any, message: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps({**cases[0].to_json(), key: value}) + "\n")
    with pytest.raises(FormatError, match=message) as caught:
        read_cases(path)
    assert f"{path}: line 1: " in str(caught.value)


def test_all_wrong_lines_are_named(cases: tuple[Case, ...], tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    line = json.dumps(cases[0].to_json())
    path.write_text(f"{line}\n{line}\nno json\n[]\n{{}}\n")
    with pytest.raises(FormatError, match="line 2: the id .* twice; line 3: .*; line 4: .*; and 1 more lines"):
        read_cases(path)
