"""What holds for every task: sizes, checkers against samplers, text, layouts of every setting."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from serialformer.errors import TaskError
from serialformer.tasks.examples import NO_LABEL, Examples, join
from serialformer.tasks.layout import SETTINGS, lay_out, num_new_tokens, num_positions
from serialformer.tasks.modular_addition import ModularAddition
from serialformer.tasks.registry import TASKS, make_task
from serialformer.tasks.task import EQUALS, ParameterValue, Task
from serialformer.tasks.text import read_prompt, write_tokens
from tests.tasks.every_task import CASES, NAMES, tasks_and_lengths

every_task = pytest.mark.parametrize(("task", "length"), tasks_and_lengths(), ids=NAMES)


def test_every_task_is_in_the_table() -> None:
    assert {name for name, _, _ in CASES} == set(TASKS)


@every_task
def test_sizes(task: Task, length: int) -> None:
    examples = task.sample(np.random.default_rng(0), length, 40)
    vocabulary = task.vocabulary(length)
    end = vocabulary.index(EQUALS)
    assert len(set(vocabulary)) == len(vocabulary) and task.end_token(length) == examples.end_token == end
    assert examples.prompts.shape == examples.hints.shape == (40, task.prompt_width(length))
    assert examples.chains.shape == (40, task.chain_width(length))
    assert examples.prompts.min() >= 0 and examples.prompts.max() < len(vocabulary)
    for row in range(40):
        prompt_length, chain_length = int(examples.prompt_lengths[row]), int(examples.chain_lengths[row])
        assert (examples.prompts[row] == end).argmax() == prompt_length - 1
        assert (examples.prompts[row, prompt_length:] == end).all()
        assert (examples.chains[row, :chain_length] != end).all() and chain_length > 0
        assert (examples.chains[row, chain_length:] == end).all()
        stop = examples.answer_starts[row] + task.num_answer_tokens
        assert 0 <= examples.answer_starts[row] < stop <= chain_length
        assert examples.hints[row, prompt_length - 1] == examples.answers[row, 0]
        assert (examples.hints[row, prompt_length:] == NO_LABEL).all()


@every_task
def test_the_generator_decides(task: Task, length: int) -> None:
    batches = [task.sample(np.random.default_rng(seed), length, 30) for seed in (7, 7, 8)]
    for field in dataclasses.fields(batches[0]):
        assert np.array_equal(getattr(batches[0], field.name), getattr(batches[1], field.name))
    if task.prompt_width(length) > 4:
        assert not np.array_equal(batches[0].prompts, batches[2].prompts)


@every_task
def test_checkers_accept_what_is_right(task: Task, length: int) -> None:
    examples = task.sample(np.random.default_rng(1), length, 200)
    assert task.steps_follow(examples.prompts, examples.chains, length).all()
    assert task.chains_are_right(examples.prompts, examples.chains, length).all()
    assert task.answers_are_right(examples.prompts, examples.answers, length).all()


@every_task
def test_checkers_refuse_one_wrong_token(task: Task, length: int) -> None:
    """Chains are unique, so any other token is wrong, and it is the first that does not follow."""
    random = np.random.default_rng(2)
    examples = task.sample(random, length, 300)
    rows = np.arange(300)
    places = (random.random(300) * examples.chain_lengths).astype(np.int64)
    chains = examples.chains.copy()
    offset = random.integers(1, len(task.vocabulary(length)), 300)
    chains[rows, places] = (chains[rows, places] + offset) % len(task.vocabulary(length))
    follow = task.steps_follow(examples.prompts, chains, length)
    assert np.array_equal(follow.argmin(axis=1), places) and not follow[rows, places].any()
    assert not task.chains_are_right(examples.prompts, chains, length).any()
    answers = examples.answers
    answers[:, 0] = (answers[:, 0] + offset) % len(task.vocabulary(length))
    assert not task.answers_are_right(examples.prompts, answers, length).any()


@every_task
def test_checkers_take_any_tokens(task: Task, length: int) -> None:
    """Noise, ids out of range included, is refused without an error; also what is too long."""
    random = np.random.default_rng(3)
    examples = task.sample(random, length, 50)
    noise = random.integers(-3, len(task.vocabulary(length)) + 3, examples.chains.shape)
    right = (noise == examples.chains).all(axis=1)
    assert np.array_equal(task.chains_are_right(examples.prompts, noise, length), right)
    padded = examples.chains.copy()
    padded[:, -1] = task.end_token(length)
    expected = examples.chain_lengths < task.chain_width(length)
    assert np.array_equal(task.chains_are_right(examples.prompts, padded, length), expected)


@every_task
def test_text_and_back(task: Task, length: int) -> None:
    examples = task.sample(np.random.default_rng(4), length, 25)
    vocabulary = task.vocabulary(length)
    for row in range(25):
        prompt = examples.prompts[row, : examples.prompt_lengths[row]]
        text = write_tokens(prompt.tolist(), vocabulary)
        ids, found = read_prompt(task, text)
        own = task.vocabulary(found)
        assert [own[token] for token in ids] == text.split()
        assert np.array_equal(read_prompt(task, text.removesuffix(" ="))[0], ids)
        again = task.solve(ids[None], found)
        chain = examples.chains[row, : examples.chain_lengths[row]].tolist()
        assert write_tokens(again.chains[0].tolist(), own) == write_tokens(chain, vocabulary)


@every_task
@pytest.mark.parametrize("setting", SETTINGS)
def test_layouts(task: Task, length: int, setting: str) -> None:
    """Against the same built row by row with lists; batches of one row may all be shorter than the task allows."""
    for seed, num_rows in ((5, 20), (0, 1), (1, 1), (2, 1), (3, 1)):
        check_layout(task, length, setting, task.sample(np.random.default_rng(seed), length, num_rows))


def check_layout(task: Task, length: int, setting: str, examples: Examples) -> None:
    if setting == "aligned" and task.aligned_items(length) is None:
        with pytest.raises(TaskError, match="does not go along with the prompt\nhint: use cot"):
            lay_out(task, examples, setting, length)
        return
    layout = lay_out(task, examples, setting, length)
    end = task.end_token(length)
    assert layout.tokens.shape == layout.labels.shape == layout.has_loss.shape
    assert layout.tokens.shape[1] <= num_positions(task, setting, length)
    for row in range(len(examples)):
        prompt = examples.prompts[row, : examples.prompt_lengths[row]].tolist()
        chain = examples.chains[row, : examples.chain_lengths[row]].tolist()
        answer = examples.answers[row].tolist()
        if setting == "aligned":
            whole, labels = slow_alignment(task, length, prompt, chain)
        else:
            thinking = [end] * len(chain) if setting == "filler" else []
            said = chain if setting == "cot" else answer
            whole = prompt + thinking + said
            silent = len(prompt) + len(thinking) - 1
            labels = [NO_LABEL] * silent + said
            if setting == "hint":
                labels[: len(prompt)] = examples.hints[row, : len(prompt)].tolist()
        tokens = layout.tokens[row].tolist()
        # An aligned row that is shorter than others goes on with padding in between, which has no label.
        assert [label for label in layout.labels[row].tolist() if label != NO_LABEL] == [
            label for label in labels if label != NO_LABEL
        ]
        stop = max(place for place, label in enumerate(labels) if label != NO_LABEL) + 1
        assert tokens[:stop] == whole[:stop] and layout.labels[row, :stop].tolist() == labels[:stop]
        assert layout.labels[row, layout.answer_positions[row]].tolist() == answer


def slow_alignment(task: Task, length: int, prompt: list[int], chain: list[int]) -> tuple[list[int], list[int]]:
    items = task.aligned_items(length)
    assert items is not None
    whole, labels = [], []
    for item in range(length + 1):
        given = [token for token, number in zip(prompt, items[0], strict=False) if number == item]
        made = [token for token, number in zip(chain, items[1], strict=False) if number == item]
        whole += given + made
        labels += [NO_LABEL] * len(given) + made
    return whole, [*labels[1:], NO_LABEL]


@every_task
def test_rows_of_one_size(task: Task, length: int) -> None:
    examples = task.sample(np.random.default_rng(6), length, 50)
    seen = []
    for rows in examples.blocks(7):
        block = examples.select(rows)
        assert len(block) <= 7
        assert (block.prompt_lengths == block.prompts.shape[1]).all()
        assert (block.chain_lengths == block.chains.shape[1]).all()
        assert np.array_equal(block.answers, examples.answers[rows])
        assert np.array_equal(block.sequences(), np.concatenate([block.prompts, block.chains], axis=1))
        seen += rows.tolist()
    assert sorted(seen) == list(range(50))


@every_task
def test_other_ids(task: Task, length: int) -> None:
    examples = task.sample(np.random.default_rng(7), length, 10)
    ids = np.random.default_rng(0).permutation(len(task.vocabulary(length)) + 3)[: len(task.vocabulary(length))]
    other = examples.renumber(ids)
    assert np.array_equal(other.prompts, ids[examples.prompts]) and np.array_equal(other.answers, ids[examples.answers])
    assert other.end_token == ids[examples.end_token]
    assert np.array_equal(other.hints == NO_LABEL, examples.hints == NO_LABEL)
    assert np.array_equal(other.sequences(), ids[examples.sequences()])


@every_task
def test_nothing_at_all(task: Task, length: int) -> None:
    examples = task.sample(np.random.default_rng(0), length, 0)
    assert len(examples) == 0 and examples.answers.shape == (0, task.num_answer_tokens)
    assert task.answers_are_right(examples.prompts, examples.answers, length).shape == (0,)


@pytest.mark.parametrize("name", TASKS)
def test_docstrings_say_what_is_what(name: str) -> None:
    text = TASKS[name].__doc__ or ""
    assert all(part in text for part in ("Prompt:", "Chain:", "Answer:"))
    assert text.count("Attributes:") == bool(make_task(name).parameters)


@pytest.mark.parametrize(
    ("name", "given", "prompt", "chain", "answer"),
    [
        ("modular-addition", {}, "3 5 6 =", "3 1 0", "0"),
        ("permutation-composition", {"degree": 3}, "( 2 3 1 ) ( 2 1 3 ) =", "( 2 3 1 ) ( 3 2 1 )", "3 2 1"),
        ("permutation-composition", {"degree": 3, "format": "token"}, "231 213 =", "231 321", "321"),
        ("iterated-squaring", {}, "7 3 ^2 ^2 =", "2 4", "4"),
        (
            "circuit-value",
            {},
            "TRUE NA NA 1 FALSE NA NA 2 NOT 1 NA 3 OR 3 1 4 =",
            "TRUE NA NA TRUE FALSE NA NA FALSE NOT TRUE NA FALSE OR FALSE TRUE TRUE",
            "TRUE",
        ),
        ("parity", {}, "1 0 1 1 =", "1 1 0 1", "1"),
        ("majority", {}, "1 0 1 1 =", "1 1 2 3 1", "1"),
        ("majority", {}, "1 0 0 1 =", "1 1 1 2 0", "0"),
        ("word-problem", {"group": "Z5"}, "3 4 1 =", "3 2 3", "3"),
        ("automaton", {}, "b a b b =", "q1 q0 q1 q2", "q2"),
        ("automaton", {"accepting": "2"}, "b a =", "q1 q0 reject", "reject"),
        ("arithmetic-expression", {}, "( ( 7 + 5 ) * 3 ) =", "( 1 * 3 ) ; 3", "3"),
        ("edit-distance", {}, "a b | b b =", "1 1 2 1", "1"),
    ],
)
def test_worked_examples(name: str, given: dict[str, ParameterValue], prompt: str, chain: str, answer: str) -> None:
    """Those of the docstrings, and the paper's own for circuits."""
    task = make_task(name, given)
    ids, length = read_prompt(task, prompt)
    examples, vocabulary = task.solve(ids[None], length), task.vocabulary(length)
    assert write_tokens(examples.chains[0].tolist(), vocabulary) == chain
    assert write_tokens(examples.answers[0].tolist(), vocabulary) == answer
    shown = " ".join((type(task).__doc__ or "").split())
    if given in ({}, {"degree": 3}, {"group": "Z5"}) and prompt != "1 0 0 1 =":
        assert prompt in shown and chain in shown


