"""The grammar of a page takes the prompts that the task's own checker takes, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from tests.task_models import random_model

from serialformer.errors import TaskError
from serialformer.explorer.grammar import INDEPENDENT, prompt_grammar
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import EQUALS, Task
from serialformer.tasks.text import read_prompt

TASKS = [*(make_task(name) for name in INDEPENDENT), make_task("permutation-composition", {"format": "token"})]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_table_decides_as_the_task_does(task: Task) -> None:
    length = 3
    grammar = prompt_grammar(random_model(task, length))
    assert grammar["kind"] == "places"
    random = np.random.default_rng(0)
    vocabulary = task.vocabulary(length)
    examples = task.sample(random, length, 40)
    verdicts = set()
    for prompt in examples.prompts:
        texts = [vocabulary[token] for token in prompt[:-1]]
        for place in range(len(texts)):
            if random.integers(3) == 0:
                texts[place] = str(random.choice([*vocabulary, *[EQUALS] * len(vocabulary)]))
        try:
            _, found = read_prompt(task, " ".join(texts))
            is_prompt = found == length
        except TaskError:
            is_prompt = False
        by_table = all(text in grammar["sets"][place] for text, place in zip(texts, grammar["places"], strict=True))
        assert by_table == is_prompt, texts
        verdicts.add(is_prompt)
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("name", "setting"), [("iterated-squaring", "cot"), ("parity", "aligned"), ("parity", "filler")]
)
def test_what_only_python_can_check(name: str, setting: str) -> None:
    assert prompt_grammar(random_model(make_task(name), 3, setting))["kind"] == "served"
