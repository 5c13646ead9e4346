"""The Llamas of a suite: shared keys, several layers, tokens that say where they stand."""

from __future__ import annotations

from serialformer.architecture import Shape
from serialformer.engines.recipes import DRAFTS, EVERY, Recipe

NARROW = Shape(hidden=64)
"""Four heads of 64 in a residual stream of 64: head width times heads is not the hidden width."""


def llama_recipes() -> tuple[Recipe, ...]:
    """The recipes. Few of them are quick, because a stock Llama takes three times as long for a token as a GPT-2.

    >>> {recipe.target for recipe in llama_recipes()}
    {'llama'}
    """
    return (*_formats(), *_shapes(), *_lengths())


def _formats() -> tuple[Recipe, ...]:
    return (
        Recipe(
            name="llama-128-float32",
            purpose="Four heads of 64 over two of keys; a context of 128 that the chain fills to the last position.",
            target="llama",
            total=128,
            spare=0,
            families=(*EVERY, "full_context"),
            sibling="llama-128-float32-8-key-heads",
        ),
        Recipe(
            name="llama-129-bfloat16",
            purpose="Four heads of 64 over two of keys in bfloat16.",
            target="llama",
            total=129,
            dtype="bfloat16",
            tier="quick",
            sibling="llama-128-float32",
        ),
        Recipe(
            name="llama-127-float16-narrow",
            purpose="A residual stream of 64, a quarter as wide as the four heads of 64 are together; float16.",
            target="llama",
            shape=NARROW,
            total=127,
            dtype="float16",
            families=EVERY,
            sibling="llama-128-float32",
        ),
    )


def _shapes() -> tuple[Recipe, ...]:
    return (
        Recipe(
            name="llama-128-float32-8-key-heads",
            purpose="Sixteen heads of 16 over eight of keys.",
            target="llama",
            shape=Shape(hidden=64, head_width=16, key_heads=8),
            total=128,
            sibling="llama-128-float32",
        ),
        Recipe(
            name="llama-300-bfloat16-narrow",
            purpose="Two layers, with three draft models.",
            target="llama",
            shape=NARROW,
            total=300,
            dtype="bfloat16",
            families=EVERY,
            drafts=DRAFTS,
            sibling="llama-300-bfloat16-1-key-head",
            shorter="llama-129-bfloat16",
        ),
        Recipe(
            name="llama-300-bfloat16-1-key-head",
            purpose="Gates of three inputs; all heads share one of keys.",
            target="llama",
            shape=Shape(hidden=192, key_heads=1),
            fan_in=3,
            total=300,
            dtype="bfloat16",
            sibling="llama-300-bfloat16-narrow",
            shorter="llama-129-bfloat16",
        ),
        Recipe(
            name="llama-300-float16-5-layers",
            purpose="Five layers: three look everything up, one is idle, the last has the hidden units.",
            target="llama",
            shape=Shape(hidden=64, layers=5, head_width=32),
            total=300,
            dtype="float16",
            sibling="llama-300-bfloat16-narrow",
            shorter="llama-127-float16-narrow",
        ),
    )


def _lengths() -> tuple[Recipe, ...]:
    recipes = []
    for total in (255, 256, 257, 511, 512, 1024, 2049):
        recipes.append(
            Recipe(
                name=f"llama-{total}-bfloat16",
                purpose=f"A chain that ends at {total} tokens"
                + ("." if total % 2 else ", the last position there is."),
                target="llama",
                shape=NARROW,
                total=total,
                dtype="bfloat16",
                spare=16 if total % 2 else 0,
                families=("whole_chain", "long_prompt", "crossings", "ends"),
                sibling="llama-300-bfloat16-narrow",
                shorter="llama-129-bfloat16",
                seed=total,
            )
        )
    recipes.append(
        Recipe(
            name="llama-4096-float16",
            purpose="A chain of 4,096 tokens over a vocabulary of more than 8,000.",
            target="llama",
            shape=NARROW,
            total=4096,
            dtype="float16",
            families=("long_chain", "long_prompt", "crossings"),
            shorter="llama-1024-bfloat16",
        )
    )
    return tuple(recipes)
