"""How well methods find the true edges of models whose truth is known, on each kind of realism.

    python benchmarks/interp_methods.py [--pairs 12] [--model NAME ...]

*Patching* gives an edge the change of the lead of the written token over the counterfactual one when the edge is
patched, *patching, KL* the divergence of all that is written. *EAP* gives it the gradient of the lead times the
difference of the two prompts; *EAP-IG* the mean of such gradients on the way between the two embeddings. *ACDC* goes
from the last reader to the first and leaves out each edge whose patching, with all that were left out before, changes
the divergence by less than a threshold; an edge that stays has the change for a score.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from interp_gradients import reader_gradients
from interp_kinds import every_kind

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.interp.judge import judge
from serialformer.interp.pairs import Pair, draw_pairs
from serialformer.interp.patch import Patch, Run, run_patched
from serialformer.interp.suite import build_adder, build_parity, find_truth
from serialformer.interp.universe import all_edges
from serialformer.models.compile import compile
from serialformer.models.model import Model

TINY = 1e-6
"""A score below this is none."""

STEPS = 5
"""Points on the way between two embeddings."""

THRESHOLD = 1e-3
"""ACDC leaves out edges that change the mean divergence by less."""

Scores = dict[str, float]


def lead(run: Run, pair: Pair) -> float:
    """How much the logits of what is written lead over those of what the other prompt makes the model write."""
    first = pair.clean.followed.first_writer
    ours, theirs = pair.written, pair.other_run.tokens[first:]
    rows = np.arange(len(ours))
    logits = run.logits[first:]
    return float((logits[rows, ours] - logits[rows, theirs]).sum())


def divergence(run: Run, clean: Run, first: int) -> float:
    """The sum of the Kullback-Leibler divergences of what is written from what is written without patches."""
    logs = [one.logits[first:] - one.logits[first:].max(axis=1, keepdims=True) for one in (clean, run)]
    logs = [log - np.log(np.exp(log).sum(axis=1, keepdims=True)) for log in logs]
    return float((np.exp(logs[0]) * (logs[0] - logs[1])).sum())


def score_by_patching(model: Model, pairs: Sequence[Pair], *, by_lead: bool) -> Scores:
    """The effect of each edge patched by itself, summed over pairs."""
    scores = {patch.name: 0.0 for patch in all_edges(model.transformer.architecture)}
    for pair in pairs:
        tokens, first = pair.clean.followed.tokens, pair.clean.followed.first_writer
        clean = run_patched(model.transformer, tokens)
        for patch in all_edges(model.transformer.architecture):
            run = run_patched(model.transformer, tokens, pair.other_run, [patch])
            change = lead(run, pair) - lead(clean, pair) if by_lead else divergence(run, clean, first)
            scores[patch.name] += abs(change)
    return scores


def score_by_gradients(model: Model, pairs: Sequence[Pair], *, steps: int) -> Scores:
    """The gradient of the lead at each reader times the difference of each source; the mean over points on the way."""
    edges = all_edges(model.transformer.architecture)
    scores = {patch.name: 0.0 for patch in edges}
    for pair in pairs:
        clean = run_patched(model.transformer, pair.clean.followed.tokens)
        first = pair.clean.followed.first_writer
        written = (pair.written, pair.other_run.tokens[first:])
        shares = [0.0] if steps == 1 else [(step + 0.5) / steps for step in range(steps)]
        gradients = [
            reader_gradients(
                model.transformer,
                clean.terms["input"] + share * (pair.other_run.terms["input"] - clean.terms["input"]),
                first,
                *written,
            )
            for share in shares
        ]
        for patch in edges:
            change = pair.other_run.terms[patch.source] - clean.terms[patch.source]
            mean = np.mean([found[patch.target, patch.via] for found in gradients], axis=0)
            scores[patch.name] += abs(float((change * mean).sum()))
    return scores


def score_by_acdc(model: Model, pairs: Sequence[Pair]) -> Scores:
    """Edges are left out one by one, from the last reader to the first."""
    runs = [(pair, run_patched(model.transformer, pair.clean.followed.tokens)) for pair in pairs]
    left_out: list[Patch] = []
    scores, before = {}, 0.0
    for patch in reversed(all_edges(model.transformer.architecture)):
        after = float(
            np.mean(
                [
                    divergence(
                        run_patched(model.transformer, pair.clean.followed.tokens, pair.other_run, [*left_out, patch]),
                        clean,
                        pair.clean.followed.first_writer,
                    )
                    for pair, clean in runs
                ]
            )
        )
        change = after - before
        if change < THRESHOLD:
            left_out, before = [*left_out, patch], after
        scores[patch.name] = max(0.0, change) if change >= THRESHOLD else 0.0
    return scores


METHODS: dict[str, Callable[[Model, Sequence[Pair]], Scores]] = {
    "patching": lambda model, pairs: score_by_patching(model, pairs, by_lead=True),
    "patching, KL": lambda model, pairs: score_by_patching(model, pairs, by_lead=False),
    "EAP": lambda model, pairs: score_by_gradients(model, pairs, steps=1),
    "EAP-IG": lambda model, pairs: score_by_gradients(model, pairs, steps=STEPS),
    "ACDC": score_by_acdc,
}


def build_half_adder() -> Circuit:
    """A sum and a carry of two bits."""
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    build.output("sum", build.xor(a, b))
    build.output("carry", build.and_(a, b))
    return build.circuit()


MODELS: dict[str, Callable[[], Model]] = {
    "half adder, chain": lambda: compile(build_half_adder()),
    "adder of 2 bits, chain": lambda: compile(build_adder(2)),
    "parity of 4 bits, depth": lambda: compile(build_parity(4), chain="none"),
    "adder of 2 bits, depth": lambda: compile(build_adder(2), chain="none"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--model", action="append", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, kind, model in every_kind(MODELS, options.model):
        pairs = draw_pairs(model, options.pairs, np.random.default_rng(0))
        truth = find_truth(model, pairs)
        for method, score in METHODS.items():
            started = time.process_time()
            found = score(model, pairs)
            result = judge(truth, found)
            missed = sum(found[edge] < TINY for edge, is_true in truth["edges"].items() if is_true)
            print(
                f"{name} | {kind or 'plain'} | {method} | AUROC {result.edge_auroc:.2f}"
                f" | precision {result.edge_precision:.2f} | {missed} of {result.true_edges} true edges missed"
                f" | {time.process_time() - started:.1f} CPU s",
                flush=True,
            )


if __name__ == "__main__":
    main()
