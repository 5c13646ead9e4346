"""Recipes: which models a suite has, as values, and what each is for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from serialformer.architecture import DtypeName, Shape
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.words import Word
from serialformer.constructions.schedule import Chain
from serialformer.engines.recurrences import shift_register_circuit
from serialformer.engines.scattered import decoy_circuit, scattered_circuit
from serialformer.engines.variants import add_spare_positions, offset_keys, share_names, shrink_stream, spread_heads
from serialformer.models.compile import compile
from serialformer.models.lower import Target
from serialformer.models.model import Model

Tier = Literal["quick", "full"]
Variant = Literal["plain", "decoys", "small stream", "offset keys"]
Draft = Literal["right", "wrong at some tokens", "always wrong"]

AS_IT_COMES = Shape()
"""The shape that a target chooses."""

DECOYS: tuple[tuple[int, DtypeName, Tier], ...] = ((129, "float32", "quick"), (401, "bfloat16", "full"))
"""Lengths, number formats and tiers of the models with decoys."""

DRAFTS: tuple[Draft, ...] = ("right", "wrong at some tokens", "always wrong")

NUM_ANSWERS = 12
"""Outputs of a model without a chain: as many as every family of cases needs."""

WRONG_EVERY = 7
"""A draft that is wrong at some tokens is wrong at one token in this many."""

SHORT = ("whole_chain", "prompt_lengths", "crossings", "altered_chain", "shared_prefixes", "unequal_rows", "ends")
EVERY = (*SHORT, "equal_rows", "one_token")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One model of a suite.

    Attributes:
        name: of its directory.
        purpose: what it is for, in a sentence.
        total: the length of prompt, ``=`` and chain, in tokens.
        target: the family of the transformer.
        shape: what is chosen of its shape, but for the spare positions.
        fan_in: how many wires a gate reads; of a GPT-2 the number of heads.
        distances: if there are any, the circuit is a shift register with taps at these distances, otherwise one whose
            gates read anywhere.
        dtype: the number format of its weights.
        num_inputs: input bits.
        spare: positions after the last one that a chain reaches.
        variant: what else was done to the weights, of a Llama only ``small stream``; see ``engines.variants``.
        families: which families of cases it is asked.
        tier: ``quick`` models are asked in every run.
        drafts: which draft models it has.
        sibling: a model of the same chain in another head width or number format, which blame is compared with.
        shorter: a model of the same kind with a shorter chain.
        seed: of the circuit and of the prompts.
        chain: ``none`` for a model that answers at once, by layers, of a Llama only; then the answer is the last
            ``NUM_ANSWERS`` gates.
    """

    name: str
    purpose: str
    total: int
    target: Target = "gpt2"
    shape: Shape = AS_IT_COMES
    fan_in: int = 2
    distances: tuple[int, ...] = ()
    dtype: DtypeName = "float32"
    num_inputs: int = 10
    spare: int = 16
    variant: Variant = "plain"
    families: tuple[str, ...] = SHORT
    tier: Tier = "full"
    drafts: tuple[Draft, ...] = ()
    sibling: str | None = None
    shorter: str | None = None
    seed: int = 0
    chain: Chain = "gates"

    @property
    def is_sensitive(self) -> bool:
        """Whether it asks for more than a family's definition: a failure is a warning."""
        return self.variant in ("small stream", "offset keys")


def recipe_to_model(recipe: Recipe) -> Model:
    """Makes the model that a recipe describes."""
    num_gates = recipe.total - recipe.num_inputs - 1
    if recipe.chain == "none":
        num_gates -= NUM_ANSWERS
        circuit = scattered_circuit(recipe.seed, num_inputs=recipe.num_inputs, num_gates=num_gates)
        return _compile(_answer_more(circuit), recipe)
    if recipe.distances:
        inputs = recipe.num_inputs
        return _compile(
            shift_register_circuit(recipe.seed, num_inputs=inputs, num_gates=num_gates, distances=recipe.distances),
            recipe,
        )
    if recipe.variant == "decoys":
        return _compile(decoy_circuit(recipe.seed, num_inputs=recipe.num_inputs, num_gates=num_gates), recipe)
    return _compile(
        scattered_circuit(recipe.seed, num_inputs=recipe.num_inputs, num_gates=num_gates, fan_in=recipe.fan_in),
        recipe,
    )


