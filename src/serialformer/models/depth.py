"""Models of circuits without a chain: which of their outputs are right, where layers are too few for all."""

from __future__ import annotations

from serialformer.circuits.words import words_to_names
from serialformer.constructions.circuit_depth import circuit_levels
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.model import Model


def unproven_outputs(model: Model) -> tuple[str, ...]:
    """The output bits that are too deep for the layers of a circuit's model, by name; none of other models.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> a, b = build.inputs("a", 2)
    >>> both = build.and_(a, b)
    >>> build.output("both", both)
    >>> build.output("not both", build.not_(both))
    >>> unproven_outputs(compile(build.circuit(), chain="none", layers=2, partial=True))
    ('not both',)
    """
    words = model.protocol
    if not isinstance(words, CircuitWords) or words.chain != "none":
        return ()
    levels, names = circuit_levels(words.circuit), words_to_names(words.outputs, words.num_outputs)
    num_layers = model.transformer.architecture.num_layers
    return tuple(name for name, level in zip(names, levels.of_output.tolist(), strict=True) if level >= num_layers)
