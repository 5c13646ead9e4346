"""Models with smaller logits: the same function, by a smaller gain of the last norm."""

from __future__ import annotations

from dataclasses import replace
from math import frexp

from serialformer.errors import CompileError, InputError
from serialformer.models.model import Model
from serialformer.models.prove import certify


def scale_logits(model: Model, factor: float) -> Model:
    """The model with every logit multiplied by a power of two, certified anew.

    Runtimes sum in different orders, so their logits differ by some units in the last place. In float32 such a unit is
    1.2e-4 for a logit of 1,349 and 7.6e-6 for a sixteenth of that. The gain of the last norm scales all logits alike.
    The same token leads, and every product is rounded as before.

    Args:
        model: with a last norm.
        factor: a power of two.

    Raises:
        InputError: the factor is not a power of two, or the model has no last norm.
        CompileError: the certificate does not hold for the new weights.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> model = compile(build.circuit())
    >>> small = scale_logits(model, 0.25)
    >>> small.certificate.logits.exact / model.certificate.logits.exact, small.run(a=0b10)["odd"]
    (0.25, 1)
    """
    if not factor > 0 or frexp(factor)[0] != 0.5:
        raise InputError(f"expected a power of two, found {factor}", hint="0.0625, for example")
    transformer = model.transformer
    if not transformer.final_norm_gain.size:
        raise InputError("the model has no last norm, whose gain scales the logits", hint="a GPT-2 has one")
    gain, bias = transformer.final_norm_gain, transformer.final_norm_bias
    number = gain.dtype.type(factor)
    scaled = replace(
        model,
        transformer=replace(transformer, final_norm_gain=gain * number, final_norm_bias=bias * number),
        proof=None,
        directory=None,
    )
    certificate = certify(scaled)
    if not certificate.holds:
        failure = f"with logits times {factor} it would not hold: {certificate.failure}"
        raise CompileError(failure, hint="a larger factor")
    return replace(scaled, proof=certificate)
