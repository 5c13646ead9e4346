"""The suite: small models whose explanation is known, with prompts, counterfactual pairs and the truth as files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.architecture import Architecture
from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.constructions.edges import find_edges
from serialformer.files import new_directory, write_file
from serialformer.interp.judge import TRUTH_FORMAT
from serialformer.interp.logit_scale import scale_logits
from serialformer.interp.pairs import Pair, draw_pairs
from serialformer.interp.patch import Patch
from serialformer.interp.realism import make_realistic
from serialformer.interp.universe import all_edges, all_nodes
from serialformer.models.compile import compile
from serialformer.models.construct import construct
from serialformer.models.model import Model
from serialformer.tasks.registry import make_task

NUM_PAIRS = 24


@dataclass(frozen=True, kw_only=True)
class Member:
    """One model of the suite.

    Attributes:
        name: of its folder.
        what: what it computes, in a sentence.
        make: makes it.
        task_input: of two tasks in one model the input word that chooses between them; empty if there is one task.
    """

    name: str
    what: str
    make: Callable[[], Model]
    task_input: str = ""


def build_adder(width: int) -> Circuit:
    """A ripple-carry adder of two words."""
    build = CircuitBuilder()
    a, b = build.inputs("a", width), build.inputs("b", width)
    carry, total = None, []
    for left, right in zip(a, b, strict=True):
        half = build.xor(left, right)
        both = build.and_(left, right)
        if carry is None:
            total.append(half)
            carry = both
        else:
            total.append(build.xor(half, carry))
            carry = build.or_(both, build.and_(half, carry))
    assert carry is not None
    build.outputs("sum", [*total, carry])
    return build.circuit()


def build_comparator(width: int) -> Circuit:
    """Whether the first word is less than the second."""
    build = CircuitBuilder()
    a, b = build.inputs("a", width), build.inputs("b", width)
    less = build.and_(build.not_(a[0]), b[0])
    for left, right in zip(a[1:], b[1:], strict=True):
        same = build.not_(build.xor(left, right))
        less = build.or_(build.and_(build.not_(left), right), build.and_(same, less))
    build.output("less", less)
    return build.circuit()


def build_multiplexer() -> Circuit:
    """One of four bits, chosen by two."""
    build = CircuitBuilder()
    data, select = build.inputs("data", 4), build.inputs("select", 2)
    low = build.or_(build.and_(data[1], select[0]), build.and_(data[0], build.not_(select[0])))
    high = build.or_(build.and_(data[3], select[0]), build.and_(data[2], build.not_(select[0])))
    build.output("chosen", build.or_(build.and_(high, select[1]), build.and_(low, build.not_(select[1]))))
    return build.circuit()


def build_parity(width: int) -> Circuit:
    """Whether an odd number of bits is set, by a tree."""
    build = CircuitBuilder()
    wires = list(build.inputs("bits", width))
    while len(wires) > 1:
        pairs = [build.xor(left, right) for left, right in zip(wires[::2], wires[1::2], strict=False)]
        wires = pairs + wires[len(wires) - len(wires) % 2 :]
    build.output("odd", wires[0])
    return build.circuit()


def build_two_tasks() -> Circuit:
    """Two tasks in one model: with ``task`` 0 whether both words are equal, with 1 whether any bit of ``a`` is set."""
    build = CircuitBuilder()
    a, b, (task,) = build.inputs("a", 2), build.inputs("b", 2), build.inputs("task", 1)
    equal = build.and_(build.not_(build.xor(a[0], b[0])), build.not_(build.xor(a[1], b[1])))
    some = build.or_(a[0], a[1])
    build.output("answer", build.or_(build.and_(task, some), build.and_(build.not_(task), equal)))
    return build.circuit()


def build_distractor() -> Circuit:
    """An adder of two bits beside gates whose value is always 0."""
    build = CircuitBuilder()
    a, b, c = build.inputs("a", 2), build.inputs("b", 2), build.inputs("c", 2)
    carry = build.and_(a[0], b[0])
    build.outputs("sum", [build.xor(a[0], b[0]), build.xor(build.xor(a[1], b[1]), carry)])
    build.output("idle", build.and_(c[0], build.and_(c[1], build.not_(c[0]))))
    return build.circuit()


def _depth(make: Callable[[], Circuit]) -> Callable[[], Model]:
    return lambda: compile(make(), chain="none")


LICENCE = """MIT License

