"""Interventions on the page: they do what Python does with the same weights, and are judged by the same truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tests.explorer.conftest import Open, Serve
from tests.explorer.models import adder, compiled_adder
from tests.explorer.test_browser import expect, go_to, server_of
from tests.task_models import exact_parity, random_model

from serialformer import Model, compile
from serialformer.explorer.content import circuit_content, task_content
from serialformer.interp.interventions import Intervention, intervene
from serialformer.tasks.registry import make_task

PARTS = ("input", "a0", "m0")


def fill_words(page: Any, selector: str, values: list[int]) -> None:
    for place, value in enumerate(values):
        field = page.locator(selector).nth(place)
        field.fill(str(value))
        field.press("Enter")


def intervene_on(page: Any, wanted: Intervention, other: list[int] | None = None) -> Any:
    """Chooses an intervention in the panel, runs it, and returns what came of it."""
    panel = page.locator(".what-if").first
    panel.locator("[data-field=kind]").select_option(wanted.kind)
    if wanted.kind in ("zero", "mean", "head"):
        panel.locator("[data-field=head]").select_option(wanted.part[-1])
    if wanted.kind == "residual":
        panel.locator("[data-field=part]").select_option(str(PARTS.index(wanted.part)))
    if wanted.position >= 0:
        panel.locator("[data-field=position]").fill(str(wanted.position))
        panel.locator("[data-field=position]").press("Enter")
    if other is not None:
        fill_words(page, ".second-word", other)
    panel.get_by_role("button", name="Run", exact=True).click()
    outcome = panel.locator(".outcome")
    expect(outcome).to_have_count(1)
    return outcome


def check_same(outcome: Any, model: Model, values: dict[str, int], wanted: Intervention, other: Any = None) -> int:
    """The page's tokens and its truth are Python's; returns how many tokens changed."""
    found = intervene(model, values, wanted, other)
    for name, expected in (("written", found.written), ("expected", found.expected)):
        assert outcome.get_attribute(f"data-{name}") == " ".join(map(str, expected.tolist())), (name, wanted)
    verdict = outcome.locator("[data-verdict]").get_attribute("data-verdict")
    assert verdict == ("agrees" if found.is_as_expected else "differs")
    changed = np.flatnonzero(found.written != found.clean)
    assert outcome.locator("[data-changed]").count() == len(changed)
    return len(changed)


def test_every_kind_on_the_adder_is_as_in_python(open_page: Open) -> None:
    model, values, other = compiled_adder(), {"a": 3, "b": 1}, {"a": 0, "b": 2}
    page = open_page(circuit_content(model))
    fill_words(page, ".words input[type=text]", list(values.values()))
    expect(page.locator("[data-output='0']")).to_have_text("sum = 4")
    chain = model.run(values).chain
    first = model.words.num_inputs + 1
    wanted = [
        *(Intervention(kind=kind, part=f"a0.h{head}") for kind in ("zero", "mean") for head in range(2)),
        *(Intervention(kind="head", part=f"a0.h{head}", position=at) for head, at in ((0, 4), (1, 6), (0, 8))),
        *(Intervention(kind="residual", part=part, position=at) for part, at in zip(PARTS, (0, 5, 9), strict=True)),
        *(Intervention(kind="token", position=first + at, token=1 - int(chain[at])) for at in (0, 6)),
        Intervention(kind="token", position=1, token=0),
    ]
    num_changed = []
    for one in wanted:
        theirs = other if one.kind in ("head", "residual") else None
        outcome = intervene_on(page, one, None if theirs is None else list(theirs.values()))
        num_changed.append(check_same(outcome, model, values, one, theirs))
    assert 0 in num_changed and max(num_changed) > 3
    # The last one flipped an input, so that the sum is another; and what is shown goes when the question changes.
    expect(page.locator(".output-change")).to_have_text("sum = 4 becomes 2.")
    page.click("[data-bit='3']")
    expect(page.locator(".outcome")).to_have_count(0)
    page.locator("[data-field=position]").fill("4")
    page.locator(".what-if").get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".what-if .problem")).to_have_text("position 4 holds =, which is not a bit")


def test_weights_that_do_not_do_what_the_circuit_says_are_caught(open_page: Open) -> None:
    """The weights are those of a circuit in which one gate is another."""
    right = compiled_adder(1)
    build = adder(1)
    table = build.table.copy()
    table[0] = 0b1001
    wrong = compile(replace(build, table=table))
    model = replace(right, transformer=wrong.transformer)
    page = open_page(circuit_content(model))
    expect(page.locator(".verdict").first).to_contain_text("is not the circuit's")
    outcome = intervene_on(page, Intervention(kind="head", part="a0.h0", position=2), [0, 0])
    expect(outcome.locator("[data-verdict='differs']")).to_contain_text("the circuit says")


def test_a_trained_model_shows_the_change_alone(open_page: Open) -> None:
    models = [random_model(make_task("parity"), 6), exact_parity(6)]
    page = open_page(task_content(models, num_samples=2))
    page.wait_for_function("() => document.querySelectorAll('.score .verdict').length === 2")
    go_to(page, 8)
    outcome = intervene_on(page, Intervention(kind="zero", part="a0.h1"))
    expect(outcome).to_contain_text("no truth about the parts of this model")
    assert outcome.get_attribute("data-expected") is None
    panel = page.locator(".what-if").nth(1)
    panel.locator("[data-field=kind]").select_option("residual")
    panel.locator("[data-field=position]").fill("6")
    panel.locator("[data-field=sample]").select_option("1")
    panel.get_by_role("button", name="Run", exact=True).click()
    expect(panel.locator(".outcome")).to_contain_text("comes from the second input")


def test_a_served_page_intervenes_by_python(open_page: Open, serve: Serve) -> None:
    model, values, other = compiled_adder(), {"a": 1, "b": 3}, {"a": 2, "b": 0}
    page = open_page(serve(server_of(model)))
    fill_words(page, ".words input[type=text]", list(values.values()))
    expect(page.locator("[data-output='0']")).to_have_text("sum = 4")
    for one in (
        Intervention(kind="head", part="a0.h0", position=6),
        Intervention(kind="token", position=7, token=1 - int(model.run(values).chain[2])),
    ):
        theirs = other if one.kind in ("head", "residual") else None
        outcome = intervene_on(page, one, None if theirs is None else list(theirs.values()))
        check_same(outcome, model, values, one, theirs)
