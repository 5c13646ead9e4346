"""``@circuit``: a Python function on words of fixed width, as a function and as a circuit."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, update_wrapper
from types import FunctionType
from typing import Any

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.function.frame import Frame
from serialformer.circuits.function.tracer import Source, Tracer, deep_recursion, read_source, signature
from serialformer.circuits.function.types import (
    ArrayType,
    DataType,
    TupleType,
    WordType,
    flatten,
    named_words,
    number_of_bits,
    parts_of,
    unflatten,
)
from serialformer.circuits.function.vectors import BitVector
from serialformer.circuits.words import Word
from serialformer.errors import InputError, TraceError

MAX_INPUT_BITS = 1 << 20


class CircuitFunction:
    """A function that ``@circuit`` has decorated.

    Called with integers it evaluates its circuit; called in another such function it becomes part of that one's.

    Attributes:
        function: the Python function.
    """

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        update_wrapper(self, function)

    @cached_property
    def source(self) -> Source:
        return read_source(self.function)

    @cached_property
    def parameters(self) -> dict[str, DataType]:
        """The type of each parameter."""
        return signature(self.source)[0]

    @property
    def returns(self) -> DataType:
        """The type of the result."""
        return self._traced[1]

    @property
    def circuit(self) -> Circuit:
        """The circuit, of gates of at most two inputs; traced when it is first asked for.

        Raises:
            TraceError: the function cannot be traced; says at which line.
        """
        return self._traced[0]

    def circuit_for(self, max_fan_in: int) -> Circuit:
        """The circuit that becomes shortest when it is optimised for gates of at most this many inputs.

        Also of gates of two inputs, and the same function. For three and four inputs its adders share no gates: those
        are more gates, but ``optimise(..., max_fan_in=3)`` makes fewer of them.

        Raises:
            TraceError: as for ``circuit``.

        >>> from serialformer import U8, circuit, optimise
        >>> @circuit
        ... def product(a: U8, b: U8):
        ...     return a.full_mul(b)
        >>> [optimise(each, max_fan_in=3)[0].num_gates for each in (product.circuit, product.circuit_for(3))]
        [199, 175]
        """
        return self._traced_whole[0] if max_fan_in in (3, 4) else self.circuit

    @cached_property
    def _traced(self) -> tuple[Circuit, DataType]:
        return self._trace(whole_adders=False)

    @cached_property
    def _traced_whole(self) -> tuple[Circuit, DataType]:
        return self._trace(whole_adders=True)

    def _trace(self, *, whole_adders: bool) -> tuple[Circuit, DataType]:
        tracer, types = Tracer(whole_adders=whole_adders), self.parameters
        logic = tracer.logic
        num_bits = sum(number_of_bits(kind) for kind in types.values())
        if num_bits > MAX_INPUT_BITS:
            raise TraceError(
                f"the parameters have {num_bits:,} bits: expected at most {MAX_INPUT_BITS:,}",
                where=self.source.where,
                hint="every input bit is a token of the prompt: make the arrays shorter",
            )
        input_words = _words(
            [word for name, kind in types.items() for word in named_words(name, kind)], self.source.where
        )
        values = {}
        for name, kind in types.items():
            values[name] = _input_value(logic.input, kind)
        with deep_recursion(self.source.where):
            try:
                result = tracer.call(self.function, (), values, typed=True)
            except TraceError as error:
                if error.where is None:
                    raise TraceError(error.message, where=self.source.where, hint=error.hint) from None
                raise
        kind = _type_of(result, self.source.where)
        names = _output_names(self.source.tree, kind)
        words = [word for name, part in names for word in named_words(name, part)]
        circuit = logic.circuit(
            list(_literals(result)), input_words=input_words, output_words=_words(words, self.source.where)
        )
        return circuit, kind

    def words(self, *arguments: Any, **named: Any) -> dict[str, int]:
        """The input words for these arguments, as the circuit and its models take them.

        Raises:
            InputError: an argument is missing, unknown, or not of its type.
        """
        given = dict(zip(self.parameters, arguments, strict=False))
        unknown = [name for name in named if name not in self.parameters or name in given]
        given.update(named)
        missing = [name for name in self.parameters if name not in given]
        if unknown or missing or len(arguments) > len(self.parameters):
            expected = ", ".join(f"{name}: {kind!r}" for name, kind in self.parameters.items())
            raise InputError(f"expected the arguments ({expected})", where=f"{self.function.__name__}(...)")
        words: dict[str, int] = {}
        for name, kind in self.parameters.items():
            numbers = flatten(given[name], kind, name)
            words.update((word, number) for (word, _), number in zip(named_words(name, kind), numbers, strict=True))
        return words

    def value(self, outputs: Mapping[str, int]) -> Any:
        """The result that the output words stand for: signed words are signed again, arrays are lists.

        Args:
            outputs: as ``Circuit.evaluate`` and ``Model.run`` give them.
        """
        assert self.circuit.output_words is not None
        return unflatten(iter([outputs[word.name] for word in self.circuit.output_words]), self.returns)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Evaluates the circuit on integers (lists of them for arrays); the result likewise."""
        return self.value(self.circuit.evaluate(self.words(*arguments, **named)))

    def traced_call(self, frame: Frame, arguments: Sequence[Any], named: dict[str, Any]) -> Any:
        """The call inside another function that is being traced."""
        return frame.call(self.function, arguments, named, typed=True)

    def __repr__(self) -> str:
        return f"<circuit {self.function.__module__}.{self.function.__qualname__}>"


