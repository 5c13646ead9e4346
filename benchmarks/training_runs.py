"""What each task takes to learn, and where models look while they learn: runs of the default preset, kept in one file.

The file has a JSON object a line, appended when a run ends; a run whose configuration it has is not done again.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from serialformer.construction import construct_model
from serialformer.score import Score
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue
from serialformer.training.config import OptimiserConfig, TrainingConfig
from serialformer.training.log import read_log
from serialformer.training.loop import Execution, Report, train
from serialformer.training.presets import make_config
from serialformer.transformer.transformer import Transformer, weights_to_transformer

SETTINGS = ("cot", "base", "hint")
"""In this order, because base and hint get as much time as cot took."""

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A task at a length, and the depth of the models that learn it."""

    task: str
    parameters: dict[str, ParameterValue] = field(default_factory=dict)
    length: int
    depth: int = 1

    def config(self, setting: str, seed: int) -> TrainingConfig:
        """The default preset."""
        return make_config(
            self.task,
            parameters=self.parameters,
            length=self.length,
            setting=setting,
            num_layers=self.depth,
            seed=seed,
        )


CASES = {
    "modular-addition": Case(task="modular-addition", length=16),
    "s5-token": Case(task="permutation-composition", parameters={"format": "token"}, length=16),
    "s5-brackets": Case(task="permutation-composition", parameters={"format": "brackets"}, length=16),
    "squaring-100": Case(task="iterated-squaring", parameters={"bound": 100}, length=8),
    "squaring-1000": Case(task="iterated-squaring", parameters={"bound": 1000}, length=8),
    "circuit-value-8": Case(task="circuit-value", length=8),
    "circuit-value-16": Case(task="circuit-value", length=16, depth=2),
}

POINTER_CASES = {
    "s5-token": CASES["s5-token"],
    "modular-addition": CASES["modular-addition"],
    "parity": Case(task="parity", length=16),
}


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """What is done to the weights of a construction before they are trained, and while.

    Attributes:
        noise: standard deviation of the normal noise that is added to all weights.
        weight_decay: of matrices and embeddings, at a learning rate of 10^-3.
    """

    noise: float = 0.0
    weight_decay: float = 0.0


FINE_TUNINGS = {
    "construction": FineTuning(),
    "construction, weight decay 1": FineTuning(weight_decay=1.0),
    "construction + noise 1/64": FineTuning(noise=1 / 64),
}
FINE_TUNING_STEPS = 300
FINE_TUNING_RATE = 1e-3
POINTERS_EVERY = 20
"""Steps between two looks at where a model looks."""

STEPS_FOR_TIME = 30
"""Taken to see how long a step of base or hint is."""


