"""The report as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from serialformer.engines.adapters.adapter import Options
from serialformer.engines.report import Report, describe_failure
from serialformer.engines.run import Trial, describe_options

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border: 1px solid #d0d7de; padding: 0.25rem 0.6rem; text-align: left; }
pre { background: #f6f8fa; padding: 0.8rem; overflow-x: auto; }
.right { background: #dafbe1; }
.wrong { background: #ffd7d5; font-weight: 600; }
.warning { background: #fff1c2; }
.none { color: #6e7781; }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117; }
  th, td { border-color: #3d444d; }
  pre { background: #161b22; }
  .right { background: #12361f; }
  .wrong { background: #5c1a1b; }
  .warning { background: #4a3a06; }
  .none { color: #8b949e; }
}
"""


def report_to_html(report: Report, reproductions: Sequence[Path | None] = ()) -> str:
    """The page.

    Args:
        report: what to show.
        reproductions: the script for each of the report's blames, where there is one.
    """
    return "\n".join(_page(report, reproductions)) + "\n"


def _page(report: Report, reproductions: Sequence[Path | None]) -> Iterator[str]:
    verdict = {0: "right", 1: "wrong", 2: "nothing could be run"}[report.status]
    title = escape(f"{report.engine}: {verdict}")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><h1>{title}</h1>'
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    yield f"<p>{escape(versions)}</p>" if versions else ""
    yield f"<p>{report.cases:,} cases, {report.tokens:,} tokens, {report.wrong:,} wrong.</p>"
    yield from _matrix(report)
    if report.failures:
        yield "<h2>What the failures have in common</h2><ul>"
        yield from (f"<li>{escape(str(line))}</li>" for line in (*report.rules, *report.places))
        yield "</ul>" if report.rules or report.places else "<li>Nothing that was looked at.</li></ul>"
        yield "<h2>Failures</h2>"
        yield from _failures(report, reproductions)
    if report.warnings:
        yield "<h2>Warnings</h2><p>These models ask for more than their family's definition, or weights had few bits."
        yield "</p><ul>"
        for trial in report.warnings:
            shown = f"{trial.model.name}, {_label(report, trial.options)}: {describe_failure(trial)}"
            yield f"<li>{escape(shown)}</li>"
        yield "</ul>"
    refused = dict.fromkeys(text for trial in report.trials for text in trial.refused)
    if refused:
        yield "<h2>Not run</h2><ul>" + "".join(f"<li>{escape(text)}</li>" for text in refused) + "</ul>"
    yield "</body></html>"


def _matrix(report: Report) -> Iterator[str]:
    """Models by configurations."""
    models = list(dict.fromkeys(trial.model.name for trial in report.trials))
    by_place: Mapping[tuple[str, tuple[tuple[str, object], ...]], Trial] = {
        (trial.model.name, tuple(trial.options.items())): trial for trial in report.trials
    }
    configurations = list(dict.fromkeys(tuple(trial.options.items()) for trial in report.trials))
    yield "<table><tr><th>model</th>"
    yield "".join(f"<th>{escape(_label(report, dict(options)))}</th>" for options in configurations) + "</tr>"
    for name in models:
        cells = [_cell(by_place.get((name, options))) for options in configurations]
        yield f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>"
    yield "</table>"


def _cell(trial: Trial | None) -> str:
    if trial is None or (not trial.cases and trial.breakdown is None):
        return '<td class="none">not run</td>'
    if trial.is_right:
        return f'<td class="right">{trial.cases}</td>'
    kind = "warning" if trial.is_warning else "wrong"
    shown = f"{trial.wrong_cases} of {trial.cases}" if trial.breakdown is None else trial.breakdown
    return f'<td class="{kind}">{escape(shown)}</td>'


def _failures(report: Report, reproductions: Sequence[Path | None]) -> Iterator[str]:
    yield "<ul>"
    for trial in report.failures:
        shown = f"{trial.model.name}, {_label(report, trial.options)}: {describe_failure(trial)}"
        yield f"<li>{escape(shown)}</li>"
    yield "</ul><h2>Tried again</h2>"
    asked = (
        ("serialformer's own engine is right", "is_ours_right"),
        ("the same wrong token again", "repeated"),
        ("right in float32", "right_in_float32"),
        ("right alone", "right_alone"),
        ("right in one pass", "right_in_one_pass"),
        ("right in the sibling", "right_sibling"),
        ("right in the shorter model", "right_shorter"),
    )
    for place, blame in enumerate(report.blames):
        yield f"<h3>{escape(blame.model.name)}, {escape(_label(report, blame.options))}</h3>"
        yield f"<p>{escape(blame.verdict)}</p><table>"
        for text, name in asked:
            value = {None: "not tried", True: "yes", False: "no"}[getattr(blame, name)]
            yield f"<tr><td>{escape(text)}</td><td>{value}</td></tr>"
        yield "</table>"
        script = reproductions[place] if place < len(reproductions) else None
        if script is not None:
            yield f"<p>{escape(script.name)}, which needs {escape(script.with_suffix('.zip').name)} beside it:</p>"
            yield f"<pre>{escape(script.read_text(encoding='utf-8'))}</pre>"


def _label(report: Report, options: Options) -> str:
    return describe_options(options, report.default)
