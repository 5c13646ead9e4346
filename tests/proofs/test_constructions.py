"""The proof with a construction as its witness: everything compiled is proven, nothing wrong is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serialformer.architecture import DtypeName
from serialformer.circuits.passes import split_gates
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.circuit_depth import FILLER, circuit_depth_construction
from serialformer.constructions.claim import (
    BitClaim,
    ColumnsClaim,
    CompositionClaim,
    ScanClaim,
    SquaringClaim,
    TableClaim,
    ValueProblemClaim,
)
from serialformer.constructions.construction import Construction
from serialformer.constructions.interpret import interpret
from serialformer.constructions.placement import Placement
from serialformer.constructions.program import schedule_to_program
from serialformer.constructions.schedule import schedule_chain
from serialformer.decode.rounded import RoundedEngine
from serialformer.errors import CompileError, SerialformerError
from serialformer.proofs.prove import certify_construction
from serialformer.targets.gpt2 import construction_to_gpt2, layout_to_placement
from serialformer.targets.paper import construction_to_paper
from serialformer.targets.paper_depth import construction_to_paper_depth
from serialformer.targets.paper_layout import paper_to_placement
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.cases import every_input, small_circuits
from tests.construction_cases import constructions_without_a_chain, every_construction
from tests.effort import pairs
from tests.proofs.mutations import mutate
from tests.value_problems import every_problem, random_problem

WITHOUT_A_CHAIN = constructions_without_a_chain()
CONSTRUCTIONS = {**every_construction(), **WITHOUT_A_CHAIN}
SOME = (
    *("circuit/two-input table 0110", "circuit/gates of one, two and three inputs", "task/parity-16"),
    *("task/modular-addition-30-6", "task/word-problem-D6-5", "task/automaton-0,2-1-9", "task/majority-13"),
    *("task/permutation-composition-1", "task/permutation-composition-symbols-6", "task/iterated-squaring-20-1"),
    "evaluator/2",
    *WITHOUT_A_CHAIN,
)
SELDOM_WRONG = ("depth/inverters only", "base/parity")
"""Models of which one altered weight in more than twenty changes an answer."""


def lower(construction: Construction, dtype: DtypeName = "float32") -> tuple[Transformer, Placement]:
    transformer, layout = construction_to_gpt2(construction, dtype=dtype, activation="gelu_new")
    return transformer, layout_to_placement(layout)


@pytest.mark.parametrize(("name", "dtype"), pairs(CONSTRUCTIONS, ["float32", "float16", "bfloat16"]))
def test_everything_compiled_is_proven(name: str, dtype: DtypeName) -> None:
    certificate = certify_construction(*lower(CONSTRUCTIONS[name](), dtype))
    assert certificate.failure is None and certificate.witness
    assert 0 < certificate.logits.rounded <= certificate.logits.exact
    assert 0 < certificate.attention.rounded <= certificate.attention.exact
    # Results have to be stored for the proof in an evaluator's float16, and in 16 bits where layers overwrite fields.
    if dtype != "float16" and (dtype == "float32" or name not in WITHOUT_A_CHAIN):
        assert certificate.arithmetic["results"] == "stored or wider"


def some_prompts(
    construction: Construction, random: np.random.Generator, rows: int = 8
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Prompts of a few shapes, ``rows`` of each, and the chains that the interpreter writes behind them, with ``=``."""
    found = []
    for claim in list(construction.claims())[:3]:
        if isinstance(claim, BitClaim):
            bits = random.integers(0, 2, (rows, claim.num_inputs))
            prompts = np.concatenate([bits, np.full((rows, 1), construction.end_token)], axis=1)
            num_tokens = len(claim.arity) + 1
        elif isinstance(claim, TableClaim):
            drawn = []
            for _ in range(rows):
                anchor = int(random.integers(claim.prompt.shape[1]))
                drawn.append([int(random.choice(np.flatnonzero(allowed[anchor]))) for allowed in claim.prompt])
            prompts, num_tokens = np.array(drawn), claim.num_written
        elif isinstance(claim, ColumnsClaim):
            fillers = np.full((rows, len(claim.arity)), FILLER)
            bits = random.integers(0, 2, (rows, claim.num_inputs))
            prompts = np.concatenate([bits, fillers, np.full((rows, 1), construction.end_token)], axis=1)
            num_tokens = len(claim.answers) + 1
        elif isinstance(claim, ScanClaim):
            items = random.choice(claim.items, (rows, claim.num_items))
            prompts, num_tokens = np.append(items, np.full((rows, 1), construction.end_token), axis=1), 1
        elif isinstance(claim, CompositionClaim):
            symbols = random.permuted(np.tile(np.arange(claim.degree), (rows, claim.num_items, 1)), axis=2)
            if claim.item_width > claim.degree:
                symbols = np.pad(symbols, ((0, 0), (0, 0), (1, 1)), constant_values=claim.degree)
                symbols[:, :, -1] += 1
            items = symbols.reshape(rows, -1)
            prompts, num_tokens = np.append(items, np.full((rows, 1), construction.end_token), axis=1), claim.degree
        elif isinstance(claim, SquaringClaim):
            primes = random.choice(claim.primes, rows)
            squares = np.full((rows, claim.length), construction.vocabulary.index("^2"))
            ends = np.full(rows, construction.end_token)
            prompts, num_tokens = np.column_stack([primes, random.integers(1, primes), squares, ends]), 1
            for fewer in range(1, claim.length):
                shorter = np.delete(prompts, np.s_[2 : 2 + fewer], axis=1)
                found.append((shorter, interpret(construction, shorter, 1)))
        else:
            prompts = some_problems(construction, random, claim.num_gates, rows)
            num_tokens = 4 * claim.num_gates + 1
            if isinstance(claim, ValueProblemClaim):
                num_tokens = 1
                for size in range(1, claim.num_gates):
                    smaller = some_problems(construction, random, size, rows)
                    found.append((smaller, interpret(construction, smaller, 1)))
        found.append((prompts, interpret(construction, prompts, num_tokens)))
    return found


