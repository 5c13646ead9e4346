"""Constructions without a chain: bars, and each measured on its weights against what its wrong values predict.

    python benchmarks/depth.py [bars] [circuits] [evaluations] [NAME ...] [SAMPLES]

``bars`` builds the largest models that are asked for: layers, size, CPU seconds with the proof. ``circuits`` scores
circuit value of 64 gates at 4, 8 and 16 layers, beside the paper's figures and what shallow guesses reach.
``evaluations`` asks the weights of each task, at every number of layers up to what is needed, all prompts where there
are fewer than a million and SAMPLES, by default 100,000, otherwise (of the tasks NAME only, if some are named). Each
answer is compared with what so many layers must make of the prompt, worked out from the task, and the share of right
ones with the exact prediction. Anything that differs ends the program with 1.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from serialformer.constructions.task_depth import (
    COUNTED,
    expected_accuracy,
    is_written_by_symbol,
    num_layers_needed,
    shallow_answers,
)
from serialformer.decode.torch_engine import TorchEngine
from serialformer.figures.chance import shallow_levels
from serialformer.models.compile import compile
from serialformer.models.construct import construct
from serialformer.models.model import Model
from serialformer.models.score import wilson_interval
from serialformer.sweeps.row import to_cell
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.every_circuit import every_circuit
from serialformer.tasks.iterated_squaring import IteratedSquaring
from serialformer.tasks.majority import Majority
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue, Task
from serialformer.transformer.module import TransformerModule
from serialformer.transformer.transformer import Transformer, weights_to_transformer

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from make_adder import prefix_adder, ripple_adder

MOST = 1_000_000
NUM_SAMPLES = 100_000
TOKENS_AT_ONCE = 2_000
"""So many fit into a core's cache; with twenty times as many a prompt takes half as long again."""
PAPER = {4: "about .5", 8: "about .9", 16: "about 1"}


@dataclass(frozen=True)
class Case:
    """A task at a length; ``words`` are the tokens of its items, if all words of them are to be asked."""

    name: str
    length: int
    parameters: tuple[tuple[str, ParameterValue], ...] = ()
    words: int = 0

    @property
    def task(self) -> Task:
        return make_task(self.name, dict(self.parameters))


CASES = (
    Case("parity", 16, words=2),
    Case("majority", 16, words=2),
    Case("modular-addition", 7, words=7),
    Case("automaton", 16, words=2),
    Case("word-problem", 7, (("group", "S3"),), words=6),
    Case("word-problem", 8),
    Case("permutation-composition", 8),
    Case("iterated-squaring", 4, (("bound", 60),)),
    Case("circuit-value", 5),
    Case("circuit-value", 5, (("constants", 0.0),)),
)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measured(make: Callable[[], Model]) -> tuple[Model, float]:
    started = cpu_seconds()
    model = make()
    return model, cpu_seconds() - started


def bars() -> None:
    """The models that are asked for by name, each with its proof."""
    made: dict[str, Callable[[], Model]] = {
        "16-bit ripple adder": lambda: compile(ripple_adder(16), chain="none"),
        "16-bit prefix adder": lambda: compile(prefix_adder(16), chain="none"),
        "S_5 of 16, in brackets": lambda: construct("permutation-composition", 16, setting="base"),
        "S_5 of 16, as tokens": lambda: construct("word-problem", 16, setting="base"),
        "circuit value, 64 gates": lambda: construct("circuit-value", 64, setting="base", depth=16),
        "8 squarings below 1000": lambda: construct("iterated-squaring", 8, setting="base"),
        "majority of 1,000 bits": lambda: construct("majority", 1000, setting="base"),
    }
    print("| | layers | width | hidden units | MB | CPU s, with the proof |\n|---|---|---|---|---|---|")
    for name, make in made.items():
        model, seconds = measured(make)
        shape = model.transformer.architecture
        assert model.certificate is not None and model.certificate.holds
        print(
            f"| {name} | {shape.num_layers} | {shape.width} | {shape.hidden_width:,} |"
            f" {model.transformer.num_bytes / 1e6:.1f} | {seconds:.1f} |",
            flush=True,
        )


