"""The models of a BLIF file, one by one, before their instances are put in place."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from serialformer.arrays import Int, Int32, UInt8, UInt64
from serialformer.circuits.circuit import MAX_FAN_IN
from serialformer.circuits.formats.blif.covers import EITHER, ONE, ZERO, add_wide_covers, rows_to_tables
from serialformer.circuits.formats.blif.latch_lines import LatchLines, read_latches
from serialformer.circuits.formats.gate_list import GateList
from serialformer.circuits.formats.latches import READS_LATCHES, count_latches
from serialformer.circuits.formats.statements import Statements, near_hint, shorten
from serialformer.errors import FormatError

STATEMENTS = (".model", ".inputs", ".outputs", ".names", ".latch", ".subckt", ".conn", ".end", ".exdc", ".blackbox")
ALIASES = {".input": ".inputs", ".output": ".outputs"}
"""Other spellings that BLIF's description has."""

LATCHES = (".latch", ".mlatch", ".flop", ".dff")
_BLOCK = 1 << 15
"""Covers that are read together."""

_TIMING = ("arrival", "required", "drive", "load")
IGNORED = frozenset(
    [f".{kind}_{what}" for kind in ("input", "output", "default_input", "default_output") for what in _TIMING]
    + [".area", ".delay", ".wire", ".wire_load_slope", ".max_input_load", ".default_max_input_load", ".no_merge"]
    + [".clock", ".clocks", ".clock_event", ".cycle", ".wd", ".attr", ".param", ".cname"]
)
"""Lines about timing, load, attributes: they do not change what is computed."""

REFUSED = {
    ".gate": ("cells of a technology library are not supported", "write the mapped network with .names (ABC: unmap)"),
    ".search": ("other files are not read", "put all models into one file"),
    ".start_kiss": ("a state machine is sequential, which is not supported yet", "give its next-state logic alone"),
    ".table": ("this is BLIF-MV; only two-valued BLIF is read", "write the tables with .names"),
    ".mv": ("this is BLIF-MV; only two-valued BLIF is read", "write the tables with .names"),
}

_OTHER_LATCH = ("of the latches only .latch is read", "write it as .latch (Yosys: dfflegalize, then write_blif)")

CONSTANTS = {"$true": 1, "$false": 0, "$undef": 0}
"""Nets that Yosys leaves undriven and means as constants; an undefined value is 0."""


@dataclass(kw_only=True, eq=False)
class Model:
    """A model: gates over its own nets, and the models that it instantiates.

    Attributes:
        name: what ``.subckt`` calls it.
        line: where it begins.
        inputs: its input nets.
        outputs: its output nets.
        input_lines: the line that declares each input.
        output_lines: the line that declares each output.
        net_token: for each net that the file names, the number of its name; nets beyond have none.
        num_nets: all its nets.
        driven, fan_in, arity, table, lines: its gates.
        latches: its latches, over its nets.
        instances: for each model that it instantiates, by name: the lines, and what each connects.
        is_black_box: whether the file says that its inside is elsewhere.
    """

    name: str
    line: int
    inputs: Int[np.ndarray, " inputs"]
    outputs: Int[np.ndarray, " outputs"]
    input_lines: Int[np.ndarray, " inputs"]
    output_lines: Int[np.ndarray, " outputs"]
    net_token: Int[np.ndarray, " named_nets"]
    num_nets: int
    driven: Int[np.ndarray, " gates"]
    fan_in: Int[np.ndarray, "gates K"]
    arity: UInt8[np.ndarray, " gates"]
    table: UInt64[np.ndarray, " gates"]
    lines: Int[np.ndarray, " gates"]
    latches: LatchLines
    instances: dict[str, list[Instance]] = field(default_factory=dict)
    is_black_box: bool = False

    @property
    def port_nets(self) -> Int[np.ndarray, " ports"]:
        """The nets that an instance shares with its parent, each once."""
        return np.unique(np.concatenate([self.inputs, self.outputs]))


