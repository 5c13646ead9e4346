"""Variables by which a loop ends although a jump may come before their change.

A statement that may leave a round makes all that follows it depend on data for slang, so that it no longer knows the
value of ``i`` after ``if (a[i]) break; i = i + 1;``. Each round that is not left changes such variables in the same
way, however. What they become can be computed in advance and assigned between two rounds, where it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from serialformer.circuits.verilog.assignments import assigned_alone, assigned_names, declared_names, names_in
from serialformer.circuits.verilog.calls import Calls, UnknownCallError
from serialformer.circuits.verilog.ignored import Token
from serialformer.circuits.verilog.round_paths import TooManyPathsError, is_jump, paths_of
from serialformer.circuits.verilog.statements import Statement, UnreadableError


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What every round of a loop that is not left does to the variables by which the loop ends.

    Attributes:
        names: of these variables.
        changes: the statements that change them, in order.
        declared: which of them the head of the loop declares.
    """

    names: tuple[str, ...]
    changes: tuple[Statement, ...]
    declared: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """A statement that does nothing but change variables.

    Attributes:
        statement: outside of inner loops.
        mark: the first word of the first such statement with the same words.
        changed: the variables.
        read: all names in it, those of macros too.
        hidden: the names in its macros.
    """

    statement: Statement
    mark: int
    changed: frozenset[str]
    read: frozenset[str]
    hidden: frozenset[str]


_Units = Mapping[int, _Unit]


@dataclass(kw_only=True)
class ProgressFinder:
    """Finds the variables by which loops of a source end.

    Attributes:
        words: of the source.
        macro_words: what a macro stands for.
    """

    words: Sequence[Token]
    macro_words: Callable[[str], Sequence[Token]]

    def __post_init__(self) -> None:
        self._calls = Calls(words=self.words)

    def find(self, loop: Statement) -> Progress | None:
        """The variables by which a loop ends, if a jump comes before their change and all rounds change them alike.

        Args:
            loop: of kind ``loop`` or ``do``.
        """
        if not any(is_jump(statement, self.words) for statement in loop.parts[0].inner()):
            return None
        try:
            return self._find(loop, has_choices=False) or self._find(loop, has_choices=True)
        except (TooManyPathsError, UnknownCallError, UnreadableError):
            return None

    def _find(self, loop: Statement, *, has_choices: bool) -> Progress | None:
        body = loop.parts[0]
        head = self.words[loop.header[0] : loop.header[1] + 1]
        condition = next((place for place, word in enumerate(head) if word.text == ";"), 0)  # where a for has begun
        units = self._units(body, has_choices=has_choices)
        known = self._variables(body, units)
        while True:
            names = _needed(names_in(head[condition:]) & known, units, known)
            marks = {first: unit.mark for first, unit in units.items() if unit.changed & names}
            if not marks:
                return None
            paths = paths_of(body, self.words, marks)
            rounds = {path.passed for path in paths if path.ends_round}
            odd = {name for name in names if len({_of(passed, units, name) for passed in rounds}) > 1}
            if not odd:
                break
            known = _closed(known - odd, units, known)
        jumps = [statement.first for statement in body.inner() if is_jump(statement, self.words)]
        if len(rounds) != 1 or (max(marks) < min(jumps) and all(path.passed in rounds for path in paths)):
            return None  # or slang reads it by itself
        (passed,) = rounds
        return Progress(
            names=tuple(sorted(names)),
            changes=tuple(units[mark].statement for mark in passed),
            declared=frozenset(names & declared_names(head)),
        )

    def _units(self, body: Statement, *, has_choices: bool) -> dict[int, _Unit]:
        """By their first words."""
        found: dict[int, _Unit] = {}
        marks: dict[tuple[str, ...], int] = {}
        waiting = [body]
        while waiting:
            statement = waiting.pop(0)
            changed = self._changed(statement, has_choices=has_choices)
            if changed:
                texts = tuple(word.text for word in self.words[statement.first : statement.last + 1])
                hidden = [names_in(self.macro_words(text)) for text in texts if text.startswith("`")]
                found[statement.first] = _Unit(
                    statement=statement,
                    mark=marks.setdefault(texts, statement.first),
                    changed=changed,
                    read=frozenset().union(*(names_in(self._piece(inner)) for inner in statement.inner())),
                    hidden=frozenset().union(*hidden),
                )
            elif statement.kind not in ("loop", "do"):
                waiting = [*statement.parts, *waiting]
        return found

    def _changed(self, statement: Statement, *, has_choices: bool) -> frozenset[str]:
        """The variables that a statement changes, if it does nothing else."""
        if statement.kind == "simple":
            name = assigned_alone(self._piece(statement))
            return frozenset() if name is None else frozenset({name})
        if statement.kind != "if" or not has_choices or assigned_names(self._piece(statement)):
            return frozenset()
        inner = statement.inner()
        changed = [self._changed(part, has_choices=False) for part in inner if part.kind not in ("if", "block")]
        is_whole = all(changed) and all(part.name is None for part in inner)
        return frozenset().union(*changed) if is_whole else frozenset()

    def _variables(self, body: Statement, units: _Units) -> frozenset[str]:
        """Those that nothing but units changes, and no unit depending on what something else changes."""
        assigned: set[str] = set()
        otherwise: set[str] = set()
        within = {inner.first for unit in units.values() for inner in unit.statement.inner()}
        for statement in body.inner():
            piece = self._piece(statement)
            by_calls = self._calls.assigned(piece)
            own = assigned_names(piece)
            assigned |= own | by_calls
            otherwise |= by_calls if statement.first in within else own | by_calls
        hidden = {name for unit in units.values() if unit.hidden & assigned for name in unit.changed}
        return _closed(frozenset(assigned - otherwise - hidden), units, frozenset(assigned))

    def _piece(self, statement: Statement) -> Sequence[Token]:
        """The words of a statement that belong to none within it, macros written out."""
        found: list[Token] = []
        place = statement.first
        for part in [*statement.parts, None]:
            stop = statement.last + 1 if part is None else part.first
            for word in self.words[place:stop]:
                found += self.macro_words(word.text) if word.text.startswith("`") else [word]
            place = stop if part is None else part.last + 1
        return found


def _closed(known: frozenset[str], units: _Units, changing: frozenset[str]) -> frozenset[str]:
    """Those whose units read nothing that changes but what is known itself."""
    while True:
        unknown = changing - known
        lost = {name for unit in units.values() if (unit.read | unit.changed) & unknown for name in unit.changed}
        if not lost & known:
            return known
        known -= lost


def _needed(names: frozenset[str] | set[str], units: _Units, known: frozenset[str]) -> frozenset[str]:
    """The variables from which some are computed, and those."""
    needed, before = frozenset(names), -1
    while len(needed) > before:
        before = len(needed)
        for unit in units.values():
            if unit.changed & needed:
                needed |= unit.read & known
    return needed


def _of(passed: tuple[int, ...], units: _Units, name: str) -> tuple[int, ...]:
    """Those of some marks whose statements change a variable."""
    return tuple(mark for mark in passed if name in units[mark].changed)
