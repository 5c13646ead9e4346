"""The command ``bound``: a model as a circuit of constant depth."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.cli.options import Directory, Json, print_facts
from serialformer.cli.progress import progress_bar


class Method(StrEnum):
    FLIP_FLOPS = "flip-flops"
    RESETS = "resets"
    THRESHOLDS = "thresholds"
    SERIAL = "serial"


def bound_command(
    directory: Directory,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="CIRCUIT",
            help="A .bench, .blif or .v file; or .aig, .aag or .txt, which have two-input gates only.",
        ),
    ],
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            metavar="N",
            min=1,
            help="For a model of a task: items in the prompt; by default the model's own length.",
        ),
    ] = None,
    chain: Annotated[
        int, typer.Option("--chain", metavar="T", min=0, help="Chain-of-thought tokens before the answer.")
    ] = 0,
    parallel: Annotated[
        bool,
        typer.Option(
            "--parallel", help="With --chain: evaluate all chains in parallel, which keeps the depth constant."
        ),
    ] = False,
    method: Annotated[
        Method | None,
        typer.Option(
            help="How sums are computed: by cascades of flip-flops or resets (AC0), by threshold gates (TC0),"
            " or term by term (depth grows with their number)."
        ),
    ] = None,
    precision: Annotated[
        int | None,
        typer.Option(
            "--precision", metavar="S", min=1, help="Round the weights to F_s first; see train --set model.norm=none."
        ),
    ] = None,
    tree: Annotated[bool, typer.Option("--tree", help="Write balanced trees of two-input gates.")] = False,
    aligned: Annotated[
        bool,
        typer.Option("--align/--no-align", help="Delay the outputs to the depth that layers and precision determine."),
    ] = True,
    max_wires: Annotated[
        int | None, typer.Option("--max-wires", metavar="N", min=1, help="Refuse a circuit with more wires than this.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a model that rounds every operation as a circuit from the bits of the prompt to the next token.

    Without a chain its depth depends on the number of layers and the precision alone, not on the length of the prompt.
    """
    from serialformer.bounds.bound import bound
    from serialformer.bounds.making import DEFAULT_MAX_WIRES
    from serialformer.bounds.writers import check_unbounded_suffix

    started = time.perf_counter()
    check_unbounded_suffix(output)
    with progress_bar("extracting", None):
        circuit = bound(
            directory,
            length=length,
            chain=chain,
            parallel=parallel,
            method=None if method is None else method.value,
            precision=precision,
            aligned=aligned,
            max_wires=DEFAULT_MAX_WIRES if max_wires is None else max_wires,
        )
        circuit.save(output, tree=tree)
    assert circuit.input_words is not None and circuit.output_words is not None
    facts: dict[str, Any] = {
        "circuit": str(output),
        "inputs": circuit.num_inputs,
        "outputs": len(circuit.outputs),
        "gates": circuit.num_gates,
        "wires": circuit.num_literals,
        "depth": circuit.depth,
        "depth_without_copies": circuit.depth_without_copies,
        "largest_fan_in": circuit.max_fan_in,
        **{f"{kind}_wires": wires for kind, wires in circuit.wires_by_kind.items()},
        "input_words": {word.name: word.width for word in circuit.input_words},
        "output_words": {word.name: word.width for word in circuit.output_words},
        "seconds": round(time.perf_counter() - started, 3),
    }
    if as_json:
        print(json.dumps(facts))
    else:
        print_facts(facts)
