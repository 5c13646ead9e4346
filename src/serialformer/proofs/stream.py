"""The residual stream as a proof sees it: the codes it can hold, and how far a covered runtime can be from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from serialformer.arrays import Float64
from serialformer.constructions.construction import NOTHING, Field
from serialformer.constructions.placement import Placement
from serialformer.proofs.bounds import NormInput, normed_errors, round_values, vanishing
from serialformer.proofs.frame import Frame
from serialformer.proofs.rounding import Rounding
from serialformer.transformer.transformer import Transformer


class RealisationError(Exception):
    """The weights do not realise the construction.

    Attributes:
        position: the first position whose weights are wrong; None if they are those of every position.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


def values_at(part: Field, rows: slice) -> np.ndarray:
    """The values of a field that positions decide, at a range of positions.

    Raises:
        RealisationError: one of them is no value of the field.
    """
    values = part.at(rows)
    if ((values < NOTHING) | (values >= part.num_values)).any():
        raise RealisationError(f"positions hold values that {part.name} has not")
    return values


@dataclass(kw_only=True, eq=False)
class Stream:
    """What the residual stream can hold at one stage, over all positions and tokens.

    Attributes:
        placement: which field lies where.
        allowed: for each token whether it can stand anywhere.
        error: for each dimension how far what a layer norm reads of the stream can be from its code.
        stored: the same of what is stored of the stream, to which the next part adds.
        may_be_nothing: for each field whether it may hold nothing by now.
        own: the least and the largest sum and square norm of what token and position decide, with what is constant.
        brought: the same of what each look-up has brought, and the fields that it is in.
        norms: what each norm saw: mean, least and largest deviation.
        filled: the fields into which some unit always writes, in each layer that clears them or finds nothing there.
        head_biases: whether the constants of heads are biases, where they could be terms of sums.
        takes_mean: whether norms take the mean off.
        mixtures: by how much the square norm at a position of the prompt, where a look-up may find no one position, can
            be below and above what it is where one writes.
        frame: what rotating costs; None of weights that are not rotated.
        ball: the 2-norm of a further error of the stream, in any direction, which rotating has made.
        heard: the same of what the last norm has handed on.
    """

    placement: Placement
    allowed: np.ndarray
    error: Float64[np.ndarray, " width"]
    stored: Float64[np.ndarray, " width"]
    may_be_nothing: dict[str, bool]
    own: np.ndarray
    brought: list[tuple[tuple[str, ...], np.ndarray]] = field(default_factory=list)
    norms: list[tuple[float, float, float]] = field(default_factory=list)
    filled: frozenset[str] = frozenset()
    head_biases: bool = False
    takes_mean: bool = True
    mixtures: Float64[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2))
    frame: Frame | None = None
    ball: float = 0.0
    heard: float = 0.0

    def norm_input(self, epsilon: float, *, everywhere: bool = False) -> NormInput:
        """What a layer norm at this stage sees: at positions that write, or at every position."""
        low, high = self.own[0].copy(), self.own[1].copy()
        for _, part in self.brought:
            low, high = low + part[0], high + part[1]
        if everywhere:
            low[1], high[1] = low[1] + self.mixtures[0], high[1] + self.mixtures[1]
        seen = NormInput(
            sums=(float(low[0]), float(high[0])) if self.takes_mean else (0.0, 0.0),
            squares=(float(low[1]), float(high[1])),
            error=float(np.sqrt(np.square(self.error).sum())) + self.ball,
            width=self.placement.width,
            epsilon=epsilon,
            error_sum=float(np.abs(self.error).sum() + np.sqrt(self.placement.width) * self.ball),
            largest=self.placement.largest_coordinate,
            product=self._product_of_errors(),
        )
        self.norms.append((seen.mean, *seen.deviations))
        return seen

    def _product_of_errors(self) -> float:
        """The sum of what dimensions can hold times what they can err by, where pairs of gated units profit from it."""
        if self.takes_mean or not self.placement.is_saturated:
            return float(np.inf)
        return float(self.placement.magnitudes @ self.error)

    @property
    def size(self) -> float:
        """The largest 2-norm of the stream, errors included."""
        squares = float(self.own[1][1]) + sum(float(part[1][1]) for _, part in self.brought)
        return float(np.sqrt(max(0.0, squares)) + np.sqrt(np.square(self.stored).sum())) + self.ball

    def spread(self, added: float, num_terms: int, rounding: Rounding) -> None:
        """Takes in what rotating costs where a part adds to the stream; nothing if the weights are not rotated.

        Args:
            added: the sum of what the part adds: of each factor's magnitude times the norm of its weights, or more.
            num_terms: how many factors are not zero.
            rounding: the runtimes to cover.
        """
        if self.frame is not None:
            stored = 3 * added * (rounding.storage_roundoff + rounding.accumulation_roundoff)
            of_sum = 2 * rounding.storage_roundoff * (self.size + added)
            self.ball += 1.01 * (self.frame.share(num_terms, rounding) * added + stored + of_sum)

    def add(self, errors: dict[str, tuple[np.ndarray, np.ndarray]], rounding: Rounding) -> None:
        """Takes in what a part adds to some fields.

        The sum is stored, so that an error below half the distance of numbers vanishes; a layer norm that follows at
        once may still read it wider.

        Args:
            errors: for each field the ideal coordinates that it can hold afterwards, and how far what is added errs.
            rounding: the runtimes to cover.
        """
        self.error = self.stored.copy()
        for name, (levels, added) in errors.items():
            dimensions = self.placement.dimensions(name)
            before = (self.stored[dimensions] + added)[None]
            wide = round_values(levels, before, rounding)
            vanishes = vanishing(levels, before, rounding) & (self.frame is None)
            self.error[dimensions] = wide.max(axis=0)
            self.stored[dimensions] = np.where(vanishes, 0.0, wide).max(axis=0)

    def clear(self, names: tuple[str, ...]) -> None:
        """Takes note that units have taken away all that some fields held.

        Raises:
            RealisationError: the square norm may change, or something else that was brought along is left.
        """
        kept = []
        for targets, part in self.brought:
            left = set(targets) - set(names)
            if left == set(targets):
                kept.append((targets, part))
            elif left:
                raise RealisationError(f"{', '.join(targets)} were brought together, and are not cleared together")
        for name in names:
            sums = self._sums_of_all(name)
            if any(name in targets for targets, _ in self.brought):
                self.own = self.own + sums
            self.may_be_nothing[name] = True
        self.brought = kept

    def fill(self, name: str) -> None:
        """Takes note that units may have written into a field that held nothing, and always have if it is one of
        ``filled``.

        Raises:
            RealisationError: the square norm may change.
        """
        self._sums_of_all(name)
        self.may_be_nothing[name] = name not in self.filled

    def _sums_of_all(self, name: str) -> Float64[np.ndarray, "2"]:
        """The sum and square norm that all codes of a field share, that of nothing included."""
        rows = np.vstack([self.placement.codes[name], self.placement.nothing[name]]).astype(np.float64)
        sums = np.stack([rows.sum(axis=1), np.square(rows).sum(axis=1)], axis=1)
        sums[:, 0] *= self.takes_mean
        if (sums != sums[0]).any():
            raise RealisationError(f"the codes of {name}, which is overwritten, differ in their sum or norm")
        return sums[0]

    def levels(self, name: str) -> Float64[np.ndarray, " levels"]:
        """The different numbers that a field's dimensions can hold."""
        levels = self.placement.levels[name]
        return np.union1d(levels, self.placement.nothing[name]) if self.may_be_nothing[name] else levels

    def table(self, name: str) -> Float64[np.ndarray, "values length"]:
        """The codes that a field can hold; the last one that of nothing, if it may hold nothing."""
        codes = self.placement.codes[name].astype(np.float64)
        return np.vstack([codes, self.placement.nothing[name]]) if self.may_be_nothing[name] else codes


