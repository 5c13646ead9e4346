"""Model: a transformer together with what its tokens mean, as it lies in a checkpoint directory."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from serialformer.architecture import Activation, DtypeName
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats import read
from serialformer.circuits.words import Word, bits_to_values, values_to_bits
from serialformer.compile.compile import compile_circuit
from serialformer.compile.program import EQUALS
from serialformer.compile.schedule import Schedule
from serialformer.decode.engine import Engine, Progress, make_engine
from serialformer.decode.transcript import Transcript
from serialformer.errors import CheckpointError, EngineError
from serialformer.files import refuse_os_errors
from serialformer.manifest import Manifest, load_circuit, load_manifest, save_circuit, save_manifest
from serialformer.transformer.checkpoint import load_transformer, save_transformer
from serialformer.transformer.transformer import Transformer


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A compiled circuit: the transformer and the words of its prompt and answer.

    Attributes:
        transformer: the weights.
        manifest: what the tokens mean.
        circuit: the circuit that was compiled, for traces and for verification; decoding never looks at it.
        schedule: which chain token writes which gate of it.
        directory: where the model lies, if it does.

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

    @property
    def inputs(self) -> tuple[Word, ...]:
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[Word, ...]:
        return self.manifest.outputs

    def engine(self, name: str = "auto") -> Engine:
        """A decoding engine for this model; see ``ENGINE_NAMES``."""
        return make_engine(name, self.transformer, self.directory)

    def run(
        self,
        values: Mapping[str, int] | None = None,
        /,
        *,
        engine: str | Engine = "auto",
        progress: Progress | None = None,
        **named: int,
    ) -> Transcript:
        """Thinks through one input and returns the transcript, a mapping of the output words.

        Args:
            values: a value for each input word; or give them by name.
            engine: the name of an engine, or one made before.
            progress: called with the number of tokens made.
            named: further values.

        Raises:
            InputError: a value is missing, unknown or too large.
        """
        bits = values_to_bits(self.inputs, {**(values or {}), **named}, self.manifest.num_inputs)
        chosen = self.engine(engine) if isinstance(engine, str) else engine
        started = time.perf_counter()
        chain = self.think(bits[None], chosen, progress)[0]
        seconds = time.perf_counter() - started
        return Transcript(
            vocabulary=self.transformer.architecture.vocabulary,
            prompt=self.prompts(bits[None])[0],
            chain=chain,
            outputs=bits_to_values(self.outputs, self.answers(chain[None])[0]),
            engine=chosen.name,
            seconds=seconds,
        )

    def run_many(
        self, rows: Sequence[Mapping[str, int]], *, engine: str | Engine = "auto", progress: Progress | None = None
    ) -> Iterator[dict[str, int]]:
        """The output words for each row of input words, in order, a block of rows at a time."""
        chosen = self.engine(engine) if isinstance(engine, str) else engine
        size = chosen.rows_at_once(self.manifest.num_tokens)
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            bits = np.array([values_to_bits(self.inputs, row, self.manifest.num_inputs) for row in block])
            for answer in self.answers(self.think(bits, chosen)):
                yield bits_to_values(self.outputs, answer)
            if progress is not None:
                progress(len(block))

    def prompts(self, bits: UInt8[np.ndarray, "rows inputs"]) -> Int64[np.ndarray, "rows prompt"]:
        """Token ids of the prompts: the input bits, then ``=``."""
        return np.pad(bits.astype(np.int64), ((0, 0), (0, 1)), constant_values=EQUALS)

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
        num_chain, num_outputs = self.manifest.num_chain_tokens, self.manifest.num_outputs
        if chains.shape[1] < num_chain or (chains >= EQUALS).any():
            broken = np.argmax((chains >= EQUALS).any(axis=0)) if (chains >= EQUALS).any() else chains.shape[1]
            raise EngineError(
                f"the model ended its chain at token {broken} of {num_chain}",
                where=None if self.directory is None else str(self.directory),
                hint="its weights are not as compiled; compile it again",
            )
        return chains[:, num_chain - num_outputs : num_chain].astype(np.uint8)

    def save(self, directory: str | os.PathLike[str]) -> Model:
        """Writes the checkpoint directory, whole or not at all, and returns the model that lies there.

        Raises:
            CheckpointError: the directory exists, or cannot be written.
        """
        target = Path(directory)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with refuse_os_errors(str(target)):
                if target.exists() or target.is_symlink():
                    raise CheckpointError("exists already", where=str(target), hint="remove it or choose another name")
                temporary.mkdir()
                save_transformer(self.transformer, temporary, num_new_tokens=self.manifest.num_chain_tokens)
                save_circuit(self.circuit, self.schedule, temporary)
                save_manifest(self.manifest, temporary)
                temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return replace(self, directory=target)


def compile_model(
    source: Circuit | str | os.PathLike[str],
    *,
    dtype: DtypeName = "float32",
    activation: Activation = "gelu_new",
    attention_gap: float | None = None,
) -> Model:
    """Compiles a circuit, or the circuit in a file, into a model. See ``compile_circuit`` for the options."""
    circuit = source if isinstance(source, Circuit) else read(source)
    compiled = compile_circuit(circuit, dtype=dtype, activation=activation, attention_gap=attention_gap)
    assert circuit.input_words is not None and circuit.output_words is not None
    details: dict[str, Any] = {
        "gates": circuit.num_gates,
        "depth": circuit.depth,
        "source": None if isinstance(source, Circuit) else Path(source).name,
        "circuit_sha256": circuit.digest(),
        "layout": {
            "num_heads": compiled.residual.num_heads,
            "name_length": compiled.residual.name_length,
            "width": compiled.residual.width,
        },
        "margins": asdict(compiled.margins),
    }
    manifest = Manifest(
        kind="circuit",
        inputs=circuit.input_words,
        outputs=circuit.output_words,
        num_chain_tokens=compiled.program.num_chain_tokens,
        details=details,
    )
    return Model(transformer=compiled.transformer, manifest=manifest, circuit=circuit, schedule=compiled.schedule)


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
