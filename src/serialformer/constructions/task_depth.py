"""Constructions of tasks without a chain: as many layers as the answer needs, or fewer.

With fewer layers than the longest problem needs, the answer is right where the problem is shallow enough, and otherwise
what the layers have made of it by then. How often that is right is computed here, from the task's own distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import comb, factorial
from typing import Literal, TypeGuard, TypeVar

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.construction import MAX_CASES, Construction
from serialformer.constructions.counting import counting_construction
from serialformer.constructions.digits import cyclic_digits, group_digits, table_digits
from serialformer.constructions.permutation_depth import (
    composition_construction,
    num_composed,
    num_composition_layers,
)
from serialformer.constructions.scan import (
    Monoid,
    map_monoid,
    map_rules,
    num_scan_layers,
    num_scanned,
    scan_construction,
)
from serialformer.constructions.squaring import primes_below
from serialformer.constructions.squaring_depth import squarings_construction
from serialformer.constructions.value_problem_depth import value_problem_construction
from serialformer.errors import CompileError
from serialformer.tasks.automaton import ACCEPT, REJECT, Automaton
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.every_circuit import every_circuit
from serialformer.tasks.groups import make_group
from serialformer.tasks.iterated_squaring import IteratedSquaring
from serialformer.tasks.majority import Majority
from serialformer.tasks.modular_addition import ModularAddition, Parity
from serialformer.tasks.permutation_composition import PermutationComposition
from serialformer.tasks.task import Task
from serialformer.tasks.word_problem import WordProblem

Key = TypeVar("Key")

Method = Literal["counting", "doubling"]
"""How a sum is made without a chain: in one layer, or in as many as doubling takes."""

CONSTRUCTED_WITHOUT_A_CHAIN = (
    ModularAddition.name,
    Parity.name,
    Majority.name,
    WordProblem.name,
    PermutationComposition.name,
    Automaton.name,
    IteratedSquaring.name,
    CircuitValue.name,
)
"""The tasks that have a construction without a chain."""


COUNTED = (Majority.name, Parity.name, ModularAddition.name)
"""The tasks whose answer depends on a sum, so that one layer can count."""


def default_method(task: Task, num_layers: int | None) -> Method:
    """How a task is solved without a chain unless told otherwise: majority by counting, if no depth is given.

    Majority has one threshold, which float32 carries for thousands of bits. Sums modulo p have one for each sum, so
    that precision ends much earlier.
    """
    return "counting" if isinstance(task, Majority) and num_layers is None else "doubling"


def task_depth_construction(
    task: Task, length: int, num_layers: int | None = None, method: Method = "doubling", *, ends: bool = False
) -> Construction:
    """The construction that answers a task's prompts of one length at once.

    Args:
        task: with its parameters; one of CONSTRUCTED_WITHOUT_A_CHAIN.
        length: the number of items; of gates, the most.
        num_layers: by default as many as every prompt needs.
        method: ``counting`` in one layer, for the tasks in COUNTED.
        ends: whether there is a position for the last token of the answer, where nothing is written; not of counting.

    Raises:
        CompileError: the task has no such construction, it would be too large, or has no layers.
        TaskError: the task has no such length.

    >>> len(task_depth_construction(WordProblem(), 16).layers)
    5
    """
    task.check_size(length, 1)
    if num_layers is not None and num_layers < 1:
        raise CompileError(f"expected at least 1 layer, found {num_layers}")
    if method == "counting":
        return _counting(task, length, num_layers)
    if isinstance(task, CircuitValue):
        return value_problem_construction(length, num_layers, ends=ends)
    if isinstance(task, IteratedSquaring):
        vocabulary, primes = task.vocabulary(length), primes_below(task.bound)
        return squarings_construction(
            task.name, vocabulary, task.end_token(length), primes, length, num_layers, ends=ends
        )
    if is_written_by_symbol(task):
        vocabulary, end = task.vocabulary(length), task.end_token(length)
        return composition_construction(
            task.name, vocabulary, end, task.degree, task.item_width, length, num_layers, ends=ends
        )
    return scan_construction(task_monoid(task, length), length, num_layers, ends=ends)


def _counting(task: Task, length: int, num_layers: int | None) -> Construction:
    """The construction of a sum in one layer."""
    if not isinstance(task, Majority | Parity | ModularAddition):
        raise CompileError(f"{task.name} is not decided by a sum", hint=f"by counting go {', '.join(COUNTED)}")
    if num_layers not in (None, 1):
        raise CompileError(f"counting takes one layer, not {num_layers}", hint="a depth requires --by doubling")
    number = np.arange(task.modulus if isinstance(task, ModularAddition) else 2)
    sums = np.arange(length * (len(number) - 1) + 1)
    answer = (2 * sums > length).astype(np.int64) if isinstance(task, Majority) else sums % len(number)
    vocabulary, end = task.vocabulary(length), task.end_token(length)
    return counting_construction(task.name, vocabulary, end, number, answer, length, task.items)


def num_layers_needed(task: Task, length: int, method: Method = "doubling") -> int:
    """How many layers the longest problems of a length need."""
    if method == "counting":
        return 1
    if isinstance(task, IteratedSquaring):
        return length + 1
    if is_written_by_symbol(task):
        return num_composition_layers(length)
    return length if isinstance(task, CircuitValue) else num_scan_layers(length)


def is_written_by_symbol(task: Task) -> TypeGuard[PermutationComposition]:
    """Whether a task's items are permutations of several tokens each."""
    return isinstance(task, PermutationComposition) and task.format != "token"


