"""Compiles the 16-bit multiplier next to this file into a GPT-2 and multiplies with it, by chain of thought."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import serialformer

CIRCUIT = Path(__file__).with_name("multiplier16.blif")
CHECKPOINT = Path("demo")


def main() -> None:
    shutil.rmtree(CHECKPOINT, ignore_errors=True)
    started = time.perf_counter()
    circuit = serialformer.read(CIRCUIT)
    model = serialformer.compile(circuit).save(CHECKPOINT)
    compiled = time.perf_counter() - started
    a, b = 51234, 47111
    transcript = model.run(a=a, b=b)
    product = transcript["product"]
    shape = model.transformer.architecture
    print(f"circuit     {circuit.num_gates:,} gates, depth {circuit.depth}, from {CIRCUIT.name}")
    print(
        f"checkpoint  {CHECKPOINT}/: stock GPT-2, {shape.num_layers} layer, {shape.num_heads} heads,"
        f" width {shape.width}, {model.transformer.num_parameters:,} parameters,"
        f" {model.transformer.num_bytes / 1e6:.2f} MB,"
        f" compiled in {compiled:.2f} s"
    )
    print(
        f"thought     {len(transcript.chain):,} tokens in {transcript.seconds:.2f} s,"
        f" the last {circuit.num_outputs} are:"
    )
    print(f"            {transcript.text[-circuit.num_outputs :]}  (least significant bit first)")
    print(f"answer      {a} x {b} = {product}  ({'correct' if product == a * b else 'WRONG'})")
    print(
        f"""
Load it anywhere that reads GPT-2, for example with transformers (pip install 'serialformer[torch]'):

    from transformers import AutoModelForCausalLM, AutoTokenizer
    model = AutoModelForCausalLM.from_pretrained("{CHECKPOINT}")
    tokenizer = AutoTokenizer.from_pretrained("{CHECKPOINT}")
    tokens = model.generate(**tokenizer(f"{{{a}:016b}}"[::-1] + f"{{{b}:016b}}"[::-1], return_tensors="pt"))
    int(tokenizer.decode(tokens[0])[-32:][::-1], 2)  # {a * b}

Watch it think:  .venv/bin/serialformer run {CHECKPOINT} -i a={a} -i b={b} --trace"""
    )
    if product != a * b:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
