"""Logits, proven from the weights: the token that was written leads, whatever token stood there before.

After the last layer a field of the token holds its own code and the answer, several times over; the unembedding is
the token embedding. So the lead of the token n that was written over another one v is a sum over the fields of the
token, each at least

    min over w of <code w, code n - code v>  +  weight <answer n, code n - code v>,

where w is the value that stood there. A field that is not written keeps its w.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Bool, Float64
from serialformer.constructions.construction import NOTHING, Field
from serialformer.proofs.bounds import NormInput
from serialformer.proofs.frame import Frame
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import gamma
from serialformer.proofs.stream import RealisationError, Stream
from serialformer.transformer.transformer import Transformer

MAX_VALUES = 1 << 8
"""Fields of at most this many values are compared in triples; larger ones get a coarser bound."""

MAX_TRIPLES = 1 << 24
"""The most triples (token that stood there, token written, another token) that are checked one by one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Occurring:
    """Which tokens occur where, as the induction over positions found.

    Attributes:
        anywhere: for each token whether it can stand at any position.
        current: whether it can stand at a position that writes.
        written: whether it can be written by units.
        filled: the fields into which some unit always writes, in each layer that clears them or finds nothing there.
    """

    anywhere: Bool[np.ndarray, " vocabulary"]
    current: Bool[np.ndarray, " vocabulary"]
    written: Bool[np.ndarray, " vocabulary"]
    filled: frozenset[str] = frozenset()


def check_logits(
    transformer: Transformer, stream: Stream, occurring: Occurring, rounding: Rounding
) -> tuple[float, float, float]:
    """Checks that the logit of the token that was written leads.

    Args:
        transformer: the weights, whose embeddings have been checked.
        stream: what stands after the last layer, but for what its units have written.
        occurring: which tokens can stand where.
        rounding: the runtimes to cover.

    Returns:
        The least lead, exact and less what rounding can take, and the most that it takes from any lead.

    Raises:
        RealisationError: some token does not lead.
    """
    placement, construction = stream.placement, stream.placement.construction
    gains = transformer.final_norm_gain.astype(np.float64)
    if transformer.final_norm_bias.astype(np.float64).any() or np.ptp(gains) != 0 or gains[0] <= 0:
        raise RealisationError("the final layer norm is not one positive gain and no bias")
    gain = float(gains[0])
    default_weight = placement.default_weight if construction.default else 0.0
    cases = [(placement.answer_weight, default_weight, occurring.written)]
    if construction.default:
        default = np.zeros(len(occurring.written), dtype=bool)
        default[construction.end_token] = True
        cases.append((0.0, default_weight, default))
    before = stream.norm_input(transformer.architecture.norm_epsilon)
    stream.norms.pop()
    result, norms = (np.inf, np.inf, 0.0), []
    for answer_weight, default_weight, written in cases:
        final = _Final(stream, before, answer_weight, default_weight, occurring)
        least, most = final.seen.deviations
        norms.append((final.seen.mean, least, most))
        exact, rounded = final.leads(written, rounding)
        if not rounded * gain > 0:
            raise RealisationError(f"the logit of a token that is written leads by {rounded * gain:.3g} only")
        result = min(result[0], exact * gain), min(result[1], rounded * gain), max(result[2], final.error * gain)
    means, lows, highs = zip(*norms, strict=True)
    stream.norms.append((max(means), min(lows), max(highs)))
    return result


