"""Interpretation: a construction run as it stands, without weights.

It is the level between the circuit (or task) and the transformer: it says which token each position writes if every
look-up reads what it asks for and every unit does what its table says. Weights, number formats and codes play no
part.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer, LookUp, UnitTable
from serialformer.errors import CompileError

Values = dict[str, np.ndarray]
"""For each field its value in each row."""


def interpret(
    construction: Construction, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int
) -> Int64[np.ndarray, "rows tokens"]:
    """The tokens that a construction writes after each prompt.

    Args:
        construction: what to run.
        prompts: token ids, one prompt a row.
        num_tokens: how many tokens to write.

    Raises:
        CompileError: the construction does not say what happens; names the position and the part.

    >>> from serialformer.constructions.tasks import task_construction
    >>> from serialformer.tasks.registry import make_task
    >>> interpret(task_construction(make_task("parity"), 3), np.array([[1, 0, 1, 2]]), 4).tolist()
    [[1, 1, 0, 2]]
    """
    machine = _Interpreter(construction, len(prompts), prompts.shape[1] + num_tokens)
    tokens = np.concatenate([prompts, np.zeros((len(prompts), num_tokens), dtype=np.int64)], axis=1)
    for position in range(tokens.shape[1] - 1):
        writes = position >= prompts.shape[1] - 1
        written = machine.step(position, tokens[:, position], writes)
        if writes:
            if written is None:
                raise CompileError(f"position {position} of {construction.name} writes no token")
            tokens[:, position + 1] = written
    return tokens[:, prompts.shape[1] :]


class _Interpreter:
    """What earlier positions hold, and the step to the next one."""

    def __init__(self, construction: Construction, num_rows: int, num_positions: int) -> None:
        self.construction = construction
        self.memory = [
            {name: np.full((num_rows, num_positions), NOTHING, dtype=np.int32) for name in _looked_at(layer)}
            for layer in construction.layers
        ]

    def step(
        self, position: int, tokens: Int64[np.ndarray, " rows"], writes: bool
    ) -> Int64[np.ndarray, " rows"] | None:
        """The token that each row writes at a position; None where some row writes none.

        Args:
            position: which one it is.
            tokens: what stands there, row by row.
            writes: whether it must find what it looks for.
        """
        construction = self.construction
        values: Values = {}
        for part in construction.fields:
            if part.origin == "token":
                values[part.name] = part.of_token[tokens]
            elif part.origin == "position":
                values[part.name] = np.full(len(tokens), int(part.at(slice(position, position + 1))[0]))
            else:
                values[part.name] = np.full(len(tokens), NOTHING)
        answers: Values = {}
        for index, layer in enumerate(construction.layers):
            for name, held in self.memory[index].items():
                held[:, position] = values[name]
            values = self._look_up(layer, self.memory[index], values, position, writes)
            is_last = index == len(construction.layers) - 1
            values, answers = fire_tables(layer, values, is_last)
        return fields_to_tokens(construction, answers)

    def _look_up(
        self, layer: ConstructionLayer, memory: Mapping[str, np.ndarray], values: Values, position: int, writes: bool
    ) -> Values:
        after = dict(values)
        for look_up in layer.look_ups:
            target, found = _find(look_up, memory, values, position)
            if writes and not found.all():
                row = int(np.argmin(found))
                raise CompileError(f"look-up {look_up.name} of position {position} finds no one position, in row {row}")
            rows = np.arange(len(target))
            for bring in look_up.brings:
                arriving = np.where(found, bring.arriving(memory[bring.source][rows, target]), NOTHING)
                held = after[bring.target]
                if ((held != NOTHING) & (arriving != NOTHING)).any():
                    raise CompileError(f"{bring.target} of position {position} holds a value that another joins")
                after[bring.target] = np.where(arriving == NOTHING, held, arriving)
        for tally in layer.tallies:
            after[tally.target] = np.maximum(memory[tally.source][:, : position + 1], 0).sum(axis=1)
        return after


def _looked_at(layer: ConstructionLayer) -> set[str]:
    """The fields of which a layer reads what earlier positions hold."""
    names = {clause.key for look_up in layer.look_ups for clause in look_up.clauses}
    names |= {bring.source for look_up in layer.look_ups for bring in look_up.brings}
    return names | {tally.source for tally in layer.tallies}


def _find(
    look_up: LookUp, memory: Mapping[str, np.ndarray], values: Values, position: int
) -> tuple[Int64[np.ndarray, " rows"], np.ndarray]:
    """The position that each row reads, and whether it is the only one."""
    if look_up.distance is not None:
        (num_rows,) = next(iter(values.values())).shape
        target = np.full(num_rows, max(0, position - look_up.distance))
        return target, np.full(num_rows, position >= look_up.distance)
    total = 0
    for clause in look_up.clauses:
        keys = memory[clause.key][:, : position + 1]
        wanted = clause.wanted(None if clause.asked is None else values[clause.asked])
        total = total + clause.weight * (keys == np.broadcast_to(wanted, len(keys))[:, None])
    totals = np.asarray(total)
    target, best = totals.argmax(axis=1), totals.max(axis=1)
    found = (totals == best[:, None]).sum(axis=1) == 1
    if not look_up.is_ranked:
        found &= best == sum(clause.weight for clause in look_up.clauses)
    return target, found


def fire_tables(layer: ConstructionLayer, values: Values, is_last: bool) -> tuple[Values, Values]:
    """Applies the unit tables of a layer: returns the fields after it and those of the next token.

    Raises:
        CompileError: two units write into one field, or replace what is not there, or a field is cleared that has no
            value here.
    """
    after, answers = dict(values), Values()
    for name in layer.clears:
        if name not in values:
            raise CompileError(f"a layer clears {name}, which has no value here")
        after[name] = np.full_like(values[name], NOTHING)
    for table in layer.tables:
        rows, units = match_units(table, values)
        for place, name in enumerate(table.writes):
            written = table.written[units, place]
            if table.replaced is not None:
                if (values[name][rows] != table.replaced[units, place]).any():
                    raise CompileError(f"table {table.name} replaces a value of {name} that is not there")
                if (after[name][rows] != values[name][rows]).any():
                    raise CompileError(f"two units write into {name}, one of table {table.name}")
                after[name] = after[name].copy()
                after[name][rows] = written
                continue
            held = answers if is_last else after
            column = held.get(name, np.full(len(next(iter(values.values()))), UNWRITTEN)).copy()
            free = UNWRITTEN if is_last else NOTHING
            if (column[rows] != free).any():
                raise CompileError(f"two units write into {name}, one of table {table.name}")
            column[rows] = written
            held[name] = column
    return after, answers


UNWRITTEN = -2
"""Of an answer: no unit has written into this field. (NOTHING can be written.)"""


def match_units(table: UnitTable, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The rows in which a unit of a table fires, and which unit.

    Raises:
        CompileError: two units of the table fire in one row.
    """
    keys, units, sizes = table.index
    row_keys = np.zeros(len(values[table.reads[0]]), dtype=np.int64)
    inside = np.ones(len(row_keys), dtype=bool)
    for name, size in zip(table.reads, sizes, strict=True):
        read = values[name]
        inside &= (read >= 0) & (read < size)
        row_keys = row_keys * size + read
    place = np.minimum(np.searchsorted(keys, row_keys), len(keys) - 1)
    (rows,) = np.nonzero((keys[place] == row_keys) & inside)
    return rows, units[place[rows]]


