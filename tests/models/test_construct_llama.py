"""Llamas of tasks: exact in stock transformers, certified, and one error where a task does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer import Model, Shape, construct
from serialformer.architecture import DtypeName
from serialformer.constructions.placed_tasks import place_task
from serialformer.constructions.tasks import task_construction
from serialformer.errors import CompileError, TaskError
from serialformer.models.construction_of import construction_of
from serialformer.proofs.induction import InductionError
from serialformer.proofs.placed_embeddings import check_placed_claims
from serialformer.tasks.registry import make_task
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer
from tests.effort import pairs
from tests.proofs.mutations import mutate

CASES: dict[str, tuple[str, dict[str, int | str], int]] = {
    "parity": ("parity", {}, 16),
    "majority": ("majority", {}, 9),
    "sums modulo 7": ("modular-addition", {}, 12),
    "products in D6": ("word-problem", {"group": "D6"}, 5),
    "an automaton": ("automaton", {}, 9),
    "an automaton with a verdict": ("automaton", {"accepting": "0,2", "start": 1}, 7),
    "permutations in brackets": ("permutation-composition", {"degree": 4}, 3),
    "permutations as symbols": ("permutation-composition", {"format": "symbols"}, 3),
}
FORMATS: tuple[DtypeName, ...] = ("float32", "bfloat16", "float16")


def made(name: str, dtype: DtypeName = "float32", shape: Shape | None = None) -> Model:
    task, parameters, length = CASES[name]
    return construct(make_task(task, parameters), length, target="llama", dtype=dtype, shape=shape)


def sequences(model: Model, count: int = 24) -> np.ndarray:
    """Prompts and their true chains, by the task's own solver, in its own tokens."""
    examples = model.task.sample(np.random.default_rng(3), model.length, count)
    return np.concatenate([examples.prompts, examples.chains], axis=1)


def says(model: Model, transformer: Transformer, plain: np.ndarray, dtype: type[np.floating]) -> np.ndarray:
    """What each position from the end of the prompt on writes, in the task's own tokens."""
    with np.errstate(all="ignore"):
        logits = compute_logits(transformer, model.items.place(plain), dtype=dtype)
    if not np.isfinite(logits).all():
        return np.zeros((0, 0), dtype=np.int64)
    start = plain.shape[1] - model.num_new_tokens - 1
    return model.items.read(logits[:, start:].argmax(axis=-1), start + 1)


def should_say(model: Model, plain: np.ndarray) -> np.ndarray:
    end = model.task.end_token(model.length)
    chain = plain[:, plain.shape[1] - model.num_new_tokens :]
    return np.concatenate([chain, np.full((len(plain), 1), end)], axis=1)


@pytest.mark.parametrize(("name", "dtype"), pairs(CASES, FORMATS))
def test_the_levels_agree(name: str, dtype: DtypeName) -> None:
    model = made(name, dtype)
    assert model.certificate is not None and model.certificate.holds
    assert model.transformer.architecture.family == "llama"
    plain = sequences(model)
    expected = should_say(model, plain)
    assert np.array_equal(says(model, model.transformer, plain, np.float32), expected)
    prompts = plain[:, : plain.shape[1] - model.num_new_tokens]
    for engine in ("dense", "indexed"):
        tokens = model.engine(engine).generate(model.items.place(prompts), model.num_new_tokens)
        assert np.array_equal(model.items.read(tokens, prompts.shape[1]), expected[:, :-1])


