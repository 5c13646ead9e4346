"""How much damage a compiled checkpoint bears: where its certificate fails, and where its tokens change.

    serialformer sweep recipes/robustness -o DIR/robustness.csv         # recipe.py:quick is a small part
    serialformer plot DIR/robustness.csv -o DIR/robustness.png

``recipe.py:noise``, or the name of another ablation, carries out that one. ``expected.csv`` is what the rows should be.
See README.md for cost and findings. A checkpoint that is certified and yet writes a wrong token is a failed run whose
reason names it, and the exit status is 1.
"""

from __future__ import annotations

from collections.abc import Callable

from ablations import ABLATIONS, Damage, list_damage


def runs() -> list[Damage]:
    """All rows of the table."""
    return list_damage()


def quick() -> list[Damage]:
    """Two circuits, few levels, three checkpoints each."""
    return list_damage(quick=True, most_checkpoints=3)


def _only(name: str) -> Callable[[], list[Damage]]:
    return lambda: [run for run in list_damage() if run.ablation == name]


globals().update({ablation.name: _only(ablation.name) for ablation in ABLATIONS})
