"""Llamas without a chain: circuits and tasks that answer at once, exact in stock transformers and certified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import serialformer
from serialformer import Circuit, CircuitBuilder, Model, Shape, construct
from serialformer.architecture import DtypeName
from serialformer.circuits.strategies import circuits
from serialformer.constructions.circuit_depth import circuit_depth_construction
from serialformer.constructions.interpret import interpret
from serialformer.constructions.placed_depth import place_without_chain, standing_tokens
from serialformer.constructions.task_depth import task_depth_construction
from serialformer.errors import CompileError, TaskError
from serialformer.interp.suite import build_adder
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.construction_of import construction_of
from serialformer.models.depth import unproven_outputs
from serialformer.models.trace import trace_lines
from serialformer.proofs.induction import InductionError
from serialformer.proofs.placed_embeddings import check_placed_claims
from serialformer.tasks.registry import make_task
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer
from tests.cases import small_circuits, some_inputs
from tests.constructions.test_circuit_depth import depth_prompts, slow_outputs
from tests.effort import effort, pairs
from tests.proofs.mutations import mutate

CIRCUITS = small_circuits()
TASKS: dict[str, tuple[str, dict[str, int | str], int]] = {
    "parity": ("parity", {}, 9),
    "majority": ("majority", {}, 5),
    "sums modulo 7": ("modular-addition", {}, 6),
    "products in S5": ("word-problem", {}, 4),
    "products in S3": ("word-problem", {"group": "S3"}, 5),
    "an automaton": ("automaton", {}, 6),
    "an automaton with a verdict": ("automaton", {"accepting": "0,2", "start": 1}, 5),
    "permutations in brackets": ("permutation-composition", {"degree": 4}, 3),
    "permutations as symbols": ("permutation-composition", {"format": "symbols", "degree": 3}, 4),
    "permutations as tokens": ("permutation-composition", {"format": "token", "degree": 4}, 3),
}
FORMATS: tuple[DtypeName, ...] = ("float32", "bfloat16", "float16")
SMALL = Shape(hidden=128, head_width=16, spare_positions=2)


def made_circuit(circuit: Circuit, dtype: DtypeName = "float32", shape: Shape | None = None) -> Model:
    return serialformer.compile(circuit, chain="none", target="llama", dtype=dtype, shape=shape)


def made_task(name: str, dtype: DtypeName = "float32", shape: Shape | None = None) -> Model:
    task, parameters, length = TASKS[name]
    return construct(make_task(task, parameters), length, setting="base", target="llama", dtype=dtype, shape=shape)


def sequences(model: Model, count: int) -> tuple[np.ndarray, int]:
    """Prompts with true answers in plain tokens, by plain Python or the task's solver, and the prompt's length."""
    if isinstance(model.protocol, CircuitWords):
        bits = some_inputs(model.words.num_inputs, count)
        prompts, answers = depth_prompts(model.circuit, bits), slow_outputs(model.circuit, bits)
    else:
        examples = model.task.sample(np.random.default_rng(3), model.length, count)
        prompts, answers = examples.prompts, examples.answers
    return np.concatenate([prompts, answers], axis=1), prompts.shape[1]


def place(model: Model, plain: np.ndarray) -> np.ndarray:
    assert model.placed is not None
    return model.placed.place(plain)


def says(
    model: Model, transformer: Transformer, plain: np.ndarray, first: int, dtype: type[np.floating] = np.float32
) -> np.ndarray:
    """What each position from ``=`` on writes, in plain tokens."""
    assert model.placed is not None
    with np.errstate(all="ignore"):
        logits = compute_logits(transformer, place(model, plain), dtype=dtype)
    if not np.isfinite(logits).all():
        return np.zeros((0, 0), dtype=np.int64)
    return model.placed.read(logits[:, first - 1 :].argmax(axis=-1), first)


def should_say(model: Model, plain: np.ndarray, first: int) -> np.ndarray:
    assert model.placed is not None
    return np.pad(plain[:, first:], ((0, 0), (0, 1)), constant_values=model.placed.plain_end)


def check_levels(model: Model, count: int = 32) -> None:
    """Construction, numpy and the engines all say what plain Python says, and end there."""
    assert model.certificate is not None and model.certificate.holds
    assert model.transformer.architecture.family in ("llama", "qwen2")
    plain, first = sequences(model, count)
    expected = should_say(model, plain, first)
    number = plain.shape[1] - first
    assert np.array_equal(interpret(construction_of(model), plain[:, :first], number + 1), expected)
    assert np.array_equal(says(model, model.transformer, plain, first), expected)
    assert model.placed is not None
    # The engines write what each prefix says one token after the other: a few prompts tell whether they agree.
    tokens = model.engine("indexed").generate(place(model, plain[:3, :first]), number + 3)
    assert np.array_equal(model.placed.read(tokens, first), expected[:3])


@pytest.mark.parametrize(("name", "dtype"), pairs(CIRCUITS, FORMATS))
def test_small_circuits(name: str, dtype: DtypeName) -> None:
    check_levels(made_circuit(CIRCUITS[name], dtype))


@pytest.mark.parametrize(("name", "dtype"), pairs(TASKS, FORMATS))
def test_tasks(name: str, dtype: DtypeName) -> None:
    check_levels(made_task(name, dtype), 24)


@effort(0.1)
@given(circuits(max_inputs=5, max_gates=12))
def test_random_circuits(circuit: Circuit) -> None:
    check_levels(made_circuit(circuit, "bfloat16", Shape(head_width=32)), 16)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(head_width=32, key_heads=1),
        Shape(hidden=192, key_heads=4, head_width=16, spare_positions=1),
        Shape(tied=True),
        Shape(head_biases=True),
        Shape(head_biases=True, tied=True),
    ],
)
def test_shapes(shape: Shape) -> None:
    check_levels(made_circuit(build_adder(2), "bfloat16", shape), 16)
    check_levels(made_task("products in S3", "float32", shape), 16)


@pytest.mark.parametrize(
    ("made", "dtype"), pairs(["an adder", "products in S5", "permutations in brackets"], FORMATS, each=2)
)
def test_transformers_generates_the_answer(made: str, dtype: DtypeName, tmp_path: Path) -> None:
    """From text, with nothing of ours; the lead is no less than was proven."""
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    torch = pytest.importorskip("torch")
    model = made_task(made, dtype) if made in TASKS else made_circuit(build_adder(3), dtype)
    model = model.save(tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert type(stock).__name__ == "LlamaForCausalLM" and str(stock.dtype) == f"torch.{dtype}"
    plain, first = sequences(model, 9)
    tokens, vocabulary = place(model, plain), model.transformer.architecture.vocabulary
    for row in tokens:
        text = "".join(f" {vocabulary[token]}" for token in row[:first])
        given_ids = tokenizer(text, return_tensors="pt")
        assert given_ids["input_ids"][0].tolist() == row[:first].tolist()
        ended = stock.generate(**given_ids, max_new_tokens=len(row) - first + 3, do_sample=False)[0]
        assert ended[:-1].tolist() == row.tolist() and ended[-1] == tokenizer.eos_token_id
    with torch.no_grad():
        logits = np.sort(stock(torch.from_numpy(tokens)).logits.double().numpy()[:, first - 1 :], axis=-1)
    assert model.certificate is not None
    assert (logits[..., -1] - logits[..., -2]).min() >= model.certificate.logits.rounded > 0


def test_a_deep_circuit_is_exact() -> None:
    """Errors do not grow from layer to layer: a ripple adder of 16 bits takes 32 layers."""
    leads = {}
    for width in (4, 16):
        model = made_circuit(build_adder(width), "float32", Shape(head_width=32))
        assert model.certificate is not None
        leads[width] = model.certificate.logits
        assert model.transformer.architecture.num_layers == 2 * width
    assert leads[16].rounded > 0.95 * leads[4].rounded
    values = {"a": 0xFFFF, "b": 0x0001}
    assert model.run(values).outputs == serialformer.compile(build_adder(16), chain="none").run(values).outputs


def test_fewer_layers_are_right_on_shallow_outputs() -> None:
    circuit = build_adder(2)
    with pytest.raises(CompileError, match="expected at least 4 layers"):
        serialformer.compile(circuit, chain="none", target="llama", layers=2)
    model = serialformer.compile(circuit, chain="none", target="llama", layers=2, partial=True)
    assert model.transformer.architecture.num_layers == 2 and unproven_outputs(model)
    assert model.certificate is not None and "for 1 of 3 output bits" in model.certificate.prompts
    shallow = construct("parity", 9, setting="base", depth=2, target="llama")
    assert shallow.certificate is not None and shallow.certificate.prompts.endswith("the last 3 come to")
    assert shallow.run("1 0 0 0 1 0 1 1 1").made == ("1",)


def test_a_checkpoint_is_whole(tmp_path: Path) -> None:
    for model in (made_circuit(build_adder(2), "bfloat16"), made_task("sums modulo 7", "float16")):
        saved = model.save(tmp_path / model.protocol.kind)
        assert saved.directory is not None
        loaded = serialformer.load(saved.directory)
        for dtype in FORMATS:
            certificate = serialformer.certify(loaded, dtype=dtype)
            assert certificate.holds and certificate.arithmetic["storage"] == dtype
        assert serialformer.certify(loaded) == model.certificate
        check_levels(loaded, 8)


def test_a_trace_shows_each_layer() -> None:
    model, other = (serialformer.compile(build_adder(2), chain="none", target=target) for target in ("llama", "gpt2"))
    transcript = model.run(a=1, b=3)
    assert transcript.outputs == other.run(a=1, b=3).outputs
    assert list(trace_lines(model, transcript)) == list(trace_lines(other, other.run(a=1, b=3)))


def test_tasks_are_scored_and_told_in_their_own_tokens() -> None:
    model = made_task("sums modulo 7")
    transcript = model.run("3 5 6 0 1 2")
    assert transcript.made == transcript.answer == transcript.expected == ("3",)
    scores = serialformer.evaluate(model, num_samples=40).score
    assert scores.generated_answers == scores.answers == 40


@pytest.mark.parametrize("name", ["circuit", "products in S3"])
def test_heads_look_and_units_fire_as_the_ground_truth_says(name: str) -> None:
    model = made_circuit(build_adder(2)) if name == "circuit" else made_task(name)
    transcript = model.run(a=1, b=3) if name == "circuit" else model.run("1 2 3 4 5")
    truth, cached = model.ground_truth(transcript), model.run_with_cache(transcript)
    rows = list(truth.reads.rows())
    assert {row["layer"] for row in rows} == set(range(model.transformer.architecture.num_layers))
    for row in rows:
        pattern = cached[f"blocks.{row['layer']}.attn.hook_pattern"]
        assert pattern[row["head"], row["position"]].argmax() == row["reads"]
        assert pattern[row["head"], row["position"], row["reads"]] > 0.999
    fired = {(row["layer"], row["position"], row["unit"]) for row in truth.units.rows()}
    positions = range(truth.followed.first_writer, truth.followed.num_positions)
    for layer in range(model.transformer.architecture.num_layers):
        hidden = cached[f"blocks.{layer}.mlp.hook_post"]
        for position in positions:
            active = set(np.flatnonzero(hidden[position] > 8).tolist())
            assert active == {unit for of_layer, at, unit in fired if (of_layer, at) == (layer, position)}


@pytest.mark.parametrize(
    ("name", "length", "options", "message"),
    [
        ("majority", 5, {"by": "counting"}, "counts: its head takes the mean over all positions"),
        ("permutation-composition", 1, {}, "one permutation has no layer that tells where its answer ends"),
        ("parity", 4, {"shape": Shape(layers=2)}, "the number of layers follows from the depth"),
        ("parity", 4, {"shape": Shape(addressing="window")}, "without a chain heads go by names"),
        ("parity", 4, {"activation": "relu"}, "target llama has no activation"),
        ("word-problem", 9000, {}, "one for each position and each token that can stand there"),
        ("word-problem", 4, {"shape": Shape(head_width=8)}, "heads of width 8 cannot bring 16 values"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, length: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=message) as caught:
        construct(name, length, setting="base", target="llama", **options)
    assert caught.value.hint


def test_what_does_not_fit_of_circuits_is_refused() -> None:
    circuit = build_adder(2)
    with pytest.raises(CompileError, match="the number of layers follows from the depth"):
        made_circuit(circuit, shape=Shape(layers=9))
    with pytest.raises(CompileError, match="without a chain heads go by names"):
        made_circuit(circuit, shape=Shape(addressing="distances"))
    with pytest.raises(CompileError, match="has the shape that follows from its circuit"):
        serialformer.compile(circuit, chain="none", shape=Shape(head_width=64))
    with pytest.raises(CompileError, match="target llama has no activation"):
        serialformer.compile(circuit, chain="none", target="llama", activation="relu")


def test_tokens_and_end_are_part_of_the_proof() -> None:
    original = circuit_depth_construction(build_adder(2))
    construction, placed = place_without_chain(original)
    check_placed_claims(construction, placed)
    with pytest.raises(InductionError, match="the default is not the end of the chain"):
        check_placed_claims(original, placed)
    with pytest.raises(InductionError, match="units may write the end of the chain"):
        check_placed_claims(replace(original, default=construction.default), placed)
    ids = placed.ids.copy()
    ids[0, 1] = -1
    with pytest.raises(InductionError, match="there is no token for what can stand there"):
        check_placed_claims(construction, replace(placed, ids=ids))
    sums = task_depth_construction(make_task("parity"), 4)
    (claim,) = sums.claims()
    with pytest.raises(CompileError, match="has no position for the end of its answer"):
        standing_tokens(sums, claim)


def check_transformers(model: Model, plain: np.ndarray, first: int) -> None:
    """transformers writes the answer and ends there."""
    pytest.importorskip("transformers", reason="the extra torch is not installed")
    assert model.placed is not None
    made = model.engine("hf").generate(place(model, plain[::5, :first]), plain.shape[1] - first + 2)
    assert np.array_equal(model.placed.read(made, first), should_say(model, plain[::5], first))


def every_squaring(model: Model, times: int) -> tuple[np.ndarray, int]:
    """Prompts of so many squarings for each prime and residue, with their answers, in plain tokens."""
    bound = int(model.task.parameters["bound"])
    primes = [prime for prime in range(3, bound) if all(prime % factor for factor in range(2, prime))]
    rows = [
        [prime, residue, *[bound + 1] * times, bound, pow(residue, 2**times, prime)]
        for prime in primes
        for residue in range(1, prime)
    ]
    return np.array(rows), times + 3


@pytest.mark.parametrize("dtype", FORMATS)
def test_squarings_of_every_prompt(dtype: DtypeName, tmp_path: Path) -> None:
    task = make_task("iterated-squaring", {"bound": 20})
    model = construct(task, 3, setting="base", target="llama", dtype=dtype).save(tmp_path / "model")
    assert model.certificate is not None and model.certificate.prompts == "all prompts of up to 3 squarings"
    for times in (1, 2, 3):
        plain, first = every_squaring(model, times)
        assert np.array_equal(says(model, model.transformer, plain, first), should_say(model, plain, first))
    loaded = serialformer.load(tmp_path / "model")
    assert serialformer.certify(loaded) == model.certificate
    assert loaded.run("13 5 ^2 ^2").made == (str(pow(5, 4, 13)),)
    scores = serialformer.evaluate(loaded, num_samples=30).score
    assert scores.generated_answers == scores.answers == 30
    with pytest.raises(TaskError, match="made for prompts of 3 items"):
        loaded.run("13 5 ^2 ^2 ^2 ^2")


def some_circuits(model: Model, num_gates: int) -> tuple[np.ndarray, int]:
    """Circuits of so many gates, with the values of their last gates, in the model's plain tokens."""
    examples = model.task.sample(np.random.default_rng(num_gates), num_gates, 60)
    own = examples.renumber(model.items.token_ids(model.transformer.architecture, num_gates))
    return np.concatenate([own.prompts, own.answers], axis=1), own.prompts.shape[1]


