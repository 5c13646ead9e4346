"""Is an answer right? And if not, which token is the first that is wrong, and what should have been read for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from serialformer.engines.cases import Case
from serialformer.engines.known import END


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """The first wrong token of an answer.

    Attributes:
        case: the id of the case.
        family: its family.
        row: its place in the call, from 0.
        token: the index of the token in the answer, from 0.
        position: its position in the sequence, from 0.
        gate: the gate whose value it should be; ``end`` for the end token.
        expected: the id that must stand there.
        found: the id that does; None if the answer ends before it.
        reads: the positions that decide it.
        distance: how far back the farthest of them is; 0 if there is none.
    """

    case: str
    family: str
    row: int
    token: int
    position: int
    gate: str
    expected: int
    found: int | None
    reads: tuple[int, ...]
    distance: int

    def to_json(self) -> dict[str, Any]:
        """As an object of plain values."""
        return {**asdict(self), "reads": list(self.reads)}


def judge(case: Case, made: Sequence[int], *, end_token: int, padding_token: int, row: int = 0) -> Wrong | None:
    """The first wrong token of an answer, or None.

    A token of the answer must be the expected one. Where the chain ends before ``case.num_tokens``, the answer may end
    there or go on with the end token, and after that with end and padding tokens only.

    >>> case = Case(id="a", family="f", purpose="", call=0, prompt=(0, 2), text=None, num_tokens=3,
    ...             expected=(1, 0), gates=("g0", "g1"), reads=((0,), (0, 2)))
    >>> judge(case, [1, 0, 2], end_token=2, padding_token=2), judge(case, [1, 0], end_token=2, padding_token=2)
    (None, None)
    >>> wrong = judge(case, [1, 1], end_token=2, padding_token=2)
    >>> wrong.token, wrong.position, wrong.gate, wrong.expected, wrong.found, wrong.distance
    (1, 3, 'g1', 0, 1, 3)
    >>> judge(case, [1, 0, 1], end_token=2, padding_token=2).gate
    'end'
    """
    for token, expected in enumerate(case.expected):
        found = made[token] if token < len(made) else None
        if found != expected:
            return _wrong(case, row, token, expected, found, case.gates[token], case.reads[token])
    behind = made[len(case.expected) :]
    for place, found in enumerate(behind):
        fits = case.ends and (found == end_token or (place > 0 and found == padding_token))
        if not fits:
            token = len(case.expected) + place
            return _wrong(case, row, token, end_token, found, END, ())
    return None


def _wrong(
    case: Case, row: int, token: int, expected: int, found: int | None, gate: str, reads: tuple[int, ...]
) -> Wrong:
    position = len(case.prompt) + token
    return Wrong(
        case=case.id,
        family=case.family,
        row=row,
        token=token,
        position=position,
        gate=gate,
        expected=expected,
        found=found,
        reads=reads,
        distance=max((position - read for read in reads), default=0),
    )
