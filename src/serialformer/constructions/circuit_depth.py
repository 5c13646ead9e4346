"""A circuit without a chain: one column per gate, and a layer for each level of the circuit.

The prompt is the input bits, then a filler token for each gate, then ``=``; the answer follows. Each gate has a
*column*: the position of its filler token. In every layer each column fetches the present values of the wires that its
gate reads, and puts the gate's value in place of its own. Columns begin with 0, which may be wrong. After l layers
every gate of level l or less is right, whatever stood in its column before, since what it reads was right a layer
earlier. An input's column is a gate that copies itself. In the last layer the positions of the answer fetch the
outputs' columns, and write them as tokens.

So a circuit of depth D takes D + 1 layers, of which the first D have the same weights, and one pass: no token of the
answer depends on another. With fewer layers the outputs of the lower levels are right.

    width = 2 (K + 1) p + 2^(K + 1) + 2 K + 8, rounded up to an even number for each head,
    hidden units a layer = 2^(K + 1) + 2 K

for gates of up to K inputs and P positions, p = ceil(log2 P). The last layer has 2^(K + 1) + 1 units.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.words import words_to_names
from serialformer.constructions.claim import ColumnsClaim
from serialformer.constructions.construction import (
    Bring,
    Clause,
    Construction,
    ConstructionLayer,
    Field,
    LookUp,
    exact_table,
)
from serialformer.constructions.program import EQUALS, VOCABULARY
from serialformer.errors import CompileError

COLUMNS_VOCABULARY = (*VOCABULARY, ".")
"""The vocabulary of a model without a chain. ``.`` fills the columns of gates."""

FILLER = len(VOCABULARY)

NO_MARK, EQUALS_MARK, FILLER_MARK, UNKNOWN_MARK = range(4)
"""The values of the field ``mark``: none for bits; the others tell the tokens apart that are no bits."""

WRITE, END = range(2)
"""The values of the field ``mode``, which the last layer reads: the last position ends the answer."""

MAX_WEIGHTS = 1 << 28
"""Weights of all layers, positions by layers for the values that a pass holds: about a gigabyte in float32."""

MAX_SCORES = 1 << 36
"""Attention scores of one pass: the squares of the positions, over all heads and layers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Levels:
    """On which level of a circuit each wire is: inputs on 0, a gate one above the highest wire that it reads."""

    of_wire: Int64[np.ndarray, " wires"]
    of_output: Int64[np.ndarray, " outputs"]

    @property
    def depth(self) -> int:
        """The highest level of an output."""
        return int(self.of_output.max(initial=0))


def circuit_levels(circuit: Circuit) -> Levels:
    """The level of each wire. A gate without inputs is on level 1.

    >>> from serialformer import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> a, b = build.inputs("a", 2)
    >>> build.output("y", build.not_(build.and_(a, b)))
    >>> circuit_levels(build.circuit()).of_wire.tolist()
    [0, 0, 1, 2]
    """
    levels = np.zeros(circuit.num_wires, dtype=np.int64)
    for gate, reads in enumerate(circuit.fan_in):
        used = reads[reads != NO_WIRE]
        levels[circuit.num_inputs + gate] = 1 + levels[used].max(initial=0)
    return Levels(of_wire=levels, of_output=levels[circuit.outputs])


def circuit_depth_construction(circuit: Circuit, num_layers: int | None = None) -> Construction:
    """The construction of a circuit without a chain.

    Args:
        circuit: what to compute.
        num_layers: by default as many as the deepest output needs, ``depth + 1``. With fewer, the claim is about the
            outputs that are not too deep.

    Raises:
        CompileError: it would be too large, or has no layers.

    >>> from serialformer import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> a, b = build.inputs("a", 2)
    >>> build.output("y", build.not_(build.and_(a, b)))
    >>> construction = circuit_depth_construction(build.circuit())
    >>> construction.num_positions, len(construction.layers), construction.num_units
    (6, 3, 25)
    """
    levels = circuit_levels(circuit)
    needed = levels.depth + 1
    num_layers = needed if num_layers is None else num_layers
    if num_layers < 1:
        raise CompileError(f"expected at least 1 layer, found {num_layers}")
    num_heads = max(1, circuit.max_arity)
    num_inputs, num_gates, num_outputs = circuit.num_inputs, circuit.num_gates, circuit.num_outputs
    first_answer = num_inputs + num_gates
    num_positions = first_answer + 1 + num_outputs
    _check_size(circuit, num_layers, num_positions, num_heads)
    # Wires stand at the positions of the same numbers.
    reads = np.tile(np.arange(num_positions, dtype=np.int64)[:, None], num_heads)
    identity = sum(1 << combination for combination in range(1 << num_heads) if combination & 1)
    tables = np.full(num_positions, identity, dtype=np.uint64)
    if num_gates:
        fan_in = circuit.fan_in[:, :num_heads].astype(np.int64)
        unread = np.where(circuit.arity[:, None] > 0, fan_in[:, :1], np.arange(num_inputs, first_answer)[:, None])
        reads[num_inputs:first_answer] = np.where(np.arange(num_heads) < circuit.arity[:, None], fan_in, unread)
        tables[num_inputs:first_answer] = _whole_tables(circuit, num_heads)
    reads[first_answer:-1] = circuit.outputs.astype(np.int64)[:, None]
    mode = np.full(num_positions, WRITE, dtype=np.int64)
    mode[-1] = END
    name = np.arange(num_positions, dtype=np.int64)
    proven = levels.of_output < num_layers
    claim = ColumnsClaim(
        num_inputs=num_inputs,
        reads=circuit.fan_in,
        arity=circuit.arity,
        table=circuit.table,
        answers=circuit.outputs,
        proven=proven,
    )
    fetched = [f"fetched[{head}]" for head in range(num_heads)]
    combinations = [(index, bits[::-1]) for index, bits in enumerate(product((0, 1), repeat=num_heads))]
    return Construction(
        name="circuit without a chain",
        vocabulary=COLUMNS_VOCABULARY,
        end_token=EQUALS,
        num_positions=num_positions,
        fields=(
            Field(name="bit", num_values=2, origin="token", values=np.array([0, 1, 0, 0, 0])),
            Field(
                name="mark",
                num_values=4,
                origin="token",
                values=np.array([NO_MARK, NO_MARK, EQUALS_MARK, UNKNOWN_MARK, FILLER_MARK]),
            ),
            *(
                Field(
                    name=f"table[{entry}]",
                    num_values=2,
                    origin="position",
                    values=(tables >> np.uint64(entry) & np.uint64(1)).astype(np.int64),
                )
                for entry in range(1 << num_heads)
            ),
            Field(name="mode", num_values=2, origin="position", values=mode),
            Field(name="name", num_values=num_positions, origin="position", values=name),
            *(
                Field(name=f"read[{head}]", num_values=num_positions, origin="position", values=reads[:, head])
                for head in range(num_heads)
            ),
            *(Field(name=name, num_values=2, origin="layers") for name in fetched),
        ),
        layers=(
            *[_overwrite(combinations, fetched)] * (num_layers - 1),
            _answer(combinations, fetched),
        ),
        prompts=f"all 2^{num_inputs}{_which_outputs(circuit, proven)}",
        num_chain_tokens=num_outputs,
        claims=lambda: iter([claim]),
    )


