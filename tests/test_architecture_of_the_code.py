"""The rooms: which may import which, what importing the package costs, and which names are public."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import serialformer

PACKAGE = Path(serialformer.__file__).parent

MAY_IMPORT = {
    "errors": set(),
    # The names of the annotations of arrays, which every room may use.
    "arrays": set(),
    "files": {"errors"},
    # What numba compiles where it pays.
    "loops": set(),
    # Files that users name, imported: a task or an experiment of their own.
    "python_file": {"errors", "files"},
    # How a value looks in a notebook.
    "notebook": set(),
    "architecture": {"errors"},
    "circuits": {"errors", "loops", "files", "notebook"},
    "tasks": {"errors", "files", "python_file"},
    "transformer": {"errors", "loops", "files", "architecture"},
    # What is computed, for no family: it knows circuits and tasks, and the name of the token for unknown text.
    "constructions": {"errors", "architecture", "circuits", "tasks"},
    # A family is an architecture; the weights are the transformer's.
    "targets": {"errors", "architecture", "constructions", "transformer"},
    # Judges weights by claims and witnesses; it knows no target and no engine, and makes circuits of what it reads.
    # A certificate shows itself in a notebook.
    "proofs": {"errors", "loops", "architecture", "circuits", "constructions", "transformer", "notebook"},
    # The sliced engine evaluates its straight-line program with the loop that evaluates circuits.
    "decode": {"errors", "loops", "files", "architecture", "circuits", "transformer"},
    # A model is made of all of these: it is compiled or constructed, asked by its protocol, decoded, verified, proven.
    "models": {
        *("errors", "files", "python_file", "architecture", "circuits", "tasks", "transformer", "proofs", "decode"),
        *("notebook", "constructions", "targets"),
        # ``Model.explore`` alone, when it is called: a notebook shows the page.
        "explorer",
    },
    # Circuits of transformers; ``bound`` alone asks a model for its prompts.
    "bounds": {
        *("errors", "files", "architecture", "notebook", "circuits", "tasks", "transformer", "models"),
    },
    # Makes models and cases of them, and asks engines of other people, each in a process of its own.
    "engines": {"errors", "files", "architecture", "circuits", "transformer", "constructions", "models"},
    # A plugin of pytest: cases of a suite as parameters of tests.
    "testing": {"engines"},
    # Evaluates with the one evaluator, and watches where the constructions of the tasks look.
    "training": {"errors", "files", "python_file", "architecture", "tasks", "transformer", "decode", "models"},
    # Rows know no models. Runs are values, so they know configurations; ``run`` alone trains and evaluates, and
    # ``ray_batch`` alone runs compiled models.
    "sweeps": {"errors", "files", "python_file", "tasks", "training", "models", "decode"},
    # The page shows circuits, tasks and the names that travel with a model; it knows no construction but the order in
    # which a circuit's chain is written.
    "explorer": {
        "errors",
        "files",
        "architecture",
        "circuits",
        "tasks",
        "transformer",
        "constructions",
        "decode",
        "models",
    },
    # Rows, or logs of training runs, in, axes out; the tasks know how often their most common answer is right, and the
    # models what a share is.
    "figures": {"errors", "files", "python_file", "models", "sweeps", "tasks", "training"},
    # Intervenes on models and predicts from their constructions what must come of it.
    "interp": {"errors", "files", "architecture", "circuits", "tasks", "constructions", "transformer", "models"},
    "__main__": {"cli"},
    # Parses, calls and prints, also the version.
    "cli": {
        "__version__",
        *("errors", "files", "architecture", "circuits", "tasks", "transformer", "decode", "models", "proofs"),
        *("training", "sweeps", "explorer", "figures", "bounds", "interp", "notebook", "engines"),
    },
}

MAY_IMPORT_IN_CIRCUITS = {
    # What a circuit is, and what needs nothing but circuits.
    "circuits": set(),
    "function": {"circuits"},
    "sequential": {"circuits"},
    "formats": {"circuits", "sequential"},
    # ABC reads and writes files.
    "mapping": {"circuits", "formats"},
    "verilog": {"circuits", "sequential", "formats", "mapping"},
}
"""The same inside ``circuits``; ``formats/read_write.py``, which finds the reader of a name, stands above all."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


Imports = list[ast.Import | ast.ImportFrom]


