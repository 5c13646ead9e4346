"""Interventions that a page can make: ablate a head, patch a position from another run, replace a token of the chain.

After an intervention the model reads its own tokens, so a change propagates through the chain. The construction
predicts each token from the tokens read before it, so the first token that differs from its prediction shows where the
weights and the truth part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Int64
from serialformer.constructions.edges import INPUT, LOGITS
from serialformer.constructions.placed_tokens import ABSENT, PlacedTokens
from serialformer.errors import InputError
from serialformer.interp.patch import Patch, Run, run_patched
from serialformer.interp.predict import UNKNOWN, Prediction, Term, predict
from serialformer.interp.universe import all_edges, all_nodes
from serialformer.models.ground_truth import GroundTruth
from serialformer.models.model import Model

Kind = Literal["zero", "mean", "head", "residual", "token"]


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """One intervention.

    Attributes:
        kind: ``zero`` or ``mean`` ablates a head at every position; the mean is taken over the positions that write,
            in the run without interventions. ``head`` takes a head's output at one position from the other run, and
            ``residual`` the residual stream there. ``token`` replaces a token that is read.
        part: for ``zero``, ``mean`` and ``head`` the head, such as ``a0.h1``. For ``residual`` the part after which
            the stream is taken: ``input``, ``a0`` (the heads of layer 0) or ``m0`` (its hidden units).
        position: for ``head``, ``residual`` and ``token``: where.
        token: for ``token``: the id of the new token.
    """

    kind: Kind
    part: str = ""
    position: int = -1
    token: int = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What came of an intervention. Arrays have an entry for each position that writes, the end of the prompt first.

    Tokens are those of the circuit or the task also where the model's own say where they stand, as those of a Llama do;
    ``placed.strange`` is then a token that is out of its place.

    Attributes:
        clean: the token that each position writes without the intervention.
        written: the token that it writes with it, by the weights.
        expected: the token that it must write by the construction, given what it reads; UNKNOWN if undetermined.
    """

    clean: Int64[np.ndarray, " writers"]
    written: Int64[np.ndarray, " writers"]
    expected: Int64[np.ndarray, " writers"]

    @property
    def is_as_expected(self) -> bool:
        """Whether every token is the expected one, wherever one is determined."""
        return bool(((self.written == self.expected) | (self.expected == UNKNOWN)).all())


def intervene(model: Model, question: Any, intervention: Intervention, counterfactual: Any = None) -> Outcome:
    """Makes an intervention and generates the rest: what the model writes, and what it must write.

    Args:
        model: compiled or constructed.
        question: values of the inputs by name, or the text of a prompt.
        intervention: what is done.
        counterfactual: the question of the other run, of the same length; for ``head`` and ``residual``.

    Raises:
        InputError: there is no such part, position or token; the other run is missing, or not of the same length.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> a, b = build.inputs("a", 1)[0], build.inputs("b", 1)[0]
    >>> build.output("both", build.and_(a, b))
    >>> patch = Intervention(kind="head", part="a0.h1", position=2)
    >>> found = intervene(compile(build.circuit()), {"a": 1, "b": 1}, patch, {"a": 1, "b": 0})
    >>> found.clean.tolist(), found.written.tolist(), found.expected.tolist()
    ([1, 2], [0, 2], [0, 2])
    """
    architecture, placed = model.transformer.architecture, model.placed
    truth = model.ground_truth(model.run(question))
    tokens, first = truth.followed.tokens, truth.followed.first_writer
    _check(intervention, architecture, len(tokens), placed)
    edges = _edges(intervention, architecture)
    clean = run_patched(model.transformer, _ids(placed, tokens))
    run, prediction = _source(truth, clean, intervention, counterfactual)
    # In rotated and superposed models a head's output of 0 stands for no value at all, and in a Llama for a part.
    is_open = intervention.kind == "zero" and (model.provenance.realism is not None or placed is not None)
    read = tokens.copy()
    written, expected = [], []
    if intervention.kind == "token" and intervention.position <= first:
        read[intervention.position] = intervention.token
    read_ids = _ids(placed, read)
    for position in range(first, len(tokens)):
        prefix = read[: position + 1]
        place = None if intervention.position < 0 else intervention.position
        patches = [
            Patch(source=edge.source, target=edge.target, via=edge.via, position=place)
            for edge in (edges if place is None or place <= position else [])
        ]
        patched = run_patched(model.transformer, read_ids[: position + 1], _shorten_run(run, position + 1), patches)
        token = int(patched.tokens[position])
        written.append(int(_names(placed, patched.tokens[position:], position + 1)[0]))
        expected.append(UNKNOWN)
        if not is_open:
            before = _shorten_prediction(prediction, position + 1)
            predicted = predict(truth.followed.construction, truth.heads, prefix, before, patches)
            expected[-1] = int(predicted.tokens[position])
        if position + 1 < len(tokens):
            is_replaced = intervention.kind == "token" and intervention.position == position + 1
            if is_replaced:
                token = int(_ids(placed, np.array([intervention.token]), position + 1)[0])
            # The construction has no position that holds such a token: nothing is known from here on.
            is_open |= placed is not None and token not in placed.ids[position + 1]
            read_ids[position + 1] = token
            read[position + 1] = intervention.token if is_replaced else written[-1]
    return Outcome(
        clean=_names(placed, clean.tokens[first:], first + 1), written=np.array(written), expected=np.array(expected)
    )


