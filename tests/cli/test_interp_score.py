"""``interp-score`` with files of other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serialformer.interp.judge import read_scores, read_truth
from serialformer.interp.suite import write_suite


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite") / "suite"
    write_suite(folder, names=("adder2-chain",), num_pairs=8)
    return folder


def test_graphs_of_other_tools_are_read(suite: Path, tmp_path: Path, cli: Any) -> None:
    torch = pytest.importorskip("torch")
    known = read_truth(suite / "adder2-chain")["edges"]
    sources = ["input", "a0.h0", "a0.h1", "m0"]
    targets = [*(f"a0.h{head}<{via}>" for via in "qkv" for head in (0, 1)), "m0", "logits"]
    scores = torch.zeros(len(sources), len(targets))
    for row, source in enumerate(sources):
        for column, target in enumerate(targets):
            scores[row, column] = float(known.get(f"{source}->{target}", 0)) - 0.25 * (f"{source}->{target}" in known)
    graph = {"cfg": {}, "src_nodes": sources, "dst_nodes": targets, "edges_scores": scores,
             "edges_in_graph": scores > 0, "nodes_in_graph": torch.ones(4)}  # fmt: skip
    torch.save(graph, tmp_path / "graph.pt")
    as_json = {name: {"score": 0.75 if is_true else -0.25, "in_graph": is_true} for name, is_true in known.items()}
    (tmp_path / "graph.json").write_text(json.dumps({"cfg": {}, "nodes": {}, "edges": as_json}))
    assert read_scores(tmp_path / "graph.pt", known) == read_scores(tmp_path / "graph.json")
    status, out, _ = cli("interp-score", suite / "adder2-chain", tmp_path / "graph.pt", "--json")
    result = json.loads(out)
    assert status == 0 and result["edge_auroc"] == result["faithfulness"] == result["completeness"] == 1.0
    alone = json.loads(cli("interp-score", suite / "adder2-chain" / "truth.json", tmp_path / "graph.pt", "--json")[1])
    assert "faithfulness" not in alone and alone["edge_auroc"] == 1.0
    (tmp_path / "broken.pt").write_bytes(b"no graph")
    status, _, err = cli("interp-score", suite / "adder2-chain", tmp_path / "broken.pt")
    assert status == 2 and "is no graph of EAP-IG" in err
    torch.save({**graph, "src_nodes": sources[:2]}, tmp_path / "other.pt")
    status, _, err = cli("interp-score", suite / "adder2-chain", tmp_path / "other.pt")
    assert status == 2 and "expected scores of 2 by 8 nodes, found [4, 8]" in err
