"""Families of cases: each looks for one sort of mistake. A suite asks every model for some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from serialformer.engines.cases import Case
from serialformer.engines.known import KnownAnswers
from serialformer.engines.known_tasks import KnownTaskAnswers

BLOCKS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
"""Sizes in which engines cut caches, prompts and buffers."""

AROUND = (-1, 0, 1)

MIN_SPARE = 10
"""How many spare positions a model must have to be asked for more tokens than its chain has."""

CROSSING_TOKENS = 6
"""How many tokens are made across a boundary, half of them before it."""

MIN_CHAIN_TOKENS = 27
"""The shortest chain for which every family has its cases: one token of it in the prompt, and what comes after."""


@dataclass(kw_only=True)
class CaseWriter:
    """Collects the cases of one model: numbers them, and fills in what must come and why.

    Prompts are in plain tokens (``KnownAnswers``, ``KnownTaskAnswers``); the cases have the model's own ids.
    """

    known: KnownAnswers | KnownTaskAnswers
    random: np.random.Generator
    cases: list[Case] = field(default_factory=list)
    next_call: int = 0

    def question(self) -> list[int]:
        """A random prompt without any of its chain."""
        return self.known.question(self.random)

    def prompt(self, length: int) -> list[int]:
        """A random prompt of some length, of which the part after ``=`` is its own chain."""
        question = self.question()
        return question + list(self.known.continue_prompt(question, length - len(question)))

    def ask(
        self, family: str, purpose: str, prompts: Sequence[Sequence[int]], num_tokens: int, *, draft: str | None = None
    ) -> None:
        """Adds one call with these prompts."""
        known = self.known
        for prompt in prompts:
            expected = known.continue_prompt(prompt, num_tokens)
            positions = range(len(prompt), len(prompt) + len(expected))
            self.cases.append(
                Case(
                    id=f"{family.replace(' ', '-')}-{len(self.cases):03}",
                    family=family,
                    purpose=purpose,
                    call=self.next_call,
                    prompt=known.ids(prompt),
                    text=known.text(prompt),
                    num_tokens=num_tokens,
                    expected=known.ids(expected, len(prompt)),
                    gates=tuple(known.gates[position - known.num_prompt] for position in positions),
                    reads=tuple(known.reads(position) for position in positions),
                    draft=draft,
                )
            )
        self.next_call += 1

    @property
    def first(self) -> int:
        """The length of a prompt without any of its chain."""
        return self.known.num_prompt

    @property
    def total(self) -> int:
        """The length of a prompt with all of its chain."""
        return self.known.num_tokens


def whole_chain(write: CaseWriter) -> None:
    """The whole chain after one prompt, twice, with another prompt in between."""
    first, second = write.question(), write.question()
    length = write.total - write.first
    write.ask("whole chain", "All tokens of the chain, up to the last position.", [first], length)
    write.ask("whole chain", "Nothing of the first request may be left.", [second], length)
    write.ask("repeat", "The first request again: the same tokens must come.", [first], min(length, 24))


def long_chain(write: CaseWriter) -> None:
    """The whole chain after one prompt, once."""
    write.ask("whole chain", "All tokens of a long chain.", [write.question()], write.total - write.first)


def long_prompt(write: CaseWriter) -> None:
    """A long prompt, read at once, and the last tokens of its chain."""
    write.ask("long prompt", "Reads far back into a long prompt.", [write.prompt(write.total - 16)], 16)


def prompt_lengths(write: CaseWriter) -> None:
    """Prompts whose length is a block size, one less and one more."""
    for block in BLOCKS:
        for length in (block + offset for offset in AROUND):
            if write.first <= length <= write.total - 3:
                purpose = f"A prompt of {length} tokens: blocks of {block} are just full, or not yet, or overfull."
                write.ask("prompt length", purpose, [write.prompt(length)], 3)


def crossings(write: CaseWriter) -> None:
    """Tokens made one by one across a multiple of a block size."""
    for block in BLOCKS:
        start = block - CROSSING_TOKENS // 2
        if write.first <= start <= write.total - CROSSING_TOKENS:
            purpose = f"The sequence grows from {start} to {start + CROSSING_TOKENS} tokens, across {block}."
            write.ask("crossing", purpose, [write.prompt(start)], CROSSING_TOKENS)


def altered_chain(write: CaseWriter) -> None:
    """Prompts whose chain has been altered: what follows depends on the altered tokens, not on the right ones."""
    room = write.total - write.first
    for length in (room // 3, 2 * room // 3):
        prompt = write.prompt(write.first + length)
        for place in write.random.choice(length, max(1, length // 4), replace=False).tolist():
            prompt[write.first + place] = write.known.other(prompt[write.first + place], write.first + place)
        purpose = "A quarter of the chain in the prompt is altered; the right continuation is another one."
        write.ask("altered chain", purpose, [prompt], 12)


def shared_prefixes(write: CaseWriter) -> None:
    """Requests that begin alike: cold, warm, branching at, before and after a block's end, and longer."""
    length = min(write.first + 70, write.total - 26)
    base = write.prompt(length)
    write.ask("shared prefix", "A prompt for the first time: the cache of prefixes is cold.", [base], 6)
    write.ask("shared prefix", "The same prompt again: the cache of prefixes is warm.", [base], 6)
    blocks = [block for block in (16, 32, 64) if write.first + 1 < block < length - 1]
    for place in sorted({*(block + offset for block in blocks for offset in AROUND), length - 1}):
        branch = _branch(write, base, place, _length_to_a_reader(write, place, length, 6))
        purpose = f"The first {place} tokens are the first prompt's, then another bit and what follows from it."
        write.ask("shared prefix", purpose, [branch], 6)
    inner = [*base]
    inner[1] = write.known.other(inner[1], 1)
    write.ask("shared prefix", "All tokens but the second are the first prompt's.", [inner], 6)
    if length >= 56 and write.first <= 16:
        repeated = base[:32] + base[16:32]
        repeated += _next(write, repeated, length - len(repeated))
        purpose = "Tokens 32 to 47 equal tokens 16 to 31, which are in the cache for other positions."
        write.ask("shared prefix", purpose, [repeated], 6)
    write.ask("shared prefix", "The first prompt and its next tokens.", [base + _next(write, base, 3)], 4)
    write.ask("shared prefix", "Another prompt altogether.", [write.prompt(length)], 6)
    write.ask("shared prefix", "The first prompt after the others.", [base], 6)
    branch = _branch(write, base, 20, _length_to_a_reader(write, 20, length, 24))
    purpose = "A branch and the first prompt at once: they share a block in part only."
    write.ask("shared prefix", purpose, [branch, base], 24)


