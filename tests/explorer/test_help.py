"""The page explains its panels and terms, names gates, shows words in three ways, and saves its picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from PIL import Image
from tests.explorer.conftest import Open
from tests.explorer.models import compiled_adder
from tests.explorer.test_browser import expect, go_to

from serialformer import compile, construct
from serialformer.explorer.content import circuit_content, task_content

HALF_ADDER = """
.model half
.inputs a b
.outputs sum overflow
.names a b sum
10 1
01 1
.names a b carry
11 1
.names carry b overflow
11 1
.end
"""

TEXT = "{http://www.w3.org/2000/svg}text"


def test_every_panel_is_explained(open_page: Open) -> None:
    pages = {
        "circuit": open_page(circuit_content(compiled_adder(1))),
        "task": open_page(task_content([construct("parity", 4, setting="base")])),
    }
    for kind, page in pages.items():
        page.wait_for_selector(".verdict" if kind == "circuit" else ".heat-map canvas")
        buttons = page.locator(".hint").all()
        assert len(buttons) == (10 if kind == "circuit" else 9)
        for button in buttons:
            button.click()
            expect(button).to_have_attribute("aria-expanded", "true")
        texts = page.locator(".hint-text").all_inner_texts()
        assert len(texts) == len(buttons) == len(set(texts)) and min(map(len, texts)) > 60
        buttons[0].click()
        expect(page.locator(".hint-text")).to_have_count(len(buttons) - 1)
    page = pages["circuit"]
    page.get_by_role("button", name="Terms").click()
    terms = page.locator("dialog.terms dt").all_inner_texts()
    assert {"residual stream", "logit", "head", "gate", "chain"} <= set(terms)
    page.keyboard.press("Escape")
    # Of the two heads of each layer parity takes one.
    page = pages["task"]
    go_to(page, 4)
    assert page.locator(".heat-map figcaption", has_text="(unused)").count() == 3
    assert page.locator(".heads tr", has_text="unused: adds nothing").count() == 3


def test_gates_have_the_names_of_the_source_in_the_saved_picture(open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "half.blif").write_text(HALF_ADDER)
    model = compile(tmp_path / "half.blif", level=0)
    page = open_page(circuit_content(model))
    page.wait_for_selector(".verdict")
    with page.expect_download() as svg:
        page.get_by_role("button", name="SVG", exact=True).click()
    assert svg.value.suggested_filename == "circuit.svg"
    texts = [one.text for one in ElementTree.parse(svg.value.path()).iter(TEXT)]
    # A name is drawn twice, with its rim, and marked gates lie over plain ones.
    assert set(texts) == {"a", "b", "xor", "and", "sum", "carry", "overflow"}
    with page.expect_download() as png:
        page.get_by_role("button", name="PNG", exact=True).click()
    with Image.open(png.value.path()) as picture:
        box = page.locator(".netlist canvas").bounding_box()
        assert picture.size == (round(box["width"]), round(box["height"]))


def test_words_are_numbers_or_text(open_page: Open) -> None:
    page = open_page(circuit_content(compiled_adder(8)))
    page.wait_for_selector(".verdict")
    first, output = page.locator("#word-0"), page.locator("[data-output='0'] b")
    page.get_by_role("button", name="text", exact=True).click()
    for place, text in enumerate(("A", "!")):
        page.fill(f"#word-{place}", text)
        page.press(f"#word-{place}", "Enter")
    total = ord("A") + ord("!")
    page.get_by_role("button", name="hex", exact=True).click()
    expect(output).to_have_text(f"0x{total:03x}")
    expect(first).to_have_value("0x41")
    page.get_by_role("button", name="decimal", exact=True).click()
    expect(output).to_have_text(str(total))
    page.get_by_role("button", name="text", exact=True).click()
    expect(first).to_have_value("A")
    page.fill("#word-0", "AB")
    page.press("#word-0", "Enter")
    expect(page.locator("#word-0-problem")).to_have_text("has 2 characters; at most 1 fit")