class _Final:
    """The content of the stream after the last layer where an answer, the default, or both have been added."""

    def __init__(
        self, stream: Stream, before: NormInput, answer_weight: float, default_weight: float, occurring: Occurring
    ) -> None:
        self.stream, placement = stream, stream.placement
        construction = placement.construction
        self.occurring, self.num_tokens = occurring, len(occurring.anywhere)
        answered = {name for table in construction.layers[-1].tables for name in table.writes}
        joined = {
            bring.target for layer in construction.layers for look_up in layer.look_ups for bring in look_up.brings
        }
        low, high, sums = before.squares[0], before.squares[1], 0.0
        self.before, self.is_free = before, not answered.isdisjoint(joined)
        self.fields: list[tuple[Field, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        for part in construction.fields_of("token"):
            codes = np.vstack([placement.codes[part.name], placement.nothing[part.name]]).astype(np.float64)
            answers = placement.answers[part.name].astype(np.float64)
            answers = np.vstack([answers, np.zeros(answers.shape[1])])
            added = answer_weight * answers if part.name in answered else np.zeros_like(answers)
            constant = np.zeros(codes.shape[1])
            if part.name in construction.default:
                constant = default_weight * answers[construction.default[part.name]]
            free = part.name in answered or part.name in joined
            held = _held_values(part, occurring.current, free, len(codes))
            self.fields.append((part, codes, added, constant, held))
            total = added + constant
            # |w + u|^2 = |w|^2 + (|u|^2 + 2 <w, u>), and |w|^2 has been counted.
            extra = np.square(total).sum(axis=1) + 2 * codes[held] @ total.T
            low, high = low + float(extra.min()), high + float(extra.max())
            sums += float(np.abs(total.sum(axis=1)).max())
        self.seen = NormInput(
            sums=(before.sums[0] - sums, before.sums[1] + sums),
            squares=(max(low, 0.0), high),
            error=float(np.sqrt(np.square(stream.error).sum())) + stream.ball,
            width=before.width,
            epsilon=before.epsilon,
        )
        self.error = 0.0

    def leads(self, written: np.ndarray, rounding: Rounding) -> tuple[float, float]:
        """The least lead of a written token's logit, over the gain: exact, and less what rounding can take."""
        relative, absolute = self.seen.errors(rounding)
        # The answer, the default, the stream, the norm and its gain may each be rounded.
        rate = relative + 5 * rounding.storage_roundoff + 2 * rounding.accumulation_roundoff
        fixed = absolute * self.seen.deviations[0] + 2 * self.stream.error
        (rows,) = np.nonzero(written)
        shape = (len(rows), self.num_tokens)
        lead, apart, size, own_size = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(len(rows))
        sums, num_terms = np.zeros(self.num_tokens), 0
        norms = np.zeros(self.num_tokens)
        for part, codes, added, constant, held in self.fields:
            span = self.stream.placement.spans[part.name]
            values = np.where(part.of_token < 0, len(codes) - 1, part.of_token)
            pick = np.ix_(values[rows], values)
            lead += _field_leads(codes, added, constant, held)[pick]
            # How large each coordinate can be where a value has been written.
            reach = np.abs(codes[held]).max(axis=0) + np.abs(added + constant) + self.seen.mean
            apart += _distances(codes, rate * reach + fixed[span])[pick]
            products = reach @ np.abs(codes).T
            size += products[pick]
            own_size += products[values[rows], values[rows]]
            sums += codes[values].sum(axis=1)
            norms += np.square(codes[values]).sum(axis=1)
            num_terms += codes.shape[1]
        lead -= np.abs(sums[rows][:, None] - sums) * self.seen.mean
        of_sums = gamma(num_terms + 2, rounding.accumulation_roundoff) + 2 * rounding.storage_roundoff
        spoilt = (apart + of_sums * (size + own_size[:, None])) * (1 + FLOAT64_SLACK)
        if self.stream.frame is not None:
            spoilt += self._turned(self.stream.frame, np.sqrt(norms), rows, rounding)
        spoilt[np.arange(len(rows)), rows] = 0.0
        self.error = float(spoilt.max(initial=0.0)) / self.seen.deviations[0]
        if not self.is_free and len(rows) * self.num_tokens * int(self.occurring.current.sum()) <= MAX_TRIPLES:
            return self._exact_leads(rows, spoilt)
        lead[np.arange(len(rows)), rows] = np.inf
        least, most = self.seen.deviations
        exact, rounded = float(lead.min()), float((lead - spoilt).min())
        return exact / most, rounded / (most if rounded > 0 else least)

    def _turned(self, frame: Frame, norms: np.ndarray, rows: np.ndarray, rounding: Rounding) -> np.ndarray:
        """How much further off differences of logits can be where the stream is rotated, by the norms of tokens."""
        most = self.seen.deviations[1]
        off = 2 * self.stream.ball + frame.norm_ball(1.0, rounding) * most
        share = frame.share(frame.width, rounding) + 3 * rounding.storage_roundoff
        return (off + share * frame.normed_size(1.0) * most) * (norms[rows][:, None] + norms)

    def _exact_leads(self, rows: np.ndarray, spoilt: np.ndarray) -> tuple[float, float]:
        """The same, going through every token that stood there and every token that is written."""
        codes, added = [], []
        for part, field_codes, answers, constant, _ in self.fields:
            values = np.where(part.of_token < 0, len(field_codes) - 1, part.of_token)
            codes.append(field_codes[values])
            added.append((answers + constant)[values[rows]])
        embedding, total = np.concatenate(codes, axis=1), np.concatenate(added, axis=1)
        own = np.square(embedding).sum(axis=1)[self.occurring.anywhere]
        low, high = self.before.squares[0] - float(own.min()), self.before.squares[1] - float(own.max())
        exact, rounded = np.inf, np.inf
        for token in embedding[self.occurring.current]:
            stream = token + total
            squares = np.square(stream).sum(axis=1)
            least = np.sqrt(np.maximum(low + squares, 0) / self.before.width - self.seen.mean**2 + self.before.epsilon)
            most = np.sqrt((high + squares) / self.before.width + self.before.epsilon)
            logits = stream @ embedding.T
            lead = logits[np.arange(len(rows)), rows][:, None] - logits
            lead -= np.abs(embedding[rows].sum(axis=1)[:, None] - embedding.sum(axis=1)) * self.seen.mean
            lead[np.arange(len(rows)), rows] = np.inf
            worst, spared = lead.min(axis=1), (lead - spoilt).min(axis=1)
            # NaN must reach the caller; Python's min would drop it.
            exact = np.minimum(exact, (worst / most).min())
            rounded = np.minimum(rounded, (spared / np.where(spared > 0, most, least)).min())
        return float(exact), float(rounded)


def _distances(
    codes: Float64[np.ndarray, "written length"], error: Float64[np.ndarray, "written length"]
) -> Float64[np.ndarray, "written others"]:
    """For each value written and each other one how far errors of the coordinates can move the difference of logits."""
    distances = np.zeros((len(codes), len(codes)))
    for column in range(codes.shape[1]):
        distances += np.abs(codes[:, None, column] - codes[:, column]) * error[:, None, column]
    return distances


def _held_values(part: Field, allowed: np.ndarray, every: bool, num_codes: int) -> np.ndarray:
    """The values that a field of the token can hold before it is answered: by row of the codes, nothing last."""
    if every:
        return np.arange(num_codes)
    values = np.unique(part.of_token[allowed])
    return np.where(values == NOTHING, num_codes - 1, values)


def _field_leads(
    codes: np.ndarray, added: np.ndarray, constant: np.ndarray, held: np.ndarray
) -> Float64[np.ndarray, "written others"]:
    """For each value written and each other one the least lead that a field gives."""
    products = codes @ codes.T
    answer = added @ codes.T
    lead = np.diagonal(answer)[:, None] - answer + ((codes @ constant)[:, None] - codes @ constant)
    kept = products[held]
    if len(codes) <= MAX_VALUES + 1:
        for row in range(len(codes)):
            lead[row] += (kept[:, row][:, None] - kept).min(axis=0)
        return lead
    return lead + kept.min(axis=0)[:, None] - kept.max(axis=0)
