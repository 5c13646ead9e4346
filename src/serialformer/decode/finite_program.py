"""Models whose streams take few values, as programs on whole numbers: what a bound must show is shown once.

The indexed engine follows numbers in float64 and a bound on float32's error beside each. Where each coordinate of the
stream takes few values (``finite_stream``), both are the same in all contexts: what is left for each token is to look
up what hidden units write, to copy what heads fetch, and to find keys and tokens by what they show (``finite_search``).
It reads the weights and nothing else, and refuses a model of which it cannot show all this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from serialformer.arrays import Int32, Int64
from serialformer.decode.finite_kernels import decode_finite, index_tokens
from serialformer.decode.finite_search import KeySections, Section, TokenSections, search_keys, search_tokens
from serialformer.decode.finite_stream import FiniteStream
from serialformer.decode.flat import FlatLayer, SparseMap
from serialformer.decode.kernels import FEW_KEYS, NEVER
from serialformer.decode.quantities import Quantities, Quantity
from serialformer.decode.records import FiniteKeys, FiniteProgram
from serialformer.transformer.transformer import Transformer


class FiniteDecoder:
    """Decodes what ``token_kernels.decode_tokens`` decodes, where the stream takes few values.

    Args:
        transformer: the model.
        layers: its layers, flattened.
        unembed: its unembedding.
        routes: for each routed head of the first layer the position that it reads from every position.
        route_of_head: for each layer and head its number among these, or -1.
        needed: the least lead in a product of query and key.

    Raises:
        EngineError: the stream takes too many values, or something cannot be shown for all contexts.
    """

    def __init__(
        self,
        transformer: Transformer,
        layers: Sequence[FlatLayer],
        unembed: SparseMap,
        *,
        routes: Sequence[Int32[np.ndarray, " positions"]],
        route_of_head: Int64[np.ndarray, "layers heads"],
        needed: float,
    ) -> None:
        self._end_token = transformer.architecture.end_token
        self._num_heads = transformer.architecture.num_heads
        touched = touched_dimensions(layers, unembed, transformer.architecture.width)
        stream = FiniteStream(transformer, Quantities(len(transformer.token_embedding)), touched)
        searched: list[list[tuple[int, KeySections]]] = []
        for index, layer in enumerate(layers):
            found = []
            for head in np.unique(layer.value_head).tolist():
                if route_of_head[index, head] < 0:
                    found.append((head, search_keys(stream, layer, head, needed)))
            searched.append(found)
            stream.attend(index, layer)
            stream.feed_forward(layer, transformer.architecture.activation)
        tokens = search_tokens(stream, unembed)
        self._program = _Assembly(transformer, searched, tokens, routes, route_of_head).program()

    def start(self, num_positions: int) -> FiniteKeys:
        """Empty tables for a sequence of this length."""
        program, slots = self._program, _num_slots(num_positions)
        searches = max(1, len(program.searches) - 1)
        return FiniteKeys(
            held=np.zeros(program.num_held, dtype=np.int64),
            where=np.zeros(self._num_heads, dtype=np.int64),
            stored=np.zeros((num_positions, max(1, len(program.stores))), dtype=np.uint16),
            codes=np.zeros((searches, num_positions), dtype=np.int64),
            slots=np.full((searches, slots), -1, dtype=np.int32),
            again=np.full((searches, num_positions), NEVER, dtype=np.int32),
            distinct=np.full((searches, FEW_KEYS), NEVER, dtype=np.int32),
        )

    def decode(
        self, sequence: Int64[np.ndarray, " sequence"], position: int, stop: int, prompt_length: int, keys: FiniteKeys
    ) -> tuple[int, int]:
        """Writes tokens into the sequence; returns the position reached and why it stopped there."""
        reached, reason, _, _ = decode_finite(
            sequence, position, stop, prompt_length, self._end_token, self._program, keys
        )
        return int(reached), int(reason)


class _Assembly:
    """Gives the quantities that are needed places, and orders what has to be done at a position."""

    def __init__(
        self,
        transformer: Transformer,
        searched: Sequence[Sequence[tuple[int, KeySections]]],
        tokens: TokenSections,
        routes: Sequence[np.ndarray],
        route_of_head: np.ndarray,
    ) -> None:
        self._searched, self._tokens, self._routes, self._route_of_head = searched, tokens, routes, route_of_head
        self._shape = len(transformer.token_embedding), len(transformer.position_embedding)
        needed: dict[Quantity, None] = {}
        for _, search in (entry for found in searched for entry in found):
            for section in search.sections:
                assert section.shown is not None
                _need(section.shown, needed)
                if search.order is None:
                    _need(section.asked, needed)
            if search.order is not None:
                _need(search.order.query, needed)
        for section in tokens.sections:
            _need(section.asked, needed)
        self._of_token = [each for each in needed if each.of_token is not None]
        self._of_position = [each for each in needed if each.of_position is not None]
        self._tabulated = [each for each in needed if each.table is not None]
        self._fetched = [each for each in needed if each.head is not None]
        ordered = [*self._of_token, *self._of_position, *self._tabulated, *self._fetched]
        self._place = {quantity: place for place, quantity in enumerate(ordered)}

    def program(self) -> FiniteProgram:
        """The record that the loop takes."""
        num_layers = len(self._searched)
        spans = np.zeros((num_layers + 1, 10), dtype=np.int64)
        tables: list[np.ndarray] = []
        table_of: list[list[int]] = []
        inputs: list[list[int]] = []
        stores: list[int] = []
        fetches: list[list[int]] = []
        routed: list[list[int]] = []
        searches: list[list[int]] = []
        sections: list[list[int]] = []
        orders: list[np.ndarray] = []
        leads: list[np.ndarray] = []
        filled = 0
        for layer in range(num_layers + 1):
            spans[layer, 0] = len(table_of)
            for quantity in self._tabulated:  # what a table reads comes before it
                if quantity.level == layer and quantity.table is not None:
                    first, stride = len(inputs), len(quantity.table)
                    for read in quantity.inputs:
                        stride //= read.size
                        inputs.append([self._place[read], stride])
                    table_of.append([self._place[quantity], filled, first, len(inputs)])
                    tables.append(quantity.table)
                    filled += len(quantity.table)
            spans[layer, 1] = len(table_of)
            if layer == num_layers:
                break
            spans[layer, 2], spans[layer, 4], spans[layer, 6], spans[layer, 8] = (
                len(stores), len(searches), len(fetches), len(routed)
            )  # fmt: skip
            kept: dict[Quantity, int] = {}
            for quantity in self._fetched:
                if quantity.head is not None and quantity.source is not None and quantity.head[0] == layer:
                    if quantity.source not in kept:
                        kept[quantity.source] = len(stores)
                        stores.append(self._place[quantity.source])
                    fetches.append([self._place[quantity], quantity.head[1], kept[quantity.source]])
            for head in np.flatnonzero(self._route_of_head[layer] >= 0).tolist():
                routed.append([head, int(self._route_of_head[layer, head])])
            for head, search in self._searched[layer]:
                row = [head, len(sections), len(sections) + len(search.sections), 0, -1, 0, 0]
                if search.order is not None:
                    size = search.order.keys.shape[1]
                    row[3:] = [self._place[search.order.query], sum(map(len, orders)), size, sum(map(len, leads))]
                    orders.append(search.order.keys.ravel())
                    leads.append(search.order.leads.ravel())
                searches.append(row)
                sections += [self._section(section) for section in search.sections]
            spans[layer, 3], spans[layer, 5], spans[layer, 7], spans[layer, 9] = (
                len(stores), len(searches), len(fetches), len(routed)
            )  # fmt: skip
        searches.append([-1, len(sections), len(sections) + len(self._tokens.sections), 0, -1, 0, 0])
        sections += [self._section(section) for section in self._tokens.sections]
        num_tokens, num_positions = self._shape
        token_slots = np.full(_num_slots(num_tokens), -1, dtype=np.int32)
        index_tokens(self._tokens.codes, token_slots)
        return FiniteProgram(
            num_held=max(1, len(self._place)),
            of_token=_columns([quantity.of_token for quantity in self._of_token], num_tokens),
            of_position=_columns([quantity.of_position for quantity in self._of_position], num_positions),
            spans=spans,
            table_of=np.array(table_of, dtype=np.int64).reshape(-1, 4),
            inputs=np.array(inputs, dtype=np.int64).reshape(-1, 2),
            tables=np.concatenate([np.zeros(0), *tables]).astype(np.uint16),
            stores=np.array(stores, dtype=np.int64),
            fetches=np.array(fetches, dtype=np.int64).reshape(-1, 3),
            routes=np.ascontiguousarray(np.stack(self._routes, axis=1)) if self._routes else np.zeros((1, 1), np.int32),
            routed=np.array(routed, dtype=np.int64).reshape(-1, 2),
            searches=np.array(searches, dtype=np.int64),
            sections=np.array(sections, dtype=np.int64).reshape(-1, 3),
            orders=np.concatenate([np.zeros(0, dtype=np.int64), *orders]),
            leads=np.concatenate([np.zeros(0, dtype=bool), *leads]),
            token_codes=self._tokens.codes,
            token_slots=token_slots,
        )

    def _section(self, section: Section) -> list[int]:
        """The places of what is shown and of what is looked up, and how much may be shown."""
        shown = -1 if section.shown is None else self._place[section.shown]
        return [shown, self._place.get(section.asked, -1), section.num_shown]


def _need(quantity: Quantity, needed: dict[Quantity, None]) -> None:
    """Adds a quantity to those that are needed, after everything it is made of."""
    if quantity in needed:
        return
    made_of = quantity.inputs if quantity.source is None else (quantity.source,)
    for each in made_of:
        _need(each, needed)
    needed[quantity] = None


def touched_dimensions(layers: Iterable[FlatLayer], unembed: SparseMap, width: int) -> np.ndarray:
    """Which dimensions of the stream some map reads or writes."""
    touched = np.zeros(width, dtype=bool)
    touched[unembed.index] = True
    for layer in layers:
        for reading in (layer.values, layer.mlp_in, *layer.queries, *layer.keys):
            touched[reading.index] = True
        for writing in (layer.attention_out, layer.mlp_out):
            touched[(np.diff(writing.start) > 0) | (writing.bias != 0)] = True
    return touched


def _columns(columns: Iterable[np.ndarray | None], rows: int) -> np.ndarray:
    found = [column for column in columns if column is not None]
    return np.stack(found, axis=1).astype(np.uint16) if found else np.zeros((rows, 0), dtype=np.uint16)


def _num_slots(rows: int) -> int:
    """A power of two, at least twice as many slots as rows."""
    return max(16, 1 << (2 * rows - 1).bit_length())
