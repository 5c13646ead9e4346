"""Content of the page of layers for a task: what each position holds after each layer, and the chain beside it.

As for circuits, all that the page shows has been read from the weights. A position's value is read from the residual
stream: of each of its fields, the value whose code is nearest. A value is marked while it differs from what stands
there before the last layer, which writes the answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.construction import NOTHING, Construction
from serialformer.constructions.placement import Placement
from serialformer.constructions.task_depth import is_written_by_symbol
from serialformer.decode.dense import DenseEngine
from serialformer.errors import InputError
from serialformer.explorer.columns import weights_content
from serialformer.explorer.layers import FORMAT, MAX_CELLS
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.construction_of import construction_of
from serialformer.models.lower import construction_to_placement
from serialformer.models.model import Model
from serialformer.models.provenance import ConstructedProvenance
from serialformer.models.rotate import reading_basis
from serialformer.models.task_items import TaskItems
from serialformer.models.transcript import Transcript
from serialformer.tasks.circuit_value import CircuitValue

TOKENS_PER_GATE = 4
MAX_DIGIT = 9
"""Digits up to this one are written side by side, larger ones with commas."""


def has_task_layers(model: Model) -> bool:
    """Whether a model is of a task, constructed without a chain, and has values at positions between its layers."""
    return (
        isinstance(model.protocol, TaskItems)
        and model.protocol.setting == "base"
        and model.placed is None
        and isinstance(model.provenance, ConstructedProvenance)
        and len(model.transformer.layers) > 1
        and bool(_fields(construction_of(model)))
    )


def task_layers_content(
    model: Model, chain: Model | None = None, *, num_samples: int = 8, seed: int = 0
) -> dict[str, Any]:
    """What the page shows of a task's model that was constructed without a chain.

    Args:
        model: for which ``has_task_layers`` holds.
        chain: a model of the same task and length that writes a chain, to stand beside it.
        num_samples: prompts, drawn from the task's own distribution.
        seed: with the length, decides which.

    Raises:
        InputError: the two are not of one task and length, or the model is too large for a page.
    """
    items = model.items
    if chain is not None and not _is_chain_of(chain, items):
        raise InputError(
            "is no model of the same task and length with a chain",
            where=None if chain.directory is None else str(chain.directory),
            hint="construct the same task twice, once with --setting base",
        )
    num_layers, num_positions = len(model.transformer.layers), model.transformer.architecture.num_positions
    cells = (num_layers + 1) * num_positions
    if cells > MAX_CELLS:
        raise InputError(
            f"{num_layers} layers of {num_positions} positions are too many for a page, at most {MAX_CELLS:,} cells",
            where=None if model.directory is None else str(model.directory),
            hint="construct a shorter length, or fewer layers (--depth)",
        )
    random = np.random.default_rng([seed, items.length])
    samples = items.task.sample(random, items.length, max(1, min(num_samples, 8 * MAX_CELLS // cells)))
    words = items.task.vocabulary(items.length)
    texts = [
        " ".join(words[token] for token in row[: size - 1])
        for row, size in zip(samples.prompts.tolist(), samples.prompt_lengths.tolist(), strict=True)
    ]
    return {
        "format": FORMAT,
        "title": f"{items.task.name}: {num_layers} layers, no chain",
        "live": False,
        "depth": _grid(model, texts),
        "chain": None if chain is None else _chain(chain, texts),
        "inputs": texts,
        "model": weights_content(model),
    }


def _is_chain_of(chain: Model, items: TaskItems) -> bool:
    """Whether a model writes the chains of a task at its length; of circuit values that is an evaluator."""
    protocol = chain.protocol
    if isinstance(protocol, CircuitPrompt):
        return protocol.setting == "cot" and isinstance(items.task, CircuitValue) and protocol.num_gates == items.length
    return (
        isinstance(protocol, TaskItems)
        and protocol.setting == "cot"
        and (protocol.task == items.task and protocol.length == items.length)
    )


def _fields(construction: Construction) -> tuple[str, ...]:
    """The fields that hold a position's value between layers."""
    names = [part.name for part in construction.fields]
    digits = tuple(name for name in names if name.startswith("digit["))
    return digits or tuple(name for name in ("value", "square") if name in names)


def field_values(
    model: Model, placement: Placement, names: tuple[str, ...], tokens: Int64[np.ndarray, " tokens"]
) -> Int64[np.ndarray, "layers tokens fields"]:
    """Which value each position's fields hold before the first layer and after each one, by the nearest code."""
    engine = model.engine("dense")
    assert isinstance(engine, DenseEngine)
    streams = engine.streams(tokens[None])[:, 0].astype(np.float64)
    basis = reading_basis(model)
    if basis is not None:
        streams = streams @ basis
    found = []
    for name in names:
        codes = np.vstack([placement.codes[name], placement.nothing[name]]).astype(np.float64)
        held = streams[..., placement.spans[name]]
        nearest = np.square(held[:, :, None] - codes).sum(axis=-1).argmin(axis=-1)
        # Nothing may have the code of a value: of one that does not occur, or of one that is written in every layer.
        is_nothing = nearest == len(codes) - 1
        if name == "square":
            is_nothing |= nearest == placement.construction.end_token
        if placement.construction.field_named[name].origin == "layers":
            is_nothing[0] = True
        found.append(np.where(is_nothing, NOTHING, nearest))
    return np.stack(found, axis=-1)