def circuits(num_samples: int = 2_000) -> bool:
    """Circuit value of 64 gates, both distributions, each answer compared with what so many rounds make of it."""
    agrees = True
    print("| constants | layers | right | interval | the paper | last gate's type | its inputs' types | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for constants in (0.2, 0.0):
        task = make_task("circuit-value", {"constants": constants})
        assert isinstance(task, CircuitValue)
        examples = task.sample(np.random.default_rng(7), 64, num_samples)
        levels = list(shallow_levels(task.name, to_cell(task.parameters), 64).values())
        for depth in (4, 8, 16):
            model, seconds = measured(lambda task=task, depth=depth: construct(task, 64, setting="base", depth=depth))
            made = answers(model, examples.prompts, 1)[:, 0]
            agrees &= np.array_equal(made, shallow_answers(task, examples.prompts, 64, depth))
            right = int((made == examples.answers[:, 0]).sum())
            low, high = wilson_interval(right, num_samples)
            print(
                f"| {constants} | {depth} | {right / num_samples:.3f} | {low:.3f} to {high:.3f} | {PAPER[depth]} |"
                f" {levels[1]:.2f} | {levels[2]:.2f} | {seconds:.1f} |",
                flush=True,
            )
    return agrees


def answers(model: Model, prompts: np.ndarray, num_tokens: int) -> np.ndarray:
    """What the weights answer, in float32 by torch, which skips what the last layer's other positions would need."""
    transformer = without_idle_units(model.transformer)
    module = TransformerModule(transformer.architecture)
    module.load(transformer)
    engine, num_rows = TorchEngine(module), max(1, TOKENS_AT_ONCE // prompts.shape[1])
    parts = [
        engine.generate(prompts[start : start + num_rows], num_tokens) for start in range(0, len(prompts), num_rows)
    ]
    assert np.array_equal(parts[0][:9], model.engine("dense").generate(prompts[:9], num_tokens)[: len(parts[0])])
    return np.concatenate(parts)


def without_idle_units(transformer: Transformer) -> Transformer:
    """Without the last hidden units that write nothing, which are most of them: there are four times the width."""
    weights = dict(transformer.named_weights())
    written = [weight.any(axis=1) for name, weight in weights.items() if name.endswith("mlp_out_weight")]
    hidden_width = 1 + int(np.flatnonzero(np.any(written, axis=0))[-1])
    for name, weight in weights.items():
        if name.endswith(("mlp_in_weight", "mlp_in_bias")):
            weights[name] = weight[..., :hidden_width]
        elif name.endswith("mlp_out_weight"):
            weights[name] = weight[:hidden_width]
    return weights_to_transformer(replace(transformer.architecture, hidden_width=hidden_width), weights)


def prompts_of(case: Case, num_samples: int) -> tuple[Iterator[tuple[int, np.ndarray]], bool]:
    """Prompts to ask with the number of their items, and whether they are all there are."""
    task, length = case.task, case.length
    end = task.end_token(length)
    if case.words:
        assert case.words**length < MOST
        words = np.stack(np.unravel_index(np.arange(case.words**length), (case.words,) * length), axis=1)
        return iter([(length, np.pad(words, ((0, 0), (0, 1)), constant_values=end))]), True
    if isinstance(task, IteratedSquaring):
        return every_squaring(task, length), True
    if isinstance(task, CircuitValue):
        return iter([(length, every_circuit(task, length)[0])]), True
    return iter([(length, task.sample(np.random.default_rng(3), length, num_samples).prompts)]), False


def every_squaring(task: IteratedSquaring, length: int) -> Iterator[tuple[int, np.ndarray]]:
    primes = [p for p in range(2, task.bound) if all(p % d for d in range(2, p))]
    pairs = [(p, r) for p in primes for r in range(1, p)]
    square, end = task.vocabulary(length).index("^2"), task.end_token(length)
    for count in range(1, length + 1):
        yield count, np.array([[*pair, *[square] * count, end] for pair in pairs])


def predicted(case: Case, prompts: np.ndarray, num_items: int, depth: int) -> np.ndarray:
    """What so many layers must answer, from the task's own answers to shorter problems."""
    task, length = case.task, case.length
    if isinstance(task, CircuitValue):
        return shallow_answers(task, prompts, length, depth)[:, None]
    if isinstance(task, IteratedSquaring):
        made = min(num_items, depth - 1)
        return task.solve(np.delete(prompts, np.s_[2 : 2 + num_items - made], axis=1), made).answers
    by_symbol = is_written_by_symbol(task)
    width = task.item_width if by_symbol else 1
    last = min(length, 1 << (depth - 1) if by_symbol else (1 << depth) - 1)
    seen = prompts[:, (length - last) * width :]
    if isinstance(task, Majority):
        return (2 * seen[:, :-1].sum(axis=1) > length).astype(np.int64)[:, None]
    return task.solve(seen, last).answers


def _is_near(right: int, total: int, exact: float) -> bool:
    """Whether a share is within an interval that one in 10,000 misses by chance."""
    low, high = wilson_interval(right, total, confidence=0.9999)
    return low <= exact <= high


def weights_of(case: Case, prompts: np.ndarray) -> np.ndarray:
    """How likely the task draws each prompt, where all are asked: primes are uniform, and residues of each."""
    if isinstance(case.task, CircuitValue):
        return np.array(every_circuit(case.task, case.length)[1], dtype=float)
    if case.name != IteratedSquaring.name:
        return np.ones(len(prompts)) / len(prompts)
    primes = prompts[:, 0]
    return 1 / (len(np.unique(primes)) * case.length * (primes - 1))


def evaluations(names: list[str], num_samples: int = NUM_SAMPLES) -> bool:
    """Every task at every number of layers."""
    agrees = True
    print("| task | items | layers | prompts | right | interval | exact prediction | as predicted | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case, method in product(CASES, ("doubling", "counting")):
        if names and case.name not in names:
            continue
        countable = case.name in COUNTED
        if method == "counting" and not countable:
            continue
        needed = num_layers_needed(case.task, case.length, method)
        # The first squaring takes two layers.
        for depth in range(2 if case.name == "iterated-squaring" else 1, needed + 1):
            way = {"by": method} if countable else {}
            asked = None if method == "counting" else depth
            model = construct(case.task, case.length, setting="base", depth=asked, **way)
            started, right, total, same, share = cpu_seconds(), 0, 0, 0, 0.0
            groups, is_all = prompts_of(case, num_samples)
            for num_items, prompts in groups:
                true = case.task.solve(prompts, num_items).answers
                made = answers(model, prompts, true.shape[1])
                expected = true if method == "counting" else predicted(case, prompts, num_items, depth)
                same += int((made == expected).all(axis=1).sum())
                hits = (made == true).all(axis=1)
                right += int(hits.sum())
                total += len(prompts)
                share += float((weights_of(case, prompts) * hits).sum())
            low, high = wilson_interval(right, total)
            expected_share = 1.0 if method == "counting" else float(expected_accuracy(case.task, case.length, depth))
            exact = f"{expected_share:.5f}"
            fits = f"{share:.5f}" == exact if is_all else _is_near(right, total, expected_share)
            agrees &= same == total and fits
            text = ", ".join(f"{key} {value}" for key, value in case.parameters)
            print(
                f"| {case.name}{' ' if text else ''}{text}{', by counting' if method == 'counting' else ''} |"
                f" {case.length} | {depth} | {total:,}{', all' if is_all else ''} | {share:.5f} |"
                f" {'' if is_all else f'{low:.5f} to {high:.5f}'} | {exact} | {same:,} |"
                f" {cpu_seconds() - started:.0f} |",
                flush=True,
            )
    return agrees


def main() -> int:
    chosen = [word for word in sys.argv[1:] if word in ("bars", "circuits", "evaluations")]
    chosen = chosen or ["bars", "circuits", "evaluations"]
    agrees = True
    if "bars" in chosen:
        bars()
    if "circuits" in chosen:
        agrees &= circuits()
    if "evaluations" in chosen:
        names = [word for word in sys.argv[1:] if word not in chosen and not word.isdigit()]
        numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
        agrees &= evaluations(names, *numbers[:1])
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
