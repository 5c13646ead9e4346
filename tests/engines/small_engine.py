"""An inference engine of a few hundred lines, sound, and made to be broken: every step is a method of its own.

It has what real engines have: a cache in blocks of slots that rows share, a cache of prefixes with eviction, prompts
read in chunks, rows of unequal lengths in one batch, speculative decoding with a draft model, and an end token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from serialformer import load
from serialformer.architecture import Architecture
from serialformer.transformer.forward import (
    add_bias,
    apply_mlp,
    apply_norm,
    cast_layer,
    embed,
    rotary_angles,
    rotate,
    unembed,
)
from serialformer.transformer.transformer import Layer, Transformer

BLOCK = 16
"""Slots of a block of the cache."""

CHUNK = 48
"""How many tokens of a prompt are read at once."""

DRAFT_LENGTH = 4
"""How many tokens a draft model proposes at once."""

SPARE_BLOCKS = 24
"""Blocks of the cache beyond what the rows of a call need: prefixes are evicted when these are used up."""


@dataclass(eq=False)
class Row:
    """A request while it runs.

    Attributes:
        tokens: the prompt and what was made.
        prompt_length: how many of them are the prompt.
        padding: how many places of padding a batch would put before it.
        blocks: the blocks of the cache that it holds, in order.
        ended: whether it has made the end token.
    """

    tokens: list[int]
    prompt_length: int
    padding: int
    blocks: list[int] = field(default_factory=list)
    ended: bool = False


class Blocks:
    """The cache: slots in blocks, some of which hold prefixes that another row may want again."""

    def __init__(self, transformer: Transformer, num_blocks: int) -> None:
        shape = transformer.architecture
        size = (shape.num_layers, num_blocks * BLOCK, shape.num_key_heads, shape.head_width)
        self.keys, self.values = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self.free = list(range(num_blocks))
        self.users = [0] * num_blocks
        self.known: OrderedDict[Hashable, int] = OrderedDict()

    def take(self) -> int:
        """A block that nobody uses: a free one, or that of the prefix that was not wanted for longest."""
        if not self.free:
            self.evict()
        block = self.free.pop(0)
        self.users[block] = 1
        return block

    def evict(self) -> None:
        key = next(key for key, block in self.known.items() if self.users[block] == 0)
        self.free.append(self.known.pop(key))


class SmallEngine:
    """Greedy decoding of GPT-2s in float32. ``generate`` takes the rows of one call."""

    def open(self, directory: Path) -> None:
        model = load(directory)
        self.set_model(model.transformer)

    def set_model(self, transformer: Transformer) -> None:
        self.transformer = transformer
        self.shape = transformer.architecture
        self.layers = [self.load_layer(cast_layer(layer, np.float32)) for layer in transformer.layers]
        self.blocks: Blocks | None = None

    def load_layer(self, layer: Layer) -> Layer:
        return layer

    # --- a call

    def generate(
        self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: SmallEngine | None = None
    ) -> list[list[int]]:
        longest = max(map(len, prompts))
        rows = [Row(tokens=[*prompt], prompt_length=len(prompt), padding=longest - len(prompt)) for prompt in prompts]
        self.rows = rows
        self.make_room(rows, num_tokens)
        for row in rows:
            self.start(row)
        while any(self.wants_more(row, num_tokens) for row in rows):
            for row in rows:
                if self.wants_more(row, num_tokens):
                    self.step(row, num_tokens, draft)
            self.after_step(rows)
        for row in rows:
            self.finish(row)
        return [self.answer(row) for row in rows]

    def make_room(self, rows: list[Row], num_tokens: int) -> None:
        needed = sum(-(-(len(row.tokens) + num_tokens + DRAFT_LENGTH) // BLOCK) for row in rows)
        if self.blocks is None or len(self.blocks.users) < needed:
            self.blocks = Blocks(self.transformer, needed + SPARE_BLOCKS)

    def start(self, row: Row) -> None:
        """Reads the prompt and makes the first token."""
        start = self.reuse_prefix(row)
        said = np.empty(0, dtype=np.int64)
        for begin, end in self.chunks(start, len(row.tokens)):
            said = self.forward(row, begin, end)
        self.append(row, self.first_token(row, said))

    def first_token(self, row: Row, said: np.ndarray) -> int:
        return int(said[-1])

    def chunks(self, start: int, stop: int) -> list[tuple[int, int]]:
        return [(begin, min(begin + CHUNK, stop)) for begin in range(start, stop, CHUNK)]

    def step(self, row: Row, num_tokens: int, draft: SmallEngine | None) -> None:
        if draft is None:
            said = self.forward(row, len(row.tokens) - 1, len(row.tokens))
            self.append(row, int(said[-1]))
            return
        room = min(row.prompt_length + num_tokens, self.shape.num_positions) - len(row.tokens)
        proposed = draft.generate([row.tokens], max(0, min(DRAFT_LENGTH, room)))[0] if room > 0 else []
        proposed = [token for token in proposed if token != self.shape.end_token]
        length = len(row.tokens)
        row.tokens += proposed
        said = self.forward(row, length - 1, len(row.tokens)).tolist()
        accepted = self.count_accepted(proposed, said)
        self.reject(row, length, proposed, accepted)
        del row.tokens[length:]
        for token in [*proposed[:accepted], said[accepted]]:
            if self.wants_more(row, num_tokens):
                self.append(row, token)

    def count_accepted(self, proposed: list[int], said: list[int]) -> int:
        count = 0
        while count < len(proposed) and proposed[count] == said[count]:
            count += 1
        return count

    def reject(self, row: Row, length: int, proposed: list[int], accepted: int) -> None:
        """What has to be undone; here nothing, because slots behind a row's tokens are written again."""

    def append(self, row: Row, token: int) -> None:
        row.tokens.append(token)
        row.ended = row.ended or self.is_end(row, token)

    def is_end(self, row: Row, token: int) -> bool:
        return token == self.shape.end_token

    def wants_more(self, row: Row, num_tokens: int) -> bool:
        made = len(row.tokens) - row.prompt_length
        return not row.ended and made < num_tokens and len(row.tokens) <= self.shape.num_positions

    def after_step(self, rows: list[Row]) -> None:
        """Between two steps of a call."""

    def answer(self, row: Row) -> list[int]:
        return row.tokens[row.prompt_length :]

    # --- the cache

    def prefix_key(self, row: Row, index: int) -> Hashable:
        """By what a full block is known: all tokens up to its end."""
        return tuple(row.tokens[: (index + 1) * BLOCK])

    def reuse_prefix(self, row: Row) -> int:
        """Takes the blocks of a known prefix; returns how many tokens need not be read. One always is."""
        assert self.blocks is not None
        for index in range((len(row.tokens) - 1) // BLOCK):
            key = self.prefix_key(row, index)
            if key not in self.blocks.known:
                break
            block = self.blocks.known[key]
            self.blocks.known.move_to_end(key)
            self.hold(block)
            row.blocks.append(block)
        return len(row.blocks) * BLOCK

    def hold(self, block: int) -> None:
        assert self.blocks is not None
        self.blocks.users[block] += 1
        if block in self.blocks.free:
            self.blocks.free.remove(block)

    def finish(self, row: Row) -> None:
        """Gives the blocks back; full ones stay known."""
        assert self.blocks is not None
        num_cached = min(len(row.tokens) - 1, self.shape.num_positions)
        for index, block in enumerate(row.blocks):
            self.blocks.users[block] -= 1
            key = self.prefix_key(row, index)
            if (index + 1) * BLOCK <= num_cached and key not in self.blocks.known:
                self.blocks.known[key] = block
            if self.blocks.users[block] == 0 and block not in self.blocks.known.values():
                self.blocks.free.append(block)

    def slots(self, row: Row, stop: int) -> np.ndarray:
        """The slot of each token of a row."""
        assert self.blocks is not None
        while len(row.blocks) * BLOCK < stop:
            row.blocks.append(self.blocks.take())
        blocks = np.array(row.blocks)[: -(-stop // BLOCK)]
        return (blocks[:, None] * BLOCK + np.arange(BLOCK)).reshape(-1)[:stop]

    def write(self, layer: int, row: Row, places: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        assert self.blocks is not None
        slots = self.slots(row, int(places[-1]) + 1)[places]
        self.blocks.keys[layer, slots], self.blocks.values[layer, slots] = keys, values

    def read(self, layer: int, row: Row, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and values of the first tokens of a row, a token a row."""
        assert self.blocks is not None
        slots = self.slots(row, stop)
        return self.blocks.keys[layer, slots], self.blocks.values[layer, slots]

    # --- the forward pass

    def positions(self, row: Row, places: np.ndarray, start: int) -> np.ndarray:
        return places

    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Which of the first ``stop`` tokens each of the queries may see."""
        seen = np.arange(stop) <= places[:, None]
        return seen if self.shape.window is None else seen & (np.arange(stop) > places[:, None] - self.shape.window)

    def forward(self, row: Row, start: int, stop: int) -> np.ndarray:
        """The token that follows each of some tokens of a row; what stands before them is in the cache."""
        places = np.arange(start, stop)
        positions = self.positions(row, places, start)
        stream = embed(self.transformer, np.array([row.tokens[start:stop]]), positions, np.float32)[0]
        for index, layer in enumerate(self.layers):
            queries, keys, values = self.project(stream, layer, positions)
            self.write(index, row, places, keys, values)
            keys, values = self.read(index, row, stop)
            mixed = self.merge(
                self.attend(queries, self.group(keys), self.group(values), self.visible(places, start, stop)), start
            )
            stream = stream + add_bias(mixed @ layer.attention_out_weight, layer.attention_out_bias)
            stream = apply_mlp(stream[None], layer, self.norm_shape)[0]
        return self.choose(row, places, unembed(stream[None], self.transformer)[0])

    def choose(self, row: Row, places: np.ndarray, logits: np.ndarray) -> np.ndarray:
        return logits.argmax(axis=-1)

    @property
    def epsilon(self) -> float:
        return self.shape.norm_epsilon

    @property
    def norm_shape(self) -> Architecture:
        return replace(self.shape, norm_epsilon=self.epsilon)

    def project(
        self, stream: np.ndarray, layer: Layer, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Queries, keys and values: tokens by heads by head width."""
        normed = apply_norm(stream, layer.attention_norm_gain, layer.attention_norm_bias, self.norm_shape)
        queries, keys, values = self.split(add_bias(normed @ layer.attention_in_weight, layer.attention_in_bias))
        if self.shape.positions == "rotary":
            angles = self.angles(positions)
            queries, keys = (rotate(part.swapaxes(0, 1)[None], angles)[0].swapaxes(0, 1) for part in (queries, keys))
        return queries, keys, values

    def angles(self, positions: np.ndarray) -> np.ndarray:
        return rotary_angles(self.shape, positions).astype(np.float32)

    def split(self, projected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts = projected.reshape(len(projected), -1, self.shape.head_width)
        heads, key_heads = self.shape.num_heads, self.shape.num_key_heads
        return parts[:, :heads], parts[:, heads : heads + key_heads], parts[:, heads + key_heads :]

    def group(self, part: np.ndarray) -> np.ndarray:
        """Keys or values of each head, of which several may share one."""
        return np.repeat(part, self.shape.num_heads // self.shape.num_key_heads, axis=1)

    def attend(self, queries: np.ndarray, keys: np.ndarray, values: np.ndarray, visible: np.ndarray) -> np.ndarray:
        shares = self.shares(queries, keys, visible)
        return np.einsum("hts,shw->thw", shares, values)

    def shares(self, queries: np.ndarray, keys: np.ndarray, visible: np.ndarray) -> np.ndarray:
        scores = np.einsum("thw,shw->hts", queries, keys) / np.float32(np.sqrt(self.shape.head_width))
        scores = np.where(visible, scores, np.float32(-np.inf))
        exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)

    def merge(self, mixed: np.ndarray, start: int) -> np.ndarray:
        """The heads side by side; ``start`` is the first token's place."""
        return mixed.reshape(len(mixed), -1)

    # --- all positions at once

    def score(self, tokens: Sequence[int]) -> list[int]:
        """The token that follows after each token of a sequence, read in one pass without a cache."""
        self.blocks = None
        row = Row(tokens=[*tokens], prompt_length=len(tokens), padding=0)
        self.rows = [row]
        self.make_room([row], 1)
        said: list[int] = self.forward(row, 0, len(tokens)).tolist()
        self.blocks = None
        return said
