"""The page in Chromium: what is on the screen is what numpy computes, every control works, and nothing complains."""

from __future__ import annotations

import io
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tests.conftest import ROOT
from tests.explorer.conftest import Open, Serve
from tests.explorer.models import HOSTILE, adder, compiled_adder, hostile_model
from tests.task_models import exact_parity, random_model

from serialformer import Model, compile
from serialformer.errors import CheckpointError
from serialformer.explorer.content import circuit_content, task_content
from serialformer.explorer.server import PageServer
from serialformer.tasks.registry import make_task
from serialformer.transformer.forward import compute_attention, compute_logits

AXE = ROOT / "explore" / "node_modules" / "axe-core" / "axe.min.js"
GOLDEN = Path(__file__).parent / "golden"


def expect(locator: Any) -> Any:
    """What must become true of it, at once or soon: the page draws itself after an event, not during it."""
    from playwright.sync_api import expect

    return expect(locator)


def expect_position(page: Any, position: int) -> None:
    expect(page.locator(".scrub")).to_have_value(str(position))


def go_to(page: Any, position: int) -> None:
    page.evaluate(
        """(position) => {
            const slider = document.querySelector(".scrub");
            slider.value = position;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        }""",
        position,
    )
    # A served page shows nothing until it has its answer.
    expect(page.locator(".now").first).to_have_attribute("data-position", str(position))
    for model in page.locator(".now").all():
        expect(model).to_have_attribute("data-position", str(position))


def read_picture(png: bytes) -> np.ndarray:
    """A screenshot as height x width x 3 bytes."""
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


def check_golden(page: Any, name: str, folder: Path) -> None:
    """The page looks as it did when somebody last looked at it, but for small shifts and edges.

    Compared are means of blocks of 8 x 8 pixels: on average they may differ by 1 of 255, and one in a thousand by more
    than 24. The golden picture names the width of a line of text, for with other fonts nothing lies where it did.
    """
    fonts = page.evaluate(
        """() => ["body", "code, .output"].map((of) => {
            const context = document.createElement("canvas").getContext("2d");
            context.font = getComputedStyle(document.querySelector(of)).font;
            return context.measureText("Hamburgefonstiv 0123").width.toFixed(1);
        }).join(" ")"""
    )
    page.evaluate("document.querySelectorAll('.outputs small').forEach((milliseconds) => milliseconds.remove())")
    png = page.screenshot(full_page=True)
    with Image.open(io.BytesIO(png)) as found:
        facts = PngInfo()
        facts.add_text("fonts", fonts)
        found.convert("RGB").quantize(128).save(folder / name, pnginfo=facts, optimize=True)
        blocks = np.asarray(found.convert("RGB").reduce(8)).astype(int)
    advice = f"look at {folder / name}; if it is right, it takes the place of {GOLDEN / name}"
    assert (GOLDEN / name).is_file(), advice
    with Image.open(GOLDEN / name) as golden:
        if golden.info["fonts"] != fonts:
            # Which fonts a machine has is not for this repository to say.
            pytest.skip(f"other fonts than those of the golden pictures: {fonts}, not {golden.info['fonts']}")
        expected = np.asarray(golden.convert("RGB").reduce(8)).astype(int)
    assert blocks.shape == expected.shape, advice
    differences = np.abs(blocks - expected).max(axis=-1)
    assert differences.mean() <= 1 and (differences > 24).mean() <= 0.001, advice


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
    transcript = model.run(values, engine="dense")
    return np.concatenate([transcript.prompt, transcript.chain])[None]


def check_heads(page: Any, transformer: Any, tokens: np.ndarray, position: int, side: int = 0) -> None:
    """Attention on the screen is that of the reference forward pass in float64."""
    attention, heads = compute_attention(transformer, tokens), heads_on_screen(page, side)
    assert len(heads) == sum(layer.shape[1] for layer in attention)
    for row in heads:
        expected = attention[int(row["layer"])][0, int(row["head"]), position]
        assert int(row["look"]) == expected.argmax()
        assert float(row["weight"]) == pytest.approx(expected.max(), rel=1e-9)


def check_position(page: Any, transformer: Any, tokens: np.ndarray, position: int, side: int = 0) -> None:
    """Attention and logits on the screen are those of the reference forward pass in float64."""
    check_heads(page, transformer, tokens, position, side)
    logits = compute_logits(transformer, tokens)[0, position]
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
    expect(page.locator("[data-output='0']")).to_have_text("sum = 5")
    tokens = sequence(model, a=3, b=2)
    for position in range(4, tokens.shape[1]):
        go_to(page, position)
        check_position(page, model.transformer, tokens, position)
        assert "100.0000\u00a0%" in page.inner_text(".heads")
    # Each of the truth tables' answers for another input bit, thought anew.
    page.click("[data-bit='3']")
    page.wait_for_function("() => document.querySelector('#word-1').value === '0'")
    page.wait_for_selector(".verdict.is-right")
    expect(page.locator("[data-output='0']")).to_have_text("sum = 3")


