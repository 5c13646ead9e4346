"""Decoding in groups of positions: the tokens, and the proof, of decoding one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

import serialformer
from serialformer import Circuit
from serialformer.circuits.evaluate import evaluate_wires
from serialformer.decode import tabulated
from serialformer.decode.group_kernels import decode_grouped
from serialformer.decode.indexed import IndexedEngine
from serialformer.decode.kernels import DONE, GROUP, NOT_GROUPED, NOT_ROUTED, SMALL_MARGIN
from serialformer.decode.records import Tabulated
from serialformer.decode.tabulated_kernels import decode_tabulated
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.cases import every_input, small_circuits
from tests.decode.test_engines import noisy
from tests.decode.test_indexed import same_as_dense
from tests.effort import pairs

CASES = small_circuits()


@cache
def wide_circuit(num_gates: int, num_inputs: int = 2, *, nearest: int = 1) -> Circuit:
    """Gates of random tables that read any wires, of which the gates are at least ``nearest`` before them."""
    random, num_words = np.random.default_rng(num_gates + num_inputs), 64
    bound = np.maximum(num_words, num_words + 1 - nearest + np.arange(num_gates))
    fan_in = random.integers(0, bound[:, None], (num_gates, num_inputs)).astype(np.int32)
    table = random.integers(1, (1 << (1 << num_inputs)) - 1, num_gates, dtype=np.uint64)
    return Circuit(
        num_inputs=num_words,
        fan_in=fan_in,
        arity=np.full(num_gates, num_inputs, dtype=np.uint8),
        table=table,
        outputs=np.arange(num_words + num_gates - 8, num_words + num_gates, dtype=np.int32),
    )


def some_inputs(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 2, (count, 64), dtype=np.uint8)


def decode(
    kernel: Callable[..., tuple[int, int]], engine: IndexedEngine, prompt: np.ndarray, num_tokens: int
) -> tuple[int, int, np.ndarray]:
    """How far a loop comes, why it stops there, and the tokens so far."""
    decoder = engine._tabulated
    assert decoder is not None
    sequence = np.full(len(prompt) + num_tokens, -1, dtype=np.int64)
    sequence[: len(prompt)] = prompt
    values = decoder.values(len(sequence) - 1)
    reached, reason = kernel(sequence, 0, len(sequence) - 1, len(prompt), decoder._tables, values)
    return int(reached), int(reason), sequence[: max(len(prompt), reached + 1)]


def check_alike(transformer: Transformer, prompts: np.ndarray, num_tokens: int) -> list[int]:
    """Checks that both loops come as far, with the same tokens; returns why they stop."""
    engine, reasons = IndexedEngine(transformer), []
    assert engine._tabulated is not None
    assert engine._tabulated.in_groups
    for prompt in prompts:
        alone = decode(decode_tabulated, engine, prompt, num_tokens)
        grouped = decode(decode_grouped, engine, prompt, num_tokens)
        assert grouped[0] == alone[0]
        assert (grouped[1] == DONE) == (alone[1] == DONE)
        assert np.array_equal(grouped[2], alone[2])
        reasons.append(grouped[1])
    return reasons


@pytest.fixture(autouse=True)
def reasons(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Makes engines decode in groups whatever the model and the length; collects why that stopped."""
    stopped: list[int] = []

    def noted(*arguments: object) -> tuple[int, int]:
        reached, reason = decode_grouped(*arguments)
        stopped.append(int(reason))
        return reached, reason

    monkeypatch.setattr(tabulated, "LONG", 0)
    monkeypatch.setattr(tabulated, "MOST_NEAR", 1.0)
    monkeypatch.setattr(tabulated, "decode_grouped", noted)
    return stopped


@pytest.mark.parametrize(("name", "dtype"), pairs(CASES, ["float32", "bfloat16", "float16"]))
def test_small_circuits(name: str, dtype: str, reasons: list[int]) -> None:
    model = serialformer.compile(CASES[name], dtype=dtype, activation="gelu_new" if dtype == "float32" else "relu")
    bits = every_input(CASES[name].num_inputs)[:40]
    refusals = same_as_dense(model.transformer, model.prompts(bits), model.num_new_tokens + 1)
    assert set(refusals) == {""}
    assert set(reasons) == {DONE}


