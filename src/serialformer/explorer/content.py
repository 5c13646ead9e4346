"""Content: all that the page knows of a model, as one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.architecture import UNKNOWN, token_separator
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.gate_words import describe_gate
from serialformer.circuits.words import Word
from serialformer.constructions.placed_tokens import ABSENT, PlacedTokens
from serialformer.constructions.program import VOCABULARY
from serialformer.constructions.schedule import Schedule
from serialformer.errors import CheckpointError, InputError
from serialformer.explorer.grammar import prompt_grammar
from serialformer.explorer.packing import pack_array
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.model import Model
from serialformer.models.provenance import CompiledProvenance, ConstructedProvenance, Provenance
from serialformer.tasks.examples import Examples
from serialformer.tasks.layout import lay_out
from serialformer.tasks.text import read_prompt
from serialformer.transformer.names import UNUSED
from serialformer.transformer.transformer import Transformer

FORMAT = 1
"""Of the JSON object; the page refuses another."""

MAX_EMBEDDED_BYTES = 32 << 20
"""Of weights, as stored, that are put into a page."""

MAX_EMBEDDED_POSITIONS = 8192
"""Every token attends to all before it: 8,192 of them take a browser some seconds."""

MAX_HEAT_MAP = 1 << 24
"""Attention weights, over all layers and heads, that are shown as heat maps."""

MAX_NAMED_UNITS = 4096
"""Hidden units whose names are put into a page: with more of them it would hold little else."""

OPERAND = "\N{SECTION SIGN}"
"""Stands before the number of an operand in the words for a gate."""


def circuit_content(model: Model, *, embedded: bool = True) -> dict[str, Any]:
    """What the page shows of a compiled circuit.

    Args:
        model: the compiled circuit.
        embedded: whether the weights are in the page; if not, it asks a server.

    Raises:
        SerialformerError: the model's arithmetic is not that of floats, or its weights are too many for a page.
    """
    if model.words.packed is not None:
        raise InputError(
            "has several gates in a token; the page shows chains of one",
            where=None if model.directory is None else str(model.directory),
            hint="serialformer run DIR --trace shows the gates of each token",
        )
    if model.words.chain == "none":
        raise InputError(
            "was compiled without a chain; the page shows chains",
            where=None if model.directory is None else str(model.directory),
            hint="serialformer explore DIR -o PAGE.html shows the layers",
        )
    source = model.provenance.source if isinstance(model.provenance, CompiledProvenance) else None
    facts = {
        "gates": f"{model.circuit.num_gates:,}",
        "depth": f"{model.circuit.depth:,}",
        **({} if source is None else {"source": source}),
    }
    title = page_title(model)
    return {
        **_frame("circuit", title, embedded),
        "models": [
            model_content(
                model.transformer,
                title,
                "compiled",
                facts,
                model.provenance,
                embedded=embedded,
                placed=page_tokens(model),
            )
        ],
        "circuit": _circuit_arrays(model.circuit, model.schedule, model.inputs, model.outputs),
    }


def task_content(
    models: Sequence[Model], *, num_samples: int = 8, seed: int = 0, embedded: bool = True
) -> dict[str, Any]:
    """What the page shows of one model of a task, or of two side by side.

    Args:
        models: of one task at one length.
        num_samples: prompts, drawn from the task's own distribution.
        seed: with the length, decides which.
        embedded: whether the weights are in the page; if not, it asks a server.

    Raises:
        SerialformerError: the models are not of one task and length, or one is too large for a page.
    """
    for model in models:
        if model.placed is not None and model.setting == "base":
            raise InputError(
                "is a Llama of a task without a chain; the page shows Llamas of tasks with one",
                where=None if model.directory is None else str(model.directory),
                hint="construct it with --setting cot or --target gpt2; model.ground_truth says what its heads read",
            )
    first = models[0]
    for other in models[1:]:
        if _task_words(other) != _task_words(first):
            raise InputError(
                f"expected two models of one task, found {_task_words(first)} and {_task_words(other)}",
                hint="side by side they need the same prompts",
            )
    samples = first.task.sample(np.random.default_rng([seed, first.length]), first.length, num_samples)
    contents = []
    for model in models:
        facts = {"task": _task_words(model), "setting": model.setting}
        origin = "constructed" if isinstance(model.provenance, ConstructedProvenance) else "trained"
        title = page_title(model)
        content = model_content(
            model.transformer,
            title,
            origin,
            facts,
            model.provenance,
            embedded=embedded,
            placed=page_tokens(model),
            plain=(*model.task.vocabulary(model.length), UNKNOWN),
        )
        rows = [
            _sample(model, samples.select(np.array([row], dtype=np.int64)), model.length) for row in range(num_samples)
        ]
        contents.append({**content, "samples": rows, "grammar": prompt_grammar(model)})
    title = " and ".join(str(content["name"]) for content in contents)
    return {**_frame("task", title, embedded), "models": contents, "max_heat_map": MAX_HEAT_MAP}


def own_samples(models: Sequence[Model], text: str) -> list[dict[str, Any]]:
    """A prompt of one's own as the page shows it, for each model; checked by the task.

    Raises:
        TaskError: it is no prompt of the task, or the models are made for shorter ones.
    """
    prompt, length = read_prompt(models[0].task, text)
    examples = models[0].task.solve(prompt[None], length)
    return [_sample(model, examples, length) for model in models]


def _sample(model: Model, example: Examples, length: int) -> dict[str, Any]:
    """A prompt with the true tokens after it, in the model's own ids, as it lays them out."""
    example = example.renumber(model.token_ids(length))
    layout = lay_out(model.task, example, model.setting, length)
    prompt = int(example.prompt_lengths[0])
    given = prompt + (example.chains.shape[1] if model.setting == "filler" else 0)
    made = np.arange(layout.tokens.shape[1]) >= given
    if model.setting == "aligned":
        made = np.append(False, layout.has_loss[0, :-1])
    return {
        "tokens": layout.tokens[0].tolist(),
        "labels": layout.labels[0].tolist(),
        "made": made.astype(int).tolist(),
        "prompt": prompt,
        "answer": layout.answer_positions[0].tolist(),
    }


