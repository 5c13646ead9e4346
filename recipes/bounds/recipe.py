"""Depth and wires of circuits that compute what a rounded transformer computes, with a chain of thought and without.

    serialformer sweep recipes/bounds -o DIR/bounds.csv
    serialformer plot DIR/bounds.csv -o DIR/bounds.png

``cascade``, ``serial``, ``thresholds``: one pass of a layer with random weights in F_1, width 28, by how sums are made.
``chain``: parity of n bits by a chain of n - 2 tokens and an answer, compiled for the paper's transformer in F_1.
``at once``: ceil(log2 n) tokens of that chain and what follows them, all chains tried at once.
``pass``: the same model without its chain; what it says at once is scored as if it were the parity.
``layers``: parity without a chain, compiled with a layer for each level of a tree of XORs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import serialformer
from serialformer.architecture import Architecture, Arithmetic
from serialformer.bounds.extract import PromptTokens, extract
from serialformer.bounds.unbounded import UnboundedCircuit, evaluate_unbounded
from serialformer.decode.rounded import RoundedEngine
from serialformer.errors import EngineError
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.row import Row
from serialformer.transformer.precision import fixed_point
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer

WIDTH, SEED = 28, 48
LONGEST = 64
NUM_PROMPTS = 1000
METHODS = {"cascade": "flip-flops", "serial": "serial", "thresholds": "thresholds"}
PARITY = ("chain", "at once", "pass", "layers")


@dataclass(frozen=True, kw_only=True)
class Bounds(Experiment):
    """The circuit of one model for prompts of ``length`` bits, and how often it says what the model says."""

    kind: ClassVar[str] = "bounds"

    family: str
    length: int
    num_layers: int = 1

    @property
    def work(self) -> float:
        return float(self.num_layers * self.length ** (2 if self.family == "chain" else 1))

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        chain, is_right = 0, None
        prompts = sampled_prompts(self.length)
        bits = prompts[:, :-1].astype(np.uint8)
        if self.family in METHODS:
            transformer = random_transformer(self.num_layers)
            method = METHODS[self.family]
            circuit = extract(transformer, bit_prompt(self.length), method=method, aligned=method != "serial")
        else:
            model = parity_model(self.length, has_chain=self.family != "layers")
            transformer, prompts = model.transformer, model.words.prompts(bits)
            chain = {"chain": self.length - 2, "at once": (self.length - 1).bit_length()}.get(self.family, 0)
            circuit = serialformer.bound(model, chain=chain, parallel=self.family == "at once")
        answers = answer_words(circuit, bits)
        told = decode(transformer, prompts, chain)
        compared = told >= 0
        if self.family in ("chain", "pass", "layers"):
            is_right = int((answers == bits.sum(axis=1) % 2).sum())
        measures = {
            "depth": circuit.depth,
            "longest_path": circuit.depth_without_copies,
            "wires": circuit.num_literals,
            "gates": circuit.num_gates,
            "prompts": len(bits),
            "compared": int(compared.sum()),
            "agree": int((answers == told)[compared].sum()),
            "parity": is_right,
        }
        layers = transformer.architecture.num_layers
        variables = {"family": self.family, "length": self.length, "layers": layers, "chain": chain}
        return [self.row(surroundings, variables=variables, measures=measures)]


def bit_prompt(length: int) -> PromptTokens:
    """So many bits, then ``=``."""
    return PromptTokens(choices=((0, 1),) * length + ((2,),))


def sampled_prompts(length: int) -> np.ndarray:
    """All prompts of up to 9 bits, else NUM_PROMPTS random ones; each ends in ``=``."""
    if length <= 9:
        bits = np.arange(1 << length)[:, None] >> np.arange(length) & 1
    else:
        bits = np.random.default_rng(length).integers(0, 2, (NUM_PROMPTS, length))
    return np.pad(bits, ((0, 0), (0, 1)), constant_values=2)


def random_transformer(num_layers: int) -> Transformer:
    """Weights of F_1 up to 1, half of them 0; fewer to queries and keys, so that few scores are the least number."""
    architecture = Architecture(
        vocabulary=("0", "1", "="),
        num_positions=LONGEST + 1,
        width=WIDTH,
        num_layers=num_layers,
        num_heads=2,
        hidden_width=WIDTH,
        activation="relu",
        norm_epsilon=0.0,
        end_token=2,
        dtype="float32",
        norm="none",
        scaled_scores=False,
        arithmetic=Arithmetic(precision=1),
    )
    random = np.random.default_rng(SEED)
    numbers = fixed_point(1).numbers()
    numbers = numbers[np.abs(numbers) <= 1]
    weights = {
        name: np.where(random.random(shape) < 0.5, 0, random.choice(numbers, shape)).astype(np.float32)
        for name, shape in weight_shapes(architecture).items()
    }
    weights["token_embedding"] = random.choice(numbers[numbers != 0], (3, WIDTH)).astype(np.float32)
    for layer in range(num_layers):
        into = weights[f"layers.{layer}.attention_in_weight"]
        into[:, : 2 * WIDTH] *= random.random((WIDTH, 2 * WIDTH)) < (0.15 if layer == 0 else 0.02)
        weights[f"layers.{layer}.attention_in_bias"][: 2 * WIDTH] = 0
    return weights_to_transformer(architecture, weights)


def parity_model(length: int, *, has_chain: bool) -> serialformer.Model:
    """XOR after XOR, a token each; or a tree of them, a layer for each level."""
    build = serialformer.CircuitBuilder()
    bits = build.inputs("x", length)
    while len(bits) > 1:
        # The first two become one bit, which comes first in a chain and last in a tree.
        joined = build.xor(bits[0], bits[1])
        bits = [joined, *bits[2:]] if has_chain else [*bits[2:], joined]
    build.output("parity", bits[0])
    return serialformer.compile(build.circuit(), target="paper", chain="gates" if has_chain else "none")


def answer_words(circuit: UnboundedCircuit, bits: np.ndarray) -> np.ndarray:
    """The word ``answer`` for each row."""
    assert circuit.output_words is not None
    outputs = evaluate_unbounded(circuit, bits).astype(np.int64)
    (answer,) = (word for word in circuit.output_words if word.name == "answer")
    return sum((outputs[:, place] << index for index, place in enumerate(answer.bits)), np.zeros(len(bits), int))


def decode(transformer: Transformer, prompts: np.ndarray, chain: int) -> np.ndarray:
    """The token that the model itself makes after ``chain`` others; -1 where some softmax divides by zero."""
    engine = RoundedEngine(transformer)
    try:
        made = engine.generate(prompts, chain + 1)
        return made[:, chain] if made.shape[1] > chain else np.full(len(prompts), transformer.architecture.end_token)
    except EngineError:
        if len(prompts) == 1:
            return np.array([-1])
        return np.concatenate([decode(transformer, part, chain) for part in np.array_split(prompts, 2)])


def runs() -> list[Bounds]:
    """One layer at 4 to 64 bits, two at up to 16; parity with its chain and without."""
    lengths = (4, 8, 16, 32, 64)
    return [
        *(Bounds(family="cascade", length=length) for length in lengths),
        *(Bounds(family="cascade", length=length, num_layers=2) for length in lengths[:3]),
        *(Bounds(family="serial", length=length) for length in lengths),
        *(Bounds(family="thresholds", length=length) for length in lengths[:4]),
        *(Bounds(family=family, length=length) for family in PARITY for length in lengths[:4]),
    ]


def small() -> list[Bounds]:
    """What takes seconds."""
    return [run for run in runs() if run.length <= 8 and run.num_layers == 1]