def fields_to_tokens(construction: Construction, answers: Values) -> Int64[np.ndarray, " rows"] | None:
    """The tokens whose fields hold the answers; None if some row has none, or more than one."""
    if not answers:
        return None
    names = list(answers)
    written = np.stack([answers[name] for name in names], axis=1)
    default = [construction.default.get(name, UNWRITTEN) for name in names]
    unwritten = (written == UNWRITTEN).all(axis=1)
    written[unwritten] = default
    of_token = np.stack([construction.field_named[name].of_token for name in names], axis=1)
    # Rows of values as numbers, which are much faster to sort.
    sizes = [max(int(written[:, place].max()), int(of_token[:, place].max())) + 3 for place in range(len(names))]
    of_rows, of_tokens = (rows_to_numbers(rows + 2, sizes) for rows in (written, of_token))
    order = np.argsort(of_tokens, kind="stable")
    first = np.searchsorted(of_tokens[order], of_rows)
    last = np.searchsorted(of_tokens[order], of_rows, side="right")
    return order[first].astype(np.int64) if (last - first == 1).all() else None


def rows_to_numbers(rows: np.ndarray, sizes: list[int]) -> Int64[np.ndarray, " rows"]:
    """A number for each row, equal where rows are; column i holds values below ``sizes[i]``."""
    numbers = np.zeros(len(rows), dtype=np.int64)
    for column, size in zip(rows.T, sizes, strict=True):
        numbers = numbers * size + column
    return numbers
