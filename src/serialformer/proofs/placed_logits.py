"""Logits of a transformer whose tokens say where they stand, proven from the weights: the token that was written leads.

The unembedding of a token is the name of the position before its own and its value. After the last layer a position
holds its own name, and, in the fields of the token, what stood there and the answer. So the lead over a token of the
same position is one of values; over a token of another position there is the gap between names as well. The end token
reads the dimension that holds the same everywhere. All others read nothing. Dimensions in which the final norm has the
gain 0 count for nothing.

Where the unembedding is the token embedding, a token has its own name, and the layers have put the name of the next
position in the place of that of the position. All tokens that can be written then read the dimension that holds the
same everywhere, by the same weight.

Logits of one position share the norm's factor, which is positive: leads are compared before it, and multiplied by the
least that it can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp

import numpy as np

from serialformer.constructions.placed_tokens import ABSENT, END
from serialformer.constructions.placement import Placement
from serialformer.proofs.bounds import NormInput, round_values
from serialformer.proofs.code_distances import check_codes
from serialformer.proofs.layer_maps import one_of
from serialformer.proofs.logits import Occurring
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import gamma
from serialformer.proofs.stream import RealisationError, Stream
from serialformer.transformer.transformer import Transformer

POSITIONS_PER_BLOCK = 1 << 14

Pair = tuple[float, float]


def check_placed_logits(transformer: Transformer, stream: Stream, occurring: Occurring, rounding: Rounding) -> Pair:
    """Checks that the logit of the token that was written leads, or that of the end token where none was.

    Returns:
        The least lead, exact and less what rounding can take.

    Raises:
        RealisationError: some token does not lead.
    """
    placement = stream.placement
    gains = transformer.final_norm_gain.astype(np.float64)
    gain = float(gains.max())
    if gain <= 0 or not ((gains == gain) | (gains == 0)).all():
        raise RealisationError("the gain of the final norm is not one positive number, and 0 elsewhere")
    if placement.following:
        check_following(placement)
    end, every = check_unembedding(transformer, placement)
    codes = placement.codes[placement.address]
    square, gap = check_codes(codes, placement.levels[placement.address], placement.address)
    final = _Final(stream, occurring, square, gap, end, every, gain, rounding)
    before = stream.norm_input(transformer.architecture.norm_epsilon)
    stream.norms.pop()
    least, result = np.inf, (np.inf, np.inf)
    most = 0.0
    # Units have written nothing, or one of the values that they write, which the end of a chain is not.
    assert placement.placed is not None
    ends = [placement.placed.plain_end]
    for answer in [None, *np.setdiff1d(np.flatnonzero(occurring.written), ends).tolist()]:
        seen = final.seen(before, answer)
        low, high = seen.deviations
        least, most = min(least, low), max(most, high)
        relative, _ = seen.errors(rounding)
        if not relative < 1:
            raise RealisationError("the final norm sees too little to be bounded")
        for exact, spoilt in final.leads(answer):
            rounded = (exact - spoilt * (1 + FLOAT64_SLACK)) * (1 - relative) / high
            # NaN must reach the caller; Python's min would drop it.
            least_exact, least_rounded = (part.min(initial=np.inf) for part in (exact / high, rounded))
            result = float(np.minimum(result[0], least_exact)), float(np.minimum(result[1], least_rounded))
    if not result[1] > 0:
        raise RealisationError(f"the logit of a token that is written leads by {result[1] * gain:.3g} only")
    stream.norms.append((0.0, least, most))
    return result[0] * gain, result[1] * gain


def check_following(placement: Placement) -> None:
    """Checks that ``following`` names the next position by the code that it has in ``address``."""
    construction, names = placement.construction, (placement.address, placement.following)
    address, following = (construction.field_named[name] for name in names)
    if address.origin != "position" or following.origin != "position":
        raise RealisationError(f"{names[0]} and {names[1]} are not decided by the position")
    codes = [placement.codes[name] for name in names]
    if codes[0].shape != codes[1].shape or (codes[0] != codes[1]).any():
        raise RealisationError(f"{names[0]} and {names[1]} have different codes")
    own, named = (np.asarray(part.at(slice(0, construction.num_positions))) for part in (address, following))
    # At the last position no token follows; what stands there must be a code, no matter which.
    if (named[:-1] != own[1:]).any() or named.min(initial=0) < 0:
        raise RealisationError(f"{names[1]} does not name the next position")


def check_unembedding(transformer: Transformer, placement: Placement) -> Pair:
    """Checks that the unembedding of every token is what the witness says, where the final norm has a gain.

    Returns:
        The weights of the end token, and of all tokens that have a position, for what is the same everywhere.
    """
    construction, placed = placement.construction, placement.placed
    assert placed is not None
    is_tied = placement.following != ""
    head = np.where(transformer.final_norm_gain != 0, transformer.head, np.zeros((), transformer.head.dtype))
    one, value = one_of(placement)
    every_weight = value if is_tied else 0.0
    address, span = construction.field_named[placement.address], placement.spans[placement.address]
    every = np.asarray(address.at(slice(0, construction.num_positions)))
    if address.origin != "position" or len(np.unique(every)) < len(every) or every.min(initial=0) < 0:
        raise RealisationError(f"{placement.address} does not tell positions apart")
    of_token = np.zeros((placed.num_plain, placement.width), dtype=np.float32)
    for part in construction.fields_of("token"):
        of_token[:, placement.spans[part.name]] = placement.rows(part.name, part.of_token)
    is_free = np.ones(placed.num_tokens, dtype=bool)
    is_free[END] = False
    of_token[:, one] = every_weight
    # The token of a position has its own name, or that of the position before.
    later = 0 if is_tied else 1
    for start in range(0, construction.num_positions - later, POSITIONS_PER_BLOCK):
        rows = slice(start, min(start + POSITIONS_PER_BLOCK, construction.num_positions - later))
        names = placement.rows(placement.address, every[rows]).astype(np.float32)
        following = placed.ids[rows.start + later : rows.stop + later]
        for plain in range(placed.num_plain):
            here = following[:, plain] != ABSENT
            ids = following[here, plain]
            is_free[ids] = False
            expected = np.tile(of_token[plain], (len(ids), 1))
            expected[:, span] = names[here]
            wrong = (head[ids].astype(np.float32) != expected).any(axis=1)
            if wrong.any():
                where = start + int(np.flatnonzero(here)[np.argmax(wrong)])
                raise RealisationError(
                    f"the unembedding of {construction.vocabulary[plain]!r} at position {where + later} is not its name"
                    " and value",
                    where,
                )
    if head[is_free].any():
        raise RealisationError("the unembedding of a token that is never written is not zero")
    end = head[END].astype(np.float64)
    if np.delete(end, one).any():
        raise RealisationError("the unembedding of the end token reads more than what is the same everywhere")
    return float(end[one]), every_weight


@dataclass(frozen=True, eq=False)
class _Final:
    """The content of the stream after the last layer, and the leads of logits there.

    Attributes:
        stream: before units have written.
        occurring: which tokens can stand where.
        square: the square norm of a name.
        gap: by how much a name's product with itself exceeds that with another.
        end: the weight with which the end token reads what is the same everywhere.
        every: the weight with which all tokens that have a position read it.
        gain: of the norm.
        rounding: the runtimes to cover.
    """

    stream: Stream
    occurring: Occurring
    square: float
    gap: float
    end: float
    every: float
    gain: float
    rounding: Rounding

    @property
    def placement(self) -> Placement:
        return self.stream.placement

    def held(self, answer: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The fields of the token: codes of all tokens, the values there for each current one, errors, dimensions."""
        construction, placement = self.placement.construction, self.placement
        codes, added, dimensions = [], [], []
        for part in construction.fields_of("token"):
            codes.append(placement.rows(part.name, part.of_token).astype(np.float64))
            change = np.zeros(codes[-1].shape[1])
            if answer is not None:
                change = placement.answer_weight * placement.answers[part.name][part.of_token[answer]]
            added.append(change.astype(np.float64))
            dimensions.append(placement.dimensions(part.name))
        table, total, where = np.concatenate(codes, axis=1), np.concatenate(added), np.concatenate(dimensions)
        current = table[self.occurring.current]
        # What units add is stored, then the stream that it is added to.
        error = round_values(total, self.stream.error[where], self.rounding)
        errors = round_values(current + total, error[None], self.rounding).max(axis=0)
        return table, current + total, errors, where

    def seen(self, before: NormInput, answer: int | None) -> NormInput:
        """What the final norm sees."""
        table, stands, errors, _ = self.held(answer)
        old, new = (np.square(part).sum(axis=1) for part in (table[self.occurring.current], stands))
        every = np.square(table[self.occurring.anywhere]).sum(axis=1)
        low, high = before.squares[0] - float(every.max()), before.squares[1] - float(every.min())
        assert len(old) == len(new)
        return NormInput(
            sums=(0.0, 0.0),
            squares=(max(0.0, low + float(new.min())), high + float(new.max())),
            error=float(np.sqrt(np.square(self.stream.error).sum() + np.square(errors).sum())),
            width=before.width,
            epsilon=before.epsilon,
        )

    def leads(self, answer: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
        """The leads of the token that is to be written, and what rounding can take of each; over the common factor."""
        table, stands, errors, _ = self.held(answer)
        one, value = one_of(self.placement)
        name = self.placement.dimensions(self.placement.address)
        stored, accumulated = self.rounding.storage_roundoff, self.rounding.accumulation_roundoff
        # A power of two is multiplied without rounding.
        rate = 3 * accumulated + stored * (1 if frexp(self.gain)[0] == 0.5 else 2)
        reach = float(np.abs(self.placement.levels[self.placement.address]).max())
        of_name = float(self.stream.error[name].max()) * (1 + rate)
        # How far a product with a name can be off: at most <|code|, |code|> = square for any two of them.
        name_error = rate * self.square + of_name * len(name) * reach
        end_size = abs(self.end * value)
        one_error = rate * abs(value) + float(self.stream.error[one]) * (1 + rate)
        end_error, every_error = abs(self.end) * one_error, abs(self.every) * one_error
        every_size = abs(self.every * value) + every_error
        num_terms = len(name) + table.shape[1] + 1
        of_sums = gamma(num_terms + 2, accumulated) + 2 * stored
        values = stands @ table.T  # by current token and token
        coordinate = rate * np.abs(stands) + errors * (1 + rate)
        value_size = (np.abs(stands) + coordinate) @ np.abs(table).T
        value_error = coordinate @ np.abs(table).T
        name_size = self.square + name_error
        if answer is None:
            # The end token against any value at the next position, where there is one; and against nothing.
            lead = (self.end - self.every) * value - self.square - values
            spoilt = end_error + every_error + name_error + value_error
            spoilt = spoilt + of_sums * (end_size + end_error + every_size + name_size + value_size)
            nothing = np.full((1, 1), end_error + of_sums * (end_size + end_error))
            return [(lead, spoilt), (np.full((1, 1), self.end * value), nothing)]
        own, own_size, own_error = (part[:, [answer]] for part in (values, value_size, value_error))
        differs = coordinate @ np.abs(table - table[answer]).T
        # What is the same everywhere is multiplied by the same, but the sums round it.
        spoilt = differs + of_sums * (2 * every_size + 2 * name_size + own_size + value_size)
        is_other = (table != table[answer]).any(axis=1)
        for other in np.flatnonzero(~is_other).tolist():
            if other != answer and self._stands_beside(answer, other):
                raise RealisationError("two values at one position have one unembedding")
        nothing = name_error + own_error + every_error + of_sums * (name_size + own_size + every_size)
        return [
            ((own - values)[:, is_other], spoilt[:, is_other]),
            # At another position the names differ as well.
            (self.gap + own - values, 2 * name_error + spoilt),
            (
                self.square + own - (self.end - self.every) * value,
                nothing + end_error + of_sums * (end_size + end_error),
            ),
            (self.square + own + self.every * value, nothing),
        ]

    def _stands_beside(self, one: int, other: int) -> bool:
        """Whether both can stand at one position."""
        assert self.placement.placed is not None
        ids = self.placement.placed.ids
        return bool(((ids[:, one] != ABSENT) & (ids[:, other] != ABSENT)).any())