def task_monoid(task: Task, length: int) -> Monoid:
    """The elements that a task multiplies, for prompts of a length.

    Raises:
        CompileError: it multiplies none, or the maps of an automaton are too many.
    """
    vocabulary, end = task.vocabulary(length), task.end_token(length)
    if isinstance(task, Majority):
        return _counting_monoid(task, vocabulary, end, length)
    if isinstance(task, Automaton):
        return _automaton_monoid(task, vocabulary, end)
    if isinstance(task, ModularAddition | Parity):
        modulus = 2 if isinstance(task, Parity) else task.modulus
        if modulus**2 > MAX_CASES:
            raise CompileError(
                f"{task.name} has {modulus**2:,} pairs of residues to check, over {MAX_CASES:,}",
                hint="choose a smaller modulus",
            )
        number = np.arange(modulus)
        product, digits = (number[:, None] + number) % modulus, cyclic_digits(modulus)
    elif isinstance(task, WordProblem) or (isinstance(task, PermutationComposition) and task.format == "token"):
        group = task.table if isinstance(task, WordProblem) else make_group(f"S{task.degree}")
        product, digits = group.product, group_digits(group.name, group.product)
    else:
        raise CompileError(
            f"{task.name} has no construction without a chain",
            hint=f"there is one of {', '.join(CONSTRUCTED_WITHOUT_A_CHAIN)}",
        )
    elements = np.arange(len(product))
    return Monoid(
        name=task.name,
        vocabulary=vocabulary,
        end_token=end,
        items=elements,
        element=elements,
        product=product,
        digits=digits[0],
        rules=digits[1],
        answer=elements,
        items_name=task.items,
    )


def _counting_monoid(task: Majority, vocabulary: tuple[str, ...], end: int, length: int) -> Monoid:
    """Numbers of ones, which are added; what would exceed the length does not occur."""
    counts = np.arange(length + 1)
    if len(counts) ** 2 > MAX_CASES:
        raise CompileError(
            f"{task.name} has {len(counts) ** 2:,} pairs of counts to check, over {MAX_CASES:,}",
            hint="choose a smaller length",
        )
    product = np.minimum(counts[:, None] + counts, length)
    digits, rules = table_digits(product)
    return Monoid(
        name=task.name,
        vocabulary=vocabulary,
        end_token=end,
        items=np.arange(2),
        element=np.arange(2),
        product=product,
        digits=digits,
        rules=rules,
        answer=(2 * counts > length).astype(np.int64),
        are_tokens=False,
        items_name=task.items,
    )


def _automaton_monoid(task: Automaton, vocabulary: tuple[str, ...], end: int) -> Monoid:
    """Letters are maps of states, and the answer is the image of the start state."""
    table = task.next_states
    num_states, num_letters = table.shape
    most = int(MAX_CASES**0.5)
    found = map_monoid(table.T, most)
    if found is None:
        raise CompileError(
            f"words of this automaton make more than {most:,} different maps of its {num_states} states",
            hint="without a chain all pairs of them are checked; with one (--setting cot) there is no such limit",
        )
    maps, product = found
    number = {tuple(row): index for index, row in enumerate(maps.tolist())}
    of_state = num_letters + np.arange(num_states)
    if task.accepting:
        accepted = np.isin(np.arange(num_states), [int(state) for state in task.accepting.split(",")])
        of_state = np.where(accepted, vocabulary.index(ACCEPT), vocabulary.index(REJECT))
    return Monoid(
        name=task.name,
        vocabulary=vocabulary,
        end_token=end,
        items=np.arange(num_letters),
        element=np.array([number[tuple(row)] for row in table.T.tolist()]),
        product=product,
        digits=maps,
        rules=map_rules(num_states),
        answer=of_state[maps[:, task.start]],
        answered_by=(task.start, of_state),
        are_tokens=False,
        items_name=task.items,
    )