def _frame(kind: str, title: str, embedded: bool) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": version("serialformer"),
        "kind": kind,
        "title": title,
        "live": not embedded,
    }


def page_tokens(model: Model) -> PlacedTokens | None:
    """The tokens of a model that say where they stand, as its page numbers the plain ones; None for other models.

    The last plain token is one that stands nowhere, `<unk>`: the page's name for all tokens that are out of place. The
    vocabulary of circuits has it already.
    """
    placed = model.placed
    if placed is None or isinstance(model.protocol, CircuitWords):
        return placed
    return replace(placed, ids=np.pad(placed.ids, ((0, 0), (0, 1)), constant_values=ABSENT))


def page_title(model: Model) -> str:
    """The name of a model's directory, or ``model`` for one that has none."""
    return "model" if model.directory is None else Path(model.directory).resolve().name


def refuse_rounding(transformer: Transformer, name: str) -> None:
    """Refuses a model that rounds every operation, since the pages compute in floats.

    Raises:
        CheckpointError: the model's arithmetic rounds; the error names the model ``name``.
    """
    if transformer.architecture.arithmetic is not None:
        raise CheckpointError(
            "the model's arithmetic rounds after every operation; the page computes in floats",
            where=name,
            hint="compile it for the target gpt2",
        )


def _task_words(model: Model) -> str:
    parameters = "".join(f" {name}={value}" for name, value in model.task.parameters.items())
    return f"{model.task.name}{parameters}, length {model.length}"


