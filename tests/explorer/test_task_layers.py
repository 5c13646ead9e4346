"""The page of layers of a task: what it shows of each position is what so many layers make of the prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.explorer.test_layers import opened

from serialformer import Model, construct, explore
from serialformer.errors import InputError
from serialformer.explorer.task_layers import has_task_layers, task_layers_content
from serialformer.tasks.registry import make_task


def content_of(name: str, length: int, **parameters: Any) -> tuple[dict[str, Any], Model]:
    task = make_task(name, parameters)
    model = construct(task, length, setting="base", by="doubling" if name == "majority" else None)
    assert has_task_layers(model)
    return task_layers_content(model, construct(task, length), num_samples=5), model


def check_answers(content: dict[str, Any], model: Model) -> None:
    """The answers of both models are the task's own."""
    for text, (answer, _), of_chain in zip(
        content["inputs"], content["depth"]["answers"], content["chain"]["answers"], strict=True
    ):
        assert answer == of_chain == " ".join(model.run(text).expected)


@pytest.mark.parametrize(
    ("name", "length", "parameters"),
    [("parity", 6, {}), ("majority", 5, {}), ("modular-addition", 4, {"modulus": 5})],
)
def test_sums_of_twice_as_many_items_in_each_layer(name: str, length: int, parameters: dict[str, int]) -> None:
    content, model = content_of(name, length, **parameters)
    check_answers(content, model)
    modulus = {"parity": 2, "majority": 100}.get(name, 5)
    for text, held in zip(content["inputs"], content["depth"]["held"], strict=True):
        items = [*map(int, text.split()), 0]
        assert len(held) == len(model.transformer.layers) + 1
        for layer, line in enumerate(held[:-1]):
            expected = [sum(items[max(0, end - 2**layer) : end]) % modulus for end in range(1, length + 2)]
            assert line == list(map(str, expected))


def test_permutations_in_brackets_by_symbol() -> None:
    content, model = content_of("permutation-composition", 4, degree=3)
    check_answers(content, model)
    for text, held in zip(content["inputs"], content["depth"]["held"], strict=True):
        items = [part.split() for part in text.replace("(", "").split(")")[:-1]]
        for layer, line in enumerate(held[1:-1]):
            for last, start in enumerate(range(1, 20, 5)):
                product = items[max(0, last + 1 - 2**layer)]
                for other in items[max(0, last + 1 - 2**layer) + 1 : last + 1]:
                    product = [product[int(symbol) - 1] for symbol in other]
                assert line[start : start + 3] == product


@pytest.mark.parametrize("constants", [0.2, 0.0])
def test_circuits_by_rounds(constants: float) -> None:
    content, model = content_of("circuit-value", 6, constants=constants)
    check_answers(content, model)
    for text, held, wrong in zip(content["inputs"], content["depth"]["held"], content["depth"]["wrong"], strict=True):
        words = text.split()
        gates = [words[start : start + 3] for start in range(0, 24, 4)]
        values = [kind == "TRUE" for kind, _, _ in gates]
        assert not "".join(held[0]).strip()
        for line, marks in zip(held[1:-1], wrong[1:-1], strict=True):
            assert [line[place] for place in range(3, 24, 4)] == ["01"[value] for value in values]
            assert "".join(line[place] for place in range(25) if place % 4 != 3).strip() == ""
            assert all((line[place] != held[-2][place]) == (marks[place] == "1") for place in range(3, 24, 4))
            read = [[values[int(wire) - 1] for wire in (first, second) if wire != "NA"] for _, first, second in gates]
            values = [
                {"TRUE": True, "FALSE": False, "AND": all(of), "OR": any(of), "NOT": of == [False]}[kind]
                for (kind, _, _), of in zip(gates, read, strict=True)
            ]
        assert held[-2][23] == "01"[held[-1][24] == "TRUE"]


def test_squarings_of_different_lengths() -> None:
    content, model = content_of("iterated-squaring", 4, bound=31)
    check_answers(content, model)
    assert len({len(text.split()) for text in content["inputs"]}) > 1
    for text, held in zip(content["inputs"], content["depth"]["held"], strict=True):
        words = text.split()
        prime, residue, count = int(words[0]), int(words[1]), len(words) - 2
        place = len(words)
        for layer, line in enumerate(held[:-1]):
            assert "".join(line[:place] + line[place + 1 :]).strip() == ""
            squared = pow(residue, 2 ** min(count, max(1, layer - 1)), prime)
            if layer == 0 or (layer == 1 and 2 * residue > prime):
                assert line[place] == " "
            else:
                assert line[place] == str(squared)


def test_heads_look_back_by_powers_of_two() -> None:
    content, _ = content_of("parity", 6)
    for looks in content["depth"]["looks"]:
        for layer, heads in enumerate(looks):
            (positions,) = heads
            assert all(positions[place] == place - 2**layer for place in range(2**layer, 7))


def test_what_is_refused_and_what_has_the_other_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = construct("parity", 5, setting="base")
    with pytest.raises(InputError, match="is no model of the same task and length with a chain"):
        task_layers_content(model, construct("parity", 6))
    with monkeypatch.context() as patch:
        patch.setattr("serialformer.explorer.task_layers.MAX_CELLS", 23)
        with pytest.raises(InputError, match="3 layers of 6 positions are too many for a page, at most 23 cells"):
            task_layers_content(model)
    assert not has_task_layers(construct("parity", 5))
    assert not has_task_layers(construct("majority", 5, setting="base"))
    explore(model, output=tmp_path / "layers.html", num_samples=2)
    explore(model, model, output=tmp_path / "two.html", num_samples=2)
    assert "Layers by positions" in (tmp_path / "layers.html").read_text(encoding="utf-8")
    assert "Layers by positions" not in (tmp_path / "two.html").read_text(encoding="utf-8")


def test_the_page_follows_the_prompt(browser: Any, tmp_path: Path) -> None:
    task = make_task("word-problem", {"group": "S3"})
    model, chain = construct(task, 4, setting="base"), construct(task, 4)
    explore(model, chain, output=tmp_path / "page.html", num_samples=3)
    content = task_layers_content(model, chain, num_samples=3)
    page, complaints = opened(browser, tmp_path / "page.html")
    depth = content["depth"]
    for number in (2, 0):
        page.select_option("#input", str(number))
        page.locator("#layer").fill("2")
        assert page.locator("th.top button[data-column]").all_text_contents() == depth["tokens"][number]
        rows = page.locator("table").first.locator("tr").all()[1:]
        shown = [row.locator("td").all_text_contents() for row in rows]
        assert shown == [[text.strip() for text in line] for line in depth["held"][number]]
        page.locator("button[data-column='4']").click()
        assert (
            f"reads {depth['tokens'][number][2]} (position 2) = {depth['held'][number][1][2]}"
            in page.locator("#said").inner_text()
        )
        page.locator("#made").fill("9")
        assert (
            f"The last tokens are the answer: {content['chain']['answers'][number]}"
            in page.locator("#chain-said").inner_text()
        )
    page.close()
    assert complaints == []
