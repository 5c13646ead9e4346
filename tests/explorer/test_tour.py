"""The page explains itself: the tour, and addresses that name a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.explorer.conftest import Open
from tests.explorer.models import compiled_adder
from tests.explorer.test_browser import expect, expect_position
from tests.task_models import exact_parity

from serialformer.explorer.content import circuit_content, task_content
from serialformer.explorer.page import write_page


@pytest.mark.parametrize("width", [1280, 390])
def test_the_tour_marks_a_part_in_each_of_six_steps(open_page: Open, width: int) -> None:
    contents: list[dict[str, Any]] = [circuit_content(compiled_adder(1)), task_content([exact_parity(4)])]
    for content in contents:
        page = open_page(content, viewport={"width": width, "height": 800})
        page.get_by_role("button", name="What am I looking at?").click()
        marked: list[str] = []
        for number in range(1, 7):
            expect(page.locator(".tour h2")).to_contain_text(f"{number} of 6: ")
            expect(page.locator(".is-toured")).to_have_count(1)
            if marked:  # the mark moves a moment after the heading
                expect(page.locator(".is-toured")).not_to_have_class(marked[-1])
            marked.append(page.locator(".is-toured").first.evaluate("(part) => part.className"))
            page.keyboard.press("Enter")
        expect(page.locator(".tour")).to_have_count(0)
        expect(page.locator(".is-toured")).to_have_count(0)
        assert len(set(marked)) == 6


@pytest.mark.parametrize("focus", ["dialog", "page"])
def test_escape_ends_the_tour_wherever_the_focus_is(open_page: Open, focus: str) -> None:
    page = open_page(circuit_content(compiled_adder(1)))
    page.get_by_role("button", name="What am I looking at?").click()
    expect(page.locator("#tour-next")).to_be_focused()
    if focus == "page":
        page.locator("#tour-next").blur()
    page.keyboard.press("Escape")
    expect(page.locator(".tour")).to_have_count(0)


def test_an_address_names_a_step_and_the_inputs(open_page: Open, tmp_path: Path) -> None:
    values = {"a": 3, "b": 2}
    file = tmp_path / "linked.html"
    write_page(file, circuit_content(compiled_adder(2)))
    page = open_page(f"{file.as_uri()}#token=4&a=3&b=2")
    expect_position(page, 4 + 4)
    for place, value in enumerate(values.values()):
        expect(page.locator(f"#word-{place}")).to_have_value(str(value))
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(f"{file.as_uri()}#token=5&a=3&b=2")
