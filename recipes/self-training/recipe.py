"""From length 8 to 16 on a model's own chains: sums modulo 7, one layer, each token of the chain beside its residue.

    serialformer sweep recipes/self-training -o DIR/self-training.csv --workers 1
    python recipes/self-training/tables.py DIR/self-training.csv        # the table in README.md

A model learns from true chains of 1 to 8 residues. Then there are eight rounds. In each the model writes the chains of
prompts that are one residue longer than before, and trains on them as if they were right, together with its own chains
of the rounds before and with true chains of 1 to 8. No true chain of more than eight residues is ever trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.row import Row
from serialformer.sweeps.training_experiment import FINAL, TrainingExperiment, score_columns
from serialformer.tasks.examples import Examples
from serialformer.training.config import OptimiserConfig
from serialformer.training.presets import make_config

if TYPE_CHECKING:
    from serialformer.models.model import Model
    from serialformer.training.optimiser import Optimiser
    from serialformer.transformer.module import TransformerModule

LENGTH = 8
SEEDS = (0, 1, 2)
BEFORE, AFTER = "before", "after"
DRAWS = {"prompts": 10, "batch": 11, "true chains": 12}
"""The streams of random numbers of the rounds; those of the training before are below ten."""


@dataclass(frozen=True, kw_only=True)
class SelfTraining(TrainingExperiment):
    """Trains on true chains, then in rounds on the model's own.

    There is a row for each evaluated length before the rounds and after them, and one for each round, whose measure
    ``labels_right`` is the share of the model's own chains that were right when it wrote them.

    Attributes:
        rounds: each makes prompts one item longer than before.
        has_longer: False is the control: the same number of steps, all of them on true chains.
        steps: of each round.
        pool: prompts for which the model writes chains in each round.
        rate: the learning rate of the rounds, which falls to 0 over the last third of all their steps.
        num_samples: of each evaluated length, teacher-forced and generated.
    """

    kind: ClassVar[str] = "self-training"

    rounds: int = LENGTH
    has_longer: bool = True
    steps: int = 150
    pool: int = 2048
    rate: float = 1e-3
    num_samples: int = 1000

    @property
    def title(self) -> str:
        bias = " relative bias" if self.config.model.relative_bias else ""
        return f"self-training{bias}{'' if self.has_longer else ' control'} seed {self.config.seed}"

    @property
    def longest(self) -> int:
        """Items of the longest prompts."""
        return self.config.length + self.rounds

    @property
    def evaluations(self) -> tuple[tuple[str, int], ...]:
        lengths = range(self.config.length, self.longest + 1)
        rounds = ((f"round {length - self.config.length}", length) for length in lengths[1:])
        return (
            (FINAL, self.config.length),
            *((BEFORE, length) for length in lengths),
            *(rounds if self.has_longer else ()),
            *((AFTER, length) for length in lengths),
        )

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        from serialformer.training.optimiser import Optimiser
        from serialformer.transformer.module import TransformerModule

        result = self.train(surroundings)
        rows = [self.final_row(surroundings, result), *self.evaluate(surroundings, result.model, BEFORE)]
        module = TransformerModule(result.model.transformer.architecture, device=surroundings.device)
        module.load(result.model.transformer)
        optimiser = Optimiser(module, self.schedule)
        pools: dict[int, Examples] = {}
        for number in range(self.rounds):
            if self.has_longer:
                length = self.config.length + number + 1
                pools[length], share = self.write_chains(module, result.model, length)
                measures = {"labels_right": share}
                rows.append(
                    self.row(surroundings, evaluation=f"round {number + 1}", evaluated_length=length, measures=measures)
                )
            for step in range(number * self.steps, (number + 1) * self.steps):
                self.take_step(module, optimiser, result.model, pools, step)
        trained = replace(result.model, transformer=module.to_transformer())
        return [*rows, *self.evaluate(surroundings, trained, AFTER)]

    @property
    def schedule(self) -> OptimiserConfig:
        """Of the rounds together."""
        return replace(
            self.config.optimiser,
            num_steps=max(1, self.rounds * self.steps),
            learning_rate=self.rate,
            warmup_steps=0,
        )

    def write_chains(self, module: TransformerModule, model: Model, length: int) -> tuple[Examples, float]:
        """Prompts of a length with the chains that the module writes, and the share of chains that are right."""
        from serialformer.decode.torch_engine import TorchEngine

        random = np.random.default_rng([self.config.seed, DRAWS["prompts"], length])
        examples = model.task.sample(random, length, self.pool).renumber(model.token_ids(length))
        chains = model.generate(examples, length, TorchEngine(module))
        right = (chains == examples.chains).all(axis=1)
        return replace(examples, chains=chains), float(right.mean())

    def take_step(
        self, module: TransformerModule, optimiser: Optimiser, model: Model, pools: Mapping[int, Examples], step: int
    ) -> None:
        """A step on one length, drawn evenly from all that there are: true chains of it, or the model's own."""
        import torch

        from serialformer.tasks.layout import lay_out
        from serialformer.training.objective import compute_loss, make_targets

        config = self.config
        random = np.random.default_rng([config.seed, DRAWS["batch"], step])
        length = int(random.integers(config.shortest or config.length, max(pools, default=config.length) + 1))
        if length in pools:
            examples = pools[length].select(random.integers(0, self.pool, config.optimiser.batch_size))
        else:
            random = np.random.default_rng([config.seed, DRAWS["true chains"], step])
            examples = model.task.sample(random, length, config.optimiser.batch_size)
            examples = examples.renumber(model.token_ids(length))
        compute_loss(module, make_targets(lay_out(model.task, examples, config.setting, length))).backward()
        if config.optimiser.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(module.parameters(), config.optimiser.clip_norm)
        optimiser.step(step)

    def evaluate(self, surroundings: Surroundings, model: Model, evaluation: str) -> list[Row]:
        """A row for each length, by the task's own judgement."""
        from serialformer.models.evaluate import evaluate

        rows = []
        for length in range(self.config.length, self.longest + 1):
            score = evaluate(model, length=length, num_samples=self.num_samples, seed=self.config.seed).score
            columns = score_columns(score, score, self.config.make_task().num_answer_tokens)
            rows.append(self.row(surroundings, evaluation=evaluation, evaluated_length=length, **columns))
        return rows


def make_run(seed: int, *, relative_bias: bool = True, has_longer: bool = True, length: int = LENGTH) -> SelfTraining:
    """One model: the preset of sums, trained on all lengths up to the given one, with positions for twice as many."""
    config = make_config("modular-addition", parameters={"modulus": 7}, length=length, setting="aligned", seed=seed)
    config = replace(
        config,
        shortest=1,
        max_length=2 * length,
        model=replace(config.model, relative_bias=relative_bias),
        # The target is judged at the longest length, where models may reach it before they do at others.
        evaluation=replace(config.evaluation, target=None),
    )
    return SelfTraining(config=config, rounds=length, has_longer=has_longer)


def runs() -> list[SelfTraining]:
    """Self-training with a bias for each distance, its control, and self-training with learned positions alone."""
    variants: tuple[dict[str, bool], ...] = ({}, {"has_longer": False}, {"relative_bias": False})
    return [make_run(seed, **variant) for variant in variants for seed in SEEDS]
