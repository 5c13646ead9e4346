"""Score: how often a model of a task is right, in counts, so that scores of one kind add up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import sqrt
from statistics import NormalDist

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.tasks.layout import Layout


@dataclass(frozen=True, kw_only=True)
class Score:
    """Counts of what was right. *Teacher-forced*: every token is predicted after the true tokens before it.
    *Generated*: after the model's own.

    Attributes:
        samples: prompts.
        chains: samples whose every labelled token was right when teacher-forced; the paper's measure of cot.
        tokens: labelled tokens; in cot the chain's, in hint those of the prompt's positions and the answer's.
        tokens_right: of those, right when teacher-forced.
        answers: samples whose whole answer was right when teacher-forced.
        answer_tokens: tokens of answers.
        answer_tokens_right: of those, right when teacher-forced.
        generated_chains: samples for which all that the model generated was right: chain and answer.
        generated_tokens: tokens that were to be generated.
        generated_tokens_right: of those, the ones that are the true chain's.
        generated_answers: samples whose whole answer was right when generated, by whatever chain.
        generated_answer_tokens_right: tokens of answers right when generated.
    """

    samples: int = 0
    chains: int = 0
    tokens: int = 0
    tokens_right: int = 0
    answers: int = 0
    answer_tokens: int = 0
    answer_tokens_right: int = 0
    generated_chains: int = 0
    generated_tokens: int = 0
    generated_tokens_right: int = 0
    generated_answers: int = 0
    generated_answer_tokens_right: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(**{part.name: getattr(self, part.name) + getattr(other, part.name) for part in fields(Score)})

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)

    @property
    def accuracies(self) -> dict[str, float]:
        """The shares that are reported, from 0 to 1; what there is none of counts as 0.

        >>> Score(samples=4, chains=3, answers=4).accuracies["chain_accuracy"]
        0.75
        """
        return {name: right / total if total else 0.0 for name, (right, total) in self._shares().items()}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Wilson's 95 % interval of each share of samples; tokens of one sample are not independent, so have none."""
        return {
            name: wilson_interval(right, total)
            for name, (right, total) in self._shares().items()
            if not name.endswith("token_accuracy")
        }

    def _shares(self) -> dict[str, tuple[int, int]]:
        return {
            "chain_accuracy": (self.chains, self.samples),
            "answer_accuracy": (self.answers, self.samples),
            "generated_chain_accuracy": (self.generated_chains, self.samples),
            "generated_answer_accuracy": (self.generated_answers, self.samples),
            "token_accuracy": (self.tokens_right, self.tokens),
            "answer_token_accuracy": (self.answer_tokens_right, self.answer_tokens),
            "generated_token_accuracy": (self.generated_tokens_right, self.generated_tokens),
            "generated_answer_token_accuracy": (self.generated_answer_tokens_right, self.answer_tokens),
        }


def score_teacher_forced(layout: Layout, predicted: Int64[np.ndarray, "rows tokens"]) -> Score:
    """Counts what a model predicts at each position of a layout, given the true tokens before it.

    Args:
        layout: what it read, and the labels.
        predicted: its token at every position; those without a label do not matter.
    """
    right = predicted == layout.labels
    has_loss = layout.has_loss
    answers_right = np.take_along_axis(right, layout.answer_positions, axis=1)
    return Score(
        samples=len(predicted),
        chains=int((right | ~has_loss).all(axis=1).sum()),
        tokens=int(has_loss.sum()),
        tokens_right=int((right & has_loss).sum()),
        answers=int(answers_right.all(axis=1).sum()),
        answer_tokens=answers_right.size,
        answer_tokens_right=int(answers_right.sum()),
    )


def score_generated(
    expected: Int64[np.ndarray, "rows tokens"],
    made: Int64[np.ndarray, "rows tokens"],
    answers_right: Bool[np.ndarray, "rows answer"],
) -> Score:
    """Counts what a model generated; adds to ``score_teacher_forced`` of the same samples.

    Args:
        expected: the true tokens, of one number in every row.
        made: what it made, cut or padded to as many.
        answers_right: for each token of each answer, whether it was right.
    """
    right = expected == made
    return Score(
        generated_chains=int(right.all(axis=1).sum()),
        generated_tokens=right.size,
        generated_tokens_right=int(right.sum()),
        generated_answers=int(answers_right.all(axis=1).sum()),
        generated_answer_tokens_right=int(answers_right.sum()),
    )


def wilson_interval(right: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share; (0, 1) where nothing was counted.

    It is the set of shares p for which ``right`` lies within z standard deviations of p times ``total``.

    >>> low, high = wilson_interval(100, 100)
    >>> round(low, 3), high
    (0.963, 1.0)
    """
    if not total:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = right / total, z * z / total
    centre = share + weight / 2
    spread = z * sqrt(share * (1 - share) / total + weight / (4 * total))
    low, high = (centre - spread) / (1 + weight), (centre + spread) / (1 + weight)
    return (0.0 if right == 0 else low), (1.0 if right == total else high)
