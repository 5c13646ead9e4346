"""Curriculum: how a task's distribution starts out easier in training, and becomes the task's own."""

from __future__ import annotations

from dataclasses import dataclass

from serialformer.errors import TaskError
from serialformer.tasks.task import CurriculumAmount, Task


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """One of a task's curricula, with an amount that changes along a straight line and then stays.

    A figure of models that were trained with a curriculum says so, and what is compared with them gets the same one.
    Accuracy is measured on the task's own distribution, whatever the curriculum.

    Attributes:
        name: of the curriculum, as in ``Task.curricula``.
        start: the amount at step 0, from 0 (the task's own distribution) to 1.
        end: the amount from step ``num_steps`` on.
        num_steps: the length of the line; with 0 the amount is ``end`` throughout.

    >>> schedule = Curriculum(name="neutral", start=0.8, num_steps=800)
    >>> [schedule.value(step) for step in (0, 400, 800, 5000)]
    [0.8, 0.4, 0.0, 0.0]
    """

    name: str
    start: float
    end: float = 0.0
    num_steps: int

    def __post_init__(self) -> None:
        for what in ("start", "end"):
            amount = getattr(self, what)
            if not 0 <= amount <= 1:
                raise TaskError(f"expected an amount from 0 to 1, found {amount}", where=f"curriculum, {what}")
        if self.num_steps < 0:
            raise TaskError(f"expected a number of steps, found {self.num_steps}", where="curriculum, num_steps")

    def value(self, step: int) -> float:
        """The amount at a step, counted from 0."""
        if step >= self.num_steps:
            return float(self.end)
        return self.start + (self.end - self.start) * (max(step, 0) / self.num_steps)

    def at(self, step: int) -> CurriculumAmount:
        """What ``Task.sample`` takes at a step."""
        return self.name, self.value(step)

    def check(self, task: Task) -> None:
        """Refuses one that the task, with its parameters, does not have.

        Raises:
            TaskError: says which it has.
        """
        task.check_curriculum((self.name, self.start))
