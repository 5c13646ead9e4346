"""Constructions of tasks: sizes, whole sets of prompts against plain Python, random automata, refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.architecture import Activation, DtypeName
from serialformer.constructions.squaring import primes_below
from serialformer.constructions.tasks import CONSTRUCTED, task_construction
from serialformer.decode.dense import DenseEngine
from serialformer.decode.indexed import IndexedEngine
from serialformer.errors import CompileError, TaskError
from serialformer.models.construct import construct
from serialformer.models.lower import Lowered, certify_weights, lower_task
from serialformer.targets.gpt2 import construction_to_gpt2, layout_to_placement
from serialformer.targets.position_codes import code_length as c
from serialformer.tasks.examples import Examples
from serialformer.tasks.registry import TASKS, make_task
from serialformer.tasks.task import Task
from serialformer.transformer.forward import (
    add_attention,
    apply_mlp,
    attend,
    cast_layer,
    compute_logits,
    embed,
    project_heads,
    unembed,
)
from tests.construction_cases import TASK_CASES, task_case_name
from tests.effort import effort, pairs

NAMES = [task_case_name(*case) for case in TASK_CASES]


def chains_and_ends(lowered: Lowered, task: Task, length: int, examples: Examples) -> None:
    """Every chain is the task's, token for token, and the token behind it is ``=``."""
    engine = DenseEngine(lowered.transformer)
    for rows in examples.blocks(512):
        block = examples.select(rows)
        made = engine.generate(block.prompts, block.chains.shape[1] + 1)
        assert np.array_equal(made[:, :-1], block.chains)
        assert (made[:, -1] == examples.end_token).all()


@pytest.mark.parametrize(("case", "dtype"), pairs(TASK_CASES, ["float32", "float16", "bfloat16"]))
def test_chains(case: tuple[str, dict[str, int | str], int], dtype: DtypeName) -> None:
    name, parameters, length = case
    task = make_task(name, parameters)
    lowered = lower_task(task, length, dtype=dtype)
    assert lowered.transformer.architecture.num_layers == 1
    certificate = lowered.certificate
    assert certificate.attention.exact >= certificate.attention.rounded > 20
    assert certificate.logits.exact >= certificate.logits.rounded > 10
    chains_and_ends(lowered, task, length, task.sample(np.random.default_rng(0), length, 12))


@pytest.mark.parametrize("activation", ["relu", "gelu_new"])
def test_every_prompt(activation: Activation) -> None:
    """All words of small lengths; the chain in plain Python."""
    for task, length, items, step, start in (
        (make_task("parity"), 7, 2, lambda state, item: state ^ item, 0),
        (make_task("modular-addition", {"modulus": 6}), 4, 6, lambda state, item: (state + item) % 6, 0),
        (make_task("modular-addition", {"modulus": 5}), 4, 5, lambda state, item: (state + item) % 5, 0),
    ):
        lowered = lower_task(task, length, activation=activation)
        words = list(product(range(items), repeat=length))
        prompts = np.array([[*word, items] for word in words])
        made = DenseEngine(lowered.transformer).generate(prompts, length + 1)
        for word, row in zip(words, made.tolist(), strict=True):
            state, expected = start, []
            for item in word:
                expected.append(state := step(state, item))
            assert row == [*expected, items]


@pytest.mark.parametrize("form", ["brackets", "symbols", "token"])
def test_every_pair_of_permutations(form: str) -> None:
    """S_4 in every format: σ∘π of every two, composed in plain Python."""
    task = make_task("permutation-composition", {"degree": 4, "format": form})
    model = construct(task, 2)
    every = list(permutations("1234"))
    write = {
        "brackets": lambda symbols: ["(", *symbols, ")"],
        "symbols": list,
        "token": lambda symbols: ["".join(symbols)],
    }[form]
    vocabulary = model.transformer.architecture.vocabulary
    prompts, expected = [], []
    for sigma, pi in product(every, repeat=2):
        prompts.append([*write(sigma), *write(pi), "="])
        expected.append([*write(sigma), *write(tuple(sigma[int(image) - 1] for image in pi)), "="])
    ids = np.array([[vocabulary.index(text) for text in prompt] for prompt in prompts])
    made = DenseEngine(model.transformer).generate(ids, len(expected[0]))
    assert [[vocabulary[token] for token in row] for row in made.tolist()] == expected


