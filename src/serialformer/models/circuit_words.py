"""The words of a circuit: a prompt is the bits of the input words, and the last bits of the chain are the outputs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Int64, UInt8
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.sequential.registers import Register, check_registers
from serialformer.circuits.word_columns import columns_to_bits
from serialformer.circuits.words import Word, bits_to_values, values_to_bits
from serialformer.constructions.circuit_depth import COLUMNS_VOCABULARY, FILLER, circuit_depth_construction
from serialformer.constructions.packed_chain import packed_vocabulary
from serialformer.constructions.packed_schedule import EMPTY, PackedSchedule, plain_schedule, schedule_packed
from serialformer.constructions.placed_depth import place_without_chain
from serialformer.constructions.placed_tokens import PlacedTokens, place_bits
from serialformer.constructions.program import EQUALS, VOCABULARY
from serialformer.constructions.schedule import Chain, Schedule
from serialformer.errors import CheckpointError, EngineError, InputError
from serialformer.models.circuit_file import load_circuit, save_circuit
from serialformer.models.protocol import Protocol, Run
from serialformer.models.transcript import Transcript
from serialformer.notebook import count, first_few


@dataclass(frozen=True, kw_only=True, eq=False)
class CircuitWords(Protocol):
    """The protocol of a compiled circuit, or of one clock cycle of a sequential one.

    Attributes:
        inputs: the words of the prompt, over its bits in order.
        outputs: the words of the answer, over its bits in order.
        num_chain_tokens: tokens of the chain of thought, the answer's included.
        registers: of a sequential circuit: the first words of prompt and answer, which are state and next state.
        circuit: the circuit that was compiled, for traces and for verification; decoding never looks at it.
        schedule: which chain token writes which gate of it.
        chain: ``gates`` if gates are written as tokens. ``none`` if layers compute them, each in the column of a filler
            token between the bits and ``=``; then what is written is the answer alone.
        placed: the tokens, if each says at which position it stands. Chains are told in plain bits all the same.
        packed: which bits share a token, if tokens carry several. Chains are told bit by bit all the same.
    """

    kind = "circuit"
    what = "a compiled circuit"
    usage = "give a value for each input word: model.run(a=1), or serialformer run DIR -i a=1"
    subject = "circuit"

    inputs: tuple[Word, ...]
    outputs: tuple[Word, ...]
    num_chain_tokens: int
    registers: tuple[Register, ...] = ()
    circuit: Circuit
    schedule: Schedule
    chain: Chain = "gates"
    placed: PlacedTokens | None = None
    packed: PackedSchedule | None = None

    @cached_property
    def num_inputs(self) -> int:
        """Bits of the prompt."""
        return sum(len(word.places) for word in self.inputs)

    @cached_property
    def num_outputs(self) -> int:
        """Bits of the answer."""
        return sum(len(word.places) for word in self.outputs)

    @property
    def num_chain_bits(self) -> int:
        """The number of bits in the chain; equal to the number of tokens unless these carry several."""
        return self.num_chain_tokens if self.packed is None else len(self.schedule.wire)

    @property
    def num_answer_tokens(self) -> int:
        """How many of the last tokens hold the answer."""
        return self.num_outputs if self.packed is None else self.packed.num_answer_tokens

    @property
    def num_tokens(self) -> int:
        """Prompt, ``=`` and chain."""
        return self.num_inputs + self.num_columns + 1 + self.num_chain_tokens

    @property
    def num_columns(self) -> int:
        """Filler tokens of the prompt: one for each gate, of a model without a chain."""
        return self.circuit.num_gates if self.chain == "none" else 0

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens that it needs."""
        if self.packed is not None:
            return packed_vocabulary(self.packed.num_slots)
        return COLUMNS_VOCABULARY if self.chain == "none" else VOCABULARY

    @property
    def num_new_tokens(self) -> int:
        return self.num_chain_tokens

    def check(self, architecture: Architecture) -> None:
        problems = []
        expected = self.vocabulary if self.placed is None else self.placed.vocabulary
        if self.placed is not None and architecture.vocabulary != expected:
            problems.append("the vocabulary is not that of tokens that say where they stand")
        elif self.placed is None and architecture.vocabulary[: len(expected)] != expected:
            shown = " ".join(architecture.vocabulary[:8])
            problems.append(f"the vocabulary begins with {shown}, not with {' '.join(self.vocabulary)}")
        if architecture.num_positions < self.num_tokens:
            problems.append(f"{self.num_tokens} tokens do not fit {architecture.num_positions} positions")
        if problems:
            raise CheckpointError("; ".join(problems))

    def tokens_at(self, position: int) -> tuple[str, ...]:
        """A bit everywhere, but for the one ``=`` that ends the prompt, and for the fillers before it.

        >>> from serialformer import CircuitBuilder, compile
        >>> build = CircuitBuilder()
        >>> build.output("y", build.not_(build.input("x")))
        >>> words = compile(build.circuit()).words
        >>> [words.tokens_at(position) for position in range(3)]
        [('0', '1'), ('=',), ('0', '1')]
        """
        self.check_position(position, self.num_tokens)
        if self.num_inputs <= position < self.num_inputs + self.num_columns:
            return (self.vocabulary[FILLER],)
        if self.packed is not None and position > self.num_inputs:
            return self.vocabulary[len(VOCABULARY) :]
        return ("=",) if position == self.num_inputs + self.num_columns else ("0", "1")

    def prompts(self, bits: UInt8[np.ndarray, "rows inputs"]) -> Int64[np.ndarray, "rows prompt"]:
        """Token ids of the prompts: the input bits, the fillers if there are any, then ``=``."""
        prompts = np.full((len(bits), bits.shape[1] + self.num_columns + 1), EQUALS, dtype=np.int64)
        prompts[:, : bits.shape[1]] = bits
        prompts[:, bits.shape[1] : -1] = FILLER
        return prompts if self.placed is None else self.placed.place(prompts)

    def read_chains(self, tokens: Int64[np.ndarray, "rows some"], first: int = 0) -> Int64[np.ndarray, "rows bits"]:
        """Chains in plain tokens, 0 and 1 for a bit; a token that does not belong where it stands becomes another one.

        Where tokens carry several bits, there are more of these.

        Args:
            tokens: ids, as the model makes them.
            first: the number of the chain token with which they begin.
        """
        if self.packed is not None:
            return self._unpack(tokens, first)
        return (
            tokens if self.placed is None else self.placed.read(tokens, self.num_inputs + self.num_columns + 1 + first)
        )

    def _unpack(self, tokens: Int64[np.ndarray, "rows some"], first: int) -> Int64[np.ndarray, "rows bits"]:
        """The bits of symbols, slots without a wire left out; for another token ``=`` in place of each."""
        assert self.packed is not None
        wires = self.packed.wire[first : first + tokens.shape[1]]
        numbers = tokens[:, : len(wires), None] - len(VOCABULARY)
        bits = np.where(numbers < 0, EQUALS, numbers >> np.arange(self.packed.num_slots) & 1)
        return bits[:, wires != EMPTY]

    def bit_name(self, bit: int) -> str:
        """The name of a bit of the chain: its token, and its place in that if there are several."""
        token, slot = self.bit_place(bit)
        return f"t{token}" if self.packed is None else f"t{token}.{slot}"

    def bit_place(self, bit: int) -> tuple[int, int]:
        """The token that a bit of a chain is in, and its place there."""
        if self.packed is None:
            return bit, 0
        tokens, slots = np.nonzero(self.packed.wire != EMPTY)
        return int(tokens[bit]), int(slots[bit])

    def plain_text(self, token: int) -> str:
        """The text of a token of a chain that ``read_chains`` has read."""
        return self.vocabulary[token] if token < len(self.vocabulary) else "the token of another position"

    def values_to_prompt(
        self, question: tuple[Any, ...], named: dict[str, int], where: str | None = None
    ) -> Int64[np.ndarray, "1 prompt"]:
        """The prompt for a value of each input word.

        Raises:
            InputError: a value is missing, unknown or too large, or the question is not made of values.
        """
        if len(question) > 1 or not all(given is None or isinstance(given, Mapping) for given in question):
            raise self.refuse_question(where)
        values = {**((question[0] if question else None) or {}), **named}
        return self.prompts(values_to_bits(self.inputs, values, self.num_inputs)[None])

    def run(self, run: Run, question: tuple[Any, ...], named: dict[str, int]) -> Transcript:
        prompts = self.values_to_prompt(question, named, run.where)
        num_tokens = run.limit(self.num_chain_tokens)
        started = time.perf_counter()
        tokens = run.engine.generate(prompts, num_tokens, run.progress)
        chains = self.read_chains(tokens)
        seconds = time.perf_counter() - started
        num_bits = num_tokens if self.packed is None else int((self.packed.wire[:num_tokens] != EMPTY).sum())
        self.check_chains(chains, num_bits, run.where)
        whole = num_tokens == self.num_chain_tokens
        return Transcript(
            vocabulary=self._told_vocabulary(run.architecture),
            prompt=prompts[0] if self.placed is None else self.placed.read(prompts, 0)[0],
            chain=chains[0],
            outputs=bits_to_values(self.outputs, self.answers(chains, run.where)[0]) if whole else {},
            engine=run.engine.name,
            seconds=seconds,
            num_tokens=None if self.packed is None else tokens.shape[1],
        )

    def _told_vocabulary(self, architecture: Architecture) -> tuple[str, ...]:
        """The texts of the tokens that a transcript holds: the model's own, or plain ones."""
        if self.placed is not None:
            return self.vocabulary
        return architecture.vocabulary if self.packed is None else VOCABULARY

    def answers(
        self, chains: Int64[np.ndarray, "rows chain"], where: str | None = None
    ) -> UInt8[np.ndarray, "rows outputs"]:
        """The output bits at the end of each chain.

        Raises:
            EngineError: a chain is not made of bits, so the weights are not what was compiled.
        """
        self.check_chains(chains, self.num_chain_bits, where)
        return chains[:, self.num_chain_bits - self.num_outputs : self.num_chain_bits].astype(np.uint8)

    def check_chains(self, chains: Int64[np.ndarray, "rows chain"], num_bits: int, where: str | None) -> None:
        """Refuses chains that are shorter than requested, or that do not consist of bits."""
        strange = bool(chains.size) and int(chains.max()) >= EQUALS
        if chains.shape[1] < num_bits or strange:
            bit = int(np.argmax((chains >= EQUALS).any(axis=0))) if strange else chains.shape[1]
            broken = self.bit_place(min(bit, self.num_chain_bits - 1))[0] if self.packed is not None else bit
            raise EngineError(
                f"the model ended its chain at token {broken} of {self.num_chain_tokens}",
                where=where,
                hint="its weights are not as compiled; compile it again",
            )

    def rows_to_bits(self, rows: Sequence[Mapping[str, int]], first: int) -> UInt8[np.ndarray, "rows inputs"]:
        """The bits of rows of values; ``first`` is the number of the first row, for the error.

        Raises:
            InputError: a value of a row is missing, unknown or too large.
        """
        bits = None
        if all(len(row) == len(self.inputs) for row in rows):
            try:
                columns = [[int(row[word.name]) for row in rows] for word in self.inputs]
            except KeyError:
                pass  # said below
            else:
                bits = columns_to_bits(self.inputs, columns, len(rows), self.num_inputs)
        if bits is not None:
            return bits
        for number, row in enumerate(rows, start=first):
            try:
                values_to_bits(self.inputs, row, self.num_inputs)
            except InputError as error:
                raise InputError(error.message, where=f"row {number}", hint=error.hint) from None
        raise AssertionError("a block of rows that do not fit has a row that does not")

    def digest(self) -> str:
        return self.circuit.digest()

    def to_json(self) -> dict[str, Any]:
        registers = [asdict(register) for register in self.registers]
        return {
            "inputs": [{"name": word.name, "bits": word.bits} for word in self.inputs],
            "outputs": [{"name": word.name, "bits": word.bits} for word in self.outputs],
            "num_chain_tokens": self.num_chain_tokens,
            **({} if self.chain == "gates" else {"chain": self.chain}),
            **({"registers": registers} if registers else {}),
            **({"tokens": "placed"} if self.placed is not None else {}),
            **({} if self.packed is None else {"gates_per_token": self.packed.num_slots}),
            **({} if self.packed is None else {"levels_per_token": self.packed.num_levels}),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any], directory: Path) -> CircuitWords:
        """The inverse of ``to_json`` and ``write_files``.

        Raises:
            CheckpointError: the circuit is missing or does not fit.
            KeyError, TypeError, ValueError: a field is missing or wrong.
        """
        inputs, outputs = (
            tuple(Word(name=str(word["name"]), bits=tuple(int(bit) for bit in word["bits"])) for word in content[side])
            for side in ("inputs", "outputs")
        )
        registers = tuple(
            Register(name=str(one["name"]), next_name=str(one["next_name"]), initial=tuple(one["initial"]))
            for one in content.get("registers", ())
        )
        num_chain_tokens = int(content["num_chain_tokens"])
        chain = content.get("chain", "gates")
        if chain not in ("gates", "none"):
            raise ValueError(f"no chain {chain!r}")
        check_registers(registers, inputs, outputs)
        if content.get("tokens", "plain") not in ("plain", "placed"):
            raise ValueError(f"expected the tokens 'plain' or 'placed', found {content['tokens']!r}")
        num_inputs = sum(len(word.places) for word in inputs)
        is_placed = content.get("tokens") == "placed"
        circuit, schedule = load_circuit(directory, inputs, outputs)
        packed = None
        if "gates_per_token" in content:
            packed = schedule_packed(circuit, int(content["gates_per_token"]), int(content["levels_per_token"]))
            if not np.array_equal(plain_schedule(circuit, packed).wire, schedule.wire):
                raise CheckpointError(
                    "gates share tokens otherwise than this release packs them",
                    where=str(directory),
                    hint="compile it again, or use the release that made it",
                )
        return cls(
            inputs=inputs,
            outputs=outputs,
            num_chain_tokens=num_chain_tokens,
            registers=registers,
            circuit=circuit,
            schedule=schedule,
            chain=chain,
            placed=_place(circuit, chain, num_inputs, num_chain_tokens) if is_placed else None,
            packed=packed,
        )

    def write_files(self, directory: Path) -> None:
        save_circuit(self.circuit, self.schedule, directory)

    def facts(self) -> dict[str, str]:
        gates = count(self.circuit.num_gates, "gate")
        is_chain = self.chain == "gates"
        if self.packed is not None:
            gates += f", up to {self.packed.num_slots} a token"
        return {
            "chain": f"{count(self.num_chain_tokens, 'token')} for {gates}"
            if is_chain
            else f"none, {gates} in columns",
            "inputs": first_few([f"{word.name} ({word.width})" for word in self.inputs]),
            "outputs": first_few([f"{word.name} ({word.width})" for word in self.outputs]),
        }


def _place(circuit: Circuit, chain: Chain, num_inputs: int, num_chain_tokens: int) -> PlacedTokens:
    """The tokens of a model whose tokens say where they stand."""
    if chain == "gates":
        return place_bits(num_inputs, num_chain_tokens)
    return place_without_chain(circuit_depth_construction(circuit, 1))[1]