@dataclass(frozen=True, slots=True)
class Instance:
    """One ``.subckt``: its line, and the net of the parent that each formal port is connected to."""

    line: int
    actuals: dict[str, int]


class TokenNumbers:
    """Numbers of names: those of the file's tokens, and of actuals in ``formal=actual`` that stand nowhere else."""

    def __init__(self, statements: Statements) -> None:
        self.texts = statements.texts()
        self._number: dict[str, int] | None = None
        self._constants = statements.tokens_of(CONSTANTS)

    def number(self, text: str) -> int:
        """The number of a name, a new one if need be."""
        if self._number is None:  # only a file with instances pays for this
            self._number = {known: number for number, known in enumerate(self.texts)}
        if text not in self._number:
            self._number[text] = len(self.texts)
            self.texts.append(text)
            if text in CONSTANTS:
                self._constants[text] = self._number[text]
        return self._number[text]

    def constants(self) -> dict[int, int]:
        """The numbers of the names that mean constants, and their values."""
        return {number: CONSTANTS[text] for text, number in self._constants.items()}


def read_models(statements: Statements, numbers: TokenNumbers, *, sequential: bool) -> list[Model]:
    """All models of a file, in its order.

    Raises:
        FormatError: a line is not what BLIF has, or the file has no model; or, unless ``sequential``, it has latches.
    """
    index = _index_lines(statements, numbers, sequential)
    marks = np.sort(np.concatenate([index.of_word[word] for word in (".model", ".end", ".exdc")])).tolist()
    models: dict[str, Model] = {}
    start, stop = 0, None
    for mark in [*marks, statements.num_lines]:
        word = numbers.texts[index.heads[mark]] if mark < statements.num_lines else ".end"
        if word == ".exdc":  # external don't-cares, up to .end, leave the network as it stands
            stop = mark if stop is None else stop
            continue
        if word == ".model" and mark == start:
            continue
        if start < mark:
            model = _read_model(statements, numbers, index, start, mark if stop is None else stop)
            if model.name in models:
                raise statements.error(
                    start, f"model {shorten(model.name)} is defined twice", hint="give each model its own name"
                )
            models[model.name] = model
        start, stop = mark + (word != ".model"), None
    return list(models.values())


@dataclass(frozen=True, kw_only=True)
class _LineIndex:
    """Where the lines of a file that begin with a dot are."""

    heads: Int32[np.ndarray, " lines"]
    dots: Int[np.ndarray, " dot_lines"]
    after: Int[np.ndarray, " dot_lines"]
    of_word: dict[str, Int[np.ndarray, " _"]]

    def within(self, word: str, start: int, stop: int) -> Int[np.ndarray, " found"]:
        lines = self.of_word[word]
        low, high = np.searchsorted(lines, (start, stop))
        return lines[low:high]


def _index_lines(statements: Statements, numbers: TokenNumbers, sequential: bool) -> _LineIndex:
    if not statements.num_lines:
        raise statements.error(-1, "expected .model, found nothing", hint="a BLIF file begins with .model NAME")
    heads = statements.tokens[statements.first[:-1]]
    dots = np.flatnonzero(statements.bytes_of_file[statements.text_start[heads]] == ord(".")).astype(heads.dtype)
    if not len(dots) or dots[0] != 0:
        raise statements.error(
            0, f"expected .model, found {statements.line_text(0)}", hint="a BLIF file begins with .model NAME"
        )
    tokens, firsts, counts = np.unique(heads[dots], return_index=True, return_counts=True)
    words = [numbers.texts[token] for token in tokens.tolist()]
    _refuse_words(statements, words, dots[firsts], counts, sequential)
    of_word = {word: np.zeros(0, dtype=np.int64) for word in STATEMENTS}
    for word, token in zip(words, tokens.tolist(), strict=True):
        word = ALIASES.get(word, word)
        if word in of_word:
            of_word[word] = np.sort(np.concatenate([of_word[word], dots[heads[dots] == token]]))
    after = np.append(dots[1:], statements.num_lines)
    return _LineIndex(heads=heads, dots=dots, after=after, of_word=of_word)


