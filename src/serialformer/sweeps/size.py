"""The size of a run: its memory, so that parallel runs fit, and its work, so that the longest starts first."""

from __future__ import annotations

import os
from pathlib import Path

from serialformer.sweeps.experiment import PROCESS_BYTES
from serialformer.tasks.layout import num_new_tokens, num_positions
from serialformer.training.config import TrainingConfig

LOGITS_PER_PASS = 1 << 22
"""As many logits a pass of an evaluation as ``training.measure`` takes."""


def estimate_bytes(config: TrainingConfig) -> int:
    """About how much memory a training takes at its most, process included: a bound, for choosing how many fit.

    Weights count twelve times (gradients, two moments, and copies while they are saved); activations of a training step
    twice, since gradients of the largest are there with them; an evaluation holds one layer's activations, of more
    samples. Attention's scores are never held all at once. The last layer is computed only where there is a label.
    """
    weights, tokens, vocabulary = _num_weights(config), _num_tokens(config), _num_vocabulary(config)
    model, optimiser, evaluation = config.model, config.optimiser, config.evaluation
    hidden = model.hidden_width or 4 * model.width
    whole, share = 10 * model.width + 3 * hidden, _num_labels(config) / tokens
    last = 6 * model.width + share * (4 * model.width + 3 * hidden)
    layer = whole if model.num_layers > 1 else last
    step = optimiser.batch_size * tokens * ((model.num_layers - 1) * whole + last + 3 * vocabulary)
    most = max(evaluation.num_samples, evaluation.num_final_samples)
    rows = max(1, min(LOGITS_PER_PASS // (tokens * vocabulary), most))
    one = rows * tokens * (layer + vocabulary)
    cache = min(rows, evaluation.num_final_generated) * tokens * 2 * model.width * model.num_layers
    return PROCESS_BYTES + 4 * int(12 * weights + max(2 * step, one + cache))


def estimate_work(config: TrainingConfig) -> float:
    """Floating point operations of all its steps, about: for comparing runs with each other only."""
    model, optimiser = config.model, config.optimiser
    tokens = _num_tokens(config)
    per_token = (
        6 * (_num_weights(config) + _num_vocabulary(config) * model.width)
        + 12 * model.num_layers * model.width * tokens
    )
    return float(optimiser.num_steps) * optimiser.batch_size * tokens * per_token


def available_bytes() -> int:
    """Memory that is free for new processes: the system's, or less where a control group allows less."""
    found = []
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) << 10)
    else:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            found.append(int(limit) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no control group of this kind
    return max(0, min(found))


def num_cores() -> int:
    """Cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass  # no control group of this kind
    return cores


def _num_tokens(config: TrainingConfig) -> int:
    return num_positions(config.make_task(), config.setting, config.max_length or config.length)


def _num_labels(config: TrainingConfig) -> int:
    """Positions of a sample that have a label, about."""
    task = config.make_task()
    if config.setting == "hint":
        return _num_tokens(config)
    return num_new_tokens(task, config.setting, config.max_length or config.length)


def _num_vocabulary(config: TrainingConfig) -> int:
    return len(config.make_task().vocabulary(config.max_length or config.length))


def _num_weights(config: TrainingConfig) -> int:
    model = config.model
    hidden = model.hidden_width or 4 * model.width
    layers = model.num_layers * (4 * model.width**2 + 2 * model.width * hidden)
    return layers + (_num_vocabulary(config) + _num_tokens(config)) * model.width
