"""Model: a transformer, what it can be asked, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from serialformer.arrays import Int64, UInt8
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.sequential.registers import Fill, Register
from serialformer.circuits.sequential.simulation import Cycle, Simulation
from serialformer.circuits.word_columns import bits_to_columns
from serialformer.circuits.words import Word
from serialformer.constructions.placed_tokens import PlacedTokens
from serialformer.constructions.program import EQUALS
from serialformer.constructions.schedule import Schedule
from serialformer.decode.engine import Engine, Progress, make_engine
from serialformer.errors import InputError
from serialformer.files import new_directory
from serialformer.models.card import write_card
from serialformer.models.certificate_file import StoredCertificate, save_certificate
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.manifest import write_manifest
from serialformer.models.protocol import Protocol, Run
from serialformer.models.provenance import Provenance
from serialformer.models.task_items import TaskItems
from serialformer.models.transcript import Transcript
from serialformer.notebook import count, fact_table
from serialformer.proofs.certificate import Certificate
from serialformer.tasks.examples import Examples
from serialformer.tasks.task import Task
from serialformer.transformer.checkpoint import save_transformer
from serialformer.transformer.transformer import Transformer

if TYPE_CHECKING:
    from serialformer.explorer.inline import InlinePage
    from serialformer.models.activations import Activations
    from serialformer.models.ground_truth import GroundTruth

MAX_ROWS_PER_BLOCK = 1 << 16
"""Of a batch: rows take some hundred bytes each while they are read and written."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Model:
    """A transformer with its protocol: compiled, constructed or trained, nothing here asks which.

    What a model can be asked depends on its protocol: ``CircuitWords`` (values of input words), ``TaskItems`` (a prompt
    of a task, as text) or ``CircuitPrompt`` (a circuit and values of its input words). Whoever asks for something else
    gets an InputError that says how the model is asked.

    Attributes:
        transformer: the weights.
        protocol: what it can be asked, and what its tokens mean.
        provenance: where it comes from, and the names of its directions, heads and hidden units.
        proof: its certificate, or the stored one, which is checked when it is first asked for.
        directory: where the model lies, if it does.

    Raises:
        SerialformerError: the protocol does not fit the transformer's vocabulary or positions.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("parity", build.xor(*build.inputs("a", 2)))
    >>> model = compile(build.circuit())
    >>> model
    Model(circuit: 1 gate, 1 chain token; gpt2 float32, 1 layer, 2 heads, width 32; certified)
    >>> model.run(a=0b10)["parity"]
    1
    """

    transformer: Transformer
    protocol: Protocol
    provenance: Provenance = field(default_factory=Provenance)
    proof: Certificate | StoredCertificate | None = None
    directory: Path | None = None

    def __post_init__(self) -> None:
        self.protocol.check(self.transformer.architecture)

    @property
    def certificate(self) -> Certificate | None:
        """What was proven of these weights and this circuit; None if nothing was. ``certify`` proves it anew."""
        return self.proof.checked if isinstance(self.proof, StoredCertificate) else self.proof

    @property
    def words(self) -> CircuitWords:
        """The protocol of a compiled circuit.

        Raises:
            InputError: the model is none.
        """
        if isinstance(self.protocol, CircuitWords):
            return self.protocol
        raise self._refuse("a compiled circuit")

    @property
    def placed(self) -> PlacedTokens | None:
        """Its tokens, if each says at which position it stands."""
        return self.protocol.placed if isinstance(self.protocol, CircuitWords | TaskItems) else None

    @property
    def items(self) -> TaskItems:
        """The protocol of a model of a task; of an evaluator, that of the task circuit-value.

        Raises:
            InputError: the model is a compiled circuit.
        """
        if isinstance(self.protocol, TaskItems):
            return self.protocol
        if isinstance(self.protocol, CircuitPrompt):
            return self.protocol.items
        raise self._refuse("a model of a task")

    @property
    def circuit_prompt(self) -> CircuitPrompt:
        """The protocol of an evaluator.

        Raises:
            InputError: the model is none.
        """
        if isinstance(self.protocol, CircuitPrompt):
            return self.protocol
        raise self._refuse("an evaluator of circuits")

    @property
    def num_new_tokens(self) -> int:
        """How many tokens it makes after a prompt of its full size: the chain, the answer included."""
        return self.protocol.num_new_tokens

    @property
    def inputs(self) -> tuple[Word, ...]:
        """Of a compiled circuit: the words of the prompt."""
        return self.words.inputs

    @property
    def outputs(self) -> tuple[Word, ...]:
        """Of a compiled circuit: the words of the answer."""
        return self.words.outputs

    @property
    def registers(self) -> tuple[Register, ...]:
        """Of a compiled circuit: the first words of prompt and answer that are state and next state."""
        return self.words.registers

    @property
    def circuit(self) -> Circuit:
        """Of a compiled circuit: the circuit, for traces and for verification; decoding never looks at it."""
        return self.words.circuit

    @property
    def schedule(self) -> Schedule:
        """Of a compiled circuit: which chain token writes which gate."""
        return self.words.schedule

    @property
    def task(self) -> Task:
        """Of a model of a task: the problem, with its parameters."""
        return self.items.task

    @property
    def length(self) -> int:
        """Of a model of a task: the number of items that it is made for."""
        return self.items.length

    @property
    def setting(self) -> str:
        """Of a model of a task: what it reads and predicts."""
        return self.items.setting

    @property
    def num_gates(self) -> int:
        """Of an evaluator: the most gates that a circuit may have, once it is constants, AND, OR and NOT."""
        return self.circuit_prompt.num_gates

    def engine(self, name: str = "auto") -> Engine:
        """A decoding engine for this model; see ``ENGINE_NAMES``. ``auto`` is the fastest for one input at a time."""
        return make_engine(name, self.transformer, self.directory)

    def batch_engine(self, name: str = "auto") -> Engine:
        """The same for many inputs at a time."""
        architecture = self.transformer.architecture
        sliced = name == "auto" and architecture.is_gpt2 and architecture.num_layers == 1
        engine = self.engine("sliced" if sliced else name)
        engine.announces = name != "auto"
        return engine

    @overload
    def run(
        self,
        values: Mapping[str, int] | None = None,
        /,
        *,
        engine: str | Engine = "auto",
        max_tokens: int | None = None,
        progress: Progress | None = None,
        **named: int,
    ) -> Transcript: ...
    @overload
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
    ) -> Transcript: ...
    @overload
    def run(
        self,
        text: str,
        /,
        *,
        engine: str | Engine = "auto",
        max_tokens: int | None = None,
        progress: Progress | None = None,
    ) -> Transcript: ...
    def run(
        self,
        question: Any = None,
        values: Mapping[str, int] | None = None,
        /,
        *,
        engine: str | Engine = "auto",
        max_tokens: int | None = None,
        progress: Progress | None = None,
        **named: int,
    ) -> Transcript:
        """Thinks through one question and returns the transcript.

        A compiled circuit takes a value for each input word, as a mapping or by name; an evaluator takes a circuit and
        these values. A model of a task takes its prompt as text, and so does an evaluator; the ``=`` at the end may be
        left out. The transcript is a mapping of the output words; where an evaluator was given text, its one output is
        ``value``, the value of the last gate. The transcript of a task has ``answer`` and ``expected``.

        Args:
            question: what the model is asked: values, a circuit, or text.
            values: of an evaluator: a value for each input word of the circuit.
            engine: the name of an engine, or one made before.
            max_tokens: stop after this many chain tokens; a chain cut short has no outputs.
            progress: called with the number of tokens made.
            named: further values of input words.

        Raises:
            InputError: this model cannot be asked this, or a value is missing, unknown or too large.
            SerialformerError: a prompt given as text is none, or is too long for the model.
        """
        run = Run(
            architecture=self.transformer.architecture,
            engine=self._choose(engine),
            max_tokens=max_tokens,
            progress=progress,
            where=self._where,
        )
        return self.protocol.run(run, (question,) if values is None else (question, values), named)

    def run_text(self, text: str, *, engine: str | Engine = "auto", progress: Progress | None = None) -> Transcript:
        """Thinks through a prompt as one types it: ``run`` for a model of a task or an evaluator.

        Raises:
            SerialformerError: it is no prompt for the model, or too long.
        """
        return self.run(text, engine=engine, progress=progress)

    def stream(
        self,
        values: Mapping[str, int] | None = None,
        /,
        *,
        engine: str | Engine = "auto",
        max_tokens: int | None = None,
        **named: int,
    ) -> Iterator[int]:
        """The ids of the chain tokens of a compiled circuit, as the model makes them; see ``run``.

        Engines make tokens one by one or in blocks; ``hf`` makes them all before the first is seen. The chain ends
        where the model ends it: nothing checks here that its tokens are bits.

        >>> from serialformer import CircuitBuilder, compile
        >>> build = CircuitBuilder()
        >>> build.output("parity", build.xor(*build.inputs("a", 2)))
        >>> list(compile(build.circuit()).stream(a=0b10))
        [1]
        """
        run = Run(architecture=self.transformer.architecture, engine=self._choose(engine), max_tokens=max_tokens)
        prompts, num_tokens = self.words.values_to_prompt((values,), named), run.limit(self.num_new_tokens)
        return self._stream(run.engine, prompts, num_tokens)

    def simulation(
        self,
        initial: Mapping[str, int] | None = None,
        *,
        fill: Fill | None = None,
        generator: np.random.Generator | None = None,
        engine: str | Engine = "auto",
    ) -> Simulation:
        """A run of a sequential circuit before its first cycle; each cycle is a separate prompt and chain.

        Args:
            initial: values of registers before the first cycle; those that are missing begin as the circuit says.
            fill: what the bits begin with of which neither says anything: ``zero`` or ``random``.
            generator: for ``random``.
            engine: the name of an engine, or one made before.

        Raises:
            InputError: a register has no initial value, or a name or a value does not fit.

        >>> from serialformer import compile
        >>> from serialformer.circuits.formats.aiger.aiger import parse_sequential_aiger
        >>> toggle = parse_sequential_aiger(b"aag 1 0 1 1 0\\n2 3\\n2\\nl0 q\\n", name="toggle.aag")
        >>> simulation = compile(toggle).simulation()
        >>> [simulation.step().outputs["out"] for _ in range(4)], simulation.state
        ([0, 1, 0, 1], {'q': 0})
        """
        chosen = self._choose(engine)

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
        """The output words of a compiled circuit for each row of input words, in order, a block of rows at a time.

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
        words, remaining, done = self.words, iter(rows), 0
        names = [word.name for word in words.outputs]
        while block := list(islice(remaining, self.rows_per_block(chosen))):
            answers = self.run_bits(words.rows_to_bits(block, done + 1), engine=chosen)
            if names:
                for values in zip(*bits_to_columns(words.outputs, answers), strict=True):
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
        words, size = self.words, self.rows_per_block(chosen)
        answers = np.empty((len(bits), words.num_outputs), dtype=np.uint8)
        for start in range(0, len(bits), size):
            block = bits[start : start + size]
            last = chosen.final_tokens(words.prompts(block), words.num_chain_tokens, words.num_answer_tokens)
            last = words.read_chains(last, words.num_chain_tokens - last.shape[1])
            if last.shape[1] < words.num_outputs or (last >= EQUALS).any():
                # This says where the chain ended.
                last = words.answers(self.think(block, chosen), self._where)
            answers[start : start + size] = last
        return answers

    def rows_per_block(self, engine: Engine) -> int:
        """How many rows to run together: what the engine likes, within what memory can hold."""
        return max(1, min(engine.rows_at_once(self.words.num_tokens), MAX_ROWS_PER_BLOCK))

    def prompts(self, bits: UInt8[np.ndarray, "rows inputs"]) -> Int64[np.ndarray, "rows prompt"]:
        """Token ids of the prompts of a compiled circuit: the input bits, then ``=``."""
        return self.words.prompts(bits)

    def think(
        self, bits: UInt8[np.ndarray, "rows inputs"], engine: Engine, progress: Progress | None = None
    ) -> Int64[np.ndarray, "rows chain"]:
        """The chains that an engine makes, in bits, shorter than ``num_new_tokens`` if the model ends them early."""
        return self.words.read_chains(engine.generate(self.prompts(bits), self.words.num_chain_tokens, progress))

    def answers(self, chains: Int64[np.ndarray, "rows chain"]) -> UInt8[np.ndarray, "rows outputs"]:
        """The output bits at the end of each chain.

        Raises:
            EngineError: a chain is not made of bits, so the weights are not what was compiled.
        """
        return self.words.answers(chains, self._where)

    def token_ids(self, length: int) -> Int64[np.ndarray, " vocabulary"]:
        """For each token id of the model's task at a length, the model's id of the same text.

        Raises:
            TaskError: the task has no such length, or the model too few positions for it, or it lacks a token.
        """
        return self.items.token_ids(self.transformer.architecture, length)

    def generate(
        self, examples: Examples, length: int, engine: Engine, progress: Progress | None = None
    ) -> Int64[np.ndarray, "rows made"]:
        """Greedy continuations of prompts of one size, for a model of a task; see ``TaskItems.generate``."""
        return self.items.generate(examples, length, engine, progress)

    def ground_truth(self, transcript: Transcript) -> GroundTruth:
        """What must happen inside this model while it writes a transcript; see ``models.ground_truth``.

        Raises:
            InputError: it was trained, so that nobody knows, or the transcript is another model's.
        """
        from serialformer.models.ground_truth import ground_truth

        return ground_truth(self, transcript)

    def run_with_cache(self, transcript: Transcript, *, dtype: type[np.floating] = np.float64) -> Activations:
        """Every activation of one forward pass over a transcript: residual stream, attention, hidden units, logits.

        Args:
            transcript: prompt and chain; each position is computed with the tokens that stand before it.
            dtype: what to compute in.

        Raises:
            SerialformerError: the model's arithmetic rounds after every operation.

        >>> from serialformer import CircuitBuilder, compile
        >>> build = CircuitBuilder()
        >>> build.output("odd", build.xor(*build.inputs("a", 2)))
        >>> model = compile(build.circuit())
        >>> activations = model.run_with_cache(model.run(a=0b10))
        >>> activations, activations.head("fetched[1]", 0)[2].round(3).tolist()
        (Activations(15 hooks; 4 positions, width 32), [0.0, 1.0, 0.0, 0.0])
        """
        from serialformer.models.activations import Activations
        from serialformer.models.rotate import reading_basis
        from serialformer.transformer.cache import compute_activations

        tokens = np.concatenate([transcript.prompt, transcript.chain])[None]
        if tokens.shape[1] == self.transformer.architecture.num_positions + 1:
            tokens = tokens[:, :-1]  # the last token is written, and no position reads it
        if self.placed is not None:
            tokens = self.placed.place(tokens)
        found = compute_activations(self.transformer, tokens, dtype=dtype)
        realism = self.provenance.realism
        return Activations(
            arrays={hook: array[0] for hook, array in found.items()},
            names=self.provenance.names,
            basis=reading_basis(self),
            directions=() if realism is None else realism.directions,
        )

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> Model:
        """Writes the checkpoint directory, whole or not at all, and returns the model that lies there.

        Args:
            directory: its name.
            overwrite: whether a directory that serialformer wrote there is replaced.

        Raises:
            SerialformerError: the directory exists and is not replaced, or cannot be written.
        """
        with new_directory(directory, overwrite=overwrite) as target:
            save_transformer(self.transformer, target, num_new_tokens=self.num_new_tokens)
            self.protocol.write_files(target)
            write_manifest(self.protocol, self.provenance, target)
            if self.certificate is not None:
                save_certificate(self.certificate, self.protocol, target)
            write_card(self, target)
        return replace(self, directory=Path(directory))

    def __repr__(self) -> str:
        if isinstance(self.protocol, CircuitWords):
            gates, tokens = count(self.circuit.num_gates, "gate"), count(self.num_new_tokens, "chain token")
            what = f"circuit: {gates}, {tokens}"
        else:
            kind, facts = self.protocol.kind, self.protocol.facts()
            shown = [value if name == kind else f"{name} {value}" for name, value in facts.items()]
            what = f"{self.provenance.kind} {kind}: {', '.join(shown)}"
        proof = "not certified" if self.certificate is None else "certified" if self.certificate.holds else "REFUTED"
        where = "" if self.directory is None else f", in {self.directory}"
        return f"Model({what}; {self._shape()}; {proof}{where})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the shape, what it can be asked, what was proven, and where the model lies."""
        certificate = self.certificate
        facts = {
            "kind": f"{self.provenance.kind} {self.protocol.kind}",
            "shape": f"{self._shape()}, {self.transformer.num_parameters:,} parameters",
            **self.protocol.facts(),
            "certificate": "none" if certificate is None else repr(certificate),
            "directory": "not saved" if self.directory is None else str(self.directory),
        }
        return fact_table("Model", facts)

    def explore(
        self, other: Model | None = None, *, num_samples: int = 8, seed: int = 0, height: int = 700
    ) -> InlinePage:
        """The page that runs this model token by token, for the output of a notebook's cell.

        Args:
            other: another model of the same task, to show side by side.
            num_samples: the number of prompts, for a task.
            seed: the seed of the prompts, for a task.
            height: the height of the frame in pixels.

        Raises:
            SerialformerError: the two models are not of one task, or one is too large for a page.
        """
        from serialformer.explorer.explore import show_inline

        return show_inline(self, other, num_samples=num_samples, seed=seed, height=height)

    def _shape(self) -> str:
        shape = self.transformer.architecture
        layers, heads = count(shape.num_layers, "layer"), count(shape.num_heads, "head")
        return f"{shape.family} {shape.dtype}, {layers}, {heads}, width {shape.width}"

    def _stream(self, engine: Engine, prompts: Int64[np.ndarray, "1 prompt"], num_tokens: int) -> Iterator[int]:
        done = 0
        for block in engine.stream(prompts, num_tokens):
            yield from self.words.read_chains(block, done)[0].tolist()
            done += block.shape[1]

    @property
    def _where(self) -> str | None:
        return None if self.directory is None else str(self.directory)

    def _choose(self, engine: str | Engine) -> Engine:
        return self.engine(engine) if isinstance(engine, str) else engine

    def _refuse(self, wanted: str) -> InputError:
        return InputError(f"is {self.protocol.what}, not {wanted}", where=self._where, hint=self.protocol.usage)
