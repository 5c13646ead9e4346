"""A rounded transformer, asked prompts of one length, as a circuit of unbounded fan-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Int64
from serialformer.bounds.forward import Context, GateForward
from serialformer.bounds.making import DEFAULT_MAX_WIRES, Limit, input_signal, make_circuit
from serialformer.bounds.sums import denominator_depth, sum_depth
from serialformer.bounds.tables import default_method, format_numbers
from serialformer.bounds.unbounded import UnboundedCircuit
from serialformer.circuits.words import Word
from serialformer.errors import InputError
from serialformer.transformer.precision import arithmetic_to_format
from serialformer.transformer.transformer import Transformer

MAX_BRANCHES = 1 << 12
"""Chains that the parallel form tries at once."""


@dataclass(frozen=True, kw_only=True)
class PromptTokens:
    """What the positions of a prompt may hold, and how a prompt is written in bits.

    A position with one possible token takes no bits; one with c takes ceil(log2 c), the place of the token among them
    in binary. Codes beyond the last token stand for the last one.

    Attributes:
        choices: for each position the ids of the tokens that it may hold.

    >>> PromptTokens(choices=((0, 1), (4, 5, 6), (2,))).num_bits
    3
    """

    choices: tuple[tuple[int, ...], ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """The bits of each position."""
        return tuple((len(tokens) - 1).bit_length() for tokens in self.choices)

    @property
    def num_bits(self) -> int:
        return sum(self.widths)

    def tokens(self, bits: Int64[np.ndarray, "rows bits"]) -> Int64[np.ndarray, "rows prompt"]:
        """The prompts that rows of bits stand for."""
        columns, first = [], 0
        for tokens, width in zip(self.choices, self.widths, strict=True):
            codes = bits[:, first : first + width] @ (1 << np.arange(width, dtype=np.int64))
            columns.append(np.array(tokens, dtype=np.int64)[np.minimum(codes, len(tokens) - 1)])
            first += width
        return np.stack(columns, axis=1)


def depth_bound(
    architecture: Architecture, *, method: str | None = None, chain: int = 0, parallel: bool = False
) -> int:
    """The depth that no extracted circuit exceeds: a function of layers and number format, not of the prompt's length.

    With S and P the depths of a sum and of a softmax's denominator (``sums``), both functions of the format alone:

        one pass     2 + L (6 S + P + 10) + S + 3 + 1
        T tokens     (T + 1) (2 + L (6 S + P + 10) + S + 3) + 3
        in parallel  2 + L (6 S + P + 10) + S + 3 + 3

    2 are for the embedding. A layer has six sums, one after the other: queries and keys, scores, mixtures, output,
    hidden units and feed-forward output; 10 are for two products, a quotient and the two sums into the stream. The
    logits are a sum, and choosing the largest takes 3. The token's bits are an OR of those; after a chain that may
    have ended, 2 more.

    >>> from dataclasses import replace
    >>> from serialformer.architecture import Arithmetic
    >>> paper = Architecture(
    ...     vocabulary=("0", "1", "="), num_positions=9, width=4, num_layers=1, num_heads=2, hidden_width=4,
    ...     activation="relu", norm_epsilon=0.0, end_token=2, dtype="float32", norm="none", scaled_scores=False,
    ...     arithmetic=Arithmetic(precision=1),
    ... )
    >>> depth_bound(paper), depth_bound(replace(paper, num_layers=2)), depth_bound(paper, method="thresholds")
    (312, 578, 40)
    >>> [depth_bound(paper, chain=tokens) for tokens in (1, 2, 3)]
    [625, 936, 1247]
    """
    assert architecture.arithmetic is not None
    number_format = arithmetic_to_format(architecture.arithmetic)
    chosen = method or default_method(number_format)
    largest = len(format_numbers(number_format)) // 2
    longest = max(architecture.num_positions, architecture.width, architecture.hidden_width) + 1
    total = sum_depth(largest, chosen, num_terms=longest)
    denominator = denominator_depth(largest, chosen, num_terms=longest)
    one_pass = 2 + architecture.num_layers * (6 * total + denominator + 10) + total + 3
    if not chain:
        return one_pass + 1
    return (one_pass if parallel else (chain + 1) * one_pass) + 3


def extract(
    transformer: Transformer,
    prompt: PromptTokens,
    *,
    chain: int = 0,
    parallel: bool = False,
    chain_tokens: Sequence[int] | None = None,
    method: str | None = None,
    aligned: bool = True,
    max_wires: int = DEFAULT_MAX_WIRES,
    input_words: tuple[Word, ...] | None = None,
) -> UnboundedCircuit:
    """The circuit whose output is the token that a model writes after a prompt or after its own chain.

    Outputs are the word ``answer``, the id of the token in binary; before it ``chain0``, ``chain1``, ..., the tokens of
    the chain, unless ``parallel`` is set; and after it ``undefined``, if it can be true: some softmax on which the
    answer depends divides by zero, or, where ``parallel`` is set, the chain is none of those that are tried. The other
    outputs mean nothing then.

    Args:
        transformer: with an arithmetic of its own.
        prompt: the prompts that it is asked.
        chain: how many tokens it makes, and reads, before the answer. As in decoding, what follows an end token is
            end tokens.
        parallel: try all chains at once, so that the depth does not grow with ``chain``.
        chain_tokens: the tokens of which the chains that ``parallel`` tries are made; all by default.
        method: how to sum; a name in ``tables.METHODS``. By default the cascade that the number format needs.
        aligned: whether outputs are copied until they have the depth of ``depth_bound``: a token of the chain that of
            a chain that ends with it. Otherwise the depth is that of the longest path that is left once constants are
            folded, which depends on the weights.
        max_wires: refuse what takes more.
        input_words: names for the bits of the prompt. Default: one word ``in``.

    Raises:
        InputError: the prompt and the chain are too long for the model, or there are too many chains.
        EngineError: the model computes in floats, or its weights are no numbers of its format.
        ArithmeticRangeError: the method does not take the format.
        CircuitError: there are too many wires.
    """
    architecture = transformer.architecture
    if architecture.arithmetic is not None and method is None:
        method = default_method(arithmetic_to_format(architecture.arithmetic))
    forward = GateForward(transformer, method or "flip-flops")
    if not prompt.choices or len(prompt.choices) + chain > architecture.num_positions:
        raise InputError(
            f"expected a prompt and a chain of 1 to {architecture.num_positions} tokens, found"
            f" {len(prompt.choices)} and {chain}",
            hint="a shorter prompt or chain",
        )
    tried = tuple(range(len(architecture.vocabulary)) if chain_tokens is None else chain_tokens)
    if parallel and len(tried) ** chain > MAX_BRANCHES:
        raise InputError(
            f"expected at most {MAX_BRANCHES:,} chains to try at once, found {len(tried)}^{chain}",
            hint="a shorter chain, or no --parallel",
        )
    num_bits = (len(architecture.vocabulary) - 1).bit_length()
    words = _Words(num_bits)
    # Each token of a chain is delayed to the depth that it would have if it were the answer.
    first = chain if parallel else 0
    depths = [
        depth_bound(architecture, method=method, chain=token, parallel=parallel) if aligned else 0
        for token in range(first, chain + 1)
    ]

    def make(limit: Limit) -> Sequence[int]:
        extraction = _Extraction(forward, limit)
        context, wins = extraction.read(prompt)
        if parallel and chain:
            wins, undefined = extraction.branch(context, wins, chain, tried)
            made = [wins]
        else:
            made, undefined = extraction.write(context, wins, chain)
        outputs = []
        for wins, depth in zip(made, depths, strict=True):
            outputs += extraction.align(extraction.token_bits(wins, num_bits), depth)
        if undefined != 0:
            outputs += extraction.align([undefined], depths[-1])
        words.set(len(made), undefined != 0)
        return outputs

    circuit = make_circuit(prompt.num_bits, make, max_wires=max_wires, input_words=input_words)
    return words.name_outputs(circuit)


class _Words:
    """The names of the outputs, which are known once the circuit is made."""

    def __init__(self, num_bits: int) -> None:
        self._num_bits = num_bits
        self._names: list[str] = []

    def set(self, num_tokens: int, has_undefined: bool) -> None:
        self._names = [*(f"chain{token}" for token in range(num_tokens - 1)), "answer"]
        self._names += ["undefined"] if has_undefined else []

    def name_outputs(self, circuit: UnboundedCircuit) -> UnboundedCircuit:
        from dataclasses import replace

        words, first = [], 0
        for name in self._names:
            width = 1 if name == "undefined" else self._num_bits
            words.append(Word(name=name, bits=tuple(range(first, first + width))))
            first += width
        return replace(circuit, output_words=tuple(words))


class _Extraction:
    """Emits the passes of one model into one circuit."""

    def __init__(self, forward: GateForward, limit: Limit) -> None:
        self._forward, self._limit = forward, limit
        self._all_tokens = np.arange(len(forward.architecture.vocabulary))
        self._end = forward.architecture.end_token

    def read(self, prompt: PromptTokens) -> tuple[Context, np.ndarray]:
        """The context of the prompt, and which token follows."""
        context, first = self._forward.empty_context(), 0
        wins = np.zeros(0, dtype=np.int64)
        for position, (tokens, width) in enumerate(zip(prompt.choices, prompt.widths, strict=True)):
            bits = [input_signal(place) for place in range(first, first + width)]
            first += width
            codes = [
                self._join([bit ^ (0 if code >> place & 1 else 1) for place, bit in enumerate(bits)], True)
                for code in range(1 << width)
            ]
            padded = np.array([tokens[min(code, len(tokens) - 1)] for code in range(1 << width)])
            context, wins = self._forward.extend(
                self._limit,
                context,
                padded,
                np.array(codes, dtype=np.int64),
                answers=position == len(prompt.choices) - 1,
            )
        return context, wins

    def write(self, context: Context, wins: np.ndarray, chain: int) -> tuple[list[np.ndarray], int]:
        """The tokens of a chain and of the answer, each as its ``wins``, and whether any is undefined."""
        made: list[np.ndarray] = []
        ends: list[int] = []
        undefined = [self._join(list(context.undefined), False)]
        for token in range(chain + 1):
            ended = self._join(ends, False)
            shown = np.array([self._join([signal, ended ^ 1], True) for signal in wins.tolist()], dtype=np.int64)
            shown[self._end] = self._join([int(wins[self._end]), ended], False)
            made.append(shown)
            if token == chain:
                break
            ends.append(int(wins[self._end]))
            seen = len(context.undefined)
            context, wins = self._forward.extend(self._limit, context, self._all_tokens, wins, answers=True)
            new = self._join(list(context.undefined[seen:]), False)
            undefined.append(self._join([new, self._join(list(ends), False) ^ 1], True))
        return made, self._join(undefined, False)

    def branch(self, context: Context, wins: np.ndarray, chain: int, tried: tuple[int, ...]) -> tuple[np.ndarray, int]:
        """The answer after whichever chain is the model's own, and whether none of them is, or it is undefined."""
        answers: list[list[int]] = [[] for _ in self._all_tokens]
        whole: list[int] = []
        undefined = [self._join(list(context.undefined), False)]

        def follow(context: Context, wins: np.ndarray, taken: list[int], left: int) -> None:
            if not left:
                whole.append(self._join(list(taken), True))
                for token, signal in enumerate(wins.tolist()):
                    answers[token].append(self._join([*taken, signal], True))
                return
            for token in tried:
                signal = int(wins[token])
                if signal == 0:
                    continue
                if token == self._end:
                    ended = self._join([*taken, signal], True)
                    whole.append(ended)
                    answers[token].append(ended)
                    continue
                seen = len(context.undefined)
                longer, after = self._forward.extend(
                    self._limit, context, np.array([token]), np.ones(1, dtype=np.int64), answers=True
                )
                new = self._join(list(longer.undefined[seen:]), False)
                undefined.append(self._join([*taken, signal, new], True))
                follow(longer, after, [*taken, signal], left - 1)

        follow(context, wins, [], chain)
        undefined.append(self._join(whole, False) ^ 1)
        return np.array([self._join(terms, False) for terms in answers], dtype=np.int64), self._join(undefined, False)

    def token_bits(self, wins: np.ndarray, num_bits: int) -> list[int]:
        """The bits of the id of the one token that wins."""
        return [
            self._join([signal for token, signal in enumerate(wins.tolist()) if token >> bit & 1], False)
            for bit in range(num_bits)
        ]

    def align(self, signals: list[int], depth: int) -> list[int]:
        """The signals, copied until they have this depth; constants are left alone."""
        from serialformer.bounds.signal_kernels import delay

        delayed = np.array(signals, dtype=np.int64)
        assert not depth or int(delayed.max() >> 32) <= depth, "an output is deeper than the formula says"
        delay(self._limit.sink, delayed, depth)
        return delayed.tolist()

    def _join(self, signals: list[int], is_and: bool) -> int:
        from serialformer.bounds.signal_kernels import all_of, any_of

        join = all_of if is_and else any_of
        return int(join(self._limit.sink, np.array(signals, dtype=np.int64)))
