"""Chains, hints and answers against what others say: plain Python, sympy, networkx, regular expressions."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import networkx
import numpy as np
import pytest
import sympy
from sympy.combinatorics import AlternatingGroup, CyclicGroup, DihedralGroup, Permutation, SymmetricGroup
from sympy.combinatorics.group_constructs import DirectProduct

from serialformer.tasks.examples import NO_LABEL
from serialformer.tasks.groups import make_group
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue


def texts(name: str, given: dict[str, ParameterValue], length: int, samples: int) -> list[tuple[list[str], ...]]:
    """Prompt without ``=``, chain, answer and hints (empty where there is none) of each sample, as texts."""
    task = make_task(name, given)
    vocabulary = (*task.vocabulary(length), "")
    assert NO_LABEL == -1  # so it reads as ""
    examples = task.sample(np.random.default_rng(0), length, samples)
    return [
        (
            [vocabulary[token] for token in examples.prompts[row, : examples.prompt_lengths[row] - 1]],
            [vocabulary[token] for token in examples.chains[row, : examples.chain_lengths[row]]],
            [vocabulary[token] for token in examples.answers[row]],
            [vocabulary[token] for token in examples.hints[row, : examples.prompt_lengths[row]]],
        )
        for row in range(samples)
    ]


@pytest.mark.parametrize("modulus", [2, 7, 12, 113])
def test_modular_addition(modulus: int) -> None:
    for prompt, chain, answer, hints in texts("modular-addition", {"modulus": modulus}, 11, 100):
        sums = [str(total % modulus) for total in itertools.accumulate(map(int, prompt))]
        assert chain == sums and answer == sums[-1:] and hints == sums + answer


def test_parity_and_majority() -> None:
    for prompt, chain, answer, hints in texts("parity", {}, 13, 100):
        assert chain == [str(prompt[: place + 1].count("1") % 2) for place in range(13)]
        assert answer == chain[-1:] and hints == chain + answer
    for length in (1, 8, 9):
        for prompt, chain, answer, hints in texts("majority", {}, length, 100):
            assert chain[:-1] == [str(prompt[: place + 1].count("1")) for place in range(length)]
            assert answer == chain[-1:] == ["1" if prompt.count("1") > prompt.count("0") else "0"]
            assert hints == chain


@pytest.mark.parametrize(
    ("degree", "form"), [(5, "brackets"), (5, "symbols"), (5, "token"), (3, "brackets"), (9, "symbols")]
)
def test_permutations_against_sympy(degree: int, form: str) -> None:
    def read(tokens: list[str]) -> list[Permutation]:
        if form == "token":
            items = [list(token) for token in tokens]
        else:
            inner = [token for token in tokens if token not in "()"]
            items = [inner[start : start + degree] for start in range(0, len(inner), degree)]
        return [Permutation([int(symbol) - 1 for symbol in item]) for item in items]

    for prompt, chain, answer, hints in texts("permutation-composition", {"degree": degree, "format": form}, 5, 60):
        composed = Permutation(degree - 1)
        expected = []
        for permutation in read(prompt):
            # sympy's product applies its left factor first.
            composed = permutation * composed
            expected.append(composed)
        assert read(chain) == expected and read(answer) == expected[-1:]
        assert hints == chain + answer[:1]
        if form == "brackets":
            assert chain[:: degree + 2] == ["("] * 5 and chain[degree + 1 :: degree + 2] == [")"] * 5


@pytest.mark.parametrize("bound", [3, 50, 1000, 32768])
def test_iterated_squaring_against_pow(bound: int) -> None:
    primes = set(sympy.primerange(bound))
    for prompt, chain, answer, hints in texts("iterated-squaring", {"bound": bound}, 9, 150):
        p, r, count = int(prompt[0]), int(prompt[1]), len(prompt) - 2
        assert p in primes and 1 <= r < p and prompt[2:] == ["^2"] * count and 1 <= count <= 9
        assert chain == [str(pow(r, 2**power, p)) for power in range(1, count + 1)]
        assert answer == [str(pow(r, 2**count, p))] and hints == ["", "", *chain, *answer]


def test_circuit_values_by_recursion() -> None:
    for prompt, chain, answer, hints in texts("circuit-value", {}, 14, 200):
        gates = {prompt[start + 3]: prompt[start : start + 3] for start in range(0, len(prompt), 4)}

        def value(gate: str, gates: dict[str, list[str]] = gates) -> bool:
            kind, *wires = gates[gate]
            operands = [value(wire) for wire in wires if wire != "NA"]
            rules: dict[str, Callable[[list[bool]], bool]] = {
                "TRUE": lambda none: not none,
                "FALSE": bool,
                "AND": all,
                "OR": any,
                "NOT": lambda one: not one[0],
            }
            return rules[kind](operands)

        expected = []
        for gate, (kind, *wires) in gates.items():
            expected += [kind, *("NA" if wire == "NA" else str(value(wire)).upper() for wire in wires)]
            expected += [str(value(gate)).upper()]
        assert chain == expected and answer == expected[-1:] and hints == chain + answer


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("S2", SymmetricGroup(2)),
        ("S4", SymmetricGroup(4)),
        ("S5", SymmetricGroup(5)),
        ("A4", AlternatingGroup(4)),
        ("A5", AlternatingGroup(5)),
        ("Z12", CyclicGroup(12)),
        ("D4", DihedralGroup(4)),
        ("D7", DihedralGroup(7)),
        ("A4_x_Z5", DirectProduct(AlternatingGroup(4), CyclicGroup(5))),
        ("Z2_x_Z2_x_D3", DirectProduct(CyclicGroup(2), CyclicGroup(2), DihedralGroup(3))),
    ],
)
def test_groups_against_sympy(name: str, theirs: Any) -> None:
    ours = make_group(name)
    assert ours.order == theirs.order() and ours.is_solvable == theirs.is_solvable
    assert np.array_equal(ours.product[0], np.arange(ours.order)) and np.array_equal(
        ours.product[:, 0], ours.product[0]
    )
    # Associative, with inverses: a group. The orders of its elements are the other group's.
    a, b, c = np.random.default_rng(0).integers(0, ours.order, (3, 5000))
    assert np.array_equal(ours.product[ours.product[a, b], c], ours.product[a, ours.product[b, c]])
    assert (ours.product[np.arange(ours.order), ours.inverses] == 0).all()
    orders: Counter[int] = Counter()
    power = np.arange(ours.order)
    for exponent in range(1, ours.order + 1):
        orders[exponent] = int((power == 0).sum())
        power = ours.product[power, np.arange(ours.order)]
    multiples = {number: 0 for number in orders}
    for element in theirs.elements:
        for number in range(element.order(), ours.order + 1, element.order()):
            multiples[number] += 1
    assert dict(orders) == multiples
    commutative = np.array_equal(ours.product, ours.product.T)
    assert commutative == theirs.is_abelian


def test_symmetric_group_is_permutation_composition() -> None:
    """Element i of S5 is the i-th token of the other task, and both make the same chains."""
    words, tokens = make_task("word-problem"), make_task("permutation-composition", {"format": "token"})
    prompts = words.sample(np.random.default_rng(0), 7, 100).prompts
    assert np.array_equal(words.solve(prompts, 7).chains, tokens.solve(prompts, 7).chains)
    assert make_group("S5").elements == tokens.vocabulary(7)[:-1]


@pytest.mark.parametrize("name", ["A4", "Z9", "D5", "A4_x_Z5"])
def test_word_problems_by_elements(name: str) -> None:
    """In the elements' own notation: permutations, residues, turns and flips of a polygon's corners."""

    def corners(element: str, kind: str, size: int) -> tuple[int, ...]:
        if kind in "SA":
            return tuple(int(symbol) - 1 for symbol in element)
        if kind == "Z":
            return tuple((place + int(element)) % size for place in range(size))
        parts = re.fullmatch(r"r(\d+)(s?)", element)
        assert parts is not None, element
        turn, flip = parts.groups()
        return tuple((int(turn) + (-place if flip else place)) % size for place in range(size))

    parts = [(part[0], int(part[1:])) for part in name.split("_x_")]
    elements = [
        tuple(corners(one, *part) for one, part in zip(element.split(","), parts, strict=True))
        for element in make_group(name).elements
    ]
    assert len(set(elements)) == len(elements)
    for prompt, chain, answer, _ in texts("word-problem", {"group": name}, 6, 60):
        product = elements[0]
        for item, so_far in zip(prompt, chain, strict=True):
            product = tuple(
                tuple(left[place] for place in right) for left, right in zip(product, elements[int(item)], strict=True)
            )
            assert elements[int(so_far)] == product
        assert answer == chain[-1:]


def test_automaton_against_a_regular_expression() -> None:
    for prompt, chain, answer, hints in texts("automaton", {"accepting": "2"}, 9, 200):
        word = "".join(prompt)
        for place in range(9):
            seen = re.search("bb", word[: place + 1])
            assert chain[place] == ("q2" if seen else "q1" if word[place] == "b" else "q0")
        assert answer == chain[-1:] == ["accept" if "bb" in word else "reject"] and hints == chain


@pytest.mark.parametrize("modulus", [2, 5, 11, 1009])
def test_arithmetic_in_sympys_field(modulus: int) -> None:
    field = sympy.GF(modulus, symmetric=False)

    def value(tokens: list[str]) -> str:
        numbers = [f"field({token})" if token.isdigit() else token for token in tokens]
        return str(int(eval(" ".join(numbers), {"field": field})))

    for prompt, chain, answer, hints in texts("arithmetic-expression", {"modulus": modulus}, 6, 80):
        steps = " ".join(chain).split(" ; ")
        assert len(steps) == 5 and {value(step.split()) for step in [" ".join(prompt), *steps]} == {answer[0]}
        before = " ".join(prompt)
        for step in steps:
            # The text that is carried out is the first pair of brackets with none inside.
            operation = re.search(r"\( [^()]* \)", before)
            assert operation is not None
            before = before.replace(operation[0], value(operation[0].split()), 1)
            assert step == before
        opened = []
        for place, token in enumerate(prompt):
            if token == "(":
                opened.append(place)
            closed = token == ")"
            assert hints[place] == (value(prompt[opened.pop() : place + 1]) if closed else "")
        assert hints[-1:] == answer


@pytest.mark.parametrize(("alphabet", "length"), [(2, 6), (4, 5), (26, 4), (3, 1)])
def test_edit_distance_as_a_shortest_path(alphabet: int, length: int) -> None:
    for prompt, chain, answer, hints in texts("edit-distance", {"alphabet": alphabet}, length, 25):
        first, second = prompt[:length], prompt[length + 1 :]
        graph = networkx.DiGraph()
        for i, j in itertools.product(range(length + 1), repeat=2):
            if i < length:
                graph.add_edge((i, j), (i + 1, j), weight=1)
            if j < length:
                graph.add_edge((i, j), (i, j + 1), weight=1)
            if i < length and j < length:
                graph.add_edge((i, j), (i + 1, j + 1), weight=int(first[i] != second[j]))
        far = networkx.single_source_dijkstra_path_length(graph, (0, 0))
        assert chain == [str(far[i, j]) for j in range(1, length + 1) for i in range(1, length + 1)]
        assert answer == [str(far[length, length])]
        assert hints == ["" for _ in range(length + 1)] + [str(far[length, j]) for j in range(1, length + 1)] + answer
