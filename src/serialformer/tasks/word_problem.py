"""The word problem of a finite group: the value of a product of its elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.tasks.groups import Group, make_group
from serialformer.tasks.running import RunningTask
from serialformer.tasks.task import EQUALS


@dataclass(frozen=True, kw_only=True)
class WordProblem(RunningTask):
    """Multiplies elements of a group.

    Prompt: uniform elements, by number, then ``=``. Chain: the products of the first element, of the first two, and so
    on, from left to right. Answer: the last of them. In Z5, ``3 4 1 =`` has the chain ``3 2 3`` and the answer ``3``.
    Element 0 is the identity; the others are numbered as ``make_group`` says. Permutations are multiplied as the
    paper's permutation composition does it, so S5 here is that task with one token a permutation. The paper does not
    have other groups; their format is our choice.

    Attributes:
        group: ``Sn``, ``An``, ``Zn``, ``Dn``, or factors joined by ``_x_``; up to 1,024 elements.
    """

    name: ClassVar[str] = "word-problem"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "elements"
    prompt_form: ClassVar[str] = "elements, each a number below the group's order"

    group: str = "S5"

    def __post_init__(self) -> None:
        make_group(self.group)

    @property
    def table(self) -> Group:
        """The group itself."""
        return make_group(self.group)

    @property
    def complexity(self) -> str:
        return "ACC0 (solvable group)" if self.table.is_solvable else "NC1-complete (group not solvable)"

    @property
    def neutral_item(self) -> str | None:
        return "0"

    def vocabulary(self, length: int) -> tuple[str, ...]:
        return (*map(str, range(self.table.order)), EQUALS)

    def _num_kinds(self) -> int:
        return self.table.order

    def _run(self, items: Int64[np.ndarray, "rows items"]) -> Int64[np.ndarray, "rows items"]:
        products = np.empty(items.shape, dtype=np.int64)
        so_far = np.zeros(len(items), dtype=np.int64)
        for place in range(items.shape[1]):
            products[:, place] = so_far = self.table.product[so_far, items[:, place]]
        return products

    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        order = self.table.order
        before = np.pad(chains[:, :-1], ((0, 0), (1, 0)))
        known = (chains < order) & (before < order)
        # The item must be what leads from one product to the next.
        left = self.table.inverses[np.where(known, before, 0)]
        return known & (self.table.product[left, np.where(known, chains, 0)] == prompts[:, :-1])

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        # From right to left, which associativity allows.
        product = np.zeros(len(prompts), dtype=np.int64)
        for place in range(length - 1, -1, -1):
            product = self.table.product[prompts[:, place], product]
        return product[:, None]
