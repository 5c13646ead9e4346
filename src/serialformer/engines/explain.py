"""What failures have in common: the shortest conditions that all of them meet and nothing that is right does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool

from serialformer.engines.cases import Case
from serialformer.engines.judge import Wrong
from serialformer.engines.run import Trial

Feature = str | int | bool

MAX_CONDITIONS = 3
MAX_RULES = 3
BLOCKS = (16, 32, 64, 128, 256)

MIN_SHARED = 3
"""Fewer wrong tokens may be at the same place of a block by chance."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """That a feature has a value or has not, or that a number is at least, or below, something."""

    feature: str
    relation: str
    value: Feature

    def __str__(self) -> str:
        word = {"is": "=", "is not": " is not ", "at least": " >= ", "below": " < "}[self.relation]
        return f"{self.feature}{word}{self.value}"

    def holds(self, row: Mapping[str, Feature]) -> bool:
        """Whether it is true of a row; of what is not known of a row, nothing is."""
        if self.feature not in row:
            return False
        found = row[self.feature]
        is_same = found == self.value and type(found) is type(self.value)
        if self.relation in ("is", "is not"):
            return is_same == (self.relation == "is")
        if not isinstance(found, int) or isinstance(found, bool):
            return False
        assert isinstance(self.value, int)
        return found >= self.value if self.relation == "at least" else found < self.value


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Conditions that hold of some failures and of nothing that is right.

    Attributes:
        conditions: all of which must hold.
        num_failures: how many failures they explain.
        is_whole: whether that is all of them.
    """

    conditions: tuple[Condition, ...]
    num_failures: int
    is_whole: bool

    def __str__(self) -> str:
        counted = "1 failure" if self.num_failures == 1 else f"{self.num_failures} failures"
        which = "all failures" if self.is_whole else counted
        return f"{which}: {' and '.join(map(str, self.conditions)) or 'everything fails'}"


def explain(rows: Sequence[tuple[Mapping[str, Feature], bool]]) -> tuple[Rule, ...]:
    """Finds a decision list for failures.

    Args:
        rows: the features of each thing that was tried, and whether it failed.

    Returns:
        One rule if some conditions hold of all failures and of nothing else; otherwise up to ``MAX_RULES``, the one
        that explains most first. None if nothing failed.

    >>> rows = [({"dtype": dtype, "odd": odd}, dtype == "bfloat16" and odd)
    ...         for dtype in ("float32", "bfloat16") for odd in (False, True)]
    >>> [str(rule) for rule in explain(rows)]
    ['all failures: dtype=bfloat16 and odd=True']
    """
    failed = np.array([bad for _, bad in rows], dtype=bool)
    if not failed.any():
        return ()
    if failed.all():
        return (Rule(conditions=(), num_failures=int(failed.sum()), is_whole=True),)
    conditions: list[Condition] = []
    holds: list[Bool[np.ndarray, " rows"]] = []
    known: set[bytes] = set()
    for condition in _conditions([row for row, _ in rows]):
        met = np.array([condition.holds(row) for row, _ in rows], dtype=bool)
        # Conditions that mean the same in these rows are kept once, in the simplest form.
        if (met & failed).any() and met.tobytes() not in known:
            known.add(met.tobytes())
            conditions.append(condition)
            holds.append(met)
    rules: list[Rule] = []
    left = failed.copy()
    while left.any() and len(rules) < MAX_RULES:
        best = _best(holds, failed, left)
        if best is None:
            break
        chosen, explained = best
        rules.append(
            Rule(
                conditions=tuple(conditions[place] for place in chosen),
                num_failures=int(explained.sum()),
                is_whole=bool(explained.sum() == failed.sum()),
            )
        )
        left &= ~explained
    return tuple(rules)


def _best(
    holds: Sequence[Bool[np.ndarray, " rows"]], failed: Bool[np.ndarray, " rows"], left: Bool[np.ndarray, " rows"]
) -> tuple[tuple[int, ...], Bool[np.ndarray, " rows"]] | None:
    """The fewest conditions that explain all that is left, or else those that explain most of it."""
    best: tuple[tuple[int, ...], Bool[np.ndarray, " rows"]] | None = None
    for size in range(1, MAX_CONDITIONS + 1):
        for chosen in combinations(range(len(holds)), size):
            met = np.logical_and.reduce([holds[place] for place in chosen])
            if (met & ~failed).any():
                continue
            count = int((met & left).sum())
            if count and (best is None or count > int((best[1] & left).sum())):
                best = (chosen, met & failed)
        if best is not None and not (left & ~best[1]).any():
            break
    return best