def read_rows(path: Path) -> list[Row]:
    """What the file has."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def latest(rows: Sequence[Row], kind: str) -> list[Row]:
    """The last run of each kind, task, setting, start and seed, in a fixed order, whatever its configuration."""
    cases, starts = [*CASES, *POINTER_CASES], ["random", *FINE_TUNINGS]
    found = {}
    for row in rows:
        if row["kind"] == kind:
            place = (SETTINGS.index(row["config"]["setting"]), starts.index(row.get("start", "random")))
            found[cases.index(row["case"]), *place, row["seed"]] = row
    return [found[key] for key in sorted(found)]


def append_row(path: Path, row: Row) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def run_once(
    config: TrainingConfig, *, initial: Transformer | None = None, construction: Transformer | None = None
) -> Row:
    """One run from beginning to end, in a directory that is not kept."""
    quiet = Execution(num_threads=1, save_seconds=math.inf)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, "run")
        result = train(config, directory, initial=initial, construction=construction, execution=quiet)
        evaluations = [row for row in read_log(directory) if "chain_accuracy" in row]
    return {
        "config": config.to_json(),
        "steps": result.steps,
        "cpu_seconds": result.cpu_seconds,
        "reached_target": result.reached_target,
        "teacher_forced": result.teacher_forced.counts,
        "generated": result.generated.counts,
        "curve": evaluations,
        "largest_change": None if initial is None else largest_change(initial, result.model.transformer),
        "versions": {name: version(name) for name in ("serialformer", "torch", "numpy")},
    }


def largest_change(before: Transformer, after: Transformer) -> float:
    """How far the weight that moved the farthest moved."""
    pairs = zip(before.named_weights(), after.named_weights(), strict=True)
    return max(float(np.abs(old.astype(float) - new.astype(float)).max()) for (_, old), (_, new) in pairs if old.size)


def seconds_a_step(config: TrainingConfig) -> float:
    """The CPU time of a step, with its share of the evaluations that the configuration asks for."""
    every = STEPS_FOR_TIME // 3
    evaluation = replace(config.evaluation, every=every, num_final_samples=1, num_final_generated=0, target=None)
    times = []

    def note(report: Report) -> None:
        times.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        short = replace(config.shortened(STEPS_FOR_TIME), evaluation=evaluation)
        train(short, Path(folder, "run"), execution=Execution(save_seconds=math.inf), progress=note)
    # Of step k + 2, the first step being step 1.
    taken = np.diff(times)
    evaluated = (np.arange(len(taken)) + 2) % every == 0
    evaluated[-1] = False  # the final evaluation comes after it
    step = float(np.median(taken[~evaluated]))
    return step + max(0.0, float(np.median(taken[evaluated])) - step) / config.evaluation.every


@cache
def most_common_answer(case: str) -> float:
    """The share of a task's samples that have the answer that is the most common: what saying it always would score."""
    known = CASES[case]
    task, random = make_task(known.task, known.parameters), np.random.default_rng(0)
    answers = np.concatenate([task.sample(random, known.length, 4096).answers for _ in range(16)])
    values, numbers = np.unique(answers, axis=0, return_inverse=True)
    # Chosen on one half and counted on the other, lest chance favour it.
    first, second = np.array_split(numbers.ravel(), 2)
    chosen = np.bincount(first, minlength=len(values)).argmax()
    return float((second == chosen).mean())


def learn(path: Path, cases: Sequence[str], seeds: Sequence[int], settings: Sequence[str]) -> list[Row]:
    """Runs what the file lacks; the rows asked for, in order. Base and hint get the CPU seconds that cot took."""
    wanted = []
    for case in cases:
        for seed in seeds:
            config = CASES[case].config("cot", seed)
            facts = {"kind": "learn", "case": case, "setting": "cot", "seed": seed}
            cot = _find_or_run(path, facts, config)
            if "cot" in settings:
                wanted.append(cot)
            for setting in settings:
                if setting == "cot":
                    continue
                config = CASES[case].config(setting, seed)
                facts = {"kind": "learn", "case": case, "setting": setting, "seed": seed}
                wanted.append(_find_or_run(path, facts, config, budget=cot["cpu_seconds"]))
    return wanted


def _find_or_run(path: Path, facts: Row, config: TrainingConfig, budget: float | None = None) -> Row:
    """A row of the file with these facts, this configuration (but for the steps that fill a budget) and this budget."""
    facts = {**facts, "budget": budget}
    for row in read_rows(path):
        if all(row.get(name) == value for name, value in facts.items()):
            steps = config.optimiser.num_steps if budget is None else row["config"]["optimiser"]["num_steps"]
            if TrainingConfig.from_json(row["config"]) == config.shortened(steps):
                return row
    if budget is not None:
        config = config.shortened(math.ceil(budget / seconds_a_step(config)))
    row = {**facts, "most_common_answer": most_common_answer(facts["case"]), **run_once(config)}
    append_row(path, row)
    _tell(row)
    return row


def _tell(row: Row) -> None:
    shown = ", ".join(f"{name} {row[name]}" for name in ("case", "setting", "start", "seed") if name in row)
    accuracies = Score(**row["teacher_forced"]).accuracies
    print(
        f"{shown}: {row['steps']} steps, {row['cpu_seconds']:.1f} CPU seconds, whole chains "
        f"{accuracies['chain_accuracy']:.4f}, answers {accuracies['answer_accuracy']:.4f}",
        file=sys.stderr,
        flush=True,
    )


