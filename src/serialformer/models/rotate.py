"""Rotated models: the same function in dense weights, proven anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Float64
from serialformer.errors import CompileError, InputError
from serialformer.models.construction_of import construction_of
from serialformer.models.lower import certify_weights, construction_to_placement
from serialformer.models.model import Model
from serialformer.models.realism import Realism
from serialformer.transformer.distractors import add_distractors, leave_out_units
from serialformer.transformer.names import Names, UnitRange, named_units
from serialformer.transformer.rotation import Rotation, draw_rotation, random_rotation, rotate_transformer
from serialformer.transformer.superposition import random_codes
from serialformer.transformer.transformer import Transformer

LOUDNESS = (2.0**-3, 2.0**-5, 2.0**-7, 2.0**-9)
"""How loud distractors are made, as a share of what the other parts are: the first of which the proof holds."""


def rotate(model: Model, seed: int = 0) -> Model:
    """A model with the same function in dense weights: turned, and with distractors where there was nothing.

    The residual stream is turned by a random rotation that fixes the all-ones vector, so that layer norm does not
    notice it. The columns of each head are turned, too: queries and keys alike, and values with the output that undoes
    it. A hidden unit cannot be turned, since no rotation goes through gelu; what it reads and writes becomes dense by
    the turning of the stream. Hidden units and heads without effect get weights, and what these do cancels (see
    ``transformer.distractors``). Where rounding leaves no room for that, hidden units without effect are left out, so
    that there are fewer than four times the width. The certificate is proven anew, from the rotated weights with the
    rotation as a witness: it covers every prompt and every rounding of float32.

    Args:
        model: a compiled or constructed GPT-2 in float32.
        seed: of what is drawn.

    Raises:
        InputError: the model is none, or its weights have been changed before.
        CompileError: the rotated weights cannot be proven.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> model = compile(build.circuit())
    >>> rotated = rotate(model, seed=7)
    >>> rotated.certificate.holds, rotated.run(a=0b10)["odd"]
    (True, 1)
    >>> [round(dense_share(one.transformer), 2) for one in (model, rotated)]
    [0.02, 1.0]
    """
    architecture = model.transformer.architecture
    if not architecture.is_gpt2 or architecture.dtype != "float32":
        raise InputError(
            f"expected a GPT-2 in float32 to rotate, found {architecture.family} in {architecture.dtype}",
            hint="compile it with --target gpt2 and --dtype float32",
        )
    refuse_realism(model)
    placement = construction_to_placement(construction_of(model), architecture)
    rotation = draw_rotation(architecture, seed)
    turned = rotate_transformer(model.transformer, rotation)
    plain = model.provenance.names
    assert plain is not None  # what has a construction has names
    tried = [*((turned, loudness) for loudness in LOUDNESS), (leave_out_units(turned), LOUDNESS[-1])]
    for bare, loudness in tried:
        transformer = add_distractors(bare, seed, loudness)
        certificate = certify_weights(transformer, placement, rotation=rotation)
        if certificate.holds:
            break
    else:
        raise CompileError(f"rotated, it would not hold: {certificate.failure}", hint="leave it as it is")
    mixed = tuple(f"mixed.{dimension}" for dimension in range(architecture.width))
    names = replace(plain, directions=mixed, units=_first_units(plain, transformer.architecture.hidden_width))
    settings = {"turns_heads": 1.0, "loudness": loudness}
    realism = Realism(kind="rotated", seed=seed, directions=plain.directions, settings=settings)
    provenance = replace(model.provenance, names=names, realism=realism)
    return replace(model, transformer=transformer, provenance=provenance, proof=certificate, directory=None)


def _first_units(names: Names, count: int) -> tuple[tuple[UnitRange, ...], ...]:
    """The names of the first hidden units of each layer; the others have no effect."""
    return tuple(named_units(list(names.unit_names(layer))[:count], count) for layer in range(len(names.units)))


def dense_share(transformer: Transformer) -> float:
    """The share of the numbers in embeddings and matrices that are not zero."""
    matrices = [weight for _, weight in transformer.named_weights() if weight.ndim > 1]
    return sum(int(np.count_nonzero(matrix)) for matrix in matrices) / sum(matrix.size for matrix in matrices)


def refuse_realism(model: Model) -> None:
    """Refuses a model whose weights have been changed since they were made."""
    realism = model.provenance.realism
    if realism is not None:
        raise InputError(f"is {realism.kind} already", hint="begin with the model as it was compiled or constructed")


def plain_architecture(model: Model) -> Architecture:
    """The architecture of the plain model, before it was superposed."""
    realism, architecture = model.provenance.realism, model.transformer.architecture
    if realism is None or realism.kind != "superposed":
        return architecture
    return replace(architecture, width=len(realism.directions))


def rotation_of(model: Model) -> Rotation | None:
    """By what a rotated model is rotated; None of another model.

    Models that were rotated before the columns of heads were, too, say nothing of it.
    """
    realism = model.provenance.realism
    if realism is None or realism.kind != "rotated":
        return None
    turns_heads = bool(realism.settings.get("turns_heads", 0.0))
    return draw_rotation(model.transformer.architecture, realism.seed, turns_heads=turns_heads)


def reading_basis(model: Model) -> Float64[np.ndarray, "width directions"] | None:
    """What to multiply a residual stream by to read the named directions; None where the dimensions are these.

    Of a superposed model directions are read with interference; of a fine-tuned one they are where they were before.
    """
    realism, width = model.provenance.realism, model.transformer.architecture.width
    if realism is None:
        return None
    if realism.kind == "superposed":
        return np.asarray(random_codes(len(realism.directions), width, realism.seed).T)
    return np.asarray(random_rotation(width, realism.seed).T)
