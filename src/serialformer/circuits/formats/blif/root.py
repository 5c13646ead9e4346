"""Which of several models of a BLIF file is the circuit."""

from __future__ import annotations

from collections.abc import Sequence

from serialformer.circuits.formats.blif.models import Model
from serialformer.circuits.formats.statements import shorten

_MAX_SHOWN = 6


def root_first(models: Sequence[Model]) -> list[Model]:
    """The models, and first of them the circuit: the only root, or else the first of the file.

    A root is a model that no other instantiates and whose inside is in the file.
    """
    roots = _roots(models)
    if len(roots) != 1 or roots[0] is models[0]:
        return list(models)
    return [roots[0], *(model for model in models if model is not roots[0])]


def explain_root(models: Sequence[Model]) -> str:
    """Which model ``root_first`` has put first, and why; "" where the file has no other with an inside."""
    num_models = sum(not model.is_black_box for model in models)
    if num_models < 2:
        return ""
    roots = _roots(models)
    if len(roots) == 1:
        why = "the only one that no other instantiates"
    elif roots:
        names = ", ".join(shorten(model.name) for model in roots[:_MAX_SHOWN])
        more = f" and {len(roots) - _MAX_SHOWN} more" if len(roots) > _MAX_SHOWN else ""
        why = f"the first of the file: several are instantiated by no other ({names}{more})"
    else:
        why = "the first of the file: each is instantiated by another"
    return f"{shorten(models[0].name)} of {num_models}, {why}"


def _roots(models: Sequence[Model]) -> list[Model]:
    used = {name for model in models for name in model.instances}
    return [model for model in models if model.name not in used and not model.is_black_box]
