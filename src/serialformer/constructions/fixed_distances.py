"""Programs whose positions all read at the same few distances: shift registers, cyclic codes, cellular automata.

A transformer with rotary positions finds what stands a fixed number of positions back without any name of a position.
So every position fetches the bits at all distances of the program, and its truth table says which of them count.
"""

from __future__ import annotations

import numpy as np

from serialformer.constructions.program import Program
from serialformer.errors import CompileError

MAX_DISTANCES = 6
"""A truth table has an entry for each combination of the bits that are fetched."""


def at_fixed_distances(program: Program) -> tuple[Program, tuple[int, ...]]:
    """The same program with a column of reads for each distance, and these distances, ascending.

    Args:
        program: any program.

    Raises:
        CompileError: it reads at too many distances, or further back than its first position can.

    >>> from serialformer import CircuitBuilder
    >>> from serialformer.constructions.program import schedule_to_program
    >>> from serialformer.constructions.schedule import schedule_chain
    >>> build = CircuitBuilder()
    >>> wires = build.inputs("x", 3)
    >>> for _ in range(4):
    ...     wires.append(build.xor(wires[-1], wires[-2]))
    >>> build.outputs("y", wires[-2:])
    >>> circuit = build.circuit()
    >>> at_fixed_distances(schedule_to_program(circuit, schedule_chain(circuit)))[1]
    (0, 1, 2)
    """
    writers = program.num_inputs + np.arange(program.num_chain_tokens, dtype=np.int64)
    counts = np.arange(program.num_heads) < program.arity[:, None]
    back = np.where(counts, writers[:, None] - program.reads, -1)
    distances = np.unique(back[counts])
    if len(distances) > MAX_DISTANCES:
        raise CompileError(
            f"expected gates that read at {MAX_DISTANCES} different distances at most, found"
            f" {len(distances)}: {', '.join(map(str, distances[:8].tolist()))}{' ...' if len(distances) > 8 else ''}",
            hint="a shift register or a cellular automaton reads at few; --address names takes any circuit",
        )
    if len(distances) == 0:
        distances = np.zeros(1, dtype=np.int64)
    if (largest := int(distances[-1])) > program.num_inputs:
        raise CompileError(
            f"a gate reads {largest} positions back, and before the first position that writes there are only"
            f" {program.num_inputs}",
            hint="give the circuit as many input bits, or use --address names",
        )
    # Each combination of the bits at all distances, as the index of the gate's own table.
    own = np.searchsorted(distances, back)
    combinations = np.arange(1 << len(distances))
    table = np.zeros(program.num_chain_tokens, dtype=np.uint64)
    for combination in combinations.tolist():
        index = np.zeros(program.num_chain_tokens, dtype=np.uint64)
        for place in range(program.num_heads):
            bit = (combination >> own[:, place] & 1) * counts[:, place]
            index |= bit.astype(np.uint64) << np.uint64(place)
        table |= (program.table >> index & np.uint64(1)) << np.uint64(combination)
    expanded = Program(
        num_inputs=program.num_inputs,
        reads=(writers[:, None] - distances).astype(np.int32),
        arity=np.full(program.num_chain_tokens, len(distances), dtype=np.uint8),
        table=table,
    )
    return expanded, tuple(distances.tolist())
