"""Loading a checkpoint directory, whatever model lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serialformer.errors import CheckpointError, InputError, SerialformerError
from serialformer.models.certificate_file import load_certificate
from serialformer.models.manifest import MANIFEST_FILE, read_manifest
from serialformer.models.model import Model
from serialformer.tasks.task import Task
from serialformer.transformer.checkpoint import load_transformer


def load(directory: str | os.PathLike[str], *, task: str | Task | None = None, trust_code: bool = False) -> Model:
    """Reads a checkpoint directory: a compiled circuit, a model of a task, or an evaluator.

    Its certificate comes with it, unless that is about other weights or another circuit. A task of the user's own is
    Python code: it is imported only if ``task`` names its file again, or ``trust_code`` is set.

    Args:
        directory: of the checkpoint.
        task: of a model of a user's task, the file and class again, ``FILE.py:Class``, or the task itself. The name of
            any other task is compared with the model's.
        trust_code: whether the source of a user's task that lies in the checkpoint may be run instead.

    Raises:
        CheckpointError: it is not one, or a part is missing or does not fit the others; or its task is a user's, and is
            not named, or is not what it was when the model was made.
    """
    path = Path(directory)
    if not path.is_dir():
        raise CheckpointError(
            "no such checkpoint directory", where=str(path), hint="compile, construct and train make them"
        )
    where = str(path / MANIFEST_FILE)
    with _located(where):
        protocol, provenance = read_manifest(path, task=task, trust_code=trust_code)
    transformer = load_transformer(path)
    with _located(where):
        if provenance.names is not None:
            provenance.names.check(transformer.architecture)
        protocol.check(transformer.architecture)
    proof = load_certificate(path, protocol)
    return Model(transformer=transformer, protocol=protocol, provenance=provenance, proof=proof, directory=path)


def find_model(
    model: Model | str | os.PathLike[str], *, task: str | Task | None = None, trust_code: bool = False
) -> Model:
    """A model that is given as such, or by its directory.

    Raises:
        InputError: it is given as such, and ``task`` or ``trust_code``, which say how to load one, as well.
        CheckpointError: as in ``load``.
    """
    if not isinstance(model, Model):
        return load(model, task=task, trust_code=trust_code)
    if task is not None or trust_code:
        raise InputError("task and trust_code say how to load a directory, found a model that is loaded", where="task")
    return model


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Adds the file to an error that does not name one."""
    try:
        yield
    except SerialformerError as error:
        if error.where is not None and Path(error.where).parent == Path(where).parent:
            raise
        message = error.message if error.where is None else f"{error.where}: {error.message}"
        raise CheckpointError(message, where=where, hint=error.hint) from None
