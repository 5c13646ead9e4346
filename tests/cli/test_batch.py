"""Tables of runs: any number of rows in bounded memory, every spelling of a number, whole files or none."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import CircuitBuilder, Model, SerialformerError
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.words import Word
from serialformer.cli import run as run_module
from serialformer.decode.dense import DenseEngine
from serialformer.models import tables


def copier(*widths: int) -> Model:
    """A model that copies each input word ``a0``, ``a1``, ... to an output word."""
    build = CircuitBuilder()
    for index, width in enumerate(widths):
        build.outputs(f"y{index}", build.inputs(f"a{index}", width))
    return serialformer.compile(build.circuit())


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Model, str], str]:
    """Runs a table through a model; returns the table that comes out."""

    def call(model: Model, text: str) -> str:
        (tmp_path / "in.csv").write_bytes(text.encode())
        run_module._run_batch(model, tmp_path / "in.csv", tmp_path / "out.csv", "dense")
        return (tmp_path / "out.csv").read_bytes().decode()

    return call


def test_every_spelling(run: Callable[[Model, str], str]) -> None:
    wide = (1 << 99) + 12345
    text = f'\ufeffa1, a0 \r\n{wide}, 7\r\n{hex(wide)},0b101\r\n\r\n"{wide:_}","6\n"\r\n0,0X2'
    assert run(copier(3, 100), text) == f"y0,y1\n7,{wide}\n5,{wide}\n6,{wide}\n2,0\n"


def test_words_of_64_bits(run: Callable[[Model, str], str]) -> None:
    largest = (1 << 64) - 1
    assert run(copier(64), f"a0\n{largest}\n0\n{1 << 63}\n") == f"y0\n{largest}\n0\n{1 << 63}\n"


def test_no_rows(run: Callable[[Model, str], str]) -> None:
    assert run(copier(3), "a0\n") == run(copier(3), "a0") == run(copier(3), "a0\n\n\n") == "y0\n"


def test_names_that_need_quotes(run: Callable[[Model, str], str]) -> None:
    build = CircuitBuilder()
    build.output('y "1", 2', build.input("a, b"))
    assert run(serialformer.compile(build.circuit()), '"a, b"\n1\n') == '"y ""1"", 2"\n1\n'


def test_a_bit_that_a_word_does_not_have(run: Callable[[Model, str], str]) -> None:
    circuit = Circuit(
        num_inputs=2,
        fan_in=np.empty((0, 2), dtype=np.int32),
        arity=np.empty(0, dtype=np.uint8),
        table=np.empty(0, dtype=np.uint64),
        outputs=np.array([0, 1], dtype=np.int32),
        input_words=(Word(name="x", bits=(0, -1, 1)),),
        output_words=(Word(name="y", bits=(1, -1, 0)),),
    )
    model = serialformer.compile(circuit)
    assert run(model, "x\n5\n1\n4\n") == "y\n5\n4\n1\n"
    with pytest.raises(SerialformerError, match=r"in.csv:3: x=2 sets bit 1, which the word does not have"):
        run(model, "x\n5\n2\n")


@pytest.mark.parametrize("bad", [0, 1, 5, 6, 9])
def test_the_line_of_a_bad_row_whatever_the_blocks(
    bad: int, tmp_path: Path, run: Callable[[Model, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DenseEngine, "rows_at_once", lambda self, num_tokens: 3)
    rows = [str(row % 8) for row in range(10)]
    assert run(copier(3), "a0\n" + "\n".join(rows)) == "y0\n" + "".join(f"{row}\n" for row in rows)
    before = (tmp_path / "out.csv").read_bytes()
    rows[bad] = "8"
    # A quoted line end and empty lines count as lines.
    text = '"a0\n"\n\n' + "\n".join(rows)
    with pytest.raises(SerialformerError, match=rf"in.csv:{4 + bad}: a0=8 does not fit its 3 bits"):
        run(copier(3), text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]
    assert (tmp_path / "out.csv").read_bytes() == before, "the table of the run before is still there"


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = copier(16, 16)
    monkeypatch.setattr(Model, "run_bits", lambda self, bits, engine: bits)  # only the table is measured
    peaks = []
    for num_rows in (10_000, 100_000):
        text = "a0,a1\n" + "".join(f"{row % 65536},{row // 7}\n" for row in range(num_rows))
        (tmp_path / "in.csv").write_text(text)
        tracemalloc.start()
        run_module._run_batch(model, tmp_path / "in.csv", tmp_path / "out.csv", "dense")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (tmp_path / "out.csv").read_text() == text.replace("a", "y")
    assert peaks[1] < 2 * peaks[0] < 10_000_000


def test_counting_rows(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n2\n")
    assert tables.count_rows(tmp_path / "in.csv") == 2
    assert tables.count_rows(Path(os.devnull)) is None


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a0\n3\n")
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    run_module._run_batch(copier(2), tmp_path / "in.csv", tmp_path / "link.csv", "dense")
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "real.csv").read_text() == "y0\n3\n"


def test_from_pipe_to_pipe(tmp_path: Path) -> None:
    directory = copier(2).save(tmp_path / "model").directory
    command = [
        sys.executable,
        "-m",
        "serialformer",
        "run",
        str(directory),
        "--batch",
        "/dev/stdin",
        "-o",
        "/dev/stdout",
    ]
    result = subprocess.run(command, input="a0\n3\n1\n", capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("y0\n3\n1\n", "")


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    directory = copier(2).save(tmp_path / "model").directory
    (tmp_path / "in.csv").write_text("a0\n" + "3\n" * 20_000)
    before = sorted(path.name for path in tmp_path.iterdir())
    program = (
        "import sys; from serialformer.cli.main import main; import resource;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)); main()"
    )
    command = [sys.executable, "-c", program, "run", str(directory), "--batch", "in.csv", "-o", "out.csv"]
    command += ["--engine", "dense"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 2 and resource.RLIMIT_FSIZE
    assert result.stderr.startswith("error: out.csv: cannot be written: File too large")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
