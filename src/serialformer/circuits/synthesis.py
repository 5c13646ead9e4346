"""From one wide truth table to a small network of narrow gates.

Three moves, tried in this order until every gate is narrow enough:

1. A table that falls apart, f(A, B) = g(A, h(B)) with A and B disjoint, does (Ashenhurst, 1957): this finds the ANDs,
   ORs and XORs of any polarity, at the top and below, and every shared block.
2. Else f is expanded by one variable x, whichever way is cheapest: Shannon, x ? f1 : f0, or one of the two Davio
   expansions, f0 + x (f0 + f1) and f1 + (1 + x)(f0 + f1) over GF(2).
3. A function met before in the same network, or its complement, is shared.

Tables are integers as in ``Circuit.table``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

_EXACT = 4
"""Expansions of functions of up to this many variables are compared by the gates they need, wider ones by estimate."""

_XOR_TABLES = (0b0110, 0b1001)


@dataclass(frozen=True, kw_only=True)
class _Split:
    """f(A, B) = outer(A, inner(B)); the outer table's last variable is the inner gate."""

    block: tuple[int, ...]
    inner: int
    rest: tuple[int, ...]
    outer: int


@dataclass(frozen=True, kw_only=True)
class _Expansion:
    """x ? other : first (Shannon), or first + (x + negated) other (Davio); over the variables without x."""

    variable: int
    davio: bool
    negated: bool
    first: int
    other: int


