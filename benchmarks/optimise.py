"""Chain lengths after optimising, beside those of ABC's own mapping.

    python benchmarks/optimise.py FOLDER [--circuits NAME ...] [--levels LEVEL ...] [--json FILE]

FOLDER holds EPFL's combinational benchmarks as .aig files. Every result is proven equal to the file by ABC.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from serialformer.circuits.formats.read_write import read
from serialformer.circuits.mapping.mapping import simplify
from serialformer.circuits.mapping.optimise import optimise

REFERENCE = {
    "adder": {2: 637, 3: 256, 4: 255, 6: 244},
    "sin": {2: 4239, 3: 2431, 4: 1879, 6: 1469},
    "voter": {2: 5734, 3: 2827, 4: 2485, 6: 1885},
    "mem_ctrl": {2: 38068, 3: 21867, 4: 15689, 6: 10406},
}
"""Gates of up to K inputs that ABC makes: dch, compress2rs, `if -K K -a`, measured with the ABC of pyosys 0.70."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--circuits", nargs="+", default=["adder", "sin", "voter"], choices=REFERENCE)
    parser.add_argument("--levels", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(f"{'circuit':10}{'K':>3}{'level':>7}{'before':>9}{'after':>9}{'ABC':>9}{'%':>8}{'proven':>8}{'seconds':>9}")
    for name in arguments.circuits:
        circuit = read(arguments.folder / f"{name}.aig")
        simplify(circuit)  # compiled by numba, if it is not yet
        for fan_in, expected in REFERENCE[name].items():
            for level in arguments.levels:
                started = time.perf_counter()
                _, report = optimise(circuit, level=level, max_fan_in=fan_in, prove=True)
                seconds = time.perf_counter() - started
                percent = 100 * (report.gates_after / expected - 1)
                rows.append({"circuit": name, "abc": expected, "percent": percent, **report.to_json()})
                print(
                    f"{name:10}{fan_in:3}{level:7}{report.gates_before:9,}{report.gates_after:9,}{expected:9,}"
                    f"{percent:+8.1f}{report.proven!s:>8}{seconds:9.1f}",
                    flush=True,
                )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