@pytest.mark.parametrize(
    ("num_gates", "num_inputs", "nearest", "dtype"),
    [(1000, 2, 1, "float32"), (3000, 2, GROUP, "float32"), (900, 4, 1, "float16"), (700, 3, 200, "bfloat16")],
)
def test_the_chain_of_a_wide_circuit(
    num_gates: int, num_inputs: int, nearest: int, dtype: str, reasons: list[int]
) -> None:
    circuit = wide_circuit(num_gates, num_inputs, nearest=nearest)
    model = serialformer.compile(circuit, dtype=dtype)
    bits = some_inputs(5)
    made = model.engine("indexed").generate(model.prompts(bits), model.num_new_tokens)
    assert np.array_equal(made, evaluate_wires(circuit, bits)[:, model.schedule.wire])
    assert set(reasons) == {DONE}
    assert set(check_alike(model.transformer, model.prompts(bits), model.num_new_tokens)) == {DONE}


@pytest.mark.parametrize("size", [1e-6, 1e-4, 1e-3, 1e-2, 3e-2, 0.1])
def test_noise_after_attention_stops_both_at_one_place(size: float) -> None:
    # Noise on what attention reads by would keep heads from being tabulated at all.
    model = serialformer.compile(wide_circuit(300))
    weights, stopped = dict(model.transformer.named_weights()), []
    for seed in range(3):
        noise = dict(noisy(model.transformer, size, seed).named_weights())
        mixed = {name: noise[name] if "mlp" in name or "attention_out" in name else weights[name] for name in weights}
        transformer = weights_to_transformer(model.transformer.architecture, mixed)
        stopped += check_alike(transformer, model.prompts(some_inputs(2)), model.num_new_tokens)
    if size <= 1e-3:
        assert set(stopped) == {DONE}
    if size >= 3e-2:
        assert SMALL_MARGIN in stopped


