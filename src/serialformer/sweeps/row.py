"""Row: one evaluation of one run, in counts, as it stands in a store; docs/formats/sweep.md explains the columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from serialformer.errors import SweepError
from serialformer.models.score import Score, wilson_interval
from serialformer.tasks.curriculum import Curriculum

FORMAT = 2

DONE, FAILED = "done", "failed"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a store. The fields are its columns, in this order; docs/formats/sweep.md says what each is."""

    format: int = FORMAT
    experiment: str
    run: str
    task: str = ""
    parameters: str = "{}"
    length: int = 0
    setting: str = ""
    depth: int = 0
    width: int = 0
    heads: int = 0
    batch_size: int = 0
    curriculum: str = ""
    seed: int = 0
    variables: str = "{}"
    evaluation: str
    evaluated_length: int = 0
    samples: int = 0
    chains: int = 0
    tokens: int = 0
    tokens_right: int = 0
    answers: int = 0
    answer_tokens: int = 0
    answer_tokens_right: int = 0
    generated_samples: int = 0
    generated_chains: int = 0
    generated_tokens: int = 0
    generated_tokens_right: int = 0
    generated_answers: int = 0
    generated_answer_tokens: int = 0
    generated_answer_tokens_right: int = 0
    measures: str = "{}"
    steps: int = 0
    reached_target: bool = False
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    status: str
    reason: str = ""
    commit: str
    versions: str
    device: str
    config: str

    @property
    def key(self) -> tuple[str, str, int]:
        """What a row is of: the run, and which of its evaluations."""
        return self.run, self.evaluation, self.evaluated_length

    @property
    def measured(self) -> tuple[object, ...]:
        """All that is a function of the run; neither the clock nor the machine."""
        return tuple(getattr(self, name) for name in COLUMNS if name not in CIRCUMSTANCES)

    @property
    def teacher_forced(self) -> Score:
        """The counts of the teacher-forced samples."""
        return Score(**{name: getattr(self, name) for name in TEACHER_FORCED})

    @property
    def generated(self) -> Score:
        """The counts of the generated samples, as a separate Score, since there may be fewer."""
        return Score(
            samples=self.generated_samples,
            answer_tokens=self.generated_answer_tokens,
            **{name: getattr(self, name) for name in GENERATED},
        )

    @property
    def task_parameters(self) -> dict[str, Any]:
        """The parameters of the task by name."""
        return dict(json.loads(self.parameters))

    @property
    def variable(self) -> dict[str, Any]:
        """The varied quantities without columns of their own, by name."""
        return dict(json.loads(self.variables))

    @property
    def measure(self) -> dict[str, Any]:
        """The measurements without columns of their own, by name."""
        return dict(json.loads(self.measures))

    @property
    def paper_counts(self) -> tuple[int, int]:
        """The paper's measure as counts, teacher-forced: of ``cot`` whole chains, of ``base`` and ``hint`` answers."""
        return (self.chains if self.setting in CHAIN_SETTINGS else self.answers), self.samples

    @property
    def curriculum_left(self) -> float:
        """How much of the curriculum was left when training ended; 0 is the task's own distribution."""
        schedule = json.loads(self.curriculum) if self.curriculum else None
        return 0.0 if schedule is None else Curriculum(**schedule).value(self.steps)

    @property
    def derived(self) -> dict[str, str]:
        """What a reader of the file would otherwise work out, by the names of DERIVED; nothing reads it back."""
        right, total = self.paper_counts
        if not total or self.status != DONE:
            return dict.fromkeys(DERIVED, "")
        shares = (right / total, *wilson_interval(right, total), self.curriculum_left)
        return {name: f"{share:.4f}" for name, share in zip(DERIVED, shares, strict=True)}

    def cells(self) -> list[str]:
        """The row as text, one cell a column, none with a line break; then what follows from them."""
        return [*(_WRITERS[kind](getattr(self, name)) for name, kind in _KINDS.items()), *self.derived.values()]

    @staticmethod
    def from_cells(cells: Sequence[str], where: str) -> Row:
        """The inverse of ``cells``.

        Raises:
            SweepError: the number of cells is not that of the columns, or a cell is not of its column's kind.
        """
        if len(cells) != len(COLUMNS) + len(DERIVED):
            raise SweepError(f"expected {len(COLUMNS) + len(DERIVED)} cells, found {len(cells)}", where=where)
        values = {}
        for (name, kind), cell in zip(_KINDS.items(), cells, strict=False):
            try:
                values[name] = _READERS[kind](cell)
            except (ValueError, KeyError):
                raise SweepError(f"{name}: expected {_NAMES[kind]}, found {cell!r}", where=where) from None
        row = Row(**values)
        if row.format != FORMAT:
            raise SweepError(f"expected format {FORMAT}, found {row.format}", where=where)
        return row

    def to_json(self) -> dict[str, Any]:
        """The columns by name."""
        return {name: getattr(self, name) for name in COLUMNS}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Row:
        """The inverse of ``to_json``."""
        return Row(**content)


def to_cell(content: Any) -> str:
    """JSON for a cell: sorted keys, no blanks.

    >>> to_cell({"positions": 16, "code": "plain"})
    '{"code":"plain","positions":16}'
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def one_line(text: str) -> str:
    """A text without line breaks, for a cell; the original lines are separated by `` | ``.

    >>> one_line("no device 'cuda'\\nhint: cpu")
    "no device 'cuda' | hint: cpu"
    """
    return " | ".join(line.strip() for line in text.splitlines() if line.strip())


def _same(text: str) -> str:
    return text


_KINDS: dict[str, type] = {field.name: get_type_hints(Row)[field.name] for field in fields(Row)}
_WRITERS: dict[type, Callable[[Any], str]] = {
    int: str,
    str: one_line,
    float: repr,
    bool: lambda value: str(value).lower(),
}
_READERS: dict[type, Callable[[str], Any]] = {int: int, str: _same, float: float, bool: json.loads}
_NAMES: dict[type, str] = {int: "a whole number", str: "text", float: "a number", bool: "true or false"}

COLUMNS = tuple(_KINDS)
"""What a row holds."""

DERIVED = ("accuracy", "low", "high", "curriculum_left")
"""Added to the columns of a store: the paper's measure as a share, its 95 % interval, where the curriculum stood."""

CHAIN_SETTINGS = ("cot", "aligned")
"""Settings whose paper's measure is the whole chain; that of the others is the answer."""

CIRCUMSTANCES = ("cpu_seconds", "seconds", "commit", "versions", "device")
"""Columns that may differ between two honest rows of one evaluation."""

TEACHER_FORCED = ("samples", "chains", "tokens", "tokens_right", "answers", "answer_tokens", "answer_tokens_right")
"""Columns that are the counts of Score for teacher-forced samples."""

GENERATED = (
    "generated_chains",
    "generated_tokens",
    "generated_tokens_right",
    "generated_answers",
    "generated_answer_tokens_right",
)
"""Columns that are the counts of Score for generated samples."""
