"""``interp-suite`` and ``interp-score``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from serialformer.interp.judge import read_truth
from tests.cli.conftest import Result


def test_the_commands(tmp_path: Path, cli: Callable[..., Result]) -> None:
    made = cli("interp-suite", "-o", tmp_path / "suite", "--model", "adder2-chain", "--pairs", "4", "--json")
    assert made.status == 0 and json.loads(made.out)["models"][0]["name"] == "adder2-chain"
    truth = read_truth(tmp_path / "suite" / "adder2-chain")
    (tmp_path / "edges.json").write_text(json.dumps({name: float(value) for name, value in truth["edges"].items()}))
    judged = cli("interp-score", tmp_path / "suite" / "adder2-chain", tmp_path / "edges.json", "--json")
    assert judged.status == 0 and json.loads(judged.out)["edge_auroc"] == 1.0
    (tmp_path / "edges.json").write_text(json.dumps({"input->m7": 1}))
    refused = cli("interp-score", tmp_path / "suite" / "adder2-chain", tmp_path / "edges.json")
    assert refused.status == 2 and "scores of 1 edges that the model does not have: input->m7" in refused.err
    unknown = cli("interp-suite", "-o", tmp_path / "other", "--model", "adder3")
    assert unknown.status == 2 and "--model: no model adder3" in unknown.err and not (tmp_path / "other").exists()
    again = cli("interp-suite", "-o", tmp_path / "suite", "--model", "adder2-chain")
    assert again.status == 2 and "exists already" in again.err
