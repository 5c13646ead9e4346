"""What a notebook shows: small tables in which nothing that a file holds is markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

import serialformer

HOSTILE = ["</td><script>alert(1)</script>", '"quoted" & <b>', "x" * 10_000, "\N{PARTY POPPER}"]


class Tables(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def build(names: list[str]) -> serialformer.Circuit:
    build = serialformer.CircuitBuilder()
    bits = [build.inputs(name, 2) for name in names]
    for name, (first, second) in zip(names, bits, strict=True):
        build.output(name, build.xor(first, second))
    return build.circuit()


def test_what_is_shown() -> None:
    circuit = build(["a", "b"])
    shown = Tables(circuit._repr_html_()).text
    assert shown == [
        "Circuit",
        "gates",
        "2 of up to 2 inputs, depth 1",
        "inputs",
        "a (2), b (2)",
        "outputs",
        "a (1), b (1)",
    ]
    model = serialformer.compile(circuit)
    shown = Tables(model._repr_html_()).text
    assert "2 tokens for 2 gates" in shown and "not saved" in shown
    shown = Tables(model.run(a=1, b=0)._repr_html_()).text
    assert shown[:3] == ["Transcript", "outputs", "a=1, b=0"]
    assert shown[-1] == "10"


@pytest.mark.parametrize("names", [HOSTILE, [f"word{number}" for number in range(100)]])
def test_names_are_text_and_tables_small(names: list[str]) -> None:
    circuit = build(names)
    model = serialformer.compile(circuit)
    for value in (circuit, model, model.run({name: 1 for name in names})):
        page = value._repr_html_()
        assert Tables(page).tags == {"table", "caption", "tr", "th", "td"}
        assert len(page) < 2_000


def test_a_long_chain_shows_its_ends() -> None:
    build = serialformer.CircuitBuilder()
    bit = build.input("a")
    for _ in range(300):
        bit = build.gate(0b01, bit)
    build.output("out", bit)
    transcript = serialformer.compile(build.circuit()).run(a=0)
    tokens = Tables(transcript._repr_html_()).text[-1]
    assert tokens == "10" * 32 + " ... " + "10" * 32
