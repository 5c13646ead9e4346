"""The second half of the proof for circuits: the construction and the circuit are compared as programs.

For a circuit every position has a table of its own, so the tables of all positions are worked out side by side: for
each unit which combinations of fetched bits it fires for, as a set, and at which positions its other fields hold what
it watches for. What comes out is brought to the form in which equal functions are equal, and compared with what the
circuit says.
"""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Int64, UInt64
from serialformer.constructions.claim import BitClaim
from serialformer.constructions.construction import Construction, UnitTable
from serialformer.proofs.canonical import Canonical, canonical_functions
from serialformer.proofs.induction import InductionError, position_keys
from serialformer.proofs.logits import Occurring

POSITIONS_PER_BLOCK = 1 << 16


def check_bit_claim(construction: Construction, claim: BitClaim) -> Occurring:
    """Shows that a construction of one layer over bits runs a circuit's program.

    Returns:
        Which tokens occur where.

    Raises:
        InductionError: it does not; names the first position that breaks.
    """
    zero, one, end = (construction.vocabulary.index(text) for text in ("0", "1", "="))
    num_tokens, first = len(claim.arity), claim.num_inputs
    if construction.num_positions < first + 1 + num_tokens:
        raise InductionError("the chain does not fit the positions", first)
    _check_fetched(construction, zero, one, end, first)
    targets, failed, reason = _find_targets(construction, first, num_tokens)
    for start in range(0, num_tokens + 1, POSITIONS_PER_BLOCK):
        rows = slice(start, min(start + POSITIONS_PER_BLOCK, num_tokens + 1))
        problem = _check_block(construction, claim, targets, rows, first)
        broken = failed if rows.start <= failed < rows.stop else None
        if problem is not None and (broken is None or problem[0] < broken):
            raise InductionError(problem[1], first + problem[0])
        if broken is not None:
            raise InductionError(reason, first + broken)
    bits, all_three = (
        np.zeros(len(construction.vocabulary), dtype=bool),
        np.zeros(len(construction.vocabulary), dtype=bool),
    )
    bits[[zero, one]] = True
    all_three[[zero, one, end]] = True
    return Occurring(anywhere=all_three, current=all_three, written=bits if num_tokens else all_three)


def _check_fetched(construction: Construction, zero: int, one: int, end: int, first: int) -> None:
    """Checks that each look-up brings one bit: 0 and 1 as they are, and ``=`` as 0."""
    (layer,) = construction.layers
    for look_up in layer.look_ups:
        if len(look_up.brings) != 1 or construction.field_named[look_up.brings[0].source].origin != "token":
            raise InductionError(f"look-up {look_up.name} does not bring one bit", first)
        (bring,) = look_up.brings
        arriving = bring.arriving(construction.field_named[bring.source].of_token)
        if arriving[[zero, one, end]].tolist() != [0, 1, 0]:
            raise InductionError(f"look-up {look_up.name} does not bring bits as they are", first)
        if construction.field_named[bring.target].origin != "layers":
            raise InductionError(f"look-up {look_up.name} brings a bit to where something stands", first)


def check_prompt(construction: Construction, claim: BitClaim) -> None:
    """Shows that look-ups find a position in the prompt as well, where nothing is written.

    In the paper's arithmetic a softmax over scores that are all the lowest divides by zero.

    Raises:
        InductionError: one does not; names the first position that breaks.
    """
    (layer,) = construction.layers
    positions = np.arange(claim.num_inputs, dtype=np.int64)
    for look_up in layer.look_ups:
        if look_up.distance is not None:
            raise InductionError(f"look-up {look_up.name} finds no position", 0)
        keys = position_keys(construction, look_up, claim.num_inputs)
        columns = []
        for clause in look_up.clauses:
            held = None
            if clause.asked is not None:
                held = np.asarray(construction.field_named[clause.asked].at(slice(0, claim.num_inputs)), dtype=np.int64)
            columns.append(np.broadcast_to(clause.wanted(held), positions.shape))
        wrong = keys.find(columns)[0] > positions
        if wrong.any():
            raise InductionError(f"look-up {look_up.name} finds no position", int(np.argmax(wrong)))


def _find_targets(
    construction: Construction, first: int, num_tokens: int
) -> tuple[Int64[np.ndarray, "writers look_ups"], int, str]:
    """The position that each look-up of each writing position reads; where one reads none, and why."""
    (layer,) = construction.layers
    num_positions = first + 1 + num_tokens
    writers = np.arange(first, num_positions, dtype=np.int64)
    targets, failed, reason = np.zeros((len(writers), len(layer.look_ups)), dtype=np.int64), len(writers), ""
    known = {}
    for number, look_up in enumerate(layer.look_ups):
        if look_up.distance is not None:
            targets[:, number] = writers - look_up.distance
            if look_up.clauses or look_up.distance < 0 or targets[0, number] < 0:
                raise InductionError(f"look-up {look_up.name} finds no position", first)
            continue
        compared = tuple(clause.key for clause in look_up.clauses)
        if compared not in known:
            known[compared] = position_keys(construction, look_up, num_positions)
        columns = []
        for clause in look_up.clauses:
            held = None
            if clause.asked is not None:
                part = construction.field_named[clause.asked]
                if part.origin != "position":
                    raise InductionError(f"look-up {look_up.name} asks for more than the position decides", first)
                held = np.asarray(part.at(slice(first, num_positions)), dtype=np.int64)
            columns.append(np.broadcast_to(clause.wanted(held), writers.shape))
        targets[:, number], again = known[compared].find(columns)
        # The last position writes "=", whatever it reads.
        wrong = (targets[:, number] > writers) | (again <= writers)
        if wrong.any() and int(np.argmax(wrong)) < failed:
            failed, reason = int(np.argmax(wrong)), f"look-up {look_up.name} finds no one position"
    return targets, failed, reason


