"""The command ``serialformer``: parse, call, print. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

import typer

from serialformer.cli import commands
from serialformer.cli.bench import bench_command
from serialformer.cli.certify import certify_command, decompile_command
from serialformer.cli.compile import compile_command
from serialformer.cli.construct import construct_command
from serialformer.cli.demo import demo_command
from serialformer.cli.evaluate import evaluate_command
from serialformer.cli.evaluator import evaluator_command
from serialformer.cli.explore import explore_command
from serialformer.cli.plot import plot_command
from serialformer.cli.progress import Interrupted
from serialformer.cli.sweep import merge_command, sweep_command
from serialformer.cli.tasks import tasks_command
from serialformer.cli.train import train_command
from serialformer.errors import SerialformerError

EXAMPLES = """
\b
Examples:
  serialformer demo                        a tour in under a minute
  serialformer compile add.blif -o adder   or .aig .bench .txt .v f.py:name
  serialformer run adder -i a=12 -i b=0x1e
  serialformer certify adder               right on every input: a proof
  serialformer train parity --length 8 --setting cot -o parity

serialformer COMMAND --help says more of a command.
"""

app = typer.Typer(
    name="serialformer",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turns Boolean circuits into stock GPT-2 checkpoints that evaluate them, exactly, by chain of thought.",
    epilog=EXAMPLES,
)

SHORT_HELP = {
    "demo": "A tour: compile, run, certify, explore.",
    "compile": "Make a checkpoint of a circuit.",
    "run": "Ask a model for its outputs.",
    "verify": "Compare every token with the circuit.",
    "certify": "Prove a model right on every input.",
    "decompile": "Read the circuit out of the weights.",
    "info": "Sizes of a circuit or a checkpoint.",
    "explore": "A page on which to watch a model think.",
    "evaluator": "One model for every circuit of M gates.",
    "tasks": "List the tasks, with an example each.",
    "construct": "Make a model of a task without training.",
    "train": "Train a model of a task.",
    "evaluate": "Score a model of a task.",
    "sweep": "Carry out the runs of a recipe.",
    "merge": "Put the stores of sweeps together.",
    "plot": "Draw the figures of a sweep.",
    "bench": "Measure, in a checkout of the sources.",
}
"""What the list of commands says of each, in the columns that it has."""


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose KeyboardInterrupt typer does not see: what it makes of one has changed between its versions."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None

    return run


for _name, _command in (
    ("demo", demo_command),
    ("compile", compile_command),
    ("run", commands.run_command),
    ("verify", commands.verify_command),
    ("certify", certify_command),
    ("decompile", decompile_command),
    ("info", commands.info_command),
    ("evaluator", evaluator_command),
    ("tasks", tasks_command),
    ("construct", construct_command),
    ("train", train_command),
    ("evaluate", evaluate_command),
    ("sweep", sweep_command),
    ("merge", merge_command),
    ("explore", explore_command),
    ("plot", plot_command),
    ("bench", bench_command),
):
    app.command(_name, short_help=SHORT_HELP.get(_name))(_interruptible(_command))


def wants_colour(*, is_terminal: bool) -> bool:
    """Whether a person reads a stream, and one who has not said that they want none (https://no-color.org)."""
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def format_error(text: str, *, colour: bool) -> str:
    """An error as it is shown, its first word red and its hint blue where colours are wanted.

    >>> format_error("x.blif: no such file", colour=False)
    'error: x.blif: no such file'
    >>> format_error("no such file\\nhint: check the path", colour=True)
    '\\x1b[1;31merror:\\x1b[0m no such file\\n\\x1b[36mhint:\\x1b[0m check the path'
    """
    text = f"error: {text}"
    if not colour:
        return text
    first, hint, rest = text.partition("\nhint:")
    first = first.replace("error:", "\033[1;31merror:\033[0m", 1)
    return f"{first}\n\033[36mhint:\033[0m{rest}" if hint else first


def _refuse(text: str) -> NoReturn:
    print(format_error(text, colour=wants_colour(is_terminal=sys.stderr.isatty())), file=sys.stderr)
    sys.exit(2)


def main() -> None:
    """Entry point. Exit 0: success; 1: the answer is no; 2: bad input; 130: interrupted."""
    sys.set_int_max_str_digits(0)  # words may be wider than 14,000 bits, and are printed in decimal
    try:
        app(prog_name="serialformer")
    except SerialformerError as error:
        _refuse(str(error))
    except (Interrupted, KeyboardInterrupt) as error:
        print(str(error) or "interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone (``| head``): not an error, and nothing more to say to it.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        _refuse(f"{error.filename or 'the system'}: {error.strerror or error}")
