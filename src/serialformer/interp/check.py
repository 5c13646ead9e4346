"""Checks the ground truth of a model: patches its edges and compares the results with the predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from serialformer.constructions.edges import find_edges
from serialformer.interp.pairs import draw_pairs
from serialformer.interp.patch import Patch
from serialformer.interp.predict import UNKNOWN
from serialformer.interp.universe import all_edges
from serialformer.models.model import Model

PER_PAIR = 40
"""Interventions made on one pair of prompts; making the pair takes as long as many of them."""


@dataclass(frozen=True, kw_only=True)
class TruthCheck:
    """What came of interventions on single edges.

    Attributes:
        interventions: how many were made.
        labelled: how many of them patched an edge on which the truth says that something depends there.
        changed: how many changed a token that is written.
        wrong: on how many a token differed from what was predicted, or an edge without a label had an effect.
        tokens: how many tokens were predicted.
        unknown: how many tokens were not, because a reader would see two values at once.
        first_wrong: the first edge on which something differed; "" if none.
    """

    interventions: int
    labelled: int
    changed: int
    wrong: int
    tokens: int
    unknown: int
    first_wrong: str = ""

    @property
    def share_right(self) -> float:
        """The share of the interventions that came out as the truth says."""
        return 1 - self.wrong / max(1, self.interventions)


def check_truth(model: Model, num_interventions: int = 1000, seed: int = 0) -> TruthCheck:
    """Patches random edges at random positions, on random pairs of prompts, half of them edges with a label.

    Args:
        model: compiled or constructed, whatever was done to its weights since.
        num_interventions: how many edges are patched.
        seed: of pairs and edges.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> found = check_truth(compile(build.circuit()), 100)
    >>> found.interventions, found.wrong, found.changed > 0
    (100, 0, True)
    """
    random = np.random.default_rng(seed)
    everywhere = all_edges(model.transformer.architecture)
    total = TruthCheck(interventions=0, labelled=0, changed=0, wrong=0, tokens=0, unknown=0)
    while total.interventions < num_interventions:
        (pair,) = draw_pairs(model, 1, random)
        followed = pair.clean.followed
        labelled = sorted({Patch.of_edge(edge) for edge in find_edges(followed, pair.clean.heads)}, key=str)
        labels = {(patch.name, patch.position) for patch in labelled}
        for number in range(min(PER_PAIR, num_interventions - total.interventions)):
            if number % 2 and labelled:
                patch = labelled[int(random.integers(len(labelled)))]
            else:
                edge = everywhere[int(random.integers(len(everywhere)))]
                patch = replace(edge, position=int(random.integers(followed.num_positions)))
            predicted, measured = pair.predicted(patch), pair.measured(patch)
            known = predicted != UNKNOWN
            has_label = (patch.name, patch.position) in labels
            has_effect = bool((measured != pair.written).any())
            is_wrong = bool((predicted != measured)[known].any()) or (has_effect and not has_label)
            total = TruthCheck(
                interventions=total.interventions + 1,
                labelled=total.labelled + has_label,
                changed=total.changed + has_effect,
                wrong=total.wrong + is_wrong,
                tokens=total.tokens + int(known.sum()),
                unknown=total.unknown + int((~known).sum()),
                first_wrong=total.first_wrong or (f"{patch.name} at {patch.position}" if is_wrong else ""),
            )
    return total
