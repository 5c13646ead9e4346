"""How much room a text takes, in points, as wide as its letters are."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

Points = int | float


@lru_cache(maxsize=4096)
def text_width(text: str, size: Points) -> float:
    """Points that a line of text takes in matplotlib's own font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def wrap_text(text: str, width: Points, size: Points) -> list[str]:
    """A text in lines of at most ``width`` points; longer words are cut.

    >>> wrap_text("share of samples", 40, 8)
    ['share of', 'samples']
    """
    lines = list[str]()
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(cut_text(word, width, size))
    return lines


def cut_text(text: str, width: Points, size: Points) -> str:
    """A text of at most ``width`` points, with an ellipsis where it was cut."""
    if text_width(text, size) <= width:
        return text
    kept = bisect_right(range(len(text)), width, key=lambda count: text_width(f"{text[:count]}…", size)) - 1
    return f"{text[: max(0, kept)]}…"
