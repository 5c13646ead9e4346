"""The experiments that a sweep can carry out: this package's by kind, and those of recipes by their file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serialformer.errors import SweepError
from serialformer.python_file import load_python, split_reference
from serialformer.sweeps.experiment import Experiment
from serialformer.sweeps.run import SweepRun

KINDS: dict[str, type[Experiment]] = {SweepRun.kind: SweepRun}
"""The experiments of this package by kind; others are named by the file that defines them."""


def experiment_from_json(content: Mapping[str, Any]) -> Experiment:
    """The inverse of ``Experiment.to_json``. Imports the file that defines its class.

    Raises:
        SweepError: there is no such class, or the fields are not its own.
    """
    reference = content.get("class")
    if reference is None:
        kind = KINDS.get(str(content.get("experiment")))
        if kind is None:
            raise SweepError(
                f"no experiment {content.get('experiment')!r}", where="run", hint=f"one of {', '.join(KINDS)}"
            )
        return kind.from_fields(content["fields"])
    parts = split_reference(str(reference))
    if parts is None:
        raise SweepError(f"expected FILE.py:Class, found {reference!r}", where="run")
    found = vars(load_python(parts[0], SweepError).module).get(parts[1])
    if not (isinstance(found, type) and issubclass(found, Experiment)):
        raise SweepError(f"has no experiment {parts[1]!r}", where=parts[0])
    return found.from_fields(content["fields"])