@lru_cache(maxsize=1 << 16)
def network_of_table(
    table: int, arity: int, max_fan_in: int, xor_cost: int = 1
) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Gates of at most ``max_fan_in`` inputs that compute a table, the last one its value.

    Args:
        table: the truth table.
        arity: how many inputs it has, at most 6.
        max_fan_in: how many inputs a gate may have, at least 2.
        xor_cost: what a two-input XOR costs where an AND costs 1; 3 where it will be made of ANDs.

    Returns:
        For each gate its table and what it reads: 0..arity-1 are the inputs, arity + g is gate g of the network.

    >>> [(bin(table), reads) for table, reads in network_of_table(0b10010110, 3, 2)]  # XOR of three
    [('0b110', (0, 1)), ('0b110', (2, 3))]
    """
    support = _support(table, arity)
    if not support:
        return ((table & 1, ()),)
    network = _Network(arity, max_fan_in, xor_cost)
    node, complement = network.build(_project(table, support), tuple(support))
    if node < arity:
        return ((0b01 if complement else 0b10, (node,)),)
    assert node == arity + len(network.gates) - 1
    if complement:
        root, reads = network.gates[-1]
        network.gates[-1] = (root ^ _all_ones(len(reads)), reads)
    return tuple(network.gates)


class _Network:
    """The gates so far. Every gate is 0 where all it reads is 0; readers absorb the complement."""

    def __init__(self, num_leaves: int, max_fan_in: int, xor_cost: int) -> None:
        self.num_leaves = num_leaves
        self.max_fan_in = max_fan_in
        self.xor_cost = xor_cost
        self.gates: list[tuple[int, tuple[int, ...]]] = []
        self.known: dict[tuple[int, tuple[int, ...]], int] = {}

    def build(self, table: int, nodes: tuple[int, ...]) -> tuple[int, int]:
        """A node that computes the table of the nodes, and 1 where it computes the complement."""
        support = _support(table, len(nodes))
        if len(support) < len(nodes):
            table, nodes = _project(table, support), tuple(nodes[place] for place in support)
        complement = table & 1
        if complement:
            table ^= _all_ones(len(nodes))
        if len(nodes) == 1:
            return nodes[0], complement
        if (table, nodes) not in self.known:
            node, flip = self._build(table, nodes)
            assert not flip
            self.known[table, nodes] = node
        return self.known[table, nodes], complement

    def _build(self, table: int, nodes: tuple[int, ...]) -> tuple[int, int]:
        move = _best_move(table, len(nodes), self.max_fan_in, self.xor_cost)
        if move is None:
            self.gates.append((table, nodes))
            return self.num_leaves + len(self.gates) - 1, 0
        if isinstance(move, _Split):
            inner, flip = self.build(move.inner, tuple(nodes[place] for place in move.block))
            outer = _flip_variable(move.outer, len(move.rest)) if flip else move.outer
            return self.build(outer, (*(nodes[place] for place in move.rest), inner))
        variable = nodes[move.variable]
        rest = nodes[: move.variable] + nodes[move.variable + 1 :]
        first, flip_first = self.build(move.first, rest)
        other, flip_other = self.build(move.other, rest)
        select = (0b0101 if move.negated else 0b1010) * 0x11  # of the three variables x, first, other
        first_values, other_values = 0xCC ^ (0xFF * flip_first), 0xF0 ^ (0xFF * flip_other)
        if move.davio:
            joined = first_values ^ (select & other_values)
        else:
            joined = (select & other_values) | (~select & first_values & 0xFF)
        if self.max_fan_in >= 3:
            return self.build(joined, (variable, first, other))
        chosen, flip = self.build(_project(select & other_values, [0, 2]), (variable, other))
        chosen_values = 0xC ^ (0xF * flip)
        if move.davio:
            return self.build((0xA ^ (0xF * flip_first)) ^ chosen_values, (first, chosen))
        dropped, flip_dropped = self.build(_project(~select & first_values & 0xFF, [0, 1]), (variable, first))
        return self.build((0xA ^ (0xF * flip_dropped)) | chosen_values, (dropped, chosen))


@lru_cache(maxsize=1 << 18)
def _best_move(table: int, arity: int, max_fan_in: int, xor_cost: int) -> _Split | _Expansion | None:
    """How to narrow a table that depends on all its variables; None where it already is a gate."""
    if arity <= max_fan_in:
        return None
    split = _find_split(table, arity, max_fan_in)
    if split is not None:
        return split
    best: tuple[int, _Expansion] | None = None
    for expansion in _expansions(table, arity):
        if arity <= _EXACT:
            price = sum(_cost(part, arity - 1, max_fan_in, xor_cost) for part in (expansion.first, expansion.other))
        else:
            price = sum(4 * len(_support(part, arity - 1)) for part in (expansion.first, expansion.other))
        if max_fan_in == 2:
            price += 1 + xor_cost if expansion.davio else 3
        if best is None or price < best[0]:
            best = (price, expansion)
    assert best is not None
    return best[1]


@lru_cache(maxsize=1 << 18)
def _cost(table: int, arity: int, max_fan_in: int, xor_cost: int) -> int:
    """What the network of a table costs, counting nothing as shared."""
    support = _support(table, arity)
    if len(support) <= 1:
        return 0
    table, arity = _project(table, support), len(support)
    move = _best_move(table, arity, max_fan_in, xor_cost)
    if move is None:
        return xor_cost if arity == 2 and table in _XOR_TABLES else 1
    if isinstance(move, _Split):
        inner = _cost(move.inner, len(move.block), max_fan_in, xor_cost)
        return inner + _cost(move.outer, len(move.rest) + 1, max_fan_in, xor_cost)
    join = 1 if max_fan_in >= 3 else 1 + xor_cost if move.davio else 3
    return join + sum(_cost(part, arity - 1, max_fan_in, xor_cost) for part in (move.first, move.other))


def _find_split(table: int, arity: int, max_fan_in: int) -> _Split | None:
    """A block of variables that the rest sees as one bit: the widest that is one gate, else the narrowest."""
    for size in (*range(min(max_fan_in, arity - 1), 1, -1), *range(max_fan_in + 1, arity)):
        for block in combinations(range(arity), size):
            columns = [table]
            for variable in block:  # the column where the block's bits form i comes to stand at place i
                columns = [_cofactor(part, arity, variable, 0) for part in columns] + [
                    _cofactor(part, arity, variable, 1) for part in columns
                ]
            values = set(columns)
            if len(values) > 2:
                continue
            low = columns[0]
            high = (values - {low}).pop()
            rest = tuple(place for place in range(arity) if place not in block)
            mask = _variable(block[0], arity)
            return _Split(
                block=block,
                inner=sum(1 << place for place, column in enumerate(columns) if column == high),
                rest=rest,
                outer=_project((mask & high) | (~mask & low & _all_ones(arity)), [*rest, block[0]]),
            )
    return None


def _expansions(table: int, arity: int) -> list[_Expansion]:
    result = []
    for variable in range(arity):
        rest = [place for place in range(arity) if place != variable]
        low = _project(_cofactor(table, arity, variable, 0), rest)
        high = _project(_cofactor(table, arity, variable, 1), rest)
        result += [
            _Expansion(variable=variable, davio=False, negated=False, first=low, other=high),
            _Expansion(variable=variable, davio=True, negated=False, first=low, other=low ^ high),
            _Expansion(variable=variable, davio=True, negated=True, first=high, other=low ^ high),
        ]
    return result


def _all_ones(arity: int) -> int:
    return (1 << (1 << arity)) - 1


@lru_cache
def _variable(place: int, arity: int) -> int:
    """The table of one variable by itself."""
    return sum(1 << entry for entry in range(1 << arity) if entry >> place & 1)


def _cofactor(table: int, arity: int, variable: int, value: int) -> int:
    """The table with a variable fixed, as a table of the same variables."""
    mask, shift = _variable(variable, arity), 1 << variable
    if value:
        return (table & mask) | (table & mask) >> shift
    low = table & ~mask
    return low | low << shift


def _flip_variable(table: int, variable: int) -> int:
    """The table (of any arity above the variable) with a variable complemented."""
    arity = variable + 1
    mask, shift = _variable(variable, arity), 1 << variable
    return (table & mask) >> shift | (table & ~mask) << shift


def _support(table: int, arity: int) -> list[int]:
    """The variables on which a table depends."""
    return [place for place in range(arity) if _cofactor(table, arity, place, 0) != table]


def _project(table: int, places: list[int]) -> int:
    """The table as one of these variables only, in this order; the others are taken as 0."""
    result = 0
    for entry in range(1 << len(places)):
        source = sum((entry >> column & 1) << place for column, place in enumerate(places))
        result |= (table >> source & 1) << entry
    return result
