"""The compiled loop of models whose positions hold whole numbers below small bounds; see ``finite_program``."""

from __future__ import annotations

import numpy as np

from serialformer.decode.kernels import DONE, NEVER, NOT_ROUTED, SMALL_GAP, SMALL_MARGIN, UNPROVEN_HEAD
from serialformer.loops import loop


@loop(inline="always")
def _slot(slots, codes, code):
    """Where a code stands in a table of the rows that have codes, or the free place for it."""
    mask = np.uint64(len(slots) - 1)
    digest = np.uint64(code) * np.uint64(0x9E3779B97F4A7C15)
    place = (digest >> np.uint64(32)) & mask
    while slots[place] >= 0 and codes[slots[place]] != code:
        place = (place + np.uint64(1)) & mask
    return place


@loop(allocates=False)
def index_tokens(codes, slots):
    """Puts tokens, all with codes of their own, into an empty table."""
    for token in range(len(codes)):
        slots[_slot(slots, codes, codes[token])] = token


@loop(allocates=False, nogil=True)
def decode_finite(sequence, position, stop, prompt_length, end_token, program, keys):
    """Goes through the sequence from ``position`` to ``stop`` - 1 and writes the tokens after the prompt into it.

    ``program`` is a record ``FiniteProgram``, ``keys`` a record ``FiniteKeys``, which grows. Returns the position it
    has come to, and why it stopped there: DONE, or what could not be proven (and of which layer and head).
    """
    of_token, of_position, spans, table_of = program.of_token, program.of_position, program.spans, program.table_of
    inputs, tables, stores, fetches = program.inputs, program.tables, program.stores, program.fetches
    searches, sections, orders, leads = program.searches, program.sections, program.orders, program.leads
    routes, routed = program.routes, program.routed
    token_codes, token_slots = program.token_codes, program.token_slots
    held, where, stored, codes, slots, again = keys.held, keys.where, keys.stored, keys.codes, keys.slots, keys.again
    distinct = keys.distinct
    num_tokens, num_positions = of_token.shape[1], of_position.shape[1]
    num_layers = len(spans) - 1
    while position < stop:
        token = sequence[position]
        for place in range(num_tokens):
            held[place] = of_token[token, place]
        for place in range(num_positions):
            held[num_tokens + place] = of_position[position, place]
        writes = position >= prompt_length - 1
        for layer in range(num_layers + 1):
            for number in range(spans[layer, 0], spans[layer, 1]):
                entry = table_of[number, 1]
                for read in range(table_of[number, 2], table_of[number, 3]):
                    entry += inputs[read, 1] * held[inputs[read, 0]]
                held[table_of[number, 0]] = tables[entry]
            if layer == num_layers:
                break
            for number in range(spans[layer, 2], spans[layer, 3]):
                stored[position, number] = held[stores[number]]
            for number in range(spans[layer, 4], spans[layer, 5]):
                code = np.int64(0)
                for section in range(searches[number, 1], searches[number, 2]):
                    code = code * sections[section, 2] + held[sections[section, 0]]
                codes[number, position] = code
                if searches[number, 4] >= 0:  # few keys, by their codes
                    first = distinct[number, code]
                    if first == NEVER:
                        distinct[number, code] = position
                    elif again[number, first] == NEVER:
                        again[number, first] = position
                    continue
                place = _slot(slots[number], codes[number], code)
                if slots[number, place] < 0:
                    slots[number, place] = position
                elif again[number, slots[number, place]] == NEVER:
                    again[number, slots[number, place]] = position
            if layer == num_layers - 1 and not writes:
                break
            for number in range(spans[layer, 8], spans[layer, 9]):
                found = np.int64(routes[position, routed[number, 1]])
                if found < 0:
                    return position, NOT_ROUTED, layer, routed[number, 0]
                where[routed[number, 0]] = found
            for number in range(spans[layer, 4], spans[layer, 5]):
                head, found = searches[number, 0], np.int64(-1)
                if searches[number, 4] >= 0:
                    query, num_keys, best = held[searches[number, 3]], searches[number, 5], np.int64(-1)
                    first_order = searches[number, 4] + query * num_keys
                    first_lead = searches[number, 6] + query * num_keys * num_keys
                    for rank in range(num_keys):
                        key = orders[first_order + rank]
                        if distinct[number, key] == NEVER:
                            continue
                        if best < 0:
                            best = key
                        elif not leads[first_lead + best * num_keys + key]:
                            return position, SMALL_GAP, layer, head
                    found = np.int64(distinct[number, best])
                else:
                    code = np.int64(0)
                    for section in range(searches[number, 1], searches[number, 2]):
                        asked = held[sections[section, 1]]
                        if asked == 0:
                            return position, SMALL_GAP, layer, head
                        code = code * sections[section, 2] + asked - 1
                    found = np.int64(slots[number, _slot(slots[number], codes[number], code)])
                if found < 0 or again[number, found] != NEVER:
                    return position, UNPROVEN_HEAD, layer, head
                where[head] = found
            for number in range(spans[layer, 6], spans[layer, 7]):
                held[fetches[number, 0]] = stored[where[fetches[number, 1]], fetches[number, 2]]
        if writes:
            code = np.int64(0)
            for section in range(searches[len(searches) - 1, 1], searches[len(searches) - 1, 2]):
                asked = held[sections[section, 1]]
                if asked == 0:
                    return position, SMALL_MARGIN, num_layers, 0
                code = code * sections[section, 2] + asked - 1
            found = np.int64(token_slots[_slot(token_slots, token_codes, code)])
            if found < 0:
                return position, SMALL_MARGIN, num_layers, 0
            sequence[position + 1] = found
            if found == end_token:
                return position + 1, DONE, 0, 0
        position += 1
    return position, DONE, 0, 0
