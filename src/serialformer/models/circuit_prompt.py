"""A circuit in the prompt: the model evaluates whatever circuit it is given, four tokens for each gate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Int64
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.value_problem import (
    GATE_TYPES,
    NO_GATE,
    TOKENS_PER_GATE,
    ValueProblem,
    read_value_problem,
    translate_circuit,
)
from serialformer.circuits.words import bits_to_values, values_to_bits
from serialformer.constructions.evaluator import KINDS
from serialformer.errors import CheckpointError, EngineError, InputError
from serialformer.models.circuit_at_once import ask_at_once
from serialformer.models.protocol import Protocol, Run
from serialformer.models.task_items import TaskItems
from serialformer.models.transcript import Transcript
from serialformer.tasks.registry import make_task

SLOT_TOKENS = (GATE_TYPES, ("NA",), ("NA",), ())
"""For each slot of a gate in the prompt the tokens that it may hold besides numbers of gates."""

CHAIN_TOKENS = (GATE_TYPES, ("TRUE", "FALSE", "NA"), ("TRUE", "FALSE", "NA"), ("TRUE", "FALSE"))
"""For each slot of a gate in the chain the tokens that it may hold."""


@dataclass(frozen=True, kw_only=True)
class CircuitPrompt(Protocol):
    """The protocol of a universal evaluator; as a model of a task, its task is circuit-value.

    Attributes:
        num_gates: the most gates that a circuit may have, once it is constants, AND, OR and NOT.
        setting: ``cot``: it writes the value of every gate; ``base``: it answers at once, with a pass for each output.
            Circuits may be as deep as such a model has layers, constants being on level 1.
    """

    kind = "evaluator"
    what = "an evaluator of circuits"
    usage = "give a circuit and values: model.run(circuit, a=1), or serialformer run DIR --circuit FILE -i a=1"

    num_gates: int
    setting: str = "cot"

    @property
    def num_new_tokens(self) -> int:
        return 1 if self.setting == "base" else TOKENS_PER_GATE * self.num_gates

    @property
    def num_positions(self) -> int:
        """Positions of the largest circuit, and of its chain if there is one."""
        return (1 if self.setting == "base" else 2) * TOKENS_PER_GATE * self.num_gates + 1

    @property
    def items(self) -> TaskItems:
        """The same model as a model of the task circuit-value."""
        return TaskItems(task=make_task("circuit-value", {}), length=self.num_gates, setting=self.setting)

    def check(self, architecture: Architecture) -> None:
        expected = (*(str(gate) for gate in range(1, self.num_gates + 1)), *KINDS)
        if architecture.vocabulary[: len(expected)] != expected or architecture.num_positions < self.num_positions:
            raise CheckpointError(f"vocabulary and positions are not those of an evaluator of {self.num_gates} gates")

    def tokens_at(self, position: int) -> tuple[str, ...]:
        """A token of the prompt, the ``=`` after it or a token of the chain: that depends on the number of gates.

        >>> CircuitPrompt(num_gates=2).tokens_at(1)
        ('NA', '1', '2')
        >>> CircuitPrompt(num_gates=2).tokens_at(9)
        ('TRUE', 'FALSE', 'AND', 'OR', 'NOT')
        """
        self.check_position(position, self.num_positions)
        texts: list[str] = []
        gate, slot = divmod(position, TOKENS_PER_GATE)
        if gate < self.num_gates:
            texts += SLOT_TOKENS[slot]
            if slot in (1, 2):
                texts += [str(number) for number in range(1, self.num_gates + 1)]
            elif slot == 3:
                texts.append(str(gate + 1))
        if slot == 0 and gate <= self.num_gates:
            texts.append("=")
        # After a circuit of m gates position 4 m + 1 + t holds token t of the chain, where t < 4 m; some m from 1 to
        # num_gates reaches every position from 5.
        if position > TOKENS_PER_GATE and self.setting == "cot":
            texts += CHAIN_TOKENS[(position - 1) % TOKENS_PER_GATE]
        return tuple(dict.fromkeys(texts))

    def prompt(self, problem: ValueProblem, where: str | None = None) -> Int64[np.ndarray, " prompt"]:
        """The token ids of a problem, ``=`` included.

        Raises:
            InputError: it has more gates than the model is made for.
        """
        if problem.num_gates > self.num_gates:
            raise InputError(
                f"the circuit takes {problem.num_gates:,} gates of TRUE, FALSE, AND, OR and NOT; this evaluator is made"
                f" for {self.num_gates:,}",
                where=where,
                hint=f"serialformer evaluator --gates {problem.num_gates} makes one that is large enough",
            )
        # Ids are the tokens 0.. in order, the kinds stand after them as in KINDS.
        first = self.num_gates
        tokens = np.empty((problem.num_gates, TOKENS_PER_GATE), dtype=np.int64)
        tokens[:, 0] = first + np.array([KINDS.index(name) for name in GATE_TYPES])[problem.kind]
        tokens[:, 1:3] = np.where(problem.reads == NO_GATE, first + KINDS.index("NA"), problem.reads - 1)
        tokens[:, 3] = np.arange(problem.num_gates)
        return np.append(tokens.ravel(), first + KINDS.index("="))

    def run(self, run: Run, question: tuple[Any, ...], named: dict[str, int]) -> Transcript:
        match question:
            case (str() as text,) if not named:
                problem = read_value_problem(text.split())
                if self.setting == "base":
                    if not problem.num_gates:
                        raise InputError("a circuit without gates has no value", where=run.where)
                    return self._answer(run, problem, np.array([problem.num_gates], dtype=np.int64))
                transcript = self._think(run, problem)
                whole = len(transcript.chain) == TOKENS_PER_GATE * problem.num_gates > 0
                truths = self._own_values(transcript.chain)
                return replace(transcript, outputs={"value": int(truths[-1])} if whole else {})
            case (Circuit() as circuit,):
                return self._run_circuit(run, circuit, named)
            case (Circuit() as circuit, values) if isinstance(values, Mapping):
                return self._run_circuit(run, circuit, {**values, **named})
        raise self.refuse_question(run.where)

    def _run_circuit(self, run: Run, circuit: Circuit, values: Mapping[str, int]) -> Transcript:
        assert circuit.input_words is not None and circuit.output_words is not None
        bits = values_to_bits(circuit.input_words, values, circuit.num_inputs)
        translation = translate_circuit(circuit)
        if self.setting == "base":
            answered = self._answer(run, translation.with_inputs(bits), translation.gate_of_output.astype(np.int64))
            truths = (answered.chain == self.num_gates + KINDS.index("TRUE")).astype(np.uint8)
            return replace(answered, outputs=bits_to_values(circuit.output_words, truths))
        transcript = self._think(run, translation.with_inputs(bits))
        if len(transcript.chain) < TOKENS_PER_GATE * translation.problem.num_gates:
            return transcript
        truths = self._own_values(transcript.chain)[translation.gate_of_output - 1]
        return replace(transcript, outputs=bits_to_values(circuit.output_words, truths.astype(np.uint8)))

    def _answer(self, run: Run, problem: ValueProblem, gates: Int64[np.ndarray, " outputs"]) -> Transcript:
        """The values of some gates, each from a separate pass whose output is the gate."""
        if run.max_tokens is not None:
            raise InputError("without a chain an evaluator writes one token", where="max_tokens", hint="leave it out")
        transcript = ask_at_once(run, problem, self.prompt(problem, run.where), gates)
        value = int(transcript.chain[-1] == self.num_gates + KINDS.index("TRUE")) if len(gates) else 0
        return replace(transcript, outputs={"value": value})

    def _think(self, run: Run, problem: ValueProblem) -> Transcript:
        prompt, num_tokens = self.prompt(problem, run.where), run.limit(TOKENS_PER_GATE * problem.num_gates)
        started = time.perf_counter()
        chain = run.engine.generate(prompt[None], num_tokens, run.progress)[0]
        seconds = time.perf_counter() - started
        own = chain[TOKENS_PER_GATE - 1 :: TOKENS_PER_GATE] - self.num_gates
        strange = (own != KINDS.index("TRUE")) & (own != KINDS.index("FALSE"))
        if len(chain) < num_tokens or strange.any():
            gate = int(np.argmax(strange)) if strange.any() else len(chain) // TOKENS_PER_GATE
            raise EngineError(
                f"the model gave gate {gate + 1} of {problem.num_gates} no value",
                where=run.where,
                hint="its weights are not as constructed; make it again",
            )
        return Transcript(
            vocabulary=run.architecture.vocabulary,
            prompt=prompt,
            chain=chain,
            outputs={},
            engine=run.engine.name,
            seconds=seconds,
        )

    def _own_values(self, chain: Int64[np.ndarray, " chain"]) -> Int64[np.ndarray, " gates"]:
        """The value of each gate, 0 or 1."""
        own = chain[TOKENS_PER_GATE - 1 :: TOKENS_PER_GATE] - self.num_gates
        return (own == KINDS.index("TRUE")).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        # Without a setting it has a chain, as all had when there was no other.
        return {"num_gates": self.num_gates, **({} if self.setting == "cot" else {"setting": self.setting})}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> CircuitPrompt:
        """The inverse of ``to_json``.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or wrong.
        """
        setting = str(content.get("setting", "cot"))
        if setting not in ("cot", "base"):
            raise ValueError(f"no setting {setting!r}")
        return cls(num_gates=int(content["num_gates"]), setting=setting)

    def info(self) -> dict[str, Any]:
        return {"gates": self.num_gates, **({} if self.setting == "cot" else {"setting": self.setting})}

    def facts(self) -> dict[str, str]:
        if self.setting == "base":
            return {"chain": "none", "circuits": f"up to {self.num_gates:,} gates"}
        return {"chain": f"{self.num_new_tokens:,} tokens", "circuits": f"up to {self.num_gates:,} gates"}