def some_problems(construction: Construction, random: np.random.Generator, num_gates: int, rows: int) -> np.ndarray:
    """Circuits of so many gates as prompts: every one, if they are no more than ``rows``."""
    problems = list(every_problem(num_gates)) if num_gates <= 3 else []
    if not problems:
        problems = [random_problem(random, num_gates) for _ in range(rows)]
    chosen = random.permutation(len(problems))[:rows].tolist()
    return np.array([[construction.vocabulary.index(text) for text in (*problems[row], "=")] for row in chosen])


def writes(transformer: Transformer, prompts: np.ndarray, chains: np.ndarray) -> bool:
    """Whether a transformer writes these chains, by the reference forward pass over the whole text."""
    tokens = np.concatenate([prompts, chains], axis=1)[:, :-1]
    with np.errstate(all="ignore"):
        logits = compute_logits(transformer, tokens, dtype=np.float32)[:, prompts.shape[1] - 1 :]
    return bool(np.isfinite(logits).all()) and np.array_equal(logits.argmax(axis=-1), chains)


def check_mutations(name: str, number: int, seed: int, rows: int = 8) -> tuple[int, int]:
    """How many altered models were certified, and how many were wrong; none may be both.

    Those that were certified answer ``rows`` prompts of each shape, the others eight.
    """
    random = np.random.default_rng(seed)
    construction = CONSTRUCTIONS[name]()
    transformer, placement = lower(construction)
    few, more = (some_prompts(construction, random, each) for each in (8, rows))
    assert all(writes(transformer, *case) for case in (*few, *more))
    num_certified = num_wrong = 0
    for _ in range(number):
        altered, what = mutate(transformer, random)
        with np.errstate(all="ignore"):
            certified = certify_construction(altered, placement).holds
        is_wrong = not all(writes(altered, *case) for case in (more if certified else few))
        assert not (certified and is_wrong), what
        num_certified, num_wrong = num_certified + certified, num_wrong + is_wrong
    return num_certified, num_wrong


@pytest.mark.parametrize("name", SOME)
def test_no_altered_weights_are_wrongly_certified(name: str) -> None:
    num_certified, num_wrong = check_mutations(name, 40 if name in SELDOM_WRONG else 20, seed=0)
    assert num_certified > 0 and num_wrong > 0, "some mutations should be harmless, and some not"


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_no_altered_weights_are_wrongly_certified_in_two_thousand(name: str) -> None:
    check_mutations(name, 2000, seed=1, rows=40)


LOOKED_UP = ("depth/random, 2 inputs a gate", "base/parity", "base/word-problem", "base/permutations in brackets")


