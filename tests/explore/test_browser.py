"""The page in Chromium: what is on the screen is what numpy computes, every control works, and nothing complains."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.explore.models import HOSTILE, adder, compiled_adder, hostile_model
from tests.task_models import exact_parity, random_model

from serialformer.explore.content import circuit_content, task_content
from serialformer.explore.page import write_page
from serialformer.explore.server import PageServer
from serialformer.model import Model, compile_model
from serialformer.tasks.registry import make_task
from serialformer.transformer.forward import compute_attention, compute_logits

AXE = ROOT / "explore" / "node_modules" / "axe-core" / "axe.min.js"
DATA = "(rows) => rows.map((row) => ({ ...row.dataset }))"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra dev")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("needs Chromium on the path")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens content, or an address; at the end nothing may have been said on the console, thrown or fetched."""
    complaints: list[str] = []
    contexts = []

    def open_(content: dict[str, Any] | str, **options: Any) -> Any:
        address = content
        if not isinstance(content, str):
            write_page(tmp_path / "page.html", content)
            address = (tmp_path / "page.html").as_uri()
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        if address.startswith("file:"):
            page.on("request", lambda one: complaints.append(one.url) if one.url != address else None)
        page.goto(address)
        page.wait_for_selector("#page[data-ready]")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def go_to(page: Any, position: int) -> None:
    page.evaluate(
        """(position) => {
            const slider = document.querySelector(".scrub");
            slider.value = position;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        }""",
        position,
    )
    page.wait_for_function("(text) => document.querySelector('.scrub').value === text", arg=str(position))


def heads_on_screen(page: Any, side: int = 0) -> list[dict[str, str]]:
    """Where the heads look, as the table of one model says it."""
    return (
        page.locator(".now")
        .nth(side)
        .locator(".heads tr")
        .evaluate_all("(rows) => rows.map((row) => ({...row.dataset}))")
    )


def logits_on_screen(page: Any, side: int = 0) -> dict[int, float]:
    rows = (
        page.locator(".now")
        .nth(side)
        .locator(".logits tr")
        .evaluate_all("(rows) => rows.map((row) => ({...row.dataset}))")
    )
    return {int(row["token"]): float(row["logit"]) for row in rows}


def sequence(model: Model, **values: int) -> np.ndarray:
    transcript = model.run(engine="dense", **values)
    return np.concatenate([transcript.prompt, transcript.chain])[None]


def check_position(page: Any, transformer: Any, tokens: np.ndarray, position: int, side: int = 0) -> None:
    """Attention and logits on the screen are those of the reference forward pass in float64."""
    attention, logits = compute_attention(transformer, tokens), compute_logits(transformer, tokens)[0, position]
    heads = heads_on_screen(page, side)
    assert len(heads) == sum(layer.shape[1] for layer in attention)
    for row in heads:
        expected = attention[int(row["layer"])][0, int(row["head"]), position]
        assert int(row["look"]) == expected.argmax()
        assert float(row["weight"]) == pytest.approx(expected.max(), rel=1e-9)
    shown = logits_on_screen(page, side)
    for token, logit in shown.items():
        assert logit == pytest.approx(logits[token], rel=1e-9, abs=1e-9)
    assert max(shown, key=lambda token: shown[token]) == logits.argmax()


def test_what_is_on_the_screen_is_what_numpy_computes(open_page: Open) -> None:
    model = compiled_adder()
    page = open_page(circuit_content(model))
    page.fill("#word-0", "3")
    page.press("#word-0", "Enter")
    page.fill("#word-1", "0b10")
    page.press("#word-1", "Enter")
    page.wait_for_selector(".verdict.is-right")
    assert page.inner_text("[data-output='0']") == "sum = 5"
    tokens = sequence(model, a=3, b=2)
    for position in range(4, tokens.shape[1]):
        go_to(page, position)
        check_position(page, model.transformer, tokens, position)
        assert "100.0000\u00a0%" in page.inner_text(".heads")
    # Each of the truth tables' answers for another input bit, thought anew.
    page.click("[data-bit='3']")
    page.wait_for_function("() => document.querySelector('#word-1').value === '0'")
    page.wait_for_selector(".verdict.is-right")
    assert page.inner_text("[data-output='0']") == "sum = 3"


def test_changed_weights_make_the_page_say_so(open_page: Open) -> None:
    model = compiled_adder()
    layer = model.transformer.layers[0]
    broken = replace(layer, mlp_out_weight=-layer.mlp_out_weight)
    page = open_page(circuit_content(replace(model, transformer=replace(model.transformer, layers=(broken,)))))
    page.wait_for_selector(".verdict.is-wrong")
    assert "is not the circuit's" in page.inner_text(".verdict")


