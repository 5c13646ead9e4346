"""Circuits: validation, words, evaluation against plain Python, levels against networkx."""

from __future__ import annotations

from dataclasses import replace

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer import Circuit, CircuitBuilder, SerialformerError, Word
from serialformer.circuits.circuit import NO_WIRE
from serialformer.circuits.evaluate import evaluate_outputs, evaluate_wires
from serialformer.circuits.strategies import bit_names, circuits
from serialformer.circuits.words import ABSENT, bits_to_values, names_to_words, values_to_bits, words_to_names
from tests.cases import every_input, slow_wires, small_circuits
from tests.effort import effort


def adder() -> Circuit:
    build = CircuitBuilder()
    a, b = build.input("a"), build.input("b")
    build.outputs("sum", [build.xor(a, b), build.and_(a, b)])
    return build.circuit()


@effort(4)
@given(circuits(max_inputs=8))
def test_evaluation_is_what_plain_python_says(circuit: Circuit) -> None:
    bits = every_input(circuit.num_inputs)
    expected = np.array([slow_wires(circuit, row.tolist()) for row in bits]).reshape(len(bits), circuit.num_wires)
    assert np.array_equal(evaluate_wires(circuit, bits), expected)
    assert np.array_equal(evaluate_outputs(circuit, bits), expected[:, circuit.outputs])


def test_evaluation_of_more_rows_than_a_block() -> None:
    circuit = small_circuits()["random, 6 inputs a gate"]
    bits = np.random.default_rng(0).integers(0, 2, (1300, 7), dtype=np.uint8)
    assert evaluate_wires(circuit, bits).tolist() == [slow_wires(circuit, row.tolist()) for row in bits]
    assert evaluate_outputs(circuit, bits[:0]).shape == (0, 3)


@effort(2)
@given(circuits(max_gates=20))
def test_levels_and_fan_out_are_networkx(circuit: Circuit) -> None:
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(range(circuit.num_wires))
    for gate, reads in enumerate(circuit.fan_in.tolist()):
        graph.add_edges_from((wire, circuit.num_inputs + gate) for wire in reads if wire != NO_WIRE)
    longest = [0] * circuit.num_wires
    for wire in networkx.topological_sort(graph):
        longest[wire] = max((longest[source] + 1 for source in graph.predecessors(wire)), default=0)
    assert circuit.levels.tolist() == longest
    assert circuit.depth == max((longest[wire] for wire in circuit.outputs), default=0)
    assert circuit.fan_out.tolist() == [graph.out_degree(wire) for wire in range(circuit.num_wires)]


def test_arrays_are_frozen() -> None:
    with pytest.raises(ValueError, match="read-only"):
        adder().fan_in[0, 0] = 1


def test_equality_and_digest_see_every_part() -> None:
    circuit = adder()
    assert circuit == adder() and hash(circuit) == hash(adder())
    changes = {
        "table": np.array([0b0110, 0b1110], dtype=np.uint64),
        "outputs": circuit.outputs[::-1].copy(),
        "fan_in": circuit.fan_in[:, ::-1].copy(),
        "output_words": (Word(name="sum", bits=(1, 0)),),
        "input_words": (Word(name="b", bits=(0,)), Word(name="a", bits=(1,))),
    }
    for name, value in changes.items():
        assert replace(circuit, **{name: value}) != circuit, name
    assert circuit != replace(circuit, gate_names=("x", "y"))
    assert circuit.digest() == replace(circuit, gate_names=("x", "y")).digest()
    assert circuit != 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fan_in": np.array([[0, 2], [0, 1]], dtype=np.int32)}, r"gate 0 reads wires \[0, 2\].* from 0 to 1"),
        ({"fan_in": np.array([[0, 1], [-1, 1]], dtype=np.int32)}, r"gate 1 reads wires"),
        ({"arity": np.array([2, 1], dtype=np.uint8)}, r"gate 1 reads wires"),
        ({"arity": np.array([2, 3], dtype=np.uint8)}, r"at most"),
        ({"table": np.array([0b10000, 0], dtype=np.uint64)}, r"entries beyond"),
        ({"outputs": np.array([4, 0], dtype=np.int32)}, r"an output is not a wire from 0 to 3"),
        ({"outputs": np.array([0, -1], dtype=np.int32)}, r"an output is not a wire"),
        ({"output_words": (Word(name="sum", bits=(0,)),)}, r"output words do not hold each of the 2"),
        ({"input_words": (Word(name="a", bits=(0, 0)),)}, r"input words do not hold each"),
        ({"input_words": (Word(name="a", bits=(0,)), Word(name="a", bits=(1,)))}, r"two input words have one name"),
        ({"gate_names": ("x",)}, r"a name for each of 2 gates, found 1"),
        ({"fan_in": np.zeros((2, 7), dtype=np.int32)}, r"at most 6 wires"),
    ],
)
def test_what_is_no_circuit_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SerialformerError, match=message):
        replace(adder(), **changes)


