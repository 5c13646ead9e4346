"""Decoding: tokens per second by context length, and gate evaluations per second of batches, engines side by side.

    python benchmarks/decode.py [--sizes 1000 10000 100000 1000000] [--json FILE] [--plot FILE]

Single inputs: our engines, transformers' generate, CTranslate2 and ONNX Runtime (where installed) on one checkpoint a
size, one thread; an engine that would take longer than --patience seconds at a size is left out there. Batches: the
sliced engine, direct simulation of the circuit by ``evaluate``, and ABC's ``sim`` of the same circuit (with pyosys).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np

import serialformer
from serialformer import Circuit, Model, write
from serialformer.circuits.evaluate import pack_rows
from serialformer.circuits.kernels import evaluate_packed
from serialformer.decode.sliced import SlicedEngine

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.compile import random_circuit
from make_multiplier import multiplier


def seconds(function: Callable[[], object], repeats: int) -> float:
    """The median time of a call, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return median(times)


def measure_tokens(num_gates: int, patience: float, rates: dict[str, float]) -> list[dict[str, object]]:
    """Tokens a second of every engine on one checkpoint; ``rates`` carries what is known of each from smaller sizes."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        model = serialformer.compile(random_circuit(num_gates)).save(Path(folder, "model"))
        assert model.directory is not None
        bits = np.random.default_rng(0).integers(0, 2, (1, model.words.num_inputs), dtype=np.uint8)
        prompts, count = model.prompts(bits), model.num_new_tokens
        loading = time.perf_counter()
        indexed = serialformer.load(model.directory).engine("indexed")
        loading = time.perf_counter() - loading
        expected = indexed.generate(prompts, count)
        engines: dict[str, Callable[[], np.ndarray]] = {
            "indexed": lambda: indexed.generate(prompts, count),
            "dense": lambda: model.engine("dense").generate(prompts, count),
        }
        if importlib.util.find_spec("transformers"):
            engines["transformers"] = transformers_engine(model, prompts, count)
        if importlib.util.find_spec("ctranslate2") and importlib.util.find_spec("transformers"):
            engines["ctranslate2"] = ctranslate2_engine(model, prompts, count)
        if importlib.util.find_spec("optimum") and importlib.util.find_spec("onnxruntime"):
            engines["onnxruntime"] = onnxruntime_engine(model, prompts, count)
        for name, engine in engines.items():
            # The cost a token of a dense engine grows with the context, so the rate seen before is an upper bound.
            if name in rates and count / rates[name] > patience / 2:
                continue
            started = time.perf_counter()
            made = engine()
            taken = time.perf_counter() - started
            assert np.array_equal(made, expected), name
            if taken < 5:
                taken = seconds(engine, 7 if name == "indexed" else 3)
            rates[name] = count / taken
            row = {
                "engine": name,
                "tokens": count,
                "tokens_per_second": count / taken,
                "ns_per_token": 1e9 * taken / count,
            }
            if name == "indexed":
                row["load_and_index_s"] = loading
            rows.append(row)
            print(
                f"{count:9,}  {name:13} {count / taken:13,.0f} tokens/s  {1e9 * taken / count:12,.0f} ns a token",
                flush=True,
            )
        print(f"{count:9,}  load and index {loading:.2f} s", flush=True)
    return rows


def transformers_engine(model: Model, prompts: np.ndarray, count: int) -> Callable[[], np.ndarray]:
    import torch

    torch.set_num_threads(1)
    engine = model.engine("hf")
    return lambda: engine.generate(prompts, count)


def ctranslate2_engine(model: Model, prompts: np.ndarray, count: int) -> Callable[[], np.ndarray]:
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    vocabulary = model.transformer.architecture.vocabulary
    converted = Path(str(model.directory) + ".ct2")
    TransformersConverter(str(model.directory)).convert(str(converted))
    generator = ctranslate2.Generator(str(converted), intra_threads=1)
    prompt = [vocabulary[token] for token in prompts[0]]

    def generate() -> np.ndarray:
        made = generator.generate_batch(
            [prompt], max_length=count, sampling_topk=1, include_prompt_in_result=False, end_token="<unk>"
        )
        return np.array([[vocabulary.index(text) for text in made[0].sequences[0]]])

    return generate


def onnxruntime_engine(model: Model, prompts: np.ndarray, count: int) -> Callable[[], np.ndarray]:
    """By optimum-onnx, which needs transformers 4 and so an environment of its own."""
    import onnxruntime
    import torch
    from optimum.onnxruntime import ORTModelForCausalLM

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    exported = ORTModelForCausalLM.from_pretrained(
        str(model.directory), export=True, use_cache=True, session_options=options
    )
    tokens = torch.from_numpy(prompts)

    def generate() -> np.ndarray:
        mask = torch.ones_like(tokens)
        made = exported.generate(tokens, attention_mask=mask, do_sample=False, max_new_tokens=count)
        return np.asarray(made[:, tokens.shape[1] :])

    return generate


def measure_batches(circuit: Circuit, name: str) -> list[dict[str, object]]:
    """Gate evaluations a second: the sliced engine, packed and from bits to bits; ``evaluate``; ABC."""
    model = serialformer.compile(circuit)
    engine = SlicedEngine(model.transformer)
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (1 << 14, circuit.num_inputs), dtype=np.uint8)
    program = engine.program(model.prompts(bits[:2]), model.num_new_tokens)
    rows = []
    arrays = (circuit.num_inputs, circuit.fan_in, circuit.arity, circuit.table)
    for words in (16, 32):
        packed = pack_rows(bits[: 64 * words], words)
        values = np.empty((circuit.num_wires, words), dtype=np.uint64)
        values[: circuit.num_inputs] = packed
        timed = {"sliced": seconds(partial(program.evaluate, packed), 31)}
        timed["evaluate"] = seconds(partial(evaluate_packed, *arrays, values), 31)
        for label, taken in timed.items():
            rows.append({"what": f"{label}, {64 * words} inputs per pass", "inputs_per_second": 64 * words / taken})
    whole = seconds(lambda: model.run_bits(bits, engine=engine), 5)
    rows.append({"what": "sliced, rows of bits to rows of bits", "inputs_per_second": len(bits) / whole})
    if importlib.util.find_spec("pyosys"):
        for label, flags in (("ABC sim", ""), ("ABC sim -n", "-n")):
            rows.append({"what": label, "inputs_per_second": abc_inputs_per_second(circuit, flags)})
    print(f"{name}: {circuit.num_gates:,} gates")
    for row in rows:
        row |= {"circuit": name, "gates": circuit.num_gates}
        row["gate_evaluations_per_second"] = row["inputs_per_second"] * circuit.num_gates
        print(f"  {row['what']:38} {row['gate_evaluations_per_second'] / 1e9:8.1f} G gate evaluations/s")
    return rows


def abc_inputs_per_second(circuit: Circuit, flags: str) -> float:
    """Input vectors a second of ABC's ``sim`` (words of 32), from the difference of two widths."""
    import pyosys

    binary = Path(pyosys.__file__).parent / "yosys-abc"
    with tempfile.TemporaryDirectory() as folder:
        write(circuit, Path(folder, "c.aig"))
        times = []
        for words in (200, 2200):
            # -m: any circuit, not a miter, whose simulation stops at the first output that is 1.
            command = [binary, "-q", f"read c.aig; sim -m {flags} -F 1 -W {words}"]
            times.append(seconds(partial(subprocess.run, command, cwd=folder, check=True, capture_output=True), 7))
    return 2000 * 32 / (times[1] - times[0])


def plot(rows: list[dict[str, object]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.5), constrained_layout=True)
    styles = {"indexed": "o-", "dense": "s--", "transformers": "^:", "ctranslate2": "v-.", "onnxruntime": "d-"}
    for name, style in styles.items():
        mine = [row for row in rows if row["engine"] == name]
        if mine:
            axes.loglog([row["tokens"] for row in mine], [row["ns_per_token"] for row in mine], style, label=name)
    axes.set_xlabel("chain length (tokens)")
    axes.set_ylabel("nanoseconds a token")
    axes.legend(frameon=False, loc="center right")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--patience", type=float, default=240)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    tokens: list[dict[str, object]] = []
    rates: dict[str, float] = {}
    for size in arguments.sizes or ():
        tokens += measure_tokens(size, arguments.patience, rates)
    batches = measure_batches(multiplier(68), "68 by 68 bit multiplier")
    if arguments.json:
        arguments.json.write_text(json.dumps({"tokens": tokens, "batches": batches}, indent=1) + "\n")
    if arguments.plot:
        plot(tokens, arguments.plot)


if __name__ == "__main__":
    main()
