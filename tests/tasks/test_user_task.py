"""A task of the user's own: what makes one, and every way in which it can be none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from serialformer.errors import TaskError
from serialformer.tasks.registry import make_task, parse_task
from serialformer.tasks.step_task import StepTask
from serialformer.tasks.user_task import SOURCE_FILE, check_record, check_task, record_source, source_of

MAXIMUM = '''
from dataclasses import dataclass
from serialformer.tasks.step_task import StepTask

@dataclass(frozen=True, kw_only=True)
class Maximum(StepTask):
    """The largest digit so far."""
    digits: int = 10

    def symbols(self):
        return [str(digit) for digit in range(self.digits)]

    def next_token(self, items, chain):
        return max([*chain[-1:], *items[len(chain) : len(chain) + 1]])

    def answer(self, items):
        return max(items)
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mytask.py"
    path.write_text(MAXIMUM)
    return path


def test_it_is_a_task(file: Path) -> None:
    task = parse_task(f"{file}:Maximum", ["digits=4"])
    assert (task.name, task.parameters, task.version) == ("mytask.py:Maximum", {"digits": 4}, 1)
    examples = task.sample(np.random.default_rng(1), 6, 50)
    items = examples.prompts[:, :-1]
    assert np.array_equal(examples.chains, np.maximum.accumulate(items, axis=1)) and items.max() == 3
    assert task.chains_are_right(examples.prompts, examples.chains, 6).all()
    wrong = examples.chains.copy()
    wrong[:, 2] = (wrong[:, 2] + 1) % 4
    # The step after a wrong one is judged by the wrong one.
    assert not task.steps_follow(examples.prompts, wrong, 6)[:, 2].any()
    assert not task.answers_are_right(examples.prompts, (examples.answers + 1) % 4, 6).any()
    assert source_of(task) == MAXIMUM and source_of(make_task("parity")) is None


def test_a_chain_that_ends_early_does_not_follow(file: Path) -> None:
    task = make_task(f"{file}:Maximum")
    prompts = np.array([[3, 1, 4, 10]])
    assert task.steps_follow(prompts, np.array([[3, 10, 10]]), 3).tolist() == [[True, False, False]]


@dataclass(frozen=True, kw_only=True)
class Longest(StepTask):
    """A chain of another length than its prompt, and a neutral item."""

    name = "longest"

    def symbols(self) -> list[str]:
        return ["0", "1"]

    @property
    def neutral_item(self) -> str:
        return "0"

    def num_steps(self, length: int) -> int:
        return 2

    def next_token(self, items: object, chain: object) -> str:
        return "1" if "1" in items else "0"


def test_curricula_and_chains_of_another_length() -> None:
    task = check_task(Longest())
    assert task.aligned_items(4) is None and list(task.curricula) == ["neutral"]
    eased = task.sample(np.random.default_rng(0), 4, 20, curriculum=("neutral", 1.0))
    assert (eased.prompts[:, :-1] == 0).all() and (eased.chains == 0).all() and eased.chains.shape == (20, 2)
    assert eased.hints[0].tolist() == [0, 0, -1, -1, 0]


def change(*pairs: tuple[str, str]) -> str:
    text = MAXIMUM
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    return text


SYMBOLS = "[str(digit) for digit in range(self.digits)]"
NEXT = "max([*chain[-1:], *items[len(chain) : len(chain) + 1]])"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Maximum", None, "mytask.py: no such file\nhint: check the path"),
        ("Maximal", MAXIMUM, "mytask.py: no class 'Maximal'\nhint: it has Maximum"),
        ("", MAXIMUM, "mytask.py: no class named\nhint: write {path}:Maximum; it has Maximum"),
        ("dataclass", MAXIMUM, "mytask.py:dataclass: is not a subclass of serialformer.tasks.task.Task"),
        ("Maximum", "import nothing_there", ":1: ModuleNotFoundError"),
        (
            "Maximum",
            change(("@dataclass(frozen=True, kw_only=True)", ""), ("def symbols", "def letters")),
            "mytask.py:Maximum: does not define symbols; is not a frozen dataclass",
        ),
        (
            "Maximum",
            change((SYMBOLS, "['a b', '=', '=']")),
            "mytask.py:Maximum: vocabulary: 'a b' is not a text without blanks; vocabulary: = more than once",
        ),
        ("Maximum", change((SYMBOLS, "['1', '']")), "vocabulary: '' is not a text without blanks"),
        (
            "Maximum",
            change((NEXT, "'x'")),
            "mytask.py:Maximum: chains hold a token that the vocabulary does not have (id -1)",
        ),
        ("Maximum", change((NEXT, "'='")), "the chain of sample 0 contains '=', which ends generation"),
        ("Maximum", change(("max(items)", "min(items)")), "the answer of sample 0 is not the one that its chain ends"),
        ("Maximum", change((NEXT, "items[7]")), "sample fails at line 14: IndexError: list index out of range"),
        (
            "Maximum",
            change((NEXT, "str(id(chain) % 7)")),
            "mytask.py:Maximum: ",
        ),
    ],
)
def test_refusals(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    path = tmp_path / "mytask.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TaskError) as caught:
        make_task(f"{path}:{name}")
    assert message.format(path=path) in str(caught.value)


def test_parameters_are_refused_together(file: Path) -> None:
    with pytest.raises(TaskError) as caught:
        parse_task(f"{file}:Maximum", ["digit=3", "digits=many"])
    assert str(caught.value) == (
        f"{file}:Maximum: no parameter 'digit'; digits: expected a whole number, found 'many'\nhint: it has digits=int"
    )


def test_the_record(file: Path, tmp_path: Path) -> None:
    task = make_task(f"{file}:Maximum")
    record_source(task, tmp_path)
    assert (tmp_path / SOURCE_FILE).read_text() == MAXIMUM
    file.write_text("# A comment.\n" + MAXIMUM.replace("digits: int = 10", "digits:  int = 10"))
    check_record(make_task(f"{file}:Maximum"), tmp_path)  # the same program
    file.write_text(MAXIMUM.replace("max([", "min(["))
    with pytest.raises(TaskError):
        make_task(f"{file}:Maximum")  # it contradicts its own answer
    file.write_text(MAXIMUM.replace("max(", "min("))
    with pytest.raises(TaskError, match="is not the file that the model was made with"):
        check_record(make_task(f"{file}:Maximum"), tmp_path)
    (tmp_path / SOURCE_FILE).unlink()
    with pytest.raises(TaskError, match="the source of its task is missing"):
        check_record(make_task(f"{file}:Maximum"), tmp_path)


@pytest.mark.parametrize(
    ("short", "name", "parameters"),
    [
        ("S_5", "permutation-composition", {"degree": 5, "format": "brackets"}),
        ("s_3", "permutation-composition", {"degree": 3, "format": "brackets"}),
        ("C_7", "modular-addition", {"modulus": 7}),
        ("c_2", "modular-addition", {"modulus": 2}),
        ("CVP", "circuit-value", {"constants": 0.2, "negations": 0.2}),
        ("cvp", "circuit-value", {"constants": 0.2, "negations": 0.2}),
    ],
)
def test_short_names_of_the_paper(short: str, name: str, parameters: dict[str, object]) -> None:
    task = make_task(short)
    assert (task.name, task.parameters) == (name, parameters)


def test_a_short_name_fixes_its_parameter() -> None:
    assert parse_task("S_5", ["format=token", "degree=5"]).parameters == {"degree": 5, "format": "token"}
    with pytest.raises(
        TaskError, match="-p: C_7 has modulus 7, found modulus=5\nhint: write modular-addition -p modulus"
    ):
        parse_task("C_7", ["modulus=5"])
    with pytest.raises(TaskError, match="no task 'Z_5'"):
        make_task("Z_5")
