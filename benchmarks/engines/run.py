"""Runs ``serialformer engine-test`` on an engine, in an environment of its own that is made if it is not there.

    python benchmarks/engines/run.py llama.cpp --quick
    python benchmarks/engines/run.py openvino-genai --suite suite -- --model gpt2-300-bfloat16 --sweep all

What follows ``--`` goes to ``engine-test`` as it stands. The report goes to ``results/ENGINE.txt`` with the command and
the packages' versions above it.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

ENVIRONMENTS = {
    "transformers": "transformers",
    "ctranslate2": "ctranslate2",
    "llama.cpp": "llamacpp",
    "onnxruntime": "onnxruntime",
    "onnxruntime-genai": "onnxruntime-genai",
    "vllm": "vllm",
    "openvino": "openvino",
    "openvino-genai": "openvino",
    "optimum": "optimum",
    "transformer-lens": "transformer-lens",
    "mlx-lm": "mlx-lm",
    "quanto": "quanto",
}
"""The file in ``environments`` for each engine."""

WITHOUT = "# without: "
"""A line of such a file that begins so names packages which are removed again."""


def make_environment(name: str, folder: Path) -> Path:
    """The interpreter of an environment, which is made unless its list of packages is what it was."""
    listed = (HERE / "environments" / f"{name}.txt").read_text(encoding="utf-8")
    target, mark = folder / name, folder / name / "made-of.txt"
    python = target / "bin" / "python"
    if mark.is_file() and mark.read_text(encoding="utf-8") == listed:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(target)], check=True)
    pip = [str(python), "-m", "pip", "--quiet"]
    subprocess.run([*pip, "install", "-r", str(HERE / "environments" / f"{name}.txt")], check=True)
    for line in listed.splitlines():
        if line.startswith(WITHOUT):
            subprocess.run([*pip, "uninstall", "--yes", *line.removeprefix(WITHOUT).split()], check=True)
    mark.write_text(listed, encoding="utf-8")
    return python


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def parse(words: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our own options, and those of ``engine-test``: all that we do not know, and whatever follows ``--``.

    >>> parse(["llama.cpp", "--as", "long", "--quick", "--", "--model", "gpt2-128-float32"])[1]
    ['--quick', '--model', 'gpt2-128-float32']
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("engine", choices=ENVIRONMENTS)
    parser.add_argument("--environments", type=Path, default=Path("environments"), help="where environments are made")
    parser.add_argument("--suite", type=Path, default=Path("suite"), help="a suite, which is made if it is not there")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the report goes")
    parser.add_argument("--as", dest="name", help="the name of the report, by default the engine's")
    given = list(sys.argv[1:] if words is None else words)
    cut = given.index("--") if "--" in given else len(given)
    arguments, others = parser.parse_known_args(given[:cut])
    return arguments, [*others, *given[cut + 1 :]]


def main() -> int:
    arguments, options = parse(None)
    serialformer = [sys.executable, "-m", "serialformer"]
    if not arguments.suite.exists():
        subprocess.run([*serialformer, "engine-suite", "-o", str(arguments.suite)], check=True)
    python = make_environment(ENVIRONMENTS[arguments.engine], arguments.environments)
    asked = ["engine-test", arguments.suite.name, "--engine", arguments.engine, *options]
    command = [*asked[:1], str(arguments.suite), *asked[2:], "--python", str(python)]
    done = subprocess.run([*serialformer, *command], stdout=subprocess.PIPE, text=True)
    shown = f"$ serialformer {shlex.join(asked)}\n# {processor()}\n\n{done.stdout}"
    (arguments.results / f"{arguments.name or arguments.engine}.txt").write_text(shown, encoding="utf-8")
    print(shown)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