def random_tables(seed: int, *, is_relu: bool, stream_error: float) -> Tabulated:
    """Tables of no model, which make chains of nearly always two tokens and in which every number matters."""
    random = np.random.default_rng(seed)
    num_positions, num_tokens = 6 * GROUP + 11, 4
    num_values, num_late, num_units = (int(random.integers(low, 6)) for low in (1, 2, 3))
    normal = random.standard_normal
    place = np.arange(num_positions)[:, None]
    targets = random.integers(0, np.maximum(1, place - random.choice([0, 20, 60])), (num_positions, num_values))
    num_groups = -(-num_positions // GROUP)
    moments = normal((num_groups, num_tokens, 2 + num_values, GROUP))
    moments[:, :, 1] += 60
    return Tabulated(
        width=20,
        epsilon=1e-5,
        is_relu=is_relu,
        end_token=num_tokens,
        targets=targets.astype(np.int32),
        latest=targets.max(axis=1).astype(np.int32),
        values=normal((num_positions, num_tokens, num_values)),
        moments=moments,
        still=normal((num_groups, num_late + num_units, GROUP)),
        token_still=normal((num_tokens, num_late + num_units)),
        fetched_hidden=normal((num_values, num_units)),
        hidden_total=normal(num_units),
        hidden_bias=normal(num_units),
        hidden_size=1 + random.random(num_units),
        hidden_bias_size=random.random(num_units),
        hidden_onward=1 + random.random(num_units),
        late_fetched=normal((num_values, num_late)),
        late_bias=normal(num_late),
        hidden_late=normal((num_late, num_units)),
        fetched_sum=normal(num_values),
        fetched_products=normal((num_values, num_values)) / 8,
        unembedding=normal((num_tokens, num_late)),
        unembedding_bias=np.array([0.1, 0.0, -5.0, -7.0]),
        unembedding_size=(1 + random.random((num_tokens, 3))) * [1, 40, 1],
        stream_error=stream_error,
        furthest=1.5,
    )


def one_by_one(tables: Tabulated) -> Tabulated:
    """The same tables as they are where positions are not decoded in groups."""
    moments, still = (
        np.ascontiguousarray(np.moveaxis(part, -1, 1).reshape(-1, *part.shape[1:-1])[..., None])
        for part in (tables.moments, tables.still)
    )
    return tables._replace(moments=moments, still=still)


@pytest.mark.parametrize("stream_error", [1e-12, 1e-5, 1e-4])
@pytest.mark.parametrize("is_relu", [False, True])
def test_tables_in_which_every_number_matters(is_relu: bool, stream_error: float) -> None:
    stopped = []
    for seed in range(40):
        tables, found = random_tables(seed, is_relu=is_relu, stream_error=stream_error), []
        for kernel, own_tables in ((decode_tabulated, one_by_one(tables)), (decode_grouped, tables)):
            sequence = np.zeros(len(tables.latest) + 1, dtype=np.int64)
            sequence[1] = 1
            values = np.empty(tables.values[:, 0].shape)
            reached, reason = kernel(sequence, 0, len(sequence) - 1, 2, own_tables, values)
            found.append((int(reached), sequence[: reached + 1].tolist()))
            stopped.append(int(reason))
        is_whole = stopped[-1] != NOT_GROUPED
        assert found[1][0] == found[0][0] if is_whole else found[1][0] < found[0][0]
        assert found[1][1] == found[0][1][: found[1][0] + 1]
    assert stopped.count(NOT_GROUPED) < 20, "most chains are compared to their end, or to where a proof fails"
    assert (DONE if stream_error < 1e-9 else SMALL_MARGIN) in stopped


@pytest.mark.parametrize("seed", range(12))
def test_one_altered_weight(seed: int, reasons: list[int]) -> None:
    model, random = serialformer.compile(wide_circuit(150)), np.random.default_rng(seed)
    weights = {name: weight.copy() for name, weight in model.transformer.named_weights()}
    # Not one of the maps that attention reads by, which would only hide the rest.
    names = [name for name in weights if "attention_in" not in name]
    flat = weights[names[seed % len(names)]].reshape(-1)
    flat[random.integers(flat.size)] += np.float32(random.choice([1e-3, 0.1, 0.5, -1.0, 2.0, -8.0, 100.0]))
    transformer = weights_to_transformer(model.transformer.architecture, weights)
    same_as_dense(transformer, model.prompts(some_inputs(2)), model.num_new_tokens)


def test_a_position_that_reads_no_one_position() -> None:
    model = serialformer.compile(wide_circuit(300))
    engine, prompts = IndexedEngine(model.transformer), model.prompts(some_inputs(1))
    assert engine._tabulated is not None
    tables = engine._tabulated._tables
    place = prompts.shape[1] + 150
    tables.targets[place, 0], tables.latest[place] = -1, np.iinfo(np.int32).max
    for kernel in (decode_tabulated, decode_grouped):
        reached, reason, _ = decode(kernel, engine, prompts[0], 200)
        assert (reached, reason) == (place, NOT_ROUTED)


def test_chains_of_four_tokens_are_soon_decoded_one_by_one(reasons: list[int]) -> None:
    circuit = wide_circuit(1200, nearest=500)
    model = serialformer.compile(circuit, gates_per_token=2)
    engine, bits = model.engine("indexed"), some_inputs(3)
    made = model.run_bits(bits, engine=engine)
    assert np.array_equal(made, evaluate_wires(circuit, bits)[:, circuit.outputs])
    assert reasons == [NOT_GROUPED], "an engine that has met such a chain tries no other"


def test_long_chains_that_read_far_are_decoded_in_groups(monkeypatch: pytest.MonkeyPatch, reasons: list[int]) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(tabulated, "LONG", 2000)
    for num_gates, nearest, in_groups in ((1000, 100, False), (3000, 100, True), (3000, -1, False)):
        circuit = wide_circuit(num_gates, nearest=nearest) if nearest > 0 else chain_circuit(num_gates)
        model, bits = serialformer.compile(circuit), some_inputs(2)
        engine = IndexedEngine(model.transformer)
        assert engine._tabulated is not None
        assert engine._tabulated.in_groups == in_groups
        made = engine.generate(model.prompts(bits), model.num_new_tokens)
        assert np.array_equal(made, evaluate_wires(circuit, bits)[:, model.schedule.wire])


def chain_circuit(num_gates: int) -> Circuit:
    """Each gate reads the one before it and an input."""
    place = np.arange(num_gates)
    return Circuit(
        num_inputs=64,
        fan_in=np.stack([place + 63, place % 64], axis=1).astype(np.int32),
        arity=np.full(num_gates, 2, dtype=np.uint8),
        table=np.full(num_gates, 6, dtype=np.uint64),
        outputs=np.array([num_gates + 63], dtype=np.int32),
    )
