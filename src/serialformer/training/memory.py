"""The memory of a training step: the next step takes what the last one has freed."""

from __future__ import annotations

import ctypes
import sys

# As malloc.h of the GNU C library numbers them.
TRIM_THRESHOLD, MAP_THRESHOLD = -1, -3

KEPT_BYTES = 1 << 30
LARGEST_MAP_THRESHOLD = 32 << 20


def keep_freed_memory() -> None:
    """Lets the process keep up to a GiB of memory that it has freed, instead of returning it to the system.

    A step takes and frees some 100 MB. By default, the C library returns most of that at the end of each step, and the
    system then clears every page anew when the next step first writes to it, which takes up to a tenth of the step.
    Blocks of more than 32 MiB are always returned. Nothing is changed where the C library is not GNU's.
    """
    adjust = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if adjust is not None:
        # Either option ends the library's own adjustment of both, so both are set.
        adjust(MAP_THRESHOLD, LARGEST_MAP_THRESHOLD)
        adjust(TRIM_THRESHOLD, KEPT_BYTES)