@pytest.mark.parametrize(("task", "dtype"), [(task, dtype) for task in ("squarings", "circuits") for dtype in FORMATS])
def test_transformers_answers_prompts_of_several_lengths(task: str, dtype: DtypeName) -> None:
    if task == "squarings":
        squarings = make_task("iterated-squaring", {"bound": 20})
        model = construct(squarings, 3, setting="base", target="llama", dtype=dtype)
        check_transformers(model, *every_squaring(model, 2))
    else:
        model = construct("circuit-value", 5, setting="base", target="llama", dtype=dtype)
        check_transformers(model, *some_circuits(model, 3))


@pytest.mark.parametrize("dtype", FORMATS)
def test_circuits_in_the_prompt(dtype: DtypeName, tmp_path: Path) -> None:
    model = construct("circuit-value", 5, setting="base", target="llama", dtype=dtype).save(tmp_path / "model")
    assert model.certificate is not None and model.certificate.prompts == "all circuits of up to 5 gates"
    for num_gates in range(1, 6):
        plain, first = some_circuits(model, num_gates)
        assert np.array_equal(says(model, model.transformer, plain, first), should_say(model, plain, first))
    loaded = serialformer.load(tmp_path / "model")
    assert serialformer.certify(loaded) == model.certificate
    assert loaded.run("TRUE NA NA 1 NOT 1 NA 2").made == ("FALSE",)
    assert loaded.run("TRUE NA NA 1 NOT 1 NA 2 OR 1 2 3").made == ("TRUE",)
    scores = serialformer.evaluate(loaded, num_samples=30).score
    assert scores.generated_answers == scores.answers == 30


