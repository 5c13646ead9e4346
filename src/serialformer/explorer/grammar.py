"""Grammar: which prompts of one's own a page accepts, as data, where the page can decide that by itself.

Where each place of a prompt takes one of certain tokens, whatever stands elsewhere, these are a table. Circuits in the
prompt have a checker in the page. For other tasks only Python knows, so such prompts need a served page.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from serialformer.models.model import Model
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.permutation_composition import PermutationComposition
from serialformer.tasks.task import EQUALS, Task

INDEPENDENT = ("automaton", "edit-distance", "majority", "modular-addition", "parity", "word-problem")
"""Tasks in whose prompts no place depends on another."""


def prompt_grammar(model: Model) -> dict[str, Any]:
    """What the page checks a prompt by: a ``kind``, the prompt's ``form`` for people, and what the kind needs.

    ``places``: a prompt has as many tokens as those of the page, and each place takes one of a set of tokens.
    ``circuit``: gates of the task circuit-value. ``served``: the page cannot tell.

    >>> from serialformer import construct
    >>> found = prompt_grammar(construct("parity", 2))
    >>> found["kind"], found["sets"], found["places"]
    ('places', [['0', '1']], [0, 0])
    """
    task, length = model.task, model.length
    form = {"form": task.prompt_form}
    # In these the chain does not follow the prompt.
    if model.setting in ("aligned", "filler"):
        return {"kind": "served", **form}
    if isinstance(task, CircuitValue):
        return {"kind": "circuit", "gates": length, "setting": model.setting, **form}
    is_independent = task.name in INDEPENDENT or (isinstance(task, PermutationComposition) and task.format == "token")
    if not is_independent:
        return {"kind": "served", **form}
    sets: list[list[str]] = []
    places = []
    for allowed in _allowed(task, length):
        if allowed not in sets:
            sets.append(allowed)
        places.append(sets.index(allowed))
    return {"kind": "places", "sets": sets, "places": places, **form}


def _allowed(task: Task, length: int) -> list[list[str]]:
    """For each place of a prompt the tokens that the task's own checker takes there."""
    vocabulary = task.vocabulary(length)
    prompt = task.sample(np.random.default_rng(0), length, 1).prompts[0]
    texts = [vocabulary[token] for token in prompt[:-1]]
    return [
        [
            token
            for token in vocabulary
            if token != EQUALS and task.prompt_problem([*texts[:place], token, *texts[place + 1 :]]) is None
        ]
        for place in range(len(texts))
    ]
