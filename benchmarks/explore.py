"""The page of `explore` in headless Chromium: its size, how soon it can be used, and what a step costs.

For each circuit: bytes of the page; seconds from opening it until its controls are there, and until the whole chain
has been computed; milliseconds of a step, from a key press to the end of the frame that shows it (median, and the
longest); and for each speed of playing the frames per second and the share of frames that came late, by more than half
a frame, of a screen that asks for 60 a second.

    python benchmarks/explore.py [--gates 1000] [--steps 60] [--seconds 5]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import serialformer
from serialformer.circuits.circuit import Circuit
from serialformer.explorer.content import circuit_content
from serialformer.explorer.page import write_page

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.compile import random_circuit

MULTIPLIER = Path(__file__).parents[1] / "examples" / "multiplier16.blif"

STEP = """(count) => new Promise((resolve) => {
    const times = [];
    const step = () => {
        const started = performance.now();
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
        requestAnimationFrame(() => {
            const channel = new MessageChannel();
            channel.port1.onmessage = () => {
                times.push(performance.now() - started);
                times.length < count ? requestAnimationFrame(step) : resolve(times);
            };
            channel.port2.postMessage(null);
        });
    };
    step();
})"""

FRAMES = """(milliseconds) => new Promise((resolve) => {
    const times = [];
    const frame = (now) => {
        times.push(now);
        now - times[0] < milliseconds ? requestAnimationFrame(frame) : resolve(times);
    };
    requestAnimationFrame(frame);
})"""


def measure(browser: Any, circuit: Circuit, *, steps: int, seconds: float, width: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.html")
        num_bytes = write_page(path, circuit_content(serialformer.compile(circuit)))
        context = browser.new_context(viewport={"width": width, "height": 900})
        page = context.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector("#page[data-ready]")
        ready = float(page.get_attribute("#page", "data-ready"))
        page.wait_for_selector(".verdict")
        thought = float(page.evaluate("performance.now()"))
        times = page.evaluate(STEP, steps)
        speeds = {}
        for speed in ("20", "50", "500"):
            page.keyboard.press("Home")
            page.select_option(".speed select", speed)
            page.evaluate("document.activeElement.blur()")
            page.keyboard.press("Space")
            found = page.evaluate(FRAMES, 1000 * seconds)
            gaps = [after - before for before, after in pairwise(found)]
            late = sum(gap > 1.5 * 1000 / 60 for gap in gaps)
            speeds[speed] = {
                "frames_per_second": 1000 / statistics.mean(gaps),
                "late": late / len(gaps),
                "longest": max(gaps),
            }
            page.keyboard.press("Space")
        context.close()
    return {
        "gates": circuit.num_gates,
        "bytes": num_bytes,
        "ready_s": ready / 1000,
        "chain_s": thought / 1000,
        "step_ms": statistics.median(times),
        "longest_step_ms": max(times),
        "playing": speeds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, nargs="*", default=[1000], help="random circuits beside the multiplier")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--width", type=int, default=1280)
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        sys.exit("Chromium is not on the path")
    circuits = {"multiplier16": serialformer.read(str(MULTIPLIER))}
    circuits |= {f"random {size}": random_circuit(size) for size in arguments.gates}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for name, circuit in circuits.items():
            row = measure(browser, circuit, steps=arguments.steps, seconds=arguments.seconds, width=arguments.width)
            print(json.dumps({"circuit": name, **row}), flush=True)
        browser.close()


if __name__ == "__main__":
    main()
