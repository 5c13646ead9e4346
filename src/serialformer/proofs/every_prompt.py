"""The proof by going through every prompt: for any weights of a GPT-2 whose prompts are few enough to list.

No construction is a witness here. Every prompt is run with the chain that it should have, in float64, and beside every
number stands how far a covered runtime can be from it. So nothing is asked of the weights: they may be dense,
superposed or trained. If on every prompt and at every position the right token leads by more than rounding can take,
then the model writes the right chain on all of them, by induction over the positions.
"""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Float64, Int64
from serialformer.errors import InputError
from serialformer.proofs.balls import Ball, activate
from serialformer.proofs.certificate import Certificate, Failure, Lead, NormRange
from serialformer.proofs.rounding import Rounding, covered_rounding
from serialformer.proofs.rounding_kernels import gamma
from serialformer.transformer.transformer import Transformer

NUMBERS_PER_BLOCK = 1 << 21
"""The number of hidden units that are computed at a time."""


def certify_every_prompt(
    transformer: Transformer,
    sequences: Int64[np.ndarray, "prompts tokens"],
    num_prompt: int,
    *,
    prompts: str,
    rounding: Rounding | None = None,
) -> Certificate:
    """Proves that a model writes the right chain after each of some prompts.

    Args:
        transformer: a GPT-2.
        sequences: each prompt with its right chain; the end token follows.
        num_prompt: tokens of a prompt.
        prompts: which these are, in words.
        rounding: the runtimes to cover; by default those of the weights' own number format.

    Raises:
        InputError: it is no GPT-2.
    """
    architecture = transformer.architecture
    if not architecture.is_gpt2:
        raise InputError(f"expected a GPT-2, found {architecture.family}", where="certify_every_prompt")
    chosen = covered_rounding(architecture.dtype) if rounding is None else rounding
    length = sequences.shape[1]
    per_row = length * max(architecture.hidden_width, architecture.num_heads * length, architecture.width)
    rows = max(1, NUMBERS_PER_BLOCK // per_row)
    machine = _Machine(transformer, chosen)
    leads = np.full((2, length), np.inf)
    for start in range(0, len(sequences), rows):
        # What overflows or is no number fails a comparison, and so the proof.
        with np.errstate(over="ignore", invalid="ignore"):
            leads = np.minimum(leads, machine.leads(sequences[start : start + rows], num_prompt))
    leads[1] = np.where(np.isnan(leads[1]), -np.inf, leads[1])
    writing = leads[:, num_prompt - 1 :]
    wrong = ~(writing[1] > 0)
    failure = None
    if wrong.any():
        token = int(np.argmax(wrong))
        reason = f"on some prompt the right token leads by {writing[0, token]:.3g}, {writing[1, token]:.3g} rounded"
        failure = Failure(position=num_prompt - 1 + token, token=token, reason=reason)
    worst = int(np.argmin(writing[1]))
    covered = {**chosen.number_formats, "order_of_sums": "any"}
    return Certificate(
        failure=failure,
        prompts=prompts,
        num_chain_tokens=length - num_prompt,
        arithmetic={**covered, "results": "stored or wider"},
        attention=Lead(exact=0.0, rounded=0.0, position=num_prompt - 1),
        logits=Lead(exact=float(writing[0].min()), rounded=float(writing[1].min()), position=num_prompt - 1 + worst),
        norms=tuple(
            NormRange(largest_mean=m, least_deviation=low, largest_deviation=high) for m, low, high in machine.seen()
        ),
        exhaustive=True,
    )


class _Machine:
    """A forward pass in balls."""

    def __init__(self, transformer: Transformer, rounding: Rounding) -> None:
        self.transformer, self.rounding = transformer, rounding
        self._norms: dict[int, tuple[float, float, float]] = {}
        self._next_norm = 0

    def seen(self) -> list[tuple[float, float, float]]:
        """What each norm has seen: the mean's largest magnitude, least and largest deviation."""
        return [self._norms[number] for number in sorted(self._norms)]

    def leads(self, tokens: Int64[np.ndarray, "rows tokens"], num_prompt: int) -> Float64[np.ndarray, "2 tokens"]:
        """At each position the least lead of the right next token over any other: exact, and less rounding."""
        transformer, rounding = self.transformer, self.rounding
        self._next_norm = 0
        rows, length = tokens.shape
        embedded = transformer.token_embedding.astype(np.float64)[tokens]
        embedded = embedded + transformer.position_embedding.astype(np.float64)[:length]
        stream = Ball(value=embedded, error=np.zeros_like(embedded)).stored(rounding)
        for layer in transformer.layers:
            weights = {name: weight.astype(np.float64) for name, weight in layer.named_weights()}
            stream = self._attend(stream, weights)
            heard = self._norm(stream, weights["mlp_norm_gain"], weights["mlp_norm_bias"])
            hidden = self._activate(heard.times(weights["mlp_in_weight"], weights["mlp_in_bias"], rounding))
            stream = stream.plus(hidden.times(weights["mlp_out_weight"], weights["mlp_out_bias"], rounding), rounding)
        final = self._norm(
            stream, transformer.final_norm_gain.astype(np.float64), transformer.final_norm_bias.astype(np.float64)
        )
        final = Ball(value=final.value[:, num_prompt - 1 :], error=final.error[:, num_prompt - 1 :])
        logits = final.times(transformer.head.astype(np.float64).T, np.zeros(1), rounding)
        end = np.full((rows, 1), transformer.architecture.end_token, dtype=np.int64)
        right = np.concatenate([tokens[:, num_prompt:], end], axis=1)[:, :, None]
        own, own_error = (np.take_along_axis(part, right, axis=2) for part in (logits.value, logits.error))
        lead, loss = own - logits.value, own_error + logits.error
        np.put_along_axis(lead, right, np.inf, axis=2)
        result = np.full((2, length), np.inf)
        result[0, num_prompt - 1 :] = lead.min(axis=(0, 2))
        result[1, num_prompt - 1 :] = np.where(np.isnan(loss), -np.inf, lead - loss).min(axis=(0, 2))
        return result

    def _norm(self, stream: Ball, gain: np.ndarray, bias: np.ndarray) -> Ball:
        rounding, width = self.rounding, stream.value.shape[-1]
        epsilon = self.transformer.architecture.norm_epsilon
        mean = stream.value.mean(axis=-1, keepdims=True)
        centred = stream.value - mean
        deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + epsilon)
        size = np.sqrt(np.square(stream.value).mean(axis=-1, keepdims=True) + epsilon)
        self._note(float(np.abs(mean).max()), float(deviation.min()), float(deviation.max()))
        off = np.sqrt(np.square(stream.error).sum(axis=-1, keepdims=True))
        relative, absolute = _norm_rates(deviation, size, off, width, rounding)
        value = centred / deviation
        error = relative * np.abs(value) + absolute + (1 + 2 * relative) * stream.error / deviation
        normed = Ball(value=value, error=error).stored(rounding)
        scaled = np.abs(gain) * normed.error + 2 * rounding.accumulation_roundoff * np.abs(value * gain)
        normed = Ball(value=value * gain, error=scaled).stored(rounding)
        if not bias.any():
            return normed
        return normed.plus(Ball(value=np.broadcast_to(bias, value.shape), error=np.zeros_like(value)), rounding)

    def _note(self, mean: float, low: float, high: float) -> None:
        before = self._norms.get(self._next_norm, (0.0, np.inf, 0.0))
        self._norms[self._next_norm] = max(before[0], mean), min(before[1], low), max(before[2], high)
        self._next_norm += 1

    def _attend(self, stream: Ball, weights: dict[str, np.ndarray]) -> Ball:
        architecture, rounding = self.transformer.architecture, self.rounding
        heads, head_width = architecture.num_heads, architecture.head_width
        heard = self._norm(stream, weights["attention_norm_gain"], weights["attention_norm_bias"])
        projected = heard.times(weights["attention_in_weight"], weights["attention_in_bias"], rounding)
        rows, length, _ = projected.value.shape

        def split(part: np.ndarray) -> np.ndarray:
            return part.reshape(rows, length, 3, heads, head_width).transpose(2, 0, 3, 1, 4)

        (queries, keys, values), (query_errors, key_errors, value_errors) = (
            split(projected.value),
            split(projected.error),
        )
        scores = queries @ keys.swapaxes(-1, -2)
        size = np.abs(queries) @ np.abs(keys).swapaxes(-1, -2)
        inherited = np.abs(queries) @ key_errors.swapaxes(-1, -2) + query_errors @ np.abs(keys).swapaxes(-1, -2)
        inherited = inherited + query_errors @ key_errors.swapaxes(-1, -2)
        rate = gamma(head_width + 3, rounding.accumulation_roundoff)
        root = float(np.sqrt(head_width))
        error = (inherited + rate * (size + inherited)) / root
        error += 4 * (rounding.storage_roundoff + rounding.accumulation_roundoff) * (np.abs(scores) / root + error)
        visible = np.tril(np.ones((length, length), dtype=bool))
        scores = np.where(visible, scores / root, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        # Scores that are off by e each change the odds of a share by a factor between exp(-2 e) and exp(2 e); computing
        # exponentials, their sum and the quotient costs some roundings more, and tiny exponentials are lost.
        most = np.minimum(np.where(visible, error, 0.0).max(axis=-1, keepdims=True), 100.0)
        rate = 16 * rounding.accumulation_roundoff + 2 * rounding.storage_roundoff
        rate += 3 * gamma(length + 2, rounding.accumulation_roundoff)
        share_errors = np.minimum(shares, 1 - shares + 2.0**-50) * np.expm1(2 * most) + rate * shares + 2.0**-120
        share_errors = np.where(visible, np.minimum(share_errors, 1.0), 0.0)
        mixed = shares @ values
        mixed_error = share_errors @ (np.abs(values) + value_errors) + shares @ value_errors

        def merge(part: np.ndarray) -> np.ndarray:
            return part.transpose(0, 2, 1, 3).reshape(rows, length, heads * head_width)

        attended = Ball(value=merge(mixed), error=merge(mixed_error)).stored(rounding)
        added = attended.times(weights["attention_out_weight"], weights["attention_out_bias"], rounding)
        return stream.plus(added, rounding)

    def _activate(self, seen: Ball) -> Ball:
        return activate(seen, self.transformer.architecture.activation, self.rounding)


def _norm_rates(
    deviation: np.ndarray, size: np.ndarray, off: np.ndarray, width: int, rounding: Rounding
) -> tuple[np.ndarray, np.ndarray]:
    """``norm_errors`` for many streams at once."""
    root, roundoff = np.sqrt(width), rounding.accumulation_roundoff
    sums = gamma(width + 8, roundoff)
    spread = (off / root + 4 * sums * size**2 / deviation) / deviation
    known = spread < 0.25
    spread = np.where(known, spread, 0.0)
    relative = np.where(known, spread / (1 - spread) + 6 * roundoff, np.inf)
    return relative, (off / root + sums * size) * (1 + 2 * spread) / deviation
