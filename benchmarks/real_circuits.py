"""Compiles the largest file of each folder of benchmark circuits and verifies what it decodes, token for token.

    python benchmarks/real_circuits.py FOLDER [--samples 2] [--json FILE]

FOLDER holds folders of circuits in formats that serialformer reads.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import serialformer
from serialformer.circuits.formats.read_write import MODULES


def largest(folder: Path) -> tuple[Path, serialformer.Circuit] | tuple[Path, str]:
    """The file with the most gates that can be read, or the largest file and why none can."""
    circuits, refusals = [], []
    for path in sorted(folder.iterdir()):
        if path.suffix not in MODULES:
            continue
        try:
            circuits.append((path, serialformer.read(path)))
        except serialformer.SerialformerError as error:
            refusals.append((path, error.args[0].splitlines()[0].partition(": ")[2]))
    if circuits:
        return max(circuits, key=lambda item: item[1].num_gates)
    return max(refusals, key=lambda item: item[0].stat().st_size)


def measure(path: Path, circuit: serialformer.Circuit, samples: int) -> dict[str, object]:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = serialformer.compile(path).save(Path(folder, "model"))
        compiled = time.perf_counter()
        result = serialformer.verify(model, num_samples=samples)
        verified = time.perf_counter()
        size = sum(file.stat().st_size for file in Path(folder, "model").iterdir())
    return {
        "gates": circuit.num_gates,
        "tokens": model.num_new_tokens,
        "width": model.transformer.architecture.width,
        "heads": model.transformer.architecture.num_heads,
        "megabytes": size / 1e6,
        "compile_s": compiled - started,
        "verify_s": verified - compiled,
        "verdict": f"{result.inputs} inputs right" if result.verified else result.first_wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print("| file | gates | tokens | heads | width | MB | compile s | decode s | verified |")
    print("|---|---|---|---|---|---|---|---|---|")
    for folder in sorted(path for path in arguments.folder.iterdir() if path.is_dir()):
        path, circuit = largest(folder)
        name = f"{folder.name}/{path.name}"
        if isinstance(circuit, str):
            print(f"| {name} | | | | | | | | {circuit} |", flush=True)
            rows.append({"file": name, "verdict": circuit})
            continue
        row = measure(path, circuit, arguments.samples)
        rows.append({"file": name} | row)
        print(
            f"| {name} | {row['gates']:,} | {row['tokens']:,} | {row['heads']} | {row['width']}"
            f" | {row['megabytes']:.1f} | {row['compile_s']:.2f} | {row['verify_s']:.1f} | {row['verdict']} |",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