def _answer_more(circuit: Circuit) -> Circuit:
    """The same gates, of which the last ``NUM_ANSWERS`` are outputs."""
    outputs = np.arange(circuit.num_wires - NUM_ANSWERS, circuit.num_wires, dtype=circuit.outputs.dtype)
    word = Word(name="y", bits=tuple(range(NUM_ANSWERS)))
    return replace(circuit, outputs=outputs, output_words=(word,))


def recipe_to_draft(recipe: Recipe, draft: Draft) -> Model:
    """Makes a draft model of a recipe: the same circuit, right or with some or all of its gates inverted."""
    model = recipe_to_model(recipe)
    circuit, gates = model.circuit, np.arange(model.circuit.num_gates)
    if draft == "right":
        return model
    inverted = gates % WRONG_EVERY == WRONG_EVERY - 1 if draft == "wrong at some tokens" else gates >= 0
    every = (np.uint64(1) << (np.uint64(1) << circuit.arity.astype(np.uint64))) - np.uint64(1)
    return _compile(replace(circuit, table=np.where(inverted, circuit.table ^ every, circuit.table)), recipe)


def _compile(circuit: Circuit, recipe: Recipe) -> Model:
    if recipe.target != "gpt2":
        shape = replace(recipe.shape, spare_positions=recipe.spare)
        model = compile(circuit, chain=recipe.chain, target=recipe.target, dtype=recipe.dtype, shape=shape)
        if recipe.variant == "small stream":
            return replace(model, transformer=shrink_stream(model.transformer), proof=None)
        assert recipe.variant == "plain", recipe
        return model
    model = compile(circuit, dtype=recipe.dtype)
    transformer = spread_heads(model.transformer)
    if recipe.variant == "decoys":
        assert model.provenance.names is not None
        transformer = share_names(transformer, model.provenance.names, model.circuit, model.schedule)
    elif recipe.variant == "small stream":
        transformer = shrink_stream(transformer)
    elif recipe.variant == "offset keys":
        transformer = offset_keys(transformer)
    if recipe.spare:
        transformer = add_spare_positions(transformer, recipe.spare)
    # The certificate is about the weights as they were.
    return replace(model, transformer=transformer, proof=None)


def default_recipes() -> tuple[Recipe, ...]:
    """The models of the suite: GPT-2s, quick ones first, then Llamas.

    >>> recipes = default_recipes()
    >>> names = {recipe.name for recipe in recipes}
    >>> len(names) == len(recipes)
    True
    >>> {name for recipe in recipes for name in (recipe.sibling, recipe.shorter) if name} <= names
    True
    """
    from serialformer.engines.llama_recipes import llama_recipes

    return (*_quick(), *_decoys(), *_boundaries(), *_long(), *_sensitive(), *llama_recipes())


def _quick() -> tuple[Recipe, ...]:
    return (
        Recipe(
            name="gpt2-128-float32",
            purpose="Two odd heads of 19; a context of 128 that the chain fills to the last position.",
            total=128,
            spare=0,
            families=(*EVERY, "full_context"),
            tier="quick",
            sibling="gpt2-300-float32",
        ),
        Recipe(
            name="gpt2-129-bfloat16",
            purpose="Two odd heads of 19 in bfloat16.",
            total=129,
            dtype="bfloat16",
            families=EVERY,
            tier="quick",
            sibling="gpt2-300-bfloat16",
        ),
        Recipe(
            name="gpt2-127-float16",
            purpose="Two odd heads of 19 in float16.",
            total=127,
            dtype="float16",
            families=EVERY,
            sibling="gpt2-300-float16",
        ),
        Recipe(
            name="gpt2-300-float32",
            purpose="Two even heads of 22, with three draft models.",
            total=300,
            families=EVERY,
            tier="quick",
            drafts=DRAFTS,
            sibling="gpt2-300-float32-3-heads",
            shorter="gpt2-128-float32",
        ),
    )


