"""Gaps of scores and leads of logits, compared with all cases."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from serialformer.constructions.construction import NOTHING
from serialformer.proofs import logits, realisation
from serialformer.proofs.clause_scores import ClauseScores, _compare_values, ranked_gap
from serialformer.proofs.codes import Gaps, KeyIndex, QueryList, find_grid_of_codes
from serialformer.proofs.logits import _field_leads, check_logits
from serialformer.proofs.prove import certify_construction
from serialformer.proofs.rounding import covered_rounding
from serialformer.proofs.stream import RealisationError
from tests.construction_cases import every_construction
from tests.proofs.test_constructions import lower

SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gap_of_a_clause_is_the_smallest(seed: int) -> None:
    random = np.random.default_rng(seed)
    queries, keys = random.standard_normal((5, 3)), random.standard_normal((6, 3))
    wanted = random.integers(0, 6, 5)
    wanted[0] = NOTHING
    met, unmet, gap, spread = _compare_values(queries, keys, wanted)
    own, others, gaps, spreads = [], [], [], []
    for query, value in zip(queries[1:], wanted[1:].tolist(), strict=True):
        scores = keys @ query
        rest = np.delete(scores, value)
        own.append(scores[value])
        others += rest.tolist()
        gaps.append(scores[value] - rest.max())
        spreads.append(rest.max() - rest.min())
    assert (min(gaps), max(spreads)) == pytest.approx((gap, spread))
    assert met == pytest.approx((min(own), max(own)))
    assert unmet[0] <= min(others) + 1e-12 and unmet[1] >= max(others) - 1e-12


def a_clause(keys: np.ndarray, query: np.ndarray, wanted: int, weight: int) -> ClauseScores:
    met, unmet, gap, spread = _compare_values(query[None], keys, np.array([wanted]))
    nothing = np.zeros(0, dtype=np.int64)
    return ClauseScores(
        met=met, unmet=unmet, gap=gap, spread=spread, size=0.0, columns=nothing, queries=[], keys=[],
        query_errors=np.zeros(0), key_errors=np.zeros(0), weight=weight,
    )  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("weights", [(1, 2), (4, 2, 1), (2, 2, 1)])
def test_the_ranked_gap_is_a_lower_bound(seed: int, weights: tuple[int, ...]) -> None:
    """Compared with all pairs of positions of which one meets clauses of more weight than the other."""
    random = np.random.default_rng(seed)
    tables = [random.standard_normal((3, 2)) * 4.0 ** random.integers(0, 2) for _ in weights]
    queries = [random.standard_normal(2) for _ in weights]
    asked = random.integers(0, 3, len(weights)).tolist()
    clauses = [a_clause(*parts) for parts in zip(tables, queries, asked, weights, strict=True)]
    least = np.inf
    for one, other in product(product(range(3), repeat=len(weights)), repeat=2):
        heavy = [sum(w for w, a, v in zip(weights, asked, held, strict=True) if a == v) for held in (one, other)]
        if heavy[0] > heavy[1]:
            scores = [
                sum(float(t[v] @ q) for t, q, v in zip(tables, queries, held, strict=True)) for held in (one, other)
            ]
            least = min(least, scores[0] - scores[1])
    assert ranked_gap(clauses) <= least + 1e-12


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("is_coarse", [False, True])
def test_the_lead_of_a_field_is_a_lower_bound(seed: int, is_coarse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The written value leads every other value, whatever the field held before."""
    random = np.random.default_rng(seed)
    codes, added = (random.integers(-2, 3, (6, 4)).astype(np.float64) for _ in range(2))
    constant, held = random.integers(-1, 2, 4).astype(np.float64), np.array([0, 2, 3, 5])
    if is_coarse:
        monkeypatch.setattr(logits, "MAX_VALUES", 1)
    leads = _field_leads(codes, added, constant, held)
    for value, other in product(range(6), repeat=2):
        least = min((codes[stood] + added[value] + constant) @ (codes[value] - codes[other]) for stood in held)
        assert leads[value, other] <= least + 1e-12
        assert is_coarse or leads[value, other] == least


