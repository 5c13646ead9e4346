"""The indexed engine of Llamas whose tokens say where they stand: what follows a token is looked up in a table.

It reads the weights and nothing else. Where queries, keys and values read what no layer has written, they depend on the
token alone; so it can be shown once, for all contexts, of which one or two tokens a head reads one (``code_search``),
or how far back the token stands that it reads (``distance_heads``). Then what a token writes is a table over which of
two tokens stands in the context, or which of two values is brought from that distance. Its entries are worked out when
the engine is made, together with how far float32 can be off; the arg max comes from an index of the unembedding, not
from all logits. At the first position where something is not proven the dense engine takes over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from serialformer.arrays import Bool, Float64, Int32, Int64
from serialformer.decode.code_search import CodeSearch
from serialformer.decode.dense import DenseEngine
from serialformer.decode.distance_heads import DistanceHead, FarSources, find_distance, two_values
from serialformer.decode.fall_back import FallBackEngine
from serialformer.decode.rounding import LARGEST_LEAK
from serialformer.decode.token_index_kernels import DONE, NO_ONE_SOURCE, STRANGE_CONTEXT, UNPROVEN, decode_placed
from serialformer.errors import EngineError
from serialformer.transformer.forward import activate, cast_layer
from serialformer.transformer.transformer import Layer, Transformer

TOKENS_PER_BLOCK = 1 << 16

MAX_SOURCES = 6
MAX_ALONE = 4
"""The most tokens for which all logits are worked out."""

LARGEST_TABLES = 1 << 28
"""Numbers in the tables while they are made."""

ROUNDOFF = 2.0**-24

SETTLED = 2.0**-8
"""A dimension that some layer writes, but that holds nearly the same whatever is read, may differ by this much."""

SAME_NORM = 2.0**-8
"""Tokens whose square norm in the embedding differs from the usual one by more than this part are not known."""

NOTHING_KNOWN = "no token decides what its heads read"

REASONS = {
    STRANGE_CONTEXT: "the context holds a token of which nothing is known",
    NO_ONE_SOURCE: "a head does not read one token",
    UNPROVEN: "the logits are closer than float32 can tell",
}


class TokenIndexEngine(FallBackEngine):
    """Decodes a Llama whose tokens decide what is read; what it cannot prove, the dense engine decodes."""

    own_name = "indexed"

    def __init__(self, transformer: Transformer) -> None:
        super().__init__(transformer.architecture)
        self._transformer = transformer
        self._tables: TokenTables | None = None
        self._why = ""
        try:
            self._tables = tabulate_tokens(transformer)
        except EngineError as error:
            self._why = error.message

    def rows_at_once(self, num_tokens: int) -> int:
        """Rows are decoded one by one; a dense fallback is too."""
        return max(1, min(1 << 12, (1 << 24) // max(1, num_tokens)))

    def stream(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "rows new"]]:
        """Yields blocks of new tokens; a single row block by block, several rows all at once."""
        num_tokens = self.num_tokens_that_fit(prompts, num_tokens)
        self._begin()
        if num_tokens == 0:
            return
        if len(prompts) == 1:
            yield from self._stream_row(prompts[0], num_tokens)
            return
        result = np.full((len(prompts), num_tokens), self.architecture.end_token, dtype=np.int64)
        longest = 0
        for row, prompt in enumerate(prompts):
            made = np.concatenate([np.empty((1, 0), np.int64), *self._stream_row(prompt, num_tokens)], axis=1)[0]
            result[row, : len(made)] = made
            longest = max(longest, len(made))
        yield result[:, :longest]

    @cached_property
    def _dense(self) -> DenseEngine:
        """What makes the rows that are not proven; its float32 copy of the weights is made once, when it is needed."""
        return DenseEngine(self._transformer)

    def _stream_row(
        self, prompt: Int64[np.ndarray, " prompt"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "1 new"]]:
        length, end, tables = len(prompt), self.architecture.end_token, self._tables
        sequence = np.empty(length + num_tokens, dtype=np.int64)
        sequence[:length] = prompt
        if tables is None:
            self._refuse(self._why)
            self._use("dense")
            yield from self._dense.stream(prompt[None].copy(), num_tokens)
            return
        stop = length + num_tokens - 1
        seen = np.zeros(len(tables.is_known), dtype=np.int32)
        position = 0
        while position < stop:
            goal = min(stop, position + TOKENS_PER_BLOCK)
            reached, reason = decode_placed(
                sequence, position, goal, length, self.architecture.num_layers > 1, tables.is_known,
                tables.far.distances, tables.far.is_second, tables.sources, tables.following, end, seen,
            )  # fmt: skip
            made_from = max(length, position + 1)
            if reached + 1 > made_from:
                self._use("indexed")
                yield sequence[None, made_from : reached + 1].copy()
            if reason != DONE:
                self._refuse(f"position {reached}: {REASONS[reason]}")
                self._use("dense")
                known = max(length, reached + 1)
                yield from self._dense.stream(sequence[None, :known].copy(), len(sequence) - known)
                return
            if reached >= length and sequence[reached] == end:
                return
            position = reached


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenTables:
    """What follows each token.

    Attributes:
        is_known: for each token whether it is known what it reads.
        far: what is read by distance; the first things that each token reads are these.
        sources: for each token, and each thing that it reads, the two tokens of which one is read; -1 after the last.
        following: for each token and each choice of its sources the token that follows, or -1 if that is not proven.
    """

    is_known: Bool[np.ndarray, " vocabulary"]
    far: FarSources
    sources: Int32[np.ndarray, "vocabulary sources two"]
    following: Int32[np.ndarray, "vocabulary choices"]


def tabulate_tokens(transformer: Transformer) -> TokenTables:
    """Works out the tables.

    Raises:
        EngineError: the model is not one whose tokens decide what is read.
    """
    return _Tabulator(transformer).tables()


class _Tabulator:
    """The stages of the work: what heads read, what the stream holds for each choice, and what follows.

    The *moving* dimensions are those that some layer writes; all others hold what the token put there.
    """

    def __init__(self, transformer: Transformer) -> None:
        self._transformer, architecture = transformer, transformer.architecture
        self._layers = [cast_layer(layer, np.float64) for layer in transformer.layers]
        self._embedding = transformer.token_embedding
        self._num_tokens, self._width = self._embedding.shape
        self._epsilon = architecture.norm_epsilon
        squares = np.square(self._embedding.astype(np.float64)).sum(axis=1)
        usual = float(np.median(squares[squares > 0])) if squares.any() else 1.0
        self._is_usual = np.abs(squares - usual) <= SAME_NORM * usual
        self._factor = 1 / np.sqrt(usual / self._width + self._epsilon)
        written = np.zeros(self._width, dtype=bool)
        self._heads: list[list[_Head]] = []
        for index, layer in enumerate(self._layers):
            into = layer.attention_in_weight * layer.attention_norm_gain[:, None]
            if into[written].any():
                raise EngineError(f"layer {index}: attention reads what an earlier layer has written")
            self._heads.append(self._list_heads(into, layer))
            written |= layer.attention_out_weight.any(axis=0) | layer.mlp_out_weight.any(axis=0)
        self._moving = np.flatnonzero(written)

    def tables(self) -> TokenTables:
        """All stages in order."""
        is_known, far, sources, choices = self._route()
        if not is_known.any():
            raise EngineError(NOTHING_KNOWN)
        num_choices = 1 << sources.shape[1]
        if self._num_tokens * num_choices * (len(self._moving) + 4) > LARGEST_TABLES:
            raise EngineError("the tables would be too large")
        # For each dimension of the stream the largest number in it, and how far it can be off in float32.
        rows = self._embedding[is_known]
        self._reach = np.maximum(rows.max(axis=0), -rows.min(axis=0)).astype(np.float64)
        self._error = np.zeros(self._width)
        moving, squares = self._fill(is_known, sources, choices, is_far=len(far.distances) > 0)
        following = self._follow(is_known, moving, squares)
        return TokenTables(is_known=is_known, far=far, sources=sources.astype(np.int32), following=following)

    def _list_heads(self, into: Float64[np.ndarray, "width qkv"], layer: Layer) -> list[_Head]:
        """The heads of a layer that have an effect."""
        architecture, result = self._transformer.architecture, []
        size, heads, groups = architecture.head_width, architecture.num_heads, architecture.num_key_heads
        out = layer.attention_out_weight.reshape(heads, size, -1)
        bias = layer.attention_in_bias if layer.attention_in_bias.size else np.zeros(into.shape[1])
        for head in range(heads):
            group = head // (heads // groups)
            starts = (head * size, (heads + group) * size, (heads + groups + group) * size)
            query, key, value = (_Map(into[:, first : first + size], bias[first : first + size]) for first in starts)
            effective = (value.weight.any(axis=0) | (value.bias != 0)) & out[head].any(axis=1)
            if effective.any():
                value = _Map(value.weight[:, effective], value.bias[effective])
                result.append(_Head(query, key, value, out[head][effective]))
        return result

    def _apply(self, part: _Map) -> Float64[np.ndarray, "vocabulary outputs"]:
        """A map of what tokens put into the stream, over the norm's factor, which is taken to be the usual one."""
        rows = np.flatnonzero(part.weight.any(axis=1))
        product: Float64[np.ndarray, "vocabulary outputs"]
        product = self._embedding[:, rows].astype(np.float64) @ part.weight[rows] + part.bias / self._factor
        return product

    # --- what heads read

    def _route(self) -> tuple[np.ndarray, FarSources, np.ndarray, list[list[np.ndarray]]]:
        """Which tokens are known, what is read by distance, what each reads, and which of that each head reads."""
        is_known = self._is_usual.copy()
        found: list[list[DistanceHead | np.ndarray]] = []
        self._leads: list[list[tuple[np.ndarray, np.ndarray, float]]] = []
        for heads in self._heads:
            found.append([])
            self._leads.append([])
            for head in heads:
                reads, is_proven, lead = self._find(head)
                is_known &= is_proven
                found[-1].append(reads)
                self._leads[-1].append(lead)
        if not is_known.any():
            raise EngineError(NOTHING_KNOWN)
        far, places = self._look_back(found, is_known)
        num_far = len(far.distances)
        sources = np.full((self._num_tokens, MAX_SOURCES, 2), -1, dtype=np.int64)
        sources[:, :num_far] = far.tokens
        choices: list[list[np.ndarray]] = []
        for layer in found:
            choices.append([])
            for reads in layer:
                if isinstance(reads, DistanceHead):
                    choices[-1].append(np.full(self._num_tokens, next(places)))
                    continue
                place = np.full(self._num_tokens, -1, dtype=np.int64)
                for number in range(num_far, MAX_SOURCES):
                    free = (place < 0) & is_known & (sources[:, number, 0] < 0)
                    sources[free, number] = reads[free]
                    place[(place < 0) & (sources[:, number] == reads).all(axis=1)] = number
                is_known &= place >= 0
                choices[-1].append(np.maximum(place, 0))
        sources[~is_known] = -1
        # What is read must be known as well.
        while (lost := is_known & ((sources >= 0) & ~is_known[np.maximum(sources, 0)]).any(axis=(1, 2))).any():
            is_known &= ~lost
        used = int((sources[is_known][:, :, 0] >= 0).sum(axis=1).max(initial=0))
        return is_known, far, sources[:, : max(1, used)], choices

    def _find(self, head: _Head) -> tuple[DistanceHead | np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray, float]]:
        """What a head reads, for which tokens that is shown, and its scores.

        Returns:
            A distance, or for each token the two of which the head reads one; the tokens; and the lead over other
            scores, the score, and how far rotating can move it.
        """
        queries, keys = self._apply(head.query), self._apply(head.key)
        architecture = self._transformer.architecture
        back = find_distance(queries, keys, architecture)
        # Where rotating hardly turns anything, distances cannot be told by it.
        if back is not None and back.lead > 2 * back.error:
            same = np.ones(self._num_tokens)
            return back, back.is_alike, (back.lead * same, back.product * same, back.error)
        if architecture.window is not None and architecture.window < architecture.num_positions:
            raise EngineError("attention sees a window of the context only")
        search = CodeSearch(keys)
        if search.refusal:
            raise EngineError(f"a head cannot be indexed: {search.refusal}")
        found = search.find(queries)
        is_proven = (found.first >= 0) & search.is_code & (search.count <= 2) & (found.lead > 0)
        pair = np.stack([found.first, found.last], axis=1)
        return pair, is_proven, (found.lead, found.product, self._rotation_error(queries, keys))

    def _look_back(
        self, found: list[list[DistanceHead | np.ndarray]], is_known: np.ndarray
    ) -> tuple[FarSources, Iterator[int]]:
        """What is read by distance, and for each head by distance which entry of that."""
        entries: dict[tuple[int, bytes], tuple[np.ndarray, tuple[int, int]]] = {}
        keys = []
        for heads, layer in zip(self._heads, found, strict=True):
            for head, reads in zip(heads, layer, strict=True):
                if not isinstance(reads, DistanceHead):
                    continue
                split = two_values(self._apply(head.value), is_known)
                if split is None:
                    raise EngineError("a head by distance brings more than two values")
                keys.append((reads.distance, split[0].tobytes()))
                entries.setdefault(keys[-1], split)
        if len(entries) > MAX_SOURCES:
            raise EngineError("a token depends on too many positions to tabulate")
        number_of = {key: number for number, key in enumerate(entries)}
        far = FarSources(
            distances=np.array([distance for distance, _ in entries], dtype=np.int64),
            is_second=np.array([split[0] for split in entries.values()], dtype=bool).reshape(-1, self._num_tokens),
            tokens=np.array([split[1] for split in entries.values()], dtype=np.int64).reshape(-1, 2),
        )
        return far, iter([number_of[key] for key in keys])

    def _rotation_error(self, queries: np.ndarray, keys: np.ndarray) -> float:
        """How far rotary positions can move a product of query and key."""
        architecture = self._transformer.architecture
        half = architecture.head_width // 2
        pair = np.arange(half)
        angle = 1.01 * architecture.num_positions * architecture.rotary_base ** (-2 * pair / architecture.head_width)
        largest = [np.abs(part).max(axis=0) for part in (queries, keys)]
        (first, second), (third, fourth) = ((part[:half], part[half:]) for part in largest)
        turned = np.minimum(angle, 2.0)
        return float((turned * (first + second) * (third + fourth)).sum())

    # --- what the stream holds

    def _fill(
        self, is_known: np.ndarray, sources: np.ndarray, choices: list[list[np.ndarray]], *, is_far: bool
    ) -> tuple[Float64[np.ndarray, "known choices moving"], Float64[np.ndarray, "known choices"]]:
        """The moving dimensions after the last layer and the square norm, for each known token and choice."""
        known, moving = np.flatnonzero(is_known), self._moving
        self._place = np.full(self._num_tokens, -1, dtype=np.int64)
        self._place[known] = np.arange(len(known))
        num_choices = 1 << sources.shape[1]
        bits = np.arange(num_choices)[:, None] >> np.arange(sources.shape[1]) & 1
        embedded = self._embedding[known].astype(np.float64)
        fixed = np.square(embedded).sum(axis=1) - np.square(embedded[:, moving]).sum(axis=1)
        state = np.repeat(embedded[:, None, moving], num_choices, axis=1)
        # What attention adds in any context, also at positions before a distance, which read a mixture instead.
        any_added = np.zeros((2, len(moving)))
        for index, layer in enumerate(self._layers):
            # A norm's factor is nearly the same whatever was read, or nothing is proven below.
            factors = self._factors(fixed, state)
            writing = (float(factors.min()), float(factors.max()))
            if is_far:
                factors = self._any_factors(fixed, embedded[:, moving] + any_added[:, None])
            low, high = float(factors.min()), float(factors.max())
            middle, spread = (low + high) / 2, (high - low) / (low + high) + self._width * ROUNDOFF
            added = np.zeros_like(state)
            for head, place, gap in zip(self._heads[index], choices[index], self._leads[index], strict=True):
                leak = self._check_gap(gap, known, (writing, (low, high)), head)
                weighted = middle * self._apply(_Map(head.value.weight, np.zeros(len(head.value.bias))))
                values = weighted + head.value.bias
                largest, varying = (np.abs(part[known]).max(axis=0) for part in (values, weighted))
                brought = values[known] @ head.out[:, moving]
                room = 2 * spread * (varying @ np.abs(head.out[:, moving]))
                any_added += brought.min(axis=0) - room, brought.max(axis=0) + room
                for choice in range(num_choices):
                    read = sources[known, place[known], bits[choice][place[known]]]
                    added[:, choice] += values[read] @ head.out[:, moving]
                errors = 2 * leak * largest + spread * varying
                errors = errors + middle * self._map_errors(head.value.weight, head.value.bias)
                self._add(head.out, largest, errors)
            state = state + added
            self._note(state)
            if layer.mlp_out_weight.any():
                if any(self._heads[index + 1 :]):
                    raise EngineError(f"layer {index}: hidden units come before a head")
                state = state + self._hidden(layer, embedded, fixed, state)
                self._note(state)
        return state, fixed[:, None] + np.square(state).sum(axis=2)

    def _factors(self, fixed: np.ndarray, state: np.ndarray) -> Float64[np.ndarray, "known choices"]:
        """What a norm multiplies the stream by."""
        squares = fixed[:, None] + np.square(state).sum(axis=2)
        factors: Float64[np.ndarray, "known choices"] = 1 / np.sqrt(squares / self._width + self._epsilon)
        return factors

    def _any_factors(
        self, fixed: np.ndarray, ends: Float64[np.ndarray, "two known moving"]
    ) -> Float64[np.ndarray, "known two"]:
        """The least and the largest factor of a norm if each moving dimension lies anywhere between two ends."""
        squares = np.square(ends)
        least = np.where(ends[0] * ends[1] <= 0, 0.0, squares.min(axis=0))
        return self._factors(fixed, np.stack([squares.max(axis=0), least], axis=1) ** 0.5)

    def _drift_of(self, part: _Map, factors: tuple[float, float]) -> float:
        """How far the inverse of a norm's factor is from the usual one, where the map makes use of the factor."""
        if not part.weight.any():
            return 0.0
        return 1.01 * max(abs(1 / factor - 1 / self._factor) for factor in factors)

    def _check_gap(
        self,
        gap: tuple[np.ndarray, np.ndarray, float],
        known: np.ndarray,
        factors: tuple[tuple[float, float], tuple[float, float]],
        head: _Head,
    ) -> float:
        """How much attention other tokens can have together; refuses more than is as good as nothing.

        Args:
            gap: the lead of each token, the product that it is part of, and how far rotating can move a product.
            known: the tokens.
            factors: the least and the largest factor of the norm, where a query is made and where keys are.
            head: which head.
        """
        lead, product, rotated = gap
        sizes, errors, ranges = [], [], []
        for part, (low, high) in zip((head.query, head.key), factors, strict=True):
            # A map of biases alone does not see the norm.
            ranges.append((low, high) if part.weight.any() else (self._factor, self._factor))
            drift = self._drift_of(part, (low, high))
            sizes.append(float(np.sqrt(np.square(self._apply(part)).sum(axis=1).max())))
            errors.append(float(np.sqrt(np.square(self._map_errors(part.weight, part.bias, drift)).sum())))
        (low, high), (low_key, high_key) = ranges
        off = 2 * (sizes[0] * errors[1] + errors[0] * sizes[1] + errors[0] * errors[1]) + 2 * rotated
        off += 8 * self._width * ROUNDOFF * sizes[0] * sizes[1]
        least = low * (low_key * lead[known] - (high_key - low_key) * np.maximum(0.0, product[known] - lead[known]))
        least = (least - high * high_key * off) / np.sqrt(self._transformer.architecture.head_width)
        leak = float(self._transformer.architecture.num_positions * np.exp(-least.min(initial=np.inf)))
        if not leak <= LARGEST_LEAK:
            raise EngineError("the score gap of a head is too small to be one-hot at float32")
        return leak

    def _map_errors(
        self, weight: np.ndarray, bias: np.ndarray | float = 0.0, drift: float = 0.0
    ) -> Float64[np.ndarray, " outputs"]:
        """How far a map of what a norm hands on can be off, over the norm's factor, and this factor with it.

        Args:
            weight: of the map.
            bias: of the map.
            drift: how far the inverse of the norm's factor is from the usual one, by which the bias was divided.
        """
        size = np.abs(weight)
        rate = (self._width + 16 + np.count_nonzero(weight, axis=0)) * ROUNDOFF
        of_bias = np.abs(bias) * (drift + 8 * ROUNDOFF / self._factor)
        errors: Float64[np.ndarray, " outputs"] = self._error @ size + rate * (self._reach @ size) + of_bias
        return errors

    def _add(self, out: np.ndarray, sizes: np.ndarray, errors: np.ndarray) -> None:
        """Takes into account that numbers of these sizes and errors are added to the stream by a map."""
        size = np.abs(out)
        self._error += errors @ size + (np.count_nonzero(out, axis=0) + 2) * ROUNDOFF * ((sizes + errors) @ size)

    def _note(self, state: np.ndarray) -> None:
        """Takes the stream's own rounding into account, after an addition."""
        moving = self._moving
        self._reach[moving] = np.maximum(self._reach[moving], np.abs(state).max(axis=(0, 1), initial=0.0))
        self._error[moving] += 2 * ROUNDOFF * (self._reach + self._error)[moving]

    def _hidden(
        self, layer: Layer, embedded: np.ndarray, fixed: np.ndarray, state: np.ndarray
    ) -> Float64[np.ndarray, "known choices moving"]:
        """What the hidden units of a layer add to the moving dimensions."""
        moving, gain = self._moving, layer.mlp_norm_gain[:, None]
        assert layer.mlp_up_weight is not None
        units = np.flatnonzero(layer.mlp_out_weight.any(axis=1))
        gate, up = gain * layer.mlp_in_weight[:, units], gain * layer.mlp_up_weight[:, units]
        out = layer.mlp_out_weight[units][:, moving]
        factor = self._factors(fixed, state)
        still = np.setdiff1d(np.flatnonzero((gate != 0).any(axis=1) | (up != 0).any(axis=1)), moving)
        added = np.empty_like(state)
        errors = [float(factor.max()) * self._map_errors(part) for part in (gate, up)]
        sizes = [np.zeros(len(units)) for _ in range(2)]
        for choice in range(state.shape[1]):
            seen = [
                factor[:, choice, None] * (embedded[:, still] @ part[still] + state[:, choice] @ part[moving])
                for part in (gate, up)
            ]
            added[:, choice] = (activate(seen[0], "silu") * seen[1]) @ out
            sizes = [np.maximum(size, np.abs(part).max(axis=0)) for size, part in zip(sizes, seen, strict=True)]
        unit = 1.1 * errors[0] * (sizes[1] + errors[1]) + (sizes[0] + errors[0]) * errors[1]
        size = (sizes[0] + errors[0]) * (sizes[1] + errors[1])
        self._add(layer.mlp_out_weight[units], size, unit + 16 * ROUNDOFF * size)
        return added

    # --- what follows

    def _settle(self, moving: np.ndarray) -> Bool[np.ndarray, " moving"]:
        """The moving dimensions that depend on the token alone in the end, as where a code has replaced another.

        What is left of a difference counts as an error from now on.
        """
        differs = np.ptp(moving, axis=1).max(axis=0, initial=0.0)
        largest = np.abs(self._embedding[:, self._moving].astype(np.float64)).max(axis=0)
        is_settled = (differs <= SETTLED) & (np.abs(moving).max(axis=(0, 1), initial=0.0) <= largest + SETTLED)
        self._error[self._moving] += np.where(is_settled, differs, 0.0)
        settled: Bool[np.ndarray, " moving"] = is_settled
        return settled

    def _follow(
        self, is_known: np.ndarray, moving: np.ndarray, squares: np.ndarray
    ) -> Int32[np.ndarray, "vocabulary choices"]:
        """The token that follows each known token for each choice."""
        gain = self._transformer.final_norm_gain.astype(np.float64)
        head = self._transformer.head.astype(np.float64) * gain
        known = np.flatnonzero(is_known)
        used = np.flatnonzero(head.any(axis=0))
        is_settled = self._settle(moving) & np.isin(self._moving, used)
        unwritten, settled = np.setdiff1d(used, self._moving), moving[:, 0, is_settled]
        still = np.concatenate([unwritten, self._moving[is_settled]])
        content = np.concatenate([self._embedding[known][:, unwritten].astype(np.float64), settled], axis=1)
        by_moving, moving = head[:, self._moving[~is_settled]], moving[:, :, ~is_settled]
        search = CodeSearch(head[:, still])
        following = np.full((self._num_tokens, moving.shape[1]), -1, dtype=np.int32)
        if search.refusal:
            raise EngineError(f"the unembedding cannot be indexed: {search.refusal}")
        found = search.find(content, among_codes=True)
        # Rows that are no codes: the first of each different one stands for all that are equal.
        odd = np.flatnonzero(~search.is_code)
        odd = odd[np.unique(head[odd][:, used], axis=0, return_index=True)[1]] if len(odd) else odd
        different = np.unique(by_moving, axis=0)
        of_odd = content @ head[np.ix_(odd, still)].T
        # The norm's factor is common to all logits of a position, which are compared with each other alone.
        rate = (16 + len(used)) * ROUNDOFF
        off = 2 * float((np.abs(head[:, used]) @ (self._error + rate * (self._reach + self._error))[used]).max())
        has_code = found.first >= 0
        candidates = [np.maximum(found.first, 0), np.maximum(found.last, 0)]
        for choice in range(moving.shape[1]):
            state = moving[:, choice]
            scores = [found.product + (state * by_moving[rows]).sum(axis=1) for rows in candidates]
            scores = [np.where(has_code, score, -np.inf) for score in scores]
            same = candidates[0] == candidates[1]
            scores[1] = np.where(same, -np.inf, scores[1])
            columns = np.stack(scores, axis=1)
            tokens = np.stack(candidates, axis=1)
            if len(odd):
                columns = np.concatenate([columns, of_odd + state @ by_moving[odd].T], axis=1)
                tokens = np.concatenate([tokens, np.broadcast_to(odd, (len(known), len(odd)))], axis=1)
            best = columns.argmax(axis=1)
            rows = np.arange(len(known))
            highest = columns[rows, best].copy()
            columns[rows, best] = -np.inf
            others = found.product - found.lead + (state @ different.T).max(axis=1)
            margin = highest - np.maximum(columns.max(axis=1), others)
            is_proven = has_code & (margin > off) & (search.count[candidates[0]] <= 2)
            following[known, choice] = np.where(is_proven, tokens[rows, best], -1)
        # Tokens after which none stands, such as the last of a chain: all their logits are worked out.
        alone = np.flatnonzero(~has_code)
        if 0 < len(alone) <= MAX_ALONE:
            logits = (content[alone] @ head[:, still].T)[:, None] + moving[alone] @ by_moving.T
            second, first = np.moveaxis(np.partition(logits, -2, axis=-1)[..., -2:], -1, 0)
            following[known[alone]] = np.where(first - second > off, logits.argmax(axis=-1), -1)
        return following


@dataclass(frozen=True, eq=False)
class _Map:
    """A linear map after a norm, with the norm's gain in it, and its bias."""

    weight: Float64[np.ndarray, "width outputs"]
    bias: Float64[np.ndarray, " outputs"]


@dataclass(frozen=True, eq=False)
class _Head:
    """A head with an effect: its maps, and what its values add to the stream."""

    query: _Map
    key: _Map
    value: _Map
    out: Float64[np.ndarray, "values width"]
