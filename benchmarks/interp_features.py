"""Linear probes for gates, and a sparse autoencoder, against models whose directions are known.

    python benchmarks/interp_features.py [--model NAME ...]

*Probes*: for each gate, each position and each stage of the residual stream a ridge regression on half of all prompts
says the gate's value on the other half. The truth is where a field holds that value. *Autoencoder*: it learns the
stream between attention and hidden units; each code of a field that occurs there is compared with the decoder's
directions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import torch
from interp_kinds import every_kind

from serialformer.circuits.evaluate import evaluate_wires
from serialformer.constructions.follow import Followed, follow
from serialformer.interp.judge import auroc
from serialformer.interp.suite import build_adder, build_parity
from serialformer.models.compile import compile
from serialformer.models.construction_of import construction_of
from serialformer.models.every_prompt import every_sequence
from serialformer.models.lower import construction_to_placement
from serialformer.models.model import Model
from serialformer.models.rotate import plain_architecture
from serialformer.transformer.cache import compute_activations

RIDGE = 1e-3
SPLITS = 4
CERTAIN = 0.99
"""A probe that is right so often is counted as having found the gate."""

NEAR = 0.9
"""The cosine from which on a direction of the decoder counts as a known one."""

SPARSITIES = (0.001, 0.01, 0.1)
TRAINING_STEPS = 2000


MODELS: dict[str, Callable[[], Model]] = {
    "adder of 3 bits, chain": lambda: compile(build_adder(3)),
    "parity of 6 bits, depth": lambda: compile(build_parity(6), chain="none"),
}


def stages(followed: Followed) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """What each field holds before every layer, and between its attention and its hidden units."""
    for layer, happened in enumerate(followed.layers):
        yield f"blocks.{layer}.hook_resid_pre", dict(happened.before)
        yield f"blocks.{layer}.hook_resid_mid", dict(happened.brought)


def probe_accuracy(streams: np.ndarray, values: np.ndarray, random: np.random.Generator) -> float:
    """How often a linear probe is right on prompts that it was not fitted to."""
    rights = []
    for _ in range(SPLITS):
        order = random.permutation(len(values))
        fit, test = order[: len(order) // 2], order[len(order) // 2 :]
        mean = streams[fit].mean(axis=0)
        seen, target = streams[fit] - mean, values[fit] - values[fit].mean()
        square = seen.T @ seen + RIDGE * len(fit) * np.eye(seen.shape[1])
        said = (streams[test] - mean) @ np.linalg.solve(square, seen.T @ target) + values[fit].mean() > 0.5
        rights.append(float((said == values[test]).mean()))
    return float(np.mean(rights))


def probe_gates(model: Model) -> tuple[float, float, float]:
    """The mean AUROC of probes over gates; the share of places that they find and of found places that are true."""
    random, words = np.random.default_rng(0), model.words
    sequences = every_sequence(model)
    num_prompt = sequences.shape[1] - model.num_new_tokens
    construction = construction_of(model)
    length = min(sequences.shape[1], construction.num_positions)
    sequences = sequences[:, :length]
    held: dict[tuple[str, int, str], list[int]] = {}
    for tokens in sequences:
        for stage, fields in stages(follow(construction, tokens, num_prompt)):
            for field, column in fields.items():
                for position in range(length):
                    held.setdefault((stage, position, field), []).append(int(column[position]))
    bits = (np.arange(1 << words.num_inputs)[:, None] >> np.arange(words.num_inputs) & 1).astype(np.uint8)
    wires = evaluate_wires(words.circuit, bits)
    activations = compute_activations(model.transformer, sequences)
    areas, found, true, both = [], 0, 0, 0
    for gate in range(words.circuit.num_gates):
        values = wires[:, words.num_inputs + gate].astype(np.float64)
        if np.ptp(values) == 0:
            continue
        accuracies, is_true = [], []
        for stage in dict.fromkeys(key[0] for key in held):
            for position in range(length):
                own = [column for key, column in held.items() if key[:2] == (stage, position)]
                is_true.append(any(_says(np.array(column), values) for column in own))
                accuracies.append(probe_accuracy(activations[stage][:, position], values, random))
        truth, accuracy = np.array(is_true), np.array(accuracies)
        if truth.any() and not truth.all():
            areas.append(auroc(accuracy, truth))
        sure = accuracy >= CERTAIN
        found, true, both = found + int(sure.sum()), true + int(truth.sum()), both + int((sure & truth).sum())
    return float(np.mean(areas)), both / max(1, true), both / max(1, found)


def _says(column: np.ndarray, values: np.ndarray) -> bool:
    """Whether a field takes one value where the gate is 0, and another where it is 1."""
    zero, one = set(column[values == 0].tolist()), set(column[values == 1].tolist())
    return len(zero) == len(one) == 1 and zero != one


def known_codes(model: Model, hook: str) -> np.ndarray:
    """The directions of the values that fields take at a hook, less the mean of their field, as unit vectors."""
    construction = construction_of(model)
    placement = construction_to_placement(construction, plain_architecture(model))
    sequences = every_sequence(model)
    num_prompt = sequences.shape[1] - model.num_new_tokens
    occurring: dict[str, set[int]] = {}
    for tokens in sequences[:, : construction.num_positions]:
        for stage, fields in stages(follow(construction, tokens, num_prompt)):
            if stage == hook:
                for field, column in fields.items():
                    occurring.setdefault(field, set()).update(column.tolist())
    basis, found = model.ground_truth(model.run(dict.fromkeys((word.name for word in model.inputs), 0))).basis, []
    for field, values in occurring.items():
        if len(values) < 2:
            continue
        codes = np.zeros((len(values), placement.width))
        codes[:, placement.spans[field]] = placement.rows(field, np.array(sorted(values)))
        directions = (codes - codes.mean(axis=0)) @ basis
        found.append(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    return np.vstack(found)


def train_autoencoder(samples: np.ndarray, num_hidden: int, sparsity: float) -> tuple[np.ndarray, float, float]:
    """The decoder's directions, the share of variance that is explained, and how many features a sample has."""
    torch.manual_seed(0)
    data = torch.from_numpy(samples - samples.mean(axis=0)).float()
    data = data / data.norm(dim=1).mean()
    width = data.shape[1]
    decoder = torch.nn.functional.normalize(torch.randn(num_hidden, width), dim=1)
    encoder, bias = decoder.T.clone(), torch.zeros(num_hidden)
    parameters = [part.requires_grad_() for part in (encoder, bias, decoder)]
    optimiser = torch.optim.Adam(parameters, lr=3e-3)
    for _ in range(TRAINING_STEPS):
        features = torch.relu(data @ encoder + bias)
        unit = torch.nn.functional.normalize(decoder, dim=1)
        loss = (features @ unit - data).square().sum(dim=1).mean() + sparsity * features.sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        features = torch.relu(data @ encoder + bias)
        unit = torch.nn.functional.normalize(decoder, dim=1)
        left = float((features @ unit - data).square().sum() / data.square().sum())
        alive = (features > 1e-3).any(dim=0)
        return unit[alive].numpy().astype(np.float64), 1 - left, float((features > 1e-3).sum(dim=1).float().mean())