def _refuse_words(
    statements: Statements,
    words: list[str],
    firsts: Int[np.ndarray, " words"],
    counts: Int[np.ndarray, " words"],
    sequential: bool,
) -> None:
    """Raises for latches, or else for the first word in the file that is refused or unknown."""
    latches = [place for place, word in enumerate(words) if word in LATCHES]
    if latches and not sequential:
        message = count_latches(int(counts[latches].sum()))
        raise statements.error(int(firsts[latches].min()), message, hint=READS_LATCHES)
    for place in np.argsort(firsts).tolist():
        word, line = words[place], int(firsts[place])
        if word in REFUSED or (word in LATCHES and word != ".latch"):
            message, hint = REFUSED.get(word, _OTHER_LATCH)
            raise statements.error(line, f"{word}: {message}", hint=hint)
        if ALIASES.get(word, word) not in STATEMENTS and word not in IGNORED:
            raise statements.error(
                line,
                f"unknown statement {shorten(word)}",
                hint=near_hint(word.lower(), (*STATEMENTS, *IGNORED), otherwise="remove the line"),
            )


def _read_model(statements: Statements, numbers: TokenNumbers, index: _LineIndex, start: int, stop: int) -> Model:
    """The model on lines start..stop-1, of which the first says .model (or the file begins without)."""
    title = statements.line_tokens(start).tolist()
    named = numbers.texts[title[0]] == ".model"
    if not named and start > 0:
        raise statements.error(
            start, f"expected .model after .end, found {statements.line_text(start)}", hint="remove what follows .end"
        )
    low, high = np.searchsorted(index.dots, (start, stop))
    dots, after = index.dots[low:high], np.minimum(index.after[low:high], stop)
    lines = index.within(".names", start, stop)
    is_names = np.zeros(len(dots), dtype=bool)
    is_names[np.searchsorted(dots, lines)] = True
    stray = dots[~is_names & (after > dots + 1)]
    if len(stray):
        raise statements.error(
            int(stray[0]) + 1,
            f"expected a statement that begins with a dot, found {statements.line_text(int(stray[0]) + 1)}",
            hint="rows stand below .names only; a line that goes on ends in \\",
        )

    ports = {word: _port_tokens(statements, index.within(word, start, stop)) for word in (".inputs", ".outputs")}
    num_nets = statements.first[lines + 1] - statements.first[lines] - 1
    if (num_nets < 1).any():
        raise statements.error(
            int(lines[np.argmax(num_nets < 1)]),
            "expected .names with at least one net",
            hint="the last net is the output",
        )
    names = _take_ranges(statements.tokens, statements.first[lines] + 1, num_nets)
    connections = index.within(".conn", start, stop)
    for line in connections.tolist():
        if len(statements.line_tokens(line)) != 3:
            raise statements.error(line, f"expected .conn FROM TO, found {statements.line_text(line)}", hint="two nets")
    joined = statements.tokens[statements.first[connections][:, None] + np.arange(1, 3)].ravel()
    instances, actuals = _read_instances(statements, numbers, index.within(".subckt", start, stop))
    latches = read_latches(statements, numbers.texts, index.within(".latch", start, stop))
    parts = [ports[".inputs"][0], ports[".outputs"][0], names, joined, latches.tokens(), actuals]
    net_token, local = _renumber(np.concatenate(parts), len(numbers.texts))
    cuts = np.cumsum([len(part) for part in parts[:-1]])
    del parts
    inputs, outputs, names, joined, latched, actuals = np.split(local, cuts)
    latches = latches.with_nets(latched)

    gates = GateList(len(net_token))
    num_rows, name_start = after[is_names] - lines - 1, np.cumsum(num_nets) - num_nets
    for start_cover in range(0, len(lines), _BLOCK):
        block = slice(start_cover, start_cover + _BLOCK)
        here = slice(name_start[start_cover], name_start[block][-1] + num_nets[block][-1])
        _add_covers(statements, gates, lines[block], num_rows[block], names[here], num_nets[block])
    joined = joined.reshape(-1, 2)
    gates.add(joined[:, 1], joined[:, :1], 0b10, connections)
    driven = np.concatenate([names[name_start + num_nets - 1], joined[:, 1], latches.driven])
    input_lines = ports[".inputs"][1]
    if not len(index.within(".inputs", start, stop)) and not instances:
        inputs = _undriven(np.concatenate([_nets_read(names, name_start, num_nets), joined[:, 0], latched]), driven)
        input_lines = np.full(len(inputs), start)
    _add_constants(numbers, gates, net_token, inputs, driven, start)
    del names, name_start, num_nets, num_rows
    driven, fan_in, arity, table, gate_lines = gates.arrays()
    return Model(
        name=numbers.texts[title[1]] if named and len(title) > 1 else "",
        line=start,
        inputs=inputs,
        outputs=outputs,
        input_lines=input_lines,
        output_lines=ports[".outputs"][1],
        net_token=net_token,
        num_nets=gates.num_nets,
        driven=driven,
        fan_in=fan_in,
        arity=arity,
        table=table,
        lines=gate_lines,
        latches=latches,
        instances=_place_instances(instances, actuals),
        is_black_box=len(index.within(".blackbox", start, stop)) > 0,
    )


