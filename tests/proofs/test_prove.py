"""Proofs put together: each of their parts is asked, and what one of them refuses is not certified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from serialformer.constructions.placement import Placement
from serialformer.errors import CompileError
from serialformer.proofs import prove
from serialformer.proofs.induction import InductionError
from serialformer.proofs.prove import certify_construction, check_claims
from serialformer.proofs.stream import RealisationError
from serialformer.transformer.transformer import Transformer
from tests.construction_cases import constructions_without_a_chain, every_construction
from tests.proofs.alterations import alter_value
from tests.proofs.test_constructions import lower, lower_paper, paper_construction
from tests.proofs.test_counting import lower as lower_counting
from tests.proofs.test_llama import made as made_llama

Made = tuple[Transformer, Placement]


def of(name: str) -> Callable[[], Made]:
    return lambda: lower({**every_construction(), **constructions_without_a_chain()}[name]())


def packed() -> Made:
    from tests.proofs.test_packed import ONE, construction_of, lower

    return lower(construction_of(ONE, 2, 1))


WAYS: dict[str, tuple[Callable[[], Made], tuple[str, ...]]] = {
    "circuit": (of("circuit/two-input table 0110"), ("check_bit_claim", "check_realisation")),
    "task": (of("task/parity-1"), ("check_table_claim", "check_realisation")),
    "evaluator": (of("evaluator/1"), ("CircuitPrompts", "check_realisation")),
    "layers": (of("depth/inverters only"), ("check_columns_claim", "check_realisation")),
    "word problem": (of("base/word-problem"), ("check_scan_claim", "check_realisation")),
    "permutations": (of("base/permutations as symbols"), ("check_composition_claim", "check_realisation")),
    "squaring": (of("base/iterated-squaring"), ("check_squaring_claim", "check_realisation")),
    "value problem": (of("base/circuit-value"), ("check_value_problem_claim", "check_realisation")),
    "packed": (packed, ("check_packed_claim", "check_realisation")),
    "llama": (lambda: made_llama("two-input table 0110"), ("check_placed_claims", "check_realisation")),
    "paper": (
        lambda: lower_paper(paper_construction("two-input table 0110")),
        ("check_bit_claim", "check_prompt", "check_rounded_realisation"),
    ),
}


@pytest.mark.parametrize(("way", "part"), [(way, part) for way, (_, parts) in WAYS.items() for part in parts])
def test_every_part_is_asked(way: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    transformer, placement = WAYS[way][0]()
    error: Exception = InductionError("refused here", 1)
    if part.endswith("realisation"):
        error = RealisationError("refused here", 1)

    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(prove, part, refuse)
    failure = certify_construction(transformer, placement).failure
    assert failure is not None and failure.reason == "refused here"


def test_a_witness_that_is_inconsistent_is_refused() -> None:
    transformer, placement = of("task/parity-1")()
    wrong = replace(placement, construction=alter_value(placement.construction, "digit[0]", 0, 9))
    failure = certify_construction(transformer, wrong).failure
    assert failure is not None and "the construction is inconsistent" in failure.reason


def test_units_that_fire_together_are_no_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise CompileError("two units fire")

    monkeypatch.setattr(prove, "check_table_claim", refuse)
    failure = certify_construction(*of("task/parity-1")()).failure
    assert failure is not None and (failure.token, failure.reason) == (-1, "two units fire")


def test_nothing_is_counted_without_a_tally() -> None:
    construction, _ = lower_counting("majority", {}, 4)
    with pytest.raises(InductionError, match="a sum is claimed, and nothing is counted"):
        check_claims(construction)


def test_the_last_token_of_an_answer_stands_somewhere_too() -> None:
    """Behind it the end is written, so what it holds must be told from nothing."""
    transformer, placement = made_llama("two-input table 0110")
    found: list[Any] = []
    plain = prove.check_realisation

    def watch(*arguments: Any) -> Any:
        found.append(arguments[2])
        return plain(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(prove, "check_realisation", watch)
        assert certify_construction(transformer, placement).holds
    (occurring,) = found
    assert (occurring.anywhere >= occurring.written).all() and (occurring.current >= occurring.written).all()
