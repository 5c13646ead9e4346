"""Random programs: branches, loops that break, early returns and writes, traced and run by Python itself."""

from __future__ import annotations

import importlib.util
import linecache
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from serialformer.circuits.function.decorator import CircuitFunction
from tests.effort import effort

HEADER = """from serialformer import U, Array, circuit

Word = U[4]
ROM = (3, 1, 15, 9, 2, 6, 5)


def helper(x, y):
    if x == y:
        return x
    x = x ^ 5 if y > 7 else y
    return x


@circuit
def program(a: Word, b: Word, given: Array[Word, 3]):
"""

EXPRESSIONS = [
    "({0} + {1}) & 15", "({0} - {1}) & 15", "{0} ^ {1}", "{0} & {1}", "{0} | {1}", "{0} >> 1", "({0} * 3) & 15",
    "xs[{0} % 3]", "xs[1]", "ROM[{0} % 7]", "helper({0}, {1})", "({0} if {2} else {1})", "max({0}, {1})",
    "({0} << 2) & 15", "({0} or {1})", "({0} and {1})", "sum(xs[:2]) & 15", "{0} // 3", "({0} % ({1} | 1))",
]  # fmt: skip
CONDITIONS = ["{0} < {1}", "{0} == {1}", "not {0}", "{0} & 1", "3 <= {0} < {1}", "{0} > 3 and {1} != 2", "{0} in xs"]


@st.composite
def expressions(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(["a", "b", "c", "xs[0]", "xs[2]"]))
    parts = [draw(expressions(depth - 1)), draw(expressions(depth - 1))]
    return "(" + draw(st.sampled_from(EXPRESSIONS)).format(*parts, draw(conditions())) + ")"


@st.composite
def conditions(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(CONDITIONS)).format(draw(expressions(1)), draw(expressions(1)))


@st.composite
def blocks(draw: st.DrawFn, depth: int = 3, in_loop: bool = False) -> list[str]:
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        kinds = ["assign", "assign", "write", "write_at", "swap"]
        kinds += ["if", "if", "if_else", "return"] if depth else []
        kinds += ["for"] if depth and not in_loop else []
        kinds += ["break", "continue"] if in_loop else []
        kind = draw(st.sampled_from(kinds))
        if kind == "assign":
            lines.append(f"{draw(st.sampled_from('abc'))} = {draw(expressions())}")
        elif kind == "write":
            lines.append(f"xs[{draw(st.integers(0, 2))}] ^= {draw(expressions())}")
        elif kind == "write_at":
            lines.append(f"alias[{draw(expressions(1))} % 3] = {draw(expressions())}")
        elif kind == "swap":
            lines.append("a, xs[0], b = xs[0], b, a")
        elif kind in ("break", "continue"):
            lines += [f"if {draw(conditions())}:", f"    {kind}"]
        elif kind == "return":
            lines += [f"if {draw(conditions())}:", f"    return a, {draw(expressions())}, c, *alias"]
        else:
            head = f"for i in range({draw(st.integers(1, 3))}):" if kind == "for" else f"if {draw(conditions())}:"
            body = draw(blocks(depth - 1, in_loop or kind == "for"))
            lines += [head, *[f"    {line}" for line in body]]
            if kind == "for":
                lines.append("    c = (c + i) & 15")
            if kind == "if_else":
                lines += ["else:", *[f"    {line}" for line in draw(blocks(depth - 1, in_loop))]]
    return lines


def load(lines: list[str], folder: str) -> ModuleType:
    body = ["c = a ^ 6", "xs = list(given)", "alias = xs", *lines, "return a, b, c, *xs"]
    text = HEADER + "".join(f"    {line}\n" for line in body)
    path = f"{folder}/program.py"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    spec = importlib.util.spec_from_loader("program", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(text, path, "exec"), module.__dict__)
    return module


def check(lines: list[str], folder: str) -> None:
    program = load(lines, folder).program
    assert isinstance(program, CircuitFunction)
    random = np.random.default_rng(0)
    for a, b, *given_ in random.integers(0, 16, (12, 5)).tolist():
        expected = tuple(int(value) for value in program.function(a, b, given_))
        assert program(a, b, given_) == expected, "\n".join(lines)


@effort(0.1, suppress_health_check=[HealthCheck.too_slow])
@given(lines=blocks())
def test_as_python_runs_them(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    check(lines, str(tmp_path_factory.getbasetemp()))


@pytest.mark.slow
@effort(50, suppress_health_check=[HealthCheck.too_slow])
@given(lines=blocks())
def test_as_python_runs_many(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    check(lines, str(tmp_path_factory.getbasetemp()))
