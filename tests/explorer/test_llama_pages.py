"""Pages of Llamas in Chromium: each computes its own model from its weights, and shows what numpy computes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.explorer.conftest import Open, Serve
from tests.explorer.models import adder
from tests.explorer.test_browser import check_heads, expect, go_to, logits_on_screen
from tests.explorer.test_what_if import fill_words

from serialformer import Model, Shape, compile, construct
from serialformer.architecture import DtypeName
from serialformer.engines.recurrences import shift_register_circuit
from serialformer.explorer.content import circuit_content, page_tokens, task_content
from serialformer.explorer.intervened import Change, intervene
from serialformer.explorer.reading import MADE, to_plain
from serialformer.explorer.server import PageServer
from serialformer.transformer.forward import compute_logits

SHAPES: dict[str, tuple[Shape, DtypeName]] = {
    "two heads of keys": (Shape(), "float32"),
    "one head of keys, three layers": (Shape(key_heads=1, layers=3), "bfloat16"),
    "by distance": (Shape(addressing="distances", key_heads=1), "float16"),
    "a Mistral": (Shape(addressing="window"), "float32"),
    "a Qwen2, tied": (Shape(head_biases=True, tied=True), "float32"),
}


@cache
def llama(name: str) -> Model:
    shape, dtype = SHAPES[name]
    circuit = adder()
    if shape.addressing is not None:
        circuit = shift_register_circuit(1, num_inputs=5, num_gates=9, distances=(4, 2, 0))
    return compile(circuit, target="llama", shape=shape, dtype=dtype)


def values_of(model: Model, seed: int) -> dict[str, int]:
    random = np.random.default_rng(seed)
    return {word.name: int(random.integers(1 << word.width)) for word in model.inputs}


def check_position(page: Any, model: Model, ids: np.ndarray, position: int) -> None:
    """Attention and logits on the screen are those of the forward pass over the model's own tokens."""
    assert model.placed is not None
    check_heads(page, model.transformer, ids, position)
    logits = compute_logits(model.transformer, ids)[0, position]
    following = model.placed.ids[position + 1] if position + 1 < model.placed.num_positions else None
    written = int(logits.argmax())
    for plain, logit in logits_on_screen(page).items():
        found = [logits.min()]
        if following is not None and plain < len(following) and following[plain] >= 0:
            found.append(logits[following[plain]])
        if plain == model.placed.plain_end:
            found.append(logits[model.transformer.architecture.end_token])
        assert logit == pytest.approx(max(found), rel=1e-9, abs=1e-9)
    is_end = written == model.transformer.architecture.end_token
    assert is_end or (following is not None and written in following)


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_on_the_screen_is_what_numpy_computes(name: str, open_page: Open) -> None:
    model, values = llama(name), values_of(llama(name), 1)
    page = open_page(circuit_content(model))
    fill_words(page, ".words input[type=text]", list(values.values()))
    page.wait_for_selector(".verdict.is-right")
    transcript = model.run(values)
    for place, word in enumerate(model.outputs):
        expect(page.locator(f"[data-output='{place}']")).to_have_text(f"{word.name} = {transcript[word.name]}")
    plain = np.concatenate([transcript.prompt, transcript.chain])[None].astype(np.int64)
    ids = model.words.placed.place(plain) if model.words.placed is not None else plain
    first = model.words.num_inputs
    for position in (first, first + 3, ids.shape[1] - 1):
        go_to(page, position)
        check_position(page, model, ids, position)


def changes(model: Model) -> list[Change]:
    architecture, first = model.transformer.architecture, model.words.num_inputs
    nothing = {"layer": 0, "head": 0, "part": 0, "position": 0, "token": 0}
    last = architecture.num_layers - 1
    return [
        Change(kind=kind, **{**nothing, **chosen})
        for kind, chosen in (
            ("zero", {"layer": last, "head": architecture.num_heads - 1}),
            ("mean", {"layer": 0, "head": 1}),
            ("head", {"layer": last, "head": architecture.num_heads - 1, "position": first + 1}),
            ("residual", {"part": 0, "position": 1}),
            ("residual", {"part": 2 * last + 2, "position": first + 2}),
        )
    ]


