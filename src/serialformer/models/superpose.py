"""Superposed models: a residual stream of fewer dimensions than it has directions with a meaning."""

from __future__ import annotations

from dataclasses import replace

from serialformer.errors import CompileError
from serialformer.models.every_prompt import certify_by_prompts, every_sequence
from serialformer.models.model import Model
from serialformer.models.realism import Realism
from serialformer.models.rotate import refuse_realism
from serialformer.transformer.superposition import superpose_transformer


def superpose(model: Model, width: int, seed: int = 0) -> Model:
    """A model of the same circuit whose directions are random codes in fewer dimensions.

    What is written, position codes and what units write among it, is written by codes that interfere with each other;
    what reads the stream is fitted to that. The certificate comes of going through every prompt with bounds for
    rounding, so that the interference is known to leave every token in the lead: in float32 for one layer, in float64
    for several.

    Args:
        model: a compiled circuit of few inputs, as a GPT-2.
        width: dimensions of the residual stream.
        seed: of the codes.

    Raises:
        CompileError: with so few dimensions some token is not proven to lead, or heads get too narrow.
        InputError: it is no such circuit, or its weights have been changed before.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> model = superpose(compile(build.circuit()), 24)
    >>> len(model.provenance.realism.directions), model.transformer.architecture.width, model.run(a=0b10)["odd"]
    (32, 24, 1)
    """
    refuse_realism(model)
    plain_width = model.transformer.architecture.width
    transformer = superpose_transformer(model.transformer, every_sequence(model), width, seed)
    names = model.provenance.names
    assert names is not None  # what was compiled has names
    provenance = replace(
        model.provenance,
        names=replace(names, directions=tuple(f"mixed.{dimension}" for dimension in range(width))),
        realism=Realism(
            kind="superposed", seed=seed, directions=names.directions, settings={"plain_width": float(plain_width)}
        ),
    )
    superposed = replace(model, transformer=transformer, provenance=provenance, proof=None, directory=None)
    certificate = certify_by_prompts(superposed)
    if not certificate.holds:
        raise CompileError(
            f"in {width} dimensions it would not hold: {certificate.failure}", hint="more dimensions, or another seed"
        )
    return replace(superposed, proof=certificate)