def test_every_control_can_be_clicked(open_page: Open) -> None:
    page = open_page(circuit_content(compiled_adder()))
    page.wait_for_selector(".verdict")
    position = lambda: int(page.input_value(".scrub"))  # noqa: E731
    first = position()
    page.click("[aria-label='Step forward']")
    assert position() == first + 1
    page.click("[aria-label='Step back']")
    assert position() == first
    page.click("[aria-label='Last token']")
    last = position()
    assert last == first + compiled_adder().manifest.num_chain_tokens
    assert "complete" in page.inner_text(".sentence")
    page.click("[aria-label='First token']")
    page.select_option(".speed select", "50")
    page.click("[aria-label='Play']")
    page.wait_for_function("(last) => document.querySelector('.scrub').value === last", arg=str(last))
    page.wait_for_selector("[aria-label='Play']")
    for name in ("Follow", "Around the gate", "Whole", "+", "\u2212", "Random"):
        page.get_by_role("button", name=name, exact=True).or_(page.get_by_text(name, exact=True)).first.click()
    page.click(".token >> nth=0")
    assert page.inner_text(".selected-name") == "a[0]"
    assert "input bit" in page.inner_text(".selection")
    page.click(".selection .link >> nth=0")
    assert "neuron" in page.inner_text(".selection")
    page.get_by_role("button", name="Go to where it is written").click()
    page.get_by_role("button", name="Clear").click()
    page.click(".heads .link >> nth=0")
    assert page.locator(".selected-name").count() == 1
    page.click(".stream .link >> nth=0")
    dark = page.get_attribute("html", "data-theme")
    page.get_by_role("button", name="Dark", exact=True).click()
    assert (dark, page.get_attribute("html", "data-theme")) == ("light", "dark")
    page.get_by_role("button", name="Keys").click()
    assert page.locator("dialog[open]").count() == 1
    page.get_by_role("button", name="Close").click()
    # A gate in the picture: the middle of the canvas may be empty, so its outputs' gates are looked for by name.
    page.fill("#search", "sum[2]")
    page.press("#search", "Enter")
    assert page.inner_text(".selected-name") == "sum[2]"
    box = page.locator(".arcs").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 20)
    assert first < position() < last


def test_keys_do_what_the_page_says(open_page: Open) -> None:
    page = open_page(circuit_content(compiled_adder()))
    page.wait_for_selector(".verdict")
    position = lambda: int(page.input_value(".scrub"))  # noqa: E731
    first = position()
    for key, expected in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("Home", 0)):
        page.keyboard.press(key)
        assert position() == first + expected
    page.keyboard.press("End")
    last = position()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    page.wait_for_function("(last) => document.querySelector('.scrub').value === last", arg=str(last))
    page.keyboard.press("/")
    page.keyboard.type("b[1]")
    page.keyboard.press("Enter")
    assert page.inner_text(".selected-name") == "b[1]"
    page.keyboard.press("Escape")
    assert page.locator(".selected-name").count() == 0
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")


def test_hostile_names_are_shown_as_text(open_page: Open) -> None:
    page = open_page(circuit_content(hostile_model()))
    page.wait_for_selector(".verdict")
    for place, name in enumerate(HOSTILE[:2]):
        page.click(f".token >> nth={place}")
        assert page.inner_text(".source-name") == name
    assert page.locator("#page script, #page b:has-text('&amp;')").count() == 0
    long = compile_model(adder(1, names=(HOSTILE[3], "b", "sum")))
    page = open_page(circuit_content(long))
    page.wait_for_selector(".verdict")
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_two_models_of_a_task_side_by_side(open_page: Open) -> None:
    models = [exact_parity(6), random_model(make_task("parity"), 6)]
    content = task_content(models, num_samples=2)
    page = open_page(content)
    page.wait_for_function("() => document.querySelectorAll('.score').length === 2")
    assert page.locator(".score").nth(0).inner_text() == "\u2713 answer right all 6 tokens right"
    page.get_by_role("button", name="is told the true ones").click()
    page.wait_for_selector(".heat-map canvas")
    for side, model in enumerate(models):
        sample = content["models"][side]["samples"][0]
        tokens = np.array([sample["tokens"]], dtype=np.int64)
        said = compute_logits(model.transformer, tokens)[0].argmax(axis=-1)
        labels = np.array(sample["labels"])
        mistakes = np.flatnonzero((labels >= 0) & (said != labels))
        go_to(page, tokens.shape[1] - 1)
        check_position(page, model.transformer, tokens, tokens.shape[1] - 1, side)
        marked = page.locator(".side").nth(side).locator(".token.is-wrong")
        places = marked.evaluate_all("(tokens) => tokens.map((token) => Number(token.dataset.position))")
        assert places == (mistakes + 1).tolist()
        assert page.locator(".side").nth(side).locator(".heat-map canvas").count() == sum(
            layer.shape[1] for layer in compute_attention(model.transformer, tokens)
        )
    page.select_option(".word select", "1")
    page.wait_for_function("() => document.querySelectorAll('.score').length === 2")


def test_a_served_page_shows_the_same(open_page: Open) -> None:
    model = compiled_adder()
    with PageServer(circuit_content(model, embedded=False), [model.transformer]) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            page = open_page(server.address)
            page.fill("#word-0", "2")
            page.press("#word-0", "Enter")
            page.fill("#word-1", "3")
            page.press("#word-1", "Enter")
            page.wait_for_function("() => document.querySelector('[data-output]').textContent.endsWith('5')")
            go_to(page, 6)
            page.wait_for_function("() => document.querySelector('.sentence')?.textContent.includes('token 2')")
            check_position(page, model.transformer, sequence(model, a=2, b=3), 6)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("kind", ["circuit", "task"])
def test_it_fits_and_can_be_read_by_all(open_page: Open, kind: str, width: int, scheme: str) -> None:
    content = (
        circuit_content(compiled_adder()) if kind == "circuit" else task_content([exact_parity(6), exact_parity(6)])
    )
    page = open_page(content, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.wait_for_selector(".verdict")
    assert page.get_attribute("html", "data-theme") == scheme
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if not AXE.is_file():
        pytest.skip("needs axe-core: `npm ci` in explore/")
    page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run(document)).violations")
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, json.dumps([(one["id"], [node["html"] for node in one["nodes"]]) for one in serious], indent=1)
