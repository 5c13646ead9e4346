"""Which process of xdist runs which test: a file stays in one, and so do files that need the same compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

TOGETHER = {
    "tests/bounds": "tests/bounds",
    "tests/circuits": "tests/circuits",
    "tests/cli/test_bound.py": "tests/bounds",
    "tests/recipes/test_bounds.py": "tests/bounds",
    "tests/cli/test_certify.py": "tests/decode",
    "tests/cli/test_cli.py": "tests/decode",
    "tests/cli/test_clock.py": "tests/decode",
    "tests/cli/test_compile.py": "tests/decode",
    "tests/cli/test_construct.py": "tests/decode",
    "tests/cli/test_functions.py": "tests/decode",
    "tests/cli/test_paper.py": "tests/decode",
    "tests/cli/test_tasks.py": "tests/decode",
    "tests/constructions/test_evaluator.py": "tests/decode",
    "tests/constructions/test_tasks.py": "tests/decode",
    "tests/decode": "tests/decode",
    "tests/engines/test_known.py": "tests/decode",
}
"""Folders and files, and the name under which those that belong together are run."""


class FileScheduling(LoadScopeScheduling):
    """Gives out files in the order in which they were collected.

    What a file makes once is made by one process. The kernels of the bounds take numba 45 seconds where nothing is in
    its cache, so one process compiles them, and the other meanwhile compiles what most tests need. The loop that
    decodes numbers takes 14, those that read a model and decode many rows at once 30.
    """

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        """The name of what a test is run with.

        >>> scheduling = object.__new__(FileScheduling)
        >>> scheduling._split_scope("tests/bounds/test_sums.py::test_sums[3]")
        'tests/bounds'
        >>> scheduling._split_scope("tests/circuits/formats/test_bench.py::test_gates")
        'tests/circuits'
        >>> scheduling._split_scope("tests/tasks/test_text.py::test_text")
        'tests/tasks/test_text.py'
        """
        path = file = nodeid.partition("::")[0]
        while path:
            if path in TOGETHER:
                return TOGETHER[path]
            path = path.rpartition("/")[0]
        return file


def make_scheduler(config: Any, log: Any) -> FileScheduling | None:
    """The scheduling of this file, unless the command line asks for one of xdist's others."""
    return FileScheduling(config, log) if config.getvalue("dist") == "load" else None
