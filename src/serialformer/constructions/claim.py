"""Claims: which function of which earlier tokens each position of a construction writes.

A claim is stated in the task's own terms and knows nothing of fields or unit tables. ``proofs`` shows by induction
over the positions that the construction does what its claims say. There is a claim for every shape that a prompt can
have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Bool, Int32, Int64, UInt8, UInt64

ANY = -1
"""In a case: whichever token stands there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule:
    """Positions that write by one table.

    Attributes:
        positions: these positions.
        sources: for each of them the positions that its look-ups read, in the order of the look-ups. A column on
            which no case depends says nothing.
        own: for each case the token at the position itself.
        read: for each case the tokens that the look-ups read.
        expected: for each case the token that is written.
    """

    positions: Int64[np.ndarray, " positions"]
    sources: Int64[np.ndarray, "positions look_ups"]
    own: Int64[np.ndarray, " cases"]
    read: Int64[np.ndarray, "cases look_ups"]
    expected: Int64[np.ndarray, " cases"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TableClaim:
    """The claim for prompts of one shape, over finite tables.

    Attributes:
        name: which prompts it is about, in words.
        prompt: for each position of the prompt, ``=`` included, and each token at the anchor which tokens may stand
        there.
        anchor: a position whose token restricts what others may hold; None if the prompt's tokens are independent.
            There is one column of ``prompt`` for each token that the anchor may hold, otherwise one in all.
        anchor_tokens: those tokens.
        rules: how the positions from the last one of the prompt on write; each of them is in one rule.
    """

    name: str
    prompt: Bool[np.ndarray, "prompt anchors vocabulary"]
    rules: tuple[Rule, ...]
    anchor: int | None = None
    anchor_tokens: Int64[np.ndarray, " anchors"] | None = None

    @property
    def num_prompt(self) -> int:
        return len(self.prompt)

    @property
    def num_written(self) -> int:
        """Tokens that are written, the last ``=`` included."""
        return sum(len(rule.positions) for rule in self.rules)


@dataclass(frozen=True, kw_only=True, eq=False)
class BitClaim:
    """The claim of a circuit: every token is a bit, a truth table of a few earlier bits.

    Attributes:
        num_inputs: bits of the prompt, which ``=`` follows.
        reads: for each chain token the positions of the bits that it depends on.
        arity: how many of the columns of ``reads`` count.
        table: the truth table over them.
    """

    num_inputs: int
    reads: Int32[np.ndarray, "chain K"]
    arity: UInt8[np.ndarray, " chain"]
    table: UInt64[np.ndarray, " chain"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnsClaim:
    """The claim of a circuit without a chain: after ``=`` come the values of its outputs, and then ``=`` again.

    The prompt is a bit for each input and a token without content for each gate. Wires are numbered as positions.

    Attributes:
        num_inputs: bits of the prompt.
        reads: for each gate the wires that it reads.
        arity: how many of the columns of ``reads`` count.
        table: the truth table over them.
        answers: the wire of each output.
        proven: for each output whether it is the value of its wire; of others it is claimed only that they are bits.
    """

    num_inputs: int
    reads: Int32[np.ndarray, "gates K"]
    arity: UInt8[np.ndarray, " gates"]
    table: UInt64[np.ndarray, " gates"]
    answers: Int32[np.ndarray, " outputs"]
    proven: Bool[np.ndarray, " outputs"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedClaim:
    """The claim of a circuit whose chain tokens carry several bits: each bit is the value of a wire, or 0.

    Attributes:
        num_inputs: bits of the prompt, which ``=`` follows.
        reads: for each gate the wires that it reads.
        arity: how many of the columns of ``reads`` count.
        table: the truth table over them.
        answers: the wire of each output.
        wire: for each chain token and each of its bits the wire, or -1 where the bit is 0.
        num_answer_tokens: how many last tokens hold the outputs, in order.
    """

    num_inputs: int
    reads: Int32[np.ndarray, "gates K"]
    arity: UInt8[np.ndarray, " gates"]
    table: UInt64[np.ndarray, " gates"]
    answers: Int32[np.ndarray, " outputs"]
    wire: Int64[np.ndarray, "chain slots"]
    num_answer_tokens: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanClaim:
    """The claim of a product without a chain: after ``=``, which counts as the identity, comes its token.

    Attributes:
        num_items: items of the prompt, which ``=`` follows.
        items: the tokens that they may be.
        element: for each of them its element.
        product: for each left and right element their product; element 0 is the identity.
        codes: for each element the values of the fields that hold it.
        carried: those fields.
        answer: for each element the token that is written.
        num_last: how many of the last items are multiplied.
    """

    num_items: int
    items: Int64[np.ndarray, " items"]
    element: Int64[np.ndarray, " items"]
    product: Int64[np.ndarray, "elements elements"]
    codes: Int64[np.ndarray, "elements fields"]
    carried: tuple[str, ...]
    answer: Int64[np.ndarray, " elements"]
    num_last: int


@dataclass(frozen=True, kw_only=True, eq=False)
class CountClaim:
    """The claim of a sum that is made at once: after ``=`` comes the token that the sum of all items decides.

    Attributes:
        num_items: items of the prompt, which ``=`` follows.
        items: the tokens that they may be.
        number: for each of them the number that it adds, 0 or more.
        answer: for each sum, from 0 to ``num_items`` times the largest number, the token that is written.
    """

    num_items: int
    items: Int64[np.ndarray, " items"]
    number: Int64[np.ndarray, " items"]
    answer: Int64[np.ndarray, " sums"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CompositionClaim:
    """The claim of permutations that are composed symbol by symbol without a chain: the product's symbols follow ``=``.

    Symbol v is token v, and a permutation takes ``item_width`` tokens. The symbol written in place i is image i of the
    product of the last ``num_last`` permutations, from left to right, with (σ∘π)_i = σ_{π_i}.

    Attributes:
        num_items: permutations of the prompt, which ``=`` follows.
        item_width: tokens of one permutation, its brackets among them.
        degree: how many of them are its symbols.
        first_slot: where the first of these stands in it; what stands before and after them are brackets.
        num_last: how many of the last permutations are composed.
    """

    num_items: int
    item_width: int
    degree: int
    first_slot: int
    num_last: int


@dataclass(frozen=True, kw_only=True, eq=False)
class SquaringClaim:
    """The claim of iterated squaring without a chain: a prime p, a residue r, k times ``^2`` and ``=``.

    After ``=`` comes r^(2^j) mod p, j being the smaller of k and ``num_squarings``, for every prime, every r from 1 to
    p - 1 and every k from 1 to ``length``. The number v is token v.

    Attributes:
        primes: the primes that a prompt may begin with.
        length: the most squarings of a prompt.
        num_squarings: the most that are made.
    """

    primes: Int64[np.ndarray, " primes"]
    length: int
    num_squarings: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ValueProblemClaim:
    """The claim of the circuit value problem without a chain, for prompts of up to ``num_gates`` gates.

    After ``=`` comes the value that the last gate has after ``num_layers`` rounds. In the first round a gate is TRUE
    if it is the constant TRUE; in each later one all gates are evaluated at once. So it is the true value if the last
    gate is on level ``num_layers`` or less, constants being on level 1.

    Attributes:
        num_gates: the most gates of a circuit.
        num_layers: how many rounds there are.
    """

    num_gates: int
    num_layers: int


@dataclass(frozen=True, kw_only=True, eq=False)
class CircuitPromptClaim:
    """The claim of the evaluator for circuits of one number of gates: it writes the chain of the circuit value problem.

    Attributes:
        num_gates: gates of the circuit in the prompt.
    """

    num_gates: int


def token_sets(num_tokens: int, *sets: np.ndarray) -> Bool[np.ndarray, "positions 1 vocabulary"]:
    """For each position which tokens may stand there, where they are independent."""
    allowed = np.zeros((len(sets), 1, num_tokens), dtype=bool)
    for row, tokens in enumerate(sets):
        allowed[row, 0, tokens] = True
    return allowed
