"""Latches of BLIF and BENCH: their lines, their clock, hierarchies, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.formats.aiger.aiger import parse_sequential_aiger
from serialformer.circuits.formats.bench import parse_sequential_bench
from serialformer.circuits.formats.blif.blif import parse_sequential_blif
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.errors import FormatError
from tests.effort import effort


def blif(text: str) -> SequentialCircuit:
    return parse_sequential_blif(text.encode(), name="t.blif")


@pytest.mark.parametrize(
    ("line", "initial"),
    [
        (".latch d q", None),
        (".latch d q 0", 0),
        (".latch d q 1", 1),
        (".latch d q 2", None),
        (".latch d q 3", None),
        (".latch d q re clk", None),
        (".latch d q fe clk 1", 1),
        (".latch d q re NIL 0", 0),
    ],
)
def test_two_to_five_words_behind_latch(line: str, initial: int | None) -> None:
    circuit = blif(f".model m\n.inputs d clk\n.outputs q\n{line}\n.end\n")
    assert [(one.name, one.initial) for one in circuit.registers] == [("q", (initial,))]
    inputs = ["d"] if "clk" in line else ["d", "clk"]
    assert [word.name for word in circuit.input_words] == inputs
    simulation = circuit.simulation({"q": 1})
    cycle = simulation.step(dict.fromkeys(inputs, 0))
    assert (cycle.outputs, simulation.state) == ({"q": 1}, {"q": 0})


def test_a_clock_that_is_read_stays_an_input() -> None:
    circuit = blif(".model m\n.inputs clk\n.outputs y\n.latch clk q re clk 0\n.names q y\n1 1\n.end\n")
    assert [word.name for word in circuit.input_words] == ["clk"]


def test_latches_of_instances() -> None:
    text = """
    .model top
    .inputs clk go
    .outputs low high
    .subckt bit carry=go clk=clk q=low next=middle
    .subckt bit carry=middle clk=clk q=high
    .end
    .model bit
    .inputs carry clk
    .outputs q next
    .latch d q re clk 0
    .names carry q d
    10 1
    01 1
    .names carry q next
    11 1
    .end
    """
    circuit = blif(text)
    assert [register.name for register in circuit.registers] == ["bit.1/q", "bit.2/q"]
    assert [word.name for word in circuit.input_words] == ["go"]
    counted = [cycle.outputs["low"] + 2 * cycle.outputs["high"] for cycle in circuit.simulate([{"go": 1}] * 6)]
    assert counted == [0, 1, 2, 3, 0, 1]


BLIF_ERRORS = {
    ".latch d": "t.blif:4: expected .latch READ DRIVEN [re|fe CLOCK] [0-3], found '.latch d'",
    ".latch d q re clk 0 1": "t.blif:4: expected .latch READ DRIVEN [re|fe CLOCK] [0-3], found '.latch d q re clk 0 1'",
    ".latch d q 4": "t.blif:4: expected .latch READ DRIVEN [re|fe CLOCK] [0-3], found '4' for the initial value",
    ".latch d q ah clk": "t.blif:4: expected .latch READ DRIVEN [re|fe CLOCK] [0-3], found the type 'ah'",
    ".latch d q re a\n.latch d p re b": "t.blif:5: latch 'p' has another clock than 'q'",
    ".latch d q re a\n.latch d p fe a": "t.blif:5: latch 'p' has another edge than 'q'",
    ".names a g\n1 1\n.latch d q re g": "t.blif:6: the clock of latch 'q' is made inside the circuit",
    ".latch d q re q": "t.blif:4: the clock of latch 'q' is made inside the circuit",
    ".latch d q\n.latch a q": "t.blif:5: 'q' is driven by a latch and by another latch",
    ".latch d q\n.names q\n1": "t.blif:4: 'q' is driven by a latch and by a gate",
    ".latch d a": "t.blif:4: 'a' is driven by a latch and by an input",
    ".latch nothing q": "t.blif:4: 'nothing', which latch 'q' reads, is never defined",
    ".mlatch x": "t.blif:4: .mlatch: of the latches only .latch is read",
}


@pytest.mark.parametrize(("lines", "message"), BLIF_ERRORS.items())
def test_errors_of_blif(lines: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        blif(f".model m\n.inputs d a b clk\n.outputs q\n{lines}\n.end\n")
    assert str(caught.value).startswith(message)
    assert "\nhint: " in str(caught.value)


def test_bench() -> None:
    lines = ["INPUT(go)", "OUTPUT(low)", "OUTPUT(high)", "high = dff(h)", "h = XOR(high, c)", "c = AND(low, go)"]
    text = "\n".join([*lines, "low = DFF(l)", "l = XOR(low, go)"]).encode()
    circuit = parse_sequential_bench(text, name="t.bench")
    assert [(register.name, register.initial) for register in circuit.registers] == [("high", (0,)), ("low", (0,))]
    counted = [cycle.outputs["low"] + 2 * cycle.outputs["high"] for cycle in circuit.simulate([{"go": 1}] * 6)]
    assert counted == [0, 1, 2, 3, 0, 1]


BENCH_ERRORS = {
    "q = DFF(d, d)": "t.bench:2: expected 1 input for DFF, found 2\nhint: DFF is DFF(d); the clock is not named",
    "q = DFFE(d, d)": "t.bench:2: 'DFFE': of the latches only DFF is read\nhint: write it with DFF",
    "q = DFF(e)": "t.bench:2: 'e', which latch 'q' reads, is never defined",
    "q = DFF(d)\nq = DFF(d)": "t.bench:3: 'q' is driven by a latch and by another latch",
    "q = NOT(d)\nq = DFF(d)": "t.bench:3: 'q' is driven by a latch and by a gate",
}


@pytest.mark.parametrize(("lines", "message"), BENCH_ERRORS.items())
def test_errors_of_bench(lines: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_sequential_bench(f"INPUT(d)\n{lines}\n".encode(), name="t.bench")
    assert str(caught.value).startswith(message)


DAMAGED = {
    parse_sequential_blif: b".model m\n.inputs clk a\n.outputs q\n.latch d q re clk 1\n.names q a d\n11 1\n.end\n",
    parse_sequential_bench: b"INPUT(a)\nOUTPUT(q)\nq = DFF(d)\nd = NAND(q, a)\n",
    parse_sequential_aiger: b"aag 3 1 1 1 1 0 0 1\n2\n4 7 4\n4\n1\n6\n6 2 5\ni0 a\nl0 q\nj0 x\n",
}


@effort(4)
@given(st.sampled_from(list(DAMAGED)), st.data())
def test_damaged_files_are_read_or_refused(parse: Callable[..., SequentialCircuit], data: st.DataObject) -> None:
    text = DAMAGED[parse]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 8)))
    pieces = [b"", b" ", b"\n", b"0", b"2", b"9", b"q", b"clk", b".latch ", b"DFF(", text[start:end] * 2]
    try:
        circuit = parse(text[:start] + data.draw(st.sampled_from(pieces)) + text[end:], name="damaged")
    except FormatError:
        return
    run = circuit.simulation(fill="zero")
    run.step(dict.fromkeys([word.name for word in run.input_words], 0))
    assert run.cycles_done == 1
