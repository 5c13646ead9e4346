"""Values of parameters and macros, as Yosys takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from serialformer.errors import FormatError

_NAME = re.compile(r"[A-Za-z_][\w$]*")
_VALUE = re.compile(r"\d+|\d*'s?[bodhBODH][0-9a-fA-F_]+|\"[^\"\\\n]*\"")


def parameter_values(parameters: Mapping[str, int | str]) -> dict[str, str]:
    """Each parameter's value as a literal; integers of up to 32 bits are decimal, wider ones sized.

    Raises:
        FormatError: says which name or value is none.

    >>> parameter_values({"W": 12, "SIGN": "-1", "BIG": 1 << 40, "MASK": "8'hf0"})
    {'W': '12', 'SIGN': "32'shffffffff", 'BIG': "41'h10000000000", 'MASK': "8'hf0"}
    """
    return {name: _parameter_value(name, value) for name, value in parameters.items()}


def _parameter_value(name: str, value: int | str) -> str:
    if not _NAME.fullmatch(name):
        raise FormatError(f"{name!r} is no name of a parameter", hint="-P NAME=VALUE")
    text = str(value).strip()
    try:
        number = int(text, 0)
    except ValueError:
        if not _VALUE.fullmatch(text):
            raise FormatError(
                f"{text!r} is no value for parameter {name}", hint="a number (12, 0x1f, 8'hff) or a string in quotes"
            ) from None
        return text
    if number < 0:
        if number < -(1 << 31):
            raise FormatError(
                f"{number} does not fit 32 bits", where=f"parameter {name}", hint="give a literal: 64'h..."
            )
        return f"32'sh{number % (1 << 32):x}"
    return str(number) if number < 1 << 31 else f"{number.bit_length()}'h{number:x}"


def macro_texts(macros: Mapping[str, int | str]) -> dict[str, str]:
    """Each macro's text; no text stands for what Verilog tools take it for, 1.

    Raises:
        FormatError: says which name or text cannot be given to Yosys.

    >>> macro_texts({"WIDTH": 8, "FAST": ""})
    {'WIDTH': '8', 'FAST': '1'}
    """
    texts = {}
    for name, value in macros.items():
        text = str(value).strip()
        if not _NAME.fullmatch(name):
            raise FormatError(f"{name!r} is no name of a macro", hint="-D NAME or -D NAME=VALUE")
        if re.search(r"[\"\s\\;]", text):
            raise FormatError(
                f"macro {name}: the text {text!r} has a space, a quote, a backslash or a semicolon",
                hint="put a `define into a file of the design instead",
            )
        texts[name] = text or "1"
    return texts