def test_changed_weights_make_the_page_say_so(open_page: Open) -> None:
    model = compiled_adder()
    layer = model.transformer.layers[0]
    broken = replace(layer, mlp_out_weight=-layer.mlp_out_weight)
    page = open_page(circuit_content(replace(model, transformer=replace(model.transformer, layers=(broken,)))))
    page.wait_for_selector(".verdict.is-wrong")
    expect(page.locator(".verdict")).to_contain_text("is not the circuit's")


def test_every_control_can_be_clicked(open_page: Open) -> None:
    page = open_page(circuit_content(compiled_adder()))
    page.wait_for_selector(".verdict")
    scrub, name, selection = page.locator(".scrub"), page.locator(".selected-name"), page.locator(".selection")
    first = int(scrub.input_value())
    last = first + compiled_adder().num_new_tokens
    page.click("[aria-label='Step forward']")
    expect_position(page, first + 1)
    page.click("[aria-label='Step back']")
    expect_position(page, first)
    page.click("[aria-label='Last token']")
    expect_position(page, last)
    expect(page.locator(".sentence")).to_contain_text("complete")
    page.click("[aria-label='First token']")
    expect_position(page, first)
    page.select_option(".speed select", "50")
    page.click("[aria-label='Play']")
    expect_position(page, last)
    page.wait_for_selector("[aria-label='Play']")
    for label in ("Follow", "Around the gate", "Whole", "+", "\u2212", "Random"):
        page.get_by_role("button", name=label, exact=True).or_(page.get_by_text(label, exact=True)).first.click()
    page.click(".token >> nth=0")
    expect(name).to_have_text("a[0]")
    expect(selection).to_contain_text("input bit")
    page.click(".selection .link >> nth=0")
    expect(selection).to_contain_text("neuron")
    page.get_by_role("button", name="Go to where it is written").click()
    page.get_by_role("button", name="Clear").click()
    expect(name).to_have_count(0)
    page.click(".heads .link >> nth=0")
    expect(name).to_have_count(1)
    page.click(".stream .link >> nth=0")
    theme = page.locator("html")
    expect(theme).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Dark", exact=True).click()
    expect(theme).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Keys").click()
    expect(page.locator("dialog[open]")).to_have_count(1)
    page.get_by_role("button", name="Close").click()
    expect(page.locator("dialog[open]")).to_have_count(0)
    # A gate in the picture: the middle of the canvas may be empty, so its outputs' gates are looked for by name.
    page.fill("#search", "sum[2]")
    page.press("#search", "Enter")
    expect(name).to_have_text("sum[2]")
    go_to(page, first)
    box = page.locator(".arcs").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 20)
    expect(scrub).not_to_have_value(str(first))
    assert first < int(scrub.input_value()) < last


def server_of(model: Model) -> PageServer:
    return PageServer(circuit_content(model, embedded=False), [model.transformer])


FOCUS, FIRST_HEAD = (0xFF, 0xD2, 0x3F), (0x00, 0x67, 0xA8)
"""Colours of the page in the light: the gate that is computed, and what the first head looks at."""


