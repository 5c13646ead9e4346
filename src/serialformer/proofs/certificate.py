"""The certificate: what was proven of a model, from its weights alone and for every prompt, and by what margins."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Where a proof breaks first, and why.

    Attributes:
        position: the position whose next token is not proven.
        token: the number of that chain token; the number of all of them for the end mark; -1 in the prompt, where
            nothing is written.
        reason: what is wrong, in words.
    """

    position: int
    token: int
    reason: str

    def __str__(self) -> str:
        if self.token < 0:
            return f"position {self.position}, in the prompt: {self.reason}"
        return f"position {self.position}, which writes chain token {self.token}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class NormRange:
    """What a layer norm sees, over all prompts: the mean's largest magnitude, and the root of variance plus epsilon."""

    largest_mean: float
    least_deviation: float
    largest_deviation: float


@dataclass(frozen=True, kw_only=True)
class Lead:
    """By how much the right one of several numbers is ahead, over all positions and prompts.

    Attributes:
        exact: the least lead, in exact arithmetic on the weights as stored.
        rounded: the least lead less what rounding can take.
        position: where the latter is.
    """

    exact: float
    rounded: float
    position: int


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The outcome of a proof, and its figures. Where it fails they are those of the positions before.

    Attributes:
        failure: where the proof breaks first; None if it holds.
        prompts: which prompts it covers, in words.
        num_chain_tokens: tokens of the chain; the end mark comes on top.
        arithmetic: which runtimes are covered.
        attention: of the score of each position that a head reads, over any other.
        logits: of the logit of each token that is written.
        norms: what each layer norm sees, the one before the logits last.
        witness: whether the weights were checked against a construction; otherwise what they do was found in them.
    """

    failure: Failure | None
    prompts: str
    num_chain_tokens: int
    arithmetic: dict[str, str]
    attention: Lead
    logits: Lead
    norms: tuple[NormRange, ...]
    witness: bool = False

    @property
    def holds(self) -> bool:
        return self.failure is None

    def to_json(self) -> dict[str, Any]:
        """The content of ``certificate.json``: see docs/formats/certificate.md."""
        return {
            "format": FORMAT,
            "holds": self.holds,
            "prompts": self.prompts,
            "chain_tokens": self.num_chain_tokens,
            "failure": None if self.failure is None else asdict(self.failure),
            "arithmetic": self.arithmetic,
            "attention_gap": _lead_to_json(self.attention),
            "logit_margin": _lead_to_json(self.logits),
            "layer_norms": [asdict(norm) for norm in self.norms],
            "method": "witness" if self.witness else "search",
        }


def _lead_to_json(lead: Lead) -> dict[str, float | int | None]:
    """JSON has no infinity: a lead over nothing at all is null."""
    return {name: value if isfinite(value) else None for name, value in asdict(lead).items()}
