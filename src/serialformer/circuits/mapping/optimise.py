"""Shortening the chain before compiling: a circuit of fewer gates that computes the same."""

from __future__ import annotations

import time
from collections.abc import Callable

from serialformer.circuits.circuit import MAX_FAN_IN, Circuit
from serialformer.circuits.mapping.abc import SCRIPTS, find_abc, prove_equal, restructure
from serialformer.circuits.mapping.mapping import copy_names, map_gates, simplify
from serialformer.circuits.mapping.optimisation import Optimisation
from serialformer.circuits.passes import split_gates
from serialformer.errors import CircuitError

MAX_LEVEL = 3
MAX_SECONDS = 1800.0
_ROUNDS = 4


def optimise(
    circuit: Circuit,
    *,
    level: int = 1,
    max_fan_in: int | None = None,
    prove: bool = False,
    seconds: float = MAX_SECONDS,
    progress: Callable[[int], None] | None = None,
) -> tuple[Circuit, Optimisation]:
    """A circuit with the same words that computes the same in fewer gates, or as many.

    Level 0 changes nothing, but for splitting gates that are wider than ``max_fan_in``. Level 1 maps the circuit anew
    by itself (``mapping.simplify``). Level 2 has ABC restructure it first, and keeps the better of the two. Level 3
    tries both families of ABC's scripts, and goes on from the better as long as that saves gates, once from the circuit
    given and once from what level 1 makes of it.

    Args:
        circuit: any circuit.
        level: 0 to 3.
        max_fan_in: how many wires a gate may read, 2 to ``MAX_FAN_IN``; left out, as many as in the circuit, at least
            2. Below the width of its gates there may be more gates afterwards than before.
        prove: ABC proves that the circuit returned computes the same as the one given.
        seconds: when levels 2 and 3 stop looking, and a proof is given up.
        progress: called with 1 for each thing tried.

    Raises:
        CircuitError: level or ``max_fan_in`` is out of range; or the proof failed.
        ToolError: ABC is not installed, and the level or the proof needs it.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> a, b = build.inputs("x", 2)
    >>> build.output("y", build.not_(build.and_(build.or_(a, b), build.not_(build.and_(a, b)))))
    >>> better, report = optimise(build.circuit())
    >>> report.gates_before, report.gates_after, better.evaluate(x=0b01)
    (5, 1, {'y': 0})
    """
    started = time.perf_counter()
    widest = max(2, circuit.max_arity) if max_fan_in is None else max_fan_in
    if not 0 <= level <= MAX_LEVEL:
        raise CircuitError(f"expected a level from 0 to {MAX_LEVEL}, found {level}")
    if not 2 <= widest <= MAX_FAN_IN:
        raise CircuitError(f"expected max_fan_in from 2 to {MAX_FAN_IN}, found {widest}")
    if level >= 2 or prove:
        find_abc()  # before any work is done for nothing
    search = _Search(circuit, widest, started + seconds, progress or (lambda count: None))
    if level >= 1:
        search.simplify()
    if level == 2:
        search.restructure(search.best, search.steps, "choices")
    if level == 3:
        ours, steps = search.best, search.steps
        search.climb(circuit, ())
        if ours is not circuit:
            search.climb(ours, steps)
    best = search.best
    proven = _prove(circuit, best, started + seconds) if prove else None
    return best, Optimisation(
        level=level,
        max_fan_in=widest,
        gates_before=circuit.num_gates,
        gates_after=best.num_gates,
        steps=search.steps,
        proven=proven,
        out_of_time=search.out_of_time,
        seconds=time.perf_counter() - started,
    )


class _Search:
    """The best circuit so far, and the steps that led to it."""

    def __init__(self, circuit: Circuit, max_fan_in: int, deadline: float, progress: Callable[[int], None]) -> None:
        self.given = circuit
        self.max_fan_in = max_fan_in
        self.deadline = deadline
        self.progress = progress
        self.best = split_gates(circuit, max_fan_in=max_fan_in)
        self.steps: tuple[str, ...] = ()
        self.out_of_time = False

    def simplify(self) -> None:
        """Level 1."""
        self._offer(simplify(self.given, max_fan_in=self.max_fan_in), ("simplify",))
        self.progress(1)

    def climb(self, start: Circuit, steps: tuple[str, ...]) -> None:
        """Both scripts on a circuit, then on the smaller of their graphs, until a round saves nothing on the way."""
        fewest = None
        for _ in range(_ROUNDS):
            tried = [(*self.restructure(start, steps, script), script) for script in SCRIPTS]
            graphs = [(graph, script) for graph, _, script in tried if graph is not None]
            found = min(num_gates for _, num_gates, _ in tried)
            if not graphs or self.out_of_time or (fewest is not None and found >= fewest):
                return
            fewest = found
            start, script = min(graphs, key=lambda item: item[0].num_gates)
            steps = (*steps, script)

    def restructure(self, start: Circuit, steps: tuple[str, ...], script: str) -> tuple[Circuit | None, int]:
        """One script on a circuit, and the best gates for its graph: ABC's or ours. Returns the graph and their number.

        Where time has run out there is no graph, and the number is that of the best so far.
        """
        left = self.deadline - time.perf_counter()
        found = restructure(start, script, self.max_fan_in, seconds=left) if left > 0 else None
        self.progress(1)
        if found is None:
            self.out_of_time = True
            return None, self.best.num_gates
        candidates = [*found, *(map_gates(made, max_fan_in=self.max_fan_in) for made in found)]
        best = min((made for made in candidates if made.max_arity <= self.max_fan_in), key=lambda made: made.num_gates)
        self._offer(best, (*steps, script))
        return found[0], best.num_gates

    def _offer(self, candidate: Circuit, steps: tuple[str, ...]) -> None:
        if candidate.num_gates < self.best.num_gates:
            self.best = copy_names(self.given, candidate)
            self.steps = steps


def _prove(before: Circuit, after: Circuit, deadline: float) -> bool:
    """ABC's verdict.

    Raises:
        CircuitError: it is not that the circuits compute the same.
    """
    equal = before is after or prove_equal(before, after, seconds=max(1.0, deadline - time.perf_counter()))
    if equal is None:
        raise CircuitError(
            "ABC could not prove in time that the optimised circuit computes the same", hint="a lower level"
        )
    if not equal:
        raise CircuitError(
            "the optimised circuit does not compute the same: a bug in serialformer or in ABC's",
            hint="please report it; -O0 is as read",
        )
    return True
