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
from serialformer.transformer.rotation import random_rotation, rotate_transformer
from serialformer.transformer.superposition import random_codes


def rotate(model: Model, seed: int = 0) -> Model:
    """A model with the same function whose residual stream is turned by a random rotation.

    The rotation fixes the all-ones vector, so that layer norm does not notice it. Embeddings and everything that reads
    or writes the stream become dense; the columns of a head and the hidden units stay what they were. The certificate
    is proven anew, from the rotated weights with the rotation as a witness: it covers every prompt and every rounding
    of float32.

    Args:
        model: a compiled or constructed GPT-2 in float32.
        seed: of the rotation.

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
    >>> [round(float(np.mean(one.transformer.token_embedding != 0)), 2) for one in (model, rotated)]
    [0.05, 0.75]
    """
    architecture = model.transformer.architecture
    if not architecture.is_gpt2 or architecture.dtype != "float32":
        raise InputError(
            f"expected a GPT-2 in float32 to rotate, found {architecture.family} in {architecture.dtype}",
            hint="compile it with --target gpt2 and --dtype float32",
        )
    refuse_realism(model)
    placement = construction_to_placement(construction_of(model), architecture)
    rotation = random_rotation(architecture.width, seed)
    transformer = rotate_transformer(model.transformer, rotation)
    certificate = certify_weights(transformer, placement, rotation=rotation)
    if not certificate.holds:
        raise CompileError(f"rotated, it would not hold: {certificate.failure}", hint="leave it as it is")
    names = model.provenance.names
    assert names is not None  # what has a construction has names
    mixed = tuple(f"mixed.{dimension}" for dimension in range(architecture.width))
    provenance = replace(
        model.provenance,
        names=replace(names, directions=mixed),
        realism=Realism(kind="rotated", seed=seed, directions=names.directions),
    )
    return replace(model, transformer=transformer, provenance=provenance, proof=certificate, directory=None)


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


def rotation_of(model: Model) -> Float64[np.ndarray, "width width"] | None:
    """By what the stream of a rotated model is multiplied; None of another model."""
    realism = model.provenance.realism
    if realism is None or realism.kind != "rotated":
        return None
    return random_rotation(model.transformer.architecture.width, realism.seed)


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
