"""Claims: they say what the task says, cover every position once, and name only tokens that there are."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer.circuits.evaluate import evaluate_wires
from serialformer.constructions.claim import ANY, BitClaim, CircuitPromptClaim, Rule, TableClaim, token_sets
from serialformer.constructions.evaluator import evaluator_construction
from serialformer.constructions.schedule import schedule_chain
from serialformer.constructions.tasks import task_construction
from serialformer.tasks.registry import make_task
from tests.cases import every_input, small_circuits
from tests.construction_cases import TASK_CASES, circuit_construction, task_case_name

CIRCUITS = small_circuits()


def test_token_sets() -> None:
    allowed = token_sets(4, np.array([0, 2]), np.array([3]))
    assert allowed.shape == (2, 1, 4)
    assert allowed[:, 0].tolist() == [[True, False, True, False], [False, False, False, True]]


def test_what_is_written_is_counted_over_all_rules() -> None:
    rule = Rule(
        positions=np.array([3, 5]),
        sources=np.zeros((2, 1), dtype=np.int64),
        own=np.array([ANY]),
        read=np.array([[1]]),
        expected=np.array([0]),
    )
    claim = TableClaim(name="some", prompt=token_sets(2, *[np.array([1])] * 4), rules=(rule, rule))
    assert claim.num_prompt == 4 and claim.num_written == 4


def table_claims(name: str, parameters: dict[str, int | str], length: int) -> list[TableClaim]:
    claims = list(task_construction(make_task(name, parameters), length).claims())
    assert all(isinstance(claim, TableClaim) for claim in claims)
    return [claim for claim in claims if isinstance(claim, TableClaim)]


CASE_NAMES = [task_case_name(*case) for case in TASK_CASES]


@pytest.mark.parametrize(("name", "parameters", "length"), TASK_CASES, ids=CASE_NAMES)
def test_each_position_that_writes_is_in_one_rule(name: str, parameters: dict[str, int | str], length: int) -> None:
    task = make_task(name, parameters)
    num_tokens = len(task.vocabulary(length))
    for claim in table_claims(name, parameters, length):
        first = claim.num_prompt - 1
        positions = np.concatenate([rule.positions for rule in claim.rules])
        assert sorted(positions.tolist()) == list(range(first, first + claim.num_written))
        assert claim.prompt.any(axis=2).all(), "some token may stand at every position of the prompt"
        for rule in claim.rules:
            # Nobody reads what comes later; where no case depends on what is read, no source need be named.
            read = (rule.read != ANY).any(axis=0)
            sources = rule.sources[:, read]
            assert (sources <= rule.positions[:, None]).all() and (sources >= 0).all()
            assert rule.sources.shape == (len(rule.positions), rule.read.shape[1])
            assert len(rule.own) == len(rule.read) == len(rule.expected)
            for tokens in (rule.own, rule.read):
                assert tokens.min() >= ANY and tokens.max() < num_tokens
            assert rule.expected.min() >= 0 and rule.expected.max() < num_tokens


def follow(claim: TableClaim, prompt: list[int]) -> list[int]:
    """The chain that a claim says: at each position the one case that fits what stands there and what is read."""
    tokens = list(prompt)
    rule_of = {int(place): (rule, row) for rule in claim.rules for row, place in enumerate(rule.positions)}
    for position in range(len(prompt) - 1, len(prompt) - 1 + claim.num_written):
        rule, row = rule_of[position]
        fits = np.isin(rule.own, (ANY, tokens[position]))
        for column, source in enumerate(rule.sources[row].tolist()):
            fits &= np.isin(rule.read[:, column], (ANY, tokens[source]))
        written = np.unique(rule.expected[fits])
        assert len(written) == 1, (position, written)
        tokens.append(int(written[0]))
    return tokens[len(prompt) :]


@pytest.mark.parametrize(("name", "parameters", "length"), TASK_CASES, ids=CASE_NAMES)
def test_following_a_claim_gives_the_chain_of_the_task(
    name: str, parameters: dict[str, int | str], length: int
) -> None:
    task = make_task(name, parameters)
    claims = {claim.num_prompt: claim for claim in table_claims(name, parameters, length)}
    examples = task.sample(np.random.default_rng(1), length, 8)
    for rows in examples.blocks(8):
        block = examples.select(rows)
        for prompt, chain in zip(block.prompts.tolist(), block.chains.tolist(), strict=True):
            claim = claims[len(prompt)]
            held = np.array(prompt)
            allowed = claim.prompt[np.arange(len(held)), :, held].all(axis=0)
            assert allowed.any(), "the claim covers this prompt"
            if claim.anchor is not None:
                assert claim.anchor_tokens is not None
                assert claim.anchor_tokens[np.flatnonzero(allowed)].tolist() == [held[claim.anchor]]
            assert follow(claim, prompt) == [*chain, examples.end_token]


def test_squaring_has_a_claim_for_each_number_of_squarings() -> None:
    claims = table_claims("iterated-squaring", {"bound": 20}, 5)
    assert [claim.num_written for claim in claims] == [2, 3, 4, 5, 6]
    # A residue is one of its prime, which the anchor says.
    primes = claims[0].anchor_tokens
    assert primes is not None and claims[0].anchor == 0
    for column, prime in enumerate(primes.tolist()):
        assert np.flatnonzero(claims[0].prompt[1, column]).tolist() == list(range(1, prime))


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_claim_of_a_circuit_is_its_gates(name: str) -> None:
    circuit = CIRCUITS[name]
    (claim,) = circuit_construction(name).claims()
    assert isinstance(claim, BitClaim) and claim.num_inputs == circuit.num_inputs
    bits = every_input(circuit.num_inputs)[:64]
    tokens = np.concatenate([bits, np.zeros((len(bits), 1), dtype=bits.dtype)], axis=1).astype(np.int64)
    for reads, arity, table in zip(claim.reads, claim.arity.tolist(), claim.table.tolist(), strict=True):
        combination = sum((tokens[:, reads[place]] << place for place in range(arity)), np.zeros_like(tokens[:, 0]))
        written = np.array([table >> int(index) & 1 for index in combination])
        tokens = np.concatenate([tokens, written[:, None]], axis=1)
    chain = tokens[:, circuit.num_inputs + 1 :]
    assert np.array_equal(chain, evaluate_wires(circuit, bits)[:, schedule_chain(circuit).wire])


def test_the_evaluator_claims_every_number_of_gates() -> None:
    claims = list(evaluator_construction(6).claims())
    assert all(isinstance(claim, CircuitPromptClaim) for claim in claims)
    assert [claim.num_gates for claim in claims if isinstance(claim, CircuitPromptClaim)] == [1, 2, 3, 4, 5, 6]
