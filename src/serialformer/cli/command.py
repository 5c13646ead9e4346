"""A command that names everything that is missing at once, and says where an input word belongs."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand

UsageError: Any = typer.BadParameter.__mro__[1]
"""Of the click that this typer uses, which may be one of its own."""


class Command(TyperCommand):
    """A command of ``serialformer``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses as click does, and says more where that fails."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            message = error.format_message()
            if type(error).__name__ == "MissingParameter" and len(missing := self._missing(ctx, given)) > 1:
                raise UsageError(f"Missing {', '.join(missing)}.", ctx=ctx) from None
            words = re.findall(r"[^\s()]+=[^\s()]*", message) if "unexpected extra argument" in message else []
            if not words or not any("-i" in parameter.opts for parameter in self.get_params(ctx)):
                raise
            hint = " ".join(f"-i {word}" for word in words)
            raise UsageError(f"{message}\nhint: input words go with -i: {hint}", ctx=ctx) from None

    def _missing(self, ctx: Any, args: list[str]) -> list[str]:
        """The required arguments and options that are not among some words."""
        values, _, _ = self.make_parser(ctx).parse_args(args=args)
        found = []
        for parameter in self.get_params(ctx):
            if parameter.required and not values.get(parameter.name):
                is_option = parameter.param_type_name == "option"
                name = " / ".join(parameter.opts) if is_option else parameter.metavar or str(parameter.name).upper()
                found.append(f"{parameter.param_type_name} '{name}'")
        return found
