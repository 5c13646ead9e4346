"""Blueprint: a one-layer transformer in terms of fields, heads that look up, and hidden units that are tables.

Correctness in three steps, each checked by ``blueprint_margins`` on the finished weights.

*Attention.* A head compares the code that a position asks for with the code that each position bears as its name, so it
attends to one position only (``attention``). What it brings is that position's codes of some fields, exactly.

*Feed-forward.* A unit reads some fields and watches for one value (or two) in each. Where all fields hold what it
watches for its input is SHARPNESS, elsewhere at most -SHARPNESS: a field whose codes have the product ``on`` with the
watched code and at most ``on - gap`` otherwise enters with the weight 2 SHARPNESS / gap, so one mismatch costs 2
SHARPNESS. relu and gelu agree at both (``mlp``): a unit gives SHARPNESS or 0.

*Answer.* The units that fire together add ANSWER times the embedding of the next token. The unembedding is the token
embedding, so that token's logit beats any other's, the current token's included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32, Int64, Shaped

from serialformer.architecture import DTYPES, Activation, Architecture, DtypeName
from serialformer.compile.attention import query_scale
from serialformer.compile.fields import DEVIATION, Field, Stream, lay_out_stream
from serialformer.compile.lowering import FINAL_NORM_GAIN, NORM_EPSILON, default_attention_gap
from serialformer.compile.mlp import ANSWER, SHARPNESS
from serialformer.errors import CompileError
from serialformer.transformer.transformer import Layer, Transformer

MAX_UNITS = 1 << 18
"""Hidden units: with a width of 100 their weights take 0.2 GB in float32."""

MAX_POSITIONS = 1 << 15
"""Every pair of them is checked."""

MAX_CASES = 1 << 20
"""Every case is checked, against every token."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """What a head asks of one key field: the sum of what is given.

    Attributes:
        key: the position field whose codes are compared.
        asked: a position field with codes of the same length, which holds what to look for.
        constant: a vector of that length that every position asks for.
        flag: a token field of two values, whose first dimension is 1 or -1.
        by_flag: a vector that counts as often as that says.
    """

    key: str
    asked: str | None = None
    constant: tuple[float, ...] | None = None
    flag: str | None = None
    by_flag: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """A look-up.

    Attributes:
        queries: all of which the position to be read must meet.
        brings: token fields there, and the fields here to which their codes are added.
        copies: over how many heads of the architecture, alike but for their share, what it brings is spread.
    """

    queries: tuple[Query, ...]
    brings: tuple[tuple[str, str], ...]
    copies: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitTable:
    """Hidden units that read the same fields and write the same fields.

    Attributes:
        reads: the fields; units with the same values in all of them would fire together.
        values: the two values, perhaps the same one twice, that each unit watches for in each.
        writes: token fields.
        written: the value that each unit writes in each.
    """

    reads: tuple[str, ...]
    values: Int64[np.ndarray, "units reads two"]
    writes: tuple[str, ...]
    written: Int64[np.ndarray, "units writes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What a head must attend to: at each of the positions, whichever of the tokens stands there, the target."""

    head: int
    tokens: Int64[np.ndarray, " tokens"]
    positions: Int64[np.ndarray, " looks"]
    targets: Int64[np.ndarray, " looks"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cases:
    """All that can happen where a token of the chain is written.

    Attributes:
        own: the current token.
        position: the current position, or one that holds the same in all fields that units read.
        read: the token that each head reads.
        expected: the next token.
    """

    own: Int64[np.ndarray, " cases"]
    position: Int64[np.ndarray, " cases"]
    read: Int64[np.ndarray, "cases heads"]
    expected: Int64[np.ndarray, " cases"]

    @property
    def num_cases(self) -> int:
        return len(self.own)


@dataclass(frozen=True, kw_only=True, eq=False)
class Blueprint:
    """A construction, before it has weights.

    Attributes:
        name: what it is a construction of.
        vocabulary: the text of each token.
        end_token: the id of ``=``.
        token_fields: fields that the token decides, with the value for each token.
        position_fields: fields that the position decides, with the value at each position.
        brought_fields: fields that are empty before attention.
        heads: the look-ups.
        units: the hidden units.
        looks: what the heads must attend to, at every position that writes.
        cases: what must follow, in every case.
    """

    name: str
    vocabulary: tuple[str, ...]
    end_token: int
    token_fields: tuple[tuple[Field, Int64[np.ndarray, " vocabulary"]], ...]
    position_fields: tuple[tuple[Field, Int64[np.ndarray, " positions"]], ...]
    brought_fields: tuple[Field, ...]
    heads: tuple[Head, ...]
    units: tuple[UnitTable, ...]
    looks: tuple[Look, ...] = field(repr=False)
    cases: Cases = field(repr=False)

    @property
    def num_positions(self) -> int:
        return len(self.position_fields[0][1])

    @property
    def num_units(self) -> int:
        return sum(len(table.values) for table in self.units)

    @property
    def num_heads(self) -> int:
        return sum(head.copies for head in self.heads)

    @cached_property
    def token_values(self) -> Mapping[str, Int64[np.ndarray, " vocabulary"]]:
        return {part.name: values for part, values in self.token_fields}

    @cached_property
    def stream(self) -> Stream:
        fields = [part for part, _ in (*self.token_fields, *self.position_fields)] + list(self.brought_fields)
        lengths = {part.name: part.length for part in fields}
        head_width = max(
            max(
                sum(lengths[query.key] for query in head.queries),
                -(-sum(lengths[source] for source, _ in head.brings) // head.copies),
            )
            for head in self.heads
        )
        of_token = _square_norms([(part, values) for part, values in self.token_fields])
        before = of_token + _square_norms([(part, values) for part, values in self.position_fields])
        brought = sum(
            _square_norms([(part, values) for part, values in self.token_fields if part.name in dict(head.brings)])
            for head in self.heads
        )
        return lay_out_stream(fields, self.num_heads, head_width, before, before + brought)


def _square_norms(fields: Sequence[tuple[Field, Int64[np.ndarray, " rows"]]]) -> int:
    """The square norm that all rows of these fields have."""
    total = np.array(
        sum(np.square(part.codes[values].astype(np.int64)).sum(axis=1) for part, values in fields), dtype=np.int64
    )
    assert (total == total[0]).all(), [part.name for part, _ in fields]
    return int(total[0])


def check_sizes(name: str, num_units: int, num_positions: int, num_cases: int = 0) -> None:
    """Refuses, before anything is made, what memory or the checks would not hold.

    Raises:
        CompileError: says what is too large.
    """
    if num_units > MAX_UNITS:
        raise CompileError(
            f"{name} takes {num_units:,} hidden units, over {MAX_UNITS:,}", hint="choose smaller parameters"
        )
    if num_positions > MAX_POSITIONS:
        raise CompileError(
            f"{name} takes {num_positions:,} positions, over {MAX_POSITIONS:,}", hint="choose a smaller length"
        )
    if num_cases > MAX_CASES:
        raise CompileError(
            f"{name} has {num_cases:,} pairs of a state and a symbol to check, over {MAX_CASES:,}",
            hint="choose smaller parameters",
        )


def blueprint_to_gpt2(
    blueprint: Blueprint, *, dtype: DtypeName, activation: Activation, attention_gap: float | None
) -> Transformer:
    """The weights: whole numbers and powers of two, all of which the number format must hold exactly.

    Raises:
        CompileError: it does not hold them.
    """
    stream = blueprint.stream
    architecture = Architecture(
        vocabulary=blueprint.vocabulary,
        num_positions=blueprint.num_positions,
        width=stream.width,
        num_layers=1,
        num_heads=blueprint.num_heads,
        hidden_width=max(4 * stream.width, blueprint.num_units),
        activation=activation,
        norm_epsilon=NORM_EPSILON,
        end_token=blueprint.end_token,
        dtype=dtype,
    )
    gap = default_attention_gap(blueprint.num_positions) if attention_gap is None else attention_gap
    if not gap > 0:
        raise CompileError(f"expected an attention gap above 0, found {gap}")
    attention_in, attention_in_bias, attention_out = _attention(
        blueprint, architecture, query_scale(architecture.head_width, gap)
    )
    mlp_in, mlp_in_bias, mlp_out = _feed_forward(blueprint, architecture.hidden_width)
    zeros = np.zeros(stream.width, dtype=np.float32)
    # What the heads bring adds to the square norm; the ballast gives up as much.
    attention_out_bias = zeros.copy()
    attention_out_bias[stream.ballast] = np.subtract(stream.ballast_after, stream.ballast_before)
    positions = _embedding(blueprint.position_fields, stream)
    positions[:, stream.ballast] = stream.ballast_before
    gain = np.full(stream.width, DEVIATION, dtype=np.float32)
    layer = Layer(
        attention_norm_gain=_store(gain, dtype),
        attention_norm_bias=_store(zeros, dtype),
        attention_in_weight=_store(attention_in, dtype),
        attention_in_bias=_store(attention_in_bias, dtype),
        attention_out_weight=_store(attention_out, dtype),
        attention_out_bias=_store(attention_out_bias, dtype),
        mlp_norm_gain=_store(gain, dtype),
        mlp_norm_bias=_store(zeros, dtype),
        mlp_in_weight=_store(mlp_in, dtype),
        mlp_in_bias=_store(mlp_in_bias, dtype),
        mlp_out_weight=_store(mlp_out, dtype),
        mlp_out_bias=_store(zeros, dtype),
    )
    return Transformer(
        architecture=architecture,
        token_embedding=_store(_embedding(blueprint.token_fields, stream), dtype),
        position_embedding=_store(positions, dtype),
        layers=(layer,),
        final_norm_gain=_store(np.full(stream.width, FINAL_NORM_GAIN, dtype=np.float32), dtype),
        final_norm_bias=_store(zeros, dtype),
    )


def _store(values: Float32[np.ndarray, "..."], dtype: DtypeName) -> Shaped[np.ndarray, "..."]:
    """The same numbers in a number format that holds them."""
    with np.errstate(over="ignore"):
        stored = values.astype(DTYPES[dtype])
    lost = stored.astype(np.float32) != values
    if lost.any():
        raise CompileError(f"{dtype} does not hold the weight {values[lost][0]:g} exactly", hint="float32 does")
    return stored


def _embedding(
    fields: Sequence[tuple[Field, Int64[np.ndarray, " rows"]]], stream: Stream
) -> Float32[np.ndarray, "rows width"]:
    embedding = np.zeros((len(fields[0][1]), stream.width), dtype=np.float32)
    for part, values in fields:
        embedding[:, stream.span(part.name)] = part.codes[values]
    return embedding


def _attention(
    blueprint: Blueprint, architecture: Architecture, scale: float
) -> tuple[Float32[np.ndarray, "width qkv"], Float32[np.ndarray, " qkv"], Float32[np.ndarray, "width width"]]:
    """The matrices and the input bias of all heads."""
    stream, width, head_width = blueprint.stream, architecture.width, architecture.head_width
    into = np.zeros((width, 3, architecture.num_heads, head_width), dtype=np.float32)
    bias = np.zeros((3, architecture.num_heads, head_width), dtype=np.float32)
    out = np.zeros((architecture.num_heads, head_width, width), dtype=np.float32)
    number = 0
    for head in blueprint.heads:
        sources = np.concatenate([np.arange(width)[stream.span(source)] for source, _ in head.brings])
        targets = np.concatenate([np.arange(width)[stream.span(target)] for _, target in head.brings])
        for share in np.array_split(np.arange(len(sources)), head.copies):
            first = 0
            for query in head.queries:
                keys = np.arange(width)[stream.span(query.key)]
                columns = np.arange(first, first + len(keys))
                first += len(keys)
                into[keys, 1, number, columns] = 1
                if query.asked is not None:
                    into[np.arange(width)[stream.span(query.asked)], 0, number, columns] = scale
                if query.constant is not None:
                    bias[0, number, columns] = scale * np.array(query.constant)
                if query.flag is not None and query.by_flag is not None:
                    into[stream.starts[query.flag], 0, number, columns] = scale * np.array(query.by_flag)
            places = np.arange(len(share))
            into[sources[share], 2, number, places] = 1
            out[number, places, targets[share]] = 1
            number += 1
    return into.reshape(width, 3 * width), bias.reshape(3 * width), out.reshape(width, width)


def _feed_forward(
    blueprint: Blueprint, hidden_width: int
) -> tuple[Float32[np.ndarray, "width hidden"], Float32[np.ndarray, " hidden"], Float32[np.ndarray, "hidden width"]]:
    """The matrices and the input bias; hidden units beyond those of the blueprint are zero."""
    stream = blueprint.stream
    into = np.zeros((stream.width, hidden_width), dtype=np.float32)
    bias = np.zeros(hidden_width, dtype=np.float32)
    out = np.zeros((hidden_width, stream.width), dtype=np.float32)
    first = 0
    for table in blueprint.units:
        units = slice(first, first + len(table.values))
        first = units.stop
        bias[units] = SHARPNESS
        for place, name in enumerate(table.reads):
            weights, on = _watch(stream.fields[name], table.values[:, place])
            start = stream.starts[name]
            into[start : start + len(weights), units] += weights
            bias[units] -= on
        for place, name in enumerate(table.writes):
            out[units, stream.span(name)] += ANSWER / SHARPNESS * stream.fields[name].codes[table.written[:, place]]
    return into, bias, out


def _watch(
    part: Field, values: Int64[np.ndarray, "units two"]
) -> tuple[Float[np.ndarray, "read units"], Float[np.ndarray, " units"]]:
    """The weights with which units watch for either of two values of a field, and what they give where one is there."""
    codes = part.codes[:, : part.num_read].astype(np.float32)
    watched = codes[values[:, 0]] + codes[values[:, 1]]
    # Only as many products as there are different watched values at once.
    different, which = np.unique(values, axis=0, return_inverse=True)
    products = (codes[different[:, 0]] + codes[different[:, 1]]) @ codes.T
    rows = np.arange(len(different))
    on = products[rows, different[:, 0]].copy()
    assert np.array_equal(on, products[rows, different[:, 1]]), part.name
    products[rows[:, None], different] = -np.inf
    gap = on - products.max(axis=1)
    assert (gap > 0).all(), part.name
    scale = 2 * SHARPNESS / np.exp2(np.floor(np.log2(np.minimum(gap, 2 * SHARPNESS))))
    which = which.reshape(-1)
    return (watched * scale[which, None]).T, (on * scale)[which]
