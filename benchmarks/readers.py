"""How fast the readers are, and how much memory they take, on a synthetic circuit of two-input gates.

Each format is read in a process of its own, whose peak memory is what the table shows, with what the empty process
takes (Python, numpy, compiled kernels) in a column beside it. The first process compiles kernels where no cache of
them exists; an untimed small file takes that out of the figures.

    python benchmarks/readers.py [--gates 1000000] [--inputs 1000] [--json FILE] [--formats blif bench ...]
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.circuits.circuit import Circuit

# What to call a format: the module, its reader, its writer, the file's ending, and what the circuit's tables are.
ANY_TABLES = (0b1000, 0b1110, 0b0110, 0b0111, 0b0001, 0b1001)
FORMATS = {
    "blif": ("blif.blif", "parse_blif", "format_blif", ".blif", ANY_TABLES),
    "bench": ("bench", "parse_bench", "format_bench", ".bench", ANY_TABLES),
    "aiger ascii": ("aiger.aiger", "parse_aiger", "format_aiger", ".aag", (0b1000,)),
    "aiger binary": ("aiger.aiger", "parse_aiger", "format_aiger", ".aig", (0b1000,)),
    "bristol": ("bristol", "parse_bristol", "format_bristol", ".txt", (0b1000, 0b0110)),
}


def random_circuit(num_gates: int, num_inputs: int, tables: tuple[int, ...]) -> Circuit:
    """Two-input gates that read wires drawn from all before them."""
    random = np.random.default_rng(1)
    limit = num_inputs + np.arange(num_gates)
    first = random.integers(0, limit)
    second = random.integers(0, limit - 1)
    second += second >= first  # two different wires
    return Circuit(
        num_inputs=num_inputs,
        fan_in=np.stack([first, second], axis=1).astype(np.int32),
        arity=np.full(num_gates, 2, dtype=np.uint8),
        table=random.choice(np.array(tables, dtype=np.uint64), num_gates),
        outputs=np.arange(num_inputs + num_gates - min(64, num_gates), num_inputs + num_gates, dtype=np.int32),
    )


def write_random_file(format_name: str, path: str, num_gates: int, num_inputs: int, tables: tuple[int, ...]) -> None:
    """Writes such a circuit in a format."""
    circuit = random_circuit(num_gates, num_inputs, tables)
    module, _, writer, _, _ = FORMATS[format_name]
    write = getattr(importlib.import_module(f"serialformer.circuits.formats.{module}"), writer)
    options = {"binary": format_name == "aiger binary"} if module == "aiger.aiger" else {}
    Path(path).write_bytes(write(circuit, **options))


def measure_reader(format_name: str, path: str, warm_path: str) -> dict[str, float]:
    """Seconds and peak memory of reading a file, in this process."""
    module, reader, _, _, _ = FORMATS[format_name]
    parse = getattr(importlib.import_module(f"serialformer.circuits.formats.{module}"), reader)
    parse(Path(warm_path).read_bytes(), name=warm_path)
    before = peak_memory()
    start = time.perf_counter()
    circuit = parse(Path(path).read_bytes(), name=path)
    seconds = time.perf_counter() - start
    return {
        "gates": circuit.num_gates,
        "file_mb": Path(path).stat().st_size / 1e6,
        "seconds": seconds,
        "peak_mb": peak_memory(),
        "process_mb": before,
    }


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns there."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def peak_memory() -> float:
    """The most memory this process has had, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=1_000_000)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    rows = []
    print(f"{'format':14}{'gates':>12}{'file MB':>10}{'seconds':>10}{'peak MB':>10}{'of which process MB':>21}")
    with tempfile.TemporaryDirectory() as folder:
        for format_name in arguments.formats:
            ending, tables = FORMATS[format_name][3:]
            path, warm_path = Path(folder) / f"large{ending}", Path(folder) / f"small{ending}"
            # A process of its own for each step, none of them forked: a child starts with its parent's peak.
            for target, gates, inputs in ((path, arguments.gates, arguments.inputs), (warm_path, 100, 10)):
                in_new_process(write_random_file, format_name, str(target), gates, inputs, tables)
            row = in_new_process(measure_reader, format_name, str(path), str(warm_path))
            path.unlink()
            rows.append({"format": format_name, **row})
            print(
                f"{format_name:14}{row['gates']:12,}{row['file_mb']:10.1f}{row['seconds']:10.2f}"
                f"{row['peak_mb']:10.0f}{row['process_mb']:21.0f}",
                flush=True,
            )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
