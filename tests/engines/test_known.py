"""Known answers come from the circuit; engines that only see weights agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serialformer import Model, Shape, compile, construct
from serialformer.engines.families import FAMILIES
from serialformer.engines.known import KnownAnswers
from serialformer.engines.scattered import scattered_circuit
from serialformer.engines.suite import make_cases
from serialformer.errors import InputError
from tests.cases import small_circuits


@pytest.fixture(scope="module")
def model() -> Model:
    return compile(scattered_circuit(4, num_inputs=7, num_gates=92))


@pytest.fixture(scope="module")
def llama() -> Model:
    return compile(scattered_circuit(4, num_inputs=7, num_gates=92), target="llama", shape=Shape(hidden=64))


@pytest.mark.parametrize(("target", "engine"), [("gpt2", "dense"), ("gpt2", "indexed"), ("llama", "indexed")])
def test_engines_of_ours_give_the_expected_tokens(model: Model, llama: Model, target: str, engine: str) -> None:
    """Prompts with altered chains as well, which no run of a circuit makes."""
    model = llama if target == "llama" else model
    end = model.transformer.architecture.end_token
    chosen = model.engine(engine)
    cases = make_cases(model, tuple(FAMILIES))
    for case in cases if engine == "indexed" else cases[::7]:
        made = chosen.generate(np.array([case.prompt], dtype=np.int64), case.num_tokens)[0].tolist()
        assert tuple(made[: len(case.expected)]) == case.expected, case.id
        assert set(made[len(case.expected) :]) <= {end}, case.id
        if case.ends and len(case.prompt) + len(case.expected) <= model.transformer.architecture.num_positions:
            assert made[len(case.expected)] == end, case.id


def test_both_targets_are_asked_the_same(model: Model, llama: Model) -> None:
    """Case by case, but for the ids, and for the end token where a Llama has spare positions."""
    families = tuple(name for name in FAMILIES if name != "ends")
    placed = llama.words.placed
    assert placed is not None
    for one, other in zip(make_cases(model, families), make_cases(llama, families), strict=True):
        assert (one.id, one.gates, one.reads) == (other.id, other.gates, other.reads)
        prompt, expected = np.array([other.prompt]), np.array([other.expected], dtype=np.int64)
        assert tuple(placed.read(prompt, 0)[0].tolist()) == one.prompt
        assert tuple(placed.read(expected, len(one.prompt))[0].tolist()) == one.expected


def test_the_text_of_a_llamas_prompt_gives_its_ids(llama: Model, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    tokenizer = transformers.AutoTokenizer.from_pretrained(llama.save(tmp_path / "model").directory)
    for case in make_cases(llama)[::5]:
        assert case.text is not None and tuple(tokenizer(case.text)["input_ids"]) == case.prompt


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