def circuit(function: Callable[..., Any]) -> CircuitFunction:
    """Makes a Python function on words of fixed width a circuit; docs/guides/functions.md has its language.

    Raises:
        TraceError: it is not a plain function. What its body says is traced when the circuit is first needed.

    >>> from serialformer import circuit, U8
    >>> @circuit
    ... def larger(a: U8, b: U8) -> U8:
    ...     return a if a > b else b
    >>> larger(3, 200), larger.circuit.num_inputs
    (200, 16)
    """
    if not isinstance(function, FunctionType):
        raise TraceError(f"@circuit decorates functions, not a {type(function).__name__}")
    return CircuitFunction(function)


def _input_value(new_bit: Callable[[], int], kind: DataType) -> Any:
    parts = parts_of(kind)
    if parts is None:
        assert isinstance(kind, WordType)
        return BitVector(bits=tuple(new_bit() for _ in range(kind.width)), signed=kind.signed)
    return tuple(_input_value(new_bit, part) for part in parts)


def _literals(value: Any) -> Any:
    if isinstance(value, BitVector):
        yield from value.bits
    else:
        for part in value:
            yield from _literals(part)


def _type_of(value: Any, where: str) -> DataType:
    if isinstance(value, BitVector):
        return value.type
    if isinstance(value, (list, tuple)) and value:
        parts = [_type_of(part, where) for part in value]
        if isinstance(value, list) and all(part == parts[0] for part in parts):
            return ArrayType(element=parts[0], length=len(parts))
        return TupleType(elements=tuple(parts))
    shown = f"the integer {value}" if isinstance(value, int) else f"a {type(value).__name__}"
    raise TraceError(f"the result holds {shown}, not words", where=where, hint="declare the type of the result: -> U8")


def _words(named: Sequence[tuple[str, WordType]], where: str) -> tuple[Word, ...]:
    """Places for the words, one after another."""
    words: list[Word] = []
    place = 0
    seen: set[str] = set()
    for name, kind in named:
        if name in seen:
            raise TraceError(f"two words are named {name}", where=where, hint="elements of an array a are a0, a1, ...")
        seen.add(name)
        words.append(Word(name=name, bits=tuple(range(place, place + kind.width))))
        place += kind.width
    return tuple(words)


def _output_names(tree: ast.FunctionDef, kind: DataType) -> list[tuple[str, DataType]]:
    """``out``; of a tuple the names of the variables returned, if every return has the same, else out0, out1, ...."""
    if not isinstance(kind, TupleType):
        return [("out", kind)]
    size = len(kind.elements)
    returns = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    parts = [value.elts if isinstance(value, ast.Tuple) else [] for value in returns]
    found = {tuple(part.id if isinstance(part, ast.Name) else "" for part in each) for each in parts}
    names = next(iter(found)) if len(found) == 1 else ()
    if len(names) != size or "" in names or len(set(names)) != size:
        names = tuple(f"out{index}" for index in range(size))
    return list(zip(names, kind.elements, strict=True))
