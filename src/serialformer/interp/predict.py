"""What a patch must change, predicted from the construction and without its weights.

The terms of the residual stream are known as values of fields: what each part adds, and what it takes away. A patched
edge brings another run's values into the sum that its reader sees. Where such a sum is one value of the field, the
reader uses that value. Where it is two values at once, or a value was taken away that was not there, nothing is
predicted; nor where heads that bring parts of one value, as in a Llama, bring parts of different ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.constructions.construction import NOTHING, Clause, Construction, ConstructionLayer, LookUp
from serialformer.constructions.edges import INPUT, LOGITS
from serialformer.constructions.follow import NOWHERE, find_positions
from serialformer.constructions.interpret import UNWRITTEN, fields_to_tokens, match_units
from serialformer.constructions.placement import IDLE
from serialformer.interp.patch import Patch

UNKNOWN = -1
"""The token of a position about which nothing is predicted."""

Rows = Int64[np.ndarray, " positions"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Term:
    """What one part adds to the residual stream.

    Attributes:
        added: for each field the value that it adds at each position, or NOTHING.
        removed: for each field the value that it takes away.
        is_unknown: at which positions nobody can say.
    """

    added: dict[str, Rows]
    removed: dict[str, Rows]
    is_unknown: Bool[np.ndarray, " positions"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a construction does with one sequence under some patches.

    Attributes:
        tokens: the token that each position writes; UNKNOWN where nothing is predicted.
        terms: what each part adds.
    """

    tokens: Rows
    terms: dict[str, Term]


def predict(
    construction: Construction,
    heads: Sequence[Sequence[int]],
    tokens: Rows,
    other: Prediction | None = None,
    patches: Iterable[Patch] = (),
    unpatched: Prediction | None = None,
) -> Prediction:
    """The tokens that a model must write where some edges carry what they carry in another run.

    Args:
        construction: of the model.
        heads: for each layer and head the number of the look-up that it serves, or IDLE.
        tokens: token ids of the whole sequence.
        other: the other run, over a sequence of the same length.
        patches: the edges.
        unpatched: what is predicted without patches, if that is known: layers before the first patch are taken from it,
            and layers after the last one, if no part says anything else by then.
    """
    wanted: dict[tuple[str, str], list[Patch]] = {}
    for patch in patches:
        wanted.setdefault((patch.target, patch.via), []).append(patch)
    machine = _Machine(construction, heads, tokens, other, wanted)
    first = 0
    if unpatched is not None:
        first = min((_layer(target, len(construction.layers)) for target, _ in wanted), default=0)
        earlier = {INPUT, *(name for name in unpatched.terms if name != INPUT and _layer(name, 0) < first)}
        machine.terms = {name: term for name, term in unpatched.terms.items() if name in earlier}
    for index, layer in enumerate(construction.layers):
        if index < first:
            continue
        machine.look_up(index, layer)
        machine.fire(index, layer, is_last=index == len(construction.layers) - 1)
        if unpatched is not None and not wanted and machine.says_what(unpatched):
            return unpatched
    return Prediction(tokens=machine.written(), terms=machine.terms)


def _layer(part: str, of_logits: int) -> int:
    """The layer of a part; of the logits, which come after all layers, their number.

    >>> _layer("a2.h0", 4), _layer("m13", 4), _layer("logits", 4)
    (2, 13, 4)
    """
    return of_logits if part == LOGITS else int(part[1:].partition(".")[0])


