"""Memory freed by a training step is reused by the next one and returned to the system after training."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT_PAGES = """
import resource
from pathlib import Path
from serialformer.training.memory import freed_memory_kept

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [bytes([1]) * (1 << 20) for _ in range(256)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def least():
    return min(new_pages() for _ in range(5))

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20

before = least(), resident_mb()
with freed_memory_kept():
    within = least(), resident_mb()
print(*before, *within, resident_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library has these options")
def test_memory_is_taken_once_and_returned_at_the_end() -> None:
    shown = subprocess.run([sys.executable, "-c", COUNT_PAGES], capture_output=True, text=True, check=True)
    pages_before, mb_before, pages_within, mb_within, mb_after = map(int, shown.stdout.split())
    assert pages_before > 1000
    assert pages_within < 100
    assert mb_within > mb_before + 200
    assert mb_after < mb_before + 50
