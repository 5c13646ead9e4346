"""The indexed engine: each attention look-up is one access to a table, so a token costs the same at any length.

It reads the weights and nothing else. When it is made it flattens them (``flat``) and works out where each head of the
first layer looks from every position (``routing``). Heads whose queries or keys depend on the context are searched in
a hash table that grows with the sequence. Decoding (``kernels``) takes a head for one-hot only where the score gap
proves it, and a token for certain only where its logit leads by more than float32 can err (``rounding``); at the first
position where either fails, the dense engine goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import cached_property, partial

import numpy as np

from serialformer.arrays import Int32, Int64, UInt8, UInt64
from serialformer.decode import kernels
from serialformer.decode.dense import DenseEngine
from serialformer.decode.fall_back import FallBackEngine
from serialformer.decode.finite_program import FiniteDecoder
from serialformer.decode.flat import (
    FlatLayer,
    SparseMap,
    flatten_layers,
    renumber_inputs,
    reorder_outputs,
    select_outputs,
    split_embedding,
    transpose,
    unembedding_map,
)
from serialformer.decode.fold_kernels import fold_positions
from serialformer.decode.records import FlatModel, KeySearch, MapArrays, Room, Truth, Units
from serialformer.decode.routing import KnownKeys, needed_gap, route_head
from serialformer.decode.row_index import index_rows
from serialformer.decode.tabulated import TabulatedDecoder, tabulate
from serialformer.decode.token_kernels import decode_tokens
from serialformer.errors import EngineError
from serialformer.transformer.key_shape import KeyShape, find_key_shape
from serialformer.transformer.transformer import Transformer

TOKENS_PER_BLOCK = 1 << 16
"""How many tokens are decoded between looks at the outside (progress, Ctrl-C): some 30 ms."""

SAMPLE_TOKENS = 64
"""How many tokens the dense engine decodes to show what the keys of searched heads look like."""

SAMPLE_PROMPT = 512
"""The most tokens of the prompt that precede these: the time grows with their square."""

_REASONS = {
    kernels.UNPROVEN_HEAD: "layer {layer}, head {head}: no single key matches the query",
    kernels.NOT_ROUTED: "layer {layer}, head {head}: no single key matches the query",
    kernels.SMALL_GAP: "layer {layer}, head {head}: the score gap is too small to be one-hot at float32",
    kernels.OFF_GRID: "layer {layer}, head {head}: a key is off the grid of the others",
    kernels.LONG_KEY: "layer {layer}, head {head}: a key is longer than those seen before",
    kernels.SMALL_VARIANCE: "layer {layer}: float32 cannot tell the variance before a layer norm",
    kernels.SMALL_MARGIN: "the logits are closer than float32 can tell",
    kernels.TOO_MANY_SOURCES: "the token depends on too many positions to tabulate",
    kernels.TOO_MANY_TOKENS: "more than two tokens are possible there",
    kernels.UNEVEN_END: "some inputs end the chain there and others do not",
}


class IndexedEngine(FallBackEngine):
    """Decodes any GPT-2 whose heads it can prove one-hot; what it cannot prove, the dense engine decodes."""

    own_name = "indexed"

    def __init__(self, transformer: Transformer) -> None:
        super().__init__(transformer.architecture)
        self._transformer = transformer
        self._layers = flatten_layers(transformer)
        self._route()
        self._shapes: list[KeyShape] | None = None
        self._tabulated: TabulatedDecoder | None = None
        self._finite = self._make_finite() if self._searched else None
        if not self._searched:
            self._assemble([])

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
            filled = 0
            for block in self._stream_row(prompt, num_tokens):
                result[row, filled : filled + block.shape[1]] = block[0]
                filled += block.shape[1]
            longest = max(longest, filled)
        yield result[:, :longest]

    def _stream_row(
        self, prompt: Int64[np.ndarray, " prompt"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "1 new"]]:
        length, end = len(prompt), self.architecture.end_token
        sequence = np.empty(length + num_tokens, dtype=np.int64)
        sequence[:length] = prompt
        stop = length + num_tokens - 1
        if self._finite is not None:
            decode = partial(self._finite.decode, prompt_length=length, keys=self._finite.start(stop))
            known = yield from self._stream_proven(decode, sequence, length)
            if known == 0:
                return
            length = known
        if not self._find_shapes(sequence[:length]):
            yield from self._continue_densely(sequence[:length], stop + 1 - length)
            return
        if self._tabulated is not None:
            decode = partial(self._tabulated.decode, prompt_length=length, values=self._tabulated.values(stop))
            known = yield from self._stream_proven(decode, sequence, length)
            if known == 0:
                return
            # What one error bound for the whole stream cannot prove, one for each coordinate may: from now on.
            self._tabulated, length = None, known
        search = self._start_search(stop)
        values = np.empty((stop, max(1, self._num_values)))
        value_errors = np.zeros((max(1, self._num_values), 2))
        room = self._make_room(search)
        position = 0
        while position < stop:
            goal = min(stop, position + TOKENS_PER_BLOCK)
            reached, reason, layer, head = decode_tokens(
                sequence, position, goal, length, self._model, self._units, search, values, value_errors, room
            )
            made_from, made_to = max(length, position + 1), reached + 1
            if made_to > made_from:
                self._use("indexed")
                yield sequence[None, made_from:made_to].copy()
            if reason != kernels.DONE:
                why = _REASONS[reason].format(layer=layer, head=head)
                self._refuse(f"position {reached}: {why}")
                known = max(length, reached + 1)
                yield from self._continue_densely(sequence[:known], len(sequence) - known)
                return
            if reached >= length and sequence[reached] == end:
                return
            position = reached

    def _stream_proven(
        self, decode: Callable[..., tuple[int, int]], sequence: Int64[np.ndarray, " sequence"], length: int
    ) -> Generator[Int64[np.ndarray, "1 new"], None, int]:
        """Yields blocks of new tokens; returns how many tokens are known where it must stop, 0 at the end."""
        stop, end = len(sequence) - 1, self.architecture.end_token
        position = 0
        while position < stop:
            reached, reason = decode(sequence, position, min(stop, position + TOKENS_PER_BLOCK))
            made_from = max(length, position + 1)
            if reached + 1 > made_from:
                self._use("indexed")
                yield sequence[None, made_from : reached + 1].copy()
            if reason != kernels.DONE:
                return max(length, reached + 1)
            if reached >= length and sequence[reached] == end:
                break
            position = reached
        return 0

    def _make_finite(self) -> FiniteDecoder | None:
        """What decodes on whole numbers, if that can be shown to do."""
        try:
            return FiniteDecoder(
                self._transformer,
                self._layers,
                unembedding_map(self._transformer),
                routes=self._routes,
                route_of_head=self._route_of_head,
                needed=needed_gap(self.architecture.num_positions, self.architecture.head_width),
            )
        except EngineError:
            return None

    def fold(
        self, low: Int64[np.ndarray, " positions"], high: Int64[np.ndarray, " positions"], prompt_length: int
    ) -> tuple[
        Int32[np.ndarray, "positions 6"], UInt8[np.ndarray, " positions"], UInt64[np.ndarray, " positions"], int
    ]:
        """Tabulates what each position writes, for a one-layer model whose heads are all routed.

        Args:
            low: for each position of the prompt the one token that it may hold; room after it for the others.
            high: likewise the other token, which may be the same.
            prompt_length: how many positions are given.

        Returns:
            For each position the positions it depends on, how many these are, and the table over them; and how many
            positions hold a chain, the end mark included.

        Raises:
            EngineError: attention or a token depends on more than that, or something cannot be proven.
        """
        if self.architecture.num_layers != 1 or self._searched:
            raise EngineError("attention depends on the input")
        stop = len(low)
        truth = Truth(
            sources=np.zeros((stop, 6), dtype=np.int32),
            arity=np.zeros(stop, dtype=np.uint8),
            table=np.zeros(stop, dtype=np.uint64),
        )
        reached, reason = fold_positions(low, high, prompt_length - 1, stop - 1, self._model, truth)
        if reason != kernels.DONE:
            raise EngineError(f"position {reached}: {_REASONS[reason].format(layer=0, head='any')}")
        return *truth, reached + 1

    @cached_property
    def _dense(self) -> DenseEngine:
        """What makes the rows that are not proven; its float32 copy of the weights is made once, when it is needed."""
        return DenseEngine(self._transformer)

    def _continue_densely(
        self, known: Int64[np.ndarray, " known"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "1 new"]]:
        self._use("dense")
        yield from self._dense.stream(known[None].copy(), num_tokens)

    def _route(self) -> None:
        """Routes the heads of the first layer; lists the heads that have to be searched for."""
        architecture, layers = self.architecture, self._layers
        self._routes: list[Int32[np.ndarray, " positions"]] = []
        self._route_of_head = np.full((len(layers), architecture.num_heads), -1, dtype=np.int64)
        self._searched: list[tuple[int, int]] = []
        self.least_gap = np.inf
        tokens = self._transformer.token_embedding.astype(np.float64)
        positions = np.ascontiguousarray(self._transformer.position_embedding, dtype=np.float32)
        known = KnownKeys()
        for index, layer in enumerate(layers):
            for head in range(architecture.num_heads):
                if head not in layer.value_head:
                    continue  # the head has no effect
                if index == 0:
                    routing = route_head(
                        layer.queries[head],
                        layer.keys[head],
                        tokens,
                        positions,
                        epsilon=architecture.norm_epsilon,
                        head_width=architecture.head_width,
                        known=known,
                    )
                    if routing.targets is not None:
                        self._route_of_head[0, head] = len(self._routes)
                        self._routes.append(routing.targets)
                        self.least_gap = min(self.least_gap, routing.least_gap)
                        continue
                self._searched.append((index, head))

    def _assemble(self, shapes: list[KeyShape]) -> None:
        """Puts all maps into one, over the active dimensions only; the searched heads have keys of these shapes."""
        self._shapes = shapes
        width = self.architecture.width
        unembed = unembedding_map(self._transformer)
        is_active = (self._transformer.token_embedding != 0).any(axis=0)
        for layer in self._layers:
            for reading in (layer.values, layer.mlp_in):
                is_active[reading.index] = True
            for writing in (layer.attention_out, layer.mlp_out):
                is_active[_written(writing)] = True
        for index, head in self._searched:
            is_active[self._layers[index].queries[head].index] = True
            is_active[self._layers[index].keys[head].index] = True
        is_active[unembed.index] = True
        active = np.flatnonzero(is_active)
        place = np.full(width, -1, dtype=np.int64)
        place[active] = np.arange(len(active))
        embedding = split_embedding(self._transformer, active)
        pool = _MapPool()
        layout = np.zeros((len(self._layers) + 1, 9), dtype=np.int64)
        value_heads = []
        self._num_values = 0
        for index, layer in enumerate(self._layers):
            layout[index, 0:2] = pool.add(renumber_inputs(layer.values, place))
            layout[index, 2:4] = pool.add_writing(layer.attention_out, place)
            layout[index, 4:6] = pool.add(renumber_inputs(layer.mlp_in, place))
            layout[index, 7:9] = pool.add_writing(layer.mlp_out, place)
            layout[index, 6] = self._num_values
            value_heads.append(layer.value_head)
            self._num_values += layer.values.num_outputs
        layout[len(self._layers), 0:2] = pool.add(renumber_inputs(unembed, place))
        self._search_of_head = np.full_like(self._route_of_head, -1)
        self._search_layout = np.zeros((max(1, len(shapes)), 4), dtype=np.int64)
        for number, (index, head) in enumerate(self._searched):
            query = reorder_outputs(self._layers[index].queries[head], shapes[number].order)
            key = reorder_outputs(self._layers[index].keys[head], shapes[number].order)
            self._search_of_head[index, head] = number
            first_query, _ = pool.add(renumber_inputs(query, place))
            first_key, _ = pool.add(renumber_inputs(key, place))
            self._search_layout[number] = first_query, first_key, key.num_outputs, shapes[number].coded
        routes = np.stack(self._routes, axis=1) if self._routes else np.zeros((1, 1), dtype=np.int32)
        reads = np.zeros((len(self._layers), len(active)))
        for index, layer in enumerate(self._layers):
            reads[index, place[layer.mlp_in.index]] = 1
        lengths = np.diff(unembed.start)
        rows = unembed.index.reshape(len(lengths), -1) if (lengths == lengths[0]).all() else None
        self._model = FlatModel(
            tokens=embedding.tokens,
            positions=embedding.positions,
            passive_sum=embedding.passive_sum,
            passive_square=embedding.passive_square,
            width=width,
            epsilon=self.architecture.norm_epsilon,
            is_relu=self.architecture.activation == "relu",
            end_token=self.architecture.end_token,
            maps=pool.arrays(),
            dimension=pool.dimensions(),
            layout=layout,
            value_head=np.concatenate(value_heads),
            routes=np.ascontiguousarray(routes),
            route_of_head=self._route_of_head,
            reads=reads,
            fan_in=np.array([_largest_row(layer.attention_out) for layer in self._layers]),
            is_aligned=rows is not None and bool((rows == rows[0]).all()),
        )
        self._units = _index_units(self._layers, renumber_inputs(unembed, place), place, self._model.maps)
        if len(self._layers) == 1 and not shapes:
            layer = self._layers[0]
            self._tabulated = tabulate(layer, unembed, active, self._model, self._targets(layer.value_head))

    def _targets(self, value_head: Int32[np.ndarray, " values"]) -> Int32[np.ndarray, "positions values"]:
        """For each position the position that each value of the first layer comes from."""
        if not len(value_head):
            return np.zeros((self.architecture.num_positions, 0), dtype=np.int32)
        return np.stack([self._routes[self._route_of_head[0, head]] for head in value_head], axis=1)

    def _find_shapes(self, prompt: Int64[np.ndarray, " prompt"]) -> bool:
        """Makes ready what is searched, from the keys of a short dense run; False if some lie on no grid."""
        if self._shapes is not None:
            return True
        keys = DenseEngine(self._transformer).keys(prompt[None, :SAMPLE_PROMPT], SAMPLE_TOKENS)
        shapes = []
        for index, head in self._searched:
            columns = self._layers[index].head_columns[head]
            shape = find_key_shape(keys[index][0, head][:, columns].astype(np.float64))
            if shape is None:
                self._refuse(f"layer {index}, head {head}: its keys lie on no grid")
                return False
            shapes.append(shape)
        self._assemble(shapes)
        return True

    def _make_room(self, search: KeySearch) -> Room:
        """What one sequence is decoded in."""
        vocabulary, active = self._model.tokens.shape
        longest = int(search.layout[:, 2].max()) + 1
        outputs = max(1, int((self._model.layout[:, 8] - self._model.layout[:, 7]).max()))
        return Room(
            x=np.empty(active),
            errors=np.empty(active),
            sums=np.empty(6),
            fetched=np.empty(max(1, self._num_values)),
            fetched_errors=np.empty(max(1, self._num_values)),
            written=np.empty((3, outputs)),
            vector=np.empty(longest),
            vector_errors=np.empty(longest),
            wanted=np.zeros((1, search.codes.shape[2]), dtype=np.int8),
            where=np.zeros(self.architecture.num_heads, dtype=np.int64),
            logits=np.empty(vocabulary),
            gathered=np.empty(active),
            chosen=np.empty(self._units.rows.pattern.shape[1], dtype=np.uint8),
        )

    def _start_search(self, num_positions: int) -> KeySearch:
        """Empty indices of the searched heads, for a sequence of this length."""
        shapes = self._shapes or []
        number, rows = max(1, len(shapes)), num_positions if shapes else 1
        num_slots = 16
        while num_slots < 2 * rows:
            num_slots *= 2
        needed = needed_gap(self.architecture.num_positions, self.architecture.head_width)
        return KeySearch(
            of_head=self._search_of_head,
            layout=self._search_layout,
            offset=np.array([shape.grid.offset for shape in shapes] or [0.0]),
            step=np.array([shape.grid.step for shape in shapes] or [1.0]),
            wanted_norm=np.array([shape.largest_norm for shape in shapes] or [0.0]),
            needed=np.full(number, needed),
            codes=np.zeros((number, rows, max(1, int(self._search_layout[:, 3].max()))), dtype=np.int8),
            slots=np.full((number, num_slots), -1, dtype=np.int32),
            again=np.full((number, rows), kernels.NEVER, dtype=np.int32),
            distinct=np.zeros((number, kernels.FEW_KEYS), dtype=np.int32),
            num_distinct=np.zeros(number, dtype=np.int64),
            furthest=np.zeros(number),
            key_error=np.zeros(number),
        )


def _index_units(
    layers: list[FlatLayer], unembed: SparseMap, place: Int64[np.ndarray, " width"], maps: MapArrays
) -> Units:
    """The hidden units of all layers and the tokens, by groups; dimension i of the stream is called ``place[i]``."""
    rows, groups = index_rows([*(renumber_inputs(layer.mlp_in, place) for layer in layers), unembed])
    by_unit = [
        transpose(select_outputs(layer.mlp_out, _written(layer.mlp_out)), layer.mlp_in.num_outputs) for layer in layers
    ]
    counts = np.concatenate([np.diff(start) for start, _, _ in by_unit])
    return Units(
        rows=rows,
        groups=groups,
        first=np.cumsum([0, *(layer.mlp_in.num_outputs for layer in layers)])[:-1].astype(np.int64),
        start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        output=np.concatenate([output for _, output, _ in by_unit]),
        value=np.concatenate([value for _, _, value in by_unit]),
        reach=np.concatenate([[0.0], np.cumsum(np.abs(maps.value))])[maps.start[1:]]
        - np.concatenate([[0.0], np.cumsum(np.abs(maps.value))])[maps.start[:-1]],
    )


class _MapPool:
    """Several sparse maps in one set of arrays."""

    def __init__(self) -> None:
        self._maps: list[SparseMap] = []
        self._dimensions: list[np.ndarray] = []
        self._num_outputs = 0

    def add(self, sparse: SparseMap, dimension: np.ndarray | None = None) -> tuple[int, int]:
        """Adds a map; returns its first output and one past its last."""
        self._maps.append(sparse)
        unused = np.full(sparse.num_outputs, -1, dtype=np.int64)
        self._dimensions.append(unused if dimension is None else dimension)
        self._num_outputs += sparse.num_outputs
        return self._num_outputs - sparse.num_outputs, self._num_outputs

    def add_writing(self, sparse: SparseMap, place: np.ndarray) -> tuple[int, int]:
        """Adds a map to the residual stream, without the dimensions that it leaves alone."""
        written = _written(sparse)
        return self.add(select_outputs(sparse, written), place[written])

    def dimensions(self) -> Int64[np.ndarray, " outputs"]:
        """For each output the dimension of the stream that it is added to, or -1."""
        return np.concatenate(self._dimensions)

    def arrays(self) -> MapArrays:
        """All maps, one after the other."""
        entries = np.cumsum([0, *(len(sparse.index) for sparse in self._maps)])
        starts = [sparse.start[:-1] + first for sparse, first in zip(self._maps, entries[:-1], strict=True)]
        return MapArrays(
            start=np.concatenate([*starts, entries[-1:]]),
            inputs=np.concatenate([sparse.index for sparse in self._maps]),
            value=np.concatenate([sparse.value for sparse in self._maps]),
            bias=np.concatenate([sparse.bias for sparse in self._maps]),
            size=np.concatenate([sparse.size for sparse in self._maps]),
        )


def _largest_row(sparse: SparseMap) -> float:
    """The largest sum of magnitudes of the weights into one output."""
    sums = np.zeros(sparse.num_outputs)
    np.add.at(sums, np.repeat(np.arange(sparse.num_outputs), np.diff(sparse.start)), np.abs(sparse.value))
    return float(sums.max(initial=0.0))


def _written(sparse: SparseMap) -> Int64[np.ndarray, " written"]:
    """The outputs that a map does not leave zero."""
    return np.flatnonzero((np.diff(sparse.start) > 0) | (sparse.bias != 0))
