"""Model: a transformer together with what its tokens mean, as it lies in a checkpoint directory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from serialformer.architecture import Activation, DtypeName
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.read_write import read_sequential
from serialformer.circuits.sequential.registers import Fill, Register
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.circuits.sequential.simulation import Cycle, Simulation
from serialformer.circuits.word_columns import bits_to_columns, columns_to_bits
from serialformer.circuits.words import Word, bits_to_values, values_to_bits
from serialformer.compile.compile import Target, compile_circuit
from serialformer.compile.program import EQUALS
from serialformer.compile.schedule import Schedule
from serialformer.decode.engine import Engine, Progress, make_engine
from serialformer.decode.transcript import Transcript
from serialformer.errors import CheckpointError, EngineError, InputError
from serialformer.files import new_directory
from serialformer.manifest import (
    Manifest,
    load_circuit,
    load_manifest,
    save_certificate,
    save_circuit,
    save_manifest,
)
from serialformer.notebook import fact_table, first_few
from serialformer.proofs.certificate import Certificate
from serialformer.transformer.checkpoint import load_transformer, save_transformer
from serialformer.transformer.transformer import Transformer

MAX_ROWS_A_BLOCK = 1 << 16
"""Of a batch: rows take some hundred bytes each while they are read and written."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A compiled circuit: the transformer and the words of its prompt and answer.

    Attributes:
        transformer: the weights.
        manifest: what the tokens mean.
        circuit: the circuit that was compiled, for traces and for verification; decoding never looks at it.
        schedule: which chain token writes which gate of it.
        directory: where the model lies, if it does.
        certificate: the proof made when it was compiled; ``proof.certify`` makes one of any model.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("parity", build.xor(*build.inputs("a", 2)))
    >>> compile_model(build.circuit()).run(a=0b10)["parity"]
    1
    """

    transformer: Transformer
    manifest: Manifest
    circuit: Circuit
    schedule: Schedule
    directory: Path | None = None
    certificate: Certificate | None = None

    @property
    def inputs(self) -> tuple[Word, ...]:
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[Word, ...]:
        return self.manifest.outputs

    @property
    def registers(self) -> tuple[Register, ...]:
        """Of a sequential circuit: the first words of prompt and answer, which are state and next state."""
        return self.manifest.registers

    def engine(self, name: str = "auto") -> Engine:
        """A decoding engine for this model; see ``ENGINE_NAMES``. ``auto`` is the fastest for one input at a time."""
        return make_engine(name, self.transformer, self.directory)

    def batch_engine(self, name: str = "auto") -> Engine:
        """The same for many inputs at a time."""
        sliced = name == "auto" and self.transformer.architecture.is_gpt2
        return self.engine("sliced" if sliced else name)

    def run(
        self,
        values: Mapping[str, int] | None = None,
        /,
        *,
        engine: str | Engine = "auto",
        max_tokens: int | None = None,
        progress: Progress | None = None,
        **named: int,
    ) -> Transcript:
        """Thinks through one input and returns the transcript, a mapping of the output words.

        Args:
            values: a value for each input word; or give them by name.
            engine: the name of an engine, or one made before.
            max_tokens: stop after so many chain tokens; a chain that is cut so has no outputs.
            progress: called with the number of tokens made.
            named: further values.

        Raises:
            InputError: a value is missing, unknown or too large.
        """
        bits = values_to_bits(self.inputs, {**(values or {}), **named}, self.manifest.num_inputs)[None]
        chosen = self.engine(engine) if isinstance(engine, str) else engine
        prompts, num_tokens = self.prompts(bits), self._num_tokens(max_tokens)
        started = time.perf_counter()
        chains = chosen.generate(prompts, num_tokens, progress)
        seconds = time.perf_counter() - started
        self._check(chains, num_tokens)
        whole = num_tokens == self.manifest.num_chain_tokens
        return Transcript(
            vocabulary=self.transformer.architecture.vocabulary,
            prompt=prompts[0],
            chain=chains[0],
            outputs=bits_to_values(self.outputs, self.answers(chains)[0]) if whole else {},
            engine=chosen.name,
            seconds=seconds,
        )

    def stream(
        self,
        values: Mapping[str, int] | None = None,
        /,
        *,
        engine: str | Engine = "auto",
        max_tokens: int | None = None,
        **named: int,
    ) -> Iterator[int]:
        """The ids of the chain tokens, as the model makes them; see ``run``.

        Engines make tokens one by one or in blocks; ``hf`` makes them all before the first is seen. The chain ends
        where the model ends it: nothing checks here that its tokens are bits.

        >>> from serialformer.circuits.builder import CircuitBuilder
        >>> build = CircuitBuilder()
        >>> build.output("parity", build.xor(*build.inputs("a", 2)))
        >>> list(compile_model(build.circuit()).stream(a=0b10))
        [1]
        """
        bits = values_to_bits(self.inputs, {**(values or {}), **named}, self.manifest.num_inputs)[None]
        chosen = self.engine(engine) if isinstance(engine, str) else engine
        blocks = chosen.stream(self.prompts(bits), self._num_tokens(max_tokens))
        return (token for block in blocks for token in block[0].tolist())

    def simulation(
        self,
        initial: Mapping[str, int] | None = None,
        *,
        fill: Fill | None = None,
        generator: np.random.Generator | None = None,
        engine: str | Engine = "auto",
    ) -> Simulation:
        """A run of a sequential circuit before its first cycle: each cycle is a prompt and a chain of its own.

        Args:
            initial: values of registers before the first cycle; those that are missing begin as the circuit says.
            fill: what the bits begin with of which neither says anything: ``zero`` or ``random``.
            generator: for ``random``.
            engine: the name of an engine, or one made before.

        Raises:
            InputError: a register has no initial value, or a name or a value does not fit.

        >>> from serialformer.circuits.formats.aiger.aiger import parse_sequential_aiger
        >>> toggle = parse_sequential_aiger(b"aag 1 0 1 1 0\\n2 3\\n2\\nl0 q\\n", name="toggle.aag")
        >>> simulation = compile_model(toggle).simulation()
        >>> [simulation.step().outputs["out"] for _ in range(4)], simulation.state
        ([0, 1, 0, 1], {'q': 0})
        """
        chosen = self.engine(engine) if isinstance(engine, str) else engine

        def think(bits: UInt8[np.ndarray, "rows given"]) -> UInt8[np.ndarray, "rows made"]:
            return self.run_bits(bits, engine=chosen)

        return Simulation(self.inputs, self.outputs, self.registers, think, initial, fill=fill, generator=generator)

    def simulate(
        self,
        stimulus: Iterable[Mapping[str, int]],
        initial: Mapping[str, int] | None = None,
        *,
        fill: Fill | None = None,
        generator: np.random.Generator | None = None,
        engine: str | Engine = "auto",
    ) -> Iterator[Cycle]:
        """The cycles that the model thinks through, one for each mapping of input words to values."""
        return self.simulation(initial, fill=fill, generator=generator, engine=engine).run(stimulus)

    def step(
        self, state: Mapping[str, int], inputs: Mapping[str, int] | None = None, *, engine: str | Engine = "auto"
    ) -> Cycle:
        """One cycle from a state; ``cycle.next_state`` is the state after it.

        Args:
            state: values of the registers; those that are missing hold what the circuit says they begin with.
            inputs: a value for each input word that is no register.
            engine: the name of an engine, or one made before, which many steps should share.

        Raises:
            InputError: a value is missing, unknown or too large.
        """
        return self.simulation(state, engine=engine).step(inputs)

    def run_many(
        self, rows: Iterable[Mapping[str, int]], *, engine: str | Engine = "auto", progress: Progress | None = None
    ) -> Iterator[dict[str, int]]:
        """The output words for each row of input words, in order, a block of rows at a time.

        Rows are taken only as they are needed, so there may be any number of them.

        Args:
            rows: a value for each input word, row by row.
            engine: the name of an engine, or one made before.
            progress: called with the number of rows done.

        Raises:
            InputError: a value of a row is missing, unknown or too large; rows count from 1. The blocks before that
                row's have been yielded by then.
        """
        chosen = self.batch_engine(engine) if isinstance(engine, str) else engine
        remaining, done = iter(rows), 0
        names = [word.name for word in self.outputs]
        while block := list(islice(remaining, self.rows_a_block(chosen))):
            answers = self.run_bits(self._rows_to_bits(block, done + 1), engine=chosen)
            if names:
                for values in zip(*bits_to_columns(self.outputs, answers), strict=True):
                    yield dict(zip(names, values, strict=True))
            else:
                yield from ({} for _ in block)
            done += len(block)
            if progress is not None:
                progress(len(block))

    def run_bits(
        self, bits: UInt8[np.ndarray, "rows inputs"], *, engine: str | Engine = "auto"
    ) -> UInt8[np.ndarray, "rows outputs"]:
        """The output bits for each row of input bits, both in the order of the words' places."""
        chosen = self.batch_engine(engine) if isinstance(engine, str) else engine
        size = self.rows_a_block(chosen)
        answers = np.empty((len(bits), self.manifest.num_outputs), dtype=np.uint8)
        for start in range(0, len(bits), size):
            block = bits[start : start + size]
            last = chosen.final_tokens(self.prompts(block), self.manifest.num_chain_tokens, self.manifest.num_outputs)
            if last.shape[1] < self.manifest.num_outputs or (last >= EQUALS).any():
                last = self.answers(self.think(block, chosen))  # which says where the chain ended
            answers[start : start + size] = last
        return answers

    def rows_a_block(self, engine: Engine) -> int:
        """How many rows to run together: what the engine likes, within what memory can hold."""
        return max(1, min(engine.rows_at_once(self.manifest.num_tokens), MAX_ROWS_A_BLOCK))

    def prompts(self, bits: UInt8[np.ndarray, "rows inputs"]) -> Int64[np.ndarray, "rows prompt"]:
        """Token ids of the prompts: the input bits, then ``=``."""
        prompts = np.full((len(bits), bits.shape[1] + 1), EQUALS, dtype=np.int64)
        prompts[:, :-1] = bits
        return prompts

    def think(
        self, bits: UInt8[np.ndarray, "rows inputs"], engine: Engine, progress: Progress | None = None
    ) -> Int64[np.ndarray, "rows chain"]:
        """The chains that an engine makes, shorter than ``num_chain_tokens`` if the model ends them early."""
        return engine.generate(self.prompts(bits), self.manifest.num_chain_tokens, progress)

    def answers(self, chains: Int64[np.ndarray, "rows chain"]) -> UInt8[np.ndarray, "rows outputs"]:
        """The output bits at the end of each chain.

        Raises:
            EngineError: a chain is not made of bits, so the weights are not what was compiled.
        """
        num_chain = self.manifest.num_chain_tokens
        self._check(chains, num_chain)
        return chains[:, num_chain - self.manifest.num_outputs : num_chain].astype(np.uint8)

    def _check(self, chains: Int64[np.ndarray, "rows chain"], num_tokens: int) -> None:
        """Refuses chains that are shorter than asked for, or not made of bits."""
        strange = bool(chains.size) and int(chains.max()) >= EQUALS
        if chains.shape[1] < num_tokens or strange:
            broken = int(np.argmax((chains >= EQUALS).any(axis=0))) if strange else chains.shape[1]
            raise EngineError(
                f"the model ended its chain at token {broken} of {self.manifest.num_chain_tokens}",
                where=None if self.directory is None else str(self.directory),
                hint="its weights are not as compiled; compile it again",
            )

    def _num_tokens(self, max_tokens: int | None) -> int:
        if max_tokens is not None and max_tokens < 0:
            raise InputError(f"expected a number of tokens, found {max_tokens}", where="max_tokens")
        num_chain = self.manifest.num_chain_tokens
        return num_chain if max_tokens is None else min(max_tokens, num_chain)

    def _rows_to_bits(self, rows: Sequence[Mapping[str, int]], first: int) -> UInt8[np.ndarray, "rows inputs"]:
        """The bits of rows of values; ``first`` is the number of the first row, for the error."""
        num_inputs = self.manifest.num_inputs
        bits = None
        if all(len(row) == len(self.inputs) for row in rows):
            try:
                columns = [[int(row[word.name]) for row in rows] for word in self.inputs]
            except KeyError:
                pass  # said below
            else:
                bits = columns_to_bits(self.inputs, columns, len(rows), num_inputs)
        if bits is not None:
            return bits
        for number, row in enumerate(rows, start=first):
            try:
                values_to_bits(self.inputs, row, num_inputs)
            except InputError as error:
                raise InputError(error.message, where=f"row {number}", hint=error.hint) from None
        raise AssertionError("a block of rows that do not fit has a row that does not")

    def save(self, directory: str | os.PathLike[str]) -> Model:
        """Writes the checkpoint directory, whole or not at all, and returns the model that lies there.

        Raises:
            CheckpointError: the directory exists, or cannot be written.
        """
        with new_directory(directory) as target:
            save_transformer(self.transformer, target, num_new_tokens=self.manifest.num_chain_tokens)
            save_circuit(self.circuit, self.schedule, target)
            save_manifest(self.manifest, target)
            if self.certificate is not None:
                save_certificate(self.certificate, self.circuit, target)
        return replace(self, directory=Path(directory))

    def _repr_html_(self) -> str:
        """What a notebook shows: the shape, the words, and where the model lies."""
        shape, details = self.transformer.architecture, self.manifest.details
        return fact_table(
            "Model",
            {
                "kind": f"{self.manifest.kind}, {shape.dtype}",
                "shape": f"{shape.num_layers} layer, {shape.num_heads} heads, width {shape.width},"
                f" {self.transformer.num_parameters:,} parameters",
                "chain": f"{self.manifest.num_chain_tokens:,} tokens for {details['gates']:,} gates",
                "inputs": first_few([f"{word.name} ({word.width})" for word in self.inputs]),
                "outputs": first_few([f"{word.name} ({word.width})" for word in self.outputs]),
                "directory": "not saved" if self.directory is None else str(self.directory),
            },
        )