def _conditions(rows: Sequence[Mapping[str, Feature]]) -> Iterator[Condition]:
    """Every condition that holds of some rows and not of all, the simplest first."""
    several = {
        feature: values
        for feature in dict.fromkeys(name for row in rows for name in row)
        if len(values := {row[feature] for row in rows if feature in row}) > 1
    }
    for feature, values in several.items():
        numbers = sorted(value for value in values if isinstance(value, int) and not isinstance(value, bool))
        for value in sorted(values, key=str):
            yield Condition(feature=feature, relation="is", value=value)
        for number in numbers[1:] if len(numbers) > 2 else ():
            yield Condition(feature=feature, relation="at least", value=number)
            yield Condition(feature=feature, relation="below", value=number)
    for feature, values in several.items():
        for value in sorted(values, key=str):
            yield Condition(feature=feature, relation="is not", value=value)


def explain_trials(trials: Sequence[Trial]) -> tuple[Rule, ...]:
    """What the failures of a run have in common: of families of cases if one rule says it all, else of whole trials.

    A family may be right by chance where its model is wrong, so that no conditions on families hold of all failures and
    of nothing that is right.
    """
    by_family = explain(trial_rows(trials))
    if len(by_family) == 1 and by_family[0].is_whole:
        return by_family
    whole = explain([(_whole_shape(trial), not trial.is_right) for trial in trials if trial.tried or trial.breakdown])
    return whole if len(whole) == 1 and whole[0].is_whole else by_family


def _whole_shape(trial: Trial) -> dict[str, Feature]:
    """The features of a trial as a whole."""
    positions, longest = trial.model.facts.get("positions"), max(map(_length, trial.model.cases), default=0)
    fills: dict[str, Feature] = {"fills the context": longest >= positions} if isinstance(positions, int) else {}
    return {**fills, **_shape(trial)}


def _length(case: Case) -> int:
    return len(case.prompt) + case.num_tokens


def _shape(trial: Trial) -> dict[str, Feature]:
    """The features of a configuration and of a model."""
    facts = {name: value for name, value in trial.model.facts.items() if name != "family"}
    width, heads = facts.get("head_width"), facts.get("heads")
    fills: dict[str, Feature] = {}
    if isinstance(width, int) and isinstance(heads, int):
        fills["heads fill the width"] = heads * width == facts.get("width")
    return {
        **{f"option {name}": value for name, value in trial.options.items()},
        **{f"effective {name}": value for name, value in trial.effects.items()},
        "weights": facts.pop("dtype", "unknown"),
        **({"odd head width": bool(width % 2)} if isinstance(width, int) else {}),
        **fills,
        "target": trial.model.facts.get("family", "unknown"),
        **facts,
    }


def trial_rows(trials: Sequence[Trial]) -> list[tuple[dict[str, Feature], bool]]:
    """The features of each family of cases of each trial, and whether it failed.

    A trial that broke down counts as one failure, of the family that was asked then. ``fills the context`` says whether
    a case of the family uses the last position of the model.
    """
    rows: list[tuple[dict[str, Feature], bool]] = []
    for trial in trials:
        shape = _shape(trial)
        positions = trial.model.facts.get("positions")
        lengths: dict[str, int] = {}
        for case in (*trial.model.cases, *trial.broken):
            lengths[case.family] = max(lengths.get(case.family, 0), _length(case))
        if trial.breakdown is not None:
            broken = trial.broken[0].family if trial.broken else None
            rows.append((shape if broken is None else _of_family(shape, broken, lengths, positions), True))
        for family in trial.tried:
            if trial.breakdown is None or not trial.broken or family != trial.broken[0].family or trial.failed[family]:
                rows.append((_of_family(shape, family, lengths, positions), trial.failed[family] > 0))
    return rows


def _of_family(
    shape: Mapping[str, Feature], family: str, lengths: Mapping[str, int], positions: object
) -> dict[str, Feature]:
    """The features of the cases of a family."""
    fills: dict[str, Feature] = {}
    if isinstance(positions, int) and family in lengths:
        fills["fills the context"] = lengths[family] >= positions
    return {**fills, **shape, "cases": family}


def shared_places(wrong: Sequence[Wrong]) -> list[str]:
    """What the positions of wrong tokens, or those that they should have read, have in common.

    >>> def at(position: int) -> Wrong:
    ...     return Wrong(case="a", family="f", row=0, token=0, position=position, gate="g", expected=0, found=1,
    ...                  reads=(3,), distance=position - 3)
    >>> for line in shared_places([at(32), at(64), at(96)]):
    ...     print(line)
    all of the first wrong tokens stand at a position that is 0 modulo 32
    all of the first wrong tokens read something at least 29 positions back
    """
    if len(wrong) < MIN_SHARED or len({found.position for found in wrong}) < MIN_SHARED:
        return []
    lines = []
    for block in reversed(BLOCKS):
        places = {found.position % block for found in wrong}
        if len(places) == 1:
            place = places.pop()
            lines.append(f"all of the first wrong tokens stand at a position that is {place} modulo {block}")
            break
    nearest = min(found.distance for found in wrong)
    if nearest >= BLOCKS[0]:
        lines.append(f"all of the first wrong tokens read something at least {nearest} positions back")
    return lines