def _nets_read(
    names: Int[np.ndarray, " nets"], name_start: Int[np.ndarray, " covers"], num_nets: Int[np.ndarray, " covers"]
) -> Int[np.ndarray, " read"]:
    """The nets of ``.names`` lines but for the last of each, which is the output."""
    is_read = np.ones(len(names), dtype=bool)
    is_read[name_start + num_nets - 1] = False
    return names[is_read]


def _undriven(read: Int[np.ndarray, " read"], driven: Int[np.ndarray, " driven"]) -> Int[np.ndarray, " inputs"]:
    """The nets that are read and not driven, in the order in which they are met."""
    nets, first = np.unique(read, return_index=True)
    nets = nets[np.argsort(first, kind="stable")]
    return nets[~np.isin(nets, driven)]


def _port_tokens(
    statements: Statements, lines: Int[np.ndarray, " lines"]
) -> tuple[Int[np.ndarray, " ports"], Int[np.ndarray, " ports"]]:
    """The ports that .inputs or .outputs lines name, and the line of each."""
    counts = statements.first[lines + 1] - statements.first[lines] - 1
    return _take_ranges(statements.tokens, statements.first[lines] + 1, counts), np.repeat(lines, counts)


def _read_instances(
    statements: Statements, numbers: TokenNumbers, lines: Int[np.ndarray, " lines"]
) -> tuple[list[tuple[int, str, list[str]]], Int[np.ndarray, " actuals"]]:
    """For each .subckt line: the line, the model, its formals; and all actuals one after the other, as tokens."""
    instances, actuals = [], []
    for line in lines.tolist():
        model, *pairs = [numbers.texts[token] for token in statements.line_tokens(line)[1:].tolist()] or [""]
        formals = []
        for pair in pairs:
            formal, equals, actual = pair.partition("=")
            if not (formal and equals and actual):
                raise statements.error(
                    line, f"expected formal=actual, found {shorten(pair)}", hint="no spaces around the ="
                )
            formals.append(formal)
            actuals.append(numbers.number(actual))
        if not model:
            raise statements.error(line, "expected .subckt MODEL formal=actual ..., found no model", hint="name it")
        if len(set(formals)) < len(formals):
            twice = next(formal for place, formal in enumerate(formals) if formal in formals[:place])
            raise statements.error(line, f"port {shorten(twice)} is connected twice", hint="connect each port once")
        instances.append((line, model, formals))
    return instances, np.array(actuals, dtype=np.int32)