@pytest.mark.parametrize("task", ["squarings", "circuits"])
def test_no_wrong_model_of_prompts_of_several_lengths_is_certified(task: str) -> None:
    certified, wrong = check_several_lengths(task, 40, 4)
    assert certified > 2 and wrong > 2


def check_several_lengths(task: str, number: int, seed: int, dtype: DtypeName = "float32") -> tuple[int, int]:
    """The same as ``check_mutations`` for squarings or circuit values, with prompts of all lengths."""
    if task == "squarings":
        made = make_task("iterated-squaring", {"bound": 8})
        model = construct(made, 2, setting="base", target="llama", shape=SMALL, dtype=dtype)
        prompts = [every_squaring(model, times) for times in (1, 2)]
    else:
        model = construct("circuit-value", 3, setting="base", target="llama", shape=SMALL, dtype=dtype)
        prompts = [some_circuits(model, num_gates) for num_gates in (1, 2, 3)]
    random, certified, wrong = np.random.default_rng(seed), 0, 0
    for _ in range(number):
        transformer, what = mutate(model.transformer, random)
        holds = serialformer.certify(replace(model, transformer=transformer)).holds
        right = all(
            np.array_equal(says(model, transformer, plain, first), should_say(model, plain, first))
            for plain, first in prompts
        )
        assert right or not holds, what
        certified, wrong = certified + holds, wrong + (not right)
    return certified, wrong


