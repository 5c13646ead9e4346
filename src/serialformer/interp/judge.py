"""The judge: how well scores of edges agree with the truth about a model."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.arrays import Bool, Float64
from serialformer.errors import InputError
from serialformer.files import read_file

TRUTH_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How scores agree with the truth.

    Attributes:
        edges: how many edges the model has.
        true_edges: how many of them carry something that changes an answer.
        edge_auroc: the chance that a true edge has a higher score than another; ties count half.
        edge_average_precision: the mean precision at the ranks of the true edges.
        edge_precision: the share of true ones among as many edges with the highest scores as there are true ones.
        node_auroc: the same for parts, each scored by the highest of its edges.
        node_precision: likewise.
        scored: how many edges had a score; those without count as lowest.
    """

    edges: int
    true_edges: int
    edge_auroc: float
    edge_average_precision: float
    edge_precision: float
    node_auroc: float
    node_precision: float
    scored: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(truth: Mapping[str, Any], scores: Mapping[str, float]) -> Judgement:
    """Compares scores with the truth.

    Args:
        truth: as ``interp-suite`` writes it: for each edge whether it is true, and the same for each node.
        scores: for each edge a number; more means more important. The sign does not count.

    Raises:
        InputError: a score is of an edge that the model does not have, or is no number; or nothing is true, or all is.
    """
    edges = {str(name): bool(value) for name, value in truth["edges"].items()}
    nodes = {str(name): bool(value) for name, value in truth["nodes"].items()}
    unknown = [name for name in scores if name not in edges]
    if unknown:
        raise InputError(
            f"scores of {len(unknown)} edges that the model does not have: {', '.join(unknown[:4])}",
            hint=f"edges are called such as {', '.join(list(edges)[:3])}",
        )
    wrong = [name for name, score in scores.items() if not np.isfinite(score)]
    if wrong:
        raise InputError(f"the score of {wrong[0]} is no number")
    lowest = -1.0
    of_edge = np.array([abs(scores[name]) if name in scores else lowest for name in edges])
    of_node = {name: lowest for name in nodes}
    for name, score in zip(edges, of_edge.tolist(), strict=True):
        source, _, target = name.partition("->")
        for node in (source, target.partition("<")[0]):
            of_node[node] = max(of_node[node], score)
    is_edge, is_node = np.array(list(edges.values())), np.array(list(nodes.values()))
    if is_edge.all() or not is_edge.any():
        raise InputError("every edge is true, or none is, so that nothing can be judged", where="truth")
    node_scores = np.array(list(of_node.values()))
    both_kinds = is_node.any() and not is_node.all()
    return Judgement(
        edges=len(edges),
        true_edges=int(is_edge.sum()),
        edge_auroc=auroc(of_edge, is_edge),
        edge_average_precision=average_precision(of_edge, is_edge),
        edge_precision=precision_at_true(of_edge, is_edge),
        node_auroc=auroc(node_scores, is_node) if both_kinds else 1.0,
        node_precision=precision_at_true(node_scores, is_node),
        scored=len(scores),
    )


def auroc(scores: Float64[np.ndarray, " items"], is_true: Bool[np.ndarray, " items"]) -> float:
    """The area under the ROC curve: the chance that a true item's score is higher than another's, ties counting half.

    >>> auroc(np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False]))
    0.875
    """
    true, other = np.sort(scores[is_true]), np.sort(scores[~is_true])
    below = np.searchsorted(other, true, side="left")
    not_above = np.searchsorted(other, true, side="right")
    return float((below + not_above).sum() / (2 * len(true) * len(other)))


def average_precision(scores: Float64[np.ndarray, " items"], is_true: Bool[np.ndarray, " items"]) -> float:
    """The mean of the precision at each true item; of items with one score, the true ones come last.

    >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.8333333333333333
    """
    order = np.lexsort([is_true, -scores])
    hits = is_true[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def precision_at_true(scores: Float64[np.ndarray, " items"], is_true: Bool[np.ndarray, " items"]) -> float:
    """The share of true items among as many with the highest scores as there are true ones; ties count as wrong.

    >>> precision_at_true(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.5
    """
    order = np.lexsort([is_true, -scores])
    count = int(is_true.sum())
    return float(is_true[order[:count]].mean())


def read_scores(path: Path, known: Collection[str] = ()) -> dict[str, float]:
    """Scores of edges from a file: ``{edge: score}``, or as EAP-IG and MIB write them.

    Their JSON is ``{"edges": {edge: {"score": s}}}``; their ``.pt``, for which torch is needed, has ``src_nodes``,
    ``dst_nodes`` and ``edges_scores``, a matrix that also has a place for edges that do not exist.

    Args:
        path: the file.
        known: the edges that exist: others are left out of a ``.pt`` if they have no score.

    Raises:
        InputError: the file is none of these.
    """
    if path.suffix == ".pt":
        return _read_torch_scores(path, known)
    content = _read_json(path)
    edges = content.get("edges", content)
    if not isinstance(edges, dict):
        raise InputError("expected an object of scores by the names of edges", where=str(path))
    scores = {}
    for name, value in edges.items():
        score = value.get("score", value.get("in_graph")) if isinstance(value, dict) else value
        if isinstance(score, bool | int | float):
            scores[name] = float(score)
        elif score is not None:
            raise InputError(f"the score of {name} is {score!r}, no number", where=str(path))
    return scores


def _read_torch_scores(path: Path, known: Collection[str]) -> dict[str, float]:
    try:
        import torch
    except ImportError:
        raise InputError(
            "torch is needed to read a .pt file", where=str(path), hint="pip install torch, or write the graph as JSON"
        ) from None
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        sources, targets = list(content["src_nodes"]), list(content["dst_nodes"])
        matrix = np.asarray(content["edges_scores"].to(torch.float64))
    except Exception as error:  # whatever a file that is none makes torch raise
        raise InputError(f"is no graph of EAP-IG: {error}", where=str(path)) from None
    if matrix.shape != (len(sources), len(targets)):
        raise InputError(
            f"expected scores of {len(sources)} by {len(targets)} nodes, found {list(matrix.shape)}", where=str(path)
        )
    scores = {
        f"{source}->{target}": float(matrix[row, column])
        for row, source in enumerate(sources)
        for column, target in enumerate(targets)
    }
    return {name: score for name, score in scores.items() if name in known or score}


def read_truth(path: Path) -> dict[str, Any]:
    """The truth about a model, from the file ``truth.json`` or a folder that has it.

    Raises:
        InputError: it is none, or of another format.
    """
    file = path / "truth.json" if path.is_dir() else path
    content = _read_json(file)
    if content.get("format") != TRUTH_FORMAT:
        raise InputError(f"expected format {TRUTH_FORMAT}, found {content.get('format')!r}", where=str(file))
    for name in ("edges", "nodes"):
        if not isinstance(content.get(name), dict):
            raise InputError(f"{name} is missing", where=str(file))
    return content


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_file(path))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"is not JSON: {error}", where=str(path)) from None
    if not isinstance(content, dict):
        raise InputError("expected a JSON object", where=str(path))
    return content


def rank_edges(scores: Mapping[str, float]) -> Sequence[str]:
    """The edges, those with the highest scores first."""
    return sorted(scores, key=lambda name: (-abs(scores[name]), name))
