"""Tables of words: CSV with a column for each word, read and written a block of rows at a time."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from serialformer.arrays import UInt8
from serialformer.circuits.value_text import parse_value
from serialformer.circuits.word_columns import bits_to_columns, columns_to_bits
from serialformer.circuits.words import ABSENT, Word
from serialformer.decode.engine import Engine
from serialformer.errors import InputError, SerialformerError
from serialformer.files import new_file, open_file
from serialformer.models.model import Model

_LINE_END = re.compile("\r\n|\r|\n")


def read_blocks(path: Path, words: Sequence[Word], num_rows: int) -> Iterator[UInt8[np.ndarray, "rows bits"]]:
    """The bits of the rows of a CSV file whose header names the words, in any order, ``num_rows`` of them at a time.

    The file is opened, and its header read, when the first block is asked for.

    Raises:
        InputError: a column is missing, unknown or repeated, or a value does not fit; with file and line.
    """
    with open_file(path) as file:
        reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        try:
            header = next(reader, None)
            if header is None:
                raise InputError("is empty", where=str(path), hint=_expected(words))
            by_name = {word.name: word for word in words}
            header = [name.strip() for name in header]
            _check_header(header, by_name, path)
            columns = [by_name[name] for name in header]
            num_bits = sum(len(word.places) for word in words)
            while True:
                line = reader.line_num
                rows = list(islice(reader, num_rows))
                if not rows:
                    return
                bits = _rows_to_bits([row for row in rows if row], columns, num_bits)
                if bits is None:
                    _refuse(rows, columns, path, line)
                else:
                    yield bits
        except csv.Error as error:
            raise InputError(f"is not CSV: {error}", where=f"{path}:{reader.line_num}") from None
        except UnicodeDecodeError as error:
            raise InputError(f"is not UTF-8 text: {error.reason}", where=str(path)) from None
        except OSError as error:
            raise SerialformerError(f"cannot be read: {error.strerror}", where=str(path)) from None


def run_table(
    model: Model,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    engine: str | Engine = "auto",
    progress: Callable[[int], None] | None = None,
) -> None:
    """Runs a compiled model on each row of a CSV table of its input words and writes a CSV table of its output words.

    Args:
        model: of a circuit.
        source: the inputs; the header names the words, in any order; values are decimal, 0x or 0b.
        target: where the outputs go, whole or not at all.
        engine: the name of an engine, or one made before.
        progress: called with the number of rows of each block that is done.

    Raises:
        InputError: a column is missing, unknown or repeated, or a value does not fit; with file and line.
    """
    chosen = model.batch_engine(engine) if isinstance(engine, str) else engine
    blocks = read_blocks(Path(source), model.inputs, model.rows_per_block(chosen))
    answers = (model.run_bits(bits, engine=chosen) for bits in blocks)
    write_table(Path(target), model.outputs, answers, progress)


def count_rows(path: Path) -> int | None:
    """About how many rows a CSV file has, for a progress bar; None if that cannot be known before it is read."""
    if not path.is_file():
        return None
    with open_file(path) as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return max(0, lines - 1)


def write_header(file: BinaryIO, words: Sequence[Word]) -> None:
    """Writes the names of the words as the first line of a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow([word.name for word in words])
    file.write(text.getvalue().encode())


def write_block(file: BinaryIO, words: Sequence[Word], bits: UInt8[np.ndarray, "rows bits"]) -> None:
    """Appends a row of values for each row of bits."""
    columns = bits_to_columns(words, bits)
    # A row of no fields is an empty line.
    rows: Iterable[tuple[int, ...]] = zip(*columns, strict=True) if columns else [()] * len(bits)
    line = ",".join(["%d"] * len(columns)) + "\n"
    file.write("".join([line % row for row in rows]).encode())


def write_table(
    path: Path,
    words: Sequence[Word],
    blocks: Iterator[UInt8[np.ndarray, "_ bits"]],
    progress: Callable[[int], None] | None = None,
) -> None:
    """Writes a CSV file from blocks of bits, whole or not at all.

    The first block is made before the file is begun, so that whatever is wrong with its source is raised first.
    ``progress`` is called with the number of rows of each block that is written.
    """
    first = next(blocks, None)
    with new_file(path) as file:
        write_header(file, words)
        for bits in blocks if first is None else chain([first], blocks):
            write_block(file, words, bits)
            if progress is not None:
                progress(len(bits))


def _check_header(header: list[str], by_name: dict[str, Word], path: Path) -> None:
    if sorted(header) == sorted(by_name):
        return
    missing, unknown = set(by_name) - set(header), set(header) - set(by_name)
    problem = "; ".join(
        f"{what} {', '.join(sorted(names)[:8])}"
        for what, names in (("no column", missing), ("unknown column", unknown))
        if names
    )
    words = list(by_name.values())
    raise InputError(problem or "a column occurs twice", where=f"{path}:1", hint=_expected(words))


def _rows_to_bits(
    rows: list[list[str]], columns: Sequence[Word], num_bits: int
) -> UInt8[np.ndarray, "rows bits"] | None:
    """The bits of all rows; None if anything in any of them is wrong."""
    try:
        texts = zip(*rows, strict=True) if rows else [()] * len(columns)
        values = [_parse_column(column) for column in texts]
    except ValueError:
        return None
    return columns_to_bits(columns, values, len(rows), num_bits) if len(values) == len(columns) else None


def _parse_column(texts: Sequence[str]) -> list[int]:
    try:
        return list(map(int, texts))  # what ``parse_value`` does with decimals, but for the sign
    except ValueError:
        return [parse_value(text, "") for text in texts]


def _refuse(rows: list[list[str]], columns: Sequence[Word], path: Path, line: int) -> None:
    """Finds the first thing wrong in rows that ``_rows_to_bits`` could not read, and says its line."""
    for fields in rows:
        line += 1 + sum(len(_LINE_END.findall(field)) for field in fields)
        where = f"{path}:{line}"
        if not fields:
            continue
        if len(fields) != len(columns):
            raise InputError(f"expected {len(columns)} fields, found {len(fields)}", where=where)
        for word, field in zip(columns, fields, strict=True):
            value = parse_value(field, f"{where} ({word.name})")
            if value.bit_length() > word.width:
                raise InputError(f"{word.name}={value} does not fit its {word.width} bits", where=where)
            for index, place in enumerate(word.bits):
                if place == ABSENT and value >> index & 1:
                    raise InputError(f"{word.name}={value} sets bit {index}, which the word does not have", where=where)
    raise AssertionError("a block of rows that cannot be read has a row that cannot")


def _expected(words: Sequence[Word]) -> str:
    return "the columns are the input words: " + ", ".join(word.name for word in words[:12])