def coordinate_errors(
    transformer: Transformer,
    stream: Stream,
    gain: np.ndarray,
    bias: np.ndarray,
    wanted: np.ndarray,
    rounding: Rounding,
    *,
    everywhere: bool = False,
) -> Float64[np.ndarray, " width"]:
    """How far each wanted coordinate after a layer norm can be from its code; 0 for the others.

    Units and logits matter at positions that write only; keys and values are read of every position.
    Of a rotated model that is less a further error of any direction, whose 2-norm is ``stream.heard`` then.
    """
    placement, frame = stream.placement, stream.frame
    seen = stream.norm_input(transformer.architecture.norm_epsilon, everywhere=everywhere)
    errors = np.zeros(placement.width)
    if frame is not None:
        largest = float(np.abs(gain).max())
        carried = largest * (1 + 2 * seen.errors(rounding)[0]) / seen.deviations[0] * stream.ball
        stream.heard = carried + frame.norm_ball(largest, rounding)
    for name in placement.spans:
        dimensions = placement.dimensions(name)
        if not wanted[dimensions].any():
            continue
        bounds = normed_errors(
            stream.levels(name)[:, None],
            stream.error[dimensions][None],
            seen,
            float(placement.deviation),
            gain[dimensions][None],
            bias[dimensions][None],
            rounding,
        )
        errors[dimensions] = bounds.max(axis=0)
    return errors