def expected_accuracy(task: Task, length: int, num_layers: int) -> Fraction:
    """The exact share of right answers with a number of layers, over the task's own distribution.

    Raises:
        CompileError: the task has no construction without a chain.
        TaskError: there are too many circuits to go through; ``shallow_answers`` says what is answered to each.

    >>> [expected_accuracy(Parity(), 16, layers) for layers in (4, 5)]
    [Fraction(1, 2), Fraction(1, 1)]
    """
    if is_written_by_symbol(task):
        # As below: with an item left out the product is any permutation, whatever is answered.
        missing = length - num_composed(length, num_layers)
        return Fraction(1) if missing == 0 else Fraction(1, factorial(task.degree))
    if isinstance(task, IteratedSquaring):
        return _squarings_right(task, length, num_layers - 1)
    if isinstance(task, CircuitValue):
        prompts, shares = every_circuit(task, length)
        right = shallow_answers(task, prompts, length, num_layers) == task.solve(prompts, length).answers[:, 0]
        return sum((share for share, hit in zip(shares, right.tolist(), strict=True) if hit), Fraction(0))
    missing = length - num_scanned(length, num_layers)
    monoid = task_monoid(task, length)
    if isinstance(task, Majority):
        seen = length - missing
        right = sum(
            comb(missing, before) * comb(seen, ones)
            for before in range(missing + 1)
            for ones in range(seen + 1)
            if (2 * (before + ones) > length) == (2 * ones > length)
        )
        return Fraction(right, 1 << length)
    if not isinstance(task, Automaton):
        # The items that are left out are uniform, and so is their product.
        return Fraction(1) if missing == 0 else Fraction(1, len(monoid.product))
    table, start = task.next_states.tolist(), task.start
    letters = range(task.next_states.shape[1])
    state = {start: Fraction(1)}
    for _ in range(missing):
        state = _step(state, lambda one: [table[one][letter] for letter in letters])
    pairs = {(one, start): share for one, share in state.items()}
    for _ in range(length - missing):
        pairs = _step(pairs, lambda two: [(table[two[0]][letter], table[two[1]][letter]) for letter in letters])
    assert monoid.answered_by is not None
    said = monoid.answered_by[1].tolist()
    return sum((share for (one, other), share in pairs.items() if said[one] == said[other]), Fraction(0))


def _squarings_right(task: IteratedSquaring, length: int, num_made: int) -> Fraction:
    """How often a residue after fewer squarings equals the one after all squarings of a prompt."""
    share, primes = Fraction(0), primes_below(task.bound).tolist()
    for prime in primes:
        made = full = np.arange(1, prime)
        for count in range(1, length + 1):
            full = full * full % prime
            if count <= num_made:
                made = full
            share += Fraction(int((made == full).sum()), (prime - 1) * length * len(primes))
    return share


def _step(shares: dict[Key, Fraction], following: Callable[[Key], list[Key]]) -> dict[Key, Fraction]:
    """The distribution a uniform letter later."""
    after: dict[Key, Fraction] = {}
    for one, share in shares.items():
        found = following(one)
        for other in found:
            after[other] = after.get(other, Fraction(0)) + share / len(found)
    return after


def shallow_answers(
    task: CircuitValue, prompts: Int64[np.ndarray, "rows prompt"], length: int, num_layers: int
) -> Int64[np.ndarray, " rows"]:
    """The answers of a number of layers to circuits: the last gate's value after as many rounds.

    In the first round a gate is TRUE if it is the constant TRUE; in each later one all gates are evaluated at once.
    """
    gates = prompts[:, :-1].reshape(len(prompts), length, 4)
    kinds = gates[:, :, 0] - length
    inputs = np.where(gates[:, :, 1:3] < length, gates[:, :, 1:3], 0)
    values = kinds == 0
    for _ in range(num_layers - 1):
        left, right = (np.take_along_axis(values, inputs[:, :, place], axis=1) for place in range(2))
        values = np.choose(kinds, [np.True_, np.False_, left & right, left | right, ~left])
    return np.where(values[:, -1], length, length + 1).astype(np.int64)