def _decoys() -> tuple[Recipe, ...]:
    return tuple(
        Recipe(
            name=f"gpt2-{total}-decoys-{dtype}",
            purpose="Tokens that stand after a position have the name that it asks for: seeing them is wrong.",
            total=total,
            dtype=dtype,
            variant="decoys",
            families=EVERY,
            tier=tier,
            sibling="gpt2-300-float32",
        )
        for total, dtype, tier in DECOYS
    )


def _boundaries() -> tuple[Recipe, ...]:
    recipes = []
    halves: tuple[DtypeName, ...] = ("bfloat16", "float16")
    for dtype in halves:
        recipes.append(
            Recipe(
                name=f"gpt2-300-{dtype}",
                purpose=f"Two even heads of 22 in {dtype}.",
                total=300,
                dtype=dtype,
                sibling="gpt2-300-float32",
                shorter=f"gpt2-{129 if dtype == 'bfloat16' else 127}-{dtype}",
            )
        )
    wide: tuple[DtypeName, ...] = ("float32", "bfloat16")
    for dtype in wide:
        recipes.append(
            Recipe(
                name=f"gpt2-300-{dtype}-3-heads",
                purpose="Three odd heads of 21: a number of heads that no power of two divides.",
                total=300,
                fan_in=3,
                dtype=dtype,
                families=EVERY,
                drafts=DRAFTS if dtype == "bfloat16" else (),
                sibling=f"gpt2-300-{dtype}",
            )
        )
    for total in (61, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2048, 2049):
        dtype = "float32" if total % 2 else "bfloat16"
        recipes.append(
            Recipe(
                name=f"gpt2-{total}-{dtype}",
                purpose=f"A chain that ends at {total} tokens"
                + ("." if total % 2 else ", the last position there is."),
                total=total,
                dtype=dtype,
                spare=16 if total % 2 else 0,
                families=("whole_chain", "long_prompt", "crossings", "ends"),
                sibling="gpt2-300-float32",
                shorter="gpt2-128-float32",
                seed=total,
            )
        )
    return tuple(recipes)


def _long() -> tuple[Recipe, ...]:
    families = ("long_chain", "long_prompt", "crossings")
    return (
        Recipe(
            name="gpt2-4096-3-heads-float16",
            purpose="Three heads of 24 over 4,096 tokens in float16.",
            total=4096,
            fan_in=3,
            dtype="float16",
            families=families,
            shorter="gpt2-127-float16",
        ),
        Recipe(
            name="gpt2-10000-float32",
            purpose="A chain of 10,000 tokens, each of which reads anywhere before it.",
            total=10_000,
            families=families,
            shorter="gpt2-1025-float32",
        ),
        Recipe(
            name="gpt2-30000-bfloat16",
            purpose="A chain of 30,000 tokens: offsets into the cache pass 2^20 numbers.",
            total=30_000,
            dtype="bfloat16",
            families=families,
            shorter="gpt2-1024-bfloat16",
        ),
    )


def _sensitive() -> tuple[Recipe, ...]:
    return (
        Recipe(
            name="gpt2-96-small-stream",
            purpose="A residual stream of variance 4e-6 and a layer norm's epsilon of 1e-6: ten times that is wrong.",
            total=96,
            variant="small stream",
            tier="quick",
            families=("whole_chain",),
            sibling="gpt2-300-float32",
        ),
        Recipe(
            name="gpt2-96-offset-keys",
            purpose="Keys and values that float32 holds and 16 bits do not: a narrower cache is wrong.",
            total=96,
            variant="offset keys",
            tier="quick",
            families=("whole_chain", "equal_rows"),
            sibling="gpt2-300-float32",
        ),
    )
