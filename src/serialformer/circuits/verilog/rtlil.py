"""What we ask of a design that Yosys has written out in its own language (RTLIL): ports, cells, what is undefined."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

Direction = Literal["input", "output", "inout", ""]

_WIRE = re.compile(
    r"  wire (?:width (?P<width>\d+) )?(?P<upto>upto )?(?:offset (?P<offset>-?\d+) )?"
    r"(?:(?P<direction>input|output|inout) (?P<order>\d+) )?(?:signed )?(?P<name>\S+)"
)
_SOURCE = re.compile(r'  attribute \\src "([^"|]*)')
_INITIAL = re.compile(r"  attribute \\init (?P<value>\S+)")
_UNDEFINED = re.compile(r"(?<![\w$.\\])\d+'[01]*([xz])[01xz]*")
_ORDER = re.compile(r"(?m)^(  wire .*?(?:input|output|inout) )(\d+)( .*)$")


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A wire of a module.

    Attributes:
        name: without RTLIL's backslash.
        direction: which way it goes if it is a port, else "".
        order: its number among the ports.
        width: its bits.
        lowest: the least index in its declaration; ``[7:4]`` has 4.
        upwards: declared as ``[0:7]``: its most significant bit has the least index.
        source: where it is declared, ``file:line.column-line.column``.
        initial: what its bits hold before the first cycle, least significant first, as far as they are given; ``x``
            where they are not.
    """

    name: str
    direction: Direction
    order: int
    width: int
    lowest: int
    upwards: bool
    source: str
    initial: str = ""

    @property
    def rtlil_name(self) -> str:
        """The name as RTLIL writes it."""
        return rtlil_name(self.name)

    def word_name(self, bit: int) -> str:
        """What we call it: bit 0 is the least significant, whatever the declaration counts from."""
        return self.name if self.width == 1 else f"{self.name}[{bit}]"

    def bit_words(self) -> list[str]:
        """What we call its bits, least significant first."""
        return [self.word_name(bit) for bit in range(self.width)]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a module: its type, parameters, what its ports are connected to, and where it comes from."""

    type: str
    name: str
    source: str
    parameters: dict[str, str] = field(default_factory=dict)
    connections: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module: its wires by name, its cells, and the two sides of each connection."""

    name: str
    wires: dict[str, Wire]
    cells: tuple[Cell, ...]
    connections: tuple[tuple[str, str], ...]

    @property
    def rtlil_name(self) -> str:
        """The name as RTLIL writes it."""
        return rtlil_name(self.name)

    @property
    def ports(self) -> list[Wire]:
        """The ports in their order."""
        return sorted((wire for wire in self.wires.values() if wire.direction), key=lambda wire: wire.order)


def rtlil_name(name: str) -> str:
    """A name that the source gave with RTLIL's backslash; one that Yosys made up as it is."""
    return name if name.startswith("$") else f"\\{name}"


def parse_rtlil(text: str) -> list[Module]:
    """The modules of an RTLIL file; memories and processes are passed over."""
    lines = iter(text.split("\n"))
    return [_parse_module(line.split()[1].removeprefix("\\"), lines) for line in lines if line.startswith("module ")]


def _parse_module(name: str, lines: Iterator[str]) -> Module:
    wires: dict[str, Wire] = {}
    cells: list[Cell] = []
    connections: list[tuple[str, str]] = []
    source, initial, cell = "", "", None
    for line in lines:
        if line == "end":
            break
        if cell is not None:
            if line == "  end":
                cells.append(cell)
                cell = None
            else:
                kind, *key, value = line.split(None, 2)
                if kind == "connect":
                    cell.connections[key[0].removeprefix("\\")] = value
                elif kind == "parameter":
                    words = [*key, *value.split()]
                    cell.parameters[words[-2].removeprefix("\\")] = words[-1]
        elif found := _SOURCE.match(line):
            source = found[1]
        elif found := _INITIAL.fullmatch(line):
            initial = "".join(reversed(constant_bits(found["value"])))
        elif line.startswith("  cell "):
            _, cell_type, cell_name = line.split()
            cell = Cell(type=cell_type.removeprefix("\\"), name=cell_name, source=source)
            source, initial = "", ""
        elif found := _WIRE.fullmatch(line):
            wire = _match_to_wire(found, source, initial)
            wires[wire.name] = wire
            source, initial = "", ""
        elif line.startswith("  connect "):
            connections.append(_sides(line[len("  connect ") :]))
    return Module(name=name, wires=wires, cells=tuple(cells), connections=tuple(connections))