def caught_logits(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """The arguments with which the proof of a construction checks logits."""
    found: list[tuple[Any, ...]] = []

    def watch(*arguments: Any) -> Any:
        found.append(arguments)
        transformer, stream, occurring, rounding = arguments
        norms = list(stream.norms)
        result = check_logits(transformer, stream, occurring, rounding)
        stream.norms[:] = norms
        return result

    monkeypatch.setattr(realisation, "check_logits", watch)
    assert certify_construction(*lower(every_construction()[name]())).holds
    return found[0]


@pytest.mark.parametrize("name", ["task/parity-1", "evaluator/2", "circuit/two-input table 0110"])
def test_a_lead_smaller_than_rounding_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    transformer, stream, occurring, rounding = caught_logits(name, monkeypatch)
    exact, rounded, _ = check_logits(transformer, stream, occurring, rounding)
    assert exact > rounded > 0
    stream.error = stream.error + 1.0
    with np.errstate(invalid="ignore"), pytest.raises(RealisationError, match="a token that is written leads by"):
        check_logits(transformer, stream, occurring, rounding)


@pytest.mark.parametrize("name", ["evaluator/2", "circuit/two-input table 0110"])
def test_the_default_must_lead_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no unit writes, the old value must not win."""
    transformer, stream, occurring, rounding = caught_logits(name, monkeypatch)
    stream.placement = replace(stream.placement, default_weight=0.0)
    with pytest.raises(RealisationError, match="the logit of a token that is written leads by -"):
        check_logits(transformer, stream, occurring, rounding)


def test_fields_joined_by_look_ups_may_hold_any_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields that look-ups or units write into can hold values that no token has."""
    transformer, stream, occurring, _ = caught_logits("task/iterated-squaring-20-1", monkeypatch)
    before = stream.norm_input(transformer.architecture.norm_epsilon)
    final = logits._Final(stream, before, stream.placement.answer_weight, 0.0, occurring)
    assert final.is_free
    held = {part.name: (len(codes), values.tolist()) for part, codes, _, _, values in final.fields}
    for name in ("number", "equals", "prime"):
        number, values = held[name]
        assert values == list(range(number))


@pytest.mark.parametrize("seed", range(8))
def test_the_gap_of_a_head_is_a_lower_bound(seed: int) -> None:
    """Keys and queries differ from their codes, some keys have another norm, and keys are added in several blocks."""
    random = np.random.default_rng(seed)
    number, size, first = 24, 6, 8
    values = np.array([[-1.0, 2.0], [-2.0, 2.0]][seed % 2])
    every = np.array(list(np.ndindex(*[2] * size)))
    if seed % 2 == 0:  # of two norms, which differ by less than codes are apart
        every = every[np.isin(every.sum(axis=1), (3, 4))]
    points = values[random.permutation(every)[:number]]
    if seed % 4 == 1:  # of one sum
        points = np.concatenate([points, -points], axis=1)
    grid = find_grid_of_codes(points)
    assert grid is not None
    stray = random.choice([0.0, 0.0, 0.01, 0.05], (number, 1, 1))
    keys = points[:, None] + stray * random.standard_normal((number, 2, points.shape[1]))
    targets = np.array([int(random.integers(position + 1)) for position in range(first, number)])
    scale = random.choice([1.0, 20.0], (number - first, 1, 1)) * np.array([1.0, 0.8])[:, None]
    queries = scale * (points[targets][:, None] + 0.03 * random.standard_normal((number - first, 2, points.shape[1])))
    index, gaps = KeyIndex(grid, number), Gaps(number - first)
    asked = QueryList(0, index, number - first, gaps)
    for start, stop in ((0, first), (first, 13), (13, number)):
        seen = index.add(start, keys[start:stop], np.zeros_like(keys[start:stop]))
        if start >= first:
            rows = slice(start - first, stop - first)
            asked.add(start - first, queries[rows], np.zeros_like(queries[rows]), seen, 4, covered_rounding("float32"))
    promised = 0
    for row, target in enumerate(targets.tolist()):
        others = np.delete(np.arange(first + row + 1), target)
        for query in queries[row]:
            least = (keys[target] @ query).min() - (keys[others] @ query).max()
            assert gaps.least[row, 0] <= least / 2 + 1e-9
            assert gaps.least[row, 1] <= gaps.least[row, 0]
        promised += np.isfinite(gaps.least[row, 0])
    assert promised
    loud = 1e39 * queries[-1:]
    asked.add(number - first - 1, loud, 0 * loud, seen.rows(slice(-1, None)), 4, covered_rounding("float32"))
    assert gaps.least[-1, 1] == -np.inf


def test_the_weakest_head_is_named_and_its_gap_is_the_least() -> None:
    gaps = Gaps(3)
    gaps.add(slice(0, 3), 0, np.array([[5.0, 4.0], [5.0, 4.0], [5.0, 4.0]]))
    gaps.add(slice(1, 3), 1, np.array([[3.0, 2.0], [6.0, 5.0]]))
    assert gaps.least.tolist() == [[5, 4], [3, 2], [5, 4]] and gaps.head.tolist() == [0, 1, 0]
