"""The page as a file: nothing in a checkpoint becomes markup, and the policy names what stands in it."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.explorer.models import HOSTILE, hostile_model

from serialformer.errors import SerialformerError
from serialformer.explorer.content import circuit_content
from serialformer.explorer.page import render_page, write_page


class Elements(html.parser.HTMLParser):
    """The elements of a page and the text of its scripts and styles, as Python's own parser sees them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.names: list[str] = []
        self.attributes: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self.is_open = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes.append(dict(attrs))
        self.texts.append("")

        self.is_open = True

    def handle_endtag(self, tag: str) -> None:
        self.is_open = False

    def handle_data(self, data: str) -> None:
        if self.texts and self.is_open:
            self.texts[-1] += data

    def texts_of(self, tag: str) -> list[str]:
        return [text for name, text in zip(self.names, self.texts, strict=True) if name == tag]


def test_hostile_names_stay_text() -> None:
    content = circuit_content(hostile_model())
    content["title"] = HOSTILE[0]
    elements = Elements(render_page(content).decode())
    assert elements.names.count("script") == 2
    assert elements.names.count("b") == 0
    held = json.loads(elements.texts_of("script")[0])
    assert held == json.loads(json.dumps(content))
    assert [word["name"] for word in held["circuit"]["inputs"]] == list(HOSTILE[:2])
    assert elements.texts_of("title") == [f"{HOSTILE[0]} - serialformer"]


def test_a_title_without_end_is_cut() -> None:
    title = Elements(render_page({"title": HOSTILE[3], "live": False}).decode()).texts_of("title")[0]
    assert title == "n" * 99 + "\N{HORIZONTAL ELLIPSIS} - serialformer"


@pytest.mark.parametrize("live", [False, True])
def test_the_policy_allows_what_stands_in_the_page_and_no_more(live: bool) -> None:
    elements = Elements(render_page({"title": "x", "live": live}).decode())
    policy = next(one["content"] for one in elements.attributes if one.get("http-equiv") == "Content-Security-Policy")
    script, style = elements.texts_of("script")[1], elements.texts_of("style")[0]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    assert policy.split("; ") == [
        "default-src 'none'",
        f"script-src 'sha256-{hashes[0]}'",
        f"style-src 'sha256-{hashes[1]}'",
        "connect-src 'self'" if live else "connect-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_the_page_names_no_other_place() -> None:
    page = render_page({"title": "x", "live": False}).decode()
    assert not re.search(r"""(src|href)\s*=\s*["']""", page)
    assert set(re.findall(r"https?://[^\s\"'`)]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xhtml",
        "http://www.w3.org/1998/Math/MathML",
    }


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    content = {"title": "x", "live": False}
    size = write_page(tmp_path / "page.html", content)
    assert (tmp_path / "page.html").stat().st_size == size
    with pytest.raises(SerialformerError):
        write_page(tmp_path / "page.html" / "page.html", content)
    with pytest.raises(ValueError, match="Out of range float"):
        write_page(tmp_path / "other.html", {**content, "number": float("nan")})
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
