"""What a model remembers of the optimiser. Reading one loads no optimiser."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """What optimising did to a circuit.

    Attributes:
        level: how hard it tried, 0 to 3.
        max_fan_in: how many wires a gate may read.
        gates_before: gates of the circuit given.
        gates_after: gates of the circuit returned.
        steps: what led to it, in order: ``simplify``, and scripts of ABC.
        proven: whether the two were proven to compute the same; None where that was not asked for.
        out_of_time: whether something was left out because ``seconds`` ran out.
        seconds: how long it took.
    """

    level: int
    max_fan_in: int
    gates_before: int
    gates_after: int
    steps: tuple[str, ...]
    proven: bool | None
    out_of_time: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return {**asdict(self), "steps": list(self.steps)}