class _Machine:
    def __init__(
        self,
        construction: Construction,
        heads: Sequence[Sequence[int]],
        tokens: Rows,
        other: Prediction | None,
        wanted: dict[tuple[str, str], list[Patch]],
    ) -> None:
        self.construction, self.heads, self.other, self.wanted = construction, heads, other, wanted
        self.length = len(tokens)
        served: dict[tuple[int, int], list[str]] = {}
        for index, layer in enumerate(heads):
            for head, number in enumerate(layer):
                if number != IDLE:
                    served.setdefault((index, number), []).append(f"a{index}.h{head}")
        self.sharing = {name: names for names in served.values() for name in names}
        added = {
            part.name: (part.of_token[tokens] if part.origin == "token" else part.at(slice(0, self.length))).astype(
                np.int64
            )
            for part in construction.fields
            if part.origin != "layers"
        }
        self.terms = {INPUT: Term(added=added, removed={}, is_unknown=np.zeros(self.length, dtype=bool))}

    def look_up(self, index: int, layer: ConstructionLayer) -> None:
        """The terms of the heads of a layer, all of which see the stream before it."""
        made = {}
        for head, number in enumerate(self.heads[index]):
            if number == IDLE:
                continue
            name = f"a{index}.h{head}"
            made[name] = self._head(layer.look_ups[number], name)
        self.terms |= made

    def _head(self, look_up: LookUp, name: str) -> Term:
        asked = [clause.asked for clause in look_up.clauses if clause.asked is not None]
        own, own_unknown = self._hear(name, "q", asked)
        keys, keys_unknown = self._hear(name, "k", [clause.key for clause in look_up.clauses])
        sources, sources_unknown = self._hear(name, "v", [bring.source for bring in look_up.brings])
        target = _find(look_up, own, keys) if look_up.distance is None else find_positions(look_up, sources)
        # A key that nobody knows may be the one that is asked for.
        unknown = own_unknown | np.logical_or.accumulate(keys_unknown) | (target == NOWHERE)
        unknown |= sources_unknown[target]
        added: dict[str, Rows] = {}
        for bring in look_up.brings:
            arriving = np.where(unknown, NOTHING, bring.arriving(sources[bring.source][target])).astype(np.int64)
            added[bring.target] = arriving
        return Term(added=added, removed={}, is_unknown=unknown)

    def fire(self, index: int, layer: ConstructionLayer, *, is_last: bool) -> None:
        """The term of a layer's hidden units; of the last layer its effect on the next token."""
        names = [*(name for table in layer.tables for name in table.reads), *layer.clears]
        values, unknown = self._hear(f"m{index}", "", names)
        added: dict[str, Rows] = {}
        removed: dict[str, Rows] = {}
        empty = UNWRITTEN if is_last else NOTHING
        for name in layer.clears:
            removed[name] = values[name].copy()
        for table in layer.tables:
            rows, units = match_units(table, values)
            for place, name in enumerate(table.writes):
                column = added.setdefault(name, np.full(self.length, empty, dtype=np.int64))
                unknown[rows] |= column[rows] != empty
                column[rows] = table.written[units, place]
                if table.replaced is not None:
                    gone = removed.setdefault(name, np.full(self.length, NOTHING, dtype=np.int64))
                    gone[rows] = table.replaced[units, place]
        self.terms[f"m{index}"] = Term(added=added, removed=removed, is_unknown=unknown)

    def says_what(self, unpatched: Prediction) -> bool:
        """Whether every part so far adds and removes the same as without patches."""
        return all(_is_same(term, unpatched.terms[name]) for name, term in self.terms.items())

    def written(self) -> Rows:
        """The token that each position writes."""
        last = f"m{len(self.construction.layers) - 1}"
        term = self.terms[last]
        answers = {name: column.copy() for name, column in term.added.items()}
        unknown = term.is_unknown.copy()
        for patch in self.wanted.pop((LOGITS, ""), []):
            if patch.source != last:
                continue  # what others add is outvoted
            assert self.other is not None
            theirs = self.other.terms[last]
            rows = slice(None) if patch.position is None else patch.position
            for name in answers:
                answers[name][rows] = theirs.added[name][rows]
            unknown[rows] = theirs.is_unknown[rows]
        found = np.full(self.length, UNKNOWN, dtype=np.int64)
        known = np.flatnonzero(~unknown)
        if not len(known):
            return found
        together = fields_to_tokens(self.construction, {name: column[known] for name, column in answers.items()})
        if together is not None:
            found[known] = together
            return found
        for position in known.tolist():
            row = {name: column[position : position + 1] for name, column in answers.items()}
            token = fields_to_tokens(self.construction, row)
            found[position] = UNKNOWN if token is None else token[0]
        return found

    def _together(self, terms: dict[str, Term]) -> list[Term]:
        """The terms, where those of heads that bring parts of one value are one."""
        found = []
        for part, term in terms.items():
            sharing = self.sharing.get(part, [part])
            if len(sharing) == 1:
                found.append(term)
            elif part == sharing[0]:
                found.append(_joined([terms[name] for name in sharing]))
        return found

    def _hear(
        self, target: str, via: str, names: Iterable[str]
    ) -> tuple[dict[str, Rows], Bool[np.ndarray, " positions"]]:
        """The values that a part reads in some fields, and where they are undetermined."""
        terms = dict(self.terms)
        for patch in self.wanted.pop((target, via), []):
            assert self.other is not None
            if patch.source not in terms:
                continue  # a head that serves nothing adds nothing
            terms[patch.source] = _mixed(terms[patch.source], self.other.terms[patch.source], patch.position)
        unknown = np.zeros(self.length, dtype=bool)
        values = {}
        for name in dict.fromkeys(names):
            writers = [term for term in self._together(terms) if name in term.added or name in term.removed]
            for term in writers:
                unknown |= term.is_unknown
            values[name], is_mixed = _sum(name, writers, self.length)
            unknown |= is_mixed
        return values, unknown


