"""The page of layers: what it holds is what the weights give, and in Chromium its controls show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.explorer.conftest import TIMEOUT_MS
from tests.explorer.models import HOSTILE, adder

from serialformer import CircuitBuilder, Model, compile, explore
from serialformer.circuits.evaluate import evaluate_wires
from serialformer.constructions.circuit_depth import circuit_levels
from serialformer.errors import CheckpointError, InputError
from serialformer.explorer.layers import layers_content
from serialformer.models.lower import Target


def both(target: Target = "gpt2") -> tuple[Model, Model]:
    return compile(adder(), chain="none", target=target), compile(adder())


@pytest.mark.parametrize("target", ["gpt2", "llama"])
def test_columns_are_right_from_the_layer_of_their_level_on(target: Target) -> None:
    model, chain = both(target)
    content = layers_content(model, chain)
    depth, circuit = content["depth"], model.circuit
    levels = circuit_levels(circuit).of_wire
    assert len(content["inputs"]) == min(32, 1 << circuit.num_inputs)
    for held, wrong in zip(depth["held"], depth["wrong"], strict=True):
        assert len(held) == depth["layers"] + 1
        bits = np.array([[int(held[0][place]) for place in range(circuit.num_inputs)]], dtype=np.uint8)
        right = evaluate_wires(circuit, bits)[0]
        for layer in range(depth["layers"]):  # the last one writes tokens
            for wire, level in enumerate(levels.tolist()):
                is_right = held[layer][wire] == str(right[wire])
                assert (wrong[layer][wire] == "0") == is_right
                assert is_right or level > layer


@pytest.mark.parametrize("target", ["gpt2", "llama"])
def test_heads_look_where_gates_read(target: Target) -> None:
    model, _ = both(target)
    depth, circuit = layers_content(model)["depth"], model.circuit
    for gate, (reads, arity) in enumerate(zip(circuit.fan_in.tolist(), circuit.arity.tolist(), strict=True)):
        for heads in depth["looks"][:-1]:
            looked = {positions[circuit.num_inputs + gate] for positions in heads}
            assert looked == set(reads[:arity])


def test_the_chain_is_the_one_that_the_model_writes() -> None:
    model, chain = both()
    found = layers_content(model, chain)
    assert found["chain"]["answers"] == [answer for answer, _ in found["depth"]["answers"]]
    assert len(found["chain"]["names"]) == chain.words.num_tokens


def test_what_is_refused(tmp_path: Path) -> None:
    model, chain = both()
    build = CircuitBuilder()
    build.output("y", build.not_(build.input("x")))
    other = compile(build.circuit())
    with pytest.raises(InputError, match="is no model of the same circuit"):
        layers_content(model, other)
    with pytest.raises(InputError, match="shown alone or beside one of the same circuit"):
        explore(model, chain)
    with pytest.raises(InputError, match="is a directory"):
        explore(model, output=tmp_path)
    rounded = compile(adder(), chain="none", target="paper")
    with pytest.raises(CheckpointError, match="the model's arithmetic rounds after every operation") as refusal:
        explore(rounded, output=tmp_path / "page.html")
    assert refusal.value.hint == "compile it for the target gpt2"
    assert not list(tmp_path.iterdir())


# --- in Chromium


def opened(browser: Any, path: Path) -> tuple[Any, list[str]]:
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.set_default_timeout(TIMEOUT_MS)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(path.as_uri())
    return page, complaints


def test_the_grid_and_the_chain_show_what_was_read(browser: Any, tmp_path: Path) -> None:
    model, chain = both()
    explore(model, chain, output=tmp_path / "page.html")
    content = layers_content(model, chain)
    page, complaints = opened(browser, tmp_path / "page.html")
    depth, circuit = content["depth"], model.circuit
    number = len(content["inputs"]) - 1
    page.select_option("#input", str(number))
    page.locator("#layer").fill(str(depth["layers"]))
    rows = page.locator("table").first.locator("tr").all()[1:]
    shown = [["".join(row.locator("td").all_inner_texts())] for row in rows]
    num_wires = circuit.num_wires
    assert [line[0] for line in shown[:-1]] == [row[:num_wires] for row in depth["held"][number][:-1]]
    written = "".join(map(str, depth["answers"][number][1]))
    assert shown[-1][0] == written and len(written) == circuit.num_outputs
    assert depth["answers"][number][0] in page.locator("#said").inner_text()
    gate = circuit.num_inputs
    page.locator("#layer").fill("1")
    page.locator(f"button[data-column='{gate}']").click()
    said = page.locator("#said").inner_text()
    first, second = (depth["names"][head[gate]] for head in depth["looks"][0])
    assert f"head 1 reads {first} = " in said and f"head 2 reads {second} = " in said
    assert page.locator("td.look").count() == len({head[gate] for head in depth["looks"][0]})
    page.locator("#made").fill(str(len(content["chain"]["names"])))
    assert content["chain"]["answers"][number] in page.locator("#chain-said").inner_text()
    strip = page.locator("table").nth(1).locator("td").all_inner_texts()
    assert strip == content["chain"]["tokens"][number]
    page.locator("#play").click()
    assert page.locator("#play").inner_text() == "Stop"
    page.locator("#play").click()
    page.close()
    assert complaints == []


def test_hostile_names_stay_text(browser: Any, tmp_path: Path) -> None:
    build = CircuitBuilder()
    wire = build.input("x")
    for name in HOSTILE:
        build.output(name, build.not_(wire))
    explore(compile(build.circuit(), chain="none"), output=tmp_path / "page.html")
    page, complaints = opened(browser, tmp_path / "page.html")
    shown = page.locator("th.top").all_text_contents()
    assert shown[-len(HOSTILE) :] == list(HOSTILE)
    page.close()
    assert complaints == []


def test_the_page_does_not_intervene_on_a_llama() -> None:
    content = layers_content(both("llama")[0])
    assert set(content["model"]) == {"problem"} and "a Llama" in content["model"]["problem"]
