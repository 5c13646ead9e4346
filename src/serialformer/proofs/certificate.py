"""The certificate: what was proven of a model, from its weights alone and for every prompt, and by what margins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

from serialformer.notebook import count, fact_table

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
        exact: the least lead before rounding. With a witness, what the epsilon of layer norms takes, some millionths,
            is counted with the rounding.
        rounded: the least lead less what rounding can take.
        position: where the latter is.
    """

    exact: float
    rounded: float
    position: int


@dataclass(frozen=True, kw_only=True, repr=False)
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
        logit_error: of a rotated model: how far the lead of a token that is written over any other can be from that of
            the plain weights in exact arithmetic. None of other models.
        exhaustive: whether every prompt was run, or of a model that counts every sum, with bounds for rounding; then
            nothing is known of attention's lead.
    """

    failure: Failure | None
    prompts: str
    num_chain_tokens: int
    arithmetic: dict[str, str]
    attention: Lead
    logits: Lead
    norms: tuple[NormRange, ...]
    witness: bool = False
    logit_error: float | None = None
    exhaustive: bool = False

    @property
    def covers(self) -> str:
        """The prompts that it is about, in words."""
        return f"{self.prompts} prompts" if self.prompts.startswith("all 2^") else self.prompts

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
            "method": "prompts" if self.exhaustive else "witness" if self.witness else "search",
            **({} if self.logit_error is None else {"logit_error": self.logit_error}),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Certificate:
        """The inverse of ``to_json``; other fields are not looked at.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or wrong, or the format is another.
        """
        if content["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT}, found {content['format']!r}")
        if not str(content["prompts"]).startswith("all "):
            raise ValueError(f"expected the prompts 'all ...', found {content['prompts']!r}")
        failure = content["failure"]
        certificate = cls(
            failure=None if failure is None else Failure(**failure),
            prompts=str(content["prompts"]),
            num_chain_tokens=int(content["chain_tokens"]),
            arithmetic={str(what): str(which) for what, which in content["arithmetic"].items()},
            attention=_json_to_lead(content["attention_gap"]),
            logits=_json_to_lead(content["logit_margin"]),
            norms=tuple(NormRange(**norm) for norm in content["layer_norms"]),
            witness=content.get("method") == "witness",
            exhaustive=content.get("method") == "prompts",
            logit_error=None if content.get("logit_error") is None else float(content["logit_error"]),
        )
        if certificate.holds != content["holds"]:
            raise ValueError(f"holds is {content['holds']!r} and the failure is {failure!r}")
        return certificate

    def __repr__(self) -> str:
        covers = f"{self.covers}, {count(self.num_chain_tokens, 'chain token')}"
        if self.failure is not None:
            return f"Certificate(FAILED at position {self.failure.position}; {covers})"
        leads = f"attention gap {self.attention.rounded:.4g}, logit margin {self.logits.rounded:.4g}"
        return f"Certificate(holds; {covers}, {leads})"

    def _repr_html_(self) -> str:
        """What a notebook shows: whether it holds, for what, and by how much."""
        leads = (("attention gap", self.attention), ("logit margin", self.logits))
        return fact_table(
            "Certificate",
            {
                "holds": "yes" if self.failure is None else f"no: {self.failure}",
                "covers": f"{self.covers}, {count(self.num_chain_tokens, 'chain token')}",
                "arithmetic": ", ".join(f"{what} {which}" for what, which in self.arithmetic.items()),
                **{name: f"{lead.exact:.4g}, {lead.rounded:.4g} under rounding" for name, lead in leads},
            },
        )


def _lead_to_json(lead: Lead) -> dict[str, float | int | None]:
    """JSON has no infinity: a lead over nothing at all is null."""
    return {name: value if isfinite(value) else None for name, value in asdict(lead).items()}


def _json_to_lead(content: Mapping[str, Any]) -> Lead:
    exact, rounded = (inf if content[name] is None else float(content[name]) for name in ("exact", "rounded"))
    return Lead(exact=exact, rounded=rounded, position=int(content["position"]))