def print_learnt(rows: Sequence[Row]) -> None:
    """A markdown table, a line for each task and setting; "each" lists the seeds in their order."""
    print("| task | setting | seeds | at 99.9 % | steps, each | CPU s, each | whole chains | answers ", end="")
    print("| most common answer |\n|" + "---|" * 9)
    for group in _grouped(rows, "case", "setting"):
        accuracies = [Score(**row["teacher_forced"]).accuracies for row in group]
        chains = ", ".join(f"{found['chain_accuracy']:.4f}" for found in accuracies)
        answers = ", ".join(f"{found['answer_accuracy']:.4f}" for found in accuracies)
        # A run may get there at its last step, when nothing is left to end early.
        reached = sum(found["chain_accuracy"] >= 0.999 for found in accuracies)
        first = group[0]
        print(
            f"| {first['case']} | {first['setting']} | {len(group)} | {reached} "
            f"| {', '.join(str(row['steps']) for row in group)} "
            f"| {', '.join(format(row['cpu_seconds'], '.1f') for row in group)} "
            f"| {chains} | {answers} | {first['most_common_answer']:.4f} |"
        )


def _grouped(rows: Sequence[Row], *names: str) -> Iterator[list[Row]]:
    """Rows that agree in some facts, in the order of their first."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    yield from groups.values()


def watch_pointers(path: Path, cases: Sequence[str], seeds: Sequence[int]) -> list[Row]:
    """Attention to what the construction reads, over steps: from random weights, and from the construction's own."""
    wanted = []
    for case in cases:
        known = POINTER_CASES[case]
        construction = construct_model(make_task(known.task, known.parameters), known.length).transformer
        for seed in seeds:
            config = known.config("cot", seed)
            config = replace(config, evaluation=replace(config.evaluation, every=POINTERS_EVERY, pointers=True))
            facts = {"kind": "pointers", "case": case, "seed": seed}
            wanted.append(_find_or_watch(path, {**facts, "start": "random"}, config, construction))
            for start, tuning in FINE_TUNINGS.items():
                initial = add_noise(construction, tuning.noise, seed)
                tuned = replace(
                    config,
                    optimiser=OptimiserConfig(
                        num_steps=FINE_TUNING_STEPS,
                        learning_rate=FINE_TUNING_RATE,
                        warmup_steps=0,
                        decay_fraction=0.0,
                        weight_decay=tuning.weight_decay,
                    ),
                    curriculum=None,
                    evaluation=replace(config.evaluation, target=None),
                    initial=initial.digest(),
                )
                wanted.append(_find_or_watch(path, {**facts, "start": start}, tuned, construction, initial))
    return wanted


def _find_or_watch(
    path: Path, facts: Row, config: TrainingConfig, construction: Transformer, initial: Transformer | None = None
) -> Row:
    for row in read_rows(path):
        same = all(row.get(name) == value for name, value in facts.items())
        if same and TrainingConfig.from_json(row["config"]) == config:
            return row
    row = {**facts, **run_once(config, initial=initial, construction=construction)}
    append_row(path, row)
    _tell(row)
    return row


def add_noise(transformer: Transformer, deviation: float, seed: int) -> Transformer:
    """The transformer with normal noise on every weight."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, weight in transformer.named_weights():
        noise = deviation * random.standard_normal(weight.shape)
        weights[name] = (weight + noise).astype(weight.dtype)
    return weights_to_transformer(transformer.architecture, weights)


def print_pointers(rows: Sequence[Row]) -> None:
    """A markdown table, a line for each task and start; means over seeds, but for what is said to be the worst."""
    print("| task | start | seeds | share at the first look | at 25 % | at 50 % | at the end ", end="")
    print(
        "| worst whole chains, any look | whole chains at the end, worst | largest change of a weight |\n|"
        + "---|" * 10
    )
    for group in _grouped(rows, "case", "start"):
        curves = [row["curve"] for row in group]
        shares = [
            mean(curve[round(part * (len(curve) - 1))]["pointer_share"] for curve in curves)
            for part in (0, 0.25, 0.5, 1)
        ]
        worst = min(look["chain_accuracy"] for curve in curves for look in curve)
        end = min(Score(**row["teacher_forced"]).accuracies["chain_accuracy"] for row in group)
        changes = [row["largest_change"] for row in group if row["largest_change"] is not None]
        moved = f"{max(changes):.3g}" if changes else ""
        print(
            f"| {group[0]['case']} | {group[0]['start']} | {len(group)} "
            f"| {' | '.join(f'{share:.3f}' for share in shares)} | {worst:.4f} | {end:.4f} | {moved} |"
        )