Permission is hereby granted, free of charge, to any person obtaining a copy of these files, to deal in them without
restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense,
and/or sell copies of them. They are provided "as is", without warranty of any kind.
"""

MEMBERS: tuple[Member, ...] = (
    Member(name="adder2-chain", what="Adds two words of two bits by a chain of thought.",
           make=lambda: compile(build_adder(2))),
    Member(name="adder2-depth", what="Adds two words of two bits without a chain, a layer for each level.",
           make=_depth(lambda: build_adder(2))),
    Member(name="comparator2-depth", what="Compares two words of two bits without a chain.",
           make=_depth(lambda: build_comparator(2))),
    Member(name="comparator3-chain", what="Compares two words of three bits by a chain of thought.",
           make=lambda: compile(build_comparator(3))),
    Member(name="multiplexer-depth", what="Chooses one of four bits without a chain.", make=_depth(build_multiplexer)),
    Member(name="parity4-depth", what="The parity of four bits without a chain, by a tree.",
           make=_depth(lambda: build_parity(4))),
    Member(name="parity8-depth", what="The parity of eight bits without a chain, by a tree.",
           make=_depth(lambda: build_parity(8))),
    Member(name="two-tasks-depth", what="Two tasks in one model, chosen by a bit, without a chain.",
           make=_depth(build_two_tasks), task_input="task"),
    Member(name="two-tasks-chain", what="Two tasks in one model, chosen by a bit, by a chain of thought.",
           make=lambda: compile(build_two_tasks()), task_input="task"),
    Member(name="distractor-chain", what="An adder beside gates whose value is always the same.",
           make=lambda: compile(build_distractor())),
    Member(name="parity-task", what="The running parity of six bits, from the definition of the task.",
           make=lambda: construct("parity", 6)),
    Member(name="modular-addition-task", what="Running sums modulo 7.", make=lambda: construct("modular-addition", 4)),
    Member(name="s3-task", what="Products of permutations of three, in brackets.",
           make=lambda: scale_logits(construct(make_task("permutation-composition", {"degree": 3}), 2), 1 / 16)),
    Member(name="evaluator4", what="Evaluates any circuit of up to four gates that stands in its prompt.",
           make=lambda: construct("circuit-value", 4)),
    Member(name="circuit-values-depth", what="The value of a circuit of eight gates in its prompt, at once.",
           make=lambda: scale_logits(construct("circuit-value", 8, setting="base", depth=8), 1 / 4)),
    Member(name="s5-depth", what="The product of two permutations of five, at once.",
           make=lambda: scale_logits(construct("word-problem", 2, setting="base"), 1 / 16)),
    Member(name="adder2-chain-rotated", what="The adder with a chain, its residual stream rotated.",
           make=lambda: make_realistic(compile(build_adder(2)), "rotated")),
    Member(name="two-tasks-depth-rotated", what="Two tasks in one model without a chain, its residual stream rotated.",
           make=lambda: make_realistic(compile(build_two_tasks(), chain="none"), "rotated"), task_input="task"),
    Member(name="adder2-chain-superposed", what="The adder with a chain, 32 directions in 24 dimensions.",
           make=lambda: scale_logits(make_realistic(compile(build_adder(2)), "superposed"), 1 / 4)),
    Member(name="parity4-depth-superposed", what="The parity of four bits without a chain, superposed.",
           make=lambda: make_realistic(compile(build_parity(4), chain="none"), "superposed")),
)  # fmt: skip
"""The models, in order. Four have smaller logits than their constructions give, so that runtimes that sum in different
orders agree to within 1e-4 in float32."""


def write_suite(
    directory: str | os.PathLike[str],
    *,
    names: tuple[str, ...] = (),
    seed: int = 0,
    num_pairs: int = NUM_PAIRS,
    progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Writes a folder with a folder for each model: its checkpoint, ``truth.json``, ``pairs.jsonl`` and ``README.md``.

    The same arguments give the same bytes.

    Args:
        directory: where; it must not exist.
        names: of the models; all of them if empty.
        seed: of the prompts.
        num_pairs: how many pairs each model gets.
        progress: called with 1 for each model that is done.

    Returns:
        For each model its name, its sizes and how much of it is true.
    """
    chosen = [member for member in MEMBERS if not names or member.name in names]
    facts = []
    with new_directory(directory) as target:
        for member in chosen:
            facts.append(_write_member(member, target / member.name, seed, num_pairs))
            if progress is not None:
                progress(1)
        write_file(target / "README.md", _suite_card(facts).encode())
        write_file(target / "LICENSE", LICENCE.encode())
        content = {"format": TRUTH_FORMAT, "seed": seed, "models": facts, "files": dict(_digests(target))}
        write_file(target / "suite.json", _format(content))
    return facts


def _write_member(member: Member, folder: Path, seed: int, num_pairs: int) -> dict[str, Any]:
    model = member.make()
    folder.mkdir()
    model.save(folder / "model")
    pairs = draw_pairs(model, num_pairs, np.random.default_rng(seed))
    truth = find_truth(model, pairs, member.task_input)
    write_file(folder / "truth.json", _format(truth))
    write_file(folder / "pairs.jsonl", b"".join(json.dumps(pair.to_json()).encode() + b"\n" for pair in pairs))
    shape = model.transformer.architecture
    facts = {
        "name": member.name,
        "what": member.what,
        "layers": shape.num_layers,
        "heads": shape.num_heads,
        "width": shape.width,
        "edges": len(truth["edges"]),
        "true_edges": sum(truth["edges"].values()),
        "pairs": len(pairs),
    }
    write_file(folder / "README.md", _card(facts).encode())
    return facts


