"""What cannot be traced is said with the user's own line, and with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

import serialformer
from serialformer import U8, SerialformerError, circuit

HEADER = "from serialformer import *\nfrom serialformer import U\nTABLE = [1, 2, 3]\n\n\n@circuit\n"

REFUSED = {
    # The function; the line (of the function, from 1); the message; the hint.
    "def f(a: U8):\n    while a > 3:\n        a -= 1\n    return a": (
        (2, "`while` on data cannot be traced", "a circuit has no unbounded loop: write `for _ in range(most)` with"),
    ),
    "def f(a: U8):\n    for i in range(a):\n        a += 1\n    return a": (
        (2, "a loop over a range whose bounds are data cannot be traced", "loop to the greatest possible bound"),
    ),
    "def f(a: U8):\n    return a + 256": ((2, "256 does not fit U8", "U8(256) wraps it"),),
    "def f(a: U8):\n    return a & ~1": ((2, "-2 does not fit U8", "U8(-2) wraps it"),),
    "def f(a: U8, b: I8):\n    return a + b": ((2, "U8 and I8 mix signed and unsigned", "say which is meant: x.sign"),),
    "def f(a: U8, b: I8):\n    return a < b": ((2, "U8 and I8 mix signed and unsigned", "say which is meant: x.sign"),),
    "def f(a: U16) -> U8:\n    return a": ((2, "U16 does not fit U8", "U8(x) cuts it off or reads it anew"),),
    "def f(a: U8):\n    b = 3 if a > 9 else 4\n    return b": (
        (2, "the integers 3 and 4 have no width", "give one of them a width, as in U8(3), or declare"),
    ),
    "def f(a: U8):\n    b = 0\n    if a > 9:\n        b = 1\n    return a + b": (
        (5, "a condition on data leaves different kinds of b: the integers 1 and 0 have no width", "give one of"),
    ),
    "def f(a: U8):\n    if a > 9:\n        b = a\n    return b": (
        (4, "b is assigned in one branch only", "give it a value before the condition on data"),
    ),
    "def f(a: U8):\n    if a > 9:\n        return a": (
        (1, "f may end without a return", "let its last statement be a"),
    ),
    "def f(a: U8):\n    a += 1": ((1, "f ends without a return", "let its last statement be a return"),),
    "def f(a: U8):\n    return": ((2, "`return` without a value", "a circuit's function returns words"),),
    "def f(a: U8):\n    return 5": (
        (1, "the result holds the integer 5, not words", "declare the type of the result"),
    ),
    "def f(a: U8):\n    if a:\n        return a\n    return [a]": (
        (3, "the returns have different types: U8 and list have no common type", "a condition on data chooses"),
    ),
    "def f(a, b: U8, c: int):\n    return b": (
        (
            1,
            "the parameters of f must be words of fixed width: a has no type; c: int is not the type of a word",
            "as in",
        ),
    ),
    "def f(a: U8) -> float:\n    return a": (
        (1, "the parameters of f must be words of fixed width: the result: floa", ""),
    ),
    "def f(a: Array[U8, 3]):\n    a[0] = 1\n    return a": (
        (2, "arguments, module-level tables and tuples cannot be written to", "copy it first: a = list(a)"),
    ),
    "def f(a: U8):\n    TABLE[a] = a\n    return a": (
        (2, "arguments, module-level tables and tuples cannot be written to", "copy it first: TABLE = list(TABLE)"),
    ),
    "def f(a: Array[U8, 3]):\n    return a[3]": ((2, "Python says IndexError: tuple index out of range", ""),),
    "def f(a: U8, b: I8):\n    return TABLE[b]": ((2, "an index must be unsigned, found I8", "x.unsigned() reads it"),),
    "def f(a: U8):\n    return a[a:]": ((2, "a slice with bounds that are data cannot be traced", "shift the word"),),
    "def f(a: U8):\n    return a / 2": ((2, "words have no operator /", "they have + - * // % << >>"),),
    "def f(a: U8, b: U8):\n    return U8(1) if a is b else a": ((2, "words have no identity", "compare them with =="),),
    "def f(a: U8):\n    return a // 0": ((2, "division by the constant 0", ""),),
    "def f(a: U8):\n    return a + 1.5": ((2, "a word and a float have no operator +", ""),),
    "def f(a: U8):\n    return 1 << a": ((2, "an integer shifted by a word has no width", "write U32(1) << ..."),),
    "def f(a: U8):\n    return a << -1": ((2, "expected no negative amount, found -1", ""),),
    "def f(a: U8):\n    return a.widen(4)": ((2, ".widen(4) of U8: expected a width of at least 8", ""),),
    "def f(a: U8):\n    return a.rot(4)": ((2, "words have no method 'rot'", "they have bit_count, full_mul, parity"),),
    "def f(a: U8):\n    return print(a)": ((2, "the builtin print cannot be traced", "these can: abs, all, any"),),
    "def f(a: U8):\n    return hex(missing)": ((2, "the builtin hex cannot be traced", ""),),
    "def f(a: U8):\n    return missing + a": ((2, "no variable 'missing' here", ""),),
    "def f(a: U8):\n    import math\n    return a": (
        (2, "a statement of the kind 'import' cannot be traced", "use assi"),
    ),
    "def f(a: U8):\n    return (lambda x: x)(a)": ((2, "an expression of the kind Lambda cannot be traced", ""),),
    "def f(a: U8):\n    return [x for x in (a, 1) if x > 3]": (
        (2, "a comprehension's `if` on data cannot be traced", "the length of an array cannot depend on data"),
    ),
    "def f(a: U8):\n    x = []\n    if a:\n        x.append(a)\n    return x": (
        (3, "1 and 0 elements", "the length of an array cannot depend on data"),
    ),
    "def f(a: U8):\n    assert a > 3\n    return a": (
        (2, "`assert` on data cannot be traced", "return the condition"),
    ),
    "def f(a: U8):\n    assert a.width == 9, 'nine'\n    return a": ((2, "the assertion does not hold: nine", ""),),
    "def f(a: U8):\n    return concat(a, 1)": (
        (2, "concat takes words, and the integer 1 has no width", "give it one"),
    ),
    "def f(a: U8):\n    return concat(a, width=9)": ((2, "concat takes no named arguments, found width", ""),),
    "def f(a: U8):\n    return U[0](a)": ((2, "expected a width from 1 to 65536, found 0", ""),),
    "def f(a: U8):\n    return U8([a, a])": (
        (2, "U8 of a list takes 8 words of one bit, least significant first", ""),
    ),
    "def f(a: U8):\n    return f(a)": (
        (2, "f is called 100 levels deep", "a function that calls itself must end on a"),
    ),
    "def f(a: U8):\n    return f(a, a)": ((2, "f: too many positional arguments", ""),),
    "def f(a: U8):\n    return f(U16(a))": ((2, "a of f: U16 does not fit U8", "U8(x) cuts it off or reads it anew"),),
    "def f(a: Array[U8, 2], a0: U8):\n    return a0": (
        (1, "two words are named a0", "elements of an array a are a0, a1"),
    ),
    "def f(a: U8):\n    for i in range(3):\n        a += i\n    else:\n        a += 1\n    return a": (
        (5, "`else` of a loop cannot be traced", ""),
    ),
    "def f(a: U8):\n    x, y = a[:3]\n    return x": ((2, "3 values for 2 targets", ""),),
    "def f(a: U8):\n    yield a": ((1, "f cannot be traced", "a circuit is made of a plain `def` that returns"),),
    "def f(a: U[2]):\n    n = [0] * 4\n    n[a] += 1\n    return n": (
        (3, "the integers in n have no width", "give them one, as in [U8(0)] * 4"),
    ),
    "def f(a: U[2]):\n    n = [0] * 4\n    n[a] = n[a] + 1\n    return n": (
        (3, "the integers in n have no width", "give them one, as in [U8(0)] * 4"),
    ),
    "def f(a: U8, b: U8):\n    return abs(a - b)": (
        (
            2,
            "abs of U8, which is never negative",
            "of a difference write max(a, b) - min(a, b), or abs((a - b).widen())",
        ),
    ),
    "def f(a: Array[U8, 200_000]):\n    return a[0]": (
        (1, "the parameters have 1,600,000 bits: expected at most 1,048,576", "every input bit is a token"),
    ),
    "def f(a: U8):\n    try:\n        return a\n    except ValueError:\n        return a": (
        (2, "`try` cannot be traced", "nothing is raised on data: write an if"),
    ),
    "def f(a: U8):\n    raise ValueError": ((2, "`raise` cannot be traced", "return a word that says so"),),
    "def f(a: U8):\n    def g(x):\n        return x\n    return g(a)": (
        (2, "a function in a function cannot be traced", "define it at the module's level"),
    ),
    "def f(a: U8):\n    match a:\n        case 1:\n            return a": (
        (2, "`match` cannot be traced", "write if, e"),
    ),
    "def f(a: U[2]):\n    table = {0: 5, 1: 6}\n    return table[a]": (
        (2, "an expression of the kind Dict cannot be traced", ""),
    ),
    "def f(*a: U8):\n    return a[0]": (
        (1, "the parameters of f must be words of fixed width: *a: U8 can be any num", ""),
    ),
}


@pytest.mark.parametrize("function", REFUSED)
def test_refused(function: str, tmp_path: Path) -> None:
    file = tmp_path / "refused.py"
    file.write_text(HEADER + function + "\n")
    ((line, message, hint),) = REFUSED[function]
    with pytest.raises(SerialformerError) as error:
        serialformer.read(f"{file}:f")
    said, _, hinted = str(error.value).partition("\nhint: ")
    # A function's own line is that of its `def`; the decorator stands above it.
    first = HEADER.count("\n")
    wheres = [f"{file}:{first + line}: "] + ([f"{file}:{first}: "] if line == 1 else [])
    assert any(said.startswith(where + message) for where in wheres), said
    assert hinted.startswith(hint) and (hint or "generator" not in hinted)


def test_an_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    from serialformer.circuits.function import statements

    monkeypatch.setattr(statements, "MAX_ROUNDS", 50)

    @circuit
    def endless(a: U8) -> U8:
        while True:
            a += 1
        return a

    with pytest.raises(SerialformerError, match="this loop does not end within 50 rounds"):
        _ = endless.circuit


def test_what_is_no_function() -> None:
    with pytest.raises(SerialformerError, match="@circuit decorates functions, not a builtin_function"):
        circuit(len)
    with pytest.raises(SerialformerError, match="concat joins words in a traced function"):
        serialformer.concat(1, 2)
    exec_made: dict[str, object] = {}
    exec("def typed(a: int) -> int:\n    return a", exec_made)
    with pytest.raises(
        SerialformerError, match=r"the source of typed cannot be read\nhint: put the function into a file"
    ):
        _ = circuit(exec_made["typed"]).circuit  # type: ignore[arg-type]


def test_wrong_arguments() -> None:
    @circuit
    def f(a: U8, b: serialformer.Array[serialformer.I8, 2]) -> U8:
        return a

    refused: list[tuple[tuple[object, ...], str]] = [
        ((1,), "f(...): expected the arguments (a: U8, b: Array[I8, 2])"),
        ((1, [2, 3], 4), "f(...): expected the arguments (a: U8, b: Array[I8, 2])"),
        ((256, [1, 2]), "a: 256 is no U8: expected 0 to 255"),
        ((-1, [1, 2]), "a: -1 is no U8: expected 0 to 255"),
        ((1, [1, -129]), "b[1]: -129 is no I8: expected -128 to 127"),
        ((1, [1]), "b: expected 2 elements for Array[I8, 2], found 1"),
        ((1, 7), "b: expected 2 elements for Array[I8, 2], found int"),
        (("1", [1, 2]), "a: expected an integer for U8, found str"),
    ]
    for arguments, message in refused:
        with pytest.raises(SerialformerError) as error:
            f(*arguments)
        assert str(error.value) == message
    with pytest.raises(SerialformerError, match="expected the arguments"):
        f(1, c=3)
    assert f(a=1, b=[1, 2]) == 1
