"""How values are shown: counts in words, and in a notebook a table of facts, in which names are text, not markup."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

MAX_ITEMS_SHOWN = 8
MAX_LETTERS_SHOWN = 60


def fact_table(title: str, facts: Mapping[str, str]) -> str:
    """An HTML table with a row a fact.

    >>> fact_table("Circuit", {"inputs": "<a>"})
    '<table><caption>Circuit</caption><tr><th>inputs</th><td>&lt;a&gt;</td></tr></table>'
    """
    rows = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in facts.items())
    return f"<table><caption>{html.escape(title)}</caption>{''.join(rows)}</table>"


def html_rows(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], more: int = 0) -> str:
    """An HTML table with a heading for each column, and how many rows are left out.

    >>> html_rows("Edges", ["edge"], [["a->b"]])
    '<table><caption>Edges</caption><tr><th>edge</th></tr><tr><td>a-&gt;b</td></tr></table>'
    """
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    rest = f'<tr><td colspan="{len(names)}">and {more:,} more</td></tr>' if more > 0 else ""
    return f"<table><caption>{html.escape(title)}</caption><tr>{heads}</tr>{body}{rest}</table>"


def first_few(items: Sequence[str]) -> str:
    """The first items, each shortened if it is long, and the number of remaining ones.

    >>> first_few([f"x{number}" for number in range(11)])
    'x0, x1, x2, x3, x4, x5, x6, x7, and 3 more'
    """
    shown = [item if len(item) <= MAX_LETTERS_SHOWN else f"{item[:MAX_LETTERS_SHOWN]}..." for item in items]
    more = [f"and {len(items) - MAX_ITEMS_SHOWN} more"] if len(items) > MAX_ITEMS_SHOWN else []
    return ", ".join([*shown[:MAX_ITEMS_SHOWN], *more]) or "none"


def count(number: int, noun: str) -> str:
    """A number of things in words.

    >>> count(1, "gate"), count(1408, "gate")
    ('1 gate', '1,408 gates')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
