"""Compiled loops over gates. Modules named ``kernels`` or ``..._kernels`` hold what numba compiles, nothing else."""

from __future__ import annotations

import numpy as np

from serialformer.circuits.circuit import MAX_FAN_IN
from serialformer.loops import loop


@loop(plain_work=1 << 16, nogil=True)
def evaluate_packed(
    num_inputs: int, fan_in: np.ndarray, arity: np.ndarray, table: np.ndarray, values: np.ndarray
) -> None:
    """Fills rows num_inputs.. of ``values`` (uint64[wires, words]) from the rows before them."""
    num_words = values.shape[1]
    entries = np.empty(1 << MAX_FAN_IN, dtype=np.uint64)
    for gate in range(len(arity)):
        row = values[num_inputs + gate]
        if arity[gate] == 2:
            # The table as a polynomial over GF(2): t0 + (t0+t1) a + (t0+t2) b + (t0+t1+t2+t3) ab.
            bits = np.int64(table[gate])
            t0, t1, t2, t3 = bits & 1, bits >> 1 & 1, bits >> 2 & 1, bits >> 3 & 1
            constant, on_a = np.uint64(-t0), np.uint64(-(t0 ^ t1))
            on_b, on_ab = np.uint64(-(t0 ^ t2)), np.uint64(-(t0 ^ t1 ^ t2 ^ t3))
            a, b = values[fan_in[gate, 0]], values[fan_in[gate, 1]]
            for word in range(num_words):
                row[word] = constant ^ (a[word] & on_a) ^ (b[word] & (on_b ^ (a[word] & on_ab)))
        else:
            for word in range(num_words):
                size = 1 << arity[gate]
                for entry in range(size):
                    entries[entry] = np.uint64(-np.int64(table[gate] >> np.uint64(entry) & np.uint64(1)))
                for column in range(arity[gate]):
                    select = values[fan_in[gate, column], word]
                    size >>= 1
                    for entry in range(size):
                        low, high = entries[2 * entry], entries[2 * entry + 1]
                        entries[entry] = low ^ (select & (low ^ high))
                row[word] = entries[0]


@loop(plain_work=1 << 18, nogil=True)
def wire_levels(num_inputs: int, fan_in: np.ndarray, arity: np.ndarray) -> np.ndarray:
    """For each wire the longest path of gates after it (int32[wires])."""
    levels = np.zeros(num_inputs + len(arity), dtype=np.int32)
    for gate in range(len(arity)):
        level = 0
        for column in range(arity[gate]):
            level = max(level, levels[fan_in[gate, column]] + 1)
        levels[num_inputs + gate] = level
    return levels


@loop(plain_work=1 << 17)
def topological_order(num_inputs: int, sources: np.ndarray, arity: np.ndarray) -> tuple[np.ndarray, int]:
    """Depth-first order of the gates (int32), in file order where possible; and a gate on a cycle, or -1."""
    num_gates = len(arity)
    order = np.empty(num_gates, dtype=np.int32)
    state = np.zeros(num_gates, dtype=np.uint8)  # 0 unseen, 1 on the stack, 2 placed
    column = np.zeros(num_gates, dtype=np.uint8)
    stack = np.empty(num_gates + 1, dtype=np.int32)
    placed = 0
    for root in range(num_gates):
        if state[root]:
            continue
        stack[0], size, state[root] = root, 1, 1
        while size:
            gate = stack[size - 1]
            if column[gate] == arity[gate]:
                state[gate] = 2
                order[placed] = gate
                placed += 1
                size -= 1
                continue
            source = sources[gate, column[gate]] - num_inputs
            column[gate] += 1
            if source < 0 or state[source] == 2:
                continue
            if state[source] == 1:
                return order, source
            stack[size], state[source] = source, 1
            size += 1
    return order, -1