def _check_block(
    construction: Construction, claim: BitClaim, targets: np.ndarray, rows: slice, first: int
) -> tuple[int, str] | None:
    """The first writing position of a block that does not do what the claim says, and why."""
    num_look_ups, num_tokens = targets.shape[1], len(claim.arity)
    (layer,) = construction.layers
    positions = slice(first + rows.start, first + rows.stop)
    written, ones, clash = _run_tables(construction, layer.tables, positions)
    # Where a look-up reads "=", its bit is 0.
    every = np.uint64(2 ** (1 << num_look_ups) - 1)
    possible = np.full(rows.stop - rows.start, every)
    for number in range(num_look_ups):
        clear = np.uint64(sum(1 << c for c in range(1 << num_look_ups) if not c >> number & 1))
        constant = targets[rows, number] == first
        possible[constant] &= clear
        shift = np.uint64(1 << number)
        ones[constant] = (ones[constant] & clear) | (ones[constant] & clear) << shift
    # Look-ups that read one position bring one bit.
    for number in range(num_look_ups):
        for other in range(number):
            equal = np.uint64(sum(1 << c for c in range(1 << num_look_ups) if c >> number & 1 == c >> other & 1))
            possible[targets[rows, number] == targets[rows, other]] &= equal
    last = rows.stop == num_tokens + 1
    wrong = (written & possible) != possible
    if last:
        wrong[-1] = bool(written[-1] & possible[-1])
    wrong |= (clash & possible) != 0
    chain = slice(rows.start, min(rows.stop, num_tokens))
    number = chain.stop - chain.start
    makes = canonical_functions(targets[chain], np.full(number, num_look_ups, dtype=np.uint8), ones[:number])
    says = canonical_functions(claim.reads[chain], claim.arity[chain], claim.table[chain])
    differs = (makes[1] != says[1]) | (makes[2] != says[2]) | (makes[0] != says[0]).any(axis=1)
    # A table that reads "=" reads a constant.
    bad = wrong.copy()
    bad[:number] |= differs
    if not bad.any():
        return None
    row = int(np.argmax(bad))
    if wrong[row]:
        return rows.start + row, "its units do not write one bit for all that they can fetch"
    described = [_describe(table, row) for table in (makes, says)]
    return rows.start + row, f"the construction writes {described[0]}, the circuit says {described[1]}"


def _run_tables(
    construction: Construction, tables: tuple[UnitTable, ...], positions: slice
) -> tuple[UInt64[np.ndarray, " rows"], UInt64[np.ndarray, " rows"], UInt64[np.ndarray, " rows"]]:
    """For each position the combinations for which a unit fires, for which it writes 1, and for which two do."""
    (layer,) = construction.layers
    number_of = {look_up.brings[0].target: number for number, look_up in enumerate(layer.look_ups)}
    num_rows, combinations = positions.stop - positions.start, np.arange(1 << len(number_of))
    written, ones, clash = np.zeros((3, num_rows), dtype=np.uint64)
    held: dict[str, np.ndarray] = {}
    for table in tables:
        if table.writes != ("token",):
            raise InductionError(f"table {table.name} writes something else than the token", positions.start)
        for unit in range(table.num_units):
            fires, here = np.ones(len(combinations), dtype=bool), np.ones(num_rows, dtype=bool)
            for name, pair in zip(table.reads, table.watched[unit].tolist(), strict=True):
                if name in number_of:
                    fires &= np.isin(combinations >> number_of[name] & 1, pair)
                    continue
                part = construction.field_named[name]
                if part.origin != "position":
                    raise InductionError(f"table {table.name} reads {name}, which no claim is about", positions.start)
                if name not in held:
                    held[name] = np.asarray(part.at(positions))
                here &= (held[name] == pair[0]) | (held[name] == pair[1])
            chosen = np.uint64(sum(1 << int(combination) for combination in combinations[fires]))
            clash[here] |= written[here] & chosen
            written[here] |= chosen
            value = int(table.written[unit, 0])
            if value not in (0, 1):
                raise InductionError(f"table {table.name} writes what is no bit", positions.start)
            if value:
                ones[here] |= chosen
    return written, ones, clash


def _describe(table: Canonical, row: int) -> str:
    sources, fan_in, bits = table[0][row], int(table[1][row]), int(table[2][row])
    if fan_in == 0:
        return str(bits)
    return f"table {bits:0{1 << fan_in}b} of positions {', '.join(map(str, sources[:fan_in].tolist()))}"
