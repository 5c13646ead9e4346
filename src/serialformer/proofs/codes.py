"""Codes: keys and queries rounded to the points of a grid, looked up, and how far that leaves the scores apart.

With codes g (looked for, norm N) and g' (any other key's, norm at most N'), D = |g - g'|, a query ``scale g + rest``
and keys within ``stray`` of their codes,

    score(g) - score(g') >= scale (D^2 - (N' - N)) / 2 - |rest| D - 2 |query| stray,    N, N' square norms,

and all codes that differ are at least one grid step apart, sqrt(2) steps if their coordinates have one sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Bool, Float64, Int32, Int64, UInt64
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.transformer.key_shape import KeyShape, find_key_shape

BLOCK = 1 << 15


@dataclass(frozen=True, kw_only=True, eq=False)
class CodeGrid:
    """The grid of a head's codes. Nothing is taken on trust from it: what is off it is found to be far from its code.

    Attributes:
        shape: which coordinates are coded, where the grid lies, the norm of the longest key seen.
        low: the least step of a coordinate.
        high: the largest.
    """

    shape: KeyShape
    low: int
    high: int

    @property
    def digit_bits(self) -> int:
        return max(1, (self.high - self.low).bit_length())


@dataclass(frozen=True, kw_only=True, eq=False)
class Codes:
    """Vectors as multiples of codes.

    Attributes:
        number: the code as an integer; that of the first of the two tokens.
        distance: how far the vectors of both tokens are from their codes at most, in exact arithmetic and with every
            error; infinite where they are no multiples of codes, or of two different ones.
        agrees: whether both tokens have the same code.
        square: the code's square norm.
        steps: the sum of its coordinates, in grid steps.
    """

    number: UInt64[np.ndarray, " rows"]
    distance: Float64[np.ndarray, "rows 2"]
    agrees: Bool[np.ndarray, " rows"]
    square: Float64[np.ndarray, " rows"]
    steps: Int64[np.ndarray, " rows"]


def find_grid_of_codes(keys: Float64[np.ndarray, "sample size"]) -> CodeGrid | None:
    """The grid that these keys lie on, roughly; None if there is none, or codes would take more than 63 bits."""
    shape = find_key_shape(keys)
    if shape is None and len(keys) > 16:
        # A key that is off the grid spoils the sample it is in, but not its other parts.
        parts = (find_key_shape(np.ascontiguousarray(part)) for part in np.array_split(keys, 8))
        shape = next((part for part in parts if part is not None), None)
    if shape is None:
        return None
    steps = np.rint((keys[:, shape.order[: shape.coded]] - shape.grid.offset) / shape.grid.step)
    steps = steps[(np.abs(steps) <= 100).all(axis=1)].astype(np.int64)
    if not len(steps):
        return None
    grid = CodeGrid(shape=shape, low=int(steps.min()), high=int(steps.max()))
    return grid if grid.digit_bits * shape.coded <= 63 else None


def round_to_codes(
    vectors: Float64[np.ndarray, "rows 2 size"],
    errors: Float64[np.ndarray, "rows 2 size"],
    scale: Float64[np.ndarray, "rows 2"],
    codes: CodeGrid,
) -> Codes:
    """The codes of which these vectors, of two tokens each, are ``scale`` times."""
    shape = codes.shape
    vectors, errors = vectors[:, :, shape.order], errors[:, :, shape.order]
    coded, grid = shape.coded, shape.grid
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.rint((vectors[:, :, :coded] / scale[:, :, None] - grid.offset) / grid.step)
    fits = ((steps >= codes.low) & (steps <= codes.high)).all(axis=2)  # which what is not a number does not
    steps = np.where(fits[:, :, None], steps, codes.low)
    away = np.abs(vectors)
    away[:, :, :coded] = np.abs(vectors[:, :, :coded] - scale[:, :, None] * (grid.offset + grid.step * steps))
    distances = [np.sqrt(np.einsum("rsi,rsi->rs", part, part)).max(axis=1) for part in (away, away + errors)]
    agrees = (steps[:, 0] == steps[:, 1]).all(axis=1)
    whole = (fits.all(axis=1) & agrees)[:, None]
    number = np.zeros(len(vectors), dtype=np.uint64)
    for digits in (steps[:, 0] - codes.low).astype(np.uint64).T:
        number = number << np.uint64(codes.digit_bits) | digits
    points = grid.offset + grid.step * steps[:, 0]
    return Codes(
        number=number,
        distance=np.where(whole, np.stack(distances, axis=1) * (1 + FLOAT64_SLACK), np.inf),
        agrees=agrees,
        square=np.einsum("ri,ri->r", points, points),
        steps=steps[:, 0].sum(axis=1).astype(np.int64),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundCodes:
    """Where codes were found.

    Attributes:
        is_found: whether there is such a key at all.
        first: the first position whose key has the code, if so.
        again: the next position whose key has it, or a number beyond all positions.
    """

    is_found: Bool[np.ndarray, " wanted"]
    first: Int64[np.ndarray, " wanted"]
    again: Int64[np.ndarray, " wanted"]


class SortedNumbers:
    """The numbers of keys, in which others are looked up.

    >>> SortedNumbers(np.array([7, 5, 5], np.uint64)).find(np.array([5], np.uint64)).first
    array([1])
    """

    def __init__(self, numbers: UInt64[np.ndarray, " keys"]) -> None:
        self._order = np.argsort(numbers, kind="stable").astype(np.int32)
        self._ordered = numbers[self._order]

    def find(self, numbers: UInt64[np.ndarray, " wanted"]) -> FoundCodes:
        last = len(self._ordered) - 1
        place = np.searchsorted(self._ordered, numbers)
        here, after = np.minimum(place, last), np.minimum(place + 1, last)
        is_again = (self._ordered[after] == numbers) & (place < last)
        return FoundCodes(
            is_found=self._ordered[here] == numbers,
            first=self._order[here].astype(np.int64),
            again=np.where(is_again, self._order[after].astype(np.int64), np.iinfo(np.int64).max),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class KeysSoFar:
    """For each of a block of positions, of all keys up to it: the worst distance, the longest, how far codes differ."""

    stray: Float64[np.ndarray, "rows 2"]
    largest_square: Float64[np.ndarray, " rows"]
    least_apart: Float64[np.ndarray, " rows"]

    def rows(self, chosen: slice) -> KeysSoFar:
        """Some of the positions."""
        return KeysSoFar(
            stray=self.stray[chosen],
            largest_square=self.largest_square[chosen],
            least_apart=self.least_apart[chosen],
        )


class KeyIndex:
    """The keys of a head, by their codes; positions are added in order."""

    def __init__(self, grid: CodeGrid, num_positions: int) -> None:
        self.grid = grid
        self.numbers = np.zeros(num_positions, dtype=np.uint64)
        self._stray = np.zeros(num_positions, dtype=np.float32)
        self._worst, self._longest = np.zeros(2), 0.0
        self._steps: int | None = None
        self._is_even = True
        self._found_in: SortedNumbers | None = None

    def add(
        self, start: int, keys: Float64[np.ndarray, "rows 2 size"], errors: Float64[np.ndarray, "rows 2 size"]
    ) -> KeysSoFar:
        """Adds the keys of the positions from ``start`` on."""
        codes = round_to_codes(keys, errors, np.ones(keys.shape[:2]), self.grid)
        self.numbers[start : start + len(keys)] = codes.number
        self._stray[start : start + len(keys)] = codes.distance[:, 0]
        stray = np.maximum(np.maximum.accumulate(codes.distance), self._worst)
        square = np.maximum(np.maximum.accumulate(codes.square), self._longest)
        self._steps = int(codes.steps[0]) if self._steps is None else self._steps
        even = np.logical_and.accumulate(codes.steps == self._steps) & self._is_even
        self._worst, self._longest, self._is_even = stray[-1], float(square[-1]), bool(even[-1])
        apart = self.grid.shape.grid.step * np.where(even, np.sqrt(2), 1.0) * (1 - FLOAT64_SLACK)
        return KeysSoFar(stray=stray, largest_square=square, least_apart=apart)

    def find(self, numbers: UInt64[np.ndarray, " wanted"]) -> FoundCodes:
        """Looks codes up, once all keys have been added."""
        if self._found_in is None:
            self._found_in = SortedNumbers(self.numbers)
        return self._found_in.find(numbers)

    def describe_stray(self, position: int) -> str:
        """Names the key that a gap suffers from, if one up to this position does more than others."""
        stray = self._stray[: position + 1]
        worst = int(np.argmax(stray))
        if stray[worst] > 1e-3 and stray[worst] > 2 * np.median(stray):
            return f" (the key of position {worst} is {stray[worst]:.3g} off its code)"
        return ""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadProof:
    """What one head reads.

    Attributes:
        targets: for each writing position the position that is read.
        failed: the first writing position where that is not proven; their number if there is none.
        reason: what is wrong there.
    """

    targets: Int32[np.ndarray, " writing"]
    failed: int
    reason: str


class Gaps:
    """The gaps of all heads together: for each writing position the least, and whose it is.

    Attributes:
        least: in exact arithmetic, and less what rounding can take.
        head: the head that leaves the latter.
    """

    def __init__(self, num_writing: int) -> None:
        self.least = np.full((num_writing, 2), np.inf)
        self.head = np.zeros(num_writing, dtype=np.int32)

    def add(self, rows: slice, head: int, gaps: Float64[np.ndarray, "rows 2"]) -> None:
        """Takes the gaps of one more head into account."""
        smaller = gaps[:, 1] < self.least[rows, 1]
        self.head[rows] = np.where(smaller, head, self.head[rows])
        self.least[rows] = np.minimum(self.least[rows], gaps)


class QueryList:
    """The queries of one head, as multiples of codes; the gaps that they leave go to those of all heads."""

    def __init__(self, head: int, keys: KeyIndex, num_writing: int, gaps: Gaps) -> None:
        self._head, self._keys, self._gaps = head, keys, gaps
        self._numbers = np.zeros(num_writing, dtype=np.uint64)
        self._agrees = np.zeros(num_writing, dtype=bool)

    def add(
        self,
        start: int,
        queries: Float64[np.ndarray, "rows 2 size"],
        errors: Float64[np.ndarray, "rows 2 size"],
        seen: KeysSoFar,
        head_width: int,
        rounding: Rounding,
    ) -> None:
        """Adds the queries of the writing positions from ``start`` on, which see these keys."""
        grid = self._keys.grid
        scales = np.sqrt(np.einsum("rsi,rsi->rs", queries, queries)) / grid.shape.largest_norm
        codes = round_to_codes(queries, errors, scales, grid)
        rows = slice(start, start + len(queries))
        self._numbers[rows], self._agrees[rows] = codes.number, codes.agrees
        low, high, square = scales.min(axis=1), scales.max(axis=1), codes.square
        shortfall = np.maximum(0.0, seen.largest_square - square)
        least = seen.least_apart
        terms = (queries.shape[2] + 3) * rounding.accumulation_roundoff
        rate = terms / (1 - terms) + 6 * rounding.storage_roundoff
        gaps = np.empty((len(queries), 2))
        for is_rounded in (0, 1):
            rest, stray = codes.distance[:, is_rounded], seen.stray[:, is_rounded]
            query, key = high * np.sqrt(square) + rest, np.sqrt(np.maximum(seen.largest_square, square)) + stray
            with np.errstate(invalid="ignore", over="ignore"):
                gap = low * (least**2 - shortfall) / 2 - rest * least - 2 * query * stray
                holds = (rest <= low * least) & (shortfall < least**2)
                if is_rounded:
                    holds &= query * key * (1 + rate) < rounding.largest
                    gap = (gap - 2 * rate * query * key) * (1 - 4 * rounding.storage_roundoff)
            gaps[:, is_rounded] = np.where(holds, gap, -np.inf) / np.sqrt(head_width) * (1 - FLOAT64_SLACK)
        self._gaps.add(rows, self._head, gaps)

    def match(self, first: int, largest_leak: float) -> HeadProof:
        """Finds what each query looks for; all keys must have been added.

        Args:
            first: the first position that writes.
            largest_leak: how much attention weight all other positions together may have.
        """
        num_writing = len(self._numbers)
        targets, failed, reason = np.zeros(num_writing, dtype=np.int32), num_writing, ""
        for start in range(0, num_writing, BLOCK):
            rows = slice(start, min(start + BLOCK, num_writing))
            positions = first + np.arange(rows.start, rows.stop)
            found = self._keys.find(self._numbers[rows])
            where = targets[rows] = found.first
            needed, gap = np.log((positions + 1) / largest_leak), self._gaps.least[rows, 1]
            is_weakest = self._gaps.head[rows] == self._head
            checks = [
                (~self._agrees[rows], "looks for another position when the token changes"),
                (~found.is_found, "looks for a key that no position has"),
                (where > positions, "looks for position {target}, which comes later"),
                (found.again <= positions, "finds the same key at positions {target} and {again}"),
                (
                    ~(gap >= needed) & is_weakest,
                    "reads position {target} by a score gap of {gap:.3g}, not {needed:.3g}{stray}",
                ),
            ]
            failures = np.logical_or.reduce([wrong for wrong, _ in checks])
            if failures.any():
                row = int(np.argmax(failures))
                failed = start + row
                reason = next(text for wrong, text in checks if wrong[row]).format(
                    target=where[row], again=found.again[row], gap=gap[row], needed=needed[row],
                    stray=self._keys.describe_stray(int(positions[row])),
                )  # fmt: skip
                break
        return HeadProof(targets=targets, failed=failed, reason=reason)
