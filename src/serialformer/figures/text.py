"""How much room a text takes, in points, as wide as its letters are."""

from __future__ import annotations


def text_width(text: str, size: float) -> float:
    """Points that a line of text takes in matplotlib's own font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def wrap_text(text: str, width: float, size: float) -> list[str]:
    """A text in lines of at most so many points; a word that is longer is cut.

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


def cut_text(text: str, width: float, size: float) -> str:
    """A text of at most so many points, with an ellipsis where it was cut."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text}…"
