"""The proof for models that count: one pass of numbers with error bounds for each sum that the items can have.

No witness is needed. Where the queries are 0, every score is 0, whatever the keys are, and attention takes the mean
over all positions. Where all positions have the same embedding, what a position adds to the mean depends on its token
alone. If that is a multiple of the token's number, the mean depends on the sum alone, up to an error that is known. So
for each sum the rest of the model is computed once, in float64, and beside every number stands how far a covered
runtime can be from it, in whatever order it adds. If the right token leads for each sum by more than that, every answer
is right.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from serialformer.architecture import DTYPES, Activation
from serialformer.arrays import Float64
from serialformer.constructions.claim import CountClaim
from serialformer.constructions.construction import Construction
from serialformer.constructions.interpret import fields_to_tokens, fire_tables
from serialformer.errors import CompileError
from serialformer.proofs.balls import Ball, activation_rounding, activation_slopes, activation_value
from serialformer.proofs.bounds import NormInput, round_values
from serialformer.proofs.certificate import Certificate, Failure, Lead, NormRange
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding, covered_rounding
from serialformer.proofs.rounding_kernels import SMALLEST_PRODUCT, gamma
from serialformer.transformer.transformer import Transformer

MAX_EXACT_COUNT = 1 << 24
"""Up to here float32 counts exactly."""

LEAST_ERROR = 2.0**-100
"""Where a norm sees numbers that are not whole, it errs, even if nothing before it does."""

NUMBERS_PER_BLOCK = 1 << 22


class CountingError(Exception):
    """The weights do not count."""


def certify_counting(
    transformer: Transformer, construction: Construction, *, rounding: Rounding | None = None
) -> Certificate:
    """Proves that a model of one layer answers every prompt by the sum of its items.

    Args:
        transformer: a GPT-2.
        construction: which says what is to be answered to each sum, and is checked against its claim.
        rounding: the runtimes to cover; by default those of the weights' own number format, and where that cannot be
            proven in 16 bits, those of them that store every result.
    """
    (claim,) = construction.claims()
    assert isinstance(claim, CountClaim)
    chosen = covered_rounding(transformer.architecture.dtype) if rounding is None else rounding
    candidates = [chosen]
    if rounding is None and chosen.storage != "float32":
        candidates.append(replace(chosen, always_stored=True))
    lead, norms, failure = (0.0, 0.0), list[NormRange](), None
    for chosen in candidates:
        machine = _Machine(transformer, claim, chosen)
        try:
            _check_construction(construction, claim)
            # What overflows or is no number fails a comparison, and so the proof.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                lead = machine.run()
            failure, norms = None, machine.norms
            break
        except CountingError as error:
            failure = Failure(position=claim.num_items, token=0, reason=str(error))
    return Certificate(
        failure=failure,
        prompts=construction.prompts,
        num_chain_tokens=construction.num_chain_tokens,
        arithmetic={
            "storage": chosen.storage,
            "accumulation": chosen.accumulation,
            "order_of_sums": "any",
            "results": "stored" if chosen.always_stored else "stored or wider",
        },
        attention=Lead(exact=0.0, rounded=0.0, position=claim.num_items),
        logits=Lead(exact=lead[0], rounded=lead[1], position=claim.num_items),
        norms=tuple(norms),
        exhaustive=True,
    )


def _check_construction(construction: Construction, claim: CountClaim) -> None:
    """Checks that the construction adds up the claim's numbers and writes what it says for each sum."""
    (layer,) = construction.layers
    fields = construction.field_named
    if layer.look_ups or layer.clears or len(layer.tallies) != 1:
        raise CountingError("the construction does more than count")
    (tally,) = layer.tallies
    source = fields[tally.source]
    if source.origin != "token" or fields[tally.target].origin != "layers":
        raise CountingError("what is counted is not decided by tokens")
    added = np.maximum(source.of_token, 0)
    if not np.array_equal(added[claim.items], claim.number) or added[construction.end_token] != 0:
        raise CountingError("a token does not stand for its number")
    if claim.number.min() != 0 or len(claim.answer) != claim.num_items * int(claim.number.max()) + 1:
        raise CountingError("the claim is not about all sums")
    try:
        _, answers = fire_tables(layer, {tally.target: np.arange(len(claim.answer))}, is_last=True)
    except CompileError as error:
        raise CountingError(error.message) from None
    tokens = fields_to_tokens(construction, answers)
    if tokens is None or not np.array_equal(tokens, claim.answer):
        raise CountingError("the construction does not answer what the claim says")