def _joined(terms: Sequence[Term]) -> Term:
    """What heads add that bring parts of one value; it is unknown where they do not agree."""
    names = {name: None for term in terms for name in term.added}
    unknown = np.logical_or.reduce([term.is_unknown for term in terms])
    added: dict[str, Rows] = {}
    for name in names:
        columns = [term.added.get(name, np.full(len(unknown), NOTHING, dtype=np.int64)) for term in terms]
        added[name] = columns[0]
        unknown |= np.logical_or.reduce([column != columns[0] for column in columns])
    return Term(added=added, removed={}, is_unknown=unknown)


def _mixed(own: Term, theirs: Term, position: int | None) -> Term:
    """A term that is another's at one position, or everywhere."""
    if position is None:
        return theirs

    def mix(ours: dict[str, Rows], others: dict[str, Rows]) -> dict[str, Rows]:
        mixed = {}
        for name, column in ours.items():
            mixed[name] = column.copy()
            mixed[name][position] = others[name][position]
        return mixed

    unknown = own.is_unknown.copy()
    unknown[position] = theirs.is_unknown[position]
    return Term(added=mix(own.added, theirs.added), removed=mix(own.removed, theirs.removed), is_unknown=unknown)


def _is_same(one: Term, other: Term) -> bool:
    """Whether two terms of one part are equal, at all positions."""
    if one is other:
        return True
    columns = ((one.added, other.added), (one.removed, other.removed))
    return np.array_equal(one.is_unknown, other.is_unknown) and all(
        ours.keys() == theirs.keys() and all(np.array_equal(column, theirs[name]) for name, column in ours.items())
        for ours, theirs in columns
    )


def _sum(name: str, terms: Sequence[Term], length: int) -> tuple[Rows, Bool[np.ndarray, " positions"]]:
    """The value of a field as the sum of terms, and where that is no one value."""
    added = [term.added[name].copy() for term in terms if name in term.added]
    is_mixed = np.zeros(length, dtype=bool)
    for gone in (term.removed[name] for term in terms if name in term.removed):
        left = gone != NOTHING
        for column in added:
            cancelled = left & (column == gone)
            column[cancelled] = NOTHING
            left &= ~cancelled
        is_mixed |= left
    value = np.full(length, NOTHING, dtype=np.int64)
    for column in added:
        has = column != NOTHING
        is_mixed |= has & (value != NOTHING)
        value[has] = column[has]
    return value, is_mixed


def _find(look_up: LookUp, own: dict[str, Rows], keys: dict[str, Rows]) -> Rows:
    """The position that each position reads, where what it asks with and what is compared may differ."""
    asked = {f"asked {name}": column for name, column in own.items()}
    renamed = LookUp(
        name=look_up.name,
        clauses=tuple(
            clause if clause.asked is None else _asking(clause, f"asked {clause.asked}") for clause in look_up.clauses
        ),
        brings=look_up.brings,
        copies=look_up.copies,
    )
    return find_positions(renamed, {**keys, **asked})


def _asking(clause: Clause, name: str) -> Clause:
    return Clause(key=clause.key, asked=name, of_value=clause.of_value, constant=clause.constant, weight=clause.weight)
