"""The command ``serialformer``: parse, call, print. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from serialformer.cli.command import Command
from serialformer.cli.progress import Interrupted
from serialformer.errors import SerialformerError

EXAMPLES = """
\b
Examples:
  serialformer demo                        a tour in under a minute
  serialformer compile add.blif -o adder   or .aig .bench .txt .v f.py:name
  serialformer run adder -i a=12 -i b=0x1e
  serialformer certify adder               right on every input: a proof
  serialformer train parity --length 8 --setting cot -o parity

serialformer COMMAND --help describes a command.
"""

COMMANDS = {
    "demo": ("demo", "Take a tour: compile, run, certify, explore."),
    "compile": ("compile", "Compile a circuit into a checkpoint."),
    "run": ("run", "Run a model on its inputs."),
    "verify": ("verify", "Compare every token with the circuit."),
    "certify": ("certify", "Prove a model right on every input."),
    "decompile": ("certify", "Read the circuit out of the weights."),
    "bound": ("bound", "Write a model as a constant-depth circuit."),
    "info": ("info", "Print the sizes of a circuit or checkpoint."),
    "evaluator": ("evaluator", "Make one model for all circuits of M gates."),
    "tasks": ("tasks", "List the tasks, with an example each."),
    "construct": ("construct", "Make a model of a task without training."),
    "train": ("train", "Train a model of a task."),
    "evaluate": ("evaluate", "Score a model of a task."),
    "sweep": ("sweep", "Run the experiments of a recipe."),
    "merge": ("sweep", "Merge the results of sweeps."),
    "explore": ("explore", "Show how a model computes, in a web page."),
    "plot": ("plot", "Draw the figures of a sweep."),
    "interp-suite": ("interp", "Make models with known explanations."),
    "interp-score": ("interp", "Score an explanation against the truth."),
    "engine-suite": ("engine_suite", "Make models and cases for testing engines."),
    "engine-cases": ("engine_suite", "Write the cases for one model."),
    "engine-export": ("engine_suite", "Write a checkpoint as GGUF or ONNX."),
    "engine-test": ("engine_test", "Test an inference engine for correctness."),
    "bench": ("bench", "Run a benchmark from a source checkout."),
}
"""The commands: for each the module of ``serialformer.cli`` that holds it, and what the list of commands says of it."""


HELP_OPTIONS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


class LazyCommands(Mapping[str, Any]):
    """The commands by name, each imported on first use: help and one command need not load the others."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            module, short_help = COMMANDS[name]
            command = getattr(import_module(f"serialformer.cli.{module}"), f"{name.replace('-', '_')}_command")
            single = typer.Typer(
                add_completion=False,
                pretty_exceptions_enable=False,
                rich_markup_mode=None,
                context_settings=HELP_OPTIONS,
            )
            single.command(name, cls=Command, short_help=short_help)(_interruptible(command))
            self._loaded[name] = typer.main.get_command(single)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class CommandGroup(TyperGroup):
    """The command line as a whole; it lists the commands without importing any."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = LazyCommands()  # type: ignore[assignment]  # click asks for a dict, and only reads it

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help) for name, (_, short_help) in COMMANDS.items()])


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose KeyboardInterrupt does not reach typer, whose handling of it has changed between versions."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None

    return run


app = typer.Typer(
    name="serialformer",
    cls=CommandGroup,
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turns Boolean circuits into stock GPT-2s and Llamas that evaluate them exactly, by chain of thought.",
    epilog=EXAMPLES,
)


def _print_version(is_asked: bool) -> bool:
    if is_asked:
        from serialformer import __version__

        print(f"serialformer {__version__}")
        raise typer.Exit
    return is_asked


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that go before the command."""


def wants_colour(*, is_terminal: bool) -> bool:
    """Whether a stream goes to a terminal whose user has not disabled colour (https://no-color.org)."""
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
    """Entry point. Exit 0: success; 1: the answer is no; 2: bad input; 130: interrupted; 141: closed output."""
    try:
        _run()
    except SystemExit as ending:
        is_closed = isinstance(ending.__context__, BrokenPipeError)  # which click answers with 1, as if to say no
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            is_closed = True
        if not is_closed:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends
        sys.exit(141)


def _run() -> None:
    sys.set_int_max_str_digits(0)  # words may be wider than 14,000 bits, and are printed in decimal
    try:
        app(prog_name="serialformer")
    except SerialformerError as error:
        _refuse(str(error))
    except (Interrupted, KeyboardInterrupt) as error:
        print(str(error) or "interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        _refuse(f"{error.filename or 'the system'}: {error.strerror or error}")
