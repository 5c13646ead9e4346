"""Known answers come from the circuit; engines that only see weights agree."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer import Model, compile, construct
from serialformer.engines.families import FAMILIES
from serialformer.engines.known import KnownAnswers
from serialformer.engines.scattered import scattered_circuit
from serialformer.engines.suite import make_cases
from serialformer.errors import InputError
from tests.cases import small_circuits


@pytest.fixture(scope="module")
def model() -> Model:
    return compile(scattered_circuit(4, num_inputs=7, num_gates=92))


@pytest.mark.parametrize("engine", ["dense", "indexed"])
def test_engines_of_ours_give_the_expected_tokens(model: Model, engine: str) -> None:
    """Prompts with altered chains as well, which no run of a circuit makes."""
    chosen = model.engine(engine)
    cases = make_cases(model, tuple(FAMILIES))
    for case in cases if engine == "indexed" else cases[::7]:
        made = chosen.generate(np.array([case.prompt], dtype=np.int64), case.num_tokens)[0].tolist()
        assert tuple(made[: len(case.expected)]) == case.expected, case.id
        assert set(made[len(case.expected) :]) <= {2}, case.id
        if case.ends and len(case.prompt) + len(case.expected) <= model.transformer.architecture.num_positions:
            assert made[len(case.expected)] == 2, case.id


@pytest.mark.parametrize("name", small_circuits())
def test_small_circuits(name: str) -> None:
    model = compile(small_circuits()[name])
    if model.num_new_tokens == 0:
        return
    known = KnownAnswers(model)
    assert len(known.gates) == model.num_new_tokens
    for bits in np.random.default_rng(0).integers(0, 2, (5, known.num_inputs)).tolist():
        prompt = known.prompt(bits)
        made = model.engine("indexed").generate(np.array([prompt]), model.num_new_tokens)[0].tolist()
        assert known.continue_prompt(prompt, 10_000) == tuple(made)


def test_reads_are_what_decides_a_token(model: Model) -> None:
    """Changing a token that is not among the reads changes nothing; one that is changes some token sooner or later."""
    known, random = KnownAnswers(model), np.random.default_rng(1)
    changed = 0
    for _ in range(60):
        length = int(random.integers(20, known.num_tokens))
        prompt = known.prompt(random.integers(0, 2, known.num_inputs).tolist())
        prompt += known.continue_prompt(prompt, length - len(prompt))
        expected = known.continue_prompt(prompt, 1)
        for place in (*range(known.num_inputs), *range(known.num_inputs + 1, length)):
            other = [*prompt]
            other[place] ^= 1
            differs = known.continue_prompt(other, 1) != expected
            assert not differs or place in known.reads(length)
            changed += differs
    assert changed > 60


def test_prompts_that_are_none_are_refused(model: Model) -> None:
    known = KnownAnswers(model)
    for prompt in ([0, 1], [0] * 8, [0] * 7 + [2, 2], [0] * 7 + [2] + [0] * 93, [3] * 7 + [2]):
        with pytest.raises(InputError, match="expected 7 bits, = and at most 92 bits"):
            known.continue_prompt(prompt, 1)


def test_a_model_of_a_task_is_refused() -> None:
    with pytest.raises(InputError, match="not a compiled circuit"):
        KnownAnswers(construct("parity", 4))


def test_the_end_token_has_no_reads(model: Model) -> None:
    known = KnownAnswers(model)
    assert known.reads(known.num_tokens) == known.reads(known.num_inputs) == ()
