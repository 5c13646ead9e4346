"""The command ``engine-test``: is an inference engine right?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serialformer.cli.options import Json
from serialformer.cli.progress import progress_bar
from serialformer.errors import InputError

if TYPE_CHECKING:
    from serialformer.engines.report import Report
    from serialformer.engines.session import Session
    from serialformer.engines.suite import SuiteModel


def engine_test_command(
    path: Annotated[Path, typer.Argument(metavar="SUITE|DIR", help="A suite, or a checkpoint of a compiled circuit.")],
    engine: Annotated[str | None, typer.Option("--engine", metavar="NAME", help="An engine with an adapter.")] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="A server with /v1/completions, on this machine.")
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            "--command",
            metavar="CMD",
            help="A program that answers line by line; {model} is replaced by the directory.",
        ),
    ] = None,
    python: Annotated[
        str | None, typer.Option("--python", metavar="PATH", help="The interpreter of the engine's environment.")
    ] = None,
    served: Annotated[
        str | None, typer.Option("--served", metavar="NAME", help="With --url: the server's name for the model.")
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="With --url: the server may be on another machine.")
    ] = False,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="Test only this model of the suite; may be repeated."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Test the quick models only, unless --model names others, with fewer cases in most configurations.",
        ),
    ] = False,
    sweep: Annotated[
        str,
        typer.Option(
            "--sweep",
            metavar="default|each|all",
            help="The default configuration, one change at a time, or all combinations.",
        ),
    ] = "each",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="Fix an option of the engine to one value."),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="The time limit for an answer.")] = 300.0,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page.")] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the report as JUnit XML.")
    ] = None,
    reproduce: Annotated[
        Path | None, typer.Option("--reproduce", metavar="DIR", help="Write a script for each of the first failures.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the tokens of an engine with known answers; exit 1 if any is wrong, 2 if nothing could be run."""
    from serialformer.engines.report import check_engine, report_lines
    from serialformer.engines.run import SWEEPS, configurations
    from serialformer.engines.suite import choose_models, read_suite

    if sum(given is not None for given in (engine, url, command)) != 1:
        raise InputError("expected one of --engine, --url and --command")
    if python is not None and engine is None:
        raise InputError("--python requires --engine")
    if (served is not None or allow_remote) and url is None:
        raise InputError("--served and --allow-remote go with --url")
    if sweep not in SWEEPS:
        raise InputError(f"expected one of {', '.join(SWEEPS)}, found {sweep!r}", where="--sweep")
    asked = choose_models(read_suite(path, quick=quick and not models), models or ())
    session = _session(engine, url, command, python, served, allow_remote, timeout, asked)
    try:
        chosen = _settings(settings or [])
        options = {name: (chosen[name],) if name in chosen else values for name, values in session.options.items()}
        total = len(asked) * len(list(configurations(dict(options), sweep)))
        with progress_bar("asking", total, unit="models") as advance:
            report = check_engine(session, asked, sweep=sweep, brief=quick, chosen=chosen, progress=advance)
        _write(report, session, html, junit, reproduce)
    finally:
        session.close()
    print(json.dumps(report.to_json()) if as_json else "\n".join(report_lines(report)))
    if report.status:
        raise typer.Exit(report.status)


def _session(
    engine: str | None,
    url: str | None,
    command: str | None,
    python: str | None,
    served: str | None,
    allow_remote: bool,
    timeout: float,
    models: tuple[SuiteModel, ...],
) -> Session:
    from serialformer.engines.command import CommandSession
    from serialformer.engines.server import ServerSession
    from serialformer.engines.session import AdapterSession

    if engine is not None:
        return AdapterSession(engine, python=python, timeout=timeout)
    if len(models) > 1 and (url is not None or "{model}" not in str(command)):
        what = (
            "a server has one model" if url is not None else "the command does not say where the model's directory goes"
        )
        raise InputError(f"{what}, and there are {len(models)}", hint="--model NAME, or --command './engine {model}'")
    if url is not None:
        return ServerSession(url, served=served, allow_remote=allow_remote, timeout=timeout)
    assert command is not None
    return CommandSession(command, timeout=timeout)


def _settings(given: list[str]) -> dict[str, str | int | bool]:
    values: dict[str, str | int | bool] = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise InputError(f"expected OPTION=VALUE, found {setting!r}", where="--set")
        values[name] = int(value) if value.isdecimal() else value
    return values


def _write(report: Report, session: Session, html: Path | None, junit: Path | None, reproduce: Path | None) -> None:
    from serialformer.engines.html_report import report_to_html
    from serialformer.engines.report import report_to_junit
    from serialformer.engines.reproduction import write_reproduction
    from serialformer.files import write_file

    scripts = []
    if reproduce is not None:
        scripts = [
            write_reproduction(session, blame, reproduce, number + 1) for number, blame in enumerate(report.blames)
        ]
    if junit is not None:
        write_file(junit, report_to_junit(report).encode())
    if html is not None:
        write_file(html, report_to_html(report, scripts).encode())
