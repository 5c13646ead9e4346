"""Constructions of tasks: a task and a length become a construction that makes the task's chain."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.automaton import Machine, machine_to_construction, table_rule
from serialformer.constructions.construction import Construction, check_sizes
from serialformer.constructions.digits import Digits, cyclic_digits, group_digits, prime_powers
from serialformer.constructions.permutations import permutation_construction
from serialformer.constructions.squaring import primes_below, squaring_construction
from serialformer.errors import CompileError
from serialformer.tasks.automaton import ACCEPT, REJECT, Automaton
from serialformer.tasks.groups import make_group
from serialformer.tasks.iterated_squaring import SQUARE, IteratedSquaring
from serialformer.tasks.majority import Majority
from serialformer.tasks.modular_addition import ModularAddition, Parity
from serialformer.tasks.permutation_composition import PermutationComposition
from serialformer.tasks.task import Task
from serialformer.tasks.word_problem import WordProblem

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


def task_construction(task: Task, length: int) -> Construction:
    """The construction that makes a task's chains of thought for prompts of one length, and ends them with ``=``.

    Args:
        task: with its parameters; one of CONSTRUCTED.
        length: the number of items; of squarings, the most.

    Raises:
        CompileError: the task has no construction, or it would be too large.
        TaskError: the task has no such length.

    >>> task_construction(Parity(), 16).num_units
    5
    """
    task.check_size(length, 1)
    num_tokens = len(task.vocabulary(length))
    if num_tokens > MAX_TOKENS:
        raise CompileError(
            f"{task.name} has {num_tokens:,} tokens, over {MAX_TOKENS:,}", hint="choose a smaller length or parameter"
        )
    vocabulary, end = task.vocabulary(length), task.end_token(length)
    if isinstance(task, IteratedSquaring):
        primes = primes_below(task.bound)
        return squaring_construction(task.name, vocabulary, end, vocabulary.index(SQUARE), primes, length)
    if isinstance(task, PermutationComposition) and task.format != "token":
        return permutation_construction(task.name, vocabulary, end, task.degree, task.item_width, length)
    if isinstance(task, Automaton):
        return machine_to_construction(_automaton_machine(task, vocabulary, end), length)
    if isinstance(task, Majority):
        check_sizes(task.name, 3 * length + 4, 2 * length + 2)
        return machine_to_construction(_majority_machine(task, vocabulary, end, length), length)
    if isinstance(task, ModularAddition | Parity):
        modulus = 2 if isinstance(task, Parity) else task.modulus
        check_sizes(task.name, sum(power**2 for power in prime_powers(modulus)) + 1, 2 * length + 1, modulus**2)
        number = np.arange(modulus)
        product, digits = (number[:, None] + number) % modulus, cyclic_digits(modulus)
    elif isinstance(task, PermutationComposition | WordProblem):
        group = task.table if isinstance(task, WordProblem) else make_group(f"S{task.degree}")
        product, digits = group.product, group_digits(group.name, group.product)
    else:
        raise CompileError(f"{task.name} has no construction", hint=f"these tasks have one: {', '.join(CONSTRUCTED)}")
    return machine_to_construction(_group_machine(task.name, vocabulary, end, product, digits), length)


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