def _place_instances(
    instances: list[tuple[int, str, list[str]]], actuals: Int[np.ndarray, " actuals"]
) -> dict[str, list[Instance]]:
    """The instances by model, with the actuals as nets."""
    by_model: dict[str, list[Instance]] = {}
    start, nets = 0, actuals.tolist()
    for line, model, formals in instances:
        connected = dict(zip(formals, nets[start : start + len(formals)], strict=True))
        start += len(formals)
        by_model.setdefault(model, []).append(Instance(line, connected))
    return by_model


def _add_covers(
    statements: Statements,
    gates: GateList,
    lines: Int[np.ndarray, " covers"],
    num_rows: Int[np.ndarray, " covers"],
    nets: Int[np.ndarray, " nets"],
    num_nets: Int[np.ndarray, " covers"],
) -> None:
    """Adds the gate of each cover.

    Args:
        statements: the file.
        gates: where the gates go.
        lines: the line of each ``.names``.
        num_rows: how many rows stand below it.
        nets: the nets that the lines name, one line after the other.
        num_nets: how many each names.
    """
    first, data, tokens = statements.first, statements.bytes_of_file, statements.tokens
    arity, net_start = num_nets - 1, np.cumsum(num_nets) - num_nets
    rows = _ranges(lines + 1, num_rows)
    row_gate = np.repeat(np.arange(len(lines)), num_rows)
    width = arity[row_gate]
    plane, value = tokens[first[rows]], tokens[first[rows + 1] - 1]
    plane_start = statements.text_start[plane]
    symbol = data[statements.text_start[value]]
    wrong = first[rows + 1] - first[rows] != 1 + (width > 0)
    wrong |= (width > 0) & (statements.text_length[plane] != width)
    wrong |= (statements.text_length[value] != 1) | ((symbol != ONE) & (symbol != ZERO))
    if not wrong.any():
        is_plane = np.isin(np.arange(256), (ZERO, ONE, EITHER))
        column_row = np.flatnonzero(width > 0)
        for column in range(MAX_FAN_IN):
            column_row = column_row[width[column_row] > column]
            wrong[column_row] |= ~is_plane[data[plane_start[column_row] + column]]
        column_row = column_row[width[column_row] > MAX_FAN_IN]
        wide_row = np.repeat(column_row, width[column_row])
        wide_column = _ranges(np.zeros_like(column_row), width[column_row])
        wide_symbol = data[plane_start[wide_row] + wide_column]
        wrong[wide_row] |= ~is_plane[wide_symbol]
    if wrong.any():
        raise _row_error(statements, int(rows[np.argmax(wrong)]), int(width[np.argmax(wrong)]))
    row_start = np.cumsum(num_rows) - num_rows
    mixed = symbol != symbol[row_start[row_gate]]
    if mixed.any():
        raise statements.error(
            int(rows[np.argmax(mixed)]),
            f"the rows of one .names end in both 0 and 1, here in {chr(symbol[np.argmax(mixed)])}",
            hint="rows say where the output is 1, or all where it is 0",
        )
    complement = np.zeros(len(lines), dtype=bool)
    complement[row_gate] = symbol == ZERO

    narrow = arity <= MAX_FAN_IN
    table = np.zeros(len(lines), dtype=np.uint64)
    if narrow.any():
        kept = np.flatnonzero(narrow[row_gate])
        planes = np.full((len(kept), int(arity[narrow].max())), EITHER, dtype=np.uint8)
        for column in range(planes.shape[1]):
            has = width[kept] > column
            planes[has, column] = data[plane_start[kept[has]] + column]
        place = np.cumsum(narrow) - 1
        table[narrow] = rows_to_tables(planes, place[row_gate[kept]], complement[narrow], arity[narrow])
    for inputs in range(MAX_FAN_IN + 1):
        chosen = np.flatnonzero(arity == inputs)
        fan_in = nets[net_start[chosen][:, None] + np.arange(inputs)]
        gates.add(nets[net_start[chosen] + inputs], fan_in, table[chosen], lines[chosen])
    if narrow.all():
        return
    wide = np.flatnonzero(~narrow)
    place, row_place = np.cumsum(~narrow) - 1, np.cumsum(~narrow[row_gate]) - 1
    literal = np.flatnonzero(wide_symbol != EITHER) if len(rows) else np.zeros(0, dtype=np.int64)
    literal_row = wide_row[literal] if len(rows) else literal
    add_wide_covers(
        gates,
        driven=nets[net_start[wide] + arity[wide]],
        complement=complement[wide],
        lines=lines[wide],
        row_gate=place[row_gate[~narrow[row_gate]]],
        literal_row=row_place[literal_row],
        literal_net=nets[net_start[row_gate[literal_row]] + wide_column[literal]],
        literal_inverted=wide_symbol[literal] == ZERO,
    )


