"""Memory that a step frees is there for the next one, without new pages from the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT_PAGES = """
import resource
from serialformer.training.memory import keep_freed_memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [bytes([1]) * (1 << 20) for _ in range(64)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def least():
    return min(new_pages() for _ in range(5))

before = least()
keep_freed_memory()
print(before, least())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library has these options")
def test_memory_is_taken_once() -> None:
    shown = subprocess.run([sys.executable, "-c", COUNT_PAGES], capture_output=True, text=True, check=True)
    before, after = map(int, shown.stdout.split())
    assert before > 1000
    assert after < 100
