"""The first format of ``serialformer.json``, brought into the form of the present one."""

from __future__ import annotations

import json
from typing import Any

from serialformer.circuits.value_problem import TOKENS_PER_GATE

NUM_ANSWER_UNITS = 21
"""Hidden units of an evaluator's last layer; the first has a unit for each pair of residues."""


def upgrade_version1(content: dict[str, Any]) -> dict[str, Any]:
    """The content of format 2 that says the same; format 1 had no names of directions, heads and units.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or wrong.
    """
    kind, details = content["kind"], dict(content["details"])
    protocol: dict[str, Any]
    if kind == "circuit":
        protocol = {
            name: content[name] for name in ("inputs", "outputs", "num_chain_tokens", "registers") if name in content
        }
        provenance = _compiled(details)
    elif kind == "evaluator":
        protocol = {"num_gates": int(content["num_chain_tokens"]) // TOKENS_PER_GATE}
        provenance = _constructed("evaluator", NUM_ANSWER_UNITS + sum(modulus**2 for modulus in details["moduli"]))
    elif kind == "task":
        names = ("task", "version", "parameters", "length", "setting", "num_new_tokens")
        protocol = {name: content[name] for name in names}
        if "construction" in details:
            provenance = _constructed(details["construction"], details["hidden_units"])
        elif "trained" in details:
            trained = dict(details["trained"])
            if "taught" in trained:
                trained["teacher_forced"] = trained.pop("taught")
            provenance = {"kind": "trained", **trained}
        else:
            provenance = {"kind": "unknown", "note": json.dumps(details) if details else ""}
    else:
        raise ValueError(f"no kind {kind!r}")
    return {"format": 2, "kind": kind, "protocol": protocol, "provenance": provenance, "names": None}


def _compiled(details: dict[str, Any]) -> dict[str, Any]:
    report = details.get("optimisation")
    return {
        "kind": "compiled",
        "source": details["source"],
        "target": details.get("target", "gpt2"),
        "num_gates": details["gates"],
        "depth": details["depth"],
        "circuit_sha256": details["circuit_sha256"],
        "optimisation": report and {name: value for name, value in report.items() if name != "seconds"},
    }


def _constructed(construction: str, num_hidden_units: int) -> dict[str, Any]:
    return {
        "kind": "constructed",
        "construction": construction,
        "num_hidden_units": num_hidden_units,
    }