@st.composite
def automata(draw: st.DrawFn) -> dict[str, int | str]:
    num_states, num_letters = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    state = st.integers(0, num_states - 1)
    rows = draw(
        st.lists(st.lists(state, min_size=num_letters, max_size=num_letters), min_size=num_states, max_size=num_states)
    )
    accepting = draw(st.sets(state))
    return {
        "table": ";".join(",".join(map(str, row)) for row in rows),
        "start": draw(state),
        "accepting": ",".join(map(str, sorted(accepting))),
    }


@effort(0.5)
@given(parameters=automata(), length=st.integers(1, 12), dtype=st.sampled_from(["float32", "bfloat16"]), data=st.data())
def test_random_automata(parameters: dict[str, int | str], length: int, dtype: DtypeName, data: st.DataObject) -> None:
    task = make_task("automaton", parameters)
    model = construct(task, length, dtype=dtype)
    table = [[int(state) for state in row.split(",")] for row in str(parameters["table"]).split(";")]
    word = data.draw(st.lists(st.integers(0, len(table[0]) - 1), min_size=length, max_size=length))
    state, expected = int(parameters["start"]), []
    for letter in word:
        state = table[state][letter]
        expected.append(f"q{state}")
    if parameters["accepting"]:
        accepting = str(parameters["accepting"]).split(",")
        expected.append("accept" if str(state) in accepting else "reject")
    assert list(model.run_text(" ".join("abcd"[letter] for letter in word), engine="dense").made) == expected


def test_the_task_agrees() -> None:
    """The task's own rule for every step, and its own way to the answer."""
    for name, parameters, length in TASK_CASES:
        task = make_task(name, parameters)
        model = construct(task, length, dtype="bfloat16")
        examples = task.sample(np.random.default_rng(7), length, 5)
        for rows in examples.blocks(12):
            block = examples.select(rows)
            made = model.generate(block, length, DenseEngine(model.transformer))
            whole = np.full((len(made), task.chain_width(length)), examples.end_token)
            whole[:, : made.shape[1]] = made
            prompts = examples.prompts[rows]
            assert task.chains_are_right(prompts, whole, length).all()
            assert task.answers_are_right(prompts, block.answers_in(made), length).all()


@pytest.mark.parametrize("index", range(0, len(TASK_CASES), 3))
def test_indexed_engine_makes_the_same(index: int) -> None:
    name, parameters, length = TASK_CASES[index]
    task = make_task(name, parameters)
    transformer = lower_task(task, length).transformer
    examples = task.sample(np.random.default_rng(1), length, 6)
    for rows in examples.blocks(6):
        block = examples.select(rows)
        made = IndexedEngine(transformer).generate(block.prompts, block.chains.shape[1])
        assert np.array_equal(made, block.chains)


@pytest.mark.parametrize(("name", "parameters", "length"), TASK_CASES, ids=NAMES)
def test_sizes_are_the_formulas(name: str, parameters: dict[str, int | str], length: int) -> None:
    """Widths and hidden units as the docstrings of the constructions have them."""
    task = make_task(name, parameters)
    lowered = lower_task(task, length)
    architecture = lowered.transformer.architecture
    width, units = _formula(name, parameters, length, len(task.vocabulary(length)))
    assert (architecture.width, lowered.construction.num_units) == (width, units)
    assert architecture.hidden_width == max(4 * width, units)
    assert architecture.num_positions == task.num_positions(length) + 1
    assert architecture.vocabulary == task.vocabulary(length)


