"""Known answers of models without a chain: what the model writes, and which tokens decide it."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from serialformer import CircuitBuilder, Shape, compile
from serialformer.engines.cases import Case
from serialformer.engines.known import KnownAnswers
from serialformer.engines.known_columns import KnownColumns
from serialformer.engines.suite import (
    ANSWER_FAMILIES,
    MIN_ANSWER_TOKENS,
    SHORT_ANSWER_FAMILIES,
    known_answers,
    make_cases,
)
from serialformer.errors import InputError
from serialformer.interp.suite import build_adder
from serialformer.models.lower import Target
from serialformer.models.model import Model
from tests.cases import small_circuits


def made(width: int, target: Target) -> Model:
    shape = Shape(head_width=32, hidden=128) if target == "llama" else None
    return compile(build_adder(width), chain="none", target=target, shape=shape)


@pytest.mark.parametrize("name", small_circuits())
def test_small_circuits(name: str) -> None:
    model = compile(small_circuits()[name], chain="none")
    known = known_answers(model)
    assert isinstance(known, KnownColumns) and len(known.gates) == model.num_new_tokens
    for bits in np.random.default_rng(0).integers(0, 2, (5, known.num_inputs)).tolist():
        prompt = known.prompt(bits)
        made = model.engine("dense").generate(np.array([prompt]), model.num_new_tokens)[0].tolist()
        assert known.continue_prompt(prompt, 10_000) == tuple(made)


@pytest.mark.parametrize("target", ["llama", "gpt2"])
@pytest.mark.parametrize("width", [2, 12])
def test_the_cases_are_right(width: int, target: str) -> None:
    """Each is asked of the model by itself; some end before as many tokens as were asked for."""
    model = made(width, cast(Target, target))
    cases = make_cases(model)
    assert len({case.id for case in cases}) == len(cases) and cases == make_cases(model)
    families = ANSWER_FAMILIES if width + 1 >= MIN_ANSWER_TOKENS else SHORT_ANSWER_FAMILIES
    assert {"whole chain", "equal rows", "one token"} <= {case.family for case in cases}
    assert ("unequal rows" in {case.family for case in cases}) == ("unequal_rows" in families)
    engine = model.engine("dense")
    for case in cases[:: 1 + len(cases) // 12]:
        tokens = engine.generate(np.array([case.prompt]), case.num_tokens)[0].tolist()
        assert tokens[: len(case.expected)] == list(case.expected)
    if target == "llama":
        assert all(case.text is not None for case in cases)
    assert Case.from_json(cases[0].to_json()) == cases[0]


def test_reads_are_the_inputs_that_decide_an_output() -> None:
    model = made(3, "gpt2")
    known = known_answers(model)
    first = known.num_prompt
    every = (0, 1, 2, 3, 4, 5)
    assert [known.reads(first + place) for place in range(4)] == [(0, 3), (0, 1, 3, 4), every, every]
    assert known.reads(first - 1) == known.reads(first + 4) == ()
    assert known.gates == ("sum[0]", "sum[1]", "sum[2]", "sum[3]")
    for place in range(4):
        for other in range(6):
            changed = False
            for bits in np.random.default_rng(place).integers(0, 2, (12, 6)).tolist():
                flipped = [bit ^ (position == other) for position, bit in enumerate(bits)]
                changed |= (
                    known.continue_prompt(known.prompt(bits), 4)[place]
                    != known.continue_prompt(known.prompt(flipped), 4)[place]
                )
            assert changed == (other in known.reads(first + place))


def test_prompts_that_are_none_are_refused() -> None:
    known = known_answers(made(2, "gpt2"))
    right = known.prompt([0, 1, 1, 0])
    assert known.continue_prompt([*right, 1, 0], 9) == known.continue_prompt(right, 3)[2:]
    for prompt in (right[:-1], [*right, 0, 0, 0, 0], [*right, 2], [2, *right[1:]], [*right[:5], 0, *right[6:]]):
        with pytest.raises(InputError, match="expected 4 bits, 7 fillers, = and at most 3 bits"):
            known.continue_prompt(prompt, 1)


def test_each_class_takes_its_own_models() -> None:
    with pytest.raises(InputError, match="was compiled with the chain 'none', not 'gates'"):
        KnownAnswers(made(2, "gpt2"))
    with pytest.raises(InputError, match="was compiled with the chain 'gates', not 'none'"):
        KnownColumns(compile(build_adder(2)))
    assert type(known_answers(compile(build_adder(2)))) is KnownAnswers
    build = CircuitBuilder()
    build.inputs("a", 2)
    with pytest.raises(InputError, match="has no outputs, so that nothing is known"):
        make_cases(compile(build.circuit(), chain="none"))
