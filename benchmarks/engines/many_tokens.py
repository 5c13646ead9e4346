"""Asks an engine a whole suite in one configuration after another, and adds up tokens and wrong answers.

    python benchmarks/engines/many_tokens.py llama.cpp --python ENVIRONMENT/bin/python --suite suite -o FOLDER

Each configuration's report is a file in the folder. Those that are there are not asked again, so the command can be
stopped and started at any time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from serialformer.engines.adapters.registry import ADAPTERS
from serialformer.engines.run import configurations, describe_options


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ADAPTERS)
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the engine's environment")
    parser.add_argument("--suite", type=Path, default=Path("suite"))
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder of reports")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    adapter = import_module(f"serialformer.engines.adapters.{ADAPTERS[arguments.engine]}").ADAPTER
    default = {name: values[0] for name, values in adapter.options.items()}
    tokens = wrong = 0
    for options in configurations(dict(adapter.options), "each"):
        name = describe_options(options, default).replace(" ", "-")
        path = arguments.output / f"{name}.json"
        if not path.is_file():
            settings = [f"--set={option}={value}" for option, value in options.items()]
            asked = ["engine-test", str(arguments.suite), "--engine", arguments.engine, "--python", arguments.python]
            command = [sys.executable, "-m", "serialformer", *asked, "--sweep", "default", *settings, "--json"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if not done.stdout:
                return 2
            path.write_text(done.stdout, encoding="utf-8")
        report = json.loads(path.read_text(encoding="utf-8"))
        tokens, wrong = tokens + report["tokens"], wrong + report["wrong"]
        print(f"{name:24} {report['tokens']:9,} tokens, {report['wrong']:,} wrong; {tokens:11,} in all", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