def test_errors() -> None:
    task, random = ModularAddition(), np.random.default_rng(0)
    for call, message in (
        (lambda: task.sample(random, 0, 3), "modular-addition: expected a length of at least 1, found 0"),
        (lambda: task.sample(random, 3, -1), "modular-addition: expected a number of samples, found -1"),
        (
            lambda: task.sample(random, 10**9, 2),
            "modular-addition: 2 samples of length 1,000,000,000 are 4,000,000,002 tokens, over 134,217,728\n"
            "hint: ask for fewer at a time",
        ),
        (lambda: task.solve(np.array([[1, 2]]), 2), "modular-addition: expected prompts of 3 tokens, found 2"),
        (lambda: task.solve(np.array([[1, 9, 7]]), 2), "modular-addition: expected token ids from 0 to 7"),
        (lambda: task.solve(np.array([[1, 2, 3]]), 2), "modular-addition: expected '=' at the end of every prompt"),
        (
            lambda: task.steps_follow(np.array([[1, 2, 7]]), np.array([[1]]), 2),
            "modular-addition: expected chains of [1, 2], found [1, 1]",
        ),
        (
            lambda: task.answers_are_right(np.array([[1, 2, 7]]), np.array([[1, 2]]), 2),
            "modular-addition: expected answers of [1, 1], found [1, 2]",
        ),
        (
            lambda: lay_out(task, task.sample(random, 3, 2), "cott", 3),
            "no setting 'cott'\nhint: one of base, cot, hint, filler, aligned",
        ),
    ):
        with pytest.raises(TaskError) as error:
            call()
        assert str(error.value) == message


def test_a_length_too_long_is_refused_before_memory_is_taken() -> None:
    """An expression of so many numbers has a chain of 2 * 10^12 tokens."""
    for name in TASKS:
        with pytest.raises(TaskError, match="tokens, over"):
            make_task(name).sample(np.random.default_rng(0), 10**9, 1)


def test_joining_uneven_rows() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        rows, left, right = (int(size) for size in random.integers(1, 7, 3))
        left_lengths, right_lengths = random.integers(0, left + 1, rows), random.integers(0, right + 1, rows)
        a, b = random.integers(0, 9, (rows, left)), random.integers(0, 9, (rows, right))
        joined = join(a, left_lengths, b, right_lengths, -5)
        for row in range(rows):
            both = a[row, : left_lengths[row]].tolist() + b[row, : right_lengths[row]].tolist()
            assert joined[row].tolist() == both + [-5] * (joined.shape[1] - len(both))


def test_new_tokens() -> None:
    task = make_task("permutation-composition")
    assert [num_new_tokens(task, setting, 3) for setting in SETTINGS] == [5, 21, 5, 5, 21]
    assert [num_positions(task, setting, 3) for setting in SETTINGS] == [26, 42, 26, 47, 42]
