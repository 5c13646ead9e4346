"""Verification: does the model's chain say what the circuit says, token for token?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from serialformer.arrays import Bool, Int32, Int64, UInt8
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import WORDS_PER_BLOCK, evaluate_outputs, pack_rows
from serialformer.circuits.words import ABSENT, Word, bits_to_values
from serialformer.decode.engine import Engine, Progress
from serialformer.decode.hugging_face import HuggingFaceEngine
from serialformer.errors import InputError
from serialformer.models.model import Model

if TYPE_CHECKING:
    from serialformer.circuits.verilog.simulators import Source

MAX_EXHAUSTIVE_INPUTS = 24
"""Where an engine decodes many rows at once."""

MAX_EXHAUSTIVE_INPUTS_OF_SLOW_ENGINES = 16

MANY_ROWS = 1024
"""Rows are cheap for an engine that decodes at least this many together."""

TOKENS_PER_BLOCK = 1 << 24
"""How many chain tokens are held at once, to bound the memory whatever the engine likes."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The outcome of a verification, in counts.

    Attributes:
        inputs: how many inputs were run.
        tokens: how many chain tokens were compared.
        wrong_inputs: on how many inputs anything differed.
        first_wrong: what differed first, in words; "" if nothing.
        engine: which engine ran the model; ``indexed and dense`` if each made some of the tokens.
        undefined_bits: how many output bits had no value to be compared with.
    """

    inputs: int
    tokens: int
    wrong_inputs: int
    first_wrong: str
    engine: str
    undefined_bits: int = 0

    @property
    def verified(self) -> bool:
        return self.wrong_inputs == 0


def verify(
    model: Model,
    *,
    against: Circuit | None = None,
    num_samples: int | None = 64,
    seed: int = 0,
    engine: str = "auto",
    progress: Progress | None = None,
) -> Verification:
    """Runs the model and compares every chain token with the circuit that it was compiled from.

    With engine ``hf`` our fastest engine proposes the chains and transformers confirms them
    (``HuggingFaceEngine.confirm``); what is compared with the circuit are transformers' tokens.

    Args:
        model: the model.
        against: another circuit with the same words; then only the answers are compared.
        num_samples: how many random inputs; all of them if None.
        seed: of the random inputs, which are the same for every engine.
        engine: which engine runs the model.
        progress: called with the number of chain tokens made, of ``num_verified_tokens`` in all.

    Raises:
        InputError: the other circuit has other words, or there are too many inputs to try them all.
    """
    if against is not None:
        _check_words(model, against)
    chosen = model.batch_engine(engine)
    proposing = model.batch_engine() if isinstance(chosen, HuggingFaceEngine) else None
    wrong, tokens, inputs, first_wrong = 0, 0, 0, ""
    used: dict[str, None] = {}
    for bits in _input_blocks(model, num_samples, seed, [chosen] if proposing is None else [chosen, proposing]):
        chains = _think(model, bits, chosen, proposing, progress)
        used |= dict.fromkeys(chosen.name.split(" and "))
        if against is None:
            differs = _differing_rows(model.circuit, bits, model.schedule.wire, chains)
        else:
            chains = chains[:, chains.shape[1] - model.words.num_outputs :]
            differs = (chains != _other_outputs(model, against, bits)).any(axis=1)
        rows = np.flatnonzero(differs)
        if len(rows) and not first_wrong:
            first_wrong = _describe(model, against, bits[rows[0]], chains[rows[0]])
        wrong += len(rows)
        # A token of several bits is compared bit by bit, and counts once.
        tokens += chains.size if model.words.packed is None else len(bits) * model.words.num_chain_tokens
        inputs += len(bits)
    return Verification(
        inputs=inputs,
        tokens=tokens,
        wrong_inputs=wrong,
        first_wrong=first_wrong,
        engine=" and ".join(used or {chosen.name: None}),
    )


def verify_against_simulator(
    model: Model,
    source: Source,
    simulator: str,
    *,
    num_samples: int = 64,
    seed: int = 0,
    engine: str = "auto",
    progress: Progress | None = None,
) -> Verification:
    """Runs the model and has a simulator run its Verilog source, on the same random inputs; compares the answers.

    This is a second opinion on how the source was read. A model with registers runs for as many cycles as there are
    samples; registers to which the source gives no value begin with 0 in both. Bits that are x in the simulation are
    counted, not compared.

    Args:
        model: a model that was compiled from the source.
        source: the source.
        simulator: ``iverilog`` or ``verilator``.
        num_samples: how many random inputs, or cycles.
        seed: of the random inputs.
        engine: which engine runs the model.
        progress: called with the number of inputs that are done.

    Raises:
        InputError: the source has other words than the model, or there is no such simulator.
        ToolError: the simulator is not installed.
        FormatError: the simulator refuses the source.
    """
    from serialformer.circuits.verilog.simulators import simulate_source
    from serialformer.circuits.verilog.stimulus import random_stimulus

    words = model.words
    num_registers = len(words.registers)
    inputs, outputs = words.inputs[num_registers:], words.outputs[num_registers:]
    first = sum(len(word.places) for word in words.outputs[:num_registers])
    stimulus = random_stimulus(inputs, num_samples, np.random.default_rng(seed))
    simulated = simulate_source(source, inputs, outputs, stimulus, simulator)
    if num_registers:
        chosen = model.engine(engine)
        simulation = model.simulation(fill="zero", engine=chosen)
        rows = []
        for bits in stimulus:
            rows.append(simulation.step_bits(bits).made[first:])
            if progress is not None:
                progress(1)
        answers = np.array(rows, dtype=np.uint8)
    else:
        chosen = model.batch_engine(engine)
        answers = model.run_bits(stimulus, engine=chosen)
        if progress is not None:
            progress(num_samples)
    wrong = (answers != simulated.values) & simulated.is_known
    first_wrong = ""
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        shifted = [_shift_word(word, -first) for word in outputs]
        given = [_shift_word(word, -first) for word in inputs]
        differing = [word.name for word in shifted if wrong[row, list(word.places)].any()]
        found, expected = bits_to_values(shifted, answers[row]), bits_to_values(shifted, simulated.values[row])
        values = ", ".join(f"{name}={value}" for name, value in bits_to_values(given, stimulus[row]).items())
        shown = ", ".join(f"{name} is {found[name]}, {simulator} says {expected[name]}" for name in differing)
        first_wrong = f"{f'in cycle {row}, ' if num_registers else ''}with {values}: {shown}"
    return Verification(
        inputs=num_samples,
        tokens=num_samples * words.num_chain_tokens,
        wrong_inputs=int(wrong.any(axis=1).sum()),
        first_wrong=first_wrong,
        engine=chosen.name,
        undefined_bits=int((~simulated.is_known).sum()),
    )


def num_verified_inputs(model: Model, num_samples: int | None) -> int:
    """How many inputs ``verify`` will run."""
    return 1 << model.words.num_inputs if num_samples is None else num_samples


def num_verified_tokens(model: Model, num_samples: int | None) -> int:
    """How many chain tokens ``verify`` will have the model make."""
    return num_verified_inputs(model, num_samples) * model.words.num_chain_tokens


def _think(
    model: Model,
    bits: UInt8[np.ndarray, "rows inputs"],
    chosen: Engine,
    proposing: Engine | None,
    progress: Progress | None,
) -> Int64[np.ndarray, "rows chain"]:
    """The chains, filled up with -1 where the model ends them early."""
    num_chain, made = model.words.num_chain_tokens, 0

    def count(num_tokens: int) -> None:
        nonlocal made
        made += num_tokens
        if progress is not None:
            progress(num_tokens * len(bits))

    if proposing is None:
        chains = model.think(bits, chosen, count)
    else:
        assert isinstance(chosen, HuggingFaceEngine)
        proposed = proposing.generate(model.prompts(bits), num_chain)
        # A proposal that ends early is filled up too: whether transformers ends there is for it to say.
        end = model.transformer.architecture.end_token
        proposed = np.pad(proposed, ((0, 0), (0, num_chain - proposed.shape[1])), constant_values=end)
        chains = model.words.read_chains(chosen.confirm(model.prompts(bits), proposed, count))
    if made < num_chain:
        count(num_chain - made)
    missing = model.words.num_chain_bits - chains.shape[1]
    return np.pad(chains, ((0, 0), (0, missing)), constant_values=-1) if missing else chains


def _input_blocks(
    model: Model, num_samples: int | None, seed: int, engines: list[Engine]
) -> Iterator[UInt8[np.ndarray, "rows inputs"]]:
    num_inputs = model.words.num_inputs
    size = min(engine.rows_at_once(model.words.num_tokens) for engine in engines)
    if num_samples is None:
        limit = MAX_EXHAUSTIVE_INPUTS if size >= MANY_ROWS else MAX_EXHAUSTIVE_INPUTS_OF_SLOW_ENGINES
        if num_inputs > limit:
            raise InputError(
                f"{num_inputs} input bits are too many to try all combinations, at most {limit}",
                hint="use --samples N",
            )
    size = max(1, min(size, TOKENS_PER_BLOCK // max(1, model.words.num_chain_tokens)))
    random = np.random.default_rng(seed)
    total = num_verified_inputs(model, num_samples)
    for start in range(0, total, size):
        stop = min(start + size, total)
        if num_samples is None:
            words = np.arange(start, stop, dtype="<u8")[:, None]
        else:
            # 64 bits a draw, which leaves nothing over: the same rows, whatever the size of the blocks.
            words = random.integers(0, 1 << 64, (stop - start, -(-num_inputs // 64)), dtype=np.uint64).astype("<u8")
        yield np.unpackbits(words.view(np.uint8), axis=1, count=num_inputs, bitorder="little")


def _shift_word(word: Word, by: int) -> Word:
    """The word with each of its places moved up."""
    return replace(word, bits=tuple(place if place == ABSENT else place + by for place in word.bits))


def _check_words(model: Model, other: Circuit) -> None:
    assert other.input_words is not None and other.output_words is not None
    for side, ours, theirs in (
        ("input", model.inputs, other.input_words),
        ("output", model.outputs, other.output_words),
    ):
        mine, its = {word.name: word.width for word in ours}, {word.name: word.width for word in theirs}
        if mine != its:
            differing = sorted(set(mine.items()) ^ set(its.items()))[:6]
            shown = ", ".join(f"{name} ({width} bits)" for name, width in differing)
            raise InputError(f"the circuits have different {side} words: {shown}", hint="both need the same words")


def _permutation(ours: tuple[Word, ...], theirs: tuple[Word, ...]) -> np.ndarray:
    """For each of their bits the place of the same bit among ours."""
    places = {word.name: word.bits for word in ours}
    result = np.empty(sum(len(word.places) for word in theirs), dtype=np.int64)
    for word in theirs:
        for index, place in enumerate(word.bits):
            if place >= 0:
                result[place] = places[word.name][index]
    return result


def _other_outputs(model: Model, other: Circuit, bits: UInt8[np.ndarray, "rows inputs"]) -> np.ndarray:
    assert other.input_words is not None and other.output_words is not None
    answers = evaluate_outputs(other, bits[:, _permutation(model.inputs, other.input_words)])
    ours = np.empty((len(bits), model.words.num_outputs), dtype=np.uint8)
    ours[:, _permutation(model.outputs, other.output_words)] = answers
    return ours


def _differing_rows(
    circuit: Circuit,
    bits: UInt8[np.ndarray, "rows inputs"],
    wires: Int32[np.ndarray, " chain"],
    chains: Int64[np.ndarray, "rows chain"],
) -> Bool[np.ndarray, " rows"]:
    """For each row whether its chain is anything but the values of the wires; compares with them 64 rows a word."""
    from serialformer.circuits.kernels import evaluate_packed, mark_differing_rows

    differs = np.empty(len(bits), dtype=bool)
    values = np.zeros((circuit.num_wires, WORDS_PER_BLOCK), dtype=np.uint64)
    chains = np.ascontiguousarray(chains)
    for start in range(0, len(bits), 64 * WORDS_PER_BLOCK):
        block = slice(start, start + 64 * WORDS_PER_BLOCK)
        values[: circuit.num_inputs] = pack_rows(bits[block], WORDS_PER_BLOCK)
        evaluate_packed(circuit.num_inputs, circuit.fan_in, circuit.arity, circuit.table, values)
        mark_differing_rows(values, wires, chains[block], differs[block])
    return differs


def _describe(
    model: Model, against: Circuit | None, bits: UInt8[np.ndarray, " inputs"], found: Int64[np.ndarray, " tokens"]
) -> str:
    """The first token of a chain, or of an answer, that is not what it should be."""
    if against is None:
        # The circuit with every token of the chain for an output.
        circuit = replace(model.circuit, outputs=model.schedule.wire, output_words=None)
        expected = evaluate_outputs(circuit, bits[None])[0]
    else:
        expected = _other_outputs(model, against, bits[None])[0]
    values = ", ".join(f"{name}={value}" for name, value in bits_to_values(model.inputs, bits).items())
    place = int(np.argmax(found != expected))
    name = model.words.bit_name(place + model.words.num_chain_bits - len(expected))
    said = "nothing" if found[place] < 0 else model.words.plain_text(int(found[place]))
    return f"with {values}: token {name} is {said}, expected {expected[place]}"