def _formula(name: str, parameters: dict[str, int | str], n: int, num_tokens: int) -> tuple[int, int]:
    if name == "iterated-squaring":
        primes = [prime for prime in range(2, int(parameters["bound"])) if all(prime % d for d in range(2, prime))]
        g, named = 34, c(n + 4)
        width = 4 * max((g + 4) // 2, named, ceil((g + 2 * c(len(primes) + 1) + 2 * named + 17) / 4))
        return width, 2 + sum((prime - 1) // 2 for prime in primes[1:])
    if name == "permutation-composition" and parameters.get("format") != "token":
        k = int(parameters.get("degree", 5))
        w = k if parameters.get("format") == "symbols" else k + 2
        fields = (k + 2) * c(w + 1) + 3 * c(2 * n + 1) + 2 * c(w) + 9
        return (k + 1) * max(c(2 * n + 1) + c(w), ceil(fields / (k + 1))), k**2 + w + 1
    verdict = name == "majority" or bool(parameters.get("accepting"))
    digits, units = {
        "parity": ([2], 4),
        "majority": ([num_tokens - 1], 2 * (n + 1) + n + 1),
        "modular-addition": ([7], 49) if not parameters else ([2, 3, 5], 4 + 9 + 25),
        "word-problem": {
            None: ([5] * 5, 125),
            "A4_x_Z5": ([4] * 4 + [5], 64 + 25),
            "D6": ([2, 2, 3], 4 + 8 + 18),
        }[parameters.get("group")],
        "permutation-composition": ([5] * 5, 125),
        "automaton": ([num_tokens - 1], 3 * 2 + 3 * verdict),
    }[name]
    return 2 * sum(map(c, digits)) + 2 * c(n + 1) + c(2 + verdict) + 7, units + 1


def test_squares_by_powers() -> None:
    """Every prime below 60 and every residue, against pow."""
    task = make_task("iterated-squaring", {"bound": 60})
    transformer = lower_task(task, 3, dtype="bfloat16").transformer
    primes = [prime for prime in range(2, 60) if all(prime % divisor for divisor in range(2, prime))]
    assert primes_below(60).tolist() == primes
    rows = [(prime, residue) for prime in primes for residue in range(1, prime)]
    for squarings in (1, 2, 3):
        prompts = np.array([[prime, residue, *[61] * squarings, 60] for prime, residue in rows])
        made = DenseEngine(transformer).generate(prompts, squarings + 1)
        expected = [[pow(r, 2**i, p) for i in range(1, squarings + 1)] + [60] for p, r in rows]
        assert made.tolist() == expected


@pytest.mark.slow
def test_every_prime_and_residue() -> None:
    """All 168 primes below 1000 and all residues, in one pass each through all hidden units, in float32."""
    transformer = lower_task(make_task("iterated-squaring"), 1).transformer
    primes = primes_below(1000)
    rows = np.array([(prime, residue) for prime in primes for residue in range(1, prime)])
    assert len(primes) == 168 and len(rows) == 75_959
    prompts = np.concatenate([rows, np.full((len(rows), 1), 1001), np.full((len(rows), 1), 1000)], axis=1)
    (layer,) = (cast_layer(layer, np.float32) for layer in transformer.layers)
    for start in range(0, len(rows), 512):
        x = embed(transformer, prompts[start : start + 512], np.arange(4), np.float32)
        queries, keys, values = project_heads(x, layer, transformer.architecture, np.arange(4))
        mixed = attend(queries[:, :, -1:], keys, values)
        x = apply_mlp(add_attention(x[:, -1:], mixed, layer), layer, transformer.architecture)
        expected = [pow(residue, 2, prime) for prime, residue in rows[start : start + 512].tolist()]
        assert unembed(x, transformer)[:, 0].argmax(axis=1).tolist() == expected


def test_what_has_no_construction() -> None:
    for name in sorted(TASKS.keys() - set(CONSTRUCTED)):
        with pytest.raises(CompileError) as error:
            lower_task(make_task(name), 4)
        assert str(error.value) == (
            f"{name} has no construction\nhint: these tasks have one: modular-addition, permutation-composition,"
            " iterated-squaring, parity, majority, word-problem, automaton"
        )


@pytest.mark.parametrize(
    ("name", "parameters", "length", "message"),
    [
        (
            "modular-addition",
            {"modulus": 3001},
            4,
            "modular-addition takes 9,006,002 hidden units, over 262,144\nhint: choose smaller parameters",
        ),
        (
            "modular-addition",
            {"modulus": 2310},
            4,
            "modular-addition has 5,336,100 pairs of a state and a symbol to check, over 1,048,576\n"
            "hint: choose smaller parameters",
        ),
        (
            "parity",
            {},
            20_000,
            "parity takes 40,001 positions, over 32,768\nhint: choose a smaller length",
        ),
        (
            "majority",
            {},
            5000,
            "majority has 5,002 tokens, over 4,096\nhint: choose a smaller length or parameter",
        ),
        (
            "iterated-squaring",
            {"bound": 4000},
            4,
            "iterated-squaring takes 506,480 hidden units, over 262,144\nhint: choose smaller parameters",
        ),
    ],
)
def test_too_large(name: str, parameters: dict[str, int | str], length: int, message: str) -> None:
    with pytest.raises(CompileError) as error:
        lower_task(make_task(name, parameters), length)
    assert str(error.value) == message


def test_a_gap_that_does_not_hold() -> None:
    task = make_task("word-problem")
    with pytest.raises(CompileError) as error:
        lower_task(task, 16, dtype="bfloat16", attention_gap=8.0)
    assert str(error.value) == (
        "in bfloat16 it would not hold: position 16, which writes chain token 0: head 0 of layer 0 (symbol) has a score"
        " gap of 8.48, 7.04 after rounding, where 10.4 is needed\nhint: ask for another attention gap or another dtype"
    )
    with pytest.raises(CompileError, match="expected an attention gap above 0, found 0"):
        lower_task(task, 16, attention_gap=0.0)
    with pytest.raises(CompileError, match=r"scores of look-up symbol reach 8.19e\+04, beyond what float16 holds"):
        lower_task(task, 16, dtype="float16", attention_gap=2000.0)
    with pytest.raises(CompileError, match="float16 does not hold the weight 131072 exactly"):
        lower_task(task, 16, dtype="float16", attention_gap=40_000.0)
    with pytest.raises(TaskError, match="expected a length of at least 1, found 0"):
        lower_task(task, 0)


def test_a_wrong_table_is_noticed() -> None:
    """The claims come from the task, not from the units: one wrong entry among 125 is found, wherever it stands."""
    construction = task_construction(make_task("word-problem"), 4)
    transformer, layout = construction_to_gpt2(construction, dtype="float32", activation="gelu_new")
    assert certify_weights(transformer, layout_to_placement(layout)).logits.exact > 0
    out = transformer.layers[0].mlp_out_weight
    out[[60, 61]] = out[[61, 60]]
    failure = certify_weights(transformer, layout_to_placement(layout)).failure
    assert failure is not None and failure.reason == "a unit of table rule 12 does not write what it is to write"
    # Weights and witness agree here; what the task says is another thing.
    (layer,) = construction.layers
    for number, position in ((0, 4), (12, 5)):  # the start state comes to position 4 alone
        table = layer.tables[number]
        written = table.written.copy()
        written[[0, 1]] = written[[1, 0]]
        tables = (*layer.tables[:number], replace(table, written=written), *layer.tables[number + 1 :])
        wrong = replace(construction, layers=(replace(layer, tables=tables),))
        transformer, layout = construction_to_gpt2(wrong, dtype="float32", activation="gelu_new")
        failure = certify_weights(transformer, layout_to_placement(layout)).failure
        assert failure is not None and failure.position == position
        assert failure.reason == "word-problem writes another token than the claim says"


def test_margins_are_those_of_the_reference() -> None:
    """The least lead of the right logit over all prompts of a small task, by the forward pass in float64."""
    task = make_task("modular-addition", {"modulus": 3})
    lowered = lower_task(task, 3)
    words = np.array([[*word, 3] for word in product(range(3), repeat=3)])
    examples = task.solve(words, 3)
    logits = compute_logits(lowered.transformer, np.concatenate([words, examples.chains], axis=1))[:, 3:]
    expected = np.pad(examples.chains, ((0, 0), (0, 1)), constant_values=3)
    own = np.take_along_axis(logits, expected[:, :, None], axis=2)
    np.put_along_axis(logits, expected[:, :, None], -np.inf, axis=2)
    lead = (own[:, :, 0] - logits.max(axis=2)).min()
    assert lead == pytest.approx(lowered.certificate.logits.exact, rel=1e-4)