def compile_model(
    source: Circuit | SequentialCircuit | str | os.PathLike[str],
    *,
    target: Target = "gpt2",
    dtype: DtypeName | None = None,
    activation: Activation | None = None,
    attention_gap: float | None = None,
    precision: int | None = None,
) -> Model:
    """Compiles a circuit, or the circuit in a file, into a model. See ``compile_circuit`` for the options.

    Of a sequential circuit it compiles one clock cycle; ``Model.simulate`` feeds the state back.
    """
    given = read_sequential(source) if isinstance(source, str | os.PathLike) else source
    registers = given.registers if isinstance(given, SequentialCircuit) else ()
    compiled = compile_circuit(
        given.circuit if isinstance(given, SequentialCircuit) else given,
        target=target,
        dtype=dtype,
        activation=activation,
        attention_gap=attention_gap,
        precision=precision,
    )
    circuit = compiled.circuit
    assert circuit.input_words is not None and circuit.output_words is not None
    details: dict[str, Any] = {
        "gates": circuit.num_gates,
        "depth": circuit.depth,
        "source": Path(source).name if isinstance(source, str | os.PathLike) else None,
        "circuit_sha256": circuit.digest(),
        "layout": {
            key: value
            for key, value in asdict(compiled.residual).items()
            if key in ("num_heads", "name_length", "code_length", "width")
        },
        "margins": {
            "attention_gap": compiled.certificate.attention.exact,
            "rounded_attention_gap": compiled.certificate.attention.rounded,
            "logit_margin": compiled.certificate.logits.exact,
            "rounded_logit_margin": compiled.certificate.logits.rounded,
        },
    }
    if target != "gpt2":
        details["target"] = target
    manifest = Manifest(
        kind="circuit",
        inputs=circuit.input_words,
        outputs=circuit.output_words,
        num_chain_tokens=compiled.program.num_chain_tokens,
        details=details,
        registers=registers,
    )
    return Model(
        transformer=compiled.transformer,
        manifest=manifest,
        circuit=circuit,
        schedule=compiled.schedule,
        certificate=compiled.certificate,
    )


def load(directory: str | os.PathLike[str]) -> Model:
    """Reads a checkpoint directory that ``Model.save`` wrote.

    Raises:
        CheckpointError: it is not one, or a part is missing or does not fit the others.
    """
    path = Path(directory)
    if not path.is_dir():
        raise CheckpointError("no such checkpoint directory", where=str(path), hint="serialformer compile makes one")
    manifest = load_manifest(path)
    circuit, schedule = load_circuit(path, manifest)
    transformer = load_transformer(path)
    if transformer.architecture.num_positions < manifest.num_tokens:
        raise CheckpointError(
            f"{manifest.num_tokens} tokens do not fit {transformer.architecture.num_positions} positions",
            where=str(path / "serialformer.json"),
        )
    return Model(transformer=transformer, manifest=manifest, circuit=circuit, schedule=schedule, directory=path)