def model_content(
    transformer: Transformer,
    name: str,
    origin: str,
    facts: dict[str, str],
    provenance: Provenance,
    *,
    embedded: bool,
    placed: PlacedTokens | None = None,
    plain: tuple[str, ...] = VOCABULARY,
) -> dict[str, Any]:
    """What the page holds of one model.

    Args:
        transformer: the model.
        name: what it is called.
        origin: ``compiled``, ``constructed`` or ``trained``.
        facts: to be shown before its sizes.
        provenance: where it comes from; it may know the names of parts.
        embedded: whether the weights are in the page.
        placed: the tokens, if each says where it stands.
        plain: the names of the plain tokens that the page shows then; the last one is that of all tokens out of place.

    Raises:
        CheckpointError: the model's arithmetic is not that of floats, or its weights are too many for a page.
    """
    refuse_rounding(transformer, name)
    architecture = transformer.architecture
    if embedded and (transformer.num_bytes > MAX_EMBEDDED_BYTES or architecture.num_positions > MAX_EMBEDDED_POSITIONS):
        raise CheckpointError(
            f"{transformer.num_bytes / 2**20:,.1f} MiB of weights and {architecture.num_positions:,} positions are too"
            f" many for a page; at most {MAX_EMBEDDED_BYTES >> 20} MiB and {MAX_EMBEDDED_POSITIONS:,} positions",
            where=name,
            hint="serialformer explore DIR --serve shows it from this machine",
        )
    # Of tokens that say where they stand the page shows the plain ones.
    vocabulary = architecture.vocabulary if placed is None else plain
    return {
        "name": name,
        "origin": origin,
        "facts": {
            **facts,
            "layers": f"{architecture.num_layers}",
            "heads": f"{architecture.num_heads}",
            "width": f"{architecture.width}",
            "parameters": f"{transformer.num_parameters:,}",
            "format": architecture.dtype,
        },
        "architecture": {
            "family": "a stock GPT-2"
            if architecture.is_gpt2
            else "a stock Llama"
            if architecture.is_stock
            else "a transformer",
            "vocabulary": list(vocabulary),
            "separator": token_separator(vocabulary),
            "positions": architecture.num_positions,
            "width": architecture.width,
            "layers": architecture.num_layers,
            "heads": architecture.num_heads,
            "key_heads": architecture.num_key_heads,
            "head_width": architecture.head_width,
            "hidden": architecture.hidden_width,
            "activation": architecture.activation,
            "epsilon": architecture.norm_epsilon,
            "scaled": architecture.scaled_scores,
            "rotary_base": architecture.rotary_base if architecture.positions == "rotary" else 0,
            "window": architecture.window or 0,
            "end": architecture.end_token if placed is None else placed.plain_end,
        },
        "weights": {name: pack_array(weight) for name, weight in transformer.named_weights() if weight.size}
        if embedded
        else None,
        "placed": {"ids": pack_array(placed.ids.astype(np.int32)), "end": architecture.end_token}
        if embedded and placed is not None
        else None,
        "directions": list(provenance.names.directions) if provenance.names is not None else [],
        "units": _unit_names(provenance),
        "heads": [list(layer) for layer in provenance.names.heads] if provenance.names is not None else [],
        "mixed": provenance.realism is not None,
        "compiled": provenance.names is not None and isinstance(provenance, CompiledProvenance),
    }


def _unit_names(provenance: Provenance) -> list[str]:
    """The names of the hidden units of the last layer, without the unused ones after them."""
    if provenance.names is None:
        return []
    *before, last = provenance.names.units[-1]
    named = (*before, last) if last.name != UNUSED else before
    return [part.name for part in named for _ in range(part.count)][:MAX_NAMED_UNITS]


def _circuit_arrays(
    circuit: Circuit, schedule: Schedule, inputs: tuple[Word, ...], outputs: tuple[Word, ...]
) -> dict[str, Any]:
    """The circuit as arrays; the words for its gates are a list of the different ones and a number for each gate."""
    kinds, kind_of_gate = np.unique(
        np.stack([circuit.arity.astype(np.uint64), circuit.table], axis=1), axis=0, return_inverse=True
    )
    described = [
        {
            "words": describe_gate(int(table), [f"{OPERAND}{place}" for place in range(int(arity))]),
            "arity": int(arity),
            "table": f"{int(table):0{max(1, (1 << int(arity)) // 4)}x}",
        }
        for arity, table in kinds.tolist()
    ]
    return {
        "inputs": [{"name": word.name, "bits": list(word.bits)} for word in inputs],
        "outputs": [{"name": word.name, "bits": list(word.bits)} for word in outputs],
        "num_inputs": circuit.num_inputs,
        "kinds": described,
        "kind_of_gate": pack_array(kind_of_gate.reshape(-1).astype(np.int32)),
        "fan_in": pack_array(circuit.fan_in),
        "output_wires": pack_array(circuit.outputs),
        "chain_wire": pack_array(schedule.wire),
        "chain_gate": pack_array(schedule.gate),
        "levels": pack_array(circuit.levels.astype(np.int32)),
        "gate_names": list(circuit.gate_names) if circuit.gate_names else [],
    }
