"""Tables of words: CSV with a column a word."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from serialformer.circuits.words import Word
from serialformer.cli.values import parse_value
from serialformer.errors import InputError
from serialformer.files import read_file, write_file


def read_rows(path: Path, words: Sequence[Word]) -> list[dict[str, int]]:
    """The rows of a CSV file whose header names the words, in any order.

    Raises:
        InputError: a column is missing, unknown or repeated, or a value does not fit; with file and line.
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text: {error.reason}", where=str(path)) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(reader, None)
        if header is None:
            raise InputError("is empty", where=str(path), hint=_expected(words))
        header = [name.strip() for name in header]
        widths = {word.name: word.width for word in words}
        if sorted(header) != sorted(widths):
            missing, unknown = set(widths) - set(header), set(header) - set(widths)
            problem = "; ".join(
                f"{what} {', '.join(sorted(names)[:8])}"
                for what, names in (("no column", missing), ("unknown column", unknown))
                if names
            )
            raise InputError(problem or "a column occurs twice", where=f"{path}:1", hint=_expected(words))
        rows = []
        for fields in reader:
            where = f"{path}:{reader.line_num}"
            if not fields:
                continue
            if len(fields) != len(header):
                raise InputError(f"expected {len(header)} fields, found {len(fields)}", where=where)
            row = {name: parse_value(field, f"{where} ({name})") for name, field in zip(header, fields, strict=True)}
            for name, value in row.items():
                if value.bit_length() > widths[name]:
                    raise InputError(f"{name}={value} does not fit its {widths[name]} bits", where=where)
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"is not CSV: {error}", where=f"{path}:{reader.line_num}") from None
    return rows


def write_rows(path: Path, names: Sequence[str], rows: Iterable[Mapping[str, int]]) -> None:
    """Writes a CSV file with a header; the file is there whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([row[name] for name in names])
    write_file(path, text.getvalue().encode())


def _expected(words: Sequence[Word]) -> str:
    return "the columns are the input words: " + ", ".join(word.name for word in words[:12])