@pytest.mark.parametrize(("name", "dtype"), pairs(CASES, ["float32", "bfloat16"]))
def test_transformers_generates_the_chain(name: str, dtype: DtypeName, tmp_path: Path) -> None:
    """From text, with nothing of ours; the lead is no less than was proven."""
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    torch = pytest.importorskip("torch")
    model = made(name, dtype).save(tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert type(stock).__name__ == "LlamaForCausalLM" and str(stock.dtype) == f"torch.{dtype}"
    plain = sequences(model, 4)
    tokens, vocabulary = model.items.place(plain), model.transformer.architecture.vocabulary
    start = plain.shape[1] - model.num_new_tokens
    for row in tokens:
        text = "".join(f" {vocabulary[token]}" for token in row[:start])
        given = tokenizer(text, return_tensors="pt")
        assert given["input_ids"][0].tolist() == row[:start].tolist()
        ended = stock.generate(**given, max_new_tokens=model.num_new_tokens + 1, do_sample=False)[0]
        assert ended[:-1].tolist() == row.tolist() and ended[-1] == tokenizer.eos_token_id
    with torch.no_grad():
        logits = np.sort(stock(torch.from_numpy(tokens)).logits.double().numpy()[:, start - 1 :], axis=-1)
    assert model.certificate is not None
    assert (logits[..., -1] - logits[..., -2]).min() >= model.certificate.logits.rounded > 0


@pytest.mark.parametrize(
    "shape",
    [
        Shape(layers=2),
        Shape(layers=3, head_width=32),
        Shape(tied=True),
        Shape(key_heads=1, hidden=252),
        Shape(head_biases=True),
    ],
)
def test_shapes(shape: Shape) -> None:
    for name in ("parity", "permutations as symbols"):
        model = made(name, "float32", shape)
        plain = sequences(model, 6)
        assert np.array_equal(says(model, model.transformer, plain, np.float32), should_say(model, plain))


def test_a_checkpoint_is_whole(tmp_path: Path) -> None:
    model = made("sums modulo 7").save(tmp_path / "model")
    loaded = serialformer.load(tmp_path / "model")
    assert serialformer.certify(loaded) == model.certificate
    transcript = loaded.run("3 5 6 0 1 2 3 4 5 6 0 1")
    assert transcript.made == ("3", "1", "0", "0", "1", "3", "6", "3", "1", "0", "0", "1") and transcript.answer == (
        "1",
    )
    scores = serialformer.evaluate(loaded, num_samples=50).score.accuracies
    assert scores["chain_accuracy"] == scores["generated_chain_accuracy"] == scores["generated_answer_accuracy"] == 1.0
    reads = loaded.ground_truth(transcript).reads
    # All heads bring the symbol whose sum is written next.
    assert {row["position"] - 12: row["reads"] for row in reads.rows()} == {step: step for step in range(12)} | {12: 0}
    cached = loaded.run_with_cache(transcript)
    assert (
        cached.arrays["logits"][12:].argmax(axis=-1).tolist()[:3]
        == loaded.items.place(np.concatenate([transcript.prompt, transcript.chain])[None])[0, 13:16].tolist()
    )


def test_a_head_that_is_missing_shows() -> None:
    for name in CASES:
        model = made(name)
        plain = sequences(model)
        layer = model.transformer.layers[0]
        gone = replace(layer, attention_out_weight=np.zeros_like(layer.attention_out_weight))
        broken = replace(model.transformer, layers=(gone,))
        assert not np.array_equal(says(model, broken, plain, np.float32), should_say(model, plain))
        assert not serialformer.certify(replace(model, transformer=broken, proof=None)).holds


@pytest.mark.parametrize(
    ("name", "length", "options", "message"),
    [
        ("iterated-squaring", 4, {}, "differ in length, so that a token of a Llama cannot say where it stands"),
        ("iterated-squaring", 1, {}, "brings values into fields that tokens decide"),
        ("circuit-value", 4, {}, "circuit-value takes circuits of any size"),
        ("parity", 4, {"shape": Shape(addressing="window")}, "a task's heads go by names"),
        ("parity", 4, {"activation": "relu"}, "target llama has no activation"),
        ("word-problem", 12, {"dtype": "bfloat16"}, "in bfloat16 it would not hold"),
        ("word-problem", 2000, {}, "one for each position and each token that can stand there"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, length: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=message) as caught:
        construct(name, length, target="llama", **options)
    assert caught.value.hint


def test_other_lengths_and_targets_are_refused() -> None:
    with pytest.raises(TaskError, match="made for prompts of 16 items, and each of its tokens says where it stands"):
        made("parity").run("0 1 1")
    with pytest.raises(CompileError, match="no construction of tasks for the target 'paper'"):
        construct("parity", 4, target="paper")


def test_the_end_must_stand_where_no_unit_writes() -> None:
    original = task_construction(make_task("parity"), 4)
    construction, placed = place_task(original)
    check_placed_claims(construction, placed)
    assert construction_of(made("parity")).num_units == 4
    with pytest.raises(InductionError, match="the default is not the end of the chain"):
        check_placed_claims(original, placed)
    with pytest.raises(InductionError, match="units may write the end of the chain"):
        check_placed_claims(replace(original, default=construction.default), placed)


def check_mutations(name: str, number: int, seed: int, dtype: DtypeName = "float32") -> tuple[int, int]:
    """Alters one weight at a time; returns how many were certified, and how many were wrong.

    Raises:
        AssertionError: one was both.
    """
    model, random = made(name, dtype), np.random.default_rng(seed)
    plain = sequences(model, 16)
    expected, certified, wrong = should_say(model, plain), 0, 0
    for _ in range(number):
        transformer, what = mutate(model.transformer, random)
        holds = serialformer.certify(replace(model, transformer=transformer)).holds
        right = np.array_equal(says(model, transformer, plain, np.float32), expected)
        assert right or not holds, what
        certified, wrong = certified + holds, wrong + (not right)
    return certified, wrong


@pytest.mark.parametrize("name", ["parity", "permutations as symbols"])
def test_no_wrong_checkpoint_is_certified(name: str) -> None:
    certified, wrong = check_mutations(name, 40, 1)
    assert certified > 2 and wrong > 2
