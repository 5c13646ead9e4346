"""Circumstances of a row: the source, the packages and the device of the run."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from serialformer.sweeps.row import to_cell


@lru_cache(maxsize=1)
def find_commit() -> str:
    """The commit of the source that runs, with ``+`` if it was changed; empty outside a git checkout."""
    folder = Path(__file__).resolve().parents[1]
    # No lock: a process that is killed while it asks would leave it in the user's repository.
    try:
        texts = [
            subprocess.run(
                ["git", "--no-optional-locks", *arguments],
                cwd=folder,
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            ).stdout
            for arguments in (
                ["ls-files", "--error-unmatch", "__init__.py"],  # an environment inside another project is not ours
                ["rev-parse", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", "--", "."],
            )
        ]
    except (OSError, subprocess.SubprocessError):
        return ""
    return texts[1].strip() + ("+" if texts[2].strip() else "")


@lru_cache(maxsize=1)
def find_versions() -> str:
    """Python and the packages that decide numbers, as a JSON object."""
    packages = {}
    for name in ("serialformer", "torch", "numpy"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = ""  # not every experiment needs torch
    return to_cell({"python": platform.python_version(), **packages})


@lru_cache(maxsize=8)
def name_device(device: str) -> str:
    """The kind of device, and what the system calls it."""
    if device == "cpu":
        name = platform.processor() or platform.machine()
        cpus = Path("/proc/cpuinfo")
        if cpus.is_file():
            for line in cpus.read_text(errors="replace").splitlines():
                if line.startswith("model name"):
                    name = line.partition(":")[2].strip()
                    break
    else:
        import torch

        name = torch.cuda.get_device_name(device)
    return f"{device.partition(':')[0]} ({name})"
