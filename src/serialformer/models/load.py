"""Loading a checkpoint directory, whatever model lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serialformer.errors import CheckpointError, SerialformerError
from serialformer.models.certificate_file import load_certificate
from serialformer.models.manifest import MANIFEST_FILE, read_manifest
from serialformer.models.model import Model
from serialformer.transformer.checkpoint import load_transformer


def load(directory: str | os.PathLike[str]) -> Model:
    """Reads a checkpoint directory: a compiled circuit, a model of a task, or an evaluator.

    Its certificate comes with it, unless that is about other weights or another circuit.

    Raises:
        CheckpointError: it is not one, or a part is missing or does not fit the others.
    """
    path = Path(directory)
    if not path.is_dir():
        raise CheckpointError(
            "no such checkpoint directory", where=str(path), hint="compile, construct and train make them"
        )
    where = str(path / MANIFEST_FILE)
    with _located(where):
        protocol, provenance = read_manifest(path)
    transformer = load_transformer(path)
    with _located(where):
        if provenance.names is not None:
            provenance.names.check(transformer.architecture)
        protocol.check(transformer.architecture)
    proof = load_certificate(path, protocol)
    return Model(transformer=transformer, protocol=protocol, provenance=provenance, proof=proof, directory=path)


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Says of an error which file it is about, where it does not name a file of its own."""
    try:
        yield
    except SerialformerError as error:
        if error.where is not None and Path(error.where).parent == Path(where).parent:
            raise
        message = error.message if error.where is None else f"{error.where}: {error.message}"
        raise CheckpointError(message, where=where, hint=error.hint) from None
