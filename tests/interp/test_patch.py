"""Edge patching: every effect on the weights is the one that the construction predicts."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serialformer import CircuitBuilder, Model, SerialformerError, Shape, compile, construct
from serialformer.constructions.edges import find_edges
from serialformer.engines.recurrences import shift_register_circuit
from serialformer.interp.patch import Patch, Run, run_patched
from serialformer.interp.predict import UNKNOWN, Prediction, predict
from serialformer.interp.universe import all_edges
from serialformer.models.ground_truth import GroundTruth
from serialformer.transformer.forward import compute_logits

QUESTIONS: dict[str, tuple[Any, Any]] = {
    "adder": ({"a": 3, "b": 1}, {"a": 0, "b": 2}),
    "parity": ("1 0 1 1 0 =", "0 1 1 0 1 ="),
    "permutation-composition": ("( 1 2 3 5 4 ) ( 2 1 3 4 5 ) =", "( 2 1 3 5 4 ) ( 5 1 3 4 2 ) ="),
    "circuit-value": (
        "TRUE NA NA 1 FALSE NA NA 2 OR 1 2 3 NOT 3 NA 4 =",
        "TRUE NA NA 1 TRUE NA NA 2 AND 2 2 3 OR 3 1 4 =",
    ),
}
LENGTHS = {"parity": 5, "permutation-composition": 2, "circuit-value": 4}


@cache
def truths(name: str) -> tuple[GroundTruth, GroundTruth]:
    if name == "adder":
        build = CircuitBuilder()
        a, b = build.inputs("a", 2), build.inputs("b", 2)
        carry = build.and_(a[0], b[0])
        build.outputs("sum", [build.xor(a[0], b[0]), build.xor(build.xor(a[1], b[1]), carry)])
        model = compile(build.circuit())
    else:
        model = construct(name, LENGTHS[name])
    first, second = (model.ground_truth(model.run(question)) for question in QUESTIONS[name])
    return first, second


def every_patch(model: Model, num_positions: int) -> list[Patch]:
    """Each edge that the architecture has, at each position."""
    architecture, patches, parts = model.transformer.architecture, [], ["input"]
    for layer in range(architecture.num_layers):
        heads = [f"a{layer}.h{head}" for head in range(architecture.num_heads)]
        patches += [Patch(source=part, target=head, via=via) for head in heads for via in "qkv" for part in parts]
        parts += heads
        patches += [Patch(source=part, target=f"m{layer}") for part in parts]
        parts.append(f"m{layer}")
    patches += [Patch(source=part, target="logits") for part in parts]
    return [
        Patch(source=patch.source, target=patch.target, via=patch.via, position=position)
        for patch in patches
        for position in range(num_positions)
    ]


def both(truth: GroundTruth) -> tuple[Run, Prediction]:
    construction = truth.followed.construction
    return run_patched(truth.model.transformer, truth.followed.tokens), predict(
        construction, truth.heads, truth.followed.tokens
    )


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_effect_is_the_one_predicted(name: str) -> None:
    clean, other = truths(name)
    model, tokens, first = clean.model, clean.followed.tokens, clean.followed.first_writer
    run, prediction = both(clean)
    other_run, other_prediction = both(other)
    assert prediction.tokens[first:-1].tolist() == tokens[first + 1 :].tolist()
    labelled = {Patch.of_edge(edge) for truth in (clean, other) for edge in find_edges(truth.followed, truth.heads)}
    patches = every_patch(model, len(tokens))
    assert labelled <= set(patches)
    random = np.random.default_rng(0)
    chosen = [patches[place] for place in random.permutation(len(patches))[:100]]
    candidates = [patch for patch in patches if patch in labelled]
    chosen += [candidates[place] for place in random.permutation(len(candidates))[:75]]
    num_effects, num_unknown = 0, 0
    for patch in chosen:
        found = run_patched(model.transformer, tokens, other_run, [patch]).tokens[first:]
        expected = predict(clean.followed.construction, clean.heads, tokens, other_prediction, [patch]).tokens[first:]
        known = expected != UNKNOWN
        assert (found == expected)[known].all(), patch
        has_effect = bool((found != run.tokens[first:]).any())
        assert not has_effect or patch in labelled, f"{patch} is not labelled, and has an effect"
        num_effects += has_effect
        num_unknown += int((~known).sum())
    assert num_effects >= 3, "some patches must change what is written"
    assert num_unknown <= 0.01 * len(chosen) * len(run.tokens[first:])


def test_without_patches_it_is_the_forward_pass() -> None:
    clean, _ = truths("circuit-value")
    run = run_patched(clean.model.transformer, clean.followed.tokens)
    plain = compute_logits(clean.model.transformer, clean.followed.tokens[None])[0]
    np.testing.assert_allclose(run.logits, plain, atol=1e-9)


def test_all_edges_into_the_logits_at_once_give_the_other_run() -> None:
    clean, other = truths("parity")
    run = run_patched(other.model.transformer, other.followed.tokens)
    patches = [Patch(source=source, target="logits") for source in ("input", "a0.h0", "m0")]
    patched = run_patched(clean.model.transformer, clean.followed.tokens, run, patches)
    np.testing.assert_allclose(patched.logits, run.logits, atol=1e-9)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (Patch(source="m0", target="m0"), "patch: m0 does not come before m0"),
        (Patch(source="input", target="m7"), "patch: no part m7"),
        (Patch(source="input", target="a0.h0", via="z"), "patch: no part a0.h0<z>"),
    ],
)
def test_edges_that_are_not_there(patch: Patch, message: str) -> None:
    clean, _ = truths("parity")
    run = run_patched(clean.model.transformer, clean.followed.tokens)
    with pytest.raises(SerialformerError, match=message):
        run_patched(clean.model.transformer, clean.followed.tokens, run, [patch])


SHAPES = {
    "a Llama by name": Shape(layers=2),
    "each head its own keys": Shape(key_heads=4, addressing="distances"),
    "one head of keys, three layers": Shape(key_heads=1, layers=3, addressing="distances"),
    "a Mistral": Shape(addressing="window"),
    "a Qwen2, tied": Shape(head_biases=True, tied=True, addressing="distances"),
}


@cache
def llama(shape: str) -> tuple[Model, np.ndarray, np.ndarray]:
    """A model, and the tokens of two of its sequences."""
    circuit = shift_register_circuit(1, num_inputs=7, num_gates=14, distances=(6, 2, 0))
    model = compile(circuit, target="llama", shape=SHAPES[shape])
    placed, random = model.words.placed, np.random.default_rng(0)
    assert placed is not None
    bits = random.integers(0, 2, (2, 7), dtype=np.uint8)
    plain = np.concatenate([bits, [[2], [2]], model.think(bits, model.engine("dense"))], axis=1)
    first, second = placed.place(plain.astype(np.int64))
    return model, first, second


@pytest.mark.parametrize("shape", SHAPES)
def test_a_llama_without_patches_is_the_forward_pass(shape: str) -> None:
    model, tokens, _ = llama(shape)
    run = run_patched(model.transformer, tokens)
    plain = compute_logits(model.transformer, tokens[None])[0]
    np.testing.assert_allclose(run.logits, plain, atol=1e-9)
    assert run.tokens[7:-1].tolist() == tokens[8:].tolist()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_llama_that_hears_another_embedding_everywhere_is_the_other_run(shape: str) -> None:
    """Each head hears queries, keys and values of the other run; heads that share keys do so one by one."""
    model, tokens, others = llama(shape)
    other = run_patched(model.transformer, others)
    edges = [edge for edge in all_edges(model.transformer.architecture) if edge.source == "input"]
    patched = run_patched(model.transformer, tokens, other, edges)
    np.testing.assert_allclose(patched.logits, other.logits, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_head_of_a_llama_hears_what_transformers_would_give_it(shape: str, tmp_path: Path) -> None:
    """One edge into a head is a whole run of transformers in which that head's queries, keys or values are replaced."""
    torch = pytest.importorskip("torch", reason="the extra torch is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    model, tokens, others = llama(shape)
    model.save(tmp_path / "model")
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float64)
    architecture, attention = model.transformer.architecture, stock.model.layers[-1].self_attn
    width, shared = architecture.head_width, architecture.num_heads // architecture.num_key_heads
    other = run_patched(model.transformer, others)

    def go(sequence: np.ndarray, name: str, hook: Any) -> None:
        """Runs a sequence with a hook on a map of the last layer."""
        handle = getattr(attention, name).register_forward_hook(hook)
        with torch.no_grad():
            stock(torch.from_numpy(sequence)[None])
        handle.remove()

    for via in "qkv":
        for head in (0, architecture.num_heads - 1):
            block = head if via == "q" else head // shared
            columns, rows = (slice(place * width, (place + 1) * width) for place in (block, head))
            kept: list[Any] = []
            go(others, f"{via}_proj", partial(_keep_output, kept))
            handle = attention.o_proj.register_forward_hook(partial(_keep_input, kept))
            go(tokens, f"{via}_proj", partial(_replace_columns, kept[0], columns))
            handle.remove()
            term = kept[1][0][:, rows] @ attention.o_proj.weight[:, rows].T
            # The last layer hears all that earlier layers have written.
            name = f"a{architecture.num_layers - 1}.h{head}"
            edges = [edge for edge in all_edges(architecture) if (edge.target, edge.via) == (name, via)]
            ours = run_patched(model.transformer, tokens, other, edges).terms[name]
            # The angles of transformers are float32.
            np.testing.assert_allclose(ours, term.detach().numpy(), atol=2e-4)


def _keep_output(kept: list[Any], module: Any, given: Any, made: Any) -> None:
    kept.append(made)


def _keep_input(kept: list[Any], module: Any, given: Any, made: Any) -> None:
    kept.append(given[0])


def _replace_columns(theirs: Any, columns: slice, module: Any, given: Any, made: Any) -> Any:
    changed = made.clone()
    changed[..., columns] = theirs[..., columns]
    return changed
