"""Ground truth: what is said of a model's inside against what its weights do."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest

from serialformer import CircuitBuilder, Model, SerialformerError, Shape, compile, construct, make_task
from serialformer.engines.recurrences import shift_register_circuit
from serialformer.interp.suite import build_adder
from serialformer.models.construction_of import construction_of
from serialformer.models.ground_truth import GroundTruth
from serialformer.models.lower import Target, construction_to_placement

UNIT_GIVES = 4.0
"""A hidden unit that fires gives 8, any other 0."""


def adder(target: Target = "gpt2", shape: Shape | None = None) -> Model:
    build = CircuitBuilder()
    a, b = build.inputs("a", 2), build.inputs("b", 2)
    carry = build.and_(a[0], b[0])
    build.outputs("sum", [build.xor(a[0], b[0]), build.xor(build.xor(a[1], b[1]), carry)])
    return compile(build.circuit(), target=target, shape=shape)


TASKS = {
    "parity": ("parity", "1 0 1 1 ="),
    "modular addition": ("modular-addition", "3 6 1 5 ="),
    "permutations": ("permutation-composition", "( 1 2 3 5 4 ) ( 2 1 3 4 5 ) ( 1 3 2 4 5 ) ( 5 4 3 2 1 ) ="),
    "squaring": ("iterated-squaring", "13 5 ^2 ^2 ="),
}


LLAMAS = {
    "Llama": None,
    "Llama of five layers": Shape(layers=5, head_width=32, hidden=128),
    "Llama of one layer with idle heads": Shape(layers=1, key_heads=3),
    "Qwen2": Shape(head_biases=True),
    "Llama by distance": Shape(addressing="distances"),
    "Mistral": Shape(addressing="window", layers=1),
}


WITHOUT_A_CHAIN = ("circuit, GPT-2", "circuit, Llama", "parity, GPT-2", "parity, Llama")


@cache
def truth(name: str) -> GroundTruth:
    if name in WITHOUT_A_CHAIN:
        if name.startswith("circuit"):
            model = compile(build_adder(2), chain="none", target="llama" if name.endswith("Llama") else "gpt2")
            return model.ground_truth(model.run(a=1, b=3))
        model = construct("parity", 5, setting="base", target="llama" if name.endswith("Llama") else "gpt2")
        return model.ground_truth(model.run("1 0 1 1 0"))
    if name == "adder":
        model = adder()
        return model.ground_truth(model.run(a=3, b=1))
    if name in LLAMAS:
        shape = LLAMAS[name]
        if shape is None or shape.addressing is None:
            model = adder("llama", shape)
            return model.ground_truth(model.run(a=3, b=1))
        circuit = shift_register_circuit(1, num_inputs=7, num_gates=12, distances=(6, 2, 0))
        model = compile(circuit, target="llama", shape=shape)
        return model.ground_truth(model.run(x=0b1011001))
    if name == "evaluator":
        model = construct("circuit-value", 4)
        return model.ground_truth(model.run("TRUE NA NA 1 FALSE NA NA 2 OR 1 2 3 NOT 3 NA 4 ="))
    task, prompt = TASKS[name]
    model = construct(make_task(task, {"bound": 20} if task == "iterated-squaring" else {}), 4)
    return model.ground_truth(model.run(prompt))


NAMES = ("adder", "evaluator", *TASKS, *LLAMAS, *WITHOUT_A_CHAIN)


@pytest.mark.parametrize("name", NAMES)
def test_heads_look_where_they_must(name: str) -> None:
    found = truth(name)
    activations = found.model.run_with_cache(found.transcript)
    assert found.reads.num_rows
    for row in found.reads.rows():
        shares = activations[f"blocks.{row['layer']}.attn.hook_pattern"][row["head"], row["position"]]
        assert shares[row["reads"]] > 0.999, row
    written = found.followed.num_positions - found.followed.first_writer
    looking = {(row["layer"], row["head"]) for row in found.reads.rows()}
    assert found.reads.num_rows == written * len(looking), "every head reads at every position that writes"


@pytest.mark.parametrize("name", NAMES)
def test_just_the_units_fire_that_must(name: str) -> None:
    found = truth(name)
    activations = found.model.run_with_cache(found.transcript)
    said = {(row["layer"], row["position"], row["unit"]) for row in found.units.rows()}
    first = found.followed.first_writer
    names = found.model.provenance.names
    assert names is not None
    fired = {
        (layer, int(position) + first, int(unit))
        for layer in range(len(found.heads))
        for position, unit in np.argwhere(activations[f"blocks.{layer}.mlp.hook_post"][first:] > UNIT_GIVES)
        # Those that clear a field are open everywhere.
        if not list(names.unit_names(layer))[int(unit)].startswith("clears ")
    }
    assert fired == said and said


@pytest.mark.parametrize("name", NAMES)
def test_fields_hold_what_is_said(name: str) -> None:
    found = truth(name)
    placed = found.model.placed
    architecture = found.model.transformer.architecture
    placement = construction_to_placement(construction_of(found.model), architecture, placed).realised
    activations, first = found.model.run_with_cache(found.transcript), found.followed.first_writer
    for layer, happened in enumerate(found.followed.layers):
        for hook, values in (("hook_resid_pre", happened.before), ("hook_resid_mid", happened.brought)):
            stream = activations[f"blocks.{layer}.{hook}"]
            for field, column in values.items():
                rows = placement.rows(field, column[first:])
                np.testing.assert_allclose(stream[first:, placement.spans[field]], rows, atol=1e-3, err_msg=field)


def test_reasons_name_gates_and_wires() -> None:
    reads = truth("adder").reads
    assert {"input 0 of gate 0: a[0]", "input 1 of gate 0: b[0]", "input 1 of gate 3: gate 0"} <= set(
        reads["reason"].tolist()
    )
    assert reads["asks"].tolist() == [f"name is {position}" for position in reads["reads"].tolist()]
    texts = [*truth("adder").transcript.asked, *truth("adder").transcript.made]
    assert reads["read_token"].tolist() == [texts[position] for position in reads["reads"].tolist()]


def test_edges_of_one_output_are_those_of_its_gate() -> None:
    found = truth("adder")
    position = found.followed.first_writer
    edges = found.edges([position])
    assert {edge for edge in edges["edge"].tolist() if "<" not in edge} == {
        *("a0.h0->m0", "a0.h1->m0", "input->m0", "m0->logits"),
    }
    heard = {(row["target"], row["position"]) for row in edges.rows() if row["via"] == "v"}
    reads = {row["head"]: row["reads"] for row in found.reads.rows() if row["position"] == position}
    assert heard == {(f"a0.h{head}", target) for head, target in reads.items()}
    assert edges.num_rows < found.edges().num_rows


def test_edges_of_several_layers_reach_the_prompt() -> None:
    edges = {(row["source"], row["target"]) for row in truth("evaluator").edges().rows()}
    assert {("input", "a0.h0"), ("m0", "a1.h0"), ("a1.h0", "a2.h0"), ("m2", "logits")} <= edges


def test_the_directions_are_all_there() -> None:
    found = truth("adder")
    table, fields = found.directions, found.followed.construction.field_named
    assert table.num_rows == found.model.transformer.architecture.width
    assert set(table["field"].tolist()) == {"", *fields}
    assert table.to_frame().shape == (table.num_rows, 5)


def test_named_parts_of_a_cache() -> None:
    found = truth("adder")
    activations = found.model.run_with_cache(found.transcript)
    unit = next(found.units.rows())
    assert activations.unit(unit["name"], 0)[unit["position"]].tolist() == pytest.approx([8.0], abs=0.1)
    stream = activations["blocks.0.hook_resid_mid"]
    place = found.directions["name"].tolist().index("fetched[0]+")
    assert activations.direction("fetched[0]+", "blocks.0.hook_resid_mid").tolist() == stream[:, place].tolist()
    with pytest.raises(SerialformerError, match="no head 'carry'\nhint: such as fetched"):
        activations.head("carry", 0)
    with pytest.raises(KeyError, match="hook_nothing: there are hook_embed"):
        activations["hook_nothing"]


def test_reasons_in_a_llama() -> None:
    """Each input of a gate is read by several heads, in several layers."""
    rows = list(truth("Llama").reads.rows())
    reasons = {(row["layer"], row["reason"]) for row in rows if row["reason"].endswith("of gate 0: b[0]")}
    assert reasons == {(0, "input 1 of gate 0: b[0]"), (1, "input 1 of gate 0: b[0]")}
    by_distance = list(truth("Llama by distance").reads.rows())
    assert {row["asks"] for row in by_distance} == {f"stands {distance} positions back" for distance in (0, 2, 6)}
    first = [row["reason"] for row in by_distance if row["position"] == 7 and row["layer"] == 0]
    assert {"input 0 of g0: x[1]", "input 1 of g0: x[5]", ""} == {*first}, (
        "it does not read the token itself, which is ="
    )
    assert all(row["position"] - row["reads"] == int(row["asks"].split()[1]) for row in by_distance)


def test_edges_in_a_llama() -> None:
    found = truth("Llama")
    edges = {(row["source"], row["target"]) for row in found.edges([found.followed.first_writer]).rows()}
    heard = {source for source, target in edges if target == "m1"}
    assert {f"a{layer}.h{head}" for layer in range(2) for head in range(4)} | {"input"} == heard
    assert ("m1", "logits") in edges and not any(target == "m0" for _, target in edges)


def test_another_models_transcript_is_refused() -> None:
    found, other = truth("adder"), truth("parity")
    with pytest.raises(SerialformerError, match="transcript: is a transcript of another model"):
        found.model.ground_truth(other.transcript)


def test_a_wrong_label_would_be_noticed() -> None:
    """The tests above fail if a head is said to read its neighbour's position, or another unit to fire."""
    found = truth("adder")
    activations = found.model.run_with_cache(found.transcript)
    for row, other in product(list(found.reads.rows())[:4], range(4)):
        share = activations["blocks.0.attn.hook_pattern"][row["head"], row["position"], other]
        assert (share > 0.999) == (other == row["reads"])


def test_an_answer_that_no_position_reads_has_a_truth() -> None:
    """Models that answer at once have no position for the last token that they write."""
    model = construct("modular-addition", 4, setting="base")
    transcript = model.run("3 5 6 1")
    truth, activations = model.ground_truth(transcript), model.run_with_cache(transcript)
    assert len(truth.followed.tokens) == model.transformer.architecture.num_positions == len(transcript.prompt)
    assert activations["logits"][-1].argmax() == transcript.chain[-1]
