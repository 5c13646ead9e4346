"""The direct simulation of a rounded transformer as a deep circuit: binary numbers, one operation after another.

It shares nothing with ``serialformer.bounds``: numbers are binary codes, operations are multiplexers over tables that
rational arithmetic fills, and sums are as deep as they are long.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from serialformer import Circuit, CircuitBuilder
from serialformer.circuits.builder import AND, OR
from serialformer.transformer.transformer import Transformer
from tests.bounds.models import exact, slow_format

MUX = 0b11001010
"""Of (low, high, select)."""

Value = list["int | bool"]
"""The bits of a value's place among the numbers of the format; a bit is a wire or a constant."""


class Simulation:
    """Emits one model into one circuit; every list of bits that it passes around is least significant first."""

    def __init__(self, transformer: Transformer) -> None:
        self.architecture = transformer.architecture
        assert self.architecture.arithmetic is not None
        self.slow = slow_format(self.architecture.arithmetic)
        self.weights = {name: exact(weight) for name, weight in transformer.named_weights()}
        self.build = CircuitBuilder()
        self.num_bits = (len(self.slow.values) - 1).bit_length()
        self.place = {value: place for place, value in enumerate(self.slow.values)}
        self.tables: dict[str, list[int]] = {}
        self.known: dict[tuple[object, ...], int | bool] = {}

    def constant(self, value: Fraction) -> Value:
        place = self.place[value]
        return [bool(place >> bit & 1) for bit in range(self.num_bits)]

    def apply(self, name: str, function: Callable[..., Fraction], *values: Value) -> Value:
        """A function of one or two values."""
        padded = [*self.slow.values, *[Fraction(0)] * ((1 << self.num_bits) - len(self.slow.values))]
        if name not in self.tables:
            if len(values) == 1:
                self.tables[name] = [self.place[self.slow.round(function(x))] for x in padded]
            else:
                self.tables[name] = [self.place[self.slow.round(function(x, y))] for y in padded for x in padded]
        bits = [bit for value in values for bit in value]
        return [
            self.choose(tuple(place >> bit & 1 for place in self.tables[name]), tuple(bits))
            for bit in range(self.num_bits)
        ]

    def choose(self, table: tuple[int, ...], bits: tuple[int | bool, ...]) -> int | bool:
        """The entry of the table that the bits name."""
        if len(set(table)) == 1:
            return bool(table[0])
        *rest, last = bits
        half = len(table) // 2
        if isinstance(last, bool):
            return self.choose(table[half:] if last else table[:half], tuple(rest))
        key = (table, bits)
        if key not in self.known:
            low, high = self.choose(table[:half], tuple(rest)), self.choose(table[half:], tuple(rest))
            self.known[key] = self.mux(low, high, last)
        return self.known[key]

    def mux(self, low: int | bool, high: int | bool, select: int) -> int | bool:
        if low is high or (not isinstance(low, bool) and low == high and not isinstance(high, bool)):
            return low
        wires = [self.build.constant(bit) if isinstance(bit, bool) else bit for bit in (low, high)]
        return self.build.gate(MUX, *wires, select)

    def sum(self, terms: list[Value]) -> Value:
        total = self.constant(Fraction(0))
        for term in terms:
            total = self.apply("add", lambda a, b: a + b, total, term)
        return total

    def inner(self, a: list[Value], b: list[Value]) -> Value:
        return self.sum([self.apply("multiply", lambda p, q: p * q, p, q) for p, q in zip(a, b, strict=True)])

    def affine(self, x: list[Value], name: str) -> list[Value]:
        columns = zip(*self.weights[f"{name}_weight"], strict=True)
        return [
            self.apply(
                "add", lambda a, b: a + b, self.inner(x, [self.constant(w) for w in column]), self.constant(bias)
            )
            for column, bias in zip(columns, self.weights[f"{name}_bias"], strict=True)
        ]

    def plus(self, x: list[Value], y: list[Value]) -> list[Value]:
        return [self.apply("add", lambda a, b: a + b, p, q) for p, q in zip(x, y, strict=True)]

    def embedding(self, token: int, position: int) -> list[Fraction]:
        rows = zip(self.weights["token_embedding"][token], self.weights["position_embedding"][position], strict=True)
        return [self.slow.round(a + b) for a, b in rows]

    def circuit(self, num_bits: int) -> Circuit:
        """Prompts of so many bits and ``=``; outputs are the bits of the token that follows."""
        heads, size = self.architecture.num_heads, self.architecture.head_width
        inputs = self.build.inputs("in", num_bits)
        contexts: list[list[list[list[Value]]]] = [[] for _ in range(self.architecture.num_layers)]
        x: list[Value] = []
        for position in range(num_bits + 1):
            if position < num_bits:
                zero, one = (self.embedding(token, position) for token in (0, 1))
                x = [
                    [
                        self.mux(low, high, inputs[position])
                        for low, high in zip(self.constant(a), self.constant(b), strict=True)
                    ]
                    for a, b in zip(zero, one, strict=True)
                ]
            else:
                x = [self.constant(value) for value in self.embedding(2, position)]
            for layer, context in enumerate(contexts):
                projected = self.affine(x, f"layers.{layer}.attention_in")
                split = [projected[start : start + size] for start in range(0, len(projected), size)]
                context.append(split)
                mixed: list[Value] = []
                for head in range(heads):
                    scores = [self.inner(split[head], past[heads + head]) for past in context]
                    exponentials = [self.apply("exp", self.slow.exp, score) for score in scores]
                    total = self.sum(exponentials)
                    attention = [
                        self.apply("divide", lambda a, b: a / b if b > 0 else Fraction(0), value, total)
                        for value in exponentials
                    ]
                    for column in range(size):
                        mixed.append(self.inner(attention, [past[2 * heads + head][column] for past in context]))
                x = self.plus(x, self.affine(mixed, f"layers.{layer}.attention_out"))
                hidden = [
                    self.apply("relu", lambda a: max(a, Fraction(0)), unit)
                    for unit in self.affine(x, f"layers.{layer}.mlp_in")
                ]
                x = self.plus(x, self.affine(hidden, f"layers.{layer}.mlp_out"))
        logits = [self.inner(x, [self.constant(w) for w in row]) for row in self.weights["token_embedding"]]
        self.build.outputs("answer", self.largest(logits))
        return self.build.circuit()

    def largest(self, logits: list[Value]) -> list[int]:
        """The bits of the number of the largest, the first of equals."""
        build = self.build
        wins = []
        for row, logit in enumerate(logits):
            beats = build.constant(True)
            for other, rival in enumerate(logits):
                if other != row:
                    size = 1 << self.num_bits
                    table = tuple(int(a >= b if row < other else a > b) for b in range(size) for a in range(size))
                    bit = self.choose(table, (*logit, *rival))
                    beats = build.gate(AND, beats, build.constant(bit) if isinstance(bit, bool) else bit)
            wins.append(beats)
        bits = []
        for bit in range((len(logits) - 1).bit_length()):
            wire = build.constant(False)
            for row, beats in enumerate(wins):
                if row >> bit & 1:
                    wire = build.gate(OR, wire, beats)
            bits.append(wire)
        return bits


def simulate(transformer: Transformer, num_bits: int) -> Circuit:
    """The deep circuit of one pass."""
    return Simulation(transformer).circuit(num_bits)
