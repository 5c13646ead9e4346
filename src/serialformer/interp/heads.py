"""Which heads must carry what makes two answers differ: the answer to what patching of heads finds."""

from __future__ import annotations

from typing import Any

from serialformer.errors import InputError
from serialformer.interp.patch import Patch
from serialformer.interp.predict import UNKNOWN, predict
from serialformer.interp.universe import all_edges
from serialformer.models.model import Model


def find_heads(model: Model, question: Any, counterfactual: Any, written: int) -> list[tuple[int, int, int]]:
    """The heads whose output, taken from another prompt at one position, must change a token that is written.

    That follows from the construction; the weights are not looked at.

    Args:
        model: compiled or constructed.
        question: values of the inputs by name, or the text of a prompt.
        counterfactual: another question of the same length.
        written: which token after the prompt, from 0.

    Returns:
        Layer, head and position of each, in order.

    Raises:
        InputError: the chain has no such token, or the prompts are not of one length.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> a, b = build.inputs("a", 1)[0], build.inputs("b", 1)[0]
    >>> build.output("both", build.and_(a, b))
    >>> find_heads(compile(build.circuit()), {"a": 1, "b": 1}, {"a": 1, "b": 0}, written=0)
    [(0, 1, 2)]
    """
    clean, other = (model.ground_truth(model.run(asked)) for asked in (question, counterfactual))
    followed, tokens = clean.followed, clean.followed.tokens
    place = followed.first_writer + written
    if written < 0 or place >= followed.num_positions:
        raise InputError(f"no token {written} is written: there are {followed.num_positions - followed.first_writer}")
    if len(tokens) != len(other.followed.tokens):
        raise InputError("the two prompts differ in length")
    plain = predict(followed.construction, clean.heads, tokens)
    theirs = predict(followed.construction, clean.heads, other.followed.tokens)
    found = []
    for layer, heads in enumerate(clean.heads):
        for head in range(len(heads)):
            name = f"a{layer}.h{head}"
            heard = [edge for edge in all_edges(model.transformer.architecture) if edge.source == name]
            for position in range(followed.num_positions):
                patches = [Patch(source=name, target=edge.target, via=edge.via, position=position) for edge in heard]
                patched = predict(followed.construction, clean.heads, tokens, theirs, patches)
                if patched.tokens[place] not in (UNKNOWN, plain.tokens[place]):
                    found.append((layer, head, position))
    return found
