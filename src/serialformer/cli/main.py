"""The command ``serialformer``: parse, call, print. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from serialformer.cli import commands
from serialformer.cli.certify import certify_command, decompile_command
from serialformer.cli.compile import compile_command
from serialformer.cli.construct import construct_command
from serialformer.cli.evaluate import evaluate_command
from serialformer.cli.evaluator import evaluator_command
from serialformer.cli.plot import plot_command
from serialformer.cli.progress import Interrupted
from serialformer.cli.sweep import merge_command, sweep_command
from serialformer.cli.tasks import tasks_command
from serialformer.cli.train import train_command
from serialformer.errors import SerialformerError

app = typer.Typer(
    name="serialformer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turns Boolean circuits into stock GPT-2 checkpoints that evaluate them, exactly, by chain of thought.",
)


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
    ("plot", plot_command),
):
    app.command(_name)(_interruptible(_command))


def main() -> None:
    """Entry point. Exit 0: success; 1: the answer is no; 2: bad input; 130: interrupted."""
    sys.set_int_max_str_digits(0)  # words may be wider than 14,000 bits, and are printed in decimal
    try:
        app(prog_name="serialformer")
    except SerialformerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (Interrupted, KeyboardInterrupt) as error:
        print(str(error) or "interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone (``| head``): not an error, and nothing more to say to it.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)
