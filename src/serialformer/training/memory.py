"""The memory of a training step: the next step takes what the last one has freed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# As malloc.h of the GNU C library numbers them.
TRIM_THRESHOLD, MAP_THRESHOLD = -1, -3

KEPT_BYTES = 1 << 30
LARGEST_MAP_THRESHOLD = 32 << 20
KEPT_AFTERWARDS = 2 * LARGEST_MAP_THRESHOLD
"""What the library keeps by default once a block of the largest size has been freed."""


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within, the process keeps up to a GiB of memory that it has freed, instead of returning it to the system.

    A step takes and frees some 100 MB. By default, the C library returns most of that at the end of each step, and the
    system then clears every page anew when the next step first writes to it, which takes up to a tenth of the step.
    Blocks of more than 32 MiB are always returned. Afterwards the system gets back what was kept. Nothing is changed
    where the C library is not GNU's.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    # Either option ends the library's own adjustment of both, so both are set.
    library.mallopt(MAP_THRESHOLD, LARGEST_MAP_THRESHOLD)
    library.mallopt(TRIM_THRESHOLD, KEPT_BYTES)
    try:
        yield
    finally:
        library.mallopt(TRIM_THRESHOLD, KEPT_AFTERWARDS)
        library.malloc_trim(0)
