"""Realism: weights that do not show what they are for, as those of trained models do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

RealismKind = Literal["rotated", "superposed", "fine-tuned"]
"""How the weights of a model were made to look like those of a trained one."""


@dataclass(frozen=True, kw_only=True)
class Realism:
    """What was done to the weights of a compiled or constructed model.

    Attributes:
        kind: ``rotated``: the residual stream is turned by a random rotation; ``superposed``: it has fewer dimensions
            than named directions; ``fine-tuned``: it was trained further.
        seed: of what was drawn.
        directions: the names of the directions of the plain model, of which a dimension holds a mixture now. Empty
            where the dimensions are still the directions.
        settings: the other choices, by name.
    """

    kind: RealismKind
    seed: int
    directions: tuple[str, ...] = field(default=(), repr=False)
    settings: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "seed": self.seed,
            "directions": list(self.directions),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Realism:
        """The inverse of ``to_json``.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or wrong.
        """
        kind = content["kind"]
        if kind not in get_args(RealismKind):
            raise ValueError(f"no realism {kind!r}; known are {', '.join(get_args(RealismKind))}")
        return cls(
            kind=kind,
            seed=int(content["seed"]),
            directions=tuple(str(name) for name in content["directions"]),
            settings={str(name): float(value) for name, value in content["settings"].items()},
        )
