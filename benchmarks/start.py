"""What starting costs: CPU seconds of whole commands, with an empty cache of compiled loops and with a full one.

Each command runs in a process of its own; user and system time of it and of its children are added up. Cold commands
begin with an empty ``NUMBA_CACHE_DIR``, in which no loop is compiled yet; warm ones find what a run before them left.
``import numpy`` stands beside them as the yardstick of the machine.

    python benchmarks/start.py [--sources DIR ...] [--repeats 5] [--gates 2000] [--skip-cold] [--json FILE]

Several source directories, each of which holds the package ``serialformer``, are measured in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]

CIRCUIT = """
import sys
sys.path.insert(0, {root!r})
from benchmarks.readers import ANY_TABLES, random_circuit
from serialformer.circuits.formats.read_write import write
for gates in (250, {gates}):
    write(random_circuit(gates, 32, ANY_TABLES), {folder!r} + f"/{{gates}}.blif")
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line to be measured.

    Attributes:
        name: what the table calls it.
        arguments: of ``python``.
        is_cold: whether it begins without compiled loops, once for each repeat.
        status: the exit status that it should have.
    """

    name: str
    arguments: tuple[str, ...]
    is_cold: bool = False
    status: int = 0


def commands(folder: Path, gates: int) -> Iterator[Command]:
    """The commands, in an order in which the later ones find the checkpoints that the earlier ones made."""
    program = ("-m", "serialformer")
    yield Command(name="python -c 'import numpy'", arguments=("-c", "import numpy"))
    yield Command(name="python -c 'import serialformer'", arguments=("-c", "import serialformer"))
    yield Command(name="serialformer --help", arguments=(*program, "--help"))
    yield Command(name="serialformer run --help", arguments=(*program, "run", "--help"))
    mistyped = ("train", "partiy", "--length", "8", "--setting", "cot", "-o", str(folder / "never"))
    yield Command(name="a mistyped task name", arguments=(*program, *mistyped), status=2)
    for size in (250, gates):
        for is_cold in (True, False):
            made = str(folder / f"model{size}")
            compiled = ("compile", str(folder.parent / f"{size}.blif"), "-o", made)
            yield Command(name=f"compile {size:,} gates", arguments=(*program, *compiled), is_cold=is_cold)
            yield Command(name=f"run {size:,} gates", arguments=(*program, "run", made, "-i", "in=5"), is_cold=is_cold)
        yield Command(name=f"info of {size:,} gates", arguments=(*program, "info", made))
    yield Command(name="demo", arguments=(*program, "demo", "-o", str(folder / "demo")), is_cold=True)
    yield Command(name="demo", arguments=(*program, "demo", "-o", str(folder / "demo")))


def cpu_seconds(command: Command, environment: Mapping[str, str]) -> float:
    """User and system seconds of the command and of its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *command.arguments], env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != command.status:
        raise SystemExit(f"{command.name}: exit status {done.returncode}\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def remove_output(command: Command) -> None:
    """Removes what an earlier run of the command wrote."""
    if "-o" in command.arguments:
        shutil.rmtree(command.arguments[command.arguments.index("-o") + 1], ignore_errors=True)


def measure(command: Command, sources: Path, folder: Path, repeats: int) -> float:
    """The median of some runs with one source directory."""
    taken = []
    for repeat in range(1 if command.is_cold else repeats):
        remove_output(command)
        with tempfile.TemporaryDirectory(dir=folder) as empty:
            environment = {
                **os.environ,
                "PYTHONPATH": str(sources),
                "PYTHONDONTWRITEBYTECODE": "",  # an installation comes with Python's own compiled files
                "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
                "NUMBA_CACHE_DIR": empty if command.is_cold else str(folder / "cache"),
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            }
            if repeat == 0 and not command.is_cold:
                cpu_seconds(command, environment)  # fills the cache, of loops and of Python's own files
                remove_output(command)
            taken.append(cpu_seconds(command, environment))
    return median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, nargs="+", default=[ROOT / "src"], metavar="DIR")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--gates", type=int, default=2000)
    parser.add_argument("--skip-cold", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = CIRCUIT.format(root=str(ROOT), gates=arguments.gates, folder=name)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NUMBA_CACHE_DIR": str(folder / "cache")}
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
        print(f"{'CPU seconds':32}{'':6}" + "".join(f"{f'sources {n + 1}':>12}" for n in range(len(arguments.sources))))
        folders = [folder / f"sources{number}" for number in range(len(arguments.sources))]
        for each in folders:
            each.mkdir()
        for same in zip(*(commands(each, arguments.gates) for each in folders), strict=True):
            command = same[0]
            if command.is_cold and arguments.skip_cold:
                continue
            taken = [
                measure(own, sources.resolve(), own_folder, arguments.repeats)
                for own, sources, own_folder in zip(same, arguments.sources, folders, strict=True)
            ]
            state = "cold" if command.is_cold else "warm"
            rows.append({"command": command.name, "state": state, "cpu_seconds": taken})
            print(f"{command.name:32}{state:6}" + "".join(f"{seconds:12.2f}" for seconds in taken), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
