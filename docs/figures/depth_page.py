"""The picture of depth and a chain: a 3-bit adder on the page of layers, after its second layer, in Chromium.

python docs/figures/depth_page.py docs/figures/depth.png
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from page import find_chromium, save_picture
from playwright.sync_api import expect, sync_playwright

import serialformer

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from make_adder import ripple_adder

INPUT, LAYER, TOKENS = "a=5, b=3", 3, 5


def take_picture(page_file: Path, executable: str) -> bytes:
    """The grid and the chain at 1000 pixels, as PNG: some layers done, some tokens written."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 760}, color_scheme="light", device_scale_factor=1.5)
        page.goto(page_file.as_uri())
        options = page.locator("#input option").all_text_contents()
        page.select_option("#input", str(next(place for place, text in enumerate(options) if text.startswith(INPUT))))
        page.locator("#layer").fill(str(LAYER))
        made = page.locator("#made")
        made.fill(str(int(made.get_attribute("min") or 0) + TOKENS))
        # The sum of the last place waits for the carries of the others.
        page.locator("th.top button").filter(has_text="g8").first.click()
        expect(page.locator("#said")).to_contain_text("head 1 reads")
        page.locator("th.top button").filter(has_text="g6").last.click()
        expect(page.locator("#chain-said")).to_contain_text("head 1 reads")
        end = page.locator("#chain-said").bounding_box()
        assert end is not None
        clip = {"x": 0, "y": 0, "width": 1000, "height": end["y"] + end["height"]}
        picture = page.screenshot(full_page=True, clip=clip)
        browser.close()
    return picture


def main() -> None:
    executable = find_chromium()
    with tempfile.TemporaryDirectory() as folder:
        page_file = Path(folder, "page.html")
        adder = ripple_adder(3)
        serialformer.explore(
            serialformer.compile(adder, chain="none"), serialformer.compile(adder), output=page_file, seed=1
        )
        picture = take_picture(page_file, executable)
    save_picture(picture, sys.argv[1])


if __name__ == "__main__":
    main()