@cache
def parsed(path: Path) -> tuple[Imports, Imports]:
    """The imports anywhere in a file, and those that are done when it is imported."""
    tree = ast.parse(path.read_text())
    anywhere, first = (
        [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        for nodes in (ast.walk(tree), tree.body)
    )
    return anywhere, first


def test_imports_go_one_way() -> None:
    refused = []
    for path in modules():
        imported = set()
        for node in parsed(path)[0]:
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("serialformer") for alias in node.names), path
            elif node.module and node.module.startswith("serialformer"):
                parts = node.module.split(".")[1:] or [alias.name for alias in node.names]
                imported.add(parts[0])
        refused += [(str(path), name) for name in imported - {room(path), "arrays"} - MAY_IMPORT[room(path)]]
    assert refused == []


def room_in_circuits(parts: Sequence[str]) -> str:
    return parts[0] if parts and parts[0] in MAY_IMPORT_IN_CIRCUITS else "circuits"


def test_imports_in_circuits_go_one_way() -> None:
    refused = []
    for path in sorted((PACKAGE / "circuits").rglob("*.py")):
        if path.name == "read_write.py":
            continue
        imported = set()
        for node in parsed(path)[0]:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("serialformer.circuits"):
                parts = node.module.split(".")[2:] or [alias.name for alias in node.names]
                imported.add(room_in_circuits(parts))
        here = room_in_circuits(path.relative_to(PACKAGE / "circuits").parts)
        refused += [(str(path), name) for name in imported - {here} - MAY_IMPORT_IN_CIRCUITS[here]]
    assert refused == []


def test_no_module_imports_itself_by_a_detour() -> None:
    """What modules import when they are imported has no cycle; functions may import what their module makes."""
    graph = {}
    for path in modules():
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        graph[name] = {
            candidate
            for node in parsed(path)[1]
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("serialformer.")
            for candidate in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        }
    order = TopologicalSorter({name: imported & graph.keys() for name, imported in graph.items()})
    assert len(list(order.static_order())) == len(graph), "a CycleError names the cycle"


def test_files_are_short() -> None:
    assert [path for path in modules() if len(path.read_text().splitlines()) > 600] == []


HEAVY = ("torch", "transformers", "numba", "rich", "matplotlib", "pyosys", "jaxtyping")
"""What takes longer to import than a small command takes to run."""

START = f"""
import sys
from contextlib import suppress
import serialformer
assert 'numpy' not in sys.modules, 'import serialformer'
def run(*words):
    sys.argv = ['serialformer', *words]
    with suppress(SystemExit):
        main()
    found = [name for name in {HEAVY} if name in sys.modules]
    assert not found, (words, found)
from serialformer.cli.main import main
run('--help')
assert 'numpy' not in sys.modules, '--help'
run('train', 'partiy', '--length', '8', '--setting', 'cot', '-o', 'model')
run('compile', 'nand.bench', '-o', 'model')
run('info', 'model')
run('run', 'model', '-i', 'a=1', '-i', 'b=1')
run('certify', 'model')
"""


def test_small_commands_import_nothing_that_is_slow(tmp_path: Path) -> None:
    (tmp_path / "nand.bench").write_text("INPUT(a)\nINPUT(b)\nOUTPUT(y)\ny = NAND(a, b)\n")
    run = subprocess.run([sys.executable, "-c", START], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "y=0\ncertified" in run.stdout and "did you mean parity" in run.stderr


def test_public_names() -> None:
    assert serialformer.__all__ == [
        "I8",
        "I16",
        "I32",
        "I64",
        "U1",
        "U8",
        "U16",
        "U32",
        "U64",
        "Array",
        "Bits",
        "Certificate",
        "Circuit",
        "CircuitBuilder",
        "CircuitFunction",
        "CircuitPrompt",
        "CircuitWords",
        "CycleRun",
        "Evaluation",
        "I",
        "Model",
        "Optimisation",
        "SequentialCircuit",
        "SerialformerError",
        "Shape",
        "Task",
        "TaskItems",
        "Transcript",
        "U",
        "UnboundedCircuit",
        "Verification",
        "Word",
        "bound",
        "certify",
        "circuit",
        "compile",
        "concat",
        "configure",
        "construct",
        "construct_evaluator",
        "decompile",
        "evaluate",
        "explore",
        "info",
        "load",
        "make_task",
        "merge_stores",
        "optimise",
        "plot",
        "read",
        "read_sequential",
        "rotate",
        "run_cycles",
        "run_table",
        "sweep",
        "trace_lines",
        "train",
        "verify",
        "write",
    ]
    for name in serialformer.__all__:
        assert getattr(serialformer, name).__doc__
    assert callable(serialformer.compile)
