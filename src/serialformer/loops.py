"""Loops over arrays: plain Python while there is little to do, compiled by numba where there is more.

Importing numba takes longer than a small circuit does, and compiling a loop longer still. So a loop that says how much
work it may do uncompiled runs as it stands until it has done so much in this process, and is compiled for the call that
would exceed it. Unless the loop counts otherwise, the work of a call is the number of elements of the arrays that it is
given. Both ways compute the same, to the bit.

    >>> import numpy as np
    >>> @loop(plain_work=10)
    ... def total(numbers):
    ...     result = 0.0
    ...     for number in numbers:
    ...         result += number
    ...     return result
    >>> float(total(np.ones(4))), total.is_compiled
    (4.0, False)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from types import FunctionType
from typing import Any

import numpy as np


class WorkLimit:
    """How much of some work this process does without what would do it faster, but has to be loaded or compiled.

    Attributes:
        limit: how much that is.
        done: how much has been asked for.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.done = 0

    def allows(self, work: int) -> bool:
        """Counts the work, and says whether all that was asked for is within the limit still."""
        self.done += work
        return self.done <= self.limit


class Loop:
    """A function over arrays and numbers that numba can compile; other loops may call it.

    Attributes:
        py_func: the function.
        plain: how much work it does before it is compiled.
        targetoptions: the options of ``numba.njit``.
    """

    def __init__(
        self, function: FunctionType, plain: WorkLimit, work: Callable[..., int], options: dict[str, Any]
    ) -> None:
        update_wrapper(self, function)
        self.py_func = function
        self.plain = plain
        self.targetoptions = options  # this name and the one above are those that numba asks a function for
        self._work = work
        self._compiled: Any = None

    def __call__(self, *arguments: Any) -> Any:
        if self._compiled is None and self.plain.limit and self.plain.allows(self._work(*arguments)):
            return self.run_plain(*arguments)
        return self.compiled(*arguments)

    def run_plain(self, *arguments: Any) -> Any:
        """Runs the function as it stands; what wraps around in machine words does so without a warning, as compiled."""
        with np.errstate(all="ignore"):
            return self._plain(*arguments)

    @cached_property
    def _plain(self) -> FunctionType:
        """The function, calling plain functions where it calls loops."""
        function = self.py_func
        known = dict(function.__globals__)
        for name in function.__code__.co_names:
            if isinstance(called := known.get(name), Loop):
                known[name] = called._plain
        return FunctionType(function.__code__, known, function.__name__, function.__defaults__)

    @property
    def is_compiled(self) -> bool:
        """Whether calls go to numba by now."""
        return self._compiled is not None

    @property
    def compiled(self) -> Any:
        """The function as numba's; it is compiled for the types of its arguments when it is called."""
        if self._compiled is None:
            from numba import njit

            self._compiled = njit(**self.targetoptions)(self.py_func)
            _forget_old_cache(self._compiled)
        return self._compiled

    @property
    def _numba_type_(self) -> Any:
        """The hook that numba calls on values used in compiled functions: a loop appears to it as its compiled form."""
        return self.compiled._numba_type_


def _forget_old_cache(dispatcher: Any) -> None:
    """Empties a loop's cache that an older version wrote and this one cannot read: it names types that are gone.

    numba itself compares the dates of source files, but reads the types before.
    """
    cached = getattr(dispatcher._cache, "_cache_file", None)
    if cached is not None:
        try:
            cached.load(None)
        except (AttributeError, ImportError):
            dispatcher._cache.flush()


def loop(
    *, plain_work: int = 0, work: Callable[..., int] | None = None, allocates: bool = True, **options: Any
) -> Callable[[Callable[..., Any]], Any]:
    """Makes a function a ``Loop``.

    Args:
        plain_work: how much work it may be given before it is compiled; 0 compiles it for its first call.
        work: how much a call with these arguments is; without it, the number of elements of the arrays among them.
        allocates: whether it makes arrays. One that makes none counts no references to those that it reads, which takes
            longer than what a small helper does.
        options: of ``numba.njit``. What is compiled is kept in numba's cache.
    """

    def make(function: Callable[..., Any]) -> Loop:
        assert isinstance(function, FunctionType)
        return Loop(
            function, WorkLimit(plain_work), work or num_elements, {"cache": True, "_nrt": allocates, **options}
        )

    return make


def num_elements(*values: Any) -> int:
    """How many elements the arrays among some values have, those in tuples included.

    >>> num_elements(np.zeros((2, 3)), 7, (np.zeros(4),))
    10
    """
    count = 0
    for value in values:
        if isinstance(value, np.ndarray):
            count += value.size
        elif isinstance(value, tuple):
            count += num_elements(*value)
    return count
