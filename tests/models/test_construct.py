"""Constructed models in stock transformers, token for token, and as they lie in a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer.models.construct import construct
from serialformer.models.evaluate import evaluate
from serialformer.models.load import load
from serialformer.tasks.registry import make_task

MODELS: list[tuple[str, dict[str, int | str], int]] = [
    ("majority", {}, 9),
    ("modular-addition", {}, 9),
    ("word-problem", {}, 9),
    ("permutation-composition", {}, 3),
    ("automaton", {"accepting": "2"}, 9),
    ("iterated-squaring", {"bound": 100}, 8),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "parameters", "length"), MODELS, ids=[f"{name}-{n}" for name, _, n in MODELS])
def test_transformers_generates_the_chain(
    tmp_path: Path, name: str, parameters: dict[str, int | str], length: int, dtype: Any
) -> None:
    """Text in, text out, by generate alone; with one more token than the chain has, which is the end mark."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    task = make_task(name, parameters)
    construct(task, length, dtype=dtype).save(tmp_path / "m")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=getattr(torch, dtype))
    examples = task.sample(np.random.default_rng(5), length, 8)
    texts = np.array(task.vocabulary(length))
    for rows in examples.blocks(8):
        block = examples.select(rows)
        prompts = [" ".join(texts[prompt[:-1]]) for prompt in block.prompts]  # the tokenizer appends "="
        given = tokenizer(prompts, return_tensors="pt")
        assert np.array_equal(given["input_ids"].numpy(), block.prompts)
        with torch.no_grad():
            made = theirs.generate(**given, max_new_tokens=block.chains.shape[1] + 1)
        made = made[:, given["input_ids"].shape[1] :]
        assert [tokenizer.convert_ids_to_tokens(row.tolist()) for row in made] == [
            [*texts[chain], "="] for chain in block.chains
        ]


@pytest.mark.parametrize(("name", "parameters", "length"), MODELS[2:], ids=[name for name, _, _ in MODELS[2:]])
def test_saved_loaded_and_scored(tmp_path: Path, name: str, parameters: dict[str, int | str], length: int) -> None:
    made = construct(make_task(name, parameters), length).save(tmp_path / "m")
    found = load(tmp_path / "m")
    assert found.provenance == made.provenance and serialformer.info(found)["construction"] == name
    score = evaluate(found, num_samples=30).score
    assert score.samples == 30 and set(score.accuracies.values()) == {1.0}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transformers_squares_modulo_every_prime(tmp_path: Path, dtype: Any) -> None:
    """The bound of the paper: 64 prompts of up to 16 squarings."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    construct(make_task("iterated-squaring"), 16, dtype=dtype).save(tmp_path / "m")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=getattr(torch, dtype))
    random = np.random.default_rng(3)
    primes = [prime for prime in range(2, 1000) if all(prime % divisor for divisor in range(2, int(prime**0.5) + 1))]
    for squarings in (1, 7, 15, 16):
        chosen = random.choice(primes, 16)
        residues = random.integers(1, chosen)
        prompts = [[prime, residue, *[1001] * squarings, 1000] for prime, residue in zip(chosen, residues, strict=True)]
        given = torch.tensor(np.array(prompts, dtype=np.int64))
        with torch.no_grad():
            made = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=squarings + 1)
        assert made[:, given.shape[1] :].tolist() == [
            [*(pow(int(r), 2**i, int(p)) for i in range(1, squarings + 1)), 1000]
            for p, r in zip(chosen, residues, strict=True)
        ]
