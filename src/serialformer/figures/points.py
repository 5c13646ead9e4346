"""Points: rows of one configuration, all seeds together, and never of several configurations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any

from serialformer.errors import FigureError
from serialformer.figures.measures import Measure
from serialformer.models.score import wilson_interval
from serialformer.sweeps.row import DONE, Row
from serialformer.sweeps.run import FRESH
from serialformer.sweeps.training_experiment import FINAL


@dataclass(frozen=True, kw_only=True)
class Point:
    """Counts of all seeds of one configuration at one evaluated length.

    Attributes:
        setting: as in ``tasks.layout``.
        length: that it was trained at.
        depth: layers.
        evaluated_length: that was evaluated.
        right: how many were right.
        total: of how many.
        seeds: the same for each seed, in order of the seeds.
    """

    setting: str
    length: int
    depth: int
    evaluated_length: int
    right: int
    total: int
    seeds: tuple[tuple[int, int], ...]

    @property
    def share(self) -> float:
        """The median of the seeds' shares, from 0 to 1: a seed that fails does not pull it down, nor is it hidden."""
        return median(right / total for right, total in self.seeds)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of a single seed's share; None where there are several."""
        return wilson_interval(self.right, self.total) if len(self.seeds) == 1 else None


def select_final(rows: Iterable[Row]) -> list[Row]:
    """The evaluations that ended a training, one a configuration and seed.

    Runs that differ only in where they are evaluated besides have the same final evaluation of the same samples, which
    must not count twice.
    """
    kept: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        if row.status == DONE and row.evaluation == FINAL:
            kept.setdefault(_model(row), row)
    return list(kept.values())


def select_lengths(rows: Iterable[Row]) -> list[Row]:
    """The evaluations of the lengths that a sweep asked for; the final one where it did not ask for the trained."""
    rows = list(rows)
    fresh: dict[tuple[Any, ...], dict[tuple[int, int], Row]] = {}
    for row in rows:
        if row.status == DONE and row.evaluation == FRESH:
            samples, place = fresh.setdefault(_model(row), {}), (row.evaluated_length, evaluation_seed(row))
            # Of two with one seed, the smaller sample is the beginning of the larger.
            if place not in samples or samples[place].samples < row.samples:
                samples[place] = row
    selected = [row for samples in fresh.values() for row in samples.values()]
    asked = {(_model(row), row.evaluated_length) for row in selected}
    for row in select_final(rows):
        if _model(row) in fresh and (_model(row), row.evaluated_length) not in asked:
            selected.append(row)
    return selected


def pool(rows: Iterable[Row], measure: Measure) -> list[Point]:
    """Rows pooled over seeds, ordered by setting, length, depth and evaluated length; those without counts left out.

    Raises:
        FigureError: rows of one point differ in more than the seed.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(_place(row), []).append(row)
    points = []
    for (setting, length, depth, evaluated_length), group in sorted(groups.items()):
        differing = _differing(group)
        if differing:
            raise FigureError(
                f"{setting}, length {length}, depth {depth}: runs that differ in {', '.join(sorted(differing))}",
                where="figure",
                hint="split_variants parts them",
            )
        seeds: dict[int, tuple[int, int]] = {}
        for row in group:
            (right, total), (more_right, more) = seeds.get(row.seed, (0, 0)), measure.count(row)
            seeds[row.seed] = (right + more_right, total + more)
        counts = tuple(count for _, count in sorted(seeds.items()) if count[1])
        if counts:
            points.append(
                Point(
                    setting=setting,
                    length=length,
                    depth=depth,
                    evaluated_length=evaluated_length,
                    right=sum(right for right, _ in counts),
                    total=sum(total for _, total in counts),
                    seeds=counts,
                )
            )
    return points


def split_variants(rows: Sequence[Row]) -> list[tuple[dict[str, str], list[Row]]]:
    """Rows of one task in parts within which no point has two configurations, each with the fields that set it apart.

    Most stores have one part, set apart by nothing. A point that has one configuration only goes with the largest part,
    whatever that configuration is; of several, the one that is most like the largest part's. Parts stand in the order
    of their first rows; a field whose value differs within a part is not among those that set it apart.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(_place(row), []).append(row)
    fields = sorted(set().union(*(_differing(group) for group in groups.values())))

    def values(row: Row) -> tuple[str, ...]:
        found = dict(configuration(row))
        return tuple(found.get(field, "null") for field in fields)

    choices = {place: set(map(values, group)) for place, group in groups.items()}
    alike = Counter(values(row) for row in rows)
    order = {found: number for number, found in enumerate(alike)}
    several = set().union(*(found for found in choices.values() if len(found) > 1))
    largest = max(several, key=lambda found: (alike[found], -order[found]), default=())

    def likeness(found: tuple[str, ...]) -> tuple[int, int, int]:
        same = sum(one == other for one, other in zip(found, largest, strict=True))
        return same, alike[found], -order[found]

    main = {place: max(found, key=likeness) for place, found in choices.items()}
    parts: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found = values(row)
        parts.setdefault(largest if found == main[_place(row)] else found, []).append(row)
    named = []
    for key, part in parts.items():
        shared = {values(row) for row in part}
        same = [place for place in range(len(fields)) if len({found[place] for found in shared}) == 1]
        named.append(({fields[place]: key[place] for place in same}, part))
    return named


