"""The forward pass of a rounded transformer, emitted as gates: every value a thermometer, every sum a cascade.

The order is that of the rounded engine (``decode.rounded``): position by position, layer by layer. Where only the token
after a position is wanted, the last layer is made for that position alone.
Shapes: D width, H heads, W head width, S positions so far, K entries of a thermometer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int64
from serialformer.bounds.making import Limit
from serialformer.bounds.tables import Tables, make_tables, number_ranks
from serialformer.errors import EngineError
from serialformer.transformer.precision import NumberFormat, arithmetic_to_format
from serialformer.transformer.transformer import Transformer


@dataclass(frozen=True, kw_only=True, eq=False)
class _Map:
    """A matrix by the ranks of the weights of its columns that are not 0, and the ranks of a bias."""

    start: Int64[np.ndarray, " starts"]
    index: Int64[np.ndarray, " weights"]
    weight: Int64[np.ndarray, " weights"]
    bias: Int64[np.ndarray, " columns"]

    def columns(self, chosen: slice) -> _Map:
        """The map to some of the columns."""
        first, last, _ = chosen.indices(len(self.bias))
        begin, end = int(self.start[first]), int(self.start[last])
        return _Map(
            start=self.start[first : last + 1] - begin,
            index=self.index[begin:end],
            weight=self.weight[begin:end],
            bias=self.bias[first:last],
        )


@dataclass(frozen=True, kw_only=True)
class Context:
    """The positions so far; a context is never changed, only made longer.

    Attributes:
        keys: for each layer and position the keys of all heads.
        values: the same of the values.
        undefined: signals of which one is true where a softmax divides by zero on which what follows depends.
    """

    keys: tuple[tuple[np.ndarray, ...], ...]
    values: tuple[tuple[np.ndarray, ...], ...]
    undefined: tuple[int, ...] = ()

    @property
    def num_positions(self) -> int:
        return len(self.keys[0])


class GateForward:
    """A rounded transformer whose operations emit gates.

    Args:
        transformer: with an arithmetic of its own.
        method: how to sum; a name in ``tables.METHODS``.

    Raises:
        EngineError: the transformer has no arithmetic of its own, or weights that are no numbers of it.
    """

    def __init__(self, transformer: Transformer, method: str) -> None:
        architecture = transformer.architecture
        if architecture.arithmetic is None:
            raise EngineError(
                "the model computes in floats, whose sums are no small automata",
                hint="make it with --target paper, or train it with norm none and round it with --precision S",
            )
        self.architecture, self.method = architecture, method
        self.number_format: NumberFormat = arithmetic_to_format(architecture.arithmetic)
        self.tables: Tables = make_tables(self.number_format, method)
        weights = {name: weight.astype(np.float64) for name, weight in transformer.named_weights()}
        outside = [name for name, weight in weights.items() if not self.number_format.holds(weight).all()]
        if outside:
            raise EngineError(
                f"weights that {self.number_format.name} does not hold: {', '.join(outside)}",
                hint="round them with --precision S",
            )
        self._embeddings = self.number_format.add(
            weights["token_embedding"][None], weights["position_embedding"][:, None]
        )
        ranks = {name: number_ranks(self.number_format, weight) for name, weight in weights.items()}
        self._layers = [
            tuple(
                _sparse(ranks[f"layers.{layer}.{part}_weight"], ranks[f"layers.{layer}.{part}_bias"])
                for part in ("attention_in", "attention_out", "mlp_in", "mlp_out")
            )
            for layer in range(architecture.num_layers)
        ]
        embedding = ranks["token_embedding"]
        self._unembedding = _sparse(embedding.T, np.zeros(len(embedding), dtype=np.int64))

    def empty_context(self) -> Context:
        """Before the first position."""
        nothing: tuple[tuple[np.ndarray, ...], ...] = ((),) * self.architecture.num_layers
        return Context(keys=nothing, values=nothing)

    def extend(
        self,
        limit: Limit,
        context: Context,
        tokens: Int64[np.ndarray, " codes"],
        codes: Int64[np.ndarray, " codes"],
        *,
        answers: bool,
    ) -> tuple[Context, Int64[np.ndarray, " vocabulary"]]:
        """Appends one position.

        Weights and values that are 0 take no gates: they add 0.

        Args:
            limit: where gates go, and how many there may be.
            context: the positions before.
            tokens: the token that each code stands for.
            codes: signals, of which exactly one is true.
            answers: whether the token after the position is wanted.

        Returns:
            The context with this position, and for each token the signal that it is the one to follow, of which exactly
            one is true; none of them if no answer is wanted.

        Raises:
            CircuitError: there are too many gates.
        """
        from serialformer.bounds import value_kernels as gates

        architecture, tables, sink = self.architecture, self.tables, limit.sink
        heads, head_width = architecture.num_heads, architecture.head_width
        position, entries = context.num_positions, 2 * tables.largest
        ranks = number_ranks(self.number_format, self._embeddings[position, tokens])
        x_DK = np.empty((architecture.width, entries), dtype=np.int64)
        gates.embed_codes(sink, codes, ranks, x_DK)
        keys, values, undefined = list(context.keys), list(context.values), list(context.undefined)
        for number, (into_heads, out_of_heads, into_hidden, out_of_hidden) in enumerate(self._layers):
            asks = answers or number < architecture.num_layers - 1
            into = into_heads if asks else into_heads.columns(slice(architecture.width, None))
            projected = self._apply(limit, into, x_DK).reshape(-1, heads, head_width, entries)
            keys[number] = (*keys[number], projected[-2])
            values[number] = (*values[number], projected[-1])
            if not asks:
                break
            limit.check()
            mixed = np.empty((heads, head_width, entries), dtype=np.int64)
            for head in range(heads):
                is_zero = gates.attend(
                    sink,
                    projected[0, head],
                    np.stack([row[head] for row in keys[number]]),
                    np.stack([row[head] for row in values[number]]),
                    tables,
                    mixed[head],
                )
                undefined.append(int(is_zero))
                limit.check()
            x_DK = self._add(limit, x_DK, self._apply(limit, out_of_heads, mixed.reshape(x_DK.shape)))
            hidden = self._apply(limit, into_hidden, x_DK)
            gates.cut_below_zero(hidden)
            x_DK = self._add(limit, x_DK, self._apply(limit, out_of_hidden, hidden))
        wins = np.empty(len(architecture.vocabulary) if answers else 0, dtype=np.int64)
        if answers:
            gates.choose_largest(sink, self._apply(limit, self._unembedding, x_DK), wins)
        return Context(keys=tuple(keys), values=tuple(values), undefined=tuple(undefined)), wins

    def _apply(self, limit: Limit, chosen: _Map, x: Int64[np.ndarray, "in K"]) -> Int64[np.ndarray, "out K"]:
        from serialformer.bounds.value_kernels import apply_weights

        result = np.empty((len(chosen.bias), x.shape[1]), dtype=np.int64)
        apply_weights(limit.sink, x, chosen.start, chosen.index, chosen.weight, chosen.bias, self.tables, result)
        limit.check()
        return result

    def _add(self, limit: Limit, x: Int64[np.ndarray, "D K"], y: Int64[np.ndarray, "D K"]) -> Int64[np.ndarray, "D K"]:
        from serialformer.bounds.value_kernels import add_rows

        result = np.empty_like(x)
        add_rows(limit.sink, x, y, self.tables, result)
        return result


def _sparse(weight: Int64[np.ndarray, "rows columns"], bias: Int64[np.ndarray, " columns"]) -> _Map:
    column, row = np.nonzero(weight.T)
    start = np.searchsorted(column, np.arange(weight.shape[1] + 1))
    index = np.ascontiguousarray(row)  # numba compiles each layout separately, and rows of few entries have another
    return _Map(start=start.astype(np.int64), index=index, weight=np.ascontiguousarray(weight[row, column]), bias=bias)
