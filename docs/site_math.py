"""Mathematics of the site: ``$...$`` as a code host shows it, in MathML, which browsers draw without any script."""

from __future__ import annotations

import re

from latex2mathml.converter import convert

_CODE = re.compile(r"(^```.*?^```$|^ {4,}.*$|`[^`\n]*`)", re.M | re.S)
_INLINE = re.compile(r"\$(?! )([^$\n]+?)(?<! )\$")
_LINE = re.compile(r"^\$\$\n?(.+?)\n?\$\$$", re.M | re.S)


def replace_mathematics(markdown: str) -> str:
    """The page with its mathematics in MathML; what is code stays as it is.

    >>> replace_mathematics("`$x$` is $x$.")
    '`$x$` is <math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>x</mi></mrow></math>.'
    """
    parts = _CODE.split(markdown)
    for place in range(0, len(parts), 2):
        text = _LINE.sub(lambda match: "\n" + convert(match[1], display="block") + "\n", parts[place])
        parts[place] = _INLINE.sub(lambda match: convert(match[1]), text)
    return "".join(parts)
