"""Finds, for many queries at once, the one key whose product with the query is the largest, and by how much.

Most keys are codes: points of a grid with one norm. A query is near a multiple of such a point, which is looked up.
With a the factor, rest what is left, and D the distance of another code, the lead over it is a D^2 / 2 - |rest| D at
least, which grows with D once |rest| <= a D. The keys that are no codes, few, are tried one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float64, Int64

MAX_ODD = 64
"""The most different keys that may be other than codes."""

ROWS_PER_BLOCK = 1 << 14


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What was found for each query.

    Attributes:
        first: the first row of the key found, or -1.
        last: the last row that has the same key.
        product: of the query with the key found.
        lead: by how much that exceeds the product with any other key, or any other code.
    """

    first: Int64[np.ndarray, " queries"]
    last: Int64[np.ndarray, " queries"]
    product: Float64[np.ndarray, " queries"]
    lead: Float64[np.ndarray, " queries"]


class CodeSearch:
    """The keys, sorted.

    Args:
        keys: one a row; equal rows count as one key. Columns of zeros are left out.

    Attributes:
        is_code: for each row whether its key is a code.
        count: for each row how many rows have its key.
        refusal: why nothing can be found in these keys, or "".
    """

    def __init__(self, keys: Float64[np.ndarray, "rows columns"]) -> None:
        used = np.flatnonzero((keys != 0).any(axis=0))
        keys = np.ascontiguousarray(keys[:, used])
        # Rows as strings of bytes are much faster to sort than rows of numbers; 0.0 makes -0.0 the same as 0.0.
        packed = (keys + 0.0).view(f"V{max(1, keys.itemsize * keys.shape[1])}").reshape(-1)
        _, first, inverse, counts = np.unique(packed, return_index=True, return_inverse=True, return_counts=True)
        self._different = keys[first]
        last = np.empty(len(first), dtype=np.int64)
        last[inverse] = np.arange(len(keys))
        norms = np.square(self._different).sum(axis=1)
        common, how_often = np.unique(norms[norms > 0], return_counts=True)
        self._norm = float(common[np.argmax(how_often)]) if len(common) else np.inf
        coded = np.flatnonzero(norms == self._norm)
        # Some columns only keys that are no codes have, and some are the same in all codes.
        every = self._different[coded]
        is_same = (every == every[:1]).all(axis=0) & (len(every) > 1)
        columns = np.flatnonzero((every != 0).any(axis=0) & ~is_same)
        codes = every[:, columns]
        self._used, self._columns = used, used[columns]
        self._common = np.where(is_same, every[:1].sum(axis=0), 0.0)
        self._code_norm = float(np.square(codes[:1]).sum())
        levels = np.unique(codes)
        self._step = float(np.diff(levels).min(initial=np.inf)) if len(levels) > 1 else 1.0
        self._offset = float(levels[0]) if len(levels) else 0.0
        steps = (codes - self._offset) / self._step
        self.is_code = (norms == self._norm)[inverse]
        self.count = counts[inverse]
        self.refusal = ""
        if len(self._different) - len(coded) > MAX_ODD:
            self.refusal = "its keys have no one norm"
        elif not len(coded) or (steps != np.rint(steps)).any() or steps.max(initial=0) > 250:
            self.refusal = "its keys lie on no grid"
        self._odd = np.delete(self._different, coded, axis=0)
        sums = codes.sum(axis=1)
        self._nearest = self._step * (np.sqrt(2) if len(codes) and np.ptp(sums) == 0 else 1.0)
        if not self.refusal:
            packed = _pack(steps)
            order = np.argsort(packed)
            self._sorted, self._first, self._last = packed[order], first[coded][order], last[coded][order]

    def find(self, queries: Float64[np.ndarray, "queries columns"], *, among_codes: bool = False) -> Found:
        """The key with the largest product with each query, where a code is and that can be shown.

        Args:
            queries: one a row.
            among_codes: whether the lead is over other codes only.
        """
        parts = [
            self._find_block(queries[start : start + ROWS_PER_BLOCK], among_codes=among_codes)
            for start in range(0, len(queries), ROWS_PER_BLOCK)
        ]
        first, last, product, lead = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Found(first=first, last=last, product=product, lead=lead)

    def _find_block(
        self, queries: np.ndarray, *, among_codes: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        every, queries = queries[:, self._used], queries[:, self._columns]
        factor = np.sqrt(np.square(queries).sum(axis=1) / self._code_norm)
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.rint((queries / factor[:, None] - self._offset) / self._step)
        inside = ((steps >= 0) & (steps <= 250)).all(axis=1) & (factor > 0)
        steps = np.where(inside[:, None], steps, 0)
        packed = _pack(steps)
        place = np.minimum(np.searchsorted(self._sorted, packed), len(self._sorted) - 1)
        inside &= self._sorted[place] == packed
        code = self._offset + self._step * steps
        product = (queries * code).sum(axis=1) + every @ self._common
        rest = np.sqrt(np.square(queries - factor[:, None] * code).sum(axis=1))
        lead = factor * self._nearest**2 / 2 - rest * self._nearest
        inside &= rest <= factor * self._nearest
        if len(self._odd) and not among_codes:
            lead = np.minimum(lead, product - (every @ self._odd.T).max(axis=1))
        first, last = np.where(inside, self._first[place], -1), np.where(inside, self._last[place], -1)
        return first, last, product, np.where(inside, lead, 0.0)


def _pack(steps: np.ndarray) -> np.ndarray:
    """Rows as strings of bytes without zeros, which sort and compare as a whole."""
    rows = np.ascontiguousarray(steps + 1, dtype=np.uint8)
    return rows.view(f"S{rows.shape[1]}").reshape(-1)