def describe_variant(fields: Mapping[str, str]) -> str:
    """What sets a variant apart, in words.

    >>> describe_variant({"model.relative_bias": "false", "model.width": "64", "shortest": "null"})
    'no relative bias, width 64, one length'
    """
    words = []
    for field, value in fields.items():
        name = field.rpartition(".")[2].replace("_", " ")
        if field == "shortest":
            words.append("one length" if value == "null" else f"lengths from {value}")
            continue
        words.append({"true": name, "false": f"no {name}", "null": f"no {name}"}.get(value, f"{name} {value}"))
    return ", ".join(words)


def trained_lengths(row: Row) -> tuple[int, int]:
    """The shortest and the longest samples that a row's model was trained on."""
    shortest = dict(configuration(row)).get("shortest", "null")
    return (row.length if shortest == "null" else int(shortest)), row.length


def configuration(row: Row) -> tuple[tuple[str, str], ...]:
    """Every field that shapes the training of a row's model but for the seed, by its path, with its value as text."""
    return _configuration(row.config)


def evaluation_seed(row: Row) -> int:
    """The seed of the samples of a fresh evaluation."""
    return int(_parse(row.config).get("seed", 0))


def describe_curriculum(text: str) -> str:
    """A curriculum of training in words.

    >>> describe_curriculum('{"name": "neutral", "start": 0.8, "end": 0.0, "num_steps": 500}')
    'neutral 0.8 to 0 over 500 steps'
    >>> describe_curriculum("null")
    "the task's own"
    """
    schedule = json.loads(text) if text else None
    if not schedule:
        return "the task's own"
    if not schedule["num_steps"]:
        return f"{schedule['name']} {schedule['end']:g} throughout"
    return f"{schedule['name']} {schedule['start']:g} to {schedule['end']:g} over {schedule['num_steps']:,} steps"


def _model(row: Row) -> tuple[Any, ...]:
    """What decides the weights of a row's model."""
    return configuration(row), row.task, row.setting, row.length, row.depth, row.seed


def _place(row: Row) -> tuple[str, int, int, int]:
    return row.setting, row.length, row.depth, row.evaluated_length


def _differing(rows: Sequence[Row]) -> set[str]:
    """Fields in which configurations differ."""
    configurations: list[dict[str, str]] = [dict(found) for found in {configuration(row) for row in rows}]
    names = {name for values in configurations for name in values}
    return {name for name in names if len({values.get(name) for values in configurations}) > 1}


@lru_cache(maxsize=1 << 16)
def _configuration(text: str) -> tuple[tuple[str, str], ...]:
    content = _parse(text)
    flat = _flatten(content.get("config", {}))
    flat |= {name: value for name, value in content.items() if name in ("semantics", "task_version")}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in flat.items()}
    return tuple(sorted((name, text) for name, text in texts.items() if name != "seed"))


def _flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict) and name != "curriculum":
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = describe_curriculum(json.dumps(value)) if name == "curriculum" else value
    return flat


def _parse(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise FigureError(f"the configuration of a run is no JSON object: {text[:40]!r}", where="figure")
    return content


def describe_task(task: str, parameters: str) -> str:
    """A task with its parameters, for people.

    >>> describe_task("modular-addition", '{"modulus": 7}')
    'modular addition, modulus 7'
    """
    values = json.loads(parameters)
    return ", ".join([task.replace("-", " "), *(f"{name.replace('_', ' ')} {value}" for name, value in values.items())])
