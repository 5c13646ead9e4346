"""A circuit in the prompt, answered at once: a prompt and a pass for each output, which is its last gate."""

from __future__ import annotations

import time

import numpy as np

from serialformer.arrays import Int64
from serialformer.circuits.value_problem import NO_GATE, TOKENS_PER_GATE, ValueProblem
from serialformer.errors import EngineError, InputError
from serialformer.models.protocol import Run
from serialformer.models.transcript import Transcript


def gate_levels(problem: ValueProblem) -> Int64[np.ndarray, " gates"]:
    """The level of each gate: 1 for constants, and one above the higher of its inputs for others.

    >>> from serialformer.circuits.value_problem import read_value_problem
    >>> gate_levels(read_value_problem("TRUE NA NA 1 NOT 1 NA 2 AND 1 2 3".split())).tolist()
    [1, 2, 3]
    """
    levels = [0]
    for first, second in problem.reads.tolist():
        levels.append(1 + max(levels[first], levels[second]))  # NO_GATE is on level 0
    assert NO_GATE == 0
    return np.array(levels[1:], dtype=np.int64)


def ask_at_once(
    run: Run, problem: ValueProblem, prompt: Int64[np.ndarray, " prompt"], gates: Int64[np.ndarray, " outputs"]
) -> Transcript:
    """The values of some gates, counted from 1, each from a pass over the circuit up to it.

    Args:
        run: who answers.
        problem: the whole circuit.
        prompt: its tokens, ``=`` included.
        gates: what is asked for.

    Returns:
        A transcript whose chain is a token for each of these gates.

    Raises:
        InputError: a gate is on a higher level than the model has layers, so that nothing is proven of it.
        EngineError: the answer is no value.
    """
    levels, num_layers = gate_levels(problem), run.architecture.num_layers
    deep = levels[gates - 1] > num_layers
    if deep.any():
        gate = int(gates[np.argmax(deep)])
        raise InputError(
            f"an output is on level {levels[gate - 1]} of the circuit's {problem.num_gates} gates of TRUE, FALSE, AND,"
            f" OR and NOT, and this evaluator has {num_layers} layers",
            where=run.where,
            hint=f"serialformer evaluator --setting base --depth {levels[gate - 1]} makes one that is deep enough",
        )
    started = time.perf_counter()
    answers: dict[int, int] = {}
    texts = run.architecture.vocabulary
    for gate in dict.fromkeys(gates.tolist()):
        asked = np.append(prompt[: TOKENS_PER_GATE * gate], prompt[-1])
        made = run.engine.generate(asked[None], 1, run.progress)[0]
        if not len(made) or texts[int(made[0])] not in ("TRUE", "FALSE"):
            raise EngineError(
                f"the model gave gate {gate} of {problem.num_gates} no value",
                where=run.where,
                hint="its weights are not as constructed; make it again",
            )
        answers[gate] = int(made[0])
    return Transcript(
        vocabulary=texts,
        prompt=prompt,
        chain=np.array([answers[gate] for gate in gates.tolist()], dtype=np.int64),
        outputs={},
        engine=run.engine.name,
        seconds=time.perf_counter() - started,
    )
