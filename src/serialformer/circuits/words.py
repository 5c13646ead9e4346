"""Words: the named groups of bits that form a circuit's inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from serialformer.arrays import UInt8
from serialformer.errors import InputError

ABSENT = -1
"""In ``Word.bits``: the word has no such bit. It must be 0 in a value given, and is 0 in a value returned."""

_INDEXED = re.compile(r"(.+)\[(\d{1,9})\]", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Word:
    """A named word of bits.

    Attributes:
        name: what the user calls it.
        bits: ``bits[i]`` is the place, among the circuit's inputs (or outputs), of bit i; bit 0 is the
            least significant. ``ABSENT`` where a file names ``x[5]`` and ``x[3]`` but no ``x[4]``.

    >>> Word(name="a", bits=(0, 1, 2)).width
    3
    """

    name: str
    bits: tuple[int, ...]

    @property
    def width(self) -> int:
        return len(self.bits)

    @property
    def places(self) -> tuple[int, ...]:
        """The places of the bits that exist, least significant first."""
        return tuple(place for place in self.bits if place != ABSENT)


def names_to_words(names: Sequence[str | None], *, default: str) -> tuple[Word, ...]:
    """Groups named bits into words; every bit lands in exactly one.

    ``name[i]`` bits form the word ``name``; bits without a name form the word ``default`` in file order; any other
    named bit is a word of one. A name used twice is kept twice, the later with a suffix. Indexed bits stay words of
    one where grouping them would be ambiguous (the bare name or the index also occurs) or absurdly wide.

    Args:
        names: one name a bit, in file order; None or "" where the file gives none.
        default: the name of the word of unnamed bits, ``in`` or ``out``.

    Returns:
        The words in the order in which the first bit of each occurs.

    >>> [(word.name, word.bits) for word in names_to_words(["a[1]", "a[0]", "c", None, None], default="in")]
    [('a', (1, 0)), ('c', (2,)), ('in', (3, 4))]
    """
    groups: dict[str, list[tuple[int, int]]] = {}
    unnamed: list[int] = []
    order: list[str | int] = []  # a word of indexed bits by its label, another by the place of its first bit
    for place, name in enumerate(names):
        if not name:
            if not unnamed:
                order.append(place)
            unnamed.append(place)
        elif name[-1] == "]" and (match := _INDEXED.fullmatch(name)):
            label = match[1]
            if label not in groups:
                groups[label] = []
                order.append(label)
            groups[label].append((int(match[2]), place))
        else:
            order.append(place)
    bare = {name for name in names if name}
    taken: set[str] = set()
    suffixes: dict[str, int] = {}
    words = []
    for key in order:
        if isinstance(key, int):
            name = names[key]
            if name:
                words.append(Word(name=_unused(name, taken, suffixes), bits=(key,)))
            else:
                words.append(Word(name=_unused(default, taken | bare, suffixes), bits=tuple(unnamed)))
            taken.add(words[-1].name)
            continue
        label, members = key, groups[key]
        if _groups_cleanly(label, members, bare):
            bits = [ABSENT] * (1 + max(index for index, _ in members))
            for index, place in members:
                bits[index] = place
            words.append(Word(name=_unused(label, taken, suffixes), bits=tuple(bits)))
        else:
            for index, place in members:
                words.append(Word(name=_unused(f"{label}[{index}]", taken, suffixes), bits=(place,)))
                taken.add(words[-1].name)
        taken.add(words[-1].name)
    return tuple(words)


def _groups_cleanly(label: str, members: list[tuple[int, int]], bare: set[str]) -> bool:
    indices = [index for index, _ in members]
    return label not in bare and len(set(indices)) == len(indices) and max(indices) < 2 * len(indices) + 64


def _unused(name: str, taken: set[str], suffixes: dict[str, int]) -> str:
    """The name, or the name with the first free suffix; ``suffixes`` keeps many repeats of one name linear."""
    if name not in taken:
        return name
    suffix = suffixes.get(name, 2)
    while f"{name}_{suffix}" in taken:
        suffix += 1
    suffixes[name] = suffix + 1
    return f"{name}_{suffix}"


def words_to_names(words: Iterable[Word], num_bits: int) -> list[str]:
    """One name per bit, such that ``names_to_words`` of them gives the same words back.

    >>> words_to_names([Word(name="a", bits=(1, 0)), Word(name="c", bits=(2,))], 3)
    ['a[1]', 'a[0]', 'c']
    """
    names = [""] * num_bits
    for word in words:
        for index, place in enumerate(word.bits):
            if place != ABSENT:
                names[place] = word.name if word.width == 1 else f"{word.name}[{index}]"
    return names


def values_to_bits(words: Sequence[Word], values: Mapping[str, int], num_bits: int) -> UInt8[np.ndarray, " bits"]:
    """The bits that the named values stand for; reports every missing, unknown or unfitting value at once.

    >>> values_to_bits([Word(name="a", bits=(0, 1)), Word(name="b", bits=(2,))], {"a": 2, "b": 1}, 3)
    array([0, 1, 1], dtype=uint8)
    """
    by_name = {word.name: word for word in words}
    problems = []
    for name in values:
        if name not in by_name:
            near = get_close_matches(name, by_name, n=1)
            problems.append(f"no input word {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    bits = np.zeros(num_bits, dtype=np.uint8)
    for word in words:
        if word.name not in values:
            problems.append(f"no value for {word.name!r}")
            continue
        value = int(values[word.name])
        if value < 0 or value.bit_length() > word.width:
            problems.append(f"{word.name}={value} does not fit its {word.width} bits")
            continue
        for index, place in enumerate(word.bits):
            bit = value >> index & 1
            if place != ABSENT:
                bits[place] = bit
            elif bit:
                problems.append(f"{word.name}={value} sets bit {index}, which the word does not have")
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        expected = ", ".join(f"{word.name} ({word.width} bits)" for word in words[:12]) or "none"
        more = f", and {len(words) - 12} more" if len(words) > 12 else ""
        raise InputError(shown, hint=f"the inputs are: {expected}{more}")
    return bits


def bits_to_values(words: Sequence[Word], bits: UInt8[np.ndarray, " bits"]) -> dict[str, int]:
    """The value of each word, an unsigned integer.

    >>> bits_to_values([Word(name="s", bits=(0, 1))], np.array([1, 1], dtype=np.uint8))
    {'s': 3}
    """
    return {
        word.name: sum(int(bits[place]) << index for index, place in enumerate(word.bits) if place != ABSENT)
        for word in words
    }
