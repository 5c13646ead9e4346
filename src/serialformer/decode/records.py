"""The records of arrays that the compiled loops of the indexed engine take.

A model is read once and decoded many times, so what stays the same between calls travels together. Each field has one
dtype and is contiguous: a record whose fields changed type would compile a loop anew. Reading an array from a record
counts a reference, so a loop reads the fields that it needs before it starts, and an inlined helper takes arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serialformer.arrays import Bool, Float32, Float64, Int8, Int32, Int64, UInt8, UInt16, UInt64


class MapArrays(NamedTuple):
    """Sparse linear maps, output by output: the fields of ``flat.SparseMap``, with ``inputs`` for its ``index``."""

    start: Int64[np.ndarray, " outputs_and_one"]
    inputs: Int32[np.ndarray, " entries"]
    value: Float64[np.ndarray, " entries"]
    bias: Float64[np.ndarray, " outputs"]
    size: Float64[np.ndarray, "outputs 3"]


class FlatModel(NamedTuple):
    """A GPT-2 over its active dimensions, with the maps of all its layers in one set of arrays.

    Attributes:
        tokens: the token embedding.
        positions: the position embedding.
        passive_sum: for each position the sum of its passive dimensions.
        passive_square: for each position the sum of their squares.
        width: the dimensions of the residual stream, the passive ones included.
        epsilon: of the layer norms.
        is_relu: whether the activation is relu, or gelu_new.
        end_token: the token that ends the chain.
        maps: the maps of all layers, then the unembedding, then the queries and keys of the searched heads.
        dimension: for each output of a map the dimension of the stream that it is added to, or -1.
        layout: for each layer the first output and one past the last of its values (columns 0 and 1), its attention
            output (2, 3), its hidden units (4, 5) and their output (7, 8); column 6 is the number of its first value
            column among those of all layers. The last row has the unembedding (0, 1).
        value_head: for each value column its head.
        routes: for each position and routed head the position that it attends to, or ``NO_MATCH``.
        route_of_head: for each layer and head its column of ``routes``, or -1.
        reads: for each layer 1 where its hidden units read a dimension, 0 elsewhere.
        fan_in: for each layer how much a unit error of every fetched value can add up to in one dimension.
        is_aligned: whether all outputs of the unembedding read the same dimensions.
    """

    tokens: Float64[np.ndarray, "vocabulary active"]
    positions: Float32[np.ndarray, "positions active"]
    passive_sum: Float64[np.ndarray, " positions"]
    passive_square: Float64[np.ndarray, " positions"]
    width: int
    epsilon: float
    is_relu: bool
    end_token: int
    maps: MapArrays
    dimension: Int64[np.ndarray, " outputs"]
    layout: Int64[np.ndarray, "layers_and_one 9"]
    value_head: Int32[np.ndarray, " values"]
    routes: Int32[np.ndarray, "positions routed"]
    route_of_head: Int64[np.ndarray, "layers heads"]
    reads: Float64[np.ndarray, "layers active"]
    fan_in: Float64[np.ndarray, " layers"]
    is_aligned: bool


class KeySearch(NamedTuple):
    """The searched heads of a model, and the index of their keys, which grows with the sequence.

    Attributes:
        of_head: for each layer and head its number among the searched heads, or -1.
        layout: for each searched head the first output of its query and of its key in the model's maps, how many
            coordinates they have, and how many of these tell keys apart.
        offset: for each searched head the offset of its grid.
        step: the step of its grid.
        wanted_norm: the norm of the longest point of the grid that its keys may take.
        needed: the least lead in a product of query and key.
        codes: for each position its key, as steps of the grid; written.
        slots: the hash table of the codes, -1 where it is empty; written.
        again: for each position the next one with its code, or ``NEVER``; written.
        distinct: the first positions with codes of their own; written.
        num_distinct: how many different codes there are; written.
        furthest: the largest distance of a key from its point; written.
        key_error: the largest error of a key in float32; written.
    """

    of_head: Int64[np.ndarray, "layers heads"]
    layout: Int64[np.ndarray, "searched 4"]
    offset: Float64[np.ndarray, " searched"]
    step: Float64[np.ndarray, " searched"]
    wanted_norm: Float64[np.ndarray, " searched"]
    needed: Float64[np.ndarray, " searched"]
    codes: Int8[np.ndarray, "searched positions coded"]
    slots: Int32[np.ndarray, "searched slots"]
    again: Int32[np.ndarray, "searched positions"]
    distinct: Int32[np.ndarray, "searched few"]
    num_distinct: Int64[np.ndarray, " searched"]
    furthest: Float64[np.ndarray, " searched"]
    key_error: Float64[np.ndarray, " searched"]


class RowIndex(NamedTuple):
    """Groups of rows of linear maps that read the same inputs, with an index if they consist of few patterns.

    The columns of such a group are divided into blocks in which the rows show few different *patterns* of weights. The
    row with the largest product is then found without computing the others': each block takes the pattern that its
    inputs favour, and a hash table says which row has them all. Any other row loses at least what the second best
    pattern of some block loses.

    Attributes:
        group: for each group its first row and one past its last, its first block and one past its last, where its hash
            table begins, and how many slots that has: none, if the group has no index.
        group_size: for each group the largest of its rows' 1-norms, of the sizes of their biases and of their biases.
        row: the row's number in its map.
        pattern: for each row its pattern in each block.
        block: for each block its first column and one past its last, its first pattern and one past its last, and the
            first of its weights, which go pattern by pattern.
        column: the input that a column belongs to.
        largest: the largest magnitude of a weight in the column.
        mark: a random word for each pattern; a row's hash is their exclusive or.
        value: the weights.
        slots: rows by their hashes, as numbers in ``row``, or -1.
    """

    group: Int64[np.ndarray, "groups 6"]
    group_size: Float64[np.ndarray, "groups 3"]
    row: Int32[np.ndarray, " rows"]
    pattern: UInt8[np.ndarray, "rows blocks_of_one"]
    block: Int64[np.ndarray, "blocks 5"]
    column: Int32[np.ndarray, " columns"]
    largest: Float64[np.ndarray, " columns"]
    mark: UInt64[np.ndarray, " patterns"]
    value: Float64[np.ndarray, " values"]
    slots: Int32[np.ndarray, " slots"]


class Units(NamedTuple):
    """The hidden units and the tokens of a model, by groups, and what each unit writes.

    Attributes:
        rows: the groups: those of each layer's units, then those of the tokens.
        groups: for each layer its first group and one past its last; the last row has those of the tokens.
        first: for each layer the number of its first unit among those of all layers.
        start: for each unit its first entry among those below, and one more at the end.
        output: which output of the layer, counted from 0, an entry is added to.
        value: its weight.
        reach: for each output of all maps the sum of the magnitudes of its weights.
    """

    rows: RowIndex
    groups: Int64[np.ndarray, "layers_and_one 2"]
    first: Int64[np.ndarray, " layers"]
    start: Int64[np.ndarray, " units_and_one"]
    output: Int32[np.ndarray, " entries"]
    value: Float64[np.ndarray, " entries"]
    reach: Float64[np.ndarray, " outputs"]


class Truth(NamedTuple):
    """What each position writes, as a truth table over the positions that it depends on; all written.

    Attributes:
        sources: the positions that each one depends on.
        arity: how many these are.
        table: the truth table over them, the first one least significant.
    """

    sources: Int32[np.ndarray, "positions 6"]
    arity: UInt8[np.ndarray, " positions"]
    table: UInt64[np.ndarray, " positions"]


class Room(NamedTuple):
    """Arrays that decoding writes and forgets, position by position.

    Attributes:
        x: the residual stream.
        errors: how far each of its coordinates can be off in float32.
        sums: what layer norm needs to know of both.
        fetched: the values that the heads of a layer fetch.
        fetched_errors: how far these can be off.
        written: what the hidden units write, for each output: its value, the sum of magnitudes, and the error.
        vector: a query or a key.
        vector_errors: how far its coordinates can be off.
        wanted: a query as steps of a grid.
        where: for each head of a layer the position that it reads.
        logits: of all tokens.
        gathered: the inputs of the unembedding.
        chosen: the pattern of each block of a group of rows.
    """

    x: Float64[np.ndarray, " active"]
    errors: Float64[np.ndarray, " active"]
    sums: Float64[np.ndarray, " 6"]
    fetched: Float64[np.ndarray, " most_values"]
    fetched_errors: Float64[np.ndarray, " most_values"]
    written: Float64[np.ndarray, "3 most_outputs"]
    vector: Float64[np.ndarray, " longest"]
    vector_errors: Float64[np.ndarray, " longest"]
    wanted: Int8[np.ndarray, "1 coded"]
    where: Int64[np.ndarray, " heads"]
    logits: Float64[np.ndarray, " vocabulary"]
    gathered: Float64[np.ndarray, " active"]
    chosen: UInt8[np.ndarray, " blocks"]


class FiniteProgram(NamedTuple):
    """What is done at each position of a model whose stream takes few values; see ``finite_program``.

    The quantities that a position has stand in numbered places: those that the token decides, then those that the
    position decides, then the others.

    Attributes:
        num_held: how many places there are.
        of_token: for each token the quantities that it decides.
        of_position: for each position those that it decides.
        spans: for each layer the first and one past the last of the tables looked up before it (columns 0 and 1), of
            what is stored for heads to fetch (2, 3), of the searched heads (4, 5), of what is fetched (6, 7) and of the
            routed heads (8, 9); the last row has the tables looked up after all layers.
        table_of: for each table the place of the result, its first entry, its first input and one past its last.
        inputs: for each input of a table its place and how many entries a step of it is.
        tables: the entries of all tables.
        stores: the places of what is stored.
        fetches: for each quantity fetched its place, its head, and its number among those stored.
        routes: for each position and routed head the position that it reads, or ``NO_MATCH``.
        routed: the routed heads: the head, and its column of ``routes``.
        searches: for each searched head the head, its first section and one past its last, and where there are few
            keys the place of the query, its first entry in ``orders`` (-1 without), how many keys there are, and its
            first entry in ``leads``; the last row has the sections of the tokens.
        sections: for each section the place of what is shown, the place of what is asked for (0, or one more than what
            has the largest product), and how much may be shown.
        orders: for each query the codes of the keys, the best first.
        leads: for each query and two keys whether the first leads by enough.
        token_codes: for each token what it shows.
        token_slots: the hash table of these codes.
    """

    num_held: int
    of_token: UInt16[np.ndarray, "vocabulary quantities"]
    of_position: UInt16[np.ndarray, "positions quantities"]
    spans: Int64[np.ndarray, "layers_and_one 10"]
    table_of: Int64[np.ndarray, "tables 4"]
    inputs: Int64[np.ndarray, "inputs 2"]
    tables: UInt16[np.ndarray, " entries"]
    stores: Int64[np.ndarray, " stored"]
    fetches: Int64[np.ndarray, "fetched 3"]
    routes: Int32[np.ndarray, "positions routed"]
    routed: Int64[np.ndarray, "routed 2"]
    searches: Int64[np.ndarray, "searched_and_one 7"]
    sections: Int64[np.ndarray, "sections 3"]
    orders: Int64[np.ndarray, " orders"]
    leads: Bool[np.ndarray, " leads"]
    token_codes: Int64[np.ndarray, " vocabulary"]
    token_slots: Int32[np.ndarray, " slots"]


class FiniteKeys(NamedTuple):
    """What such a program has read of a sequence; all written.

    Attributes:
        held: the quantities of the position.
        where: for each head of a layer the position that it reads.
        stored: for each position what heads may fetch from it.
        codes: for each searched head and position what its key shows.
        slots: the hash table of these codes.
        again: for each position the next one with its code, or ``NEVER``.
        distinct: where there are few keys, the first position of each code.
    """

    held: Int64[np.ndarray, " places"]
    where: Int64[np.ndarray, " heads"]
    stored: UInt16[np.ndarray, "positions stored"]
    codes: Int64[np.ndarray, "searched positions"]
    slots: Int32[np.ndarray, "searched slots"]
    again: Int32[np.ndarray, "searched positions"]
    distinct: Int32[np.ndarray, "searched few"]


class Inputs(NamedTuple):
    """What the first layer reads.

    Attributes:
        tokens: the token embedding over all dimensions.
        positions: the position embedding.
        norms: the layer norm of every token at every position, as ``kernels.embedded_norms`` describes it.
    """

    tokens: Float64[np.ndarray, "vocabulary width"]
    positions: Float32[np.ndarray, "positions width"]
    norms: Float64[np.ndarray, "positions vocabulary 4"]


class KeyTable(NamedTuple):
    """The keys of one head of the first layer, for every position.

    Attributes:
        codes: each key as steps of the grid.
        slots: the hash table of the codes.
        again: for each position the next one with its code, or ``NEVER``.
        offset: the offset of the grid.
        step: its step.
        norm: the norm of the longest point.
        least: the least distance of two points.
        furthest: the largest distance of a key from its point.
        error: the largest error of a key in float32.
    """

    codes: Int8[np.ndarray, "positions coded"]
    slots: Int32[np.ndarray, " slots"]
    again: Int32[np.ndarray, " positions"]
    offset: float
    step: float
    norm: float
    least: float
    furthest: float
    error: float


class Tabulated(NamedTuple):
    """A one-layer model with everything tabulated that position and token alone decide.

    The *late* dimensions are those that the feed-forward layer changes or the unembedding reads. Where positions are
    decoded in groups, ``moments`` and ``still`` hold ``kernels.GROUP`` of them side by side in the last axis, else one.

    Attributes:
        width: the dimensions of the residual stream.
        epsilon: of the layer norms.
        is_relu: whether the activation is relu, or gelu_new.
        end_token: the token that ends the chain.
        targets: for each position the position that each value comes from, or -1.
        latest: for each position the last of these, or ``NEVER`` if one is -1.
        values: for each position and token its values.
        moments: for each position and token the sum of the stream with the attention's bias, the sum of its squares,
            and its products with the direction that each fetched value writes.
        still: for each position its embedding and the attention's bias over the late dimensions, then what it alone
            gives the hidden units.
        token_still: for each token its embedding over the late dimensions, then what it alone gives the hidden units.
        fetched_hidden: what a fetched value gives them.
        hidden_total: for each hidden unit the sum of its weights.
        hidden_bias: its bias.
        hidden_size: the 1-norm of its weights.
        hidden_bias_size: the size of its bias.
        hidden_onward: the largest weight with which it goes on into the stream.
        late_fetched: what a fetched value gives the late dimensions.
        late_bias: the bias of the feed-forward layer there.
        hidden_late: for each late dimension the weight of each hidden unit.
        fetched_sum: for each fetched value the sum of what it writes.
        fetched_products: the products of what two fetched values write.
        unembedding: for each token its weights over the late dimensions.
        unembedding_bias: the bias of its logit.
        unembedding_size: what the rounding of its logit depends on, as in ``MapArrays.size``.
        stream_error: how far a coordinate of the stream can be off in float32 once the values are fetched.
        furthest: the largest coordinate that the hidden units read.
    """

    width: int
    epsilon: float
    is_relu: bool
    end_token: int
    targets: Int32[np.ndarray, "positions values"]
    latest: Int32[np.ndarray, " positions"]
    values: Float64[np.ndarray, "positions vocabulary values"]
    moments: Float64[np.ndarray, "groups vocabulary values_and_two lanes"]
    still: Float64[np.ndarray, "groups late_and_units lanes"]
    token_still: Float64[np.ndarray, "vocabulary late_and_units"]
    fetched_hidden: Float64[np.ndarray, "values units"]
    hidden_total: Float64[np.ndarray, " units"]
    hidden_bias: Float64[np.ndarray, " units"]
    hidden_size: Float64[np.ndarray, " units"]
    hidden_bias_size: Float64[np.ndarray, " units"]
    hidden_onward: Float64[np.ndarray, " units"]
    late_fetched: Float64[np.ndarray, "values late"]
    late_bias: Float64[np.ndarray, " late"]
    hidden_late: Float64[np.ndarray, "late units"]
    fetched_sum: Float64[np.ndarray, " values"]
    fetched_products: Float64[np.ndarray, "values values"]
    unembedding: Float64[np.ndarray, "vocabulary late"]
    unembedding_bias: Float64[np.ndarray, " vocabulary"]
    unembedding_size: Float64[np.ndarray, "vocabulary 3"]
    stream_error: float
    furthest: float


class Settings(NamedTuple):
    """The data that a layer norm and an activation need at one position, apart from the active dimensions.

    Attributes:
        passive_sum: the sum of the passive dimensions.
        passive_square: the sum of their squares.
        width: the dimensions of the stream.
        epsilon: of the layer norm.
        is_relu: whether the activation is relu, or gelu_new.
    """

    passive_sum: float
    passive_square: float
    width: int
    epsilon: float
    is_relu: bool


class Norm(NamedTuple):
    """A layer norm of the stream, and how an output of a linear map after it errs in float32.

    That is by ``slope`` (sum of |w| e + ``shift`` |w|_1) + ``spread`` (its terms' magnitudes) + ``of_bias`` |bias|,
    where e is the error of a coordinate; ``slope`` is infinite where nothing is known.

    Attributes:
        mean: of the stream.
        inverse: 1 / deviation.
        slope: see above.
        shift: see above.
        spread: see above.
        largest: the largest error of a coordinate.
        of_bias: see above.
    """

    mean: float
    inverse: float
    slope: float
    shift: float
    spread: float
    largest: float
    of_bias: float
