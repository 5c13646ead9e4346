"""Whatever the bytes, the BLIF and BENCH readers return a circuit or raise FormatError, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.bench import format_bench, parse_bench
from serialformer.circuits.formats.blif.blif import format_blif, parse_blif
from serialformer.errors import FormatError
from tests.circuits.equivalence import random_circuit
from tests.effort import effort

HIERARCHY = b""".model top
.inputs a b
.outputs y z
.subckt inner p=a q=b r=t
.subckt inner p=t q=$true r=y
.conn t z
.exdc
.names x
.end
.model inner
.inputs p q
.outputs r
.names p q r # xor
10 1
01 1
.names p p p p p p q w
1-----0 0
------- 0
.end
"""

ISCAS = b"""# all kinds
INPUT(a)
INPUT( b )
OUTPUT(y)
OUTPUT(a)
OUTPUT(y)
y = NAND(t, a, b, u)
t = nxor (a, b, v)
u = LUT 0x1e ( a, b, t )
v = vdd
w = MUX(a, gnd, v)
"""

WORDS = {
    "blif": b".model .inputs .outputs .names .subckt .end .exdc .conn .latch .blackbox \\\n # 1 0 - 11 -- a b y t "
    b"inner p=a =x a= .area $true $false".split(b" "),
    "bench": b"INPUT( OUTPUT( AND( XNOR( NOT( LUT 0x6 0xfg DFF( MUX( a b y t = , ) ( # gnd vdd \n BUFF".split(b" "),
}

SEEDS = {
    "blif": [HIERARCHY, *(format_blif(random_circuit(seed, num_gates=6)) for seed in range(3))],
    "bench": [ISCAS, *(format_bench(random_circuit(seed, num_gates=6)) for seed in range(3))],
}

PARSERS: dict[str, Callable[..., Circuit]] = {"blif": parse_blif, "bench": parse_bench}


def read(kind: str, data: bytes) -> Circuit | None:
    try:
        return PARSERS[kind](data, name="fuzz")
    except FormatError as error:
        assert str(error).startswith("fuzz")
        assert "\nhint: " in str(error)
        assert len(str(error)) < 1000
        return None


@pytest.mark.parametrize("kind", PARSERS)
def test_seeds_are_valid(kind: str) -> None:
    for seed in SEEDS[kind]:
        assert read(kind, seed) is not None


@pytest.mark.parametrize("kind", PARSERS)
@effort(2)
@given(data=st.binary(max_size=200))
def test_random_bytes(kind: str, data: bytes) -> None:
    read(kind, data)


@pytest.mark.parametrize("kind", PARSERS)
@effort(2)
@given(data=st.data())
def test_random_words(kind: str, data: st.DataObject) -> None:
    """Right words in a wrong order reach further than random bytes."""
    words = data.draw(st.lists(st.sampled_from(WORDS[kind] + [b"\n", b"\n"]), max_size=40))
    read(kind, (b".model m\n" if kind == "blif" else b"INPUT(a)\n") + b" ".join(words))


@pytest.mark.parametrize("kind", PARSERS)
@effort(2)
@given(data=st.data())
def test_damaged_files(kind: str, data: st.DataObject) -> None:
    """Cut, spliced, with bytes replaced, and with lines or words removed, doubled or swapped."""
    text = data.draw(st.sampled_from(SEEDS[kind]))
    other = data.draw(st.sampled_from(SEEDS[kind]))
    match data.draw(st.sampled_from(("cut", "splice", "bytes", "lines", "words"))):
        case "cut":
            text = text[: data.draw(st.integers(0, len(text)))]
        case "splice":
            text = text[: data.draw(st.integers(0, len(text)))] + other[data.draw(st.integers(0, len(other))) :]
        case "bytes":
            changed = bytearray(text)
            for _ in range(data.draw(st.integers(1, 5))):
                place = data.draw(st.integers(0, len(changed) - 1))
                changed[place] = data.draw(st.sampled_from(b"01-.\\#\n\r \0=(),ab\xff"))
            text = bytes(changed)
        case separator_name:
            separator = b"\n" if separator_name == "lines" else b" "
            parts = text.split(separator)
            for _ in range(data.draw(st.integers(1, 3))):
                first, second = (data.draw(st.integers(0, len(parts) - 1)) for _ in range(2))
                match data.draw(st.sampled_from(("remove", "double", "swap"))):
                    case "remove" if len(parts) > 1:
                        del parts[first]
                    case "double":
                        parts.insert(second, parts[first])
                    case _:
                        parts[first], parts[second] = parts[second], parts[first]
            text = separator.join(parts)
    read(kind, text)


def peak(kind: str, data: bytes) -> tuple[int, Circuit | None]:
    tracemalloc.start()
    try:
        circuit = read(kind, data)
        return tracemalloc.get_traced_memory()[1], circuit
    finally:
        tracemalloc.stop()


def doubling(levels: int) -> bytes:
    models = [f".model m{level}\n" + f".subckt m{level + 1}\n" * 2 + ".end\n" for level in range(levels)]
    return "".join([*models, f".model m{levels}\n.names y\n1\n.end\n"]).encode()


LARGE = {
    "hierarchy that doubles": ("blif", doubling(50)),
    "one long name": ("blif", b".model m\n.inputs " + b"a" * 300_000),
    "one wide cover": ("blif", b".model m\n.names " + b"a " * 30_000 + b"y\n" + b"1" * 30_000 + b" 1\n.inputs a\n"),
    "cover wider than its row": ("blif", b".model m\n.names " + b"a " * 100_000 + b"y\n" + b"1 1\n" * 20_000),
    "many models": ("blif", b"".join(b".model m%d\n.end\n" % number for number in range(30))),
    "many rows": ("blif", b".model m\n.inputs a\n.outputs y\n.names a y\n" + b"1 1\n" * 50_000),
    "many continuations": ("blif", b".model m\n.inputs " + b"\\ \\\n" * 50_000),
    "index out of all bounds": ("blif", b".model m\n.inputs a[999999999] a[0]\n"),
    "one wide gate": ("bench", b"INPUT(a)\ny = XOR(" + b"a," * 100_000 + b"a)\n"),
    "a table of many digits": ("bench", b"INPUT(a)\ny = LUT 0x" + b"f" * 300_000 + b" (a)\n"),
    "many outputs": ("bench", b"INPUT(a)\n" + b"OUTPUT(a)\n" * 5_000),
    "lines of all lengths": ("bench", b"".join(b"( " * length + b"\n" for length in range(200))),
    "brackets": ("bench", b"(" * 300_000),
}


@pytest.mark.parametrize("case", LARGE)
def test_memory_is_a_small_multiple_of_the_file(case: str) -> None:
    kind, data = LARGE[case]
    read(kind, SEEDS[kind][0])  # what is loaded once does not count
    used, _ = peak(kind, data)
    assert used < 8_000_000 + 150 * len(data)
