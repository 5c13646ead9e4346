"""Models whose weights look more like trained ones than compiled weights do: one function for all kinds."""

from __future__ import annotations

from serialformer.errors import CompileError, InputError
from serialformer.interp.check import check_truth
from serialformer.models.fine_tune import fine_tune
from serialformer.models.model import Model
from serialformer.models.realism import RealismKind
from serialformer.models.rotate import rotate
from serialformer.models.superpose import superpose

SUPERPOSED_SHARE = 0.75
"""How many dimensions a superposed model has as a share of those of the plain one."""

SEEDS_TRIED = 8

INTERVENTIONS = 500
"""The number of interventions that are made on a superposed model before it is handed out."""


def make_realistic(model: Model, kind: RealismKind, seed: int = 0) -> Model:
    """The model with weights of one kind of realism, certified.

    Args:
        model: compiled or constructed. ``rotated`` takes any GPT-2 in float32, the others circuits of up to twelve
            input bits.
        kind: ``rotated``, ``superposed`` or ``fine-tuned``; see ``models.rotate``, ``superpose`` and ``fine_tune``,
            which take further choices.
        seed: of what is drawn. Superposed models of which a token would not lead, or an intervention would not do what
            it should, are drawn again, with the next seed.

    Raises:
        InputError: there is no such kind, or the model is none that it takes.
        CompileError: the result cannot be proven.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> plain = compile(build.circuit())
    >>> [make_realistic(plain, kind).certificate.holds for kind in ("rotated", "superposed")]
    [True, True]
    """
    if kind == "rotated":
        return rotate(model, seed)
    if kind == "fine-tuned":
        return fine_tune(model, seed=seed)
    if kind != "superposed":
        raise InputError(f"no realism {kind!r}", hint="rotated, superposed or fine-tuned")
    architecture = model.transformer.architecture
    heads = architecture.num_heads
    width = int(SUPERPOSED_SHARE * architecture.width) // heads * heads
    last: CompileError | None = None
    for later in range(SEEDS_TRIED):
        try:
            superposed = superpose(model, width, seed + later)
        except CompileError as error:
            last = error
            continue
        if not check_truth(superposed, INTERVENTIONS, seed=later).wrong:
            return superposed
    raise last if last else CompileError("superposed, parts do not do what they were made for", hint="another seed")