def _ids(placed: PlacedTokens | None, tokens: np.ndarray, first: int = 0) -> Int64[np.ndarray, " tokens"]:
    """The model's tokens for those of the circuit or the task, from a position on."""
    ids: Int64[np.ndarray, " tokens"] = tokens.astype(np.int64)
    return ids.copy() if placed is None else placed.place(ids[None], first)[0]


def _names(placed: PlacedTokens | None, tokens: np.ndarray, first: int) -> Int64[np.ndarray, " tokens"]:
    """The inverse of ``_ids``."""
    return tokens if placed is None else placed.read(tokens[None], first)[0]


def _check(
    intervention: Intervention, architecture: Architecture, num_positions: int, placed: PlacedTokens | None
) -> None:
    """Refuses what is not there."""
    kind, part, position = intervention.kind, intervention.part, intervention.position
    heads = [node for node in all_nodes(architecture) if ".h" in node]
    places = [INPUT, *(f"{letter}{layer}" for layer in range(architecture.num_layers) for letter in "am")]
    allowed = {"token": [""], "residual": places}.get(kind, heads)
    if part not in allowed:
        raise InputError(f"no part {part!r} for {kind}; expected one of {', '.join(map(repr, allowed))}")
    if kind in ("zero", "mean"):
        if position >= 0:
            raise InputError(f"{kind} ablates a head at every position", hint="leave the position out")
    elif not 0 <= position < num_positions:
        raise InputError(f"no position {position}: there are {num_positions}")
    num_tokens = len(architecture.vocabulary) if placed is None else placed.num_plain
    if kind == "token" and not 0 <= intervention.token < num_tokens:
        raise InputError(f"no token {intervention.token} in a vocabulary of {num_tokens}")
    if kind == "token" and placed is not None and placed.ids[position, intervention.token] == ABSENT:
        raise InputError(f"token {intervention.token} cannot stand at position {position}")


def _stage(part: str, num_layers: int) -> int:
    """After how many parts of the model a part comes: heads of one layer come together."""
    if part in (INPUT, LOGITS):
        return 0 if part == INPUT else 2 * num_layers + 1
    return 2 * int(part[1:].partition(".")[0]) + (1 if part[0] == "a" else 2)


def _edges(intervention: Intervention, architecture: Architecture) -> list[Patch]:
    """The edges that carry what is changed."""
    everywhere, layers = all_edges(architecture), architecture.num_layers
    if intervention.kind == "token":
        return []
    if intervention.kind != "residual":
        return [edge for edge in everywhere if edge.source == intervention.part]
    cut = _stage(intervention.part, layers)
    return [edge for edge in everywhere if _stage(edge.source, layers) <= cut < _stage(edge.target, layers)]


def _source(truth: GroundTruth, clean: Run, intervention: Intervention, counterfactual: Any) -> tuple[Run, Prediction]:
    """Where changed terms come from: the other run, or the same run with the term of a head replaced."""
    construction, heads, tokens = truth.followed.construction, truth.heads, truth.followed.tokens
    kind, part = intervention.kind, intervention.part
    if kind in ("head", "residual"):
        if counterfactual is None:
            raise InputError(f"{kind} takes another run", hint="give a counterfactual question")
        other = truth.model.ground_truth(truth.model.run(counterfactual)).followed.tokens
        if len(other) != len(tokens):
            raise InputError(f"the other run has {len(other)} tokens, this one {len(tokens)}")
        ids = _ids(truth.model.placed, other)
        return run_patched(truth.model.transformer, ids), predict(construction, heads, other)
    prediction = predict(construction, heads, tokens)
    if kind == "token":
        return clean, prediction
    term = np.zeros_like(clean.terms[part])
    if kind == "mean":
        term += clean.terms[part][truth.followed.first_writer :].mean(axis=0)
    run = Run(logits=clean.logits, terms={**clean.terms, part: term})
    if part not in prediction.terms:
        return run, prediction  # a head that serves nothing adds nothing
    nothing = Term(added={}, removed={}, is_unknown=np.zeros(len(tokens), dtype=bool))
    unclear = Term(added=prediction.terms[part].added, removed={}, is_unknown=np.ones(len(tokens), dtype=bool))
    terms = {**prediction.terms, part: nothing if kind == "zero" else unclear}
    return run, Prediction(tokens=prediction.tokens, terms=terms)


def _shorten_run(run: Run, length: int) -> Run:
    return Run(logits=run.logits[:length], terms={name: term[:length] for name, term in run.terms.items()})


def _shorten_prediction(prediction: Prediction, length: int) -> Prediction:
    def cut(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: column[:length] for name, column in columns.items()}

    terms = {
        name: Term(added=cut(term.added), removed=cut(term.removed), is_unknown=term.is_unknown[:length])
        for name, term in prediction.terms.items()
    }
    return Prediction(tokens=prediction.tokens[:length], terms=terms)
