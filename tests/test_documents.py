"""The README's programs do what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import serialformer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


DESIGN = """
module NAME(input clk, input go, output [3:0] out);
  reg [3:0] count = 0;
  always @(posedge clk) if (go) count <= count + 1;
  assign out = count;
endmodule
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example compiled in it, as the README has it."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "in.csv").write_text("a,b\n2,3\n")
    (folder / "design.v").write_text(DESIGN)
    (folder / "stimulus.csv").write_text("go\n1\n0\n1\n")
    serialformer.compile(ROOT / "examples" / "multiplier16.blif").save(folder / "multiplier")
    serialformer.compile(serialformer.read(f"{ROOT}/examples/gcd.py:gcd")).save(folder / "gcd")
    serialformer.compile(serialformer.read_sequential(folder / "design.v")).save(folder / "design")
    return folder


def test_program_for_transformers(folder: Path) -> None:
    pytest.importorskip("transformers")
    (program,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.S) if ">>>" not in block]
    expected = re.findall(r"print\(.*#\s*(\S+)$", program, re.M)
    # The whole chain takes transformers some 20 s; a smaller multiplier shows as much.
    small = program.replace('"multiplier"', '"small"').replace("016b", "04b").replace("[-32:]", "[-8:]")
    small = small.replace("51234", "13").replace("47111", "11")
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        from make_multiplier import multiplier
    finally:
        sys.path.pop(0)
    serialformer.compile(multiplier(4)).save(folder / "small")
    run = subprocess.run([sys.executable, "-c", small], cwd=folder, capture_output=True, text=True, check=True)
    assert run.stdout == f"{13 * 11}\n"
    assert expected == [str(51234 * 47111)]


def commands() -> list[str]:
    block = README.partition("## On the command line\n")[2].partition("\n## ")[0]
    return [line.strip() for line in block.splitlines() if line.startswith("    serialformer ")]


@pytest.mark.parametrize("command", commands())
def test_commands(command: str, folder: Path) -> None:
    call, _, comment = command.partition("#")
    words = shlex.split(call)[1:]
    if words[0] == "compile":
        words[-1] = f"{words[-1]} again"
    if words[0] == "verify":
        words[-1] = "3"
    run = subprocess.run(
        [sys.executable, "-m", "serialformer", *words], cwd=folder, capture_output=True, text=True, check=True
    )
    promised = comment.strip().removesuffix("...").strip()
    if promised.startswith(("product=", "out=", "t0 ")):
        assert promised in run.stdout
    assert run.stderr == ""


def test_there_are_commands() -> None:
    assert len(commands()) == 12


def test_the_example_is_what_its_program_makes() -> None:
    made = subprocess.run(
        [
            sys.executable,
            "-c",
            "from make_multiplier import multiplier; import sys;"
            "from serialformer.circuits.blif import format_blif; sys.stdout.buffer.write(format_blif(multiplier(16)))",
        ],
        cwd=ROOT / "examples",
        capture_output=True,
        check=True,
    )
    assert made.stdout == (ROOT / "examples" / "multiplier16.blif").read_bytes()
