"""Fine-tuned models: a compiled model, rotated and then trained further until its weights look trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from serialformer.arrays import Int64
from serialformer.errors import CompileError
from serialformer.models.every_prompt import certify_by_prompts, every_sequence
from serialformer.models.model import Model
from serialformer.models.realism import Realism
from serialformer.models.rotate import rotate
from serialformer.transformer.transformer import Transformer

BATCH = 64
"""Sequences a step."""


def fine_tune(
    model: Model,
    *,
    seed: int = 0,
    steps: int = 200,
    learning_rate: float = 3e-4,
    weight_decay: float = 0.05,
    noise: float = 0.01,
) -> Model:
    """A model of the same circuit that was trained on from its rotated weights.

    Noise is added to all weights once, as a share of the deviation of each matrix; then AdamW, which pulls weights
    towards 0, trains on all prompts. The certificate comes of going through every prompt with bounds for rounding. That
    the parts still do what they were made for is not proven: ``interp.check.check_truth`` intervenes.

    Args:
        model: a compiled circuit of few inputs, as a GPT-2 in float32.
        seed: of rotation, noise and batches.
        steps: of the optimiser.
        learning_rate: at the start; it falls to 0 along half a cosine.
        weight_decay: of AdamW.
        noise: the deviation of what is added to a weight, as a share of the deviation of its matrix.

    Raises:
        CompileError: afterwards some token is not proven to lead.
        InputError: it is no such circuit, or its weights have been changed before.
    """
    rotated = rotate(model, seed)
    sequences = every_sequence(model)
    num_prompt = sequences.shape[1] - model.num_new_tokens
    transformer = _train(rotated.transformer, sequences, num_prompt, seed, steps, learning_rate, weight_decay, noise)
    before = rotated.provenance.realism
    assert before is not None
    settings = {"steps": float(steps), "learning_rate": learning_rate, "weight_decay": weight_decay, "noise": noise}
    provenance = replace(
        rotated.provenance,
        realism=Realism(kind="fine-tuned", seed=seed, directions=before.directions, settings=settings),
    )
    tuned = replace(rotated, transformer=transformer, provenance=provenance, proof=None)
    certificate = certify_by_prompts(tuned)
    if not certificate.holds:
        raise CompileError(
            f"after {steps} steps it would not hold: {certificate.failure}", hint="more steps, or less noise"
        )
    return replace(tuned, proof=certificate)


def _train(
    transformer: Transformer,
    sequences: Int64[np.ndarray, "prompts tokens"],
    num_prompt: int,
    seed: int,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    noise: float,
) -> Transformer:
    import torch

    from serialformer.transformer.module import TransformerModule

    generator = torch.Generator().manual_seed(seed)
    module = TransformerModule(transformer.architecture)
    module.load(transformer)
    with torch.no_grad():
        for _, parameter in module.named_weights():
            spread = parameter.std(correction=0) * noise
            parameter += spread * torch.randn(parameter.shape, generator=generator)
    end = np.full((len(sequences), 1), transformer.architecture.end_token, dtype=np.int64)
    targets = torch.from_numpy(np.concatenate([sequences[:, num_prompt:], end], axis=1))
    tokens = torch.from_numpy(sequences)
    optimiser = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        rows = torch.randint(len(tokens), (min(BATCH, len(tokens)),), generator=generator)
        logits = module(tokens[rows])[:, num_prompt - 1 :]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets[rows].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return module.to_transformer()
