"""Largest products as look-ups, where both sides take few values.

The items are keys or tokens. What they show falls into *sections*, and so does what is asked for: the product is a sum
over sections, each a small table. An item that shows the best in every section beats any other by at least what the
second best costs in one of them. That is compared with what float32 can err once, when the tables are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.decode.finite_stream import FiniteStream, Outputs, cluster
from serialformer.decode.flat import FlatLayer, SparseMap, to_dense
from serialformer.decode.kernels import FEW_KEYS, product_error
from serialformer.decode.quantities import Quantity
from serialformer.decode.row_index import find_blocks
from serialformer.errors import EngineError

LARGEST_SECTION = 64
"""The most different things that a section made of several may show or ask for."""

LARGEST_ORDER = 1 << 10
"""Queries for which few keys are put in order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """One part of a search.

    Attributes:
        num_shown: how many different things an item can show.
        shown: what an item shows, if items are keys.
        asked: what is asked for: one more than what has the largest product, or 0 where no item leads by enough.
    """

    num_shown: int
    shown: Quantity | None
    asked: Quantity


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """For each query the keys, the best first; and for each query and two keys whether the first leads by enough."""

    query: Quantity
    keys: Int64[np.ndarray, "queries keys"]
    leads: Bool[np.ndarray, "queries keys keys"]