def _check_size(circuit: Circuit, num_layers: int, num_positions: int, num_heads: int) -> None:
    """Refuses, before anything is made, what memory or time would not hold."""
    width = 2 * (num_heads + 1) * (num_positions - 1).bit_length() + (2 << num_heads) + 2 * num_heads + 8
    num_weights = num_layers * 12 * width**2 + num_positions * width
    num_scores = num_layers * max(2, num_heads) * num_positions**2
    sizes = (
        f"{num_layers:,} layers of width {width} over {num_positions:,} positions, for a circuit of"
        f" {circuit.num_gates:,} gates and depth {circuit.depth:,},"
    )
    hint = "a chain of thought takes one layer; or let the optimiser make the circuit shallower (-O 2)"
    if num_weights > MAX_WEIGHTS:
        raise CompileError(f"{sizes} take {num_weights:,} weights, over {MAX_WEIGHTS:,}", hint=hint)
    if num_scores > MAX_SCORES:
        raise CompileError(f"{sizes} take {num_scores:,} attention scores a pass, over {MAX_SCORES:,}", hint=hint)


def _whole_tables(circuit: Circuit, num_heads: int) -> np.ndarray:
    """Truth tables over all heads: bits beyond a gate's arity do not matter."""
    combinations = np.arange(1 << num_heads, dtype=np.uint64)
    counted = (np.uint64(1) << circuit.arity.astype(np.uint64)) - np.uint64(1)
    entries = circuit.table[:, None] >> (combinations & counted[:, None]) & np.uint64(1)
    return np.bitwise_or.reduce(entries << combinations, axis=1)


def _look_ups(num_heads: int) -> tuple[LookUp, ...]:
    """Each brings the present value of one wire."""
    return tuple(
        LookUp(
            name=f"input {head}",
            clauses=(Clause(key="name", asked=f"read[{head}]"),),
            brings=(Bring(source="bit", target=f"fetched[{head}]"),),
        )
        for head in range(num_heads)
    )


def _overwrite(combinations: list[tuple[int, tuple[int, ...]]], fetched: list[str]) -> ConstructionLayer:
    """Puts the gate's value in place of the one that stands there."""
    tables = tuple(
        exact_table(
            f"bits {', '.join(map(str, bits))}",
            [*fetched, f"table[{combination}]"],
            [[*bits, value] for value in (0, 1)],
            ["bit"],
            [[value] for value in (0, 1)],
        )
        for combination, bits in combinations
    )
    return ConstructionLayer(look_ups=_look_ups(len(fetched)), tables=tables, clears=("bit", *fetched))


def _answer(combinations: list[tuple[int, tuple[int, ...]]], fetched: list[str]) -> ConstructionLayer:
    """Writes the gate's value as a token; the last position ends the answer."""
    tables = [
        exact_table(
            f"bits {', '.join(map(str, bits))}",
            [*fetched, f"table[{combination}]", "mode"],
            [[*bits, value, WRITE] for value in (0, 1)],
            ["bit", "mark"],
            [[value, NO_MARK] for value in (0, 1)],
        )
        for combination, bits in combinations
    ]
    end = exact_table("end", ["mode"], [[END]], ["bit", "mark"], [[0, EQUALS_MARK]])
    return ConstructionLayer(look_ups=_look_ups(len(fetched)), tables=(*tables, end))


def _which_outputs(circuit: Circuit, proven: Bool[np.ndarray, " outputs"]) -> str:
    """Which outputs the claim is about, in words; nothing where it is about all of them."""
    if proven.all():
        return ""
    names = words_to_names(circuit.output_words or (), circuit.num_outputs)
    listed = ", ".join(name or str(place) for place, name in enumerate(names) if proven[place])
    return f" prompts, for {proven.sum()} of {len(proven)} output bits{f' ({listed})' if listed else ''}"
