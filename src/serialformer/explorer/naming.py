"""Naming: what the dimensions of the residual stream and the hidden units of a model are for.

Names come from what the checkpoint says of its construction. They are used only where the weights bear them out: a
checkpoint whose embeddings are not laid out so, a trained one above all, gets plain numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serialformer.compile.blueprint import Blueprint
from serialformer.compile.construct import task_blueprint
from serialformer.compile.evaluator_layout import EvaluatorLayout
from serialformer.compile.names import position_names
from serialformer.compile.program import ONE, ZERO
from serialformer.compile.residual import lay_out
from serialformer.errors import SerialformerError
from serialformer.model import Model
from serialformer.task_model import TaskModel

NUM_CHECKED = 256
"""Positions whose names are compared with what the layout says."""

MAX_NAMED_UNITS = 4096
"""Beyond so many hidden units none is named: the page would hold little else."""


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Labels for the page.

    Attributes:
        directions: one a dimension of the residual stream, such as ``fetched[0]+``; empty if none are known.
        units: one a hidden unit of the last layer, from the first; may be shorter than there are units.
        is_compiled: whether the dimensions are those of a compiled circuit, so that the page can read names and tables.
    """

    directions: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    is_compiled: bool = False


def name_circuit_model(model: Model) -> Naming:
    """The directions of a compiled circuit, as ``compile.residual`` lays them out."""
    layout = model.manifest.details.get("layout")
    if not isinstance(layout, Mapping):
        return Naming()
    try:
        num_heads, length = int(layout["num_heads"]), int(layout["name_length"])
    except (KeyError, TypeError, ValueError):
        return Naming()
    transformer = model.transformer
    if num_heads != transformer.architecture.num_heads or length % 2 or not 2 <= length <= 20:
        return Naming()
    residual = lay_out(num_heads, length)
    checked = np.arange(min(NUM_CHECKED, transformer.architecture.num_positions), dtype=np.int64)
    if residual.width != transformer.architecture.width:
        return Naming()
    found = transformer.position_embedding[: len(checked), residual.name : residual.name + length]
    signs = transformer.token_embedding[[ZERO, ONE], residual.token].astype(np.float64)
    if not np.array_equal(found.astype(np.float64), position_names(checked, length)) or signs.tolist() != [-1.0, 1.0]:
        return Naming()
    units = []
    for combination in range(residual.table_size):
        read = ", ".join(str(combination >> head & 1) for head in range(num_heads))
        units += [f"fetched {read} and the table says {value}" for value in (0, 1)]
    return Naming(directions=tuple(residual.directions()), units=tuple(units), is_compiled=True)


def name_task_model(model: TaskModel) -> Naming:
    """The fields of a construction, or nothing for a model that was trained."""
    if "moduli" in model.details:
        return _name_evaluator(model)
    if "construction" not in model.details:
        return Naming()
    try:
        blueprint = task_blueprint(model.task, model.length)
    except SerialformerError:
        return Naming()
    stream, transformer = blueprint.stream, model.transformer
    if stream.width != transformer.architecture.width or blueprint.vocabulary != transformer.architecture.vocabulary:
        return Naming()
    embedding = transformer.token_embedding.astype(np.float64)
    for part, values in blueprint.token_fields:
        if not np.array_equal(embedding[:, stream.span(part.name)], part.codes[values]):
            return Naming()
    return Naming(directions=tuple(stream.directions()), units=_name_units(blueprint))


def _name_units(blueprint: Blueprint) -> tuple[str, ...]:
    """What each hidden unit watches for and writes, as values of fields."""
    if blueprint.num_units > MAX_NAMED_UNITS:
        return ()
    labels = []
    for table in blueprint.units:
        for watched, written in zip(table.values.tolist(), table.written.tolist(), strict=True):
            reads = [
                f"{name} is {first}" if first == second else f"{name} is {first} or {second}"
                for name, (first, second) in zip(table.reads, watched, strict=True)
            ]
            writes = [f"{name} {value}" for name, value in zip(table.writes, written, strict=True)]
            labels.append(f"{' and '.join(reads)}: writes {', '.join(writes)}")
    return tuple(labels)


def _name_evaluator(model: TaskModel) -> Naming:
    try:
        directions = EvaluatorLayout(moduli=tuple(int(one) for one in model.details["moduli"])).directions()
    except (TypeError, ValueError):
        return Naming()
    fits = len(directions) == model.transformer.architecture.width
    return Naming(directions=tuple(directions) if fits else ())
