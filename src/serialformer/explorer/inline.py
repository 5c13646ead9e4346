"""Inline: the page in the output of a notebook's cell."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from serialformer.explorer.page import render_page


@dataclass(frozen=True, kw_only=True, repr=False)
class InlinePage:
    """A page that a notebook shows in a frame below the cell.

    The frame is sandboxed: its script runs, but cannot reach the notebook.

    Attributes:
        page: the page, a complete HTML document.
        height: the height of the frame in pixels.

    >>> page = InlinePage(page="<p>hello</p>", height=300)
    >>> page
    InlinePage(12 characters, height 300)
    >>> 'srcdoc="&lt;p&gt;hello&lt;/p&gt;"' in page._repr_html_()
    True
    """

    page: str
    height: int = 700

    def __repr__(self) -> str:
        return f"InlinePage({len(self.page):,} characters, height {self.height})"

    def _repr_html_(self) -> str:
        """The frame with the page in it."""
        return (
            f'<iframe title="serialformer" srcdoc="{html.escape(self.page)}" sandbox="allow-scripts allow-downloads" '
            f'style="width: 100%; height: {self.height}px; border: 0"></iframe>'
        )


def make_inline(content: dict[str, Any], height: int) -> InlinePage:
    """The page of some content, for a notebook."""
    return InlinePage(page=render_page(content).decode(), height=height)
