"""Interventions on the page of a circuit without a chain agree with Python's, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.explorer.models import adder
from tests.explorer.test_browser import expect
from tests.explorer.test_layers import opened

from serialformer import compile, construct, explore
from serialformer.explorer.columns import columns_content
from serialformer.explorer.layers import FRONT, layers_content
from serialformer.explorer.page import write_page
from serialformer.explorer.task_layers import task_layers_content
from serialformer.interp.interventions import Intervention, intervene

POSITIONS = (0, 5, 6, 8, 11)
"""Where the residual stream is patched after the embedding and after each feed-forward part."""


def choose(page: Any, field: str, place: int) -> None:
    page.select_option(f"[data-field={field}]", index=place)  # a text would be looked for among the labels, too


def test_every_kind_in_every_layer_is_as_in_python(browser: Any, tmp_path: Path) -> None:
    model = compile(adder(), chain="none")
    explore(model, output=tmp_path / "page.html")
    inputs = layers_content(model)["inputs"]
    number, second = 7, 8
    values, other = (
        {name: int(value) for name, value in (word.split("=") for word in inputs[at].split(", "))}
        for at in (number, second)
    )
    page, complaints = opened(browser, tmp_path / "page.html")
    page.select_option("#input", str(number))
    kinds = ["zero", "mean", "head", "residual", "token"]
    parts = ["input", *(f"{letter}{layer}" for layer in range(4) for letter in "am")]
    wanted = [
        *(Intervention(kind="zero", part=f"a{layer}.h{layer % 2}") for layer in (1, 3)),
        Intervention(kind="mean", part="a2.h1"),
        *(Intervention(kind="head", part=f"a{layer}.h0", position=at) for layer, at in ((0, 8), (3, 11))),
        *(
            Intervention(kind="residual", part=part, position=at)
            for part, at in zip(parts[::2], POSITIONS, strict=True)
        ),
        Intervention(kind="token", position=1, token=0),
    ]
    changed = 0
    for one in wanted:
        choose(page, "kind", kinds.index(one.kind))
        if ".h" in one.part:
            choose(page, "layer", int(one.part[1]))
            choose(page, "head", int(one.part[-1]))
        if one.kind == "residual":
            choose(page, "part", parts.index(one.part))
        if one.position >= 0:
            choose(page, "position", one.position)
        if one.kind in ("head", "residual"):
            choose(page, "second", second)
        page.get_by_role("button", name="Run", exact=True).click()
        table = page.locator(".outcome")
        expect(table).to_have_count(1)
        found = intervene(model, values, one, other if one.kind in ("head", "residual") else None)
        assert table.get_attribute("data-written") == " ".join(map(str, found.written.tolist())), one
        assert table.get_attribute("data-expected") == " ".join(map(str, found.expected.tolist())), one
        assert page.locator("[data-verdict]").get_attribute("data-verdict") == "agrees"
        num_changed = int((found.written != found.clean).sum())
        assert page.locator(".outcome .is-changed").count() == num_changed
        changed += num_changed
    assert changed > 5
    choose(page, "kind", kinds.index("token"))
    choose(page, "position", model.words.num_inputs)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".what-if [role=alert]")).to_contain_text("which is not a bit")
    for button in page.locator(".hint").all():
        button.click()
    expect(page.locator(".hint-text:visible")).to_have_count(2)
    page.close()
    assert complaints == []


def test_a_task_shows_the_change_alone(browser: Any, tmp_path: Path) -> None:
    model = construct("parity", 4, setting="base")
    explore(model, output=tmp_path / "page.html", num_samples=3)
    texts = task_layers_content(model, num_samples=3)["inputs"]
    page, complaints = opened(browser, tmp_path / "page.html")
    for kind, one in enumerate(
        (
            Intervention(kind="zero", part="a1.h0"),
            Intervention(kind="mean", part="a0.h1"),
            Intervention(kind="head", part="a2.h0", position=4),
            Intervention(kind="residual", part="m1", position=2),
            Intervention(kind="token", position=1, token=1 - int(texts[0].split()[1])),
        )
    ):
        choose(page, "kind", kind)
        if ".h" in one.part:
            choose(page, "layer", int(one.part[1]))
            choose(page, "head", int(one.part[-1]))
        if one.kind == "residual":
            choose(page, "part", 4)
        if one.position >= 0:
            choose(page, "position", one.position)
        if one.kind in ("head", "residual"):
            choose(page, "second", 1)
        if one.kind == "token":
            choose(page, "token", model.transformer.architecture.vocabulary.index(str(one.token)))
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(".outcome")).to_have_count(1)
        found = intervene(model, texts[0], one, texts[1])
        assert page.locator(".outcome").get_attribute("data-written") == " ".join(map(str, found.written.tolist())), one
    expect(page.locator(".what-if")).to_contain_text("no truth about the parts")
    page.close()
    assert complaints == []


def test_a_model_that_the_page_cannot_compute_says_why(browser: Any, tmp_path: Path) -> None:
    for target in ("paper", "llama"):
        assert set(columns_content(compile(adder(1), chain="none", target=target))) == {"problem"}
    content = {**layers_content(compile(adder(1), chain="none")), "model": {"problem": "it is too large"}}
    write_page(tmp_path / "page.html", content, front=FRONT)
    page, complaints = opened(browser, tmp_path / "page.html")
    expect(page.locator(".what-if p:not(.hint-text)")).to_have_text(
        "This page cannot intervene on the model: it is too large."
    )
    page.close()
    assert complaints == []
