"""The models that benchmarks of interpretability judge: each as it was made, and in every realistic kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from serialformer.errors import SerialformerError
from serialformer.interp.realism import make_realistic
from serialformer.models.model import Model
from serialformer.models.realism import RealismKind

KINDS: tuple[RealismKind | None, ...] = (None, "rotated", "superposed", "fine-tuned")


def every_kind(
    makers: Mapping[str, Callable[[], Model]], chosen: Sequence[str]
) -> Iterator[tuple[str, RealismKind | None, Model]]:
    """Name, kind and model; those named in ``chosen``, or all. Prints which kinds cannot be made."""
    for name, make in makers.items():
        if chosen and name not in chosen:
            continue
        plain = make()
        for kind in KINDS:
            try:
                yield name, kind, plain if kind is None else make_realistic(plain, kind)
            except SerialformerError as error:
                print(f"{name} | {kind} | not made: {error.message}", flush=True)
