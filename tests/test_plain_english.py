"""Documents, help, messages, docstrings and the page use none of the sentence patterns that were removed."""

from __future__ import annotations

import re

import pytest

from tests.plain_english import PATTERNS, ROOT, TEXTS, Pattern, find, texts_by_kind


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.expression[:40])
def test_no_text_has_it(pattern: Pattern) -> None:
    assert re.search(pattern.expression, pattern.example, re.I)
    assert not re.search(pattern.expression, pattern.plain, re.I)
    assert find(pattern) == []


def test_every_kind_of_text_is_read() -> None:
    sizes = {kind: sum(len(text.split()) for _, text in texts) for kind, texts in texts_by_kind().items()}
    assert len(sizes) == len(TEXTS)
    assert sizes["pages"] > 30_000 and sizes["first_lines"] > 20_000 and sizes["help_texts"] > 1_000
    assert sizes["messages"] > 5_000 and sizes["page_text"] > 300


def test_the_log_lists_the_patterns() -> None:
    log = (ROOT / "docs" / "log.md").read_text()
    assert [pattern.example for pattern in PATTERNS if pattern.example not in log] == []
