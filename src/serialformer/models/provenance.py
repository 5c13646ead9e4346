"""Provenance: where a model comes from, and by which names its maker knows its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from serialformer.circuits.mapping.optimisation import Optimisation
from serialformer.models.realism import Realism
from serialformer.models.score import Score
from serialformer.transformer.names import Names


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Of a model about which nothing else is recorded; the kinds below say more.

    Attributes:
        kind: its name in ``serialformer.json``.
        note: anything that its maker wants people to know.
        names: the names of directions, heads and hidden units; None where nobody knows them, as in a trained model.
        realism: what was done to the weights afterwards; None if nothing was.
    """

    kind: ClassVar[str] = "unknown"

    note: str = ""
    names: Names | None = field(default=None, repr=False)
    realism: Realism | None = None

    def to_json(self) -> dict[str, Any]:
        """What ``serialformer.json`` keeps of it, but for the names, which stand beside it."""
        own = {"kind": self.kind, **self._own_json()}
        return own if self.realism is None else {**own, "realism": self.realism.to_json()}

    def _own_json(self) -> dict[str, Any]:
        return {"note": self.note}

    def facts(self) -> dict[str, Any]:
        """The lines that ``info`` prints."""
        return {"note": self.note} if self.note else {}

    def realism_facts(self) -> dict[str, Any]:
        """The lines that ``info`` prints about later changes to the weights."""
        if self.realism is None:
            return {}
        return {"realism": self.realism.kind, "realism_seed": self.realism.seed, **self.realism.settings}


@dataclass(frozen=True, kw_only=True)
class CompiledProvenance(Provenance):
    """Of a circuit that was compiled.

    Attributes:
        source: the name of the file or of the function; None for a circuit that was made in Python.
        target: ``gpt2``, ``llama`` or ``paper``.
        num_gates: gates of the circuit that was compiled, after optimising.
        depth: its depth.
        circuit_sha256: its digest.
        optimisation: what optimising did; how long that took is not kept. None where nobody recorded it.
        reading: of Verilog: the reader and the passes that made the circuit, and where the certificate begins; of a
            BLIF file of several models: which was taken, and why.
    """

    kind = "compiled"

    source: str | None = None
    target: str
    num_gates: int
    depth: int
    circuit_sha256: str
    optimisation: Optimisation | None = None
    reading: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_out_of_time(self) -> bool:
        """Whether optimising left something out because its time was over."""
        return self.optimisation is not None and self.optimisation.out_of_time

    def _own_json(self) -> dict[str, Any]:
        content = _plain_fields(self, "names", "realism", "optimisation", *([] if self.reading else ["reading"]))
        if self.optimisation is not None:
            content["optimisation"] = _plain_fields(self.optimisation, "seconds")
        return content

    def facts(self) -> dict[str, Any]:
        if self.optimisation is None:
            return {"source": self.source, **self.reading}
        return {
            "source": self.source,
            **self.reading,
            "optimisation_level": self.optimisation.level,
            "gates_before": self.optimisation.gates_before,
            "optimisation_steps": list(self.optimisation.steps),
            "proven": self.optimisation.proven,
        }


@dataclass(frozen=True, kw_only=True)
class ConstructedProvenance(Provenance):
    """Of a model of a task that was constructed from the task's definition; which task, its protocol says.

    Attributes:
        construction: the name of the construction.
        num_hidden_units: hidden units that it uses, over all layers.
    """

    kind = "constructed"

    construction: str
    num_hidden_units: int

    def _own_json(self) -> dict[str, Any]:
        return _plain_fields(self, "names", "realism")

    def facts(self) -> dict[str, Any]:
        return {
            "construction": self.construction,
            "hidden_units": self.num_hidden_units,
        }


@dataclass(frozen=True, kw_only=True)
class TrainedProvenance(Provenance):
    """Of a model that was trained, or is being trained.

    Attributes:
        steps: steps of the optimiser so far.
        seed: of initial weights and samples; None where it was not recorded.
        configuration: of the run, as ``run.json`` has it; empty where it was not recorded.
        reached_target: whether the final evaluation reached the target; None before that.
        cpu_seconds: of all processes that worked on it.
        seconds: the same on the clock.
        teacher_forced: the score of the final evaluation, every token predicted after the true ones; None before that.
        generated: the score of its generated samples; None before that.
    """

    kind = "trained"

    steps: int
    seed: int | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reached_target: bool | None = None
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    teacher_forced: Score | None = None
    generated: Score | None = None

    def _own_json(self) -> dict[str, Any]:
        return _plain_fields(self, "names", "realism")

    def facts(self) -> dict[str, Any]:
        accuracies = {} if self.teacher_forced is None else self.teacher_forced.accuracies
        return {
            "steps": self.steps,
            "seed": self.seed,
            "reached_target": self.reached_target,
            "cpu_seconds": self.cpu_seconds,
            **{name: accuracies[name] for name in ("chain_accuracy", "answer_accuracy") if name in accuracies},
        }


KINDS = {kind.kind: kind for kind in (Provenance, CompiledProvenance, ConstructedProvenance, TrainedProvenance)}


def provenance_from_json(content: Mapping[str, Any], names: Names | None) -> Provenance:
    """The inverse of ``to_json``.

    Raises:
        KeyError, TypeError, ValueError: a field is missing, unknown or wrong.
    """
    values = dict(content)
    kind = KINDS.get(str(values.pop("kind")))
    if kind is None:
        raise ValueError(f"no provenance {content['kind']!r}; known are {', '.join(KINDS)}")
    if values.get("optimisation") is not None:
        report = values["optimisation"]
        values["optimisation"] = Optimisation(**{**report, "steps": tuple(report["steps"]), "seconds": 0.0})
    if values.get("realism") is not None:
        values["realism"] = Realism.from_json(values["realism"])
    for name in ("teacher_forced", "generated"):
        if values.get(name) is not None:
            values[name] = Score(**values[name])
    return kind(**values, names=names)


def _plain_fields(value: Any, *left_out: str) -> dict[str, Any]:
    content = asdict(value)
    return {part.name: content[part.name] for part in fields(value) if part.name not in left_out}
