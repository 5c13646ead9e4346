"""Activations of one sequence, by the names of TransformerLens' hooks and by the model's own names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from serialformer.errors import InputError
from serialformer.transformer.names import Names


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Activations(Mapping[str, np.ndarray]):
    """Every activation of one forward pass over one sequence. As a mapping: arrays by the names of the hooks.

    Attributes:
        arrays: for each hook its array, without the axis of rows: positions first, except for ``attn.hook_pattern``,
            which has heads, queries and keys. See ``transformer.cache.compute_activations``.
        names: those of the model's parts; None if nobody knows them.
        basis: of a model whose dimensions are mixtures of named directions: how to read each direction, a column each.
        directions: of such a model the names of the directions.
    """

    arrays: Mapping[str, np.ndarray]
    names: Names | None
    basis: np.ndarray | None = None
    directions: tuple[str, ...] = ()

    def direction(self, name: str, hook: str) -> np.ndarray:
        """One named direction of the residual stream at each position.

        Args:
            name: as in ``names.directions``.
            hook: one of those of the residual stream, such as ``blocks.0.hook_resid_mid``.

        Raises:
            InputError: the model has no such direction, or no names.
        """
        if self.basis is not None:
            return np.asarray(self[hook] @ self.basis[:, self._place("direction", self.directions, name)])
        return self[hook][:, self._place("direction", self._known.directions, name)]

    def head(self, name: str, layer: int) -> np.ndarray:
        """What share of its attention one named head gives: queries by keys.

        Raises:
            InputError: the layer has no such head, or the model no names.
        """
        return self[f"blocks.{layer}.attn.hook_pattern"][self._place("head", self._known.heads[layer], name)]

    def unit(self, name: str, layer: int) -> np.ndarray:
        """What the hidden units of one name give at each position: positions by units.

        Raises:
            InputError: the layer has no such unit, or the model no names.
        """
        names = list(self._known.unit_names(layer))
        first = self._place("hidden unit", names, name)
        return self[f"blocks.{layer}.mlp.hook_post"][:, first : first + names.count(name)]

    @property
    def _known(self) -> Names:
        if self.names is None:
            raise InputError("the names of this model's parts are unknown", hint="take the arrays by their hooks")
        return self.names

    @staticmethod
    def _place(what: str, names: tuple[str, ...] | list[str], name: str) -> int:
        if name not in names:
            raise InputError(f"no {what} {name!r}", hint=f"such as {', '.join(list(dict.fromkeys(names))[:6])}")
        return names.index(name)

    def __getitem__(self, hook: str) -> np.ndarray:
        if hook not in self.arrays:
            raise KeyError(f"{hook}: there are {', '.join(list(self.arrays)[:8])}, ...")
        return self.arrays[hook]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        positions, width = self["hook_embed"].shape
        return f"Activations({len(self)} hooks; {positions} positions, width {width})"
