"""Models asked about other lengths than they were trained on: trained at 8 items, evaluated at 1 to 16.

    serialformer sweep recipes/length-generalisation -o DIR/results.csv
    serialformer plot DIR/results.csv -o DIR/lengths.png --kind lengths

Trained on 8 items only, as in the paper, or on 1 to 8; with learned positions alone, or with a learned bias for each
distance beside them. The positions behind those of 8 items are in the model, and untrained.
"""

from __future__ import annotations

from dataclasses import replace

from serialformer.sweep.run import SweepRun
from serialformer.train.presets import make_config

LENGTH = 8


def runs() -> list[SweepRun]:
    """Two tasks, three settings, one or all lengths, two kinds of positions; one layer."""
    found = []
    for task, parameters in (("modular-addition", {"modulus": 7}), ("permutation-composition", {"format": "token"})):
        for setting in ("base", "cot", "hint"):
            for shortest in (None, 1):
                for relative_bias in (False, True):
                    config = make_config(task, parameters=parameters, length=LENGTH, setting=setting)
                    config = replace(config, shortest=shortest, room=2 * LENGTH)
                    config = replace(config, model=replace(config.model, relative_bias=relative_bias))
                    found.append(SweepRun(config=config, lengths=tuple(range(1, 2 * LENGTH + 1)), num_samples=500))
    return found