def compare_features(model: Model) -> list[str]:
    """For each sparsity how much of the known codes the decoder has; for comparison, unit vectors drawn at random."""
    hook = "blocks.0.hook_resid_mid"
    codes = known_codes(model, hook)
    sequences = every_sequence(model)
    streams = compute_activations(model.transformer, sequences)[hook]
    samples = np.unique(np.round(streams.reshape(-1, streams.shape[-1]), 6), axis=0)
    num_hidden, lines = 2 * len(codes), []
    drawn = np.random.default_rng(0).standard_normal((num_hidden, codes.shape[1]))
    by_chance = np.abs(codes @ (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).T).max(axis=1)
    for sparsity in SPARSITIES:
        decoder, explained, active = train_autoencoder(samples, num_hidden, sparsity)
        near = (codes @ decoder.T).max(axis=1) if len(decoder) else np.zeros(len(codes))
        lines.append(
            f"sparsity {sparsity}: {explained:.3f} of the variance, {active:.1f} features a sample,"
            f" mean cosine {near.mean():.2f} (chance {by_chance.mean():.2f}),"
            f" {(near > NEAR).sum()} of {len(codes)} codes found"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, kind, model in every_kind(MODELS, options.model):
        area, found, right = probe_gates(model)
        print(
            f"{name} | {kind or 'plain'} | probes | AUROC {area:.2f} | {found:.2f} of the true places found"
            f" | {right:.2f} of the places found are true",
            flush=True,
        )
        for line in compare_features(model):
            print(f"{name} | {kind or 'plain'} | autoencoder | {line}", flush=True)


if __name__ == "__main__":
    main()