def _next(write: CaseWriter, prompt: list[int], count: int) -> list[int]:
    return list(write.known.continue_prompt(prompt, count))


def _branch(write: CaseWriter, base: list[int], place: int, length: int) -> list[int]:
    """A prompt of some length that first differs from another at a place of the chain."""
    place = max(write.first, min(place, len(base) - 1))
    branch = [*base[:place], write.known.other(base[place], place)]
    return branch + _next(write, branch, length - len(branch))


def _length_to_a_reader(write: CaseWriter, place: int, least: int, count: int) -> int:
    """The length of a prompt, at least so long, after which one of the next ``count`` tokens reads a place."""
    for position in range(least, write.total - count + 2):
        if place in write.known.reads(position):
            return max(least, position - 2)
    return least


def unequal_rows(write: CaseWriter) -> None:
    """Batches of prompts of different lengths."""
    longest = write.total - 12
    purpose = "Prompts of different lengths in one batch: each row keeps its own positions, mask and cache."
    for count in (2, 5):
        lengths = write.random.integers(write.first, longest + 1, count)
        lengths[0], lengths[-1] = longest, write.first
        write.ask("unequal rows", purpose, [write.prompt(int(length)) for length in lengths], 10)


def equal_rows(write: CaseWriter) -> None:
    """A batch of prompts of one length, more than a power of two."""
    purpose = "Nine prompts of one length in one batch: rows may not see each other or change places."
    write.ask("equal rows", purpose, [write.question() for _ in range(9)], min(12, write.total - write.first))


def ends(write: CaseWriter) -> None:
    """Chains that end before as many tokens as were asked for, alone and in a batch, in models with spare positions."""
    if write.known.model.transformer.architecture.num_positions < write.total + MIN_SPARE:
        return
    purpose = "The end token comes before the number of tokens asked for; nothing may follow it."
    write.ask("end token", purpose, [write.prompt(write.total - 5)], 12)
    rows = [write.prompt(write.total - remaining) for remaining in (2, 9, 5, 11)]
    write.ask("end token", "The rows of a batch end at different times, and none may end another.", rows, 12)


def one_token(write: CaseWriter) -> None:
    """Requests for a single token."""
    for length in (write.first, (write.first + write.total) // 2, write.total - 1):
        write.ask("one token", "A single token, which only reading the prompt makes.", [write.prompt(length)], 1)


def full_context(write: CaseWriter) -> None:
    """Prompts that leave room for no or one token in a model without spare positions."""
    for remaining in (2, 1):
        purpose = f"The prompt leaves {remaining} of the model's positions."
        write.ask("full context", purpose, [write.prompt(write.total - remaining)], remaining)


FAMILIES: dict[str, Callable[[CaseWriter], None]] = {
    function.__name__: function
    for function in (
        *(whole_chain, long_chain, long_prompt, prompt_lengths, crossings, altered_chain, shared_prefixes),
        *(unequal_rows, equal_rows, ends, one_token, full_context),
    )
}
"""The functions by name; each docstring says what the family is for."""


def write_families(known: KnownAnswers | KnownTaskAnswers, names: Sequence[str], seed: int) -> Iterator[Case]:
    """The cases of some families for one model, calls numbered in their order.

    Args:
        known: the answers.
        names: which families, of ``FAMILIES``.
        seed: of the random prompts.
    """
    write = CaseWriter(known=known, random=np.random.default_rng(seed))
    for name in names:
        FAMILIES[name](write)
    yield from write.cases