def mutants() -> dict[str, Callable[[], Model]]:
    """Small models of several layers, by name; none is made before it is wanted."""
    build = CircuitBuilder()
    a, b, c = build.inputs("a", 3)
    both = build.and_(a, b)
    build.outputs("y", [build.xor(both, c), both])
    circuit = build.circuit()
    found: dict[str, Callable[[], Model]] = {}
    for dtype in FORMATS:
        found[f"circuit, {dtype}"] = partial(made_circuit, circuit, dtype, SMALL)
        found[f"circuit, tied, {dtype}"] = partial(made_circuit, circuit, dtype, replace(SMALL, tied=True))
        found[f"parity, {dtype}"] = partial(made_task, "parity", dtype, SMALL)
        for name in ("products in S3", "permutations as symbols"):
            found[f"{name}, {dtype}"] = partial(made_task, name, dtype)
    return found


def check_mutations(model: Model, number: int, seed: int) -> tuple[int, int]:
    """Alters one weight at a time; returns how many were certified, and how many were wrong.

    Raises:
        AssertionError: one was both.
    """
    random = np.random.default_rng(seed)
    plain, first = sequences(model, 32)
    expected, certified, wrong = should_say(model, plain, first), 0, 0
    for _ in range(number):
        transformer, what = mutate(model.transformer, random)
        holds = serialformer.certify(replace(model, transformer=transformer)).holds
        right = all(
            np.array_equal(says(model, transformer, plain, first, dtype), expected)
            for dtype in (np.float32, np.float64)
        )
        assert right or not holds, what
        certified, wrong = certified + holds, wrong + (not right)
    return certified, wrong


@pytest.mark.parametrize("name", ["circuit, float32", "parity, bfloat16"])
def test_no_wrong_checkpoint_is_certified(name: str) -> None:
    certified, wrong = check_mutations(mutants()[name](), 40, 1)
    assert certified > 2 and wrong > 2


def test_too_many_layers_are_refused_before_they_are_made() -> None:
    build = CircuitBuilder()
    wires = build.inputs("a", 2)
    for _ in range(200):
        wires.append(build.xor(wires[-1], wires[-2]))
    build.output("y", wires[-1])
    with pytest.raises(CompileError, match=r"201 layers of width 640 take .* weights, over 268,435,456") as caught:
        made_circuit(build.circuit())
    assert caught.value.hint and "--target gpt2" in caught.value.hint
