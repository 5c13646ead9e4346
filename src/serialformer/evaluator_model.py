"""EvaluatorModel: the transformer that evaluates any circuit given in its prompt, as it lies in a directory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from serialformer.architecture import Activation, DtypeName
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.value_problem import (
    GATE_TYPES,
    NO_GATE,
    TOKENS_A_GATE,
    Translation,
    ValueProblem,
    read_value_problem,
    translate_circuit,
)
from serialformer.circuits.words import bits_to_values, values_to_bits, words_to_names
from serialformer.compile.evaluator import construct_evaluator
from serialformer.compile.evaluator_layout import KINDS
from serialformer.decode.engine import Engine, Progress, make_engine
from serialformer.decode.transcript import Transcript
from serialformer.errors import CheckpointError, EngineError, InputError
from serialformer.files import new_directory
from serialformer.manifest import EVALUATOR_KIND, MANIFEST_FILE, Manifest, load_manifest, save_manifest
from serialformer.transformer.checkpoint import load_transformer, save_transformer
from serialformer.transformer.transformer import Transformer


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluatorModel:
    """A GPT-2 that knows no circuit and evaluates every one of up to ``num_gates`` gates that it is asked about.

    Attributes:
        transformer: the weights.
        manifest: what the tokens mean.
        directory: where the model lies, if it does.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("parity", build.xor(*build.inputs("a", 2)))
    >>> evaluator = make_evaluator(8)
    >>> evaluator.run(build.circuit(), a=0b10)["parity"]
    1
    >>> evaluator.run_prompt("TRUE NA NA 1 NOT 1 NA 2").text
    'TRUE NA NA 1 NOT 1 NA 2 = TRUE NA NA TRUE NOT TRUE NA FALSE'
    """

    transformer: Transformer
    manifest: Manifest
    directory: Path | None = None

    @property
    def num_gates(self) -> int:
        """The most gates that a circuit may have, once it is constants, AND, OR and NOT."""
        return self.manifest.num_chain_tokens // TOKENS_A_GATE

    def engine(self, name: str = "auto") -> Engine:
        """A decoding engine for this model; see ``ENGINE_NAMES``."""
        return make_engine(name, self.transformer, self.directory)

    def run(
        self,
        circuit: Circuit,
        values: Mapping[str, int] | None = None,
        /,
        *,
        engine: str | Engine = "auto",
        max_tokens: int | None = None,
        progress: Progress | None = None,
        **named: int,
    ) -> Transcript:
        """Thinks through a circuit and returns the transcript, a mapping of the circuit's output words.

        Args:
            circuit: any circuit; ``translate_circuit`` makes the prompt of it.
            values: a value for each input word; or give them by name.
            engine: the name of an engine, or one made before.
            max_tokens: stop after so many chain tokens; a chain that is cut so has no outputs.
            progress: called with the number of tokens made.
            named: further values.

        Raises:
            InputError: a value is missing, unknown or too large, or the circuit takes more gates than there are.
        """
        assert circuit.input_words is not None and circuit.output_words is not None
        bits = values_to_bits(circuit.input_words, {**(values or {}), **named}, circuit.num_inputs)
        translation = translate_circuit(circuit)
        transcript = self._think(translation.with_inputs(bits), engine, max_tokens, progress)
        if len(transcript.chain) < TOKENS_A_GATE * translation.problem.num_gates:
            return transcript
        truths = self._own_values(transcript.chain)[translation.gate_of_output - 1]
        return replace(transcript, outputs=bits_to_values(circuit.output_words, truths.astype(np.uint8)))

    def run_prompt(self, text: str, *, engine: str | Engine = "auto", progress: Progress | None = None) -> Transcript:
        """Thinks through a circuit value problem as it is typed; the one output, ``value``, is the last gate's.

        Args:
            text: four tokens a gate, separated by blanks, with or without the ``=``.
            engine: the name of an engine, or one made before.
            progress: called with the number of tokens made.

        Raises:
            SerialformerError: the text is no such problem, or has more gates than there are.
        """
        problem = read_value_problem(text.split())
        transcript = self._think(problem, engine, None, progress)
        truths = self._own_values(transcript.chain)
        return replace(transcript, outputs={"value": int(truths[-1])} if len(truths) else {})

    def prompt(self, problem: ValueProblem) -> Int64[np.ndarray, " prompt"]:
        """The token ids of a problem, ``=`` included.

        Raises:
            InputError: it has more gates than the model is made for.
        """
        if problem.num_gates > self.num_gates:
            raise InputError(
                f"the circuit takes {problem.num_gates:,} gates of TRUE, FALSE, AND, OR and NOT; this evaluator is made"
                f" for {self.num_gates:,}",
                where=None if self.directory is None else str(self.directory),
                hint=f"serialformer evaluator --gates {problem.num_gates} makes one that is large enough",
            )
        # Ids are the tokens 0.. in order, the kinds stand behind them as in KINDS.
        first = self.num_gates
        tokens = np.empty((problem.num_gates, TOKENS_A_GATE), dtype=np.int64)
        tokens[:, 0] = first + np.array([KINDS.index(name) for name in GATE_TYPES])[problem.kind]
        tokens[:, 1:3] = np.where(problem.reads == NO_GATE, first + KINDS.index("NA"), problem.reads - 1)
        tokens[:, 3] = np.arange(problem.num_gates)
        return np.append(tokens.ravel(), first + KINDS.index("="))

    def _think(
        self, problem: ValueProblem, engine: str | Engine, max_tokens: int | None, progress: Progress | None
    ) -> Transcript:
        if max_tokens is not None and max_tokens < 0:
            raise InputError(f"expected a number of tokens, found {max_tokens}", where="max_tokens")
        prompt, num_tokens = self.prompt(problem), TOKENS_A_GATE * problem.num_gates
        num_tokens = num_tokens if max_tokens is None else min(max_tokens, num_tokens)
        chosen = self.engine(engine) if isinstance(engine, str) else engine
        started = time.perf_counter()
        chain = chosen.generate(prompt[None], num_tokens, progress)[0]
        seconds = time.perf_counter() - started
        own = chain[TOKENS_A_GATE - 1 :: TOKENS_A_GATE] - self.num_gates
        strange = (own != KINDS.index("TRUE")) & (own != KINDS.index("FALSE"))
        if len(chain) < num_tokens or strange.any():
            gate = int(np.argmax(strange)) if strange.any() else len(chain) // TOKENS_A_GATE
            raise EngineError(
                f"the model gave gate {gate + 1} of {problem.num_gates} no value",
                where=None if self.directory is None else str(self.directory),
                hint="its weights are not as constructed; make it again",
            )
        return Transcript(
            vocabulary=self.transformer.architecture.vocabulary,
            prompt=prompt,
            chain=chain,
            outputs={},
            engine=chosen.name,
            seconds=seconds,
        )

    def _own_values(self, chain: Int64[np.ndarray, " chain"]) -> Int64[np.ndarray, " gates"]:
        """The value of each gate, 0 or 1."""
        own = chain[TOKENS_A_GATE - 1 :: TOKENS_A_GATE] - self.num_gates
        return (own == KINDS.index("TRUE")).astype(np.int64)

    def save(self, directory: str | os.PathLike[str]) -> EvaluatorModel:
        """Writes the checkpoint directory, whole or not at all, and returns the model that lies there.

        Raises:
            SerialformerError: the directory exists, or cannot be written.
        """
        with new_directory(directory) as target:
            save_transformer(self.transformer, target, num_new_tokens=self.manifest.num_chain_tokens)
            save_manifest(self.manifest, target)
        return replace(self, directory=Path(directory))


def make_evaluator(
    num_gates: int, *, dtype: DtypeName = "float32", activation: Activation = "gelu_new"
) -> EvaluatorModel:
    """An evaluator of circuits of up to ``num_gates`` gates. See ``construct_evaluator`` for the options."""
    evaluator = construct_evaluator(num_gates, dtype=dtype, activation=activation)
    manifest = Manifest(
        kind=EVALUATOR_KIND,
        inputs=(),
        outputs=(),
        num_chain_tokens=TOKENS_A_GATE * num_gates,
        details={
            "gates": num_gates,
            "moduli": list(evaluator.layout.moduli),
            "margins": asdict(evaluator.margins),
        },
    )
    return EvaluatorModel(transformer=evaluator.transformer, manifest=manifest)


def load_evaluator(directory: str | os.PathLike[str]) -> EvaluatorModel:
    """Reads a checkpoint directory that ``EvaluatorModel.save`` wrote.

    Raises:
        CheckpointError: it is not one, or its parts do not fit each other.
    """
    path = Path(directory)
    if not path.is_dir():
        raise CheckpointError("no such checkpoint directory", where=str(path), hint="serialformer evaluator makes one")
    manifest = load_manifest(path, EVALUATOR_KIND)
    transformer = load_transformer(path)
    num_gates = manifest.num_chain_tokens // TOKENS_A_GATE
    architecture = transformer.architecture
    expected = (*(str(gate) for gate in range(1, num_gates + 1)), *KINDS)
    if architecture.vocabulary[: len(expected)] != expected or architecture.num_positions < 8 * num_gates + 1:
        raise CheckpointError(
            f"vocabulary and positions are not those of an evaluator of {num_gates} gates",
            where=str(path / MANIFEST_FILE),
        )
    return EvaluatorModel(transformer=transformer, manifest=manifest, directory=path)


def evaluator_trace_lines(circuit: Circuit, transcript: Transcript) -> Iterator[str]:
    """One line a gate of the chain, such as ``g7 AND g3=TRUE g5=FALSE = FALSE  carry[1] @60``.

    The name is that of the circuit's input, gate or output whose value it is, if it is one and has one; ``@`` is the
    position of the gate's own value in the sequence.
    """
    translation = translate_circuit(circuit)
    names = _names(circuit, translation)
    said = [transcript.vocabulary[token] for token in transcript.chain]
    reads = translation.problem.reads.tolist()
    for gate in range(len(said) // TOKENS_A_GATE):
        kind, first, second, own = said[TOKENS_A_GATE * gate : TOKENS_A_GATE * (gate + 1)]
        values = zip(reads[gate], (first, second), strict=True)
        sources = "".join(f" g{source}={value}" for source, value in values if source != NO_GATE)
        position = len(transcript.prompt) + TOKENS_A_GATE * gate + TOKENS_A_GATE - 1
        yield f"g{gate + 1} {kind}{sources} = {own}  {names[gate]}{' ' if names[gate] else ''}@{position}"


def _names(circuit: Circuit, translation: Translation) -> list[str]:
    """For each gate what the circuit calls its value."""
    assert circuit.input_words is not None and circuit.output_words is not None
    inputs = words_to_names(circuit.input_words, circuit.num_inputs)
    names: list[list[str]] = [[] for _ in range(translation.problem.num_gates)]
    for gate, wire in enumerate(translation.wire_of_gate.tolist()):
        if wire == NO_WIRE:
            continue
        if wire < circuit.num_inputs:
            names[gate].append(inputs[wire])
        elif circuit.gate_names:
            names[gate].append(circuit.gate_names[wire - circuit.num_inputs])
    outputs = words_to_names(circuit.output_words, circuit.num_outputs)
    for name, gate in zip(outputs, translation.gate_of_output.tolist(), strict=True):
        names[gate - 1].append(name)
    return [" ".join(dict.fromkeys(name for name in of_gate if name)) for of_gate in names]
