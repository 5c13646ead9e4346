"""Loops: what runs uncompiled computes what is compiled, to the bit."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.kernels import evaluate_packed
from serialformer.loops import Loop, WorkLimit, loop, num_elements
from tests.cases import small_circuits

PACKAGE = Path(serialformer.__file__).parent


def modules_of_loops() -> Iterator[ModuleType]:
    for path in sorted(PACKAGE.rglob("*kernels.py")):
        yield importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))


def plain_loops() -> dict[str, Loop]:
    """The loops that may run uncompiled, by name."""
    return {
        f"{value.__module__}.{value.__name__}": value
        for module in modules_of_loops()
        for value in vars(module).values()
        if isinstance(value, Loop) and value.plain.limit
    }


def copied(value: Any) -> Any:
    """The value with arrays of its own."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple):
        parts = map(copied, value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def assert_same(found: Any, expected: Any) -> None:
    """Equal numbers, and arrays of one type with equal bits."""
    if isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype and found.shape == expected.shape
        assert found.tobytes() == expected.tobytes()
    elif expected is None:
        assert found is None
    else:
        assert np.float64(found).tobytes() == np.float64(expected).tobytes()


@pytest.fixture
def both_ways(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Runs each loop that may run uncompiled both ways, compares, and notes its name."""
    seen: set[str] = set()

    def call(self: Loop, *arguments: Any) -> Any:
        if not self.plain.limit:
            return self.compiled(*arguments)
        for_plain = copied(arguments)
        found, expected = self.run_plain(*for_plain), self.compiled(*arguments)
        assert_same(found, expected)
        assert_same(for_plain, arguments)
        seen.add(f"{self.__module__}.{self.__name__}")
        return expected

    monkeypatch.setattr(Loop, "__call__", call)
    return seen


def test_every_plain_loop_is_the_compiled_one(both_ways: set[str], tmp_path: Path) -> None:
    for name, circuit in small_circuits().items():
        widest = int(circuit.arity.max(initial=0))
        for suffix in ("blif", "bench", "aag", "aig") if widest <= 2 else ("blif",):
            path = tmp_path / f"{name}.{suffix}"
            serialformer.write(circuit, path)
            again = serialformer.read(path)
            if suffix == "blif" and circuit.outputs.size:
                model = serialformer.compile(path, level=1, lut=4)
                assert serialformer.certify(model).holds
                assert serialformer.info(path)["inputs"] == again.num_inputs
            bits = np.zeros((1, again.num_inputs), dtype=np.uint8)
            assert np.array_equal(evaluate_outputs(again, bits), evaluate_outputs(circuit, bits))
    backwards = tmp_path / "backwards.bench"
    backwards.write_text("INPUT(a)\nINPUT(b)\nOUTPUT(z)\nz = NAND(y, a)\ny = NOT(b)\n")
    assert serialformer.read(backwards).evaluate(a=1, b=0) == {"z": 0}
    assert both_ways == set(plain_loops())


def test_a_loop_is_compiled_when_it_has_done_its_share() -> None:
    @loop(plain_work=10)
    def total(numbers: np.ndarray) -> float:
        result = 0.0
        for number in numbers:
            result += number
        return result

    # The function lies in no module that numba could find again, so nothing is to be kept of it.
    total.targetoptions["cache"] = False
    assert [(total(np.ones(size)), total.is_compiled) for size in (4, 6, 1)] == [(4, False), (6, False), (1, True)]
    assert total.plain.done == 11


def test_a_loop_without_a_share_is_compiled_at_once() -> None:
    @loop()
    def double(number: int) -> int:
        return 2 * number

    double.targetoptions["cache"] = False
    assert double(4) == 8 and double.is_compiled


def test_work_is_counted_through_tuples() -> None:
    assert num_elements(np.zeros((3, 4)), 5, (np.zeros(2), (np.zeros(1), "text")), None) == 15
    limit = WorkLimit(3)
    assert [limit.allows(2), limit.allows(1), limit.allows(1), limit.allows(0)] == [True, True, False, False]


def test_words_wrap_around_without_a_warning() -> None:
    values = np.zeros((3, 1), dtype=np.uint64)
    values[0], values[1] = np.uint64(2**64 - 1), np.uint64(2**63)
    one_gate = (2, np.array([[0, 1]], np.int32), np.array([2], np.uint8), np.array([0b0111], np.uint64))
    evaluate_packed.run_plain(*one_gate, values)
    assert values[2, 0] == 2**63 - 1
