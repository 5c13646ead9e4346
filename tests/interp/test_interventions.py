"""Interventions with generation: what the weights write is what the construction says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Literal

import numpy as np
import pytest

from serialformer import CircuitBuilder, Model, Shape, compile, construct
from serialformer.engines.recurrences import shift_register_circuit
from serialformer.errors import InputError
from serialformer.interp.interventions import Intervention, intervene
from serialformer.interp.predict import UNKNOWN
from tests.explorer.models import adder

CLEAN, OTHER = {"a": 3, "b": 1}, {"a": 0, "b": 2}


@cache
def model(chain: Literal["gates", "none"]) -> Model:
    return compile(adder(), chain=chain)


@pytest.mark.parametrize("chain", ["gates", "none"])
def test_patches_are_predicted_everywhere(chain: Literal["gates", "none"]) -> None:
    transformer = model(chain).transformer
    layers = range(transformer.architecture.num_layers)
    heads = [f"a{layer}.h{head}" for layer in layers for head in range(2)]
    places = ["input", *(f"{letter}{layer}" for layer in layers for letter in "am")]
    changed = 0
    # Of inputs, gates and, without a chain, the end of the prompt.
    for position in (0, 6) if chain == "gates" else (9,):
        for kind, parts in (("head", heads), ("residual", places)):
            for part in parts:
                found = intervene(
                    model(chain),
                    CLEAN,
                    Intervention(kind=kind, part=part, position=position),
                    OTHER,
                )
                assert (found.expected == found.written).all(), (kind, part, position)
                changed += bool((found.written != found.clean).any())
    assert changed >= 2


def test_a_flipped_token_changes_the_gates_that_depend_on_it() -> None:
    compiled = model("gates")
    circuit, schedule = compiled.circuit, compiled.schedule
    first = circuit.num_inputs + 1
    tokens = compiled.run(CLEAN).chain
    for token, gate in enumerate(schedule.gate.tolist()):
        new = 1 - int(tokens[token])
        found = intervene(compiled, CLEAN, Intervention(kind="token", position=first + token, token=new))
        assert (found.expected == found.written).all()
        # The circuit, evaluated with that gate's value replaced.
        values = [CLEAN["a"] & 1, CLEAN["a"] >> 1, CLEAN["b"] & 1, CLEAN["b"] >> 1, *[0] * circuit.num_gates]
        for number in range(circuit.num_gates):
            index = sum(values[wire] << place for place, wire in enumerate(circuit.fan_in[number]) if wire >= 0)
            values[circuit.num_inputs + number] = int(circuit.table[number]) >> index & 1
            if number == gate:
                written, values[circuit.num_inputs + number] = values[circuit.num_inputs + number], new
        expected = [values[wire] for wire in schedule.wire.tolist()]
        expected[token] = written
        assert found.written.tolist() == [*expected, 2]


def test_ablations() -> None:
    for part in ("a0.h0", "a0.h1"):
        zero = intervene(model("gates"), CLEAN, Intervention(kind="zero", part=part))
        assert (zero.written == 2).all() and (zero.expected == 2).all()
        mean = intervene(model("gates"), CLEAN, Intervention(kind="mean", part=part))
        assert (mean.expected == UNKNOWN).all() and mean.is_as_expected
    deep = intervene(model("none"), CLEAN, Intervention(kind="zero", part="a1.h0"))
    assert deep.expected.tolist() == [UNKNOWN] * 3 + [2] and deep.is_as_expected


def test_a_head_that_serves_nothing_changes_nothing() -> None:
    parity = construct("parity", 4, setting="base")
    for kind in ("zero", "mean"):
        found = intervene(parity, "1 0 1 1 =", Intervention(kind=kind, part="a1.h1"))
        assert found.expected.tolist() == found.written.tolist() == found.clean.tolist()


def test_weights_that_are_others_are_caught() -> None:
    build = CircuitBuilder()
    a, b = build.inputs("a", 2), build.inputs("b", 2)
    build.outputs("sum", [build.and_(a[0], b[0]), build.or_(a[1], b[1])])
    right = compile(build.circuit())
    layer = right.transformer.layers[0]
    broken = replace(
        right, transformer=replace(right.transformer, layers=(replace(layer, mlp_out_weight=-layer.mlp_out_weight),))
    )
    assert not intervene(broken, CLEAN, Intervention(kind="head", part="a0.h0", position=4), OTHER).is_as_expected


LLAMAS = {
    "two heads of keys": Shape(),
    "one head of keys, three layers": Shape(key_heads=1, layers=3),
    "a look-up a layer, none repeated": Shape(key_heads=1, layers=2),
    "tied": Shape(tied=True, layers=1),
    "by distance": Shape(addressing="distances"),
    "a Mistral": Shape(addressing="window", layers=1),
}


@pytest.mark.parametrize("shape", LLAMAS)
def test_a_llama_is_predicted_wherever_its_parts_agree(shape: str) -> None:
    circuit = adder()
    if LLAMAS[shape].addressing is not None:
        circuit = shift_register_circuit(1, num_inputs=5, num_gates=7, distances=(4, 2, 0))
    llama = compile(circuit, target="llama", shape=LLAMAS[shape])
    architecture, first, random = llama.transformer.architecture, circuit.num_inputs, np.random.default_rng(0)
    values, others = ({word.name: int(random.integers(1 << word.width)) for word in llama.inputs} for _ in range(2))
    layers = range(architecture.num_layers)
    wanted = [
        *(Intervention(kind="token", position=at, token=int(bit)) for at in (0, first + 2) for bit in "01"),
        *(Intervention(kind="residual", part="input", position=at) for at in (1, first + 1)),
        *(
            Intervention(kind="residual", part=f"{letter}{layer}", position=first + 1)
            for layer in layers
            for letter in "am"
        ),
        *(
            Intervention(kind="head", part=f"a{layer}.h{head}", position=first + 2)
            for layer in layers
            for head in (0, architecture.num_heads - 1)
        ),
        Intervention(kind="zero", part="a0.h1"),
        Intervention(kind="mean", part="a0.h0"),
    ]
    known = changed = 0
    clean = [*llama.run(values).chain.tolist(), 2]
    for one in wanted:
        found = intervene(llama, values, one, others if one.kind in ("head", "residual") else None)
        assert found.is_as_expected, one
        known += int((found.expected != UNKNOWN).sum())
        changed += bool((found.written != found.clean).any())
        if one.kind == "token" or one.part == "input":
            assert (found.expected != UNKNOWN).all()
        assert found.clean.tolist() == clean
    assert changed >= 4 and known > 6 * circuit.num_gates


def test_a_llama_without_a_chain() -> None:
    llama = compile(adder(), target="llama", chain="none")
    wanted = [
        Intervention(kind="token", position=0, token=0),
        *(Intervention(kind="residual", part=part, position=6) for part in ("input", "a0", "m0", "m1", "m2")),
        *(Intervention(kind="head", part=f"a{layer}.h0", position=5) for layer in range(3)),
    ]
    known = changed = 0
    for one in wanted:
        found = intervene(llama, CLEAN, one, OTHER)
        assert found.is_as_expected, one
        known += int((found.expected != UNKNOWN).sum())
        changed += bool((found.written != found.clean).any())
    assert changed >= 2 and known > 2 * len(wanted)


def test_a_llama_that_has_lost_its_place_is_not_predicted() -> None:
    """A head that is silent makes it end its chain; the end token has no position from which to go on."""
    llama = compile(adder(), target="llama")
    found = intervene(llama, CLEAN, Intervention(kind="zero", part="a0.h0"))
    assert (found.expected == UNKNOWN).all() and 2 in found.written[:-1].tolist()
    with pytest.raises(InputError, match="token 2 cannot stand at position 6"):
        intervene(llama, CLEAN, Intervention(kind="token", position=6, token=2))
    with pytest.raises(InputError, match="no token 4 in a vocabulary of 4"):
        intervene(llama, CLEAN, Intervention(kind="token", position=6, token=4))


@pytest.mark.parametrize(
    ("intervention", "other", "message"),
    [
        (Intervention(kind="zero", part="a9.h0"), None, "no part 'a9.h0' for zero"),
        (Intervention(kind="zero", part="a0.h0", position=4), None, "ablates a head at every position"),
        (Intervention(kind="residual", part="a0.h0", position=4), OTHER, "no part 'a0.h0' for residual"),
        (Intervention(kind="head", part="a0.h0", position=99), OTHER, "no position 99: there are 12"),
        (Intervention(kind="head", part="a0.h0", position=4), None, "takes another run"),
        (Intervention(kind="token", position=6, token=9), None, "no token 9 in a vocabulary of 4"),
    ],
)
def test_what_is_not_there(intervention: Intervention, other: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        intervene(model("gates"), CLEAN, intervention, other)
