"""Certificates: seconds and memory for random circuits of 10^3 to 10^6 gates, and how many wrong checkpoints they take.

Each size is certified in a process of its own, from its checkpoint directory; memory is the process's peak less what
loading alone took. `--mutations N` alters one weight at a time in small models and compares the certificate with runs
of all inputs (`--target llama`: of Llamas, Mistrals and Qwen2s, with tied embeddings and without); `--constructions N`
does so N times for each of the constructions of tasks and evaluators, with a chain and without, and compares with runs
of some prompts of each shape.

    python benchmarks/certificate.py [--sizes 1000 10000 100000 1000000] [--mutations 10000] [--seed 1] [--target llama]
                                     [--constructions 2000] [--only NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import serialformer
from serialformer import Model, Shape
from serialformer.architecture import DtypeName
from serialformer.models.lower import Target

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

DTYPES: tuple[DtypeName, ...] = ("float32", "bfloat16")

MEASURE = """
import json, resource, sys, time
import serialformer
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
small = serialformer.CircuitBuilder()
small.output("y", small.and_(*small.inputs("a", 2)))
serialformer.certify(serialformer.compile(small.circuit()))  # loads the compiled loops
model = serialformer.load(sys.argv[1])
loaded = peak()
started = time.perf_counter()
certificate = serialformer.certify(model)
seconds = time.perf_counter() - started
print(json.dumps({
    "gates": model.circuit.num_gates, "holds": certificate.holds, "seconds": seconds,
    "beyond_loading_bytes": peak() - loaded, "weights_bytes": model.transformer.num_bytes,
    "attention_gap": certificate.attention.rounded, "logit_margin": certificate.logits.rounded,
}))
"""


def measure(num_gates: int) -> dict[str, object]:
    from compile import random_circuit  # the benchmark beside this one

    with tempfile.TemporaryDirectory() as folder:
        serialformer.compile(random_circuit(num_gates)).save(Path(folder, "model"))
        run = subprocess.run(
            [sys.executable, "-c", MEASURE, str(Path(folder, "model"))], capture_output=True, text=True, check=True
        )
    return dict(json.loads(run.stdout))


def models_to_alter(target: Target) -> dict[str, Model]:
    """Small models of a target by name; those whose names begin with \"tied\" have tied embeddings."""
    from tests.cases import small_circuits

    from serialformer.engines.recurrences import shift_register_circuit

    cases = small_circuits()
    names = ["random, 2 inputs a gate", "random, 3 inputs a gate", "two-input table 0110", "inverters only"]
    plain = {"": Shape(hidden=64, head_width=16), "one layer, ": Shape(hidden=96, head_width=16, layers=1)}
    shapes: dict[str, Shape | None] = {"": None}
    if target == "llama":
        shapes = {**plain, **{f"tied, {name}": replace(shape, tied=True) for name, shape in plain.items()}}
    models = {
        f"{title}{name}, {dtype}": serialformer.compile(cases[name], dtype=dtype, target=target, shape=shape)
        for title, shape in shapes.items()
        for name in names
        for dtype in DTYPES
    }
    if target == "gpt2":
        return models
    register = shift_register_circuit(1, num_inputs=7, num_gates=12, distances=(6, 2, 0))
    for tied in (False, True):
        for addressing, biases in (("distances", None), ("window", None), ("distances", True), ("names", True)):
            for dtype in DTYPES:
                shape = Shape(addressing=addressing, head_biases=biases, hidden=64, head_width=16, layers=1, tied=tied)
                title = f"{'tied, ' if tied else ''}{addressing}{', biases' if biases else ''}, {dtype}"
                models[title] = serialformer.compile(register, dtype=dtype, target=target, shape=shape)
    return models


def try_mutations(number: int, target: Target, seed: int, names: list[str]) -> Counter[str]:
    """How many altered checkpoints were right or wrong, certified or not; says of each that is wrong and certified."""
    from tests.proofs.mutations import is_right, mutate

    random, counts = np.random.default_rng(seed), Counter[str]()
    models = [
        model
        for title, model in models_to_alter(target).items()
        if not names or any(title.startswith(name) for name in names)
    ]
    for index in range(number):
        model = models[index % len(models)]
        transformer, what = mutate(model.transformer, random)
        holds = serialformer.certify(replace(model, transformer=transformer)).holds
        right = is_right(model, transformer)
        if holds and not right:
            print(f"wrong and certified: {index}, {what}", flush=True)
        if index % 500 == 499:
            print(f"{index + 1:,} altered", flush=True)
        counts[f"{'right' if right else 'wrong'}, {'certified' if holds else 'refused'}"] += 1
    return counts


def try_constructions(number: int, names: list[str]) -> dict[str, tuple[int, int]]:
    """The same for each construction, or those named, with the construction as the only witness.

    Returns:
        How many altered models were certified, and how many were wrong.

    Raises:
        AssertionError: one was both.
    """
    from tests.models import test_construct_llama, test_llama_without_a_chain
    from tests.proofs import test_constructions, test_counting, test_packed

    checks: dict[str, Callable[[], tuple[int, int]]] = {
        name: partial(test_constructions.check_mutations, name, number, 1, 40) for name in test_constructions.SOME
    }
    for shape in test_packed.MUTATED:
        title = f"{shape[0]} gates per token, layers: {shape[1]}"
        checks[title] = partial(test_packed.check_mutations, shape, number, 1)
    for count in test_counting.MUTATED:
        checks[f"counting: {count[0]} of {count[2]}"] = partial(test_counting.check_mutations, count, number, 3)
    for dtype in DTYPES:
        for case in test_construct_llama.CASES:
            title = f"llama: {case}, {dtype}"
            checks[title] = partial(test_construct_llama.check_mutations, case, number, 2, dtype)
    for name, make in test_llama_without_a_chain.mutants().items():
        checks[f"llama without a chain: {name}"] = lambda make=make: test_llama_without_a_chain.check_mutations(
            make(), number, 2
        )
    for task in ("squarings", "circuits"):
        for dtype in DTYPES:
            checks[f"llama without a chain: {task}, {dtype}"] = partial(
                test_llama_without_a_chain.check_several_lengths, task, number, 2, dtype
            )
    found = {}
    for name, check in checks.items():
        if names and not any(name.startswith(one) for one in names):
            continue
        certified, wrong = found[name] = check()
        print(
            f"{name}: {number:,} altered, {wrong:,} wrong, {certified:,} certified, none of the wrong ones", flush=True
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--mutations", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1, help="of the mutations")
    parser.add_argument("--target", choices=["gpt2", "llama"], default="gpt2")
    parser.add_argument("--constructions", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="models whose names begin so")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = [measure(size) for size in arguments.sizes]
    if rows:
        print("| gates | certified | seconds | beyond loading MB | weights MB | attention gap | logit margin |")
        print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['gates']:,} | {row['holds']} | {row['seconds']:.2f} | {row['beyond_loading_bytes'] / 1e6:.0f}"
            f" | {row['weights_bytes'] / 1e6:.1f} | {row['attention_gap']:.1f} | {row['logit_margin']:.1f} |"
        )
    counts = (
        try_mutations(arguments.mutations, arguments.target, arguments.seed, arguments.only)
        if arguments.mutations
        else Counter[str]()
    )
    for what, count in sorted(counts.items()):
        print(f"{what}: {count:,}")
    constructions = try_constructions(arguments.constructions, arguments.only) if arguments.constructions else {}
    if arguments.json:
        content = {"sizes": rows, "mutations": counts, "constructions": constructions}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
