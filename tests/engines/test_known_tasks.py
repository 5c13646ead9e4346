"""Known answers of constructed tasks: those of the task's own solver, of transformers, and none for other models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer import Model, construct
from serialformer.constructions.interpret import interpret
from serialformer.engines.families import FAMILIES
from serialformer.engines.known_tasks import KnownTaskAnswers
from serialformer.engines.suite import engine_cases, make_cases, read_suite
from serialformer.errors import InputError
from serialformer.models.construction_of import construction_of
from serialformer.tasks.registry import make_task
from serialformer.transformer.forward import compute_logits
from tests.task_models import random_model

CASES: dict[str, tuple[str, dict[str, int | str], int]] = {
    "parity": ("parity", {}, 30),
    "majority": ("majority", {}, 27),
    "sums modulo 7": ("modular-addition", {}, 28),
    "an automaton with a verdict": ("automaton", {"accepting": "0,2", "start": 1}, 29),
    "products in D6": ("word-problem", {"group": "D6"}, 27),
    "permutations in brackets": ("permutation-composition", {"degree": 4}, 7),
    "permutations as symbols": ("permutation-composition", {"format": "symbols"}, 7),
}


def made(name: str, target: Any = "llama") -> Model:
    task, parameters, length = CASES[name]
    return construct(make_task(task, parameters), length, target=target)


@pytest.mark.parametrize("target", ["llama", "gpt2"])
@pytest.mark.parametrize("name", CASES)
def test_answers_are_those_of_the_solver_and_of_the_construction(name: str, target: str) -> None:
    model = made(name, target)
    known, random = KnownTaskAnswers(model), np.random.default_rng(3)
    examples = model.task.sample(random, model.length, 5)
    count = model.num_new_tokens
    for prompt, chain in zip(examples.prompts.tolist(), examples.chains.tolist(), strict=True):
        assert known.continue_prompt(prompt, count + 9) == tuple(chain)
        cut = int(random.integers(count))
        assert known.continue_prompt(prompt + chain[:cut], 3) == tuple(chain[cut : cut + 3])
        # What follows a wrong token is what the construction writes, run as it stands.
        altered = [*prompt, *chain[:cut]]
        for place in random.choice(len(altered), 3, replace=False).tolist():
            altered[place] = known.other(altered[place], place)
        expected = interpret(construction_of(model), np.array([altered]), count - cut)[0]
        assert known.continue_prompt(altered, count) == tuple(expected.tolist())


@pytest.mark.parametrize("name", CASES)
def test_what_a_token_reads_decides_it_and_nothing_else_does(name: str) -> None:
    known, random = KnownTaskAnswers(made(name)), np.random.default_rng(1)
    prompt = known.question(random)
    whole = prompt + list(known.continue_prompt(prompt, 999))
    for position in random.choice(np.arange(len(prompt), len(whole)), 6, replace=False).tolist():
        reads, token = known.reads(position), whole[position]
        assert reads and max(reads) < position
        others = [place for place in range(position) if place not in reads]
        changed = whole[:position]
        for place in others:
            changed[place] = known.other(changed[place], place)
        assert known.continue_prompt(changed, 1) == (token,)


@pytest.mark.parametrize("name", ["parity", "permutations in brackets"])
def test_cases_are_right_for_the_weights_and_for_transformers(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the extra torch is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    model = made(name).save(tmp_path / "model")
    facts = engine_cases(tmp_path / "model", tmp_path / "cases.jsonl")
    (read,) = read_suite(tmp_path / "model")
    assert facts == {"cases": len(read.cases), "tokens": read.num_tokens} and len(read.cases) > 30
    assert {case.family for case in read.cases} >= {"whole chain", "altered chain", "shared prefix", "end token"}
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    for case in read.cases:
        assert case.text is not None and tokenizer(case.text)["input_ids"] == list(case.prompt)
        whole = np.array([[*case.prompt, *case.expected]])
        written = compute_logits(model.transformer, whole, dtype=np.float32)[0].argmax(axis=-1)[len(case.prompt) - 1 :]
        assert written[:-1].tolist() == list(case.expected)
        assert not case.ends or written[-1] == read.end_token
    for case in read.cases[:3]:
        prompt = torch.tensor([case.prompt])
        ended = stock.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=case.num_tokens, do_sample=False
        )
        assert ended[0, len(case.prompt) :][: len(case.expected)].tolist() == list(case.expected)


def test_every_family_asks_a_gpt2_of_a_task() -> None:
    model = made("sums modulo 7", "gpt2")
    cases = make_cases(model, tuple(FAMILIES))
    for case in cases:
        whole = np.array([[*case.prompt, *case.expected]])
        written = compute_logits(model.transformer, whole, dtype=np.float32)[0].argmax(axis=-1)
        assert written[len(case.prompt) - 1 : -1].tolist() == list(case.expected)
    assert any(case.text is None for case in cases) and any(case.text for case in cases)


def test_what_is_refused() -> None:
    known = KnownTaskAnswers(construct("parity", 3, target="llama"))
    for prompt in ([1, 0, 1], [1, 0, 1, 1], [1, 0, 1, 2, 0, 0, 0, 0], [2, 0, 1, 2]):
        with pytest.raises(InputError, match="expected 4 to 7 tokens that can stand where they do, found"):
            known.continue_prompt(prompt, 2)
    with pytest.raises(InputError, match="the prompts of iterated-squaring differ in length"):
        KnownTaskAnswers(construct("iterated-squaring", 2))
    with pytest.raises(InputError, match="has the setting base"):
        KnownTaskAnswers(construct("parity", 4, setting="base"))
    with pytest.raises(InputError, match="was not constructed"):
        KnownTaskAnswers(random_model(make_task("parity"), 4))
    with pytest.raises(InputError, match="expected a chain of at least 27 tokens, found 4"):
        make_cases(serialformer.construct("parity", 4))
