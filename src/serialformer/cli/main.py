"""The command ``serialformer``: parse, call, print. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import sys

import typer

from serialformer.cli import commands
from serialformer.errors import SerialformerError

app = typer.Typer(
    name="serialformer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turns Boolean circuits into stock GPT-2 checkpoints that evaluate them, exactly, by chain of thought.",
)
app.command("compile")(commands.compile_command)
app.command("run")(commands.run_command)
app.command("verify")(commands.verify_command)
app.command("info")(commands.info_command)


def main() -> None:
    """Entry point. Exit 0: success; 1: the answer is no; 2: bad input; 130: interrupted."""
    try:
        app(prog_name="serialformer")
    except SerialformerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone (``| head``): not an error, and nothing more to say to it.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)
