"""Tables of facts: columns by name, as arrays, and as a pandas frame where pandas is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any

import numpy as np

from serialformer.errors import InputError
from serialformer.notebook import count, html_rows

MAX_ROWS_SHOWN = 20


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Table(Mapping[str, np.ndarray]):
    """Rows of facts. As a mapping: the columns, arrays of integers or of text, all of one length.

    >>> table = Table.of_rows("Edges", ("edge", "position"), [("input->m0", 3), ("m0->logits", 3)])
    >>> table["position"].tolist(), table.num_rows
    ([3, 3], 2)
    """

    title: str
    columns: Mapping[str, np.ndarray]

    @classmethod
    def of_rows(cls, title: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
        """A table from its rows, which have a cell for each name."""
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        return cls(
            title=title, columns={name: np.array(list(cells)) for name, cells in zip(names, columns, strict=True)}
        )

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows, as Python values by the name of the column."""
        for cells in zip(*(column.tolist() for column in self.columns.values()), strict=True):
            yield dict(zip(self.columns, cells, strict=True))

    def to_frame(self) -> Any:
        """A ``pandas.DataFrame``.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise InputError("a frame needs pandas", hint="pip install pandas; or take the columns as arrays") from None
        return pandas.DataFrame(dict(self.columns))

    def to_json(self) -> dict[str, list[Any]]:
        """The columns as lists."""
        return {name: column.tolist() for name, column in self.columns.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __repr__(self) -> str:
        return f"Table({self.title}: {count(self.num_rows, 'row')} of {', '.join(self.columns)})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first rows."""
        shown = [[str(cell) for cell in row.values()] for row in islice(self.rows(), MAX_ROWS_SHOWN)]
        rest = self.num_rows - len(shown)
        return html_rows(f"{self.title}, {count(self.num_rows, 'row')}", list(self.columns), shown, rest)
