"""The second half of the proof: the construction does what its claims say, by induction over the positions.

A claim says which tokens the prompt may hold and, for every position that writes, a table: the token at the position
itself, the tokens at the positions that its look-ups read, and the token that is written. Three things are shown.

1. *Look-ups.* What a position asks for is met by one position up to it, the one that the claim names.
2. *Tables.* In every case of the table the unit tables write the token that the claim says, whatever stands in the
   fields that the case leaves open.
3. *Coverage.* Whatever can stand at the positions that are read, by the tables of the positions before, is a case.

Then every prompt's chain is the claim's, token for token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.constructions.claim import ANY, Rule, TableClaim
from serialformer.constructions.construction import NOTHING, Bring, Construction, LookUp
from serialformer.constructions.interpret import UNWRITTEN, fields_to_tokens, fire_tables, rows_to_numbers
from serialformer.errors import CompileError
from serialformer.proofs.logits import Occurring

OPEN = -3
"""The value of a field that a case leaves open. No unit watches for it."""

MAX_DIRECT = 1 << 24
"""Keys below this are looked up in an array, others by sorting."""

MAX_KEYS = 1 << 62
"""The most combinations of values that fit int64."""


class InductionError(Exception):
    """The construction does not do what a claim says.

    Attributes:
        position: the first position that breaks.
    """

    def __init__(self, message: str, position: int | np.integer) -> None:
        super().__init__(message)
        self.position = int(position)


class Keys:
    """The first two positions of each combination of values that positions hold."""

    def __init__(self, columns: Iterable[tuple[np.ndarray, int]]) -> None:
        """Takes, for each field that is compared, its value at each position and how many values there are."""
        self._sizes = []
        number = np.zeros(1, dtype=np.int64)
        for values, num_values in columns:
            self._sizes.append(num_values)
            number = number * (num_values + 1) + values + 1
        num_positions = len(number)
        self.none = num_positions
        total = int(np.prod([size + 1 for size in self._sizes], dtype=object))
        if total > MAX_KEYS:
            raise InductionError("a look-up compares more values than can be told apart", num_positions - 1)
        self._sorted: np.ndarray | None = None
        if total > MAX_DIRECT:
            self._sorted, number = np.unique(number, return_inverse=True)
            total = len(self._sorted)
        self.first, self.again = np.full((2, total), num_positions, dtype=np.int64)
        backward = np.arange(num_positions)[::-1]
        self.first[number[::-1]] = backward
        later = np.flatnonzero(self.first[number] != np.arange(num_positions))[::-1]
        self.again[number[later]] = later

    def find(self, columns: Iterable[np.ndarray]) -> tuple[Int64[np.ndarray, " rows"], Int64[np.ndarray, " rows"]]:
        """The first and the second position that hold these values; the number of positions where there is none."""
        number = np.zeros(1, dtype=np.int64)
        missing = np.zeros(1, dtype=bool)
        for values, size in zip(columns, self._sizes, strict=True):
            missing = missing | (values < 0) | (values >= size)
            number = number * (size + 1) + np.clip(values, -1, size - 1) + 1
        if self._sorted is not None:
            place = np.minimum(np.searchsorted(self._sorted, number), len(self._sorted) - 1)
            missing, number = missing | (self._sorted[place] != number), place
        return np.where(missing, self.none, self.first[number]), np.where(missing, self.none, self.again[number])


def position_keys(construction: Construction, look_up: LookUp, num_positions: int) -> Keys:
    """The keys of a look-up that compares only what positions decide."""
    if look_up.distance is not None:
        raise InductionError(f"look-up {look_up.name} goes by a distance, which only circuits do", num_positions - 1)
    columns = []
    for clause in look_up.clauses:
        part = construction.field_named[clause.key]
        if part.origin != "position":
            message = f"look-up {look_up.name} compares {clause.key}, which the position does not decide"
            raise InductionError(message, num_positions - 1)
        columns.append((np.asarray(part.at(slice(0, num_positions)), dtype=np.int64), part.num_values))
    return Keys(columns)


class Memory:
    """What has been found for one shape of prompt and holds for the next as well."""

    def __init__(self) -> None:
        self.sets: dict[bytes, np.ndarray] = {}
        self.followed: dict[tuple[int, ...], np.ndarray | None] = {}
        self.checked: set[tuple[int, int, bytes]] = set()
        self.tables: dict[tuple[int, ...], _CaseTable] = {}

    def intern(self, allowed: np.ndarray) -> np.ndarray:
        """One array for all that are equal."""
        return self.sets.setdefault(np.packbits(allowed).tobytes(), allowed)

    def table(self, rule: Rule, claim: TableClaim) -> _CaseTable:
        """The cases of a rule; rules that share their cases share it."""
        used = used_look_ups(rule)
        key = id(rule.own), id(rule.read), *used
        if key not in self.tables:
            self.tables[key] = _CaseTable(rule, claim, used)
        return self.tables[key]


def check_consistent(construction: Construction) -> None:
    """Proves that a witness refers only to values that exist.

    Raises:
        InductionError: it does not.
    """

    def demand(holds: bool, what: str) -> None:
        if not holds:
            raise InductionError(f"the construction is inconsistent: {what}", 0)

    fields = construction.field_named
    for part in construction.fields_of("token"):
        values = part.of_token
        in_range = len(values) == len(construction.vocabulary) and bool((values < part.num_values).all())
        demand(in_range and bool((values >= NOTHING).all()), f"tokens hold values that {part.name} has not")
    for name, value in construction.default.items():
        demand(0 <= value < fields[name].num_values, f"the default is a value that {name} has not")
    demand(not construction.layers[-1].clears, "the last layer clears fields")
    for layer in construction.layers:
        for name in (*layer.clears, *(name for table in layer.tables for name in table.writes)):
            demand(fields[name].origin != "position", f"a layer changes {name}, which positions decide")
        for look_up in layer.look_ups:
            for clause in look_up.clauses:
                size, what = fields[clause.key].num_values, f"look-up {look_up.name} asks for a value that there is not"
                if clause.asked is None:
                    demand(0 <= clause.constant < size, what)
                elif clause.of_value is None:
                    demand(fields[clause.asked].num_values == size, what)
                else:
                    demand(len(clause.of_value) == fields[clause.asked].num_values, what)
                    demand(all(NOTHING <= value < size for value in clause.of_value), what)
            for bring in look_up.brings:
                size, what = fields[bring.target].num_values, f"look-up {look_up.name} brings a value that there is not"
                demand(fields[bring.target].origin != "position", what)
                if bring.of_value is None:
                    demand(fields[bring.source].num_values == size, what)
                else:
                    demand(len(bring.of_value) == fields[bring.source].num_values, what)
                    demand(all(NOTHING <= value < size for value in bring.of_value), what)
        for table in layer.tables:
            for place, name in enumerate(table.reads):
                watched = table.watched[:, place]
                demand(
                    bool(((watched >= 0) & (watched < fields[name].num_values)).all()),
                    f"table {table.name} watches for values that {name} has not",
                )
            for place, name in enumerate(table.writes):
                written = table.written[:, place]
                demand(
                    bool(((written >= NOTHING) & (written < fields[name].num_values)).all()),
                    f"table {table.name} writes values that {name} has not",
                )


def check_table_claim(construction: Construction, claim: TableClaim, memory: Memory | None = None) -> Occurring:
    """Shows that a construction of one layer does what a claim says.

    Args:
        construction: what is to do it.
        claim: for prompts of one shape.
        memory: shared by the claims of one construction.

    Returns:
        Which tokens occur where.

    Raises:
        InductionError: it does not; names the first position that breaks.
    """
    num_positions = claim.num_prompt - 1 + claim.num_written
    checker = _TableChecker(construction, claim, num_positions, memory or Memory())
    problems = []
    for rule in claim.rules:
        try:
            checker.check_look_ups(rule)
            checker.check_cases(rule)
        except InductionError as error:
            problems.append(error)
    occurring, coverage = checker.cover()
    if coverage is not None:
        problems.append(coverage)
    elif not problems:
        checker.check_joins()
    if problems:
        raise min(problems, key=lambda error: error.position)
    return occurring


class _TableChecker:
    def __init__(self, construction: Construction, claim: TableClaim, num_positions: int, memory: Memory) -> None:
        self.construction, self.claim, self.num_positions = construction, claim, num_positions
        self.memory = memory
        (self.layer,) = construction.layers
        for look_up in self.layer.look_ups:
            if any(construction.field_named[bring.source].origin != "token" for bring in look_up.brings):
                raise InductionError(f"look-up {look_up.name} brings what no token decides", claim.num_prompt - 1)
        self.keys = [position_keys(construction, look_up, num_positions) for look_up in self.layer.look_ups]
        self.sets: list[np.ndarray] = []
        self.of_position = {
            part.name: np.asarray(part.at(slice(0, num_positions)), dtype=np.int64)
            for part in construction.fields_of("position")
        }

    def check_look_ups(self, rule: Rule) -> None:
        """Checks that each look-up reads the position that the claim names, whatever token the case has."""
        construction = self.construction
        for number, (look_up, keys) in enumerate(zip(self.layer.look_ups, self.keys, strict=True)):
            asked_of_token = [
                clause.asked
                for clause in look_up.clauses
                if clause.asked is not None and construction.field_named[clause.asked].origin == "token"
            ]
            tokens = np.zeros(1, dtype=np.int64)
            if asked_of_token:
                own = np.arange(len(construction.vocabulary)) if (rule.own == ANY).any() else np.unique(rule.own)
                held_by = np.stack([construction.field_named[name].of_token[own] for name in asked_of_token], axis=1)
                tokens = own[np.unique(held_by, axis=0, return_index=True)[1]]
            for token in tokens:
                columns = []
                for clause in look_up.clauses:
                    held = None
                    if clause.asked is not None:
                        part = construction.field_named[clause.asked]
                        if part.origin == "layers":
                            raise InductionError(f"look-up {look_up.name} asks for what is brought", rule.positions[0])
                        held = (
                            part.of_token[[token]]
                            if part.origin == "token"
                            else self.of_position[part.name][rule.positions]
                        )
                    columns.append(np.broadcast_to(clause.wanted(held), rule.positions.shape))
                first, again = keys.find(columns)
                wrong = (first > rule.positions) | (again <= rule.positions)
                reason = f"look-up {look_up.name} finds no one position"
                if (rule.read[:, number] != ANY).any() and not wrong.any():
                    wrong = first != rule.sources[:, number]
                    reason = f"look-up {look_up.name} reads another position than the claim says"
                if wrong.any():
                    raise InductionError(reason, int(rule.positions[np.argmax(wrong)]))

    def check_cases(self, rule: Rule) -> None:
        """Checks that the unit tables write what each case says, for every kind of position of the rule."""
        construction = self.construction
        read = sorted({name for table in self.layer.tables for name in table.reads} & set(self.of_position))
        kinds = np.stack([self.of_position[name][rule.positions] for name in read], axis=1) if read else None
        if kinds is None:
            kinds = np.zeros((len(rule.positions), 0), dtype=np.int64)
        different, where = np.unique(kinds, axis=0, return_index=True)
        for kind, row in zip(different, where, strict=True):
            key = (id(rule.own), id(rule.read), kind.tobytes())
            if key in self.memory.checked:
                continue
            position = int(rule.positions[row])
            values = {name: np.full(len(rule.own), value) for name, value in zip(read, kind.tolist(), strict=True)}
            try:
                expected = self._write(rule, values)
            except CompileError as error:
                raise InductionError(str(error), position) from None
            if expected is None or not np.array_equal(expected, rule.expected):
                raise InductionError(f"{construction.name} writes another token than the claim says", position)
            self.memory.checked.add(key)

    def _write(self, rule: Rule, values: dict[str, np.ndarray]) -> Int64[np.ndarray, " cases"] | None:
        """The token that is written in each case of a rule."""
        construction = self.construction
        for part in construction.fields_of("token"):
            values[part.name] = np.where(rule.own == ANY, OPEN, part.of_token[rule.own])
        for part in construction.fields_of("layers"):
            values[part.name] = np.full(len(rule.own), NOTHING)
        for number, look_up in enumerate(self.layer.look_ups):
            read = rule.read[:, number]
            for bring in look_up.brings:
                source = construction.field_named[bring.source]
                arriving = np.where(read == ANY, OPEN, bring.arriving(source.of_token)[read])
                held = values[bring.target]
                if ((held >= 0) & (arriving >= 0)).any():
                    raise CompileError(f"{bring.target} holds a value that another joins")
                both = np.where(arriving == NOTHING, held, np.where(held == NOTHING, arriving, OPEN))
                values[bring.target] = both
        for table in self.layer.tables:
            _check_open(table.reads, table.watched, values, table.name)
        _, answers = fire_tables(self.layer, values, True)
        if answers and not _all_or_nothing(answers):
            raise CompileError("some units write only a part of a token's fields")
        return fields_to_tokens(construction, answers)

    def cover(self) -> tuple[Occurring, InductionError | None]:
        """Follows which tokens can stand at each position; each combination that is read must be a case."""
        claim, num_tokens = self.claim, len(self.construction.vocabulary)
        rule_of, row_of = np.full(self.num_positions, -1), np.zeros(self.num_positions, dtype=np.int64)
        for number, rule in enumerate(claim.rules):
            rule_of[rule.positions], row_of[rule.positions] = number, np.arange(len(rule.positions))
        memory = self.memory
        sets = [memory.intern(allowed) for allowed in claim.prompt]
        current, written = np.zeros(num_tokens, dtype=bool), np.zeros(num_tokens, dtype=bool)
        anywhere = np.logical_or.reduce([allowed.any(axis=0) for allowed in sets])
        tables = [memory.table(rule, claim) for rule in claim.rules]
        problem = None
        for position in range(claim.num_prompt - 1, self.num_positions):
            number = int(rule_of[position])
            if number < 0:
                problem = InductionError("the claim does not say what is written", position)
                break
            sources = claim.rules[number].sources[row_of[position]]
            read = [sets[position], *(sets[source] for source in sources[tables[number].used])]
            is_anchor = [source == claim.anchor for source in sources[tables[number].used].tolist()]
            key = (id(tables[number]), *(id(allowed) for allowed in read))
            if key not in memory.followed:
                memory.followed[key] = tables[number].follow(read, is_anchor)
            result = memory.followed[key]
            if result is None:
                problem = InductionError("something that can be read is no case of the claim", position)
                break
            current |= sets[position].any(axis=0)
            written |= result.any(axis=0)
            sets.append(memory.intern(result))
        self.sets = sets
        return Occurring(anywhere=anywhere | written, current=current, written=written), problem

    def check_joins(self) -> None:
        """Checks that no field receives two values, counting the token's own, for all tokens that can occur.

        Cases may leave a field open. The sum of two codes is not a code, whether or not a unit reads it.
        """
        fields, joining = self.construction.field_named, dict[str, list[tuple[int, Bring]]]()
        for number, look_up in enumerate(self.layer.look_ups):
            for bring in look_up.brings:
                joining.setdefault(bring.target, []).append((number, bring))
        stands = np.stack([allowed.any(axis=0) for allowed in self.sets])
        for target, brings in joining.items():
            of_token = fields[target].of_token if fields[target].origin == "token" else None
            if of_token is None and len(brings) == 1:
                continue
            arrives = list[tuple[int, np.ndarray]]()
            for number, bring in brings:
                brought = stands & (bring.arriving(fields[bring.source].of_token) >= 0)
                arrives.append((number, np.logical_or.reduce(brought, axis=1)))
            for position in range(self.claim.num_prompt - 1, self.num_positions):
                tokens = np.flatnonzero(stands[position])
                held = np.zeros(len(tokens), dtype=np.int64)
                if of_token is not None:
                    held = held + (of_token[tokens] >= 0)
                for number, somewhere in arrives:
                    held = held + somewhere[self._sources(number, position, tokens)]
                if (held > 1).any():
                    raise InductionError(f"{target} may hold a value that another joins", position)

    def _sources(self, number: int, position: int, tokens: np.ndarray) -> Int64[np.ndarray, " tokens"]:
        """For each token that can occur at a position, the position that a look-up reads from there."""
        columns = []
        for clause in self.layer.look_ups[number].clauses:
            held = None
            if clause.asked is not None:
                part = self.construction.field_named[clause.asked]
                is_token = part.origin == "token"
                held = part.of_token[tokens] if is_token else self.of_position[part.name][[position]]
            columns.append(np.broadcast_to(clause.wanted(held), tokens.shape))
        return np.broadcast_to(self.keys[number].find(columns)[0], tokens.shape)


def _all_or_nothing(answers: dict[str, np.ndarray]) -> bool:
    """Whether each case has all answers or none."""
    missing = np.stack([answer == UNWRITTEN for answer in answers.values()])
    return bool((missing.all(axis=0) | ~missing.any(axis=0)).all())


def _check_open(reads: tuple[str, ...], watched: np.ndarray, values: dict[str, np.ndarray], name: str) -> None:
    """Checks that no unit can fire in a case that leaves open a field that it reads."""
    open_fields = np.stack([values[read] == OPEN for read in reads], axis=1)
    (rows,) = np.nonzero(open_fields.any(axis=1))
    if not len(rows):
        return
    columns = np.stack([values[read][rows] for read in reads], axis=1)
    different = np.unique(columns, axis=0)
    for column in different:
        known = column != OPEN
        matches = (watched[:, known] == column[known][None, :, None]).any(axis=2).all(axis=1)
        if matches.any():
            raise CompileError(f"table {name} depends on a token that the claim says does not matter")


def used_look_ups(rule: Rule) -> list[int]:
    """The look-ups on which some case of a rule depends; of those that always read the same, the first.

    >>> read = np.array([[0, 0, ANY, 1], [1, 1, ANY, 0]])
    >>> own, sources = np.array([0, 0]), np.array([[3, 3, 5, 4]])
    >>> used_look_ups(Rule(positions=np.array([6]), sources=sources, own=own, read=read, expected=own))
    [0, 3]
    """
    used: list[int] = []
    for number in np.flatnonzero((rule.read != ANY).any(axis=0)).tolist():
        is_repeated = any(
            np.array_equal(rule.read[:, number], rule.read[:, other])
            and np.array_equal(rule.sources[:, number], rule.sources[:, other])
            for other in used
        )
        if not is_repeated:
            used.append(number)
    return used


class _CaseTable:
    """The cases of a rule, for following which tokens can be read and written.

    Attributes:
        used: the look-ups on which some case depends.
        columns: the token at the position itself and those that these look-ups read.
        is_exact: whether cases are all different and leave nothing open.
    """

    def __init__(self, rule: Rule, claim: TableClaim, used: Sequence[int]) -> None:
        self.rule, self.claim = rule, claim
        self.used = np.array(used, dtype=np.int64)
        self.columns = np.concatenate([rule.own[:, None], rule.read[:, self.used]], axis=1)
        self.is_exact = bool((self.columns != ANY).all())
        if self.is_exact:
            numbers = rows_to_numbers(self.columns, [int(column.max(initial=0)) + 1 for column in self.columns.T])
            self.is_exact = len(np.unique(numbers)) == len(numbers)

    def follow(
        self, read: list[np.ndarray], is_anchor: Sequence[bool]
    ) -> Bool[np.ndarray, "anchors vocabulary"] | None:
        """The tokens that can be written where these can stand; None if some combination is no case.

        Args:
            read: for the position itself and each look-up in use the tokens that can stand there, by token of the
            anchor.
            is_anchor: for each look-up in use whether it reads the anchor.
        """
        anchors = [place for place, anchor in enumerate(is_anchor) if anchor]
        if anchors and self.is_exact:
            return self._follow_all(read, 1 + anchors[0])
        written = np.zeros_like(read[0])
        for anchor in range(len(written)):
            cases = np.arange(len(self.columns))
            sets = [allowed[anchor] for allowed in read]
            matching = np.ones(len(cases), dtype=bool)
            for column, allowed in zip(self.columns.T, sets, strict=True):
                matching &= allowed[column] | (column == ANY)
            if not covers(self.columns[matching], sets):
                return None
            written[anchor, self.rule.expected[matching]] = True
        return written

    def _follow_all(self, read: list[np.ndarray], place: int) -> Bool[np.ndarray, "anchors vocabulary"] | None:
        """The same for all tokens of the anchor at once, where cases are different and leave nothing open."""
        assert self.claim.anchor_tokens is not None
        number = np.full(read[0].shape[1], -1)
        number[self.claim.anchor_tokens] = np.arange(len(self.claim.anchor_tokens))
        anchor = number[self.columns[:, place]]
        matching, sizes = anchor >= 0, np.ones(len(read[0]), dtype=np.int64)
        for column, allowed in zip(self.columns.T, read, strict=True):
            matching &= allowed[anchor, column]
            sizes *= allowed.sum(axis=1)
        if not np.array_equal(np.bincount(anchor[matching], minlength=len(sizes)), sizes):
            return None
        written = np.zeros_like(read[0])
        written[anchor[matching], self.rule.expected[matching]] = True
        return written


def covers(cases: Int64[np.ndarray, "cases columns"], sets: list[Bool[np.ndarray, " vocabulary"]]) -> bool:
    """Whether every combination of tokens of the sets is a case, where ANY stands for each.

    >>> both = np.array([True, True])
    >>> covers(np.array([[0, ANY], [1, 0]]), [both, both]), covers(np.array([[0, ANY], [1, 0], [1, 1]]), [both, both])
    (False, True)
    """
    is_any = cases == ANY
    kept = [column for column in range(len(sets)) if not is_any[:, column].all()]
    cases, is_any, sets = cases[:, kept], is_any[:, kept], [sets[column] for column in kept]
    if not len(cases):
        return False
    if not sets:
        return True
    if not is_any.any():
        size = int(np.prod([int(allowed.sum()) for allowed in sets], dtype=object))
        return len(cases) >= size and len(np.unique(cases, axis=0)) == size
    # Where some cases leave a column open, go by the tokens of one that none does.
    split = int(np.argmin(is_any.any(axis=0)))
    for token in np.flatnonzero(sets[split]):
        chosen = is_any[:, split] | (cases[:, split] == token)
        rest = np.delete(cases[chosen], split, axis=1)
        if not covers(rest, sets[:split] + sets[split + 1 :]):
            return False
    return True
