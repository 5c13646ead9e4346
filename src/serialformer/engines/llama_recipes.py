"""The Llamas, Mistrals and a Qwen2 of a suite: shared keys, several layers, rotary positions, sliding windows."""

from __future__ import annotations

from serialformer.architecture import Shape
from serialformer.engines.recipes import DRAFTS, EVERY, SHORT, Recipe

SMALL_ROTARY = Shape(hidden=64, layers=1, addressing="distances")
SMALL_WINDOW = Shape(hidden=64, layers=1, addressing="window")

NARROW = Shape(hidden=64)
"""Four heads of 64 in a residual stream of 64: head width times heads is not the hidden width."""


def llama_recipes() -> tuple[Recipe, ...]:
    """The recipes. Few of them are quick, because a stock Llama takes three times as long for a token as a GPT-2.

    >>> {recipe.target for recipe in llama_recipes()}
    {'llama'}
    """
    return (*_formats(), *_shapes(), *_lengths(), *_rotary(), *_windows(), *_biases(), *_without_a_chain())


def _formats() -> tuple[Recipe, ...]:
    return (
        Recipe(
            name="llama-128-float32",
            purpose="Four heads of 64 over two of keys; a context of 128 that the chain fills to the last position.",
            target="llama",
            shape=Shape(hidden=128),
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
            sibling="llama-128-float32",
        ),
        Recipe(
            name="llama-127-float16-narrow",
            purpose="A residual stream of 64, a quarter as wide as the four heads of 64 are together; float16.",
            target="llama",
            shape=NARROW,
            total=127,
            dtype="float16",
            tier="quick",
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
        Recipe(
            name="llama-126-bfloat16-tied",
            purpose="The output head is the token embedding, and the final norm's gain is 0 in most dimensions.",
            target="llama",
            shape=Shape(hidden=64, tied=True),
            total=126,
            dtype="bfloat16",
            sibling="llama-129-bfloat16",
        ),
        Recipe(
            name="llama-64-small-stream",
            purpose="A residual stream of mean square 4e-6 and an RMS norm's epsilon of 1e-6: ten times that is wrong.",
            target="llama",
            shape=NARROW,
            total=64,
            variant="small stream",
            families=("whole_chain",),
            tier="quick",
            sibling="llama-128-float32",
        ),
    )


def _lengths() -> tuple[Recipe, ...]:
    recipes = []
    for total in (255, 256, 257, 512, 1024, 2049):
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


def _rotary() -> tuple[Recipe, ...]:
    return (
        Recipe(
            name="llama-97-bfloat16-rotary",
            purpose="Heads find what they read by rotary positions alone: a wrong angle is a wrong bit.",
            target="llama",
            shape=Shape(addressing="distances"),
            total=97,
            distances=(30, 17, 0),
            num_inputs=30,
            dtype="bfloat16",
            sibling="llama-129-bfloat16",
        ),
        Recipe(
            name="llama-300-float32-rotary",
            purpose="One layer that goes by rotary positions over 300 tokens.",
            target="llama",
            shape=SMALL_ROTARY,
            total=300,
            distances=(47, 16, 1),
            num_inputs=50,
            families=EVERY,
            tier="quick",
            sibling="llama-97-bfloat16-rotary",
            shorter="llama-97-bfloat16-rotary",
        ),
        Recipe(
            name="llama-1024-float16-rotary",
            purpose="Rotary positions that reach 512 tokens back, up to the last position there is.",
            target="llama",
            shape=SMALL_ROTARY,
            total=1024,
            distances=(512, 33, 2, 0),
            num_inputs=515,
            dtype="float16",
            spare=0,
            families=("whole_chain", "long_prompt", "crossings", "full_context"),
            sibling="llama-300-float32-rotary",
            shorter="llama-97-bfloat16-rotary",
        ),
    )


def _biases() -> tuple[Recipe, ...]:
    return (
        Recipe(
            name="qwen2-128-bfloat16-rotary",
            purpose="A Qwen2: queries and keys are their biases, and rotary positions tell what is read.",
            target="llama",
            shape=Shape(hidden=64, layers=1, addressing="distances", head_biases=True, head_width=16),
            total=128,
            distances=(33, 10, 0),
            num_inputs=33,
            dtype="bfloat16",
            families=("whole_chain", "prompt_lengths", "crossings", "altered_chain", "unequal_rows"),
            tier="quick",
            sibling="llama-97-bfloat16-rotary",
        ),
    )


def _without_a_chain() -> tuple[Recipe, ...]:
    return (
        Recipe(
            name="llama-61-bfloat16-no-chain",
            purpose="No chain: each of seven layers reads what the last one wrote; an answer of 12 tokens.",
            target="llama",
            shape=Shape(hidden=72, head_width=16),
            total=61,
            num_inputs=14,
            dtype="bfloat16",
            chain="none",
            seed=58,
        ),
    )


def _windows() -> tuple[Recipe, ...]:
    return (
        Recipe(
            name="mistral-96-bfloat16-window-32",
            purpose="A Mistral that sees 32 tokens: every gate reads the farthest, and one more or less is wrong.",
            target="llama",
            shape=Shape(addressing="window"),
            total=96,
            distances=(31, 12, 0),
            num_inputs=33,
            dtype="bfloat16",
            tier="quick",
            sibling="llama-97-bfloat16-rotary",
        ),
        Recipe(
            name="mistral-257-float32-window-17",
            purpose="One layer that sees 17 tokens, one more than a block of 16.",
            target="llama",
            shape=SMALL_WINDOW,
            total=257,
            distances=(16, 15, 3),
            num_inputs=20,
            families=EVERY,
            sibling="llama-300-float32-rotary",
            shorter="mistral-96-bfloat16-window-32",
        ),
        Recipe(
            name="mistral-512-float16-window-64",
            purpose="A window of 64 tokens in a chain of eight windows, the last position there is.",
            target="llama",
            shape=SMALL_WINDOW,
            total=512,
            distances=(63, 31, 0),
            num_inputs=65,
            dtype="float16",
            spare=0,
            families=(*SHORT, "full_context"),
            sibling="mistral-257-float32-window-17",
            shorter="mistral-96-bfloat16-window-32",
        ),
    )
