"""The zoo: the small engine with one defect each, as they have occurred in engines or could."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import ml_dtypes
import numpy as np

from serialformer.transformer.forward import embed
from serialformer.transformer.transformer import Layer
from tests.engines.small_engine import BLOCK, Row, SmallEngine

DEFECTS: dict[str, type[SmallEngine]] = {}
"""By what is wrong, in words."""


def defect(name: str) -> Callable[[type[SmallEngine]], type[SmallEngine]]:
    def register(engine: type[SmallEngine]) -> type[SmallEngine]:
        assert name not in DEFECTS
        DEFECTS[name] = engine
        return engine

    return register


# --- slots and blocks of the cache


@defect("cache: a slot is overwritten by the token 64 places later")
class _Overwritten(SmallEngine):
    def write(self, layer: int, row: Row, places: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        super().write(layer, row, places, keys, values)
        late = places % 64 == 63
        if places[-1] >= 64 and late.any():
            super().write(layer, row, np.maximum(places[late] - 63, 0), keys[late], values[late])


@defect("cache: the first token of a block goes into the block before")
class _BlockBoundary(SmallEngine):
    def write(self, layer: int, row: Row, places: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        moved = np.where((places % BLOCK == 0) & (places > 0) & (len(places) == 1), places - 1, places)
        super().write(layer, row, moved, keys, values)


@defect("cache: the last slot of a block is not written while decoding")
class _LastSlot(SmallEngine):
    def write(self, layer: int, row: Row, places: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        if len(places) > 1 or places[0] % BLOCK != BLOCK - 1:
            super().write(layer, row, places, keys, values)
        else:
            super().write(layer, row, places, 0 * keys, 0 * values)


@defect("cache: the fourth block of a row is read as the third")
class _WrongBlock(SmallEngine):
    def read(self, layer: int, row: Row, stop: int) -> tuple[np.ndarray, np.ndarray]:
        keys, values = super().read(layer, row, stop)
        if stop > 4 * BLOCK:
            keys, values = keys.copy(), values.copy()
            keys[3 * BLOCK : 4 * BLOCK] = keys[2 * BLOCK : 3 * BLOCK]
        return keys, values


@defect("cache: offsets are 16 bits wide")
class _ShortOffsets(SmallEngine):
    def slots(self, row: Row, stop: int) -> np.ndarray:
        slots = super().slots(row, stop)
        assert self.blocks is not None
        offsets = (slots * self.shape.width).astype(np.int16).astype(np.int64)
        return np.where(offsets == slots * self.shape.width, slots, offsets // self.shape.width) % len(
            self.blocks.keys[0]
        )


@defect("cache: numbers of blocks are 7 bits wide")
class _NarrowBlocks(SmallEngine):
    def slots(self, row: Row, stop: int) -> np.ndarray:
        slots = super().slots(row, stop)
        return slots // BLOCK % 128 * BLOCK + slots % BLOCK


@defect("cache: kept in float16")
class _HalfCache(SmallEngine):
    def read(self, layer: int, row: Row, stop: int) -> tuple[np.ndarray, np.ndarray]:
        keys, values = super().read(layer, row, stop)
        return keys.astype(np.float16).astype(np.float32), values.astype(np.float16).astype(np.float32)


@defect("cache: kept in bfloat16")
class _BrainCache(SmallEngine):
    def read(self, layer: int, row: Row, stop: int) -> tuple[np.ndarray, np.ndarray]:
        keys, values = super().read(layer, row, stop)
        return tuple(part.astype(ml_dtypes.bfloat16).astype(np.float32) for part in (keys, values))  # type: ignore[return-value]


@defect("cache: static, and what a longer request before left behind is seen")
class _StaticBuffer(SmallEngine):
    longest = 0

    def read(self, layer: int, row: Row, stop: int) -> tuple[np.ndarray, np.ndarray]:
        self.longest = max(self.longest, stop)
        assert self.blocks is not None
        self.slots(row, stop)
        blocks = np.array(row.blocks)
        slots = (blocks[:, None] * BLOCK + np.arange(BLOCK)).reshape(-1)
        return self.blocks.keys[layer, slots], self.blocks.values[layer, slots]

    def finish(self, row: Row) -> None:
        """Its blocks are the first that the next request gets, in the same order."""
        assert self.blocks is not None
        for block in row.blocks:
            self.blocks.users[block] = 0
        self.blocks.free = row.blocks + [block for block in self.blocks.free if block not in row.blocks]

    def make_room(self, rows: list[Row], num_tokens: int) -> None:
        if self.blocks is None:
            super().make_room(rows, self.shape.num_positions)
        else:
            super().make_room(rows, num_tokens)

    def start(self, row: Row) -> None:
        """The whole buffer belongs to the request from the start."""
        assert self.blocks is not None
        if len(self.rows) == 1:
            while len(row.blocks) * BLOCK < self.longest:
                row.blocks.append(self.blocks.take())
        super().start(row)

    def reuse_prefix(self, row: Row) -> int:
        return 0

    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Everything that was ever written, but for what stands behind it in the same prompt."""
        assert self.blocks is not None
        count = len(self.rows[0].blocks) * BLOCK if len(self.rows) == 1 else -(-stop // BLOCK) * BLOCK
        every = np.arange(count)
        return (every <= places[:, None]) | ((every >= stop) & (every < self.longest) & (len(self.rows) == 1))


@defect("cache: keys of a token are written, its values one step later")
class _LateValues(SmallEngine):
    def write(self, layer: int, row: Row, places: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        if len(places) == 1:
            old = super().read(layer, row, int(places[0]) + 1)[1][-1:]
            super().write(layer, row, places, keys, old)
        else:
            super().write(layer, row, places, keys, values)


# --- prefixes


@defect("prefixes: a block is known by its own tokens, not by where it stands")
class _NoParent(SmallEngine):
    def prefix_key(self, row: Row, index: int) -> Hashable:
        return tuple(row.tokens[index * BLOCK : (index + 1) * BLOCK])


@defect("prefixes: a block is known by the first half of its tokens")
class _HalfKey(SmallEngine):
    def prefix_key(self, row: Row, index: int) -> Hashable:
        return tuple(row.tokens[: (index + 1) * BLOCK - BLOCK // 2])


@defect("prefixes: the key leaves out a block's last token")
class _KeyOffByOne(SmallEngine):
    def prefix_key(self, row: Row, index: int) -> Hashable:
        return tuple(row.tokens[: (index + 1) * BLOCK - 1])


@defect("prefixes: an evicted block stays known")
class _StaleEviction(SmallEngine):
    def make_room(self, rows: list[Row], num_tokens: int) -> None:
        super().make_room(rows, num_tokens)
        assert self.blocks is not None
        blocks = self.blocks

        def evict() -> None:
            key = next(key for key, block in blocks.known.items() if blocks.users[block] == 0)
            blocks.known.move_to_end(key)
            blocks.free.append(blocks.known[key])

        blocks.evict = evict  # type: ignore[method-assign]

    def hold(self, block: int) -> None:
        assert self.blocks is not None
        self.blocks.users[block] += 1
        if block in self.blocks.free:
            self.blocks.free.remove(block)


@defect("prefixes: a block that is not full yet is shared, and written by both")
class _SharedPartial(SmallEngine):
    partial: tuple[tuple[int, ...], int] | None = None

    def generate(
        self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: SmallEngine | None = None
    ) -> list[list[int]]:
        self.partial = None
        return super().generate(prompts, num_tokens, draft)

    def start(self, row: Row) -> None:
        super().start(row)
        if self.partial is None and len(row.blocks) > 1:
            self.partial = (tuple(row.tokens[: BLOCK + 4]), row.blocks[1])

    def reuse_prefix(self, row: Row) -> int:
        start = super().reuse_prefix(row)
        if start >= BLOCK and self.partial and tuple(row.tokens[: BLOCK + 4]) == self.partial[0]:
            del row.blocks[1:]
            row.blocks.append(self.partial[1])
            self.hold(self.partial[1])
            return BLOCK + 4
        return start


@defect("prefixes: an answer is kept for the first tokens of its prompt")
class _KeptAnswer(SmallEngine):
    def set_model(self, transformer: object) -> None:
        super().set_model(transformer)
        self.kept: dict[Hashable, int] = {}

    def first_token(self, row: Row, said: np.ndarray) -> int:
        key = (len(row.tokens), tuple(row.tokens[:BLOCK]))
        return self.kept.setdefault(key, super().first_token(row, said))


# --- positions and masks


@defect("positions: counted from the padding of the batch")
class _PaddedPositions(SmallEngine):
    def positions(self, row: Row, places: np.ndarray, start: int) -> np.ndarray:
        return np.minimum(places + row.padding, self.shape.num_positions - 1)


@defect("positions: one late while decoding")
class _LatePositions(SmallEngine):
    def positions(self, row: Row, places: np.ndarray, start: int) -> np.ndarray:
        return np.minimum(places + (len(places) == 1), self.shape.num_positions - 1)


@defect("positions: begin anew in each chunk of a prompt")
class _ChunkPositions(SmallEngine):
    def positions(self, row: Row, places: np.ndarray, start: int) -> np.ndarray:
        return places - start if len(places) > 1 else places


@defect("positions: not above 127")
class _ClampedPositions(SmallEngine):
    def positions(self, row: Row, places: np.ndarray, start: int) -> np.ndarray:
        return np.minimum(places, 127)


@defect("positions: kept in 8 bits")
class _BytePositions(SmallEngine):
    def positions(self, row: Row, places: np.ndarray, start: int) -> np.ndarray:
        return places % 256


@defect("mask: padding is attended to")
class _PaddingAttended(SmallEngine):
    def attend(self, queries: np.ndarray, keys: np.ndarray, values: np.ndarray, visible: np.ndarray) -> np.ndarray:
        padding = self.current.padding
        if padding:
            tokens = np.array([[self.shape.end_token] * padding])
            stream = embed(self.transformer, tokens, np.arange(padding), np.float32)[0]
            _, more_keys, more_values = self.project(stream, self.layers[0], np.arange(padding))
            more_keys, more_values = self.group(more_keys), self.group(more_values)
            keys, values = np.concatenate([more_keys, keys]), np.concatenate([more_values, values])
            visible = np.concatenate([np.ones((len(visible), padding), dtype=bool), visible], axis=1)
        return super().attend(queries, keys, values, visible)

    def forward(self, row: Row, start: int, stop: int) -> np.ndarray:
        self.current = row
        return super().forward(row, start, stop)


@defect("mask: at the upper left corner when there is a cache")
class _UpperLeft(SmallEngine):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        return super().visible(places - start if len(places) > 1 else places, start, stop)


@defect("mask: one token too many is seen")
class _SeesNext(SmallEngine):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        return super().visible(places + 1, start, stop)


@defect("mask: a position does not see itself")
class _NotItself(SmallEngine):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        seen = np.arange(stop) < places[:, None]
        seen[:, 0] = True
        return seen


@defect("window: only the last 64 tokens are seen")
class _Window(SmallEngine):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        return super().visible(places, start, stop) & (np.arange(stop) > places[:, None] - 64)


@defect("window: the first token is dropped when a block of 128 is full")
class _DropsFirst(SmallEngine):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        return super().visible(places, start, stop) & ((np.arange(stop) > 0) | (places[:, None] < 126))


@defect("prompt: cut to its last 100 tokens")
class _CutPrompt(SmallEngine):
    def generate(
        self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: SmallEngine | None = None
    ) -> list[list[int]]:
        return super().generate([prompt[-100:] for prompt in prompts], num_tokens, draft)


@defect("prompt: the first token of every further chunk is skipped")
class _SkippedToken(SmallEngine):
    def write(self, layer: int, row: Row, places: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        if len(places) > 1 and places[0] > 0:
            keys, values = keys.copy(), values.copy()
            keys[0] = values[0] = 0
        super().write(layer, row, places, keys, values)


@defect("prompt: the last token but one answers when the length is a multiple of 16")
class _WrongLogits(SmallEngine):
    def first_token(self, row: Row, said: np.ndarray) -> int:
        at = -2 if len(row.tokens) % BLOCK == 0 and len(said) > 1 else -1
        return int(said[at])


# --- heads, weights and arithmetic


@defect("heads: in another order while decoding")
class _HeadOrder(SmallEngine):
    def merge(self, mixed: np.ndarray, start: int) -> np.ndarray:
        return super().merge(mixed[:, ::-1] if len(mixed) == 1 else mixed, start)


@defect("heads: queries, keys and values of a head lie side by side")
class _Interleaved(SmallEngine):
    def split(self, projected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts = projected.reshape(len(projected), self.shape.num_heads, 3, self.shape.head_width)
        return parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]


@defect("heads: an odd head width is rounded down for the scores")
class _OddWidth(SmallEngine):
    def shares(self, queries: np.ndarray, keys: np.ndarray, visible: np.ndarray) -> np.ndarray:
        even = self.shape.head_width // 4 * 4
        return super().shares(queries[..., :even], keys[..., :even], visible)


@defect("sums: one thread of four loses its part of a context that it does not divide")
class _LostPart(SmallEngine):
    def shares(self, queries: np.ndarray, keys: np.ndarray, visible: np.ndarray) -> np.ndarray:
        count = visible.shape[1]
        if len(queries) == 1 and count % 4 and count > 8:
            visible = visible & (np.arange(count) < count // 4 * 4)
        return super().shares(queries, keys, visible)


@defect("sums: parts of a softmax are joined without their maxima")
class _PartsJoined(SmallEngine):
    def attend(self, queries: np.ndarray, keys: np.ndarray, values: np.ndarray, visible: np.ndarray) -> np.ndarray:
        half = visible.shape[1] // 2
        if len(queries) > 1 or half < 40:
            return super().attend(queries, keys, values, visible)
        parts = [slice(None, half), slice(half, None)]
        mixed = [super(_PartsJoined, self).attend(queries, keys[x], values[x], visible[:, x]) for x in parts]
        return (mixed[0] + mixed[1]) / 2


@defect("norm: an epsilon ten times as large")
class _Epsilon(SmallEngine):
    @property
    def epsilon(self) -> float:
        return 10 * self.shape.norm_epsilon


@defect("weights: a bias is forgotten")
class _NoBias(SmallEngine):
    def load_layer(self, layer: Layer) -> Layer:
        return replace(layer, mlp_in_bias=0 * layer.mlp_in_bias)


@defect("weights: an output projection is transposed")
class _Transposed(SmallEngine):
    def load_layer(self, layer: Layer) -> Layer:
        return replace(layer, attention_out_weight=layer.attention_out_weight.T.copy())


@defect("weights: a row of zeros is divided by its largest number when it is quantised")
class _ZeroRow(SmallEngine):
    def load_layer(self, layer: Layer) -> Layer:
        weight = layer.mlp_in_weight
        with np.errstate(invalid="ignore"):
            scale = np.abs(weight).max(axis=0) / np.float32(127)
            return replace(layer, mlp_in_weight=np.round(weight / scale) * scale)


@defect("weights: four bits")
class _FourBits(SmallEngine):
    def load_layer(self, layer: Layer) -> Layer:
        weights = {}
        for name, weight in layer.named_weights():
            step = np.abs(weight).max() / 7
            weights[name] = np.round(weight / step) * step if step else weight
        return Layer(**weights)


# --- rows of a batch


@defect("batch: rows change places when one has ended")
class _RowsSwapped(SmallEngine):
    def generate(
        self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: SmallEngine | None = None
    ) -> list[list[int]]:
        answers = super().generate(prompts, num_tokens, draft)
        lengths = {len(answer) for answer in answers}
        return answers[1:] + answers[:1] if len(lengths) > 1 else answers


@defect("batch: rows are sorted by length and not put back")
class _RowsSorted(SmallEngine):
    def generate(
        self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: SmallEngine | None = None
    ) -> list[list[int]]:
        return super().generate(sorted(prompts, key=len), num_tokens, draft)


@defect("batch: the end of one row ends all")
class _EndsAll(SmallEngine):
    def after_step(self, rows: list[Row]) -> None:
        if any(row.ended for row in rows):
            for row in rows:
                row.ended = True


@defect("batch: rows that fill up a batch of a power of two write into slot 0")
class _FillingRows(SmallEngine):
    def after_step(self, rows: list[Row]) -> None:
        assert self.blocks is not None
        if len(rows).bit_count() > 1:
            self.blocks.keys[:, rows[0].blocks[0] * BLOCK] = 0
            self.blocks.values[:, rows[0].blocks[0] * BLOCK] = 0


@defect("batch: the last column answers for rows that are shorter")
class _LastColumn(SmallEngine):
    def make_room(self, rows: list[Row], num_tokens: int) -> None:
        # A row that is filled up is in the cache twice while its first token is made.
        longest = max(rows, key=lambda row: len(row.tokens))
        super().make_room([*rows, longest], num_tokens)

    def first_token(self, row: Row, said: np.ndarray) -> int:
        if not row.padding:
            return super().first_token(row, said)
        padded = Row(tokens=[*row.tokens, *[self.shape.end_token] * row.padding], prompt_length=0, padding=0)
        said = self.forward(padded, 0, min(len(padded.tokens), self.shape.num_positions))
        self.finish(padded)
        return int(said[-1])


@defect("batch: a row that had to wait has lost its last token")
class _Preempted(SmallEngine):
    def after_step(self, rows: list[Row]) -> None:
        if len(rows) > 8 and len(rows[-1].tokens) == rows[-1].prompt_length + 5:
            assert self.blocks is not None
            slot = self.slots(rows[-1], len(rows[-1].tokens))[-2]
            self.blocks.keys[:, slot] = 0


# --- speculative decoding


@defect("drafts: rejected tokens stay in the cache")
class _RejectedStay(SmallEngine):
    extra: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    def generate(
        self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: SmallEngine | None = None
    ) -> list[list[int]]:
        self.extra = ()
        return super().generate(prompts, num_tokens, draft)

    def reject(self, row: Row, length: int, proposed: list[int], accepted: int) -> None:
        places = slice(length + accepted, length + len(proposed))
        keys, values = super().read(0, row, length + len(proposed))
        self.extra = (*self.extra, (keys[places].copy(), values[places].copy()))

    def attend(self, queries: np.ndarray, keys: np.ndarray, values: np.ndarray, visible: np.ndarray) -> np.ndarray:
        if self.extra:
            more = [np.concatenate(part) for part in zip(*self.extra, strict=True)]
            keys, values = np.concatenate([keys, more[0]]), np.concatenate([values, more[1]])
            seen = np.ones((len(visible), len(more[0])), dtype=bool)
            visible = np.concatenate([visible, seen], axis=1)
        return super().attend(queries, keys, values, visible)


@defect("drafts: one token too many is accepted")
class _AcceptsTooMany(SmallEngine):
    def count_accepted(self, proposed: list[int], said: list[int]) -> int:
        return min(len(proposed), super().count_accepted(proposed, said) + 1)


@defect("drafts: the first proposed token is not compared")
class _FirstNotCompared(SmallEngine):
    def count_accepted(self, proposed: list[int], said: list[int]) -> int:
        return super().count_accepted([*said[:1], *proposed[1:]], said) if proposed else 0


@defect("drafts: positions move on by a rejected token")
class _DraftPositions(SmallEngine):
    shift = 0

    def generate(
        self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: SmallEngine | None = None
    ) -> list[list[int]]:
        self.shift = 0
        return super().generate(prompts, num_tokens, draft)

    def reject(self, row: Row, length: int, proposed: list[int], accepted: int) -> None:
        self.shift += accepted < len(proposed)

    def positions(self, row: Row, places: np.ndarray, start: int) -> np.ndarray:
        return np.minimum(places + self.shift, self.shape.num_positions - 1)


@defect("drafts: a proposal may reach beyond the last position")
class _DraftsPastEnd(SmallEngine):
    def step(self, row: Row, num_tokens: int, draft: SmallEngine | None) -> None:
        if len(row.tokens) + 2 > self.shape.num_positions:
            raise IndexError("index is out of bounds")
        super().step(row, num_tokens, draft)


# --- the end


@defect("end: the end token is ignored")
class _EndIgnored(SmallEngine):
    def is_end(self, row: Row, token: int) -> bool:
        return False

    def forward(self, row: Row, start: int, stop: int) -> np.ndarray:
        stop = min(stop, self.shape.num_positions)
        return super().forward(row, min(start, stop - 1), stop)


@defect("end: the end token is never chosen")
class _NoEnd(SmallEngine):
    def append(self, row: Row, token: int) -> None:
        super().append(row, 0 if token == self.shape.end_token else token)


@defect("end: one token fewer than asked for")
class _OneFewer(SmallEngine):
    def answer(self, row: Row) -> list[int]:
        answer = super().answer(row)
        return answer if row.ended or len(answer) < 2 else answer[:-1]


@defect("end: a single token is made twice")
class _FirstTwice(SmallEngine):
    def answer(self, row: Row) -> list[int]:
        answer = super().answer(row)
        return answer * 2 if len(answer) == 1 else answer
