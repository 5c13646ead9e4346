"""Whole proofs: every part is called, and nothing is certified that one of them refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from serialformer import Shape, construct
from serialformer.constructions.placement import Placement
from serialformer.errors import CompileError
from serialformer.models.construction_of import construction_of
from serialformer.models.lower import construction_to_placement
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
from tests.proofs.test_packed import ONE
from tests.proofs.test_packed import construction_of as packed_construction
from tests.targets.test_llama_tied import made as made_tied

Made = tuple[Transformer, Placement]


def of(name: str) -> Callable[[], Made]:
    return lambda: lower({**every_construction(), **constructions_without_a_chain()}[name]())


def packed() -> Made:
    return lower(packed_construction(ONE, 2, 1))


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


def test_units_that_fire_together_are_a_failure_of_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
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
    """The end token is written after it, so its value must differ from nothing."""
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


def without_a_chain() -> Made:
    model = construct("parity", 4, setting="base", target="llama", shape=Shape(hidden=128, head_width=32))
    placement = construction_to_placement(construction_of(model), model.transformer.architecture, model.placed)
    return model.transformer, placement


STEPS: list[tuple[Callable[[], Made], str, str, type[Exception]]] = [
    (without_a_chain, "placed_embeddings", "_check_end", InductionError),
    (without_a_chain, "placed_embeddings", "_check_end_of_answer", InductionError),
    (made_tied, "placed_logits", "check_following", RealisationError),
    (made_tied, "placed_logits", "check_unembedding", RealisationError),
    (made_tied, "units", "check_moving", RealisationError),
    (made_tied, "realisation", "check_placed_embeddings", RealisationError),
    (made_tied, "realisation", "check_placed_logits", RealisationError),
    (of("task/parity-1"), "realisation", "check_shape", RealisationError),
    (of("task/parity-1"), "realisation", "check_steps", RealisationError),
    (of("task/parity-1"), "realisation", "check_embeddings", RealisationError),
    (of("task/parity-1"), "realisation", "check_attention", RealisationError),
    (of("task/parity-1"), "realisation", "check_units", RealisationError),
    (of("task/parity-1"), "realisation", "check_logits", RealisationError),
    (of("task/parity-1"), "attention", "check_idle_heads", RealisationError),
    (of("task/parity-1"), "attention", "check_values", RealisationError),
    (of("task/parity-1"), "units", "check_clearing", RealisationError),
    (of("task/parity-1"), "units", "check_idle_units", RealisationError),
    (of("task/parity-1"), "units", "_check_exclusive", RealisationError),
    (of("task/parity-1"), "units", "_check_written", RealisationError),
    (of("base/word-problem"), "units", "_check_pairs", RealisationError),
]


@pytest.mark.parametrize(("make", "module", "step", "error"), STEPS, ids=[step for _, _, step, _ in STEPS])
def test_every_step_is_taken(
    make: Callable[[], Made], module: str, step: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    transformer, placement = make()

    def refuse(*_: Any) -> None:
        raise error("refused here", 0)

    monkeypatch.setattr(f"serialformer.proofs.{module}.{step}", refuse)
    failure = certify_construction(transformer, placement).failure
    assert failure is not None and failure.reason == "refused here"