@dataclass(frozen=True, kw_only=True, eq=False)
class KeySections:
    """The search of one head.

    Attributes:
        sections: those in which keys differ.
        order: of the keys, where there are few.
    """

    sections: Sequence[Section]
    order: Order | None


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenSections:
    """The search for the next token.

    Attributes:
        sections: those in which tokens differ.
        codes: for each token what it shows in all sections, as one number.
    """

    sections: Sequence[Section]
    codes: Int64[np.ndarray, " vocabulary"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Products:
    """A section before its tables are made: products of what may be asked for and what may be shown."""

    queries: Outputs
    keys: Outputs
    labels: np.ndarray
    products: np.ndarray


def search_keys(stream: FiniteStream, layer: FlatLayer, head: int, needed: float) -> KeySections:
    """The search of a head's keys; ``needed`` is the least lead in a product of query and key.

    Raises:
        EngineError: the keys do not fall into small sections.
    """
    query, key = layer.queries[head], layer.keys[head]
    asking = [stream.quantities_read(query, column) for column in range(query.num_outputs)]
    showing = [stream.quantities_read(key, column) for column in range(key.num_outputs)]
    # A coordinate in which all keys are alike makes no difference between them.
    varied = [column for column in range(key.num_outputs) if showing[column]]
    groups = _gather(stream, varied, asking, showing)
    parts, spread = [], np.zeros(key.num_outputs)
    for columns in groups:
        keys = stream.apply(key, columns, _union(showing, columns))
        queries = stream.apply(query, columns, _union(asking, columns))
        labels, levels, around = cluster(keys.values)
        spread[columns] = around
        parts.append(_Products(queries=queries, keys=keys, labels=labels, products=queries.values @ levels.T))
    query_errors, key_errors = stream.output_errors(query), stream.output_errors(key) + spread
    sizes = [_largest(stream, sparse, reading) for sparse, reading in ((query, asking), (key, showing))]
    error = product_error(
        float(np.sqrt(np.square(sizes[0]).sum())),
        float(np.sqrt(np.square(query_errors).sum())),
        float(np.sqrt(np.square(sizes[1]).sum())),
        float(np.sqrt(np.square(key_errors).sum())),
        len(stream.levels),
    )
    least = needed + 2 * error
    parts = [part for part in parts if part.products.shape[1] > 1]
    if not parts:
        raise EngineError("all keys are alike")
    sections = [
        Section(
            num_shown=part.products.shape[1],
            shown=stream.quantities.label(part.keys.joint, part.labels),
            asked=_best(stream, part, least),
        )
        for part in parts
    ]
    num_keys = np.prod([section.num_shown for section in sections], dtype=np.float64)
    return KeySections(sections=sections, order=_order(stream, parts, least) if num_keys <= FEW_KEYS else None)


def search_tokens(stream: FiniteStream, unembed: SparseMap) -> TokenSections:
    """The search for the token with the largest logit.

    All logits come from one layer norm, so that what float32 makes of it counts only where two tokens differ.

    Raises:
        EngineError: the tokens do not fall into small sections.
    """
    weight, bounds = to_dense(unembed, len(stream.levels)), stream.bounds
    varied = [place for place, quantity in enumerate(stream.deciding) if quantity is not None and weight[place].any()]
    alone = np.setdiff1d(np.arange(len(weight)), varied)
    constant = np.array([stream.levels[place][0] - bounds.mean for place in alone]) @ weight[alone]
    magnitudes = stream.magnitudes()
    rounding = bounds.rounding * (
        bounds.most * (1 + bounds.spread) * (magnitudes + stream.errors + bounds.shift) @ np.abs(weight)
        + unembed.size[:, 1]
    )
    of_constant = _errors(stream, magnitudes)[alone] @ np.abs(weight[alone])
    # In units of the stream, before layer norm's scale.
    least = 2 * (rounding.max() / bounds.least + of_constant.max(initial=0.0)) + np.ptp(constant)
    least += np.ptp(unembed.bias) / bounds.least
    codes, sections = np.zeros(len(unembed.bias), dtype=np.int64), []
    for places in _token_groups(stream, varied, weight):
        patterns, which = np.unique(weight[places], axis=1, return_inverse=True)
        if codes.max() * patterns.shape[1] >= 1 << 62:
            raise EngineError("the tokens show too much")
        codes = codes * patterns.shape[1] + which.reshape(-1)
        joint = stream.quantities.joint(_deciding(stream, places))
        centred = stream.centred(joint)[:, places]
        products = centred @ patterns
        best, leads = products.argmax(axis=1), np.ones(joint.size, dtype=bool)
        for pattern in range(patterns.shape[1]):
            lead = products[np.arange(joint.size), best] - products[:, pattern]
            apart = np.abs(patterns[:, best] - patterns[:, [pattern]]).T
            errors = (apart * _errors(stream, np.abs(centred), places)).sum(axis=1)
            leads &= (best == pattern) | (lead > errors + least)
        asked = stream.quantities.label(joint, np.where(leads, best + 1, 0))
        sections.append(Section(num_shown=patterns.shape[1], shown=None, asked=asked))
    if len(np.unique(codes)) < len(codes):
        raise EngineError("two tokens have the same logits")
    return TokenSections(sections=sections, codes=codes)


def _errors(stream: FiniteStream, magnitudes: np.ndarray, places: Sequence[int] | None = None) -> np.ndarray:
    """How far coordinates after layer norm can be off, before its scale; of the magnitudes they have before it."""
    bounds, errors = stream.bounds, stream.errors if places is None else stream.errors[list(places)]
    inherited = (1 + bounds.spread) * (errors + bounds.shift) + bounds.moved
    return np.asarray(inherited + bounds.spread * (magnitudes + bounds.moved))


def _deciding(stream: FiniteStream, places: Sequence[int]) -> frozenset[Quantity]:
    return frozenset(quantity for place in places if (quantity := stream.deciding[place]) is not None)


def _token_groups(stream: FiniteStream, varied: Sequence[int], weight: np.ndarray) -> list[list[int]]:
    """The coordinates in groups that tokens show something in, each small."""
    result: list[list[int]] = []
    for block in find_blocks(np.ascontiguousarray(weight[varied].T), np.array(varied)):
        places = block.columns.tolist()
        if len(block.values) == 1:
            continue
        if result:
            wider = [*result[-1], *places]
            num_states = stream.quantities.num_combinations(_deciding(stream, wider))
            if num_states <= LARGEST_SECTION and np.unique(weight[wider], axis=1).shape[1] <= LARGEST_SECTION:
                result[-1] = wider
                continue
        result.append(places)
    return result


def _gather(
    stream: FiniteStream,
    columns: Sequence[int],
    asking: Sequence[frozenset[Quantity]],
    showing: Sequence[frozenset[Quantity]],
) -> list[list[int]]:
    """The columns in sections: those that share a quantity, and more as long as a section stays small."""
    together: list[tuple[list[int], frozenset[Quantity]]] = []
    for column in columns:
        own = asking[column] | showing[column]
        places, quantities = [column], own
        for group in [group for group in together if group[1] & own]:
            together.remove(group)
            places, quantities = [*group[0], *places], quantities | group[1]
        together.append((places, quantities))
    result: list[list[int]] = []
    for places in sorted(sorted(places) for places, _ in together):
        wider = [*result[-1], *places] if result else places
        sizes = [stream.quantities.num_combinations(_union(each, wider)) for each in (asking, showing)]
        if result and max(sizes) <= LARGEST_SECTION:
            result[-1] = wider
        else:
            result.append(places)
    return result


def _union(reading: Sequence[frozenset[Quantity]], columns: Sequence[int]) -> frozenset[Quantity]:
    return frozenset[Quantity]().union(*(reading[column] for column in columns))


def _largest(stream: FiniteStream, sparse: SparseMap, reading: Sequence[frozenset[Quantity]]) -> np.ndarray:
    """The largest magnitude of each output."""
    return np.array(
        [
            np.abs(stream.apply(sparse, [column], reading[column]).values).max(initial=0.0)
            for column in range(sparse.num_outputs)
        ]
    )


def _best(stream: FiniteStream, part: _Products, least: float) -> Quantity:
    """For each query, one more than the pattern with the largest product, or 0 where it does not lead by this much."""
    best = part.products.argmax(axis=1)
    ordered = np.sort(part.products, axis=1)
    leads = ordered[:, -1] - ordered[:, -2] > least
    return stream.quantities.label(part.queries.joint, np.where(leads, best + 1, 0))


def _order(stream: FiniteStream, parts: Sequence[_Products], least: float) -> Order | None:
    """All keys in order for each query, if there are few of both."""
    quantities = frozenset[Quantity]().union(*(part.queries.joint.values for part in parts))
    joint = stream.quantities.joint(quantities)
    if joint.size > LARGEST_ORDER:
        return None
    total = np.zeros((joint.size, 1))
    for part in parts:
        # The combinations of this part that those of all parts contain.
        rows = np.zeros(joint.size, dtype=np.int64)
        if part.queries.joint.size > 1:
            own = {
                tuple(int(values[row]) for values in part.queries.joint.values.values()): row
                for row in range(part.queries.joint.size)
            }
            names = list(part.queries.joint.values)
            rows = np.array(
                [own[tuple(int(joint.values[name][row]) for name in names)] for row in range(joint.size)],
                dtype=np.int64,
            )
        total = (total[:, :, None] + part.products[rows][:, None, :]).reshape(joint.size, -1)
    return Order(
        query=stream.quantities.label(joint, np.arange(joint.size)),
        keys=np.argsort(-total, axis=1),
        leads=total[:, :, None] - total[:, None, :] > least,
    )
