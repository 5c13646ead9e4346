"""Sentence patterns that a native speaker would not write, and the texts in which none may occur."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from typer.core import TyperGroup
from typer.main import get_command

from serialformer.cli.main import app

ROOT = Path(__file__).parents[1]


class Pattern(NamedTuple):
    """A pattern of translated English.

    Attributes:
        expression: a regular expression, applied without regard to case.
        example: a sentence that it finds.
        plain: the same in plain English, in which it finds nothing.
    """

    expression: str
    example: str
    plain: str


PATTERNS = (
    Pattern(r"\blearnt\b", "Sums are learnt.", "Sums are learned."),
    Pattern(r"\bgo(es)? on\b", "It goes on where it was.", "It resumes."),
    Pattern(
        r"\b(is|are|was|be) told\b(?! apart)", "The bar is told how many are done.", "The bar receives the number done."
    ),
    Pattern(r"\bcomes? to\b", "What the command comes to is on stdout.", "The summary is on stdout."),
    Pattern(r"\bso many\b", "A word of so many bits.", "A word with a fixed number of bits."),
    Pattern(r"\b(in|by) turns\b", "Heads read them in turns.", "Heads read them alternately."),
    Pattern(r"\b(is|are|was) said\b", "A mistake is said with its line.", "An error gives its line."),
    Pattern(r"\bwith which\b", "The packages with which it ran.", "The packages it ran with."),
    Pattern(r"\bof (ours|theirs)\b", "A Llama of ours.", "A compiled Llama."),
    Pattern(r"\bwhat (comes|becomes|stands|goes)\b", "What comes of it is compared.", "The results are compared."),
    Pattern(r"\bwhat [\w' ]{2,20} makes? of\b", "What ABC makes of a circuit.", "The circuit after ABC."),
    Pattern(r"\bnobody\b", "UNKNOWN where nobody knows.", "UNKNOWN if undetermined."),
    Pattern(r"\bwhat is left\b", "What is left of a field.", "The rest of a field."),
    Pattern(r"\btakes? (it |them )?away\b", "The bias takes it away.", "The bias subtracts it."),
    Pattern(r"\b(speak|speaks|speaking) of\b", "A witness speaks of values.", "A witness refers to values."),
    Pattern(
        r"\b(tokens?|chains?|prompts?|layers?|maps?|stream|norm|end|rows?|positions?|`=`|``=``|it) behind\b|"
        r"\bbehind (a|an|the(?! same interface)|each|every|its?|all|=|`=`|``=``|one|those|these|them)\b"
        r"|\bone behind the other\b",
        "The token behind a prompt.",
        "The token after a prompt.",
    ),
    Pattern(
        r"\b(one|number|name|gates?|tokens?|lines?|rows?|columns?|positions?|panels?|layers?|units?|bands?|passes|ANDs)"
        r" an? (gate|token|line|row|seed|layer|head|cycle|position|bit|unit|wire|level|item|run|panel|byte|permutation"
        r"|task|setting|squaring|length)\b",
        "It writes one token a gate.",
        "It writes one token per gate.",
    ),
    Pattern(r"\bdearest\b", "The dearest run.", "The most expensive run."),
    Pattern(r"\b(is|are) asked\b", "What the model is asked.", "The prompt of the model."),
    Pattern(r"\bsays? (more )?of\b", "The message says more of it.", "The message describes it."),
    Pattern(r"\bit is (checked|shown|proven) that\b", "It is checked that Q is orthogonal.", "The proof checks Q."),
    Pattern(r"\bwhere it (was|stopped)[.,;]", "It resumes where it was.", "It resumes."),
    Pattern(r"\bgo(es)? as well\b", "All prompts go as well.", "All prompts work."),
    Pattern(r"\bquiet hour\b", "These are a quiet hour's figures.", "Measured on two idle cores."),
    Pattern(r"\bthe way in\b", "The way in is slow.", "The curriculum is long."),
    Pattern(r"(?<!there )\bis no (circuit|mistake|family|GPT)\b", "It is no circuit.", "It is not a circuit."),
    Pattern(r"\bhas for\b", "A model has for inputs its nets.", "The inputs of a model are its nets."),
    Pattern(r"\bnothing of (it|this|ours|that)\b", "Nothing of it vanishes.", "None of the errors vanish."),
    Pattern(
        r"\bbegins? with for which\b", "What registers begin with for which nothing says a value.", "Initial values."
    ),
    Pattern(r"\bthought anew\b|\bthought again\b", "The chain is thought again.", "The chain is generated again."),
    Pattern(r"\bof an? \w+: \w+ take\b", "Of a batch: rows take it.", "Each row of a batch takes it."),
    Pattern(
        r"(?<=[.!?] )(Needs|Takes|Makes|Gives|Says|Holds|Written|Declared|Found by) ",
        "A guide. Needs Yosys.",
        "A guide. It needs Yosys.",
    ),
)
"""The patterns that were removed. A text that needs one of them should be reworded."""


def without_code(markdown: str) -> str:
    """The prose of a page: no code, no tables of figures, no addresses.

    >>> without_code("One `a b` [c](d).")
    'One ` ` [c].'
    """
    text = re.sub(r"^```.*?^```$", "", markdown, flags=re.M | re.S)
    text = re.sub(r"^ {4}.*$", "", text, flags=re.M)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`\n]*`", "` `", text))


def pages() -> Iterator[tuple[str, str]]:
    """README, the documents except the log and the reference, other READMEs, and the changelog since 0.1.0."""
    documents = [
        path for path in (ROOT / "docs").rglob("*.md") if "reference" not in path.parts and path.name != "log.md"
    ]
    for path in [
        ROOT / "README.md",
        *documents,
        *ROOT.glob("recipes/*/README.md"),
        *ROOT.glob("examples/**/README.md"),
    ]:
        yield str(path.relative_to(ROOT)), without_code(path.read_text())
    news = re.search(r"^## 0\.2\.0[^\n]*\n(.*?)(?=^## 0\.1\.0|\Z)", (ROOT / "CHANGELOG.md").read_text(), re.M | re.S)
    assert news is not None, "the changelog has no section for 0.2.0"
    yield "CHANGELOG.md", without_code(news[1])


def help_texts() -> Iterator[tuple[str, str]]:
    """What ``--help`` says of each command and each of its parameters."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        yield f"serialformer {name}", command.help or ""
        yield f"serialformer {name}", command.short_help or ""
        for parameter in command.params:
            yield f"serialformer {name} {parameter.name}", getattr(parameter, "help", "") or ""


