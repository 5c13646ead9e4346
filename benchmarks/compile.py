"""Compiling random circuits of 10^3 to 10^6 two-input gates: CPU seconds, peak memory over checkpoint size, width.

Each size is compiled and saved in a process of its own, from a file, so that the peak is the whole command's: reading,
compiling and writing.

    python benchmarks/compile.py [--sizes 1000 10000 100000 1000000] [--repeats 3] [--json FILE] [--plot FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from math import log2
from pathlib import Path
from statistics import median

import numpy as np

from serialformer import Circuit, write

MEASURE = """
import json, resource, sys, time
from pathlib import Path
started = time.process_time()
import serialformer
imported = time.process_time()
circuit = serialformer.read(sys.argv[1])
read = time.process_time()
model = serialformer.compile(circuit)
compiled = time.process_time()
model.save(sys.argv[2])
saved = time.process_time()
print(json.dumps({
    "gates": circuit.num_gates, "tokens": model.num_new_tokens,
    "width": model.transformer.architecture.width,
    "checkpoint_bytes": sum(path.stat().st_size for path in Path(sys.argv[2]).iterdir()),
    "weights_bytes": Path(sys.argv[2], "model.safetensors").stat().st_size,
    "import_s": imported - started, "read_s": read - imported, "compile_s": compiled - read, "save_s": saved - compiled,
    "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "attention_gap": model.certificate.attention.exact,
    "logit_margin": model.certificate.logits.exact,
}))
"""


def random_circuit(num_gates: int, seed: int = 0) -> Circuit:
    """Two-input gates of random tables that read any of the wires before them; 64 inputs, 64 outputs."""
    random = np.random.default_rng(seed)
    num_inputs = 64
    fan_in = random.integers(0, num_inputs + np.arange(num_gates)[:, None], (num_gates, 2))
    return Circuit(
        num_inputs=num_inputs,
        fan_in=fan_in.astype(np.int32),
        arity=np.full(num_gates, 2, dtype=np.uint8),
        table=random.choice(np.array([8, 14, 6, 7, 1, 9, 2, 4], dtype=np.uint64), num_gates),
        outputs=np.arange(num_inputs + num_gates - 64, num_inputs + num_gates, dtype=np.int32),
    )


def measure(num_gates: int, repeats: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "circuit.blif")
        # Made in a process of its own: a child starts with the peak of its parent.
        subprocess.run([sys.executable, __file__, "--write", str(num_gates), str(path)], check=True)
        runs = []
        for repeat in range(repeats):
            target = str(Path(folder, f"model{repeat}"))
            run = subprocess.run(
                [sys.executable, "-c", MEASURE, str(path), target], capture_output=True, text=True, check=True
            )
            runs.append(json.loads(run.stdout))
    row = {key: median(run[key] for run in runs) for key in runs[0]}
    row["total_s"] = median(sum(run[key] for key in ("import_s", "read_s", "compile_s", "save_s")) for run in runs)
    row["peak_over_weights"] = row["peak_bytes"] / row["weights_bytes"]
    row["microseconds_a_gate_log2"] = 1e6 * row["total_s"] / (num_gates * log2(num_gates))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", nargs=2, metavar=("GATES", "FILE"), help="only write the circuit of one size")
    arguments = parser.parse_args()
    if arguments.write:
        write(random_circuit(int(arguments.write[0])), arguments.write[1])
        return
    # Once unmeasured, so that numba's cache is there, as it is for every run but a machine's first.
    measure(10, 1)
    rows = []
    print("   gates  width  6log2+14  import   read  compile   save   total s  weights MB  peak MB  peak/weights")
    for size in arguments.sizes:
        row = measure(size, arguments.repeats)
        rows.append(row)
        print(
            f"{size:8,}  {row['width']:5.0f}  {6 * log2(size) + 14:8.0f}  {row['import_s']:6.2f} {row['read_s']:6.2f}"
            f"  {row['compile_s']:7.2f} {row['save_s']:6.2f}  {row['total_s']:8.2f}  {row['weights_bytes'] / 1e6:10.1f}"
            f"  {row['peak_bytes'] / 1e6:7.0f}  {row['peak_over_weights']:12.2f}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