class _Machine:
    """A forward pass at ``=``, for all sums at once."""

    def __init__(self, transformer: Transformer, claim: CountClaim, rounding: Rounding) -> None:
        self.transformer, self.claim, self.rounding = transformer, claim, rounding
        self.norms: list[NormRange] = []

    def run(self) -> tuple[float, float]:
        """The least lead of the right token, exact and less what rounding can take.

        Raises:
            CountingError: it is not proven for some sum, or the weights do not count.
        """
        transformer, claim = self.transformer, self.claim
        architecture = transformer.architecture
        if not architecture.is_gpt2 or architecture.num_layers != 1 or architecture.num_positions <= claim.num_items:
            raise CountingError("expected a GPT-2 of one layer that holds the prompt")
        for name, weight in transformer.named_weights():
            if not np.isfinite(weight).all():
                raise CountingError(f"{name} holds infinities or what is not a number")
        if claim.num_items + 1 > MAX_EXACT_COUNT:
            raise CountingError(f"float32 does not count to {claim.num_items + 1:,}")
        weights = {name: weight.astype(np.float64) for name, weight in transformer.layers[0].named_weights()}
        positions = transformer.position_embedding[: claim.num_items + 1].astype(np.float64)
        if (positions != positions[0]).any():
            raise CountingError("positions differ in their embeddings")
        tokens = np.append(claim.items, architecture.end_token)
        embedded = transformer.token_embedding.astype(np.float64)[tokens] + positions[0]
        streams = self._stored(embedded, np.zeros_like(embedded))
        mean = self._mean(self._norm(streams, "attention", weights), weights)
        attended = self._linear(mean, weights["attention_out_weight"], weights["attention_out_bias"])
        own = Ball(value=streams.value[-1:], error=streams.error[-1:])
        stream = self._plus(own, attended)
        heard = self._norm(stream, "mlp", weights)
        stream = self._plus(stream, self._feed_forward(heard, weights))
        final = self._normed(
            stream, transformer.final_norm_gain.astype(np.float64), transformer.final_norm_bias.astype(np.float64)
        )
        return self._lead(final)

    def _lead(self, final: Ball) -> tuple[float, float]:
        head = self.transformer.head.astype(np.float64)
        right = self.claim.answer
        exact, rounded = np.inf, np.inf
        rows = max(1, NUMBERS_PER_BLOCK // len(head))
        for start in range(0, len(right), rows):
            block = slice(start, start + rows)
            part = Ball(value=final.value[block], error=final.error[block])
            logits = self._linear(part, head.T, np.zeros(len(head)))
            own = right[block, None]
            value, error = (np.take_along_axis(one, own, axis=1) for one in (logits.value, logits.error))
            lead, loss = value - logits.value, error + logits.error
            np.put_along_axis(lead, own, np.inf, axis=1)
            least = np.where(np.isnan(lead - loss), -np.inf, lead - loss).min(axis=1)
            if not (least > 0).all():
                where = start + int(np.argmax(~(least > 0)))
                raise CountingError(
                    f"if the items add up to {where}, the right token leads by {lead.min(axis=1)[where - start]:.3g},"
                    f" or {least[where - start]:.3g} under rounding"
                )
            exact, rounded = min(exact, float(lead.min())), min(rounded, float(least.min()))
        return exact, rounded

    def _stored(self, value: np.ndarray, error: np.ndarray) -> Ball:
        return Ball(value=value, error=round_values(value, error, replace(self.rounding, always_stored=False)))

    def _plus(self, one: Ball, other: Ball) -> Ball:
        value, error = one.value + other.value, one.error + other.error
        slack = self.rounding.accumulation_roundoff * (np.abs(value) + error) * (error > 0)
        return self._stored(value, error + slack)

    def _linear(self, into: Ball, weight: np.ndarray, bias: np.ndarray) -> Ball:
        """A linear map; the sum may be stored before its bias is added, and afterwards."""
        magnitude, terms = np.abs(weight), np.count_nonzero(weight, axis=0)
        inherited = into.error @ magnitude
        rate = np.array([gamma(count + 2, self.rounding.accumulation_roundoff) for count in terms.tolist()])
        size = np.abs(into.value) @ magnitude
        product = self._stored(
            into.value @ weight, inherited + rate * (size + inherited) + SMALLEST_PRODUCT * terms + FLOAT64_SLACK * size
        )
        if not bias.any():
            return product
        return self._plus(product, _known(bias, product))

    def _norm(self, stream: Ball, which: str, weights: dict[str, np.ndarray]) -> Ball:
        return self._normed(stream, weights[f"{which}_norm_gain"], weights[f"{which}_norm_bias"])

    def _normed(self, stream: Ball, gain: np.ndarray, bias: np.ndarray) -> Ball:
        rounding, epsilon = self.rounding, self.transformer.architecture.norm_epsilon
        width = stream.value.shape[1]
        relative, absolute = np.empty((len(stream.value), 1)), np.empty((len(stream.value), 1))
        seen = []
        for row, (value, error) in enumerate(zip(stream.value, stream.error, strict=True)):
            total, square = float(value.sum()), float(np.square(value).sum())
            is_whole = bool((value == np.round(value)).all())
            seen.append(
                NormInput(
                    sums=(total, total),
                    squares=(square, square),
                    error=max(float(np.sqrt(np.square(error).sum())), 0.0 if is_whole else LEAST_ERROR),
                    width=width,
                    epsilon=epsilon,
                    error_sum=float(error.sum()),
                    largest=float(np.abs(value).max()),
                )
            )
            relative[row], absolute[row] = seen[-1].errors(rounding)
        deviations = np.array([one.deviations for one in seen])
        self.norms.append(
            NormRange(
                largest_mean=max(one.mean for one in seen),
                least_deviation=float(deviations[:, 0].min()),
                largest_deviation=float(deviations[:, 1].max()),
            )
        )
        mean = stream.value.mean(axis=1, keepdims=True)
        least = deviations[:, :1]
        value = (stream.value - mean) / np.sqrt(np.square(stream.value - mean).mean(axis=1, keepdims=True) + epsilon)
        reach = (np.abs(stream.value) + np.abs(mean)) / least
        error = relative * reach + absolute + (1 + 2 * relative) * stream.error / least
        normed = self._stored(value, error + FLOAT64_SLACK)
        scaled = np.abs(gain) * normed.error + 2 * rounding.accumulation_roundoff * np.abs(value * gain)
        scaled_ball = self._stored(value * gain, scaled)
        if not bias.any():
            return scaled_ball
        return self._plus(scaled_ball, _known(bias, scaled_ball))

    def _mean(self, heard: Ball, weights: dict[str, np.ndarray]) -> Ball:
        """What attention makes for each sum."""
        claim, rounding = self.claim, self.rounding
        width = heard.value.shape[1]
        into, bias = weights["attention_in_weight"], weights["attention_in_bias"]
        if into[:, :width].any() or bias[:width].any():
            raise CountingError("queries are not 0, so that the mean is not one of all positions")
        keys = self._linear(heard, into[:, width : 2 * width], bias[width : 2 * width])
        if not np.isfinite(keys.error).all():
            raise CountingError("keys overflow")
        held = self._linear(heard, into[:, 2 * width :], bias[2 * width :])
        items, own = held.value[:-1], held.value[-1]
        # The items' values lie on a line, by their numbers.
        largest = int(claim.number.max())
        base, top = items[int(claim.number.argmin())], items[int(claim.number.argmax())]
        slope = (top - base) / max(1, largest)
        off = np.abs(items - base - claim.number[:, None] * slope) + held.error[:-1]
        count = claim.num_items
        share = 1 / (count + 1)
        sums = np.arange(len(claim.answer))[:, None]
        mean = share * (own + count * base + sums * slope)
        size = share * (np.abs(own) + count * np.abs(items).max(axis=0))
        inherited = share * (held.error[-1] + count * off.max(axis=0))
        u, v = rounding.storage_roundoff, rounding.accumulation_roundoff
        # No partial sum exceeds half the sum of all magnitudes and of the sum's own.
        added = gamma(count + 2, v) * (size + inherited + np.abs(mean) + inherited) / 2 + 2 * v * (size + inherited)
        shares = self._share_errors(share)
        free = (4 * v + 2 * u) * (size + inherited)
        of_shares = free if shares is None else shares * (np.abs(mean) + inherited)
        return self._stored(
            mean, (inherited + added + of_shares) * (1 + FLOAT64_SLACK) + SMALLEST_PRODUCT * (count + 1)
        )

    def _share_errors(self, share: float) -> float | None:
        """How far all softmax weights are from their ideal, if they are one and the same number; None if not known."""
        rounding = self.rounding
        if not rounding.always_stored:
            return None
        number, few = DTYPES[rounding.storage], 4 * rounding.accumulation_roundoff
        low, high = (float(np.float64(share * (1 + sign * few)).astype(number)) for sign in (-1, 1))
        return abs(low / share - 1) if low == high and low > 2 * rounding.smallest else None

    def _feed_forward(self, heard: Ball, weights: dict[str, np.ndarray]) -> Ball:
        """What the hidden units add.

        How far what they hear can be off matters through the slopes of all units together, so that the units of a pair
        make up for each other; what each of them rounds does not.
        """
        rounding, activation = self.rounding, self.transformer.architecture.activation
        into, bias = weights["mlp_in_weight"], weights["mlp_in_bias"]
        out, out_bias = weights["mlp_out_weight"], weights["mlp_out_bias"]
        used = np.flatnonzero(into.any(axis=0) | (bias != 0))
        into, bias, out = into[:, used], bias[used], out[used]
        rows = max(1, NUMBERS_PER_BLOCK // max(1, len(used)))
        values, errors = [], []
        for start in range(0, len(heard.value), rows):
            block = slice(start, start + rows)
            part = Ball(value=heard.value[block], error=heard.error[block])
            value, error = _hidden(part, into, bias, out, activation, rounding)
            values.append(value)
            errors.append(error)
        summed = self._stored(np.concatenate(values), np.concatenate(errors))
        if not out_bias.any():
            return summed
        return self._plus(summed, _known(out_bias, summed))


def _known(row: np.ndarray, like: Ball) -> Ball:
    """The same numbers in each row, without error."""
    return Ball(value=np.broadcast_to(row, like.value.shape), error=np.zeros_like(like.value))


def _hidden(
    heard: Ball, into: np.ndarray, bias: np.ndarray, out: np.ndarray, activation: Activation, rounding: Rounding
) -> tuple[Float64[np.ndarray, "rows width"], Float64[np.ndarray, "rows width"]]:
    """What hidden units add in exact arithmetic at the middle of what is heard, and how far a runtime can be off."""
    u, v = rounding.storage_roundoff, rounding.accumulation_roundoff
    seen = heard.value @ into + bias
    inherited = heard.error @ np.abs(into)
    size = np.abs(heard.value) @ np.abs(into) + inherited + np.abs(bias)
    rate = gamma(int(np.count_nonzero(into, axis=0).max(initial=0)) + 3, v)
    rounded = (rate + 2 * u + FLOAT64_SLACK) * size + 4 * rounding.smallest + SMALLEST_PRODUCT * len(into)
    reach = Ball(value=seen, error=inherited + rounded)
    reach = Ball(value=seen, error=np.where(np.abs(seen) + reach.error < rounding.largest, reach.error, np.inf))
    slope, away = activation_slopes(reach, activation)
    given = activation_value(seen, activation)
    largest = np.abs(given) + 1.13 * reach.error
    own = (np.abs(slope) + away) * rounded + activation_rounding(reach, activation, rounding)
    own += u * (largest + own) + 2 * rounding.smallest
    magnitude = np.abs(out)
    # Of what is heard at first, through the slopes: here the units of a pair make up for each other.
    of_heard = (away * inherited) @ magnitude
    for row in np.flatnonzero(into.any(axis=1) & (heard.error > 0).any(axis=0)):
        through = (slope * into[row]) @ out
        slack = FLOAT64_SLACK * (np.abs(slope * into[row]) @ magnitude)
        of_heard = of_heard + (np.abs(through) + slack) * heard.error[:, row, None]
    value = given @ out
    most = (largest + own) @ magnitude
    sums = gamma(int(np.count_nonzero(out, axis=0).max(initial=0)) + 2, v)
    of_rounding = own @ magnitude
    total = of_heard + of_rounding
    # No partial sum exceeds half the sum of all magnitudes and of the sum's own.
    added = sums * (most + np.abs(value) + total) / 2 + 2 * v * most
    return value, total + added + FLOAT64_SLACK * most
