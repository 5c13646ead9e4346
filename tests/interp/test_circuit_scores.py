"""Faithfulness, completeness and minimality of sets of edges."""

from __future__ import annotations

from pathlib import Path

import pytest

from serialformer import SerialformerError, load
from serialformer.interp.circuit_scores import read_pairs, score_circuit
from serialformer.interp.judge import read_truth
from serialformer.interp.suite import write_suite

NAMES = ("adder2-chain", "parity4-depth")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite") / "suite"
    write_suite(folder, names=NAMES, num_pairs=8)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_is_faithful_and_complete_and_nothing_else_is(suite: Path, name: str) -> None:
    truth, pairs = read_truth(suite / name), read_pairs(suite / name / "pairs.jsonl")
    transformer = load(suite / name / "model").transformer
    true = [edge for edge, is_true in truth["edges"].items() if is_true]
    found = score_circuit(transformer, pairs, true)
    assert (found.faithfulness, found.completeness) == (1.0, 1.0)
    everything = score_circuit(transformer, pairs, truth["edges"])
    assert (everything.faithfulness, everything.completeness) == (1.0, 1.0) and everything.minimality < found.minimality
    nothing = score_circuit(transformer, pairs, [])
    assert (nothing.faithfulness, nothing.completeness) == (0.0, 0.0)
    false = [edge for edge, is_true in truth["edges"].items() if not is_true]
    assert score_circuit(transformer, pairs, false).faithfulness == 0.0
    without = score_circuit(transformer, pairs, [edge for edge in true if not edge.endswith("->logits")])
    assert without.faithfulness == 0.0


def test_edges_and_pairs_that_are_none_are_refused(suite: Path, tmp_path: Path) -> None:
    pairs = read_pairs(suite / "adder2-chain" / "pairs.jsonl")
    transformer = load(suite / "adder2-chain" / "model").transformer
    with pytest.raises(SerialformerError, match="no edge a7.h0->m0"):
        score_circuit(transformer, pairs, ["a7.h0->m0"])
    with pytest.raises(SerialformerError, match="on all pairs the model writes the same"):
        score_circuit(transformer, [], ["input->m0"])
    (tmp_path / "pairs.jsonl").write_text('{"clean_ids": [1]}\n')
    with pytest.raises(SerialformerError, match="line 1 is no pair"):
        read_pairs(tmp_path / "pairs.jsonl")
