"""The picture of the page: a 4-bit multiplier in the middle of its chain of thought, in Chromium.

python docs/figures/page.py docs/figures/explore.png
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

import serialformer
from serialformer.cli.demo import multiplier
from serialformer.explorer.content import circuit_content
from serialformer.explorer.page import write_page

FACTORS = (13, 11)
TOKEN = 38


def take_picture(page_file: Path, executable: str) -> bytes:
    """The whole page at 1280 pixels, as PNG."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        page.goto(page_file.as_uri())
        for place, factor in enumerate(FACTORS):
            page.fill(f"#word-{place}", str(factor))
            page.press(f"#word-{place}", "Enter")
        expect(page.locator("[data-output='0']")).to_have_text(f"product = {FACTORS[0] * FACTORS[1]}")
        expect(page.locator(".verdict.is-right")).to_have_count(1)
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Home")
        for _ in range(TOKEN):
            page.keyboard.press("ArrowRight")
        expect(page.locator(".sentence")).to_contain_text(f"Chain token {TOKEN}")
        page.evaluate("document.querySelectorAll('.outputs small').forEach((milliseconds) => milliseconds.remove())")
        picture = page.screenshot(full_page=True)
        browser.close()
    return picture


def find_chromium() -> str:
    """The browser that draws the page; ends the program if there is none."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        sys.exit("Chromium is not on the path")
    return executable


def save_picture(picture: bytes, path: str) -> None:
    """Writes a PNG in 256 colours."""
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(256).save(path, optimize=True)


def main() -> None:
    executable = find_chromium()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, "multiplier4")
        serialformer.compile(multiplier(4)).save(directory)
        page_file = Path(folder, "page.html")
        write_page(page_file, circuit_content(serialformer.load(directory)))
        picture = take_picture(page_file, executable)
    save_picture(picture, sys.argv[1])


if __name__ == "__main__":
    main()