def _grid(model: Model, texts: list[str]) -> dict[str, Any]:
    construction = construction_of(model)
    placement = construction_to_placement(construction, model.transformer.architecture)
    names = _fields(construction)
    transcripts = [model.run(text, engine="dense") for text in texts]
    width = max(len(transcript.prompt) + len(transcript.chain) - 1 for transcript in transcripts)
    held, wrong, answers, shown = [], [], [], []
    for transcript in transcripts:
        tokens = np.concatenate([transcript.prompt, transcript.chain[:-1]])
        found = field_values(model, placement, names, tokens)[:-1]
        is_column = _columns(model, transcript, len(tokens))
        lines = [
            [_text(model, values) if column else " " for values, column in zip(line, is_column, strict=True)]
            for line in found.tolist()
        ]
        # The last layer writes tokens: at "=" the first one of the answer, at each of these the next.
        made = list(transcript.made)
        lines.append([*[" "] * (len(tokens) - len(made)), *made])
        padding = [" "] * (width - len(tokens))
        held.append([line + padding for line in lines])
        differs = [[text != last for text, last in zip(line, lines[-2], strict=True)] for line in lines[:-1]]
        wrong.append(["".join("01"[mark] for mark in line).ljust(width, "0") for line in [*differs, []]])
        answers.append([" ".join(made), made])
        shown.append([*transcript.asked, *made[:-1], *padding])
    return {
        "names": [str(position) for position in range(width)],
        "tokens": shown,
        "kinds": ["value"] * width,
        "levels": [0] * width,
        "layers": model.transformer.architecture.num_layers,
        "held": held,
        "wrong": wrong,
        "answers": answers,
        "looks": [_looks(model, construction, transcript, width) for transcript in transcripts],
        "written": 0,
        "about": _about(model),
    }


def _columns(model: Model, transcript: Transcript, num_tokens: int) -> list[bool]:
    """Which positions hold a value: of circuits the last token of each gate, of squarings ``=``."""
    position = np.arange(num_tokens)
    if isinstance(model.task, CircuitValue):
        return list(position % TOKENS_PER_GATE == TOKENS_PER_GATE - 1)
    if "square" in _fields(construction_of(model)):
        return list(position == len(transcript.prompt) - 1)
    return [True] * num_tokens


def _text(model: Model, values: list[int]) -> str:
    """The value of a position: its digits, or a token."""
    if NOTHING in values:
        return " "
    if _fields(construction_of(model)) == ("value",) and not isinstance(model.task, CircuitValue):
        return model.transformer.architecture.vocabulary[values[0]]
    return ("" if max(values) <= MAX_DIGIT else ",").join(map(str, values))


def _about(model: Model) -> str:
    """What the values of the grid are."""
    if isinstance(model.task, CircuitValue):
        return (
            "Each gate's own number has its value. In the first layer it finds out what its gate is and reads, in each "
            "later one it fetches the values that the gate reads and computes its own."
        )
    if "square" in _fields(construction_of(model)):
        return "The last position fetches the prime and the residue, and squares once more in each later layer."
    if is_written_by_symbol(model.task):
        return (
            "Each position begins with its own symbol. In every later layer it looks 1, 2, 4, ... permutations back, "
            "into the slot that its value points to, and takes the value that stands there."
        )
    return (
        "Each position begins with its own item. In every layer it fetches what stands 1, 2, 4, ... items before it "
        "and multiplies that by its own, so that it holds the product of twice as many items."
    )


def _looks(model: Model, construction: Construction, transcript: Transcript, width: int) -> list[list[list[int]]]:
    """For each layer and each head that looks something up, where each position gives most of its attention."""
    cache = model.run_with_cache(transcript)
    looks = []
    for number, layer in enumerate(construction.layers):
        heads = sum(look_up.copies for look_up in layer.look_ups)
        found = cache[f"blocks.{number}.attn.hook_pattern"][:heads].argmax(axis=2).tolist()
        looks.append([positions[:width] + [0] * (width - len(positions)) for positions in found])
    return looks


def _chain(model: Model, texts: list[str]) -> dict[str, Any]:
    """The tokens of each prompt and its chain, and where heads look as they are written."""
    construction = construction_of(model)
    transcripts = [model.run(text, engine="dense") for text in texts]
    rows = [list(transcript.asked + transcript.made) for transcript in transcripts]
    width = max(map(len, rows))
    return {
        "names": [str(position) for position in range(width)],
        "tokens": [row + [""] * (width - len(row)) for row in rows],
        "answers": [transcript.made[-1] if not transcript.answer else " ".join(transcript.answer)
                    for transcript in transcripts],
        "looks": [[head for layer in _looks(model, construction, transcript, width) for head in layer]
                  for transcript in transcripts],
        "prompt": min(len(transcript.prompt) for transcript in transcripts),
        "layers": model.transformer.architecture.num_layers,
    }  # fmt: skip
