"""Constructions of tasks: a task and a length become a transformer that makes the task's chain, by one look-up a token.

Nothing here is trained, and everything is checked: ``blueprint_margins`` goes through every case that a chain can meet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from serialformer.architecture import Activation, DtypeName
from serialformer.compile.automaton import Machine, machine_to_blueprint, table_rule
from serialformer.compile.blueprint import Blueprint, blueprint_to_gpt2, check_sizes
from serialformer.compile.blueprint_margins import BlueprintMargins, measure_blueprint
from serialformer.compile.digits import Digits, cyclic_digits, group_digits, prime_powers
from serialformer.compile.permutations import permutation_blueprint
from serialformer.compile.squaring import primes_below, squaring_blueprint
from serialformer.errors import CompileError
from serialformer.tasks.automaton import ACCEPT, REJECT, Automaton
from serialformer.tasks.groups import make_group
from serialformer.tasks.iterated_squaring import SQUARE, IteratedSquaring
from serialformer.tasks.majority import Majority
from serialformer.tasks.modular_addition import ModularAddition, Parity
from serialformer.tasks.permutation_composition import PermutationComposition
from serialformer.tasks.task import Task
from serialformer.tasks.word_problem import WordProblem
from serialformer.transformer.transformer import Transformer

CONSTRUCTED = (
    ModularAddition.name,
    PermutationComposition.name,
    IteratedSquaring.name,
    Parity.name,
    Majority.name,
    WordProblem.name,
    Automaton.name,
)
"""The tasks that have a construction."""

MAX_TOKENS = 4096
"""Of a vocabulary: every token is compared with every other."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Construction:
    """A transformer for a task, and how it came about."""

    blueprint: Blueprint
    transformer: Transformer
    margins: BlueprintMargins

    def details(self) -> dict[str, Any]:
        """What ``serialformer.json`` says of it."""
        return {"construction": self.blueprint.name, "hidden_units": self.blueprint.num_units, **asdict(self.margins)}


def construct_task(
    task: Task,
    length: int,
    *,
    dtype: DtypeName = "float32",
    activation: Activation = "gelu_new",
    attention_gap: float | None = None,
) -> Construction:
    """The transformer that makes a task's chains of thought for prompts of one length, and ends them with ``=``.

    Args:
        task: with its parameters; one of CONSTRUCTED.
        length: the number of items; of squarings, the most.
        dtype: number format of the weights; the result holds for runtimes that compute in it or in a wider one.
        activation: ``gelu_new`` is what stock GPT-2 has; ``relu`` takes the same weights.
        attention_gap: the least score difference to aim at; default: 40, more for very long chains.

    Raises:
        CompileError: the task has no construction, it would be too large, or not hold at this number format.
        TaskError: the task has no such length.

    >>> construction = construct_task(Parity(), 16)
    >>> construction.transformer.architecture.width, construction.blueprint.num_units
    (21, 5)
    """
    task.check_size(length, 1)
    num_tokens = len(task.vocabulary(length))
    if num_tokens > MAX_TOKENS:
        raise CompileError(
            f"{task.name} has {num_tokens:,} tokens, over {MAX_TOKENS:,}", hint="choose a smaller length or parameter"
        )
    blueprint = task_blueprint(task, length)
    transformer = blueprint_to_gpt2(blueprint, dtype=dtype, activation=activation, attention_gap=attention_gap)
    return Construction(blueprint=blueprint, transformer=transformer, margins=measure_blueprint(blueprint, transformer))


def task_blueprint(task: Task, length: int) -> Blueprint:
    """The blueprint of a task's construction."""
    vocabulary, end = task.vocabulary(length), task.end_token(length)
    if isinstance(task, IteratedSquaring):
        primes = primes_below(task.bound)
        return squaring_blueprint(task.name, vocabulary, end, vocabulary.index(SQUARE), primes, length)
    if isinstance(task, PermutationComposition) and task.format != "token":
        return permutation_blueprint(task.name, vocabulary, end, task.degree, task.item_width, length)
    if isinstance(task, Automaton):
        return machine_to_blueprint(_automaton_machine(task, vocabulary, end), length)
    if isinstance(task, Majority):
        check_sizes(task.name, 3 * length + 4, 2 * length + 2)
        return machine_to_blueprint(_majority_machine(task, vocabulary, end, length), length)
    if isinstance(task, ModularAddition | Parity):
        modulus = 2 if isinstance(task, Parity) else task.modulus
        check_sizes(task.name, sum(power**2 for power in prime_powers(modulus)) + 1, 2 * length + 1, modulus**2)
        number = np.arange(modulus)
        product, digits = (number[:, None] + number) % modulus, cyclic_digits(modulus)
    elif isinstance(task, PermutationComposition | WordProblem):
        group = task.table if isinstance(task, WordProblem) else make_group(f"S{task.degree}")
        product, digits = group.product, group_digits(group.name, group.product)
    else:
        raise CompileError(f"{task.name} has no construction", hint=f"there is one of {', '.join(CONSTRUCTED)}")
    return machine_to_blueprint(_group_machine(task.name, vocabulary, end, product, digits), length)


def _group_machine(
    name: str, vocabulary: tuple[str, ...], end: int, product: Int64[np.ndarray, "order order"], digits: Digits
) -> Machine:
    """A group: element 0 is the identity, where a product starts."""
    elements = np.arange(len(product))
    return Machine(
        name=name,
        vocabulary=vocabulary,
        end_token=end,
        states=elements,
        symbols=elements,
        start=0,
        next_state=product,
        digits=np.pad(digits[0], ((0, 1), (0, 0))),
        rules=digits[1],
    )


def _automaton_machine(task: Automaton, vocabulary: tuple[str, ...], end: int) -> Machine:
    """Any table: tokens are letters, then states, then verdicts, then ``=``."""
    num_states, num_letters = task.next_states.shape
    states, symbols = num_letters + np.arange(num_states), np.arange(num_letters)
    digits = np.arange(len(vocabulary))[:, None]
    next_state = num_letters + task.next_states
    verdict = None
    if task.accepting:
        accepting = [int(state) for state in task.accepting.split(",")]
        accepted = np.isin(np.arange(num_states), accepting)
        verdict = np.where(accepted, vocabulary.index(ACCEPT), vocabulary.index(REJECT))
    return Machine(
        name=task.name,
        vocabulary=vocabulary,
        end_token=end,
        states=states,
        symbols=symbols,
        start=num_letters + task.start,
        next_state=next_state,
        digits=digits,
        rules=(table_rule(digits[:, 0], states, symbols, next_state),),
        verdict=verdict,
    )


def _majority_machine(task: Majority, vocabulary: tuple[str, ...], end: int, length: int) -> Machine:
    """A counter: states are the counts of ones, 0 to n; what is counted on from n does not occur."""
    counts, bits = np.arange(length + 1), np.arange(2)
    next_state = np.minimum(counts[:, None] + bits, length)
    digits = np.arange(len(vocabulary))[:, None]
    return Machine(
        name=task.name,
        vocabulary=vocabulary,
        end_token=end,
        states=counts,
        symbols=bits,
        start=0,
        next_state=next_state,
        digits=digits,
        rules=(table_rule(digits[:, 0], counts, bits, next_state),),
        verdict=(2 * counts > length).astype(np.int64),
    )
