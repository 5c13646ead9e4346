"""A sweep is a Python file with a function that returns its runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from serialformer.errors import SweepError
from serialformer.python_file import load_python, located
from serialformer.sweeps.experiment import Experiment

RECIPE_FILE = "recipe.py"
FUNCTION = "runs"


def load_recipe(text: str) -> tuple[list[Experiment], int]:
    """The runs of a recipe, in its order.

    Args:
        text: a Python file, or a folder with a ``recipe.py``; after a colon the function, ``runs`` if there is none.

    Returns:
        The runs, each once; and how many were listed more than once. A run is a value: listed twice (in two panels of
        a figure, say) it is the same run, and done once.

    Raises:
        SweepError: there is no such file or function, it fails, or what it returns is no list of runs; says where.
    """
    path, name = _split(text)
    listed = _call(path, name)
    found: dict[str, Experiment] = {}
    count = 0
    for number, run in enumerate(listed):
        if not isinstance(run, Experiment):
            raise SweepError(
                f"{name}()[{number}] is {type(run).__name__}, no experiment",
                where=str(path),
                hint="from serialformer.sweeps.experiment import Experiment",
            )
        found.setdefault(run.id, run)
        count += 1
    if not found:
        raise SweepError(f"{name}() has no runs", where=str(path))
    return list(found.values()), count - len(found)


def _split(text: str) -> tuple[Path, str]:
    """The file and the function.

    >>> _split("sweeps/parity.py:deep"), _split("parity.py")
    ((PosixPath('sweeps/parity.py'), 'deep'), (PosixPath('parity.py'), 'runs'))
    """
    file, colon, name = text.rpartition(":")
    path = Path(file if colon else text)
    if path.is_dir():
        path = path / RECIPE_FILE
    return path, (name if colon else "") or FUNCTION


def _call(path: Path, name: str) -> Iterable[object]:
    """What the function of the file returns."""
    if not path.is_file():
        raise SweepError("no such file", where=str(path), hint="a sweep is a Python file with a function runs()")
    if path.suffix != ".py":
        raise SweepError("is no Python file", where=str(path), hint="its name must end in .py")
    module = load_python(path, SweepError).module
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)  # a recipe may have other files beside it
    try:
        function = getattr(module, name, None)
        if not callable(function):
            raise SweepError(f"has no function {name}()", where=str(path), hint=f"def {name}(): return [...]")
        listed = function()
        if not isinstance(listed, Iterable):
            raise SweepError(f"{name}() returns {type(listed).__name__}, not a list of runs", where=str(path))
        return list(listed)
    except SweepError as error:
        if error.where == str(path):
            raise
        raise located(error, path, SweepError) from None
    except Exception as error:
        raise located(error, path, SweepError) from None
    finally:
        sys.path.remove(folder)