def test_arrays_of_different_lengths_are_refused() -> None:
    # Past the run-time shape checks of the tests, which users do not have.
    circuit = adder()
    object.__setattr__(circuit, "arity", np.array([2], dtype=np.uint8))
    with pytest.raises(SerialformerError, match="one arity and one table a gate, found 1 and 2 for 2 gates"):
        circuit._check()


def test_builder_refuses_what_is_no_gate() -> None:
    build = CircuitBuilder()
    wire = build.input()
    with pytest.raises(SerialformerError, match="no gate with table 0x10 of 2 inputs"):
        build.gate(0x10, wire, wire)
    with pytest.raises(SerialformerError, match="not all exist yet"):
        build.and_(wire, 7)


def test_words_of_names() -> None:
    words = names_to_words(["b[1]", None, "c", "b[0]", "", "d[5]", "d[3]"], default="in")
    assert [(word.name, word.bits) for word in words] == [
        ("b", (3, 0)),
        ("in", (1, 4)),
        ("c", (2,)),
        ("d", (ABSENT, ABSENT, ABSENT, 6, ABSENT, 5)),
    ]


def test_words_of_ambiguous_names_stay_single() -> None:
    words = names_to_words(["a", "a[0]", "x[3]", "x[3]", "y[99999999]", "a", "in", None], default="in")
    assert [word.name for word in words] == ["a", "a[0]", "x[3]", "x[3]_2", "y[99999999]", "a_2", "in", "in_2"]
    assert all(word.width == 1 for word in words)


@given(st.data(), st.integers(0, 12))
def test_words_and_names_are_inverse(data: st.DataObject, num_bits: int) -> None:
    words = names_to_words(data.draw(bit_names(num_bits)), default="in")
    again = names_to_words(words_to_names(words, num_bits), default="in")
    kept = [
        (word.name, tuple(word.bits[: 1 + max(i for i, b in enumerate(word.bits) if b != ABSENT)])) for word in words
    ]
    assert [(word.name, word.bits) for word in again] == kept


def test_values_go_in_and_out() -> None:
    words = names_to_words(["x[3]", "x[1]", "y"], default="in")
    bits = values_to_bits(words, {"x": 0b1000, "y": 1}, 3)
    assert bits.tolist() == [1, 0, 1]
    assert bits_to_values(words, bits) == {"x": 8, "y": 1}


def test_values_that_do_not_fit_are_all_named() -> None:
    words = names_to_words(["x[3]", "x[1]", "carry", "z"], default="in")
    with pytest.raises(SerialformerError) as caught:
        values_to_bits(words, {"x": 5, "cary": 1, "z": 2}, 4)
    text = str(caught.value)
    assert "x=5 sets bit 0, which the word does not have" in text
    assert "no input word 'cary' (did you mean 'carry'?)" in text
    assert "no value for 'carry'" in text
    assert "z=2 does not fit its 1 bits" in text
    assert "hint: the inputs are: x (4 bits), carry (1 bits), z (1 bits)" in text


def test_evaluate_by_name() -> None:
    assert adder().evaluate(a=1, b=1) == {"sum": 2}
    with pytest.raises(SerialformerError, match="does not fit"):
        adder().evaluate(a=-1, b=0)
