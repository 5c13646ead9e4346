"""Runs Berkeley's ABC in a separate process: it restructures AND graphs and proves circuits equal.

Looked for in this order: the one that pyosys ships (the extra ``hdl``), then ``yosys-abc`` and ``berkeley-abc`` on the
PATH. Circuits go to it as AND graphs in AIGER, without names; so its answers keep the order of inputs and outputs.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from serialformer.circuits.circuit import Circuit
from serialformer.errors import ToolError

_COMPRESS = "; ".join(
    [
        *("balance -l", "resub -K 6 -l", "rewrite -l", "resub -K 6 -N 2 -l", "refactor -l", "resub -K 8 -l"),
        *("balance -l", "resub -K 8 -N 2 -l", "rewrite -l", "resub -K 10 -l", "rewrite -z -l"),
        *("resub -K 10 -N 2 -l", "balance -l", "resub -K 12 -l", "refactor -z -l", "resub -K 12 -N 2 -l"),
        *("rewrite -z -l", "balance -l"),
    ]
)
"""What ABC's own start-up file, which no package ships, calls compress2rs."""

SCRIPTS = {
    "choices": f"strash; dch -S 100; {_COMPRESS}; strash",
    "synthesis": "strash; &get; &syn3; &syn4; &put; strash",
}
"""Two families: ``choices`` is the better one for arithmetic, ``synthesis`` for some control logic."""


@cache
def find_abc() -> str:
    """The program.

    Raises:
        ToolError: there is none.
    """
    spec = find_spec("pyosys")
    if spec is not None and spec.origin is not None:
        shipped = Path(spec.origin).parent / "yosys-abc"
        if shipped.exists():
            return str(shipped)
    for name in ("yosys-abc", "berkeley-abc"):
        if found := shutil.which(name):
            return found
    raise ToolError(
        "ABC is not installed, which -O2, -O3 and --prove need",
        hint="pip install 'serialformer[hdl]'; or -O1, which needs nothing",
    )


def restructure(circuit: Circuit, script: str, max_fan_in: int, *, seconds: float) -> list[Circuit] | None:
    """The AND graph of a circuit after an ABC script, and ABC's own mapping of it to gates.

    Args:
        circuit: any circuit.
        script: a name in ``SCRIPTS``.
        max_fan_in: of the mapping's gates.
        seconds: how long it may take.

    Returns:
        The two circuits, with the words of the one given and no gates' names; None where time ran out.

    Raises:
        ToolError: ABC is not installed, or failed.
    """
    from serialformer.circuits.formats.aiger.aiger import parse_aiger  # which brings numba
    from serialformer.circuits.formats.blif.blif import parse_blif

    if not circuit.num_outputs or not circuit.num_inputs:
        return [circuit]  # nothing to restructure; ABC takes some such files for black boxes
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "in.aig").write_bytes(_without_names(circuit))
        commands = (
            f"read_aiger in.aig; {SCRIPTS[script]}; write_aiger out.aig; if -K {max_fan_in} -a; write_blif out.blif"
        )
        log = run_abc(commands, directory, seconds=seconds)
        if log is None:
            return None
        graph, network = directory / "out.aig", directory / "out.blif"
        if not graph.exists() or not network.exists():
            raise ToolError(f"ABC failed: {_last_line(log)}", hint="-O1 needs no ABC")
        found = [
            parse_aiger(graph.read_bytes(), name="ABC's AIGER"),
            parse_blif(network.read_bytes(), name="ABC's BLIF"),
        ]
    return [_with_words(made, circuit) for made in found]


def prove_equal(first: Circuit, second: Circuit, *, seconds: float) -> bool | None:
    """Whether two circuits compute the same, inputs and outputs taken in order; None where ABC cannot tell in time.

    Raises:
        ToolError: ABC is not installed, or failed.
    """
    assert (first.num_inputs, first.num_outputs) == (second.num_inputs, second.num_outputs)
    if not first.num_outputs:
        return True
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "first.aig").write_bytes(_without_names(first))
        (directory / "second.aig").write_bytes(_without_names(second))
        log = run_abc("cec -n first.aig second.aig", directory, seconds=seconds)
    if log is None or "UNDECIDED" in log:
        return None
    if "NOT EQUIVALENT" in log:
        return False
    if "Networks are equivalent" in log:
        return True
    raise ToolError(f"ABC did not say whether the circuits are equal: {_last_line(log)}")


def run_abc(commands: str, directory: Path, *, seconds: float) -> str | None:
    """What ABC prints for the commands, run in a directory; None where it was stopped because time ran out."""
    try:
        process = subprocess.run(
            [find_abc(), "-q", commands],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return process.stdout.decode(errors="replace")


def _last_line(log: str) -> str:
    return next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "it printed nothing")


def _without_names(circuit: Circuit) -> bytes:
    """The circuit as an AND graph in binary AIGER without symbols."""
    from serialformer.circuits.formats.aiger.aiger import format_aiger

    return format_aiger(replace(circuit, input_words=None, output_words=None, gate_names=()))


def _with_words(made: Circuit, like: Circuit) -> Circuit:
    """The circuit with the words of another; ABC keeps inputs and outputs in their order."""
    assert (made.num_inputs, made.num_outputs) == (like.num_inputs, like.num_outputs)
    return replace(made, input_words=like.input_words, output_words=like.output_words, gate_names=())
