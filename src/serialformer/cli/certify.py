"""The commands ``certify`` and ``decompile``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from serialformer.circuits.formats.read_write import check_suffix, write
from serialformer.cli.options import Directory, DtypeOption, Json
from serialformer.cli.progress import progress_bar
from serialformer.models.certificate_file import CERTIFICATE_FILE, save_certificate
from serialformer.models.load import load
from serialformer.models.prove import certify, decompile
from serialformer.proofs.certificate import Certificate


def certify_command(
    directory: Directory,
    dtype: Annotated[
        DtypeOption | None,
        typer.Option(help="The number format in which the model will be loaded; by default its own."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The certificate file to write; by default in DIR."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove from the weights that a model is right on every input; exit 1 if the proof fails."""
    model = load(directory)
    with progress_bar("certifying", None):
        certificate = certify(model, dtype=None if dtype is None else dtype.value)
    if output is None:
        suffix = "" if dtype is None else f".{dtype.value}"
        output = directory / CERTIFICATE_FILE.replace(".json", f"{suffix}.json")
    save_certificate(certificate, model.protocol, directory, output)
    if as_json:
        print(json.dumps(certificate.to_json()))
    else:
        _print_certificate(certificate)
    if not certificate.holds:
        raise typer.Exit(1)


def decompile_command(
    directory: Directory,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="CIRCUIT", help="A .aag, .aig, .blif, .bench or .txt file to write."),
    ],
) -> None:
    """Read the circuit back out of a model's weights."""
    check_suffix(output)
    model = load(directory)
    with progress_bar("decompiling", None):
        circuit = decompile(model)
        write(circuit, output)
    print(f"gates: {circuit.num_gates}")


def _print_certificate(certificate: Certificate) -> None:
    print("certified" if certificate.holds else "NOT CERTIFIED")
    if certificate.failure is not None:
        print(str(certificate.failure))
    facts = {
        "prompts": certificate.prompts,
        "chain_tokens": certificate.num_chain_tokens,
        "arithmetic": ", ".join(f"{what} {which}" for what, which in certificate.arithmetic.items()),
    }
    for name, lead in (("attention_gap", certificate.attention), ("logit_margin", certificate.logits)):
        facts[name] = f"{lead.exact:.4g}, {lead.rounded:.4g} under rounding (least at position {lead.position})"
    for key, value in facts.items():
        print(f"{key}: {value}")
