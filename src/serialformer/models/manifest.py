"""``serialformer.json``: what a model can be asked, where it comes from, and the names of its parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from serialformer.errors import CheckpointError, InputError, SerialformerError
from serialformer.files import write_file
from serialformer.models.certificate_file import CERTIFICATE_FILE
from serialformer.models.circuit_file import CIRCUIT_FILE
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.manifest_version1 import upgrade_version1
from serialformer.models.protocol import Protocol
from serialformer.models.provenance import Provenance, provenance_from_json
from serialformer.models.task_items import TaskItems
from serialformer.tasks.task import Task
from serialformer.tasks.user_task import SOURCE_FILE
from serialformer.transformer.checkpoint import CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, read_json
from serialformer.transformer.names import Names

MANIFEST_FILE = "serialformer.json"
FORMAT = 2


def write_manifest(protocol: Protocol, provenance: Provenance, directory: Path) -> None:
    """Writes ``serialformer.json``, whole or not at all."""
    content = {
        "format": FORMAT,
        "kind": protocol.kind,
        "protocol": protocol.to_json(),
        "provenance": provenance.to_json(),
        "names": None if provenance.names is None else provenance.names.to_json(),
    }
    write_file(directory / MANIFEST_FILE, json.dumps(content, indent=1).encode() + b"\n")


def read_manifest(
    directory: Path, *, task: str | Task | None = None, trust_code: bool = False
) -> tuple[Protocol, Provenance]:
    """Reads ``serialformer.json`` of this format or of an older one, and the files that the protocol needs beside it.

    Args:
        directory: of the checkpoint.
        task: of a model of a user's task: see ``load``.
        trust_code: of such a model: see ``load``.

    Raises:
        CheckpointError: there is none, it is of another format, or a field is missing or wrong. Of a plain copy of the
            model the error says which files it lacks.
        TaskError: it is of a task that is not known, or of a user's that is not named or not what it was.
        InputError: a task is named for a model that is of none.
    """
    path = directory / MANIFEST_FILE
    if not path.exists() and all((directory / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE)):
        raise _plain_copy(directory)
    content = read_json(path)
    found = content.get("format")
    if found not in (1, FORMAT):
        raise CheckpointError(
            f"expected format {FORMAT}, or the older format 1, found {found!r}", where=str(path), hint="make it again"
        )
    try:
        if found == 1:
            content = upgrade_version1(content)
        protocol = _read_protocol(str(content["kind"]), content["protocol"], directory, task, trust_code=trust_code)
        names = None if content["names"] is None else Names.from_json(content["names"])
        return protocol, provenance_from_json(content["provenance"], names)
    except SerialformerError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"a field is missing or wrong: {error!r}", where=str(path)) from None


def _plain_copy(directory: Path) -> CheckpointError:
    """The error about a directory that has a transformer, and nothing that says what it is for."""
    needed = [name for name in (MANIFEST_FILE, TOKENIZER_FILE) if not (directory / name).exists()]
    optional = {
        CIRCUIT_FILE: "if it computes a circuit",
        SOURCE_FILE: "if it has a task of your own",
        CERTIFICATE_FILE: "if it is certified",
    }
    also = [f"{name} {when}" for name, when in optional.items() if not (directory / name).exists()]
    return CheckpointError(
        f"no such file: the directory is a plain copy of a model, as save_pretrained makes it ({CONFIG_FILE} and"
        f" {WEIGHTS_FILE}), and nothing in it says what the model can be asked",
        where=str(directory / MANIFEST_FILE),
        hint=f"copy from the original directory {' and '.join(needed)}; also {', '.join(also)}",
    )


def _read_protocol(
    kind: str, content: dict[str, Any], directory: Path, task: str | Task | None, *, trust_code: bool
) -> Protocol:
    if kind == TaskItems.kind:
        return TaskItems.from_json(content, directory, task=task, trust_code=trust_code)
    for known in (CircuitWords, CircuitPrompt):
        if kind == known.kind and (task is not None or trust_code):
            raise InputError(
                f"is {known.what}; only a model of a task is loaded with --task or --trust-code", where=str(directory)
            )
    if kind == CircuitWords.kind:
        return CircuitWords.from_json(content, directory)
    if kind == CircuitPrompt.kind:
        return CircuitPrompt.from_json(content)
    kinds = ", ".join(protocol.kind for protocol in (CircuitWords, TaskItems, CircuitPrompt))
    raise ValueError(f"no kind {kind!r}; known are {kinds}")
