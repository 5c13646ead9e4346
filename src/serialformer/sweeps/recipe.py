"""A sweep is a Python file with a function that returns its runs."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from serialformer.errors import SerialformerError, SweepError
from serialformer.sweeps.run import SweepRun

RECIPE_FILE = "recipe.py"
FUNCTION = "runs"


def load_recipe(text: str) -> tuple[list[SweepRun], int]:
    """The runs of a recipe, in its order.

    Args:
        text: a Python file, or a folder with a ``recipe.py``; behind a colon the function, ``runs`` if there is none.

    Returns:
        The runs, each once; and how many were listed more than once. A run is a value: listed twice (in two panels of
        a figure, say) it is the same run, and done once.

    Raises:
        SweepError: there is no such file or function, it fails, or what it returns is no list of runs; says where.
    """
    path, name = _split(text)
    listed = _call(path, name)
    found: dict[str, SweepRun] = {}
    count = 0
    for number, run in enumerate(listed):
        if not isinstance(run, SweepRun):
            raise SweepError(
                f"{name}()[{number}] is {type(run).__name__}, not SweepRun",
                where=str(path),
                hint="from serialformer.sweeps.run import SweepRun",
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
    module_name = f"serialformer_recipe_{path.stem}"
    specification = importlib.util.spec_from_file_location(module_name, path)
    if specification is None or specification.loader is None:
        raise SweepError("is no Python file", where=str(path), hint="its name must end in .py")
    module = importlib.util.module_from_spec(specification)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)  # a recipe may have its panels in files beside it
    sys.modules[module_name] = module
    try:
        specification.loader.exec_module(module)
        function = getattr(module, name, None)
        if not callable(function):
            raise SweepError(f"has no function {name}()", where=str(path), hint=f"def {name}() -> list[SweepRun]: ...")
        listed = function()
        if not isinstance(listed, Iterable):
            raise SweepError(f"{name}() returns {type(listed).__name__}, not a list of runs", where=str(path))
        return list(listed)
    except SweepError as error:
        if error.where == str(path):
            raise
        raise _located(path, error) from None
    except Exception as error:
        raise _located(path, error) from None
    finally:
        sys.path.remove(folder)
        sys.modules.pop(module_name, None)


def _located(path: Path, error: Exception) -> SweepError:
    """An error in a recipe with the line of the recipe that led to it."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return SweepError(f"SyntaxError: {error.msg}", where=f"{path}:{error.lineno}")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f"{path}:{lines[-1]}" if lines else str(path)
    if isinstance(error, SerialformerError):
        within = "" if error.where is None else f"{error.where}: "
        return SweepError(f"{within}{error.message}", where=where, hint=error.hint)
    return SweepError(f"{type(error).__name__}: {error}", where=where)