def find_truth(model: Model, pairs: Sequence[Pair], task_input: str = "") -> dict[str, Any]:
    """The truth about a model on some pairs, as ``truth.json`` has it.

    An edge is *structural* if its reader reads a field into which its source writes. It is *true* if on some pair
    patching it, at all positions, changes a token that is written. Parts at either end of a true edge are true.

    Args:
        model: what the pairs are of.
        pairs: prompts and counterfactuals.
        task_input: the input word that chooses a task; each of its values then has a truth of its own, on the pairs
            whose two prompts agree in it.
    """
    architecture = model.transformer.architecture
    structural: dict[str, set[tuple[int, int, str]]] = {}
    for pair in pairs:
        for truth in (pair.clean, pair.other):
            for edge in find_edges(truth.followed, truth.heads):
                structural.setdefault(edge.name, set()).add((edge.position, edge.reader, edge.field))
    patches = all_edges(architecture)
    realism = model.provenance.realism
    is_measured = realism is not None and realism.kind != "rotated"
    matters: dict[str, list[bool]] = {}
    for patch in patches:
        found = (_matters(pair, patch, patch.name in structural, is_measured=is_measured) for pair in pairs)
        # Without tasks it is enough to know of one pair on which an edge matters.
        matters[patch.name] = list(found) if task_input else _first_true(found)
    names = model.provenance.names
    assert names is not None
    edges = {name: any(found) for name, found in matters.items()}
    content: dict[str, Any] = {
        "format": TRUTH_FORMAT,
        "nodes": _true_nodes(edges, architecture),
        "edges": edges,
        "structural": sorted(structural),
        "positions": {name: sorted(map(list, found)) for name, found in sorted(structural.items()) if edges[name]},
        "directions": list(pairs[0].clean.directions.rows()),
        "heads": [list(layer) for layer in names.heads],
    }
    if task_input:
        content["tasks"] = {}
        for value in (0, 1):
            chosen = [place for place, pair in enumerate(pairs) if _tasks(model, pair, task_input) == (value, value)]
            of_task = {name: any(found[place] for place in chosen) for name, found in matters.items()}
            content["tasks"][f"{task_input}={value}"] = {
                "pairs": chosen,
                "nodes": _true_nodes(of_task, architecture),
                "edges": of_task,
            }
    return content


def _matters(pair: Pair, patch: Patch, is_structural: bool, *, is_measured: bool) -> bool:
    """Whether an edge changes what is written: predicted, or measured where interference may decide."""
    if is_measured:
        return bool((pair.measured(patch) != pair.written).any())
    return is_structural and pair.matters(patch)


def _first_true(values: Iterable[bool]) -> list[bool]:
    """The values up to the first that is true."""
    found = []
    for value in values:
        found.append(value)
        if value:
            break
    return found


def _true_nodes(edges: Mapping[str, bool], architecture: Architecture) -> dict[str, bool]:
    ends = {end.partition("<")[0] for name, is_true in edges.items() if is_true for end in name.split("->")}
    return {node: node in ends for node in all_nodes(architecture)}


def _tasks(model: Model, pair: Pair, name: str) -> tuple[int, int]:
    """The values of an input word of one bit in both prompts."""
    (word,) = (word for word in model.inputs if word.name == name)
    place = word.bits[0]
    return int(pair.clean.followed.tokens[place]), int(pair.other.followed.tokens[place])


def _card(facts: dict[str, Any]) -> str:
    """The model card."""
    name, layers, heads, width = (facts[part] for part in ("name", "layers", "heads", "width"))
    return f"""---
license: mit
tags: [interpretability, ground-truth]
configs:
  - config_name: pairs
    data_files: pairs.jsonl
---
# {name}

{facts["what"]} A GPT-2 of {layers} layers, {heads} heads each and width {width}, made from a definition, so that every
part is known. Of its {facts["edges"]} edges {facts["true_edges"]} are true: patching one from a counterfactual prompt
changes what is written.

- `model/`: the checkpoint; `AutoModelForCausalLM.from_pretrained("{name}/model")` loads it.
- `truth.json`: nodes, edges and edges by position that are true, and the meaning of every direction and head.
- `pairs.jsonl`: prompts with a counterfactual each, as text and as token ids, and what the model writes on both.
"""


def _suite_card(facts: Sequence[Mapping[str, Any]]) -> str:
    """The card of the whole folder, as a hub of data sets shows it: each model's pairs are a configuration."""
    configs = "".join(
        f"  - config_name: {fact['name']}\n    data_files: {fact['name']}/pairs.jsonl\n" for fact in facts
    )
    rows = "".join(
        f"| {fact['name']} | {fact['what']} | {fact['layers']} | {fact['true_edges']} of {fact['edges']} |\n"
        for fact in facts
    )
    return f"""---
license: mit
tags: [interpretability, ground-truth]
configs:
{configs}---
# Transformers whose explanation is known

GPT-2s that were compiled or constructed, so that every head, hidden unit and direction has a known purpose. Each folder
has a checkpoint (`model/`), prompts with counterfactuals (`pairs.jsonl`), the truth about nodes, edges, positions and
directions (`truth.json`) and a card. An edge is true if patching it from a counterfactual prompt changes what is
written on some pair.

| folder | what | layers | true edges |
|---|---|---|---|
{rows}"""


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()


def _format(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"
