"""Functions named from outside: ``examples/gcd.py:gcd``."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.function.decorator import CircuitFunction
from serialformer.errors import SerialformerError, TraceError


def read_function(reference: str | os.PathLike[str], max_fan_in: int = 2) -> Circuit:
    """The circuit of a function that a file decorates with ``@circuit``. Runs the file, as importing it would.

    Args:
        reference: ``path/to/module.py:function``.
        max_fan_in: the gates that it is to be optimised for; see ``CircuitFunction.circuit_for``.

    Raises:
        SerialformerError: no such file or function, the file cannot be imported, or the function cannot be traced.
    """
    return find_function(reference).circuit_for(max_fan_in)


def find_function(reference: str | os.PathLike[str]) -> CircuitFunction:
    """The decorated function itself."""
    path, _, name = str(reference).rpartition(":") if str(reference).rpartition(":")[1] else (str(reference), "", "")
    module = _load(path)
    known = [key for key, value in vars(module).items() if isinstance(value, CircuitFunction)]
    value = vars(module).get(name)
    if isinstance(value, CircuitFunction):
        return value
    hint = f"{path} has {', '.join(known)}" if known else f"{path} has no function with @circuit"
    if name in vars(module):
        raise SerialformerError(f"{name} is not decorated with @circuit", where=path, hint=hint)
    if not name:
        raise SerialformerError(
            "expected the name of a function after a colon", where=path, hint=f"write {path}:function; {hint}"
        )
    near = get_close_matches(name, known, n=1)
    said = f"no function {name!r}" + (f" (did you mean {near[0]!r}?)" if near else "")
    raise SerialformerError(said, where=path, hint=hint)


def _load(path: str) -> ModuleType:
    """Imports a file under a separate module name, with its folder on the search path as when Python runs it."""
    file = Path(path)
    if not file.is_file():
        raise SerialformerError("no such file", where=path, hint="check the path; the form is module.py:function")
    name = f"_serialformer_{file.stem}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(file.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except TraceError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's file raises is its user's to know
        line = _line_of(error, file)
        raise SerialformerError(
            f"cannot be imported: {type(error).__name__}: {error}",
            where=path if line is None else f"{path}:{line}",
            hint="python runs the file to find the function",
        ) from error
    finally:
        sys.path.remove(folder)
    return module


def _line_of(error: BaseException, file: Path) -> int | None:
    """The last line of the file that the error passed through."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