@pytest.mark.parametrize("name", LOOKED_UP)
def test_codes_are_compared_without_going_through_all_pairs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As beyond 2,048 positions: names are signs of which heads compare one of each pair. The gap is the same."""
    construction = CONSTRUCTIONS[name]()
    lowered = lower(construction)
    exact = certify_construction(*lowered)
    monkeypatch.setattr("serialformer.proofs.clause_scores.MAX_PAIRS", 0)
    certificate = certify_construction(*lowered)
    assert certificate.holds
    assert certificate.attention.exact == pytest.approx(exact.attention.exact, rel=1e-6)


@pytest.mark.parametrize("name", LOOKED_UP)
def test_codes_that_are_not_all_compared_certify_nothing_wrong(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serialformer.proofs.clause_scores.MAX_PAIRS", 0)
    num_certified, num_wrong = check_mutations(name, 40 if name in SELDOM_WRONG else 20, seed=4, rows=20)
    assert num_certified > 0 and num_wrong > 0


def test_a_query_that_is_no_multiple_of_the_codes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serialformer.proofs.clause_scores.MAX_PAIRS", 0)
    transformer, placement = lower(CONSTRUCTIONS["base/parity"]())
    weights = dict(transformer.named_weights())
    into = weights["layers.0.attention_in_weight"].copy()
    row, column = (int(index[0]) for index in np.nonzero(into[:, : placement.width]))  # of the queries
    into[row, column] *= 2
    weights["layers.0.attention_in_weight"] = into
    altered = weights_to_transformer(transformer.architecture, weights)
    failure = certify_construction(altered, placement).failure
    assert failure is not None and "queries for name are no multiples of its codes" in failure.reason


def mutate_witness(construction: Construction, random: np.random.Generator) -> tuple[Construction, str]:
    """A construction with one number altered: what a unit watches for or writes, or the value of a field."""
    kind = str(random.choice(["watched", "written", "position", "token", "clause"]))
    layers = list(construction.layers)
    index = int(random.integers(len(layers)))
    layer = layers[index]
    if kind in ("watched", "written") and layer.tables:
        number = int(random.integers(len(layer.tables)))
        table = layer.tables[number]
        values = getattr(table, kind).copy()
        place = tuple(int(random.integers(size)) for size in values.shape)
        values[place] = (values[place] + 1) % max(2, int(values.max()) + 1)
        if kind == "watched":
            values[place[0], place[1], :] = values[place]
        changed = replace(table, **{kind: values})
        tables = (*layer.tables[:number], changed, *layer.tables[number + 1 :])
        layers[index] = replace(layer, tables=tables)
        return replace(construction, layers=tuple(layers)), f"{kind} of {table.name}"
    if kind == "clause" and layer.look_ups:
        number = int(random.integers(len(layer.look_ups)))
        look_up = layer.look_ups[number]
        clause = look_up.clauses[int(random.integers(len(look_up.clauses)))]
        other = str(random.choice([part.name for part in construction.fields]))
        changed_clause = replace(clause, asked=other) if clause.asked else replace(clause, constant=clause.constant + 1)
        clauses = tuple(changed_clause if one is clause else one for one in look_up.clauses)
        look_ups = tuple(replace(one, clauses=clauses) if one is look_up else one for one in layer.look_ups)
        layers[index] = replace(layer, look_ups=look_ups)
        return replace(construction, layers=tuple(layers)), f"clause of {look_up.name}"
    origin = "position" if kind == "position" else "token"
    parts = [part for part in construction.fields if part.origin == origin]
    part = parts[int(random.integers(len(parts)))]
    size = construction.num_positions if origin == "position" else len(construction.vocabulary)
    values = np.array(part.at(slice(0, size)), dtype=np.int64)
    where = int(random.integers(size))
    values[where] = (values[where] + 1) % part.num_values
    fields = tuple(replace(one, values=values) if one is part else one for one in construction.fields)
    return replace(construction, fields=fields), f"{part.name} at {where}"


@pytest.mark.parametrize("number", [30, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SOME)
def test_an_altered_witness_never_helps(name: str, number: int) -> None:
    """The weights are right, so a certificate could not be wrong; but an altered witness must not describe them."""
    random = np.random.default_rng(2)
    construction = CONSTRUCTIONS[name]()
    transformer, placement = lower(construction)
    num_refused = 0
    for _ in range(number):
        altered, what = mutate_witness(placement.construction, random)
        try:
            holds = certify_construction(transformer, replace(placement, construction=altered)).holds
        except (CompileError, IndexError, KeyError, ValueError, AssertionError) as error:
            pytest.fail(f"{what}: {error!r} is no certificate")
        num_refused += not holds
    assert num_refused >= number * 5 // 6


@pytest.mark.parametrize("number", [6, pytest.param(12, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [name for name in SOME if not name.startswith("evaluator")])
def test_weights_of_an_altered_construction_are_refused(name: str, number: int) -> None:
    """Weights and witness agree here, on something wrong: it is the claim that does not hold."""
    random = np.random.default_rng(3)
    construction = CONSTRUCTIONS[name]()
    num_tried = 0
    while num_tried < number:
        altered, what = mutate_witness(construction, random)
        try:
            transformer, placement = lower(altered)
        except (CompileError, AssertionError, KeyError, IndexError):
            continue  # no target can lower it
        num_tried += 1
        certificate = certify_construction(transformer, placement)
        if certificate.holds:
            cases = some_prompts(construction, random)
            assert all(writes(transformer, *case) for case in cases), what


# --- the paper's arithmetic


def lower_paper(construction: Construction, precision: int = 1) -> tuple[Transformer, Placement]:
    transformer, layout = construction_to_paper(construction, precision=precision)
    return transformer, paper_to_placement(layout)


def paper_construction(name: str) -> Construction:
    circuit = split_gates(small_circuits()[name])
    return program_to_construction(schedule_to_program(circuit, schedule_chain(circuit)))


@pytest.mark.parametrize("name", small_circuits())
def test_the_paper_s_transformers_are_proven(name: str) -> None:
    for precision in (1, 4):
        certificate = certify_construction(*lower_paper(paper_construction(name), precision))
        assert certificate.failure is None and certificate.witness
        assert certificate.attention.exact == 2.0**precision - 2.0**-precision and certificate.logits.exact == 0.5


@pytest.mark.parametrize("number", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_altered_paper_s_transformer_is_wrongly_certified(number: int) -> None:
    random = np.random.default_rng(4)
    construction = paper_construction("gates of one, two and three inputs")
    transformer, placement = lower_paper(construction)
    (claim,) = construction.claims()
    assert isinstance(claim, BitClaim)
    bits = every_input(claim.num_inputs)
    prompts = np.concatenate([bits, np.full((len(bits), 1), construction.end_token)], axis=1).astype(np.int64)
    chains = interpret(construction, prompts, len(claim.arity) + 1)
    num_certified = num_wrong = 0
    for _ in range(number):
        altered, what = mutate(transformer, random)
        certified = certify_construction(altered, placement).holds
        is_wrong = not writes_rounded(altered, prompts, chains)
        assert not (certified and is_wrong), what
        num_certified, num_wrong = num_certified + certified, num_wrong + is_wrong
    assert num_certified > 0 and num_wrong > 0


@pytest.mark.parametrize("number", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_altered_paper_s_transformer_without_a_chain_is_wrongly_certified(number: int) -> None:
    random = np.random.default_rng(5)
    construction = circuit_depth_construction(split_gates(small_circuits()["gates of one, two and three inputs"]))
    transformer, layout = construction_to_paper_depth(construction, precision=1)
    placement = paper_to_placement(layout)
    ((prompts, chains),) = some_prompts(construction, random)
    num_certified = num_wrong = 0
    for _ in range(number):
        altered, what = mutate(transformer, random)
        certified = certify_construction(altered, placement).holds
        is_wrong = not writes_rounded(altered, prompts, chains)
        assert not (certified and is_wrong), what
        num_certified, num_wrong = num_certified + certified, num_wrong + is_wrong
    assert num_certified > 0 and num_wrong > 0


def writes_rounded(transformer: Transformer, prompts: np.ndarray, chains: np.ndarray) -> bool:
    """Whether a transformer writes these chains in its own arithmetic."""
    try:
        made = RoundedEngine(transformer).generate(prompts, chains.shape[1])
    except SerialformerError:  # a softmax divides by zero, or a weight is no number of the format
        return False
    return np.array_equal(made, chains)


def test_what_gelu_gives_below_zero_is_counted_where_a_field_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that sees -1 there gives -0.16. As constructed it sees 0."""
    from serialformer.circuits.builder import CircuitBuilder
    from serialformer.models.compile import compile
    from serialformer.models.prove import certify
    from serialformer.proofs import units
    from serialformer.transformer.transformer import weights_to_transformer

    found: list[float] = []
    plain = units._unit_errors

    def spy(*arguments: Any) -> Any:
        errors = plain(*arguments)
        found.append(float(errors[2].max()))
        return errors

    monkeypatch.setattr(units, "_unit_errors", spy)
    build = CircuitBuilder()
    build.output("odd", build.xor(*build.inputs("a", 2)))
    model = compile(build.circuit())
    assert max(found) < 0.01
    found.clear()
    names = model.provenance.names
    assert names is not None
    weights = dict(model.transformer.named_weights())
    into, bias = weights["layers.0.mlp_in_weight"].copy(), weights["layers.0.mlp_in_bias"].copy()
    of_table = [place for place, name in enumerate(names.directions) if name.startswith("table[")]
    into[of_table, :8] *= 1.125
    bias[:8] -= 1  # where a unit fires it sees 8 as before, and where there is no truth table -1 instead of 0
    altered = {**weights, "layers.0.mlp_in_weight": into, "layers.0.mlp_in_bias": bias}
    transformer = weights_to_transformer(model.transformer.architecture, altered)
    certificate = certify(replace(model, transformer=transformer))
    assert certificate.holds and max(found) > 0.17
