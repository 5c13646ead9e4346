"""Exploring: one web page on which a model is run from its weights, or two models of a task side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from serialformer.errors import InputError
from serialformer.explorer.content import circuit_content, own_samples, page_tokens, task_content
from serialformer.explorer.inline import InlinePage, make_inline
from serialformer.explorer.layers import FRONT as LAYERS_FRONT
from serialformer.explorer.layers import layers_content
from serialformer.explorer.page import write_page
from serialformer.explorer.task_layers import has_task_layers, task_layers_content
from serialformer.files import refuse_os_errors
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.load import find_model
from serialformer.models.model import Model
from serialformer.tasks.task import Task


def explore(
    model: Model | str | os.PathLike[str],
    other: Model | str | os.PathLike[str] | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    num_samples: int = 8,
    seed: int = 0,
    port: int = 0,
    task: str | Task | None = None,
    trust_code: bool = False,
    announce: Callable[[str], None] = print,
) -> int:
    """Writes one web page on which a model is run, token by token; or serves it until it is interrupted.

    Args:
        model: a model, or its directory.
        other: another model of the same task, to stand beside it. Beside a circuit without a chain, whose page shows
            layers by positions, the same circuit with one. A task's model that was constructed without a chain has this
            page too, alone or beside one with a chain.
        output: the page to write, one file; None serves the page on this machine instead, for large models.
        num_samples: of a task: prompts.
        seed: of a task: which prompts.
        port: where to serve; 0 takes a free one.
        task: of directories of models of a user's task: see ``load``.
        trust_code: of such directories: see ``load``.
        announce: called with the page's address when it is served.

    Returns:
        The size of the page in bytes; 0 if it was served.

    Raises:
        InputError: the two models are not of one task, or the page is a directory.
        SerialformerError: a model cannot be read, or is too large for a page.
    """
    given = [each for each in (model, other) if each is not None]
    first, *others = (find_model(each, task=task, trust_code=trust_code) for each in given)
    embedded = output is not None
    if _is_without_chain(first):
        if len(others) > 1 or output is None or not all(isinstance(each.protocol, CircuitWords) for each in others):
            raise InputError(
                "a model without a chain is shown alone or beside one of the same circuit with a chain, in a file",
                hint="serialformer explore DIR [DIR_OF_THE_CHAIN] -o PAGE.html",
            )
        _refuse_directory(output)
        return write_page(output, layers_content(first, *others, seed=seed), front=LAYERS_FRONT)
    if output is not None and has_task_layers(first) and all(each.setting == "cot" for each in others):
        _refuse_directory(output)
        beside = task_layers_content(first, *others, num_samples=num_samples, seed=seed)
        return write_page(output, beside, front=LAYERS_FRONT)
    content = _content([first, *others], num_samples=num_samples, seed=seed, embedded=embedded)
    if output is None:
        from serialformer.explorer.server import serve_page

        with refuse_os_errors(f"port {port}"):
            serve_page(
                content,
                [each.transformer for each in (first, *others)],
                placed=[page_tokens(each) for each in (first, *others)],
                read_prompt=None
                if isinstance(first.protocol, CircuitWords)
                else lambda text: own_samples([first, *others], text),
                port=port,
                announce=announce,
            )
        return 0
    _refuse_directory(output)
    return write_page(output, content)


def _is_without_chain(model: Model) -> bool:
    """Whether it is a circuit of several layers, which has a page of its own."""
    return isinstance(model.protocol, CircuitWords) and model.protocol.chain == "none"


def _refuse_directory(output: str | os.PathLike[str]) -> None:
    if Path(output).is_dir():
        raise InputError("is a directory", where=str(output), hint="name the page, such as page.html")


def show_inline(
    model: Model, other: Model | None = None, *, num_samples: int = 8, seed: int = 0, height: int = 700
) -> InlinePage:
    """The page of a model, or of two models of a task, as a value that a notebook shows below the cell.

    Args:
        model: a model.
        other: another model of the same task, to show side by side.
        num_samples: the number of prompts, for a task.
        seed: the seed of the prompts, for a task.
        height: the height of the frame in pixels.

    Raises:
        SerialformerError: the two models are not of one task, or one is too large for a page.
    """
    given = [each for each in (model, other) if each is not None]
    return make_inline(_content(given, num_samples=num_samples, seed=seed, embedded=True), height)


def _content(models: Sequence[Model], *, num_samples: int, seed: int, embedded: bool) -> dict[str, Any]:
    """The content of the page of one model, or of two models of a task."""
    first = models[0]
    for each in models if len(models) > 1 else ():
        if isinstance(each.protocol, CircuitWords):
            where = None if each.directory is None else str(each.directory)
            raise InputError("only models of tasks can be shown side by side", where=where)
    if isinstance(first.protocol, CircuitWords):
        return circuit_content(first, embedded=embedded)
    return task_content(models, num_samples=num_samples, seed=seed, embedded=embedded)