def find_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The places of a colour, each as x and y, of a picture of height x width x 3."""
    return np.argwhere(np.abs(picture.astype(int) - colour).max(axis=-1) <= 8)[:, ::-1]


def test_gates_and_wires_in_the_picture_can_be_clicked(open_page: Open) -> None:
    model = compiled_adder()
    page = open_page(circuit_content(model))
    page.wait_for_selector(".verdict")
    canvas = page.locator(".netlist canvas")
    place = page.locator(".selection dl > div").filter(has=page.get_by_text("position", exact=True)).locator("dd")
    first = model.words.num_inputs
    for position in range(first, first + model.circuit.num_gates):
        go_to(page, position)
        page.keyboard.press("Escape")
        picture = read_picture(canvas.screenshot())
        lit = find_colour(picture, FOCUS)
        x, y = np.median(lit, axis=0).tolist()
        canvas.click(position={"x": x, "y": y})
        expect(place).to_have_text(f"{position + 1}, chain token {position - first}")
        # The wire that the first head looks along, between the glow of the gate that reads it and the gates before.
        left, right = lit[:, 0].min(), lit[:, 0].max()
        gap = round(left - 0.6 * (right - left))
        on_wire = [y for x, y in find_colour(picture, FIRST_HEAD).tolist() if x == gap]
        assert on_wire
        canvas.click(position={"x": gap, "y": on_wire[len(on_wire) // 2]})
        expect(place).to_have_text(re.compile(rf"^{heads_on_screen(page)[0]['look']}(, chain token \d+)?$"))
    box = canvas.bounding_box()
    canvas.click(position={"x": 3, "y": box["height"] - 3})
    expect(page.locator(".selected-name")).to_have_count(0)


def test_keys_do_what_the_page_says(open_page: Open) -> None:
    page = open_page(circuit_content(compiled_adder()))
    page.wait_for_selector(".verdict")
    first = int(page.input_value(".scrub"))
    last = first + compiled_adder().num_new_tokens
    for key, expected in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("Home", 0)):
        page.keyboard.press(key)
        expect_position(page, first + expected)
    page.keyboard.press("End")
    expect_position(page, last)
    page.keyboard.press("Home")
    expect_position(page, first)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    expect_position(page, last)
    page.keyboard.press("/")
    page.keyboard.type("b[1]")
    page.keyboard.press("Enter")
    expect(page.locator(".selected-name")).to_have_text("b[1]")
    page.keyboard.press("Escape")
    expect(page.locator(".selected-name")).to_have_count(0)
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")


def test_hostile_names_are_shown_as_text(open_page: Open) -> None:
    page = open_page(circuit_content(hostile_model()))
    page.wait_for_selector(".verdict")
    for place, name in enumerate(HOSTILE[:2]):
        page.click(f".token >> nth={place}")
        expect(page.locator(".source-name")).to_have_text(name)
    assert page.locator("#page script, #page b:has-text('&amp;')").count() == 0
    long = compile(adder(1, names=(HOSTILE[3], "b", "sum")))
    page = open_page(circuit_content(long))
    page.wait_for_selector(".verdict")
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_two_models_of_a_task_side_by_side(open_page: Open) -> None:
    models = [exact_parity(6), random_model(make_task("parity"), 6)]
    content = task_content(models, num_samples=2)
    page = open_page(content)
    page.wait_for_function("() => document.querySelectorAll('.score').length === 2")
    expect(page.locator(".score").nth(0)).to_have_text("\u2713 answer right all 6 tokens right")
    page.get_by_role("button", name="reads the true tokens").click()
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


def test_a_served_page_shows_the_same(open_page: Open, serve: Serve) -> None:
    model = compiled_adder()
    page = open_page(serve(server_of(model)))
    page.fill("#word-0", "2")
    page.press("#word-0", "Enter")
    page.fill("#word-1", "3")
    page.press("#word-1", "Enter")
    expect(page.locator("[data-output='0']")).to_have_text("sum = 5")
    go_to(page, 6)
    check_position(page, model.transformer, sequence(model, a=2, b=3), 6)


def test_a_model_too_large_for_a_page_is_served(open_page: Open, serve: Serve) -> None:
    width = 2000
    model = compile(adder(width))
    with pytest.raises(CheckpointError, match="--serve"):
        circuit_content(model)
    first, second = (int.from_bytes(random.Random(seed).randbytes(width // 8), "big") for seed in (1, 2))
    inputs, schedule = 2 * width, model.schedule
    page = open_page(serve(server_of(model)))
    for place, value in enumerate((first, second)):
        page.fill(f"#word-{place}", hex(value))
        page.press(f"#word-{place}", "Enter")
    expect(page.locator("[data-output='0']")).to_have_text(f"sum = {first + second}")
    expect(page.locator(".verdict")).to_contain_text("9,997 tokens right")
    for token in (0, 5000, 9996):
        go_to(page, inputs + token)
        wires = model.circuit.fan_in[schedule.gate[token], :2].tolist()
        assert [int(row["look"]) for row in heads_on_screen(page)] == [
            wire if wire < inputs else inputs + 1 + schedule.token_of_gate[wire - inputs] for wire in wires
        ]
    page.get_by_role("button", name="Step back").click()
    expect_position(page, inputs + 9995)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("kind", ["circuit", "task"])
def test_it_looks_as_it_did(open_page: Open, kind: str, width: int, scheme: str, tmp_path: Path) -> None:
    parity = [exact_parity(6), random_model(make_task("parity"), 6)]
    content = circuit_content(compiled_adder(4)) if kind == "circuit" else task_content(parity, num_samples=2)
    page = open_page(content, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.wait_for_selector(".verdict" if kind == "circuit" else ".heat-map canvas")
    go_to(page, 20 if kind == "circuit" else 10)
    check_golden(page, f"{kind}-{width}-{scheme}.png", tmp_path)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("kind", ["circuit", "task"])
def test_it_fits_and_can_be_read_by_all(open_page: Open, kind: str, width: int, scheme: str) -> None:
    content = (
        circuit_content(compiled_adder()) if kind == "circuit" else task_content([exact_parity(6), exact_parity(6)])
    )
    page = open_page(content, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.wait_for_selector(".verdict")
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if not AXE.is_file():
        # Its licence is not ours, so it is no file of this repository; .ci/run fetches it where there is npm.
        pytest.skip("needs axe-core: `npm ci` in explore/")
    page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run(document)).violations")
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, json.dumps([(one["id"], [node["html"] for node in one["nodes"]]) for one in serious], indent=1)
