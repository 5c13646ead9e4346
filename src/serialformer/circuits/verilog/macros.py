"""Which macros of a source stand for an expression, so that statements can be told apart without expanding them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from serialformer.circuits.verilog.ignored import Token, tokens_of
from serialformer.circuits.verilog.statements import STRUCTURE, UnreadableError

DIRECTIVES = {
    *("`ifdef", "`ifndef", "`elsif", "`else", "`endif", "`define", "`undef", "`undefineall", "`include"),
    *("`line", "`pragma", "`timescale", "`resetall", "`default_nettype", "`begin_keywords", "`end_keywords"),
    *("`celldefine", "`endcelldefine", "`unconnected_drive", "`nounconnected_drive"),
}
_LINE = re.compile(r"(?:\\\r?\n|[^\n])*")
_DEFINED = re.compile(r"`define\s+(\w+)((?:\\\r?\n|[^\n])*)")
_INCLUDED = re.compile(r"`include\s+[\"<]([^\">\n]+)[\">]")


def words_of(text: str) -> Iterator[Token]:
    """The words of a source, without what ``define`` says.

    >>> [word.text for word in words_of("`define TWO begin end\\nx = `TWO;")]
    ['`define', 'x', '=', '`TWO', ';']
    """
    passed = 0
    for token in tokens_of(text):
        if token.start < passed:
            continue
        if token.text == "`define":
            rest = _LINE.match(text, token.end)
            assert rest is not None
            passed = rest.end()
        yield token


class Macros:
    """The macros that the files of a design define, or files that they include."""

    def __init__(
        self, texts: Mapping[str, str], folders: Sequence[str], given: Mapping[str, str] | None = None
    ) -> None:
        """Collects definitions.

        Args:
            texts: the sources, by path.
            folders: where included files are looked for, beside the folder of who includes them.
            given: what is defined before the first line.
        """
        self._texts: dict[str, list[str]] = {name: [text] for name, text in (given or {}).items()}
        waiting, seen = dict(texts), set(texts)
        while waiting:
            path, text = waiting.popitem()
            for name, defined in _DEFINED.findall(text):
                self._texts.setdefault(name, []).append(defined)
            for included in _INCLUDED.findall(text):
                for folder in (Path(path).parent, *map(Path, folders)):
                    found = str(folder / included)
                    if found not in seen and Path(found).is_file():
                        seen.add(found)
                        waiting[found] = Path(found).read_text(encoding="utf-8", errors="replace")

    def check(self, name: str) -> None:
        """Raises where a macro, given with its ``` ` ```, is not known to stand for an expression.

        >>> macros = Macros({"a.v": "`define HALF begin x = 1\\n`define ONE (1)"}, [])
        >>> macros.check("`ONE")
        >>> macros.check("`HALF")
        Traceback (most recent call last):
        serialformer.circuits.verilog.statements.UnreadableError: the macro `HALF, which is more than an expression
        """
        self._check(name, ())

    def words(self, name: str) -> list[Token]:
        """The words that a macro stands for, in all of its definitions; of those it is made of too.

        Args:
            name: with its ``` ` ```; ``check`` has taken it.

        >>> [word.text for word in Macros({"a.v": "`define TWO (`ONE + 1)\\n`define ONE 1"}, []).words("`TWO")]
        ['(', '1', '+', '1', ')']
        """
        self.check(name)
        found: list[Token] = []
        for text in self._texts[name[1:]]:
            for token in tokens_of(text):
                found += self.words(token.text) if token.text.startswith("`") else [token]
        return found

    def _check(self, name: str, within: tuple[str, ...]) -> None:
        if name in DIRECTIVES or name in within:
            raise UnreadableError(f"the directive {name}" if name in DIRECTIVES else f"the macro {name}")
        if name[1:] not in self._texts:
            raise UnreadableError(f"the macro {name}, which none of the files defines")
        for text in self._texts[name[1:]]:
            words = [token.text for token in tokens_of(text)]
            is_open = any(words.count(pair[0]) != words.count(pair[1]) for pair in ("()", "[]", "{}"))
            if is_open or ";" in words or (STRUCTURE | {"do"}).intersection(words):
                raise UnreadableError(f"the macro {name}, which is more than an expression")
            for word in words:
                if word.startswith("`"):
                    self._check(word, (*within, name))