@loop(plain_work=1 << 18, nogil=True)
def scan_tokens(
    data: np.ndarray, kind: np.ndarray, ids: np.ndarray, lines: np.ndarray, offsets: np.ndarray, fill: bool
) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Splits text into lines of tokens and gives equal tokens one number, by first occurrence.

    Called twice: first to count (``fill`` false: the arrays are not touched), then to fill arrays of those sizes.

    Args:
        data: the file (uint8).
        kind: what each byte is: 0 part of a name, 1 space, 2 newline, 3 opens a comment up to the newline, 4 a token
            of its own, 5 part of a name unless only space or a comment follows on its line, which it then joins to
            the next.
        ids: the number of each token (int32).
        lines: for each line that holds a token, its first token.
        offsets: for each such line the byte at which it starts; of the integers that hold places in the file.

    Returns:
        The numbers of tokens and lines; and, if ``fill``, start and length in ``data`` of each distinct token.
    """
    size = len(data)
    mask = np.int64((1 << 12) - 1)
    # A slot is a token's key and, beside it, its number or -1. The key of up to seven bytes is these bytes and how
    # many they are, which tells the token without a look at the file; that of a longer one is a hash under 0xFF.
    slots = np.full((mask + 1 if fill else 1, 2), -1, dtype=np.int64)
    starts = np.empty(1 << 11, dtype=offsets.dtype)
    lengths = np.empty(1 << 11, dtype=offsets.dtype)
    num_tokens, num_lines, num_distinct = 0, 0, 0
    position, opens_line = 0, True
    while position < size:
        what = kind[data[position]]
        if what == 2:
            opens_line = True
            position += 1
            continue
        if what == 1:
            position += 1
            continue
        if what == 3:
            while position < size and kind[data[position]] != 2:
                position += 1
            continue
        start = position
        joined = False
        if what == 4:
            position += 1
        while what != 4 and position < size:
            what_next = kind[data[position]]
            if what_next == 5:
                after = position + 1
                while after < size and kind[data[after]] == 1:
                    after += 1
                if after < size and kind[data[after]] == 3:
                    while after < size and kind[data[after]] != 2:
                        after += 1
                if after == size or kind[data[after]] == 2:
                    joined = True
                    break
            elif what_next != 0:
                break
            position += 1
        length = position - start
        if joined:
            position = after + 1
        if length == 0:
            continue
        if opens_line:
            if fill:
                lines[num_lines] = num_tokens
                offsets[num_lines] = start
            num_lines += 1
            opens_line = False
        if fill:
            code = np.uint64(0)
            if length <= 7:
                for index in range(length):
                    code |= np.uint64(data[start + index]) << np.uint64(8 * index)
                code |= np.uint64(length) << np.uint64(56)
            else:
                code = np.uint64(14695981039346656037)
                for index in range(start, start + length):
                    code = (code ^ np.uint64(data[index])) * np.uint64(1099511628211)
                code |= np.uint64(0xFF) << np.uint64(56)
            key = np.int64(code)
            slot = _spread(key) & mask
            found = slots[slot, 1]
            while found >= 0:
                if slots[slot, 0] == key:
                    if length <= 7:
                        break
                    if lengths[found] == length:
                        other = starts[found]
                        index = 0
                        while index < length and data[other + index] == data[start + index]:
                            index += 1
                        if index == length:
                            break
                slot = (slot + 1) & mask
                found = slots[slot, 1]
            if found < 0:
                found = num_distinct
                starts[found], lengths[found] = start, length
                slots[slot, 0], slots[slot, 1] = key, found
                num_distinct += 1
                if num_distinct == len(starts):
                    starts = np.concatenate((starts, np.empty_like(starts)))
                    lengths = np.concatenate((lengths, np.empty_like(lengths)))
                    mask = 2 * mask + 1
                    fewer = slots
                    slots = np.full((mask + 1, 2), -1, dtype=np.int64)
                    for old in range(len(fewer)):
                        if fewer[old, 1] >= 0:
                            slot = _spread(fewer[old, 0]) & mask
                            while slots[slot, 1] >= 0:
                                slot = (slot + 1) & mask
                            slots[slot, 0], slots[slot, 1] = fewer[old, 0], fewer[old, 1]
            ids[num_tokens] = found
        num_tokens += 1
    return num_tokens, num_lines, starts[:num_distinct].copy(), lengths[:num_distinct].copy()


@loop(inline="always")
def _spread(key: int) -> int:
    """A number whose low bits depend on all bits of the key."""
    code = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return int((code ^ code >> np.uint64(32)) & np.uint64(0x3FFFFFFFFFFFFFFF))


@loop(plain_work=1 << 19, nogil=True)
def scan_words(
    data: np.ndarray,
    is_space: np.ndarray,
    max_digits: int,
    starts: np.ndarray,
    ends: np.ndarray,
    lines: np.ndarray,
    numbers: np.ndarray,
    fill: bool,
) -> int:
    """Splits text at white space; gives how many tokens there are and, if ``fill``, writes them down.

    ``starts``, ``ends`` and ``lines`` take where each token is, ``numbers`` the value of one of decimal digits only,
    at most ``max_digits`` of them, or else -1.
    """
    count, line, position, size = 0, 0, 0, len(data)
    while position < size:
        if is_space[data[position]]:
            line += data[position] == 10
            position += 1
            continue
        start, number, good = position, 0, True
        while position < size and not is_space[data[position]]:
            digit = int(data[position]) - 48
            good = good and 0 <= digit <= 9 and position - start < max_digits
            if good:
                number = 10 * number + digit
            position += 1
        if fill:
            starts[count], ends[count], lines[count] = start, position, line
            numbers[count] = number if good else -1
        count += 1
    return count


@loop(plain_work=1 << 18, nogil=True)
def decode_differences(section: np.ndarray, first_literal: int, max_bytes: int, rhs: np.ndarray) -> np.ndarray:
    """Fills the two right-hand literals of each AND from the binary part of an AIGER file.

    Args:
        section: the file from the first AND on (uint8).
        first_literal: the literal of the first AND.
        max_bytes: of one number.
        rhs: filled; one row of two an AND (int32 or int64).

    Returns:
        How many numbers are complete; the byte after the last; then, of the first number that is longer than
        ``max_bytes``, which it is (or -1), its first byte and its length; and of the first AND that does not read
        smaller literals, which it is (or -1), its first byte and its two differences.
    """
    report = np.zeros(9, dtype=np.int64)
    report[2], report[5] = -1, -1
    num_numbers = 2 * len(rhs)
    position, number = 0, 0
    opens, before = 0, 0
    while number < num_numbers:
        start = position
        while position < len(section) and section[position] >= 0x80:
            position += 1
        if position == len(section):
            break
        position += 1
        length = position - start
        if length > max_bytes and report[2] < 0:
            report[2], report[3], report[4] = number, start, length
        delta = 0
        for index in range(min(length, max_bytes)):
            delta |= int(section[start + index] & 0x7F) << (7 * index)
        if number & 1 == 0:
            opens, before = start, delta
        else:
            row = number >> 1
            lhs = first_literal + 2 * row
            first, second = lhs - before, lhs - before - delta
            if (before < 1 or first < 0 or second < 0) and report[5] < 0:
                report[5], report[6], report[7], report[8] = row, opens, before, delta
            if report[5] < 0:
                rhs[row, 0], rhs[row, 1] = first, second
        number += 1
    report[0], report[1] = number, position
    return report


@loop(plain_work=1 << 16)
def lower_to_ands(
    num_inputs: int, fan_in: np.ndarray, arity: np.ndarray, table: np.ndarray, xor_nodes: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gates of at most two inputs as ANDs (and XORs) between literals: see ``and_graph.AndGraph``.

    Gives the operands and kinds of the nodes, and the literal of each wire.
    """
    num_gates = len(arity)
    capacity = num_gates if xor_nodes else 3 * num_gates
    operands = np.empty((capacity, 2), dtype=np.int64)
    is_xor = np.zeros(capacity, dtype=np.bool_)
    literals = np.empty(num_inputs + num_gates, dtype=np.int64)
    literals[:num_inputs] = 2 * np.arange(1, num_inputs + 1)
    num_slots = 16
    while num_slots < 2 * capacity:
        num_slots *= 2
    slots = np.full(num_slots, -1, dtype=np.int64)
    num_nodes = 0
    for gate in range(num_gates):
        a = literals[fan_in[gate, 0]] if arity[gate] > 0 else 0
        b = literals[fan_in[gate, 1]] if arity[gate] > 1 else 0
        bits = np.int64(table[gate])
        if arity[gate] == 0:
            bits *= 0b1111
        elif arity[gate] == 1:
            bits *= 0b0101
        ones = (bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3 & 1)
        if ones == 0 or ones == 4:
            literal = bits & 1
        elif bits == 0b1010 or bits == 0b0101:
            literal = a ^ (bits & 1)
        elif bits == 0b1100 or bits == 0b0011:
            literal = b ^ (bits & 1)
        elif ones == 2:
            flip = (bits & 1) ^ (a & 1) ^ (b & 1)
            a, b = a & ~np.int64(1), b & ~np.int64(1)
            if a == b or a == 0 or b == 0:
                literal = (0 if a == b else a + b) ^ flip
            elif xor_nodes:
                literal, num_nodes = _find_or_add(a, b, True, num_inputs, operands, is_xor, slots, num_nodes)
                literal ^= flip
            else:
                left, num_nodes = _find_or_add(a, b ^ 1, False, num_inputs, operands, is_xor, slots, num_nodes)
                right, num_nodes = _find_or_add(a ^ 1, b, False, num_inputs, operands, is_xor, slots, num_nodes)
                both, num_nodes = _find_or_add(
                    left ^ 1, right ^ 1, False, num_inputs, operands, is_xor, slots, num_nodes
                )
                literal = both ^ 1 ^ flip
        else:
            # One entry stands out: the gate is an AND of literals, or the complement of one.
            flip = np.int64(ones == 3)
            single = bits ^ (0b1111 * flip)
            entry = 0
            while single >> entry & 1 == 0:
                entry += 1
            a, b = a ^ (entry & 1 ^ 1), b ^ (entry >> 1 ^ 1)
            if a == 0 or b == 0 or a == b ^ 1:
                literal = flip
            elif a == 1 or a == b:
                literal = b ^ flip
            elif b == 1:
                literal = a ^ flip
            else:
                literal, num_nodes = _find_or_add(a, b, False, num_inputs, operands, is_xor, slots, num_nodes)
                literal ^= flip
        literals[num_inputs + gate] = literal
    return operands[:num_nodes].copy(), is_xor[:num_nodes].copy(), literals


