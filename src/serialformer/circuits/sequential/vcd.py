"""Waveforms: a value change dump (VCD, IEEE 1364), which GTKWave and its like show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BufferedIOBase
from typing import IO

import numpy as np

from serialformer.arrays import UInt8
from serialformer.circuits.words import ABSENT, Word

_FIRST, _LAST = 33, 126
"""The characters of identifiers: printable ASCII without the blank."""


class VcdWriter:
    """Writes words cycle by cycle, only those that change; a unit of time is a clock cycle.

    Each group of words is a scope of its own, so that an output may have the name of a register.

    Args:
        file: where to write.
        scopes: the words of each scope; the places of all count through one row of bits.
        num_bits: how long that row is.

    >>> import io
    >>> file = io.BytesIO()
    >>> writer = VcdWriter(file, {"outputs": [Word(name="y", bits=(0, 1))]}, num_bits=2)
    >>> for cycle, bits in enumerate([[0, 1], [0, 1], [1, 1]]):
    ...     writer.write(cycle, np.array(bits, dtype=np.uint8))
    >>> print(file.getvalue().decode().split("$enddefinitions $end")[1].split())
    ['#0', 'b10', '!', '#2', 'b11', '!']
    """

    def __init__(
        self, file: IO[bytes] | BufferedIOBase, scopes: Mapping[str, Sequence[Word]], *, num_bits: int
    ) -> None:
        self._file = file
        self._last: UInt8[np.ndarray, " bits"] | None = None
        self._signals: list[tuple[str, list[int]]] = []
        self._signal_of_bit = np.full(num_bits, -1, dtype=np.int64)
        lines = ["$version serialformer $end", "$timescale 1 ns $end", "$scope module serialformer $end"]
        for scope, words in scopes.items():
            lines.append(f"$scope module {scope} $end")
            for word in words:
                code = _identifier(len(self._signals))
                bounds = f" [{word.width - 1}:0]" if word.width > 1 else ""
                lines.append(f"$var wire {word.width} {code} {_reference(word.name)}{bounds} $end")
                self._signal_of_bit[list(word.places)] = len(self._signals)
                self._signals.append((code, list(word.bits)[::-1]))
            lines.append("$upscope $end")
        lines += ["$upscope $end", "$enddefinitions $end\n"]
        file.write("\n".join(lines).encode())

    def write(self, cycle: int, bits: UInt8[np.ndarray, " bits"]) -> None:
        """Says what the words are from this cycle on; cycles come in ascending order."""
        changed = np.arange(len(bits)) if self._last is None else np.flatnonzero(bits != self._last)
        self._last = bits.copy()
        signals = np.unique(self._signal_of_bit[changed])
        lines = [f"#{cycle}"] if len(signals) or cycle == 0 else []
        for signal in signals[signals >= 0].tolist():
            code, places = self._signals[signal]
            digits = "".join(["0" if place == ABSENT else str(bits[place]) for place in places])
            lines.append(f"{digits}{code}" if len(places) == 1 else f"b{digits} {code}")
        self._file.write("".join(f"{line}\n" for line in lines).encode())

    def end(self, cycle: int) -> None:
        """Says when it ends: the cycle after the last one."""
        self._file.write(f"#{cycle}\n".encode())


def _identifier(number: int) -> str:
    """The shortest code that is left.

    >>> _identifier(0), _identifier(93), _identifier(94)
    ('!', '~', '!!')
    """
    code = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, _LAST - _FIRST + 1)
        code = chr(_FIRST + digit) + code
    return code


def _reference(name: str) -> str:
    """A name without white space or control characters, which would end it.

    >>> _reference("next q")
    'next_q'
    """
    return "".join(letter if letter.isprintable() and not letter.isspace() else "_" for letter in name)