@cache
def sources() -> tuple[tuple[Path, ast.Module], ...]:
    """The modules of the package, parsed."""
    return tuple((path, ast.parse(path.read_text())) for path in sorted((ROOT / "src").rglob("*.py")))


def first_lines() -> Iterator[tuple[str, str]]:
    """The first paragraph of each docstring of the package."""
    for path, module in sources():
        for node in ast.walk(module):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node)
                if text:
                    where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
                    yield where, text.partition("\n\n")[0]


def page_text() -> Iterator[tuple[str, str]]:
    """The text of the page of ``explore``: what stands between tags and in quotes of its sources."""
    for path in sorted((ROOT / "explore" / "src").glob("*.ts*")):
        source = re.sub(r"^\s*(//|\*|/\*).*$", "", path.read_text(), flags=re.M)
        for text in re.findall(r'"([^"\n]{12,})"|`([^`]{12,})`|>([^<>{}]{6,})<', source):
            yield str(path.relative_to(ROOT)), " ".join(text)


def called(call: ast.Call) -> str:
    """The last name of what is called.

    >>> called(ast.parse("errors.InputError('no', hint='yes')").body[0].value)
    'InputError'
    """
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def messages() -> Iterator[tuple[str, str]]:
    """The texts of errors: constants in calls of classes named ...Error or Interrupted, including hints."""
    for path, module in sources():
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and called(node).endswith(("Error", "Interrupted")):
                for part in ast.walk(node):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield f"{path.relative_to(ROOT)}:{part.lineno}", part.value


TEXTS = (pages, help_texts, first_lines, messages, page_text)
"""Every kind of text in which no pattern may occur."""


@cache
def texts_by_kind() -> dict[str, tuple[tuple[str, str], ...]]:
    """The texts of each kind with their places, read once; white space is one blank."""
    return {texts.__name__: tuple((where, " ".join(text.split())) for where, text in texts()) for texts in TEXTS}


def find(pattern: Pattern) -> list[str]:
    """The places of a pattern, with the words around it."""
    expression = re.compile(pattern.expression, re.I)
    return [
        f"{where}: ...{text[max(0, hit.start() - 40) : hit.end() + 40]}..."
        for texts in texts_by_kind().values()
        for where, text in texts
        for hit in expression.finditer(text)
    ]