def _match_to_wire(found: re.Match[str], source: str, initial: str) -> Wire:
    return Wire(
        name=found["name"].removeprefix("\\"),
        direction=cast(Direction, found["direction"] or ""),
        order=int(found["order"] or 0),
        width=int(found["width"] or 1),
        lowest=int(found["offset"] or 0),
        upwards=bool(found["upto"]),
        source=source,
        initial=initial,
    )


def _sides(text: str) -> tuple[str, str]:
    """The two signals of a connection; a signal is a name, a name and a slice, or a concatenation in braces."""
    if text.startswith("{"):
        end = text.index("}") + 1
    else:
        end = text.index(" ")
        if text[end + 1 :].startswith("["):
            end = text.index("]", end) + 1
    return text[:end], text[end:].strip()


def undefined_bit(signal: str) -> str | None:
    """``x`` or ``z`` where a signal has a bit that is that constant.

    >>> undefined_bit("{ \\\\a 2'0x }"), undefined_bit("\\\\x [3:0]")
    ('x', None)
    """
    found = _UNDEFINED.search(signal)
    return found[1] if found else None


Bit = tuple[str, int] | str
"""One bit of a signal: a wire and a place in it, counted from the least significant; or a constant: 0, 1, x or z."""


def signal_bits(signal: str, wires: Mapping[str, Wire]) -> list[Bit]:
    """The bits of a signal, least significant first.

    >>> wire = Wire(name="a", direction="", order=0, width=3, lowest=0, upwards=False, source="")
    >>> signal_bits("{ 2'0x \\\\a [1:0] }", {"a": wire})
    [('a', 0), ('a', 1), 'x', '0']
    """
    bits: list[Bit] = []  # most significant first
    words = [word for word in signal.split() if word not in "{}"]
    for place, word in enumerate(words):
        if word.startswith("["):
            continue
        if word[0] in "\\$":
            name = word.removeprefix("\\")
            high, low = wires[name].width - 1, 0
            if place + 1 < len(words) and words[place + 1].startswith("["):
                first, _, last = words[place + 1].strip("[]").partition(":")
                high, low = int(first), int(last or first)
            bits += [(name, index) for index in range(high, low - 1, -1)]
        else:
            bits += constant_bits(word)
    return bits[::-1]


def constant_bits(text: str) -> list[str]:
    """The bits of a constant, most significant first; without a width it has 32.

    >>> constant_bits("4'01xz"), "".join(constant_bits("5"))
    (['0', '1', 'x', 'z'], '00000000000000000000000000000101')
    """
    width, quote, digits = text.partition("'")
    if not quote:
        return list(f"{int(text) % (1 << 32):032b}")
    digits = digits.removeprefix("s")
    if not digits:
        return []
    # A short constant repeats an x or z that it begins with, and fills up with 0 else.
    return list(digits.rjust(int(width), digits[0] if digits[0] in "xz" else "0"))


def signal_names(signal: str) -> list[str]:
    """The wires that a signal has bits of."""
    return [word.removeprefix("\\") for word in signal.split() if word[0] in "\\$"]


def order_ports_by_source(text: str) -> str:
    """The design with its ports counted as they stand in the source; one frontend of Yosys numbers them otherwise."""
    places: dict[str, tuple[str, int, int]] = {}
    for module in parse_rtlil(text):
        for port in module.ports:
            file, _, rest = port.source.rpartition(":")
            line, _, column = rest.split("-")[0].partition(".")
            places[port.name] = (file, int(line or 0), int(column or 0))
    order = {name: number for number, name in enumerate(sorted(places, key=lambda name: places[name]), start=1)}

    def renumber(match: re.Match[str]) -> str:
        name = match[3].split()[-1].removeprefix("\\")
        return f"{match[1]}{order[name]}{match[3]}"

    return _ORDER.sub(renumber, text)
