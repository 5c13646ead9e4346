"""Sequential circuits: what the readers make of latches, what the writers write, and words of state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.formats.aiger.aiger import format_aiger, parse_sequential_aiger
from serialformer.circuits.formats.blif.blif import format_blif, parse_sequential_blif
from serialformer.circuits.formats.read_write import read, read_sequential, write
from serialformer.circuits.sequential.registers import Register
from serialformer.circuits.sequential.sequential import SequentialCircuit, rotate_inputs, to_sequential
from serialformer.circuits.strategies import bit_names, circuits
from serialformer.errors import CircuitError, FormatError
from tests.effort import effort


@st.composite
def sequential_circuits(draw: st.DrawFn) -> SequentialCircuit:
    circuit = draw(circuits(max_inputs=6, max_outputs=6, max_arity=3))
    num_state = draw(st.integers(0, min(circuit.num_inputs, circuit.num_outputs)))
    return to_sequential(
        circuit,
        state_names=draw(bit_names(num_state)),
        input_names=draw(bit_names(circuit.num_inputs - num_state)),
        output_names=draw(bit_names(circuit.num_outputs - num_state)),
        initial=draw(st.lists(st.sampled_from((0, 1, None)), min_size=num_state, max_size=num_state)),
    )


def by_name(circuit: SequentialCircuit) -> dict[str, tuple[int | None, ...]]:
    return {register.name: register.initial for register in circuit.registers}


def assert_same_cycles(first: SequentialCircuit, second: SequentialCircuit) -> None:
    """One cycle from every state and input, by the names of the words."""
    words = first.circuit.input_words or ()
    assert {word.name: word.width for word in words} == {
        word.name: word.width for word in second.circuit.input_words or ()
    }
    rows = 1 << first.circuit.num_inputs
    bits = (np.arange(rows)[:, None] >> np.arange(first.circuit.num_inputs) & 1).astype(np.uint8)
    moved = np.zeros_like(bits)
    for one, other in zip(
        sorted(words, key=lambda word: word.name),
        sorted(second.circuit.input_words or (), key=lambda word: word.name),
        strict=True,
    ):
        moved[:, list(other.places)] = bits[:, list(one.places)]
    made, again = evaluate_outputs(first.circuit, bits), evaluate_outputs(second.circuit, moved)
    for one, other in zip(
        sorted(first.circuit.output_words or (), key=lambda word: word.name),
        sorted(second.circuit.output_words or (), key=lambda word: word.name),
        strict=True,
    ):
        assert one.name == other.name
        assert (made[:, list(one.places)] == again[:, list(other.places)]).all()


@given(sequential_circuits(), st.booleans())
def test_aiger_gives_back_what_was_written(circuit: SequentialCircuit, binary: bool) -> None:
    back = parse_sequential_aiger(format_aiger(circuit, binary=binary), name="f.aig")
    assert by_name(back) == by_name(circuit)
    assert [word.name for word in back.input_words] == [word.name for word in circuit.input_words]
    assert_same_cycles(circuit, back)


@given(sequential_circuits())
def test_blif_gives_back_what_was_written(circuit: SequentialCircuit) -> None:
    back = parse_sequential_blif(format_blif(circuit), name="f.blif")
    assert by_name(back) == by_name(circuit)
    if {word.name for word in back.output_words} == {word.name for word in circuit.output_words}:
        assert_same_cycles(circuit, back)
    else:  # an output of an input's name gets another in BLIF
        names = {word.name for word in (*circuit.input_words, *(circuit.circuit.input_words or ()))}
        assert {word.name for word in circuit.output_words} & names


@given(sequential_circuits())
@effort(0.5)
def test_rotating_the_inputs_changes_their_order_only(circuit: SequentialCircuit) -> None:
    turned = rotate_inputs(circuit.circuit, circuit.num_state_bits)
    assert_same_cycles(circuit, SequentialCircuit(circuit=turned, registers=()))


def test_names_of_ports_come_first() -> None:
    build = CircuitBuilder()
    wires = [build.input() for _ in range(4)]
    for wire in wires:
        build.output(None, wire)
    circuit = to_sequential(
        build.circuit(),
        state_names=["q", "in", "q"],
        input_names=["q"],
        output_names=["next.in"],
        initial=[0, 1, None],
    )
    assert [register.name for register in circuit.registers] == ["q_3", "in", "q_2"]
    assert [register.next_name for register in circuit.registers] == ["next.q_3", "next.in_2", "next.q_2"]
    assert [word.name for word in circuit.input_words] == ["q"]
    assert [word.name for word in circuit.output_words] == ["next.in"]


def test_bits_form_registers_with_gaps() -> None:
    text = b"aag 4 1 3 0 0\n2\n4 2\n6 4 1\n8 6 8\nl0 count[0]\nl1 count[2]\n"
    circuit = parse_sequential_aiger(text, name="f.aag")
    assert circuit.registers == (
        Register(name="count", next_name="next.count", initial=(0, 0, 1)),
        Register(name="state", next_name="next.state", initial=(None,)),
    )
    assert circuit.initial_of_bits == (0, 1, None)
    simulation = circuit.simulation({"state": 1})
    assert simulation.state == {"count": 4, "state": 1}
    cycle = simulation.step({"in": 1})
    assert (cycle.next_state, simulation.state) == ({"count": 1, "state": 1},) * 2


def test_registers_must_be_the_first_words() -> None:
    build = CircuitBuilder()
    build.output("next.q", build.input("q"))
    circuit = build.circuit()
    for register, message in (
        (
            Register(name="p", next_name="next.q", initial=(0,)),
            "expected the words of register 'p' in one order of bits",
        ),
        (Register(name="q", next_name="next.q", initial=(0, 0)), "expected 0, 1 or None for each of the 1 bits"),
        (Register(name="q", next_name="next.q", initial=(2,)), "expected 0, 1 or None for each of the 1 bits"),
    ):
        with pytest.raises(CircuitError, match=message):
            SequentialCircuit(circuit=circuit, registers=(register,))
    with pytest.raises(CircuitError, match="expected 2 registers among the words"):
        SequentialCircuit(circuit=circuit, registers=(Register(name="q", next_name="next.q", initial=(0,)),) * 2)


AIGER_ERRORS = {
    "aag 1 0 1 0 0\n2\n\n\n": "f.aag:2: expected two or three literals for latch 0, found 1",
    "aag 1 0 1 0 0\n2 3 0 1\n": "f.aag:2: expected two or three literals for latch 0, found 4",
    "aag 2 1 1 0 0\n2\n4 3 2\n": "f.aag:3: expected a reset of 0, 1 or the latch's own literal 4 in latch 0, found 2",
    "aag 2 1 1 0 0\n2\n3 3\n": "f.aag:3: expected an even literal from 2 to 4 that latch 0 defines, found 3",
    "aag 2 1 1 0 0\n2\n2 3\n": "f.aag:3: literal 2 is an input or a latch twice",
    "aag 2 0 1 0 1\n2 4\n2 2 2\n": "f.aag:3: '2' is an input and driven by a gate",
    "aag 2 0 1 0 0\n2 4\n": "f.aag: output '4' is never defined",
    "aag 1 0 1 0 0 0 0 1\n2 3\n9\n": "f.aag:4: expected 9 literals of justice and fairness, found 0 bytes",
    "aag 1 0 1 0 0 0 0 1\n2 3\n1\n9\n": "f.aag:4: expected a literal from 0 to 3 in a justice or fairness property",
    "aag 1 0 1 0 0\n2 3\nl1 x\n": "f.aag:3: expected a symbol for one of 1 latches",
    "aag 1 0 1 0 0\n2 3\nl0 x\nl0 y\n": "f.aag:4: l0 is named twice",
    "aig 1 0 1 0 0\n2 3 1\n": "f.aag:2: expected one or two literals for latch 0, found 3",
}


@pytest.mark.parametrize(("text", "message"), AIGER_ERRORS.items())
def test_errors_of_aiger(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_sequential_aiger(text.encode(), name="f.aag")
    assert str(caught.value).startswith(message)


def test_aiger_leaves_justice_and_fairness_out() -> None:
    plain = b"aag 3 1 1 1 1 1\n2\n4 7\n4\n6\n6 3 4\nl0 q\nb0 wrong\n"
    more = b"aag 3 1 1 1 1 1 0 2 1\n2\n4 7\n4\n6\n1\n2\n6\n3\n4\n2\n6 3 4\nl0 q\nb0 wrong\nj1 twice\nf0 often\n"
    assert parse_sequential_aiger(more, name="f").circuit == parse_sequential_aiger(plain, name="f").circuit


@pytest.mark.parametrize("suffix", ["aag", "aig", "blif"])
def test_files_are_written_and_read(tmp_path: Path, suffix: str) -> None:
    toggle = parse_sequential_aiger(b"aag 3 1 1 1 1\n2\n4 7 1\n4\n6 3 4\ni0 hold\nl0 q\no0 lamp\n", name="f.aag")
    write(toggle, tmp_path / f"t.{suffix}")
    back = read_sequential(tmp_path / f"t.{suffix}")
    assert back.registers == toggle.registers
    assert_same_cycles(toggle, back)
    with pytest.raises(FormatError, match=r"1 latch: this is a sequential circuit\nhint: serialformer.read_sequential"):
        read(tmp_path / f"t.{suffix}")


@pytest.mark.parametrize("suffix", ["bench", "txt"])
def test_other_formats_take_no_registers(tmp_path: Path, suffix: str) -> None:
    toggle = parse_sequential_aiger(b"aag 1 0 1 1 0\n2 3\n2\n", name="f.aag")
    with pytest.raises(FormatError, match="registers are not written in this format\nhint: one of .aag, .aig, .blif"):
        write(toggle, tmp_path / f"t.{suffix}")
    assert not list(tmp_path.iterdir())
    build = CircuitBuilder()
    build.output("y", build.not_(build.input("a")))
    combinational = SequentialCircuit(circuit=build.circuit(), registers=())
    write(combinational, tmp_path / f"t.{suffix}")
    assert read_sequential(tmp_path / f"t.{suffix}").circuit == read(tmp_path / f"t.{suffix}")