@loop()
def _find_or_add(
    a: int,
    b: int,
    exclusive: bool,
    num_inputs: int,
    operands: np.ndarray,
    is_xor: np.ndarray,
    slots: np.ndarray,
    num_nodes: int,
) -> tuple[int, int]:
    """The literal of the node that reads a and b, added where there is none yet; and how many nodes there are."""
    if a < b:
        a, b = b, a
    mask = np.uint64(len(slots) - 1)
    key = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b) * np.uint64(0xC2B2AE3D27D4EB4F)
    place = np.int64((key ^ key >> np.uint64(29)) & mask)
    while slots[place] >= 0:
        node = slots[place]
        if operands[node, 0] == a and operands[node, 1] == b and is_xor[node] == exclusive:
            return 2 * (num_inputs + 1 + node), num_nodes
        place = (place + 1) & np.int64(mask)
    slots[place] = num_nodes
    operands[num_nodes, 0], operands[num_nodes, 1], is_xor[num_nodes] = a, b, exclusive
    return 2 * (num_inputs + 1 + num_nodes), num_nodes + 1


@loop(nogil=True)
def mark_differing_rows(values: np.ndarray, wires: np.ndarray, found: np.ndarray, differs: np.ndarray) -> None:
    """Sets ``differs[r]`` if row r of ``found`` (int64[rows, wires]) is not bit r of those wires' packed values."""
    column = np.empty(len(wires), dtype=np.int64)
    for row in range(len(found)):
        if row % 64 == 0:
            for place in range(len(wires)):
                column[place] = np.int64(values[wires[place], row // 64])
        any_differs = np.int64(0)
        for place in range(len(wires)):
            any_differs |= (column[place] >> (row % 64) & 1) ^ found[row, place]
        differs[row] = any_differs != 0
