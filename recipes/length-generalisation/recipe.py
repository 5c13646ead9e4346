"""Models asked about other lengths than they were trained on: trained at 8 items, evaluated at 1 to 16.

    serialformer sweep recipes/length-generalisation -o DIR/results.csv
    serialformer plot DIR/results.csv -o DIR/lengths.png --kind lengths

Trained on 8 items only, as in the paper, or on 1 to 8; with learned positions alone, or with a learned bias for each
distance beside them. The positions behind those of 8 items are in the model, and untrained.
"""

from __future__ import annotations

from dataclasses import replace

from serialformer.sweep.run import SweepRun
from serialformer.train.config import TrainingConfig
from serialformer.train.presets import make_config

LENGTH = 8
SETTINGS = ("base", "cot", "hint", "aligned")
TASKS = (("modular-addition", {"modulus": 7}), ("permutation-composition", {"format": "token"}))


def _ask(config: TrainingConfig, *, shortest: int | None, relative_bias: bool) -> SweepRun:
    """A run that is asked about all lengths up to twice the trained one."""
    model = replace(config.model, relative_bias=relative_bias)
    config = replace(config, shortest=shortest, room=2 * LENGTH, model=model)
    return SweepRun(config=config, lengths=tuple(range(1, 2 * LENGTH + 1)), num_samples=500)


def runs() -> list[SweepRun]:
    """Two tasks, four settings, one or all lengths, two kinds of positions; one layer, and two for sums with a chain.

    How far back a chain token's item lies depends on the length, which one layer cannot look up before it looks for
    the item; so sums of all lengths with a chain are also trained with two layers, longer.
    """
    found = []
    for task, parameters in TASKS:
        for setting in SETTINGS:
            for shortest in (None, 1):
                for relative_bias in (False, True):
                    config = make_config(task, parameters=parameters, length=LENGTH, setting=setting)
                    found.append(_ask(config, shortest=shortest, relative_bias=relative_bias))
    for num_layers in (1, 2):
        for relative_bias in (False, True):
            config = make_config(
                TASKS[0][0], parameters=TASKS[0][1], length=LENGTH, setting="cot", num_layers=num_layers
            )
            config = replace(config, optimiser=replace(config.optimiser, num_steps=3000, learning_rate=2e-3))
            found.append(_ask(config, shortest=1, relative_bias=relative_bias))
    return found
