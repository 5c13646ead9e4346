"""Asks an engine a whole suite in one configuration after another, and adds up tokens and wrong answers.

    python benchmarks/engines/many_tokens.py llama.cpp --python ENVIRONMENT/bin/python --suite suite -o FOLDER
    python benchmarks/engines/many_tokens.py transformers --rows 256 --model gpt2-300-float32 -o FOLDER

With ``--rows`` it asks for whole chains behind that many random questions at once, in the default configuration,
instead of the suite's cases. Each report is a file in the folder. Those that are there are not asked again, so the
command can be stopped and started at any time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.engines.adapters.registry import ADAPTERS
from serialformer.engines.cases import group_calls
from serialformer.engines.families import CaseWriter
from serialformer.engines.known import KnownAnswers
from serialformer.engines.run import configurations, describe_options, run_trial, trial_to_json
from serialformer.engines.session import AdapterSession
from serialformer.engines.suite import SuiteModel, choose_models, read_suite
from serialformer.models.load import load


def ask_rows(session: AdapterSession, model: SuiteModel, rows: int, seed: int) -> dict[str, Any]:
    """The report of one call: whole chains behind random questions."""
    write = CaseWriter(known=KnownAnswers(load(model.directory)), random=np.random.default_rng(seed))
    questions = [write.question() for _ in range(rows)]
    write.ask("equal rows", "Many questions at once.", questions, write.total - write.first)
    default = {name: values[0] for name, values in session.options.items()}
    return trial_to_json(run_trial(session, model, default, only=group_calls(write.cases)))


def many_rows(arguments: argparse.Namespace) -> int:
    """Asks ``--rows`` questions of each model, once for each seed."""
    session = AdapterSession(arguments.engine, python=arguments.python)
    tokens = wrong = 0
    for seed in range(1, arguments.seeds + 1):
        for model in choose_models(read_suite(arguments.suite), arguments.model):
            path = arguments.output / f"{model.name}-{arguments.rows}-{seed}.json"
            if not path.is_file():
                path.write_text(json.dumps(ask_rows(session, model, arguments.rows, seed)), encoding="utf-8")
            report = json.loads(path.read_text(encoding="utf-8"))
            tokens, wrong = tokens + report["tokens"], wrong + report["wrong"] + (report["breakdown"] is not None)
            print(
                f"{path.stem:40} {report['tokens']:9,} tokens, {report['wrong']:,} wrong; {tokens:11,} in all",
                flush=True,
            )
    session.close()
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ADAPTERS)
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the engine's environment")
    parser.add_argument("--suite", type=Path, default=Path("suite"))
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder of reports")
    parser.add_argument(
        "--rows", type=int, default=0, help="ask for whole chains behind so many random questions at once"
    )
    parser.add_argument("--seeds", type=int, default=1, help="with --rows: so many times, with other questions")
    parser.add_argument("--model", action="append", default=[], help="with --rows: only this model; may be repeated")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.rows:
        return many_rows(arguments)
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
