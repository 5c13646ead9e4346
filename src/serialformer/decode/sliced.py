"""The bit-sliced engine: many inputs at once, one bit of each in every machine word.

Where attention does not depend on the input, each token of the chain is a function of the tokens at a few positions.
This engine tabulates these functions once, from the weights alone (``IndexedEngine.fold``), which makes the model a
straight-line program of truth tables, and runs that on 64 inputs a word. What cannot be tabulated is left to the
indexed engine, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int32, Int64, UInt8, UInt64
from serialformer.circuits.evaluate import WORDS_PER_BLOCK, pack_rows, words_per_pass
from serialformer.circuits.kernels import evaluate_packed
from serialformer.decode.fall_back import FallBackEngine
from serialformer.decode.indexed import IndexedEngine
from serialformer.errors import EngineError
from serialformer.transformer.transformer import Transformer

ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, kw_only=True, eq=False)
class StraightLine:
    """A folded model. Wires are the prompt's variable positions, then the chain's.

    Attributes:
        variable: the positions of the prompt that hold one of two tokens.
        wire: for each position its wire, or -1 if it holds one token always.
        low: for each position its token where its wire is 0.
        high: for each position its token where its wire is 1.
        fan_in: for each gate the wires it reads.
        arity: how many.
        table: its truth table.
        length: how many positions there are, the end mark included if the chain comes to it.
    """

    variable: Int64[np.ndarray, " variable"]
    wire: Int64[np.ndarray, " positions"]
    low: Int64[np.ndarray, " positions"]
    high: Int64[np.ndarray, " positions"]
    fan_in: Int32[np.ndarray, "gates 6"]
    arity: UInt8[np.ndarray, " gates"]
    table: UInt64[np.ndarray, " gates"]
    length: int

    def evaluate(self, inputs: UInt64[np.ndarray, "variable words"]) -> UInt64[np.ndarray, "wires words"]:
        """The value of every wire, 64 inputs a word."""
        values = np.empty((len(self.variable) + len(self.arity), inputs.shape[1]), dtype=np.uint64)
        values[: len(self.variable)] = inputs
        evaluate_packed(len(self.variable), self.fan_in, self.arity, self.table, values)
        return values


class SlicedEngine(FallBackEngine):
    """Runs batches of inputs through a folded model; what cannot be folded, the indexed engine decodes."""

    own_name, other_name = "sliced", "indexed"

    def __init__(self, transformer: Transformer) -> None:
        super().__init__(transformer.architecture)
        self._indexed = IndexedEngine(transformer)
        self._programs: dict[tuple[bytes, int], StraightLine | EngineError] = {}

    def rows_at_once(self, num_tokens: int) -> int:
        """How many rows to hand over together: bounded by the tokens that come back."""
        return max(64 * WORDS_PER_BLOCK, min(ROWS_AT_ONCE, (1 << 24) // max(1, num_tokens)))

    def stream(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "rows new"]]:
        """All tokens of all rows, in one block."""
        yield self.final_tokens(prompts, num_tokens, num_tokens)

    def final_tokens(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int, count: int
    ) -> Int64[np.ndarray, "rows last"]:
        """The last ``count`` of the ``num_tokens`` tokens after the prompts, or of the fewer that there are."""
        num_tokens = self.num_tokens_that_fit(prompts, num_tokens)
        if num_tokens == 0:
            return np.empty((len(prompts), 0), dtype=np.int64)
        self._begin()
        program = self._program(prompts, num_tokens)
        if isinstance(program, EngineError):
            self._refuse(program.message)
            self._indexed.announces = self.announces
            made = self._indexed.generate(prompts, num_tokens)
            self.name = self._indexed.name
            return made[:, max(0, made.shape[1] - count) :]
        first = prompts.shape[1]
        positions = np.arange(first, min(program.length, first + num_tokens))[-count:] if count else np.arange(0)
        result = np.empty((len(prompts), len(positions)), dtype=np.int64)
        result[:] = program.low[positions]
        moving = np.flatnonzero(program.wire[positions] >= 0)
        wires, step = program.wire[positions[moving]], (program.high - program.low)[positions[moving]]
        num_words = words_per_pass(len(prompts))
        rows_per_pass = 64 * num_words
        for start in range(0, len(prompts), rows_per_pass):
            block = prompts[start : start + rows_per_pass, program.variable].astype(np.uint8)
            values = program.evaluate(pack_rows(block, num_words))[wires].view(np.uint8)
            bits = np.unpackbits(values, axis=1, bitorder="little", count=len(block)).T
            result[start : start + len(block), moving] += bits * step
        return result

    def program(self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int) -> StraightLine:
        """The model folded for prompts like these: positions with token 0 or 1 vary, others are the same in all rows.

        Raises:
            EngineError: it cannot be folded.
        """
        program = self._program(prompts, num_tokens)
        if isinstance(program, EngineError):
            raise program
        return program

    def _program(self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int) -> StraightLine | EngineError:
        is_bit = (prompts < 2).all(axis=0)
        same = (prompts == prompts[:1]).all(axis=0)
        if not (is_bit | same).all():
            place = int(np.argmin(is_bit | same))
            return EngineError(f"position {place}: the prompts hold more than the tokens 0 and 1")
        pattern = np.where(is_bit, -1, prompts[0])
        key = (pattern.tobytes(), num_tokens)
        if key not in self._programs:
            self._programs.clear()
            try:
                self._programs[key] = self._fold(pattern, num_tokens)
            except EngineError as error:
                self._programs[key] = error
        return self._programs[key]

    def _fold(self, pattern: Int64[np.ndarray, " prompt"], num_tokens: int) -> StraightLine:
        length = len(pattern) + num_tokens
        low, high = np.zeros(length, dtype=np.int64), np.zeros(length, dtype=np.int64)
        low[: len(pattern)], high[: len(pattern)] = np.where(pattern < 0, [[0], [1]], pattern)
        sources, arity, table, length = self._indexed.fold(low, high, len(pattern))
        varies = low[:length] != high[:length]
        wire = np.where(varies, np.cumsum(varies) - 1, -1)
        gates = np.flatnonzero(varies[len(pattern) :]) + len(pattern)
        read = np.arange(6) < arity[gates, None]
        return StraightLine(
            variable=np.flatnonzero(pattern < 0),
            wire=wire,
            low=low[:length],
            high=high[:length],
            fan_in=np.where(read, wire[sources[gates]], -1).astype(np.int32),
            arity=arity[gates],
            table=table[gates],
            length=length,
        )