def _row_error(statements: Statements, line: int, width: int) -> FormatError:
    row = f"{width} of 0, 1, -, a space and an output value 0 or 1" if width else "an output value 0 or 1"
    return statements.error(
        line, f"expected a row of {row}, found {statements.line_text(line)}", hint="one column an input of .names"
    )


def _add_constants(
    numbers: TokenNumbers,
    gates: GateList,
    net_token: Int[np.ndarray, " nets"],
    inputs: Int[np.ndarray, " inputs"],
    driven: Int[np.ndarray, " driven"],
    line: int,
) -> None:
    """Drives the nets that by their names are constants, where nothing else does."""
    for token, value in numbers.constants().items():
        net = int(np.searchsorted(net_token, token))
        if net == len(net_token) or net_token[net] != token or net in driven or net in inputs:
            continue
        no_wires = np.zeros((1, 0), dtype=np.int64)
        gates.add(np.array([net], dtype=np.int64), no_wires, value, np.array([line], dtype=np.int64))


def _ranges(starts: Int[np.ndarray, " ranges"], lengths: Int[np.ndarray, " ranges"]) -> Int[np.ndarray, " total"]:
    """The integers of the ranges, one range after the other."""
    shift = starts - (np.cumsum(lengths) - lengths)
    return np.repeat(shift, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)


def _take_ranges(
    values: Int[np.ndarray, " values"], starts: Int[np.ndarray, " ranges"], lengths: Int[np.ndarray, " ranges"]
) -> Int[np.ndarray, " total"]:
    """The values of the ranges, one range after the other."""
    result = np.empty(int(lengths.sum()), dtype=values.dtype)
    end = 0
    for first in range(0, len(starts), _BLOCK):  # places of 64 bits are only made for so many at a time
        block = slice(first, first + _BLOCK)
        taken = values[_ranges(starts[block], lengths[block])]
        result[end : end + len(taken)] = taken
        end += len(taken)
    return result


def _renumber(
    tokens: Int[np.ndarray, " occurrences"], num_tokens: int
) -> tuple[Int[np.ndarray, " distinct"], Int[np.ndarray, " occurrences"]]:
    """The distinct tokens, ascending, and for each occurrence its place among them."""
    if 16 * len(tokens) < num_tokens:  # a small model of a large file
        distinct, places = np.unique(tokens, return_inverse=True)
        return distinct, places.astype(np.int32, copy=False)
    seen = np.zeros(num_tokens, dtype=bool)
    seen[tokens] = True
    places = np.cumsum(seen, dtype=np.int32)
    places -= 1
    return np.flatnonzero(seen).astype(np.int32), places[tokens]
