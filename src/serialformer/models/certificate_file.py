"""``certificate.json``: what was proven of a model, and of which weights and which circuit or task."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from serialformer.errors import CheckpointError
from serialformer.files import write_file
from serialformer.models.protocol import Protocol
from serialformer.proofs.certificate import Certificate
from serialformer.transformer.checkpoint import WEIGHTS_FILE, read_json

CERTIFICATE_FILE = "certificate.json"


def save_certificate(certificate: Certificate, protocol: Protocol, directory: Path, path: Path | None = None) -> None:
    """Writes a certificate, with the hashes of the weights and the circuit that it is about.

    Args:
        certificate: what was proven, or not.
        protocol: what the model is for, with the circuit or the task that the chain is compared with.
        directory: where the weights lie.
        path: the file to write; ``certificate.json`` in the directory unless told otherwise.
    """
    content = {
        **certificate.to_json(),
        "weights_sha256": _hash_weights(directory),
        f"{protocol.subject}_sha256": protocol.digest(),
    }
    write_file(directory / CERTIFICATE_FILE if path is None else path, (json.dumps(content, indent=1) + "\n").encode())


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredCertificate:
    """A certificate as it lies in a checkpoint directory, before anybody has checked that it is about what lies there.

    Attributes:
        content: what the file says.
        weights_sha256: of the weights that it is about.
        subject_sha256: of the circuit or the task that it is about.
        directory: where the weights lie.
        protocol: what the model is for.
    """

    content: Certificate
    weights_sha256: str
    subject_sha256: str
    directory: Path
    protocol: Protocol

    @cached_property
    def checked(self) -> Certificate | None:
        """The certificate; None if it is about other weights or another subject. Large weights take seconds to hash."""
        is_about_this = self.subject_sha256 == self.protocol.digest()
        return self.content if is_about_this and self.weights_sha256 == _hash_weights(self.directory) else None


def load_certificate(directory: Path, protocol: Protocol) -> StoredCertificate | None:
    """The certificate in a checkpoint directory; None where there is none.

    Args:
        directory: where the weights lie.
        protocol: what the model is for: the circuit or the task that the chain must have been compared with.

    Raises:
        CheckpointError: the file is not a certificate.
    """
    path = directory / CERTIFICATE_FILE
    if not path.exists():
        return None
    content = read_json(path)
    try:
        return StoredCertificate(
            content=Certificate.from_json(content),
            weights_sha256=str(content["weights_sha256"]),
            subject_sha256=str(content[f"{protocol.subject}_sha256"]),
            directory=directory,
            protocol=protocol,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        hint = "remove it; serialformer certify makes a new one"
        raise CheckpointError(f"a field is missing or wrong: {error!r}", where=str(path), hint=hint) from None


def _hash_weights(directory: Path) -> str:
    with (directory / WEIGHTS_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
