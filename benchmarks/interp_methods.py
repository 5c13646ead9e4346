"""How well two methods find the true edges of models whose truth is known, on each kind of realism.

    python benchmarks/interp_methods.py [--pairs 12]

*Patching* gives an edge the change of the lead of the written token over the counterfactual one when the edge is
patched. *EAP*, edge attribution patching, gives it the first derivative of that along the way, taken here as a
difference in float64, so that no gradient code can be at fault.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.interp.judge import judge
from serialformer.interp.pairs import Pair, draw_pairs
from serialformer.interp.patch import Run, run_patched
from serialformer.interp.realism import make_realistic
from serialformer.interp.suite import build_adder, build_parity, find_truth
from serialformer.interp.universe import all_edges
from serialformer.models.compile import compile
from serialformer.models.model import Model
from serialformer.models.realism import RealismKind

STEP = 1e-4
"""How far the derivative's difference goes."""

TINY = 1e-6
"""A lead that changes by less has not changed."""


def lead(run: Run, pair: Pair) -> float:
    """How much the logits of what is written lead over those of what the other prompt makes the model write."""
    first = pair.clean.followed.first_writer
    ours, theirs = pair.written, pair.other_run.tokens[first:]
    rows = np.arange(len(ours))
    logits = run.logits[first:]
    return float((logits[rows, ours] - logits[rows, theirs]).sum())


def towards(start: Run, end: Run, share: float) -> Run:
    """A run whose parts lie between those of two others."""
    terms = {name: term + share * (end.terms[name] - term) for name, term in start.terms.items()}
    return Run(logits=start.logits, terms=terms)


def score_edges(model: Model, pairs: Sequence[Pair], method: str) -> dict[str, float]:
    """The sum of what a method gives each edge over some pairs."""
    transformer = model.transformer
    scores = {patch.name: 0.0 for patch in all_edges(transformer.architecture)}
    share = 1.0 if method == "patching" else STEP
    for pair in pairs:
        tokens = pair.clean.followed.tokens
        clean = run_patched(transformer, tokens)
        target = towards(clean, pair.other_run, share)
        for patch in all_edges(transformer.architecture):
            change = lead(run_patched(transformer, tokens, target, [patch]), pair) - lead(clean, pair)
            scores[patch.name] += abs(change) / share
    return scores


def build_half_adder() -> Circuit:
    """A sum and a carry of two bits."""
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    build.output("sum", build.xor(a, b))
    build.output("carry", build.and_(a, b))
    return build.circuit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=12)
    options = parser.parse_args()
    models: dict[str, tuple[Model, tuple[RealismKind | None, ...]]] = {
        "half adder, chain": (compile(build_half_adder()), (None, "rotated", "superposed", "fine-tuned")),
        "adder of 2 bits, chain": (compile(build_adder(2)), (None, "rotated", "superposed", "fine-tuned")),
        "parity of 4 bits, depth": (compile(build_parity(4), chain="none"), (None, "rotated")),
    }
    for name, (plain, kinds) in models.items():
        for kind in kinds:
            model = plain if kind is None else make_realistic(plain, kind)
            pairs = draw_pairs(model, options.pairs, np.random.default_rng(0))
            truth = find_truth(model, pairs)
            for method in ("patching", "EAP"):
                found = score_edges(model, pairs, method)
                result = judge(truth, found)
                zero = sum(found[edge] < TINY for edge, is_true in truth["edges"].items() if is_true)
                print(
                    f"{name} | {kind or 'plain'} | {method} | AUROC {result.edge_auroc:.2f}"
                    f" | precision {result.edge_precision:.2f} | {zero} of {result.true_edges} true edges missed",
                    flush=True,
                )


if __name__ == "__main__":
    main()
