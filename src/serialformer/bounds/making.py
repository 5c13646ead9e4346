"""Making a circuit twice: the first time its gates are only counted, so that what is too large is refused in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from serialformer.bounds.signal_kernels import GATES, INPUTS, LITERALS, Sink
from serialformer.bounds.unbounded import MAX_WIRES, UnboundedCircuit
from serialformer.circuits.words import Word
from serialformer.errors import CircuitError

DEFAULT_MAX_WIRES = 1 << 28
"""Their literals take 1 GiB, the gates that read them somewhat less."""

COUNT_ON = 16
"""How many times as many wires as allowed are counted before counting stops, to say by how much it is too large."""


class Limit:
    """What ``make`` may call between two parts of the work: stops counting where the circuit is far too large."""

    def __init__(self, sink: Sink, max_wires: int) -> None:
        self.sink = sink
        self._max_wires = max_wires

    def check(self) -> None:
        """Raises a CircuitError if there are too many wires to continue counting."""
        if self.sink.counts[LITERALS] > COUNT_ON * self._max_wires:
            raise too_large(f"more than {self.sink.counts[LITERALS]:,}", self._max_wires)


def too_large(found: str, max_wires: int) -> CircuitError:
    """The error for a circuit of more wires than are allowed."""
    return CircuitError(
        f"the circuit takes {found} wires, at most {max_wires:,} are allowed",
        hint="a shorter prompt, fewer layers or a smaller precision; or --max-wires, if there is memory for it"
        " (about 8 bytes a wire)",
    )


def make_circuit(
    num_inputs: int,
    make: Callable[[Limit], Sequence[int]],
    *,
    max_wires: int = DEFAULT_MAX_WIRES,
    input_words: tuple[Word, ...] | None = None,
    output_words: tuple[Word, ...] | None = None,
) -> UnboundedCircuit:
    """The circuit that ``make`` emits, without the gates on which no output depends.

    Args:
        num_inputs: how many inputs it has.
        make: emits the gates into ``sink`` and returns the signals of the outputs; called twice, and has to do the
            same both times.
        max_wires: how many literals the gates may read, before those that nothing depends on are left out.
        input_words: as in ``UnboundedCircuit``.
        output_words: as in ``UnboundedCircuit``.

    Raises:
        CircuitError: there are too many wires; nothing of the size of the circuit has been allocated then.
    """
    from serialformer.bounds.unbounded_kernels import keep_gates, mark_read

    limit = Limit(_new_sink(num_inputs, 0, 0), max_wires)
    make(limit)
    num_gates, num_literals = int(limit.sink.counts[GATES]), int(limit.sink.counts[LITERALS])
    if num_literals > max_wires:
        raise too_large(f"{num_literals:,}", max_wires)
    if num_inputs + num_gates > MAX_WIRES:
        raise CircuitError(f"the circuit takes {num_gates:,} gates, at most {MAX_WIRES:,} are possible")
    sink = _new_sink(num_inputs, num_gates, num_literals)
    outputs = np.array([signal & 0xFFFFFFFF for signal in make(Limit(sink, max_wires))], dtype=np.int32)
    assert (sink.counts == limit.sink.counts).all(), "the circuit came out differently the second time"
    start, threshold, fan_in = sink.start, sink.threshold, sink.fan_in
    kept = mark_read(num_inputs, start, fan_in, outputs)
    num_gates, num_literals = keep_gates(num_inputs, threshold, start, fan_in, outputs, kept)
    return UnboundedCircuit(
        num_inputs=num_inputs,
        threshold=threshold[:num_gates].copy(),
        start=start[: num_gates + 1].copy(),
        fan_in=fan_in[:num_literals].copy() if num_literals < len(fan_in) // 2 else fan_in[:num_literals],
        outputs=outputs,
        input_words=input_words,
        output_words=output_words,
    )


def input_signal(place: int) -> int:
    """The signal of an input bit."""
    return 2 * (place + 1)


def _new_sink(num_inputs: int, num_gates: int, num_literals: int) -> Sink:
    counts = np.zeros(3, dtype=np.int64)
    counts[INPUTS] = num_inputs
    return Sink(
        threshold=np.zeros(num_gates, dtype=np.int32),
        start=np.zeros(num_gates + 1, dtype=np.int64),
        fan_in=np.zeros(num_literals, dtype=np.int32),
        counts=counts,
        pair=np.empty(2, dtype=np.int64),
    )
