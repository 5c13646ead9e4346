"""Draws construction.png: a full adder as a chain of thought, with the model's own names, attention and tokens.

python docs/figures/construction.py [FILE.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import serialformer
from serialformer.circuits.gate_words import describe_gate
from serialformer.constructions.program import schedule_to_program
from serialformer.targets.position_codes import code_length, position_codes
from serialformer.transformer.forward import compute_attention

INK, PALE, HEADS = "#22313f", "#eef1f4", ("#0072b2", "#d55e00")
"""Blue and vermilion are told apart by everybody."""


def full_adder() -> serialformer.Model:
    build = serialformer.CircuitBuilder()
    a, b, c = build.inputs("in", 3)
    half, both = build.xor(a, b), build.and_(a, b)
    through = build.and_(half, c)
    build.output("carry", build.or_(both, through))
    build.output("sum", build.xor(half, c))
    return serialformer.compile(build.circuit())


def draw(model: serialformer.Model, value: int) -> Figure:
    transcript = model.run({"in": value})
    program = schedule_to_program(model.circuit, model.schedule)
    tokens = np.concatenate([transcript.prompt, transcript.chain])
    (attention,) = compute_attention(model.transformer, tokens[None])
    length = code_length(len(tokens))
    names = position_codes(np.arange(len(tokens)), length)
    first = len(transcript.prompt) - 1
    focus = first + 2  # the first gate that reads a token of the chain
    labels = [f"in[{place}]" for place in range(first)] + ["end of prompt"]
    labels += [f"t{token}" for token in range(len(transcript.chain))]

    figure = Figure(figsize=(8.6, 4.9), dpi=190)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1.55, len(tokens) - 0.35), ylim=(-3.55, 3.05))
    axes.axis("off")
    for row, text in ((0, "token"), (-0.85, "position"), (-1.45, "its name"), (-2.05, "head 0 reads"),
                      (-2.65, "head 1 reads"), (-3.25, "so it writes")):  # fmt: skip
        axes.text(-1.5, row, text, va="center", color=INK, fontsize=9, style="italic")
    for position, token in enumerate(tokens):
        chosen = position == focus
        axes.add_patch(
            FancyBboxPatch((position - 0.36, -0.34), 0.72, 0.68, boxstyle="round,pad=0.02",
                           facecolor="#fff3c4" if chosen else PALE if position <= first else "white",
                           edgecolor=INK, linewidth=1.8 if chosen else 0.8)
        )  # fmt: skip
        axes.text(position, 0, transcript.vocabulary[token], ha="center", va="center", fontsize=17, color=INK)
        axes.text(position, -0.62, labels[position], ha="center", fontsize=8, color=INK)
        axes.text(position, -0.92, str(position), ha="center", fontsize=8, color=INK)
        _write_name(axes, position, -1.45, names[position], "black")
        step = position - first
        if 0 <= step < len(transcript.chain):
            for head, row in enumerate((-2.05, -2.65)):
                _write_name(axes, position, row, names[program.reads[step, head]], HEADS[head])
            gate = int(model.schedule.gate[step])
            words = describe_gate(int(model.circuit.table[gate]), ["u", "v"]).partition("(")[0]
            axes.text(position, -3.25, f"{words} = {transcript.chain[step]}", ha="center", va="center", fontsize=9)
    for head, colour in enumerate(HEADS):
        read = int(np.argmax(attention[0, head, focus]))
        share = float(attention[0, head, focus, read])
        axes.add_patch(
            FancyArrowPatch((focus, 0.4), (read, 0.4), connectionstyle=f"arc3,rad={0.55 - 0.12 * head}", color=colour,
                            arrowstyle="-|>", mutation_scale=14, linewidth=2.2)
        )  # fmt: skip
        axes.text(-1.5, 2.75 - 0.36 * head, f"head {head} of position {focus}: {share:.0%} of its attention on position"
                  f" {read}, which bears the name it looks for", color=colour, fontsize=10, va="center")  # fmt: skip
    step = focus - first
    operands = " and ".join(str(transcript.vocabulary[tokens[int(place)]]) for place in program.reads[step])
    axes.text(-1.5, 2.03, f"the feed-forward layer looks {operands} up in the truth table of this position: the next"
              f" token is {transcript.chain[step]}", color=INK, fontsize=10, va="center")  # fmt: skip
    return figure


def _write_name(axes: Axes, x: float, y: float, name: np.ndarray, colour: str) -> None:
    digits = " ".join(f"{digit:+d}" for digit in name.tolist())
    axes.text(x, y, digits, ha="center", va="center", fontsize=6.6, family="monospace", color=colour)


if __name__ == "__main__":
    target = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).with_suffix(".png"))
    draw(full_adder(), 0b101).savefig(target, metadata={"Software": None})
