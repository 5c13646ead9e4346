"""Models asked about other lengths than they were trained on: trained at 8 items, evaluated at 1 to 16.

    serialformer sweep recipes/length-generalisation -o DIR/results.csv
    serialformer plot DIR/results.csv -o DIR/lengths.png --kind lengths

Trained on 8 items only, as in the paper, or on 1 to 8; with learned positions alone, or with a learned bias for each
distance beside them. The positions after those of 8 items are in the model, and untrained.
"""

from __future__ import annotations

from dataclasses import replace

from serialformer.sweeps.run import SweepRun
from serialformer.tasks.task import ParameterValue
from serialformer.training.presets import make_config

LENGTH = 8
SETTINGS = ("base", "cot", "hint", "aligned")
TASKS: dict[str, dict[str, ParameterValue]] = {
    "modular-addition": {"modulus": 7},
    "permutation-composition": {"format": "token"},
}


def _make(task: str, setting: str, *, all_lengths: bool, relative_bias: bool, num_layers: int = 1) -> SweepRun:
    """A run that is asked about all lengths up to twice the trained one."""
    config = make_config(task, parameters=TASKS[task], length=LENGTH, setting=setting, num_layers=num_layers)
    config = replace(config, max_length=2 * LENGTH, model=replace(config.model, relative_bias=relative_bias))
    if all_lengths:
        config = replace(config, shortest=1)
        if setting in ("cot", "aligned"):
            # The target is judged at the longest length, where they may be long before they are at the others.
            config = replace(config, evaluation=replace(config.evaluation, target=None))
        if (task, setting) == ("modular-addition", "cot"):
            config = replace(config, optimiser=replace(config.optimiser, num_steps=3000, learning_rate=2e-3))
    return SweepRun(config=config, lengths=tuple(range(1, 2 * LENGTH + 1)), num_samples=500)


def runs() -> list[SweepRun]:
    """Two tasks, four settings, one or all lengths, two kinds of positions; one layer, and two for sums with a chain.

    How far back a chain token's item lies depends on the length, which one layer cannot look up before it looks for
    the item; so sums of all lengths with a chain are also trained with two layers. Beside its item (``aligned``) a
    chain token need not look for it.
    """
    found = [
        _make(task, setting, all_lengths=all_lengths, relative_bias=relative_bias)
        for task in TASKS
        for setting in SETTINGS
        for all_lengths in (False, True)
        for relative_bias in (False, True)
    ]
    return found + [
        _make("modular-addition", "cot", all_lengths=True, relative_bias=relative_bias, num_layers=2)
        for relative_bias in (False, True)
    ]