def make_change(page: Any, change: Change, other: list[int]) -> Any:
    panel = page.locator(".what-if").first
    panel.locator("[data-field=kind]").select_option(change.kind)
    if change.kind in ("zero", "mean", "head"):
        if panel.locator("[data-field=layer]").count():
            panel.locator("[data-field=layer]").select_option(str(change.layer))
        panel.locator("[data-field=head]").select_option(str(change.head))
    if change.kind == "residual":
        panel.locator("[data-field=part]").select_option(str(change.part))
    if change.kind in ("head", "residual", "token"):
        panel.locator("[data-field=position]").fill(str(change.position))
        panel.locator("[data-field=position]").press("Enter")
    if change.kind in ("head", "residual"):
        fill_words(page, ".second-word", other)
    panel.get_by_role("button", name="Run", exact=True).click()
    outcome = panel.locator(".outcome")
    expect(outcome).to_have_count(1)
    return outcome


@pytest.mark.parametrize("name", ["two heads of keys", "one head of keys, three layers", "a Mistral"])
def test_interventions_are_those_of_numpy(name: str, open_page: Open) -> None:
    model = llama(name)
    values, others = values_of(model, 2), values_of(model, 5)
    page = open_page(circuit_content(model))
    fill_words(page, ".words input[type=text]", list(values.values()))
    page.wait_for_selector(".verdict.is-right")
    first = model.words.num_inputs
    sequence, other = (
        np.concatenate([model.run(given).prompt, np.full(model.num_new_tokens, MADE)]).astype(np.int64)
        for given in (values, others)
    )
    changed = 0
    for change in changes(model):
        outcome = make_change(page, change, list(others.values()))
        patched = other if change.kind in ("head", "residual") else None
        found = intervene(model.transformer, sequence, change, patched, first, model.words.placed)
        assert outcome.get_attribute("data-written") == " ".join(map(str, found["said"][first:])), change
        changed += found["said"][first:-1] != model.run(values).chain.tolist()
    assert changed >= 2


@pytest.mark.parametrize("is_served", [False, True])
def test_a_task_as_a_llama_beside_a_gpt2(is_served: bool, open_page: Open, serve: Serve) -> None:
    models = [construct("modular-addition", 4, target="llama"), construct("modular-addition", 4)]
    content = task_content(models, num_samples=2, embedded=not is_served)
    transformers, placed = [model.transformer for model in models], [page_tokens(model) for model in models]
    page = open_page(serve(PageServer(content, transformers, placed=placed)) if is_served else content)
    page.wait_for_function("() => document.querySelectorAll('.score .verdict').length === 2")
    expect(page.locator(".score .verdict.is-right")).to_have_count(2)
    model, sample = models[0], content["models"][0]["samples"][0]
    assert model.placed is not None
    ids = model.placed.place(np.array([sample["tokens"]]))
    for position in (sample["prompt"] - 1, len(sample["tokens"]) - 1):
        go_to(page, position)
        check_position(page, model, ids, position)


def test_a_task_without_a_chain_as_a_llama(open_page: Open) -> None:
    model = construct("parity", 4, setting="base", target="llama")
    content = task_content([model], num_samples=2)
    page = open_page(content)
    expect(page.locator(".score .verdict.is-right")).to_have_count(1)
    sample = content["models"][0]["samples"][0]
    assert model.placed is not None
    go_to(page, sample["prompt"] - 1)
    check_position(page, model, model.placed.place(np.array([sample["tokens"]])), sample["prompt"] - 1)


def test_a_token_of_another_position_is_unknown() -> None:
    """One that a task's Llama writes out of its place has a name of its own, in a page and from its server."""
    model = construct("parity", 4, target="llama")
    tokens = page_tokens(model)
    assert model.placed is not None and tokens is not None
    content = task_content([model], num_samples=1)["models"][0]
    vocabulary = content["architecture"]["vocabulary"]
    assert vocabulary == ["0", "1", "=", "<unk>"] and content["placed"]["ids"]["shape"][1] == len(vocabulary)
    out_of_place = model.placed.ids[[3, 0], [1, 0]]
    assert to_plain(tokens, out_of_place, 0) == [3, 3] and to_plain(tokens, model.placed.ids[[0, 1], [1, 0]], 0) == [
        1,
        0,
    ]
