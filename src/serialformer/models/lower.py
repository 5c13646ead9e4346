"""Lowering: a circuit or a task becomes a construction, weights, and a proof. This page is their order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from serialformer.architecture import Activation, Architecture, DtypeName, Shape
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.passes import split_gates
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.circuit_depth import circuit_depth_construction, circuit_levels
from serialformer.constructions.claim import ColumnsClaim
from serialformer.constructions.construction import Construction
from serialformer.constructions.evaluator import evaluator_construction
from serialformer.constructions.packed_chain import packed_chain_construction
from serialformer.constructions.packed_schedule import PackedSchedule, plain_schedule, schedule_packed
from serialformer.constructions.placed_depth import place_without_chain
from serialformer.constructions.placed_tasks import place_task
from serialformer.constructions.placed_tokens import PlacedTokens, place_bits
from serialformer.constructions.placement import Placement
from serialformer.constructions.program import Program, schedule_to_program
from serialformer.constructions.schedule import Schedule, schedule_chain
from serialformer.constructions.task_depth import Method, task_depth_construction
from serialformer.constructions.tasks import task_construction
from serialformer.errors import CompileError
from serialformer.proofs.certificate import Certificate
from serialformer.targets.counting import (
    CountingLayout,
    counting_to_gpt2,
    counting_to_placement,
    lay_out_counting,
)
from serialformer.targets.gpt2 import construction_to_gpt2, layout_to_placement
from serialformer.targets.layout import Layout, lay_out
from serialformer.targets.llama import construction_to_llama, llama_to_placement
from serialformer.targets.llama_layout import LlamaLayout, lay_out_llama
from serialformer.targets.naming import layout_to_names
from serialformer.targets.paper import construction_to_paper, lay_out_paper
from serialformer.targets.paper_depth import construction_to_paper_depth, lay_out_paper_depth
from serialformer.targets.paper_layout import PaperLayout, paper_to_placement
from serialformer.tasks.task import Task
from serialformer.transformer.names import Names
from serialformer.transformer.rotation import Rotation
from serialformer.transformer.transformer import Transformer

Target = Literal["gpt2", "llama", "paper"]

OPTIONS_OF = {
    "gpt2": {"dtype", "activation", "attention_gap", "head_width", "spare_positions"},
    "llama": {
        "dtype",
        "attention_gap",
        "head_width",
        "hidden",
        "key_heads",
        "layers",
        "spare_positions",
        "addressing",
        "head_biases",
        "tied",
    },
    "paper": {"precision"},
}
"""Which options each target takes."""

GATES_WHEN_MADE = 1 << 8
"""When an evaluator is made, all circuits of at most this many gates are checked, which takes a second or two."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lowered:
    """A transformer and how it came about: a value can be followed from its field to dimensions, heads and units."""

    construction: Construction
    layout: Layout | CountingLayout | LlamaLayout | PaperLayout
    transformer: Transformer
    certificate: Certificate

    @property
    def num_hidden_units(self) -> int:
        """Hidden units that the construction uses, over all layers; where units are pairs, each counts once."""
        if isinstance(self.layout, CountingLayout):
            return self.layout.num_hidden_units
        return self.construction.num_units

    @property
    def names(self) -> Names:
        """The names of directions, heads and hidden units."""
        return layout_to_names(self.layout, self.transformer.architecture)


@dataclass(frozen=True, kw_only=True, eq=False)
class LoweredCircuit(Lowered):
    """The same of a circuit: a wire can be followed from gate to token to direction.

    ``circuit`` is what the chain computes gate by gate: the circuit given, its wide gates split if the target asks.
    ``placed`` are the tokens, if each says where it stands.
    """

    circuit: Circuit
    schedule: Schedule
    program: Program
    placed: PlacedTokens | None = None


def lower_circuit(
    circuit: Circuit,
    *,
    target: Target = "gpt2",
    dtype: DtypeName | None = None,
    activation: Activation | None = None,
    attention_gap: float | None = None,
    precision: int | None = None,
    shape: Shape | None = None,
) -> LoweredCircuit:
    """A circuit as a transformer that evaluates it gate by gate, with the proof that it does.

    Args:
        circuit: what to compute.
        target: ``gpt2`` is a stock GPT-2, ``llama`` a stock Llama; ``paper`` the transformer of arXiv 2402.12875, every
            operation rounded.
        dtype: not paper: number format of the weights, default float32; the result holds for runtimes that compute in
            it or in a wider one.
        activation: gpt2 only: ``gelu_new``, the default, is what stock GPT-2 has; ``relu`` takes the same weights.
        attention_gap: not paper: the least score difference to aim at; default: 40, more for very long chains.
        precision: paper only: s of its arithmetic F_s, default 1.
        shape: not paper: what is chosen of the transformer's shape.

    Raises:
        CompileError: it would not hold at this number format and gap, or has too many positions; or an option is
            another target's.
    """
    shape = shape or Shape()
    given = {"dtype": dtype, "activation": activation, "attention_gap": attention_gap, "precision": precision}
    check_options(target, {name for name, value in given.items() if value is not None} | set(shape.chosen))
    circuit = split_gates(circuit) if target == "paper" else circuit
    schedule = schedule_chain(circuit)
    program = schedule_to_program(circuit, schedule)
    construction = program_to_construction(program, by_distance=shape.addressing in ("distances", "window"))
    layout: Layout | LlamaLayout | PaperLayout
    placed = None
    if target == "paper":
        transformer, layout = construction_to_paper(construction, precision=1 if precision is None else precision)
        placement = paper_to_placement(layout)
    elif target == "llama":
        placed = place_bits(program.num_inputs, program.num_chain_tokens)
        transformer, layout = construction_to_llama(
            construction, placed, dtype=dtype or "float32", shape=shape, attention_gap=attention_gap
        )
        placement = llama_to_placement(layout)
    else:
        transformer, layout = construction_to_gpt2(
            construction,
            dtype=dtype or "float32",
            activation=activation or "gelu_new",
            attention_gap=attention_gap,
            shape=shape,
        )
        placement = layout_to_placement(layout)
    return LoweredCircuit(
        construction=construction,
        layout=layout,
        transformer=transformer,
        certificate=_demand(certify_weights(transformer, placement)),
        circuit=circuit,
        schedule=schedule,
        program=program,
        placed=placed,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class LoweredPacked(Lowered):
    """The same of a circuit whose chain tokens carry several bits.

    ``circuit`` is what the chain computes: the circuit given, its wide gates split. ``packed`` says which bits share a
    token, and ``schedule`` tells the chain bit by bit.
    """

    circuit: Circuit
    packed: PackedSchedule
    schedule: Schedule


def lower_packed(
    circuit: Circuit,
    gates_per_token: int,
    num_layers: int | None = None,
    *,
    dtype: DtypeName | None = None,
    activation: Activation | None = None,
    attention_gap: float | None = None,
) -> LoweredPacked:
    """A circuit as a GPT-2 that writes several gates with each token, with the proof that it does.

    Args:
        circuit: what to compute.
        gates_per_token: bits of a token.
        num_layers: by default 1, so that gates of one token are independent; with more, they may depend on one another
            through that many levels.
        dtype: as in ``lower_circuit``, like the options that follow.
        activation: of the hidden units.
        attention_gap: the least score difference to aim at.

    Raises:
        CompileError: it would be too large, or would not hold at this number format and gap.
    """
    circuit = split_gates(circuit)
    packed = schedule_packed(circuit, gates_per_token, num_layers or 1)
    lowered = _lower(
        packed_chain_construction(circuit, packed), dtype or "float32", activation or "gelu_new", attention_gap
    )
    return LoweredPacked(
        construction=lowered.construction,
        layout=lowered.layout,
        transformer=lowered.transformer,
        certificate=lowered.certificate,
        circuit=circuit,
        packed=packed,
        schedule=plain_schedule(circuit, packed),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class LoweredColumns(Lowered):
    """The same of a circuit without a chain.

    ``circuit`` is what the columns compute: the circuit given, its wide gates split if the target asks.
    ``placed`` are the tokens, if each says where it stands.
    """

    circuit: Circuit
    placed: PlacedTokens | None = None


def lower_columns(
    circuit: Circuit,
    *,
    num_layers: int | None = None,
    partial: bool = False,
    target: Target = "gpt2",
    dtype: DtypeName | None = None,
    activation: Activation | None = None,
    attention_gap: float | None = None,
    precision: int | None = None,
    shape: Shape | None = None,
) -> LoweredColumns:
    """A circuit as a transformer that answers at once, without a chain, with the proof that it does.

    Args:
        circuit: what to compute.
        num_layers: by default as many as the deepest output needs.
        partial: whether fewer layers are accepted; then the certificate is about the outputs that are not too deep.
        target: as in ``lower_circuit``, like the options that follow.
        dtype: not paper.
        activation: gpt2 only.
        attention_gap: not paper.
        precision: paper only.
        shape: llama only; all but the number of layers and the way of addressing.

    Raises:
        CompileError: there are too few layers, it would be too large, or it would not hold at this number format and
            gap; or an option is the other target's.
    """
    shape = shape or Shape()
    if target != "llama" and shape.chosen:
        raise CompileError(
            "a GPT-2 or the paper's transformer without a chain has the shape that follows from its circuit",
            hint="--target llama has a shape without a chain, too",
        )
    check_depth_shape(shape)
    given = {"dtype": dtype, "activation": activation, "attention_gap": attention_gap, "precision": precision}
    check_options(target, {name for name, value in given.items() if value is not None} | set(shape.chosen))
    circuit = split_gates(circuit) if target == "paper" else circuit
    needed = circuit_levels(circuit).depth + 1
    if num_layers is not None and num_layers < needed and not partial:
        raise CompileError(
            f"expected at least {needed} layers, one more than the depth of the outputs, found {num_layers}",
            hint="with --partial (partial=True) the shallower outputs are right, and the certificate says which",
        )
    construction = circuit_depth_construction(circuit, num_layers)
    layout: Layout | CountingLayout | LlamaLayout | PaperLayout
    placed = None
    if target == "llama":
        lowered, placed = _lower_depth_to_llama(construction, dtype or "float32", attention_gap, shape)
        transformer, layout, certificate = lowered.transformer, lowered.layout, lowered.certificate
        construction = lowered.construction
    elif target == "paper":
        transformer, layout = construction_to_paper_depth(construction, precision=1 if precision is None else precision)
        certificate = certify_weights(transformer, paper_to_placement(layout))
    else:
        transformer, layout = construction_to_gpt2(
            construction, dtype=dtype or "float32", activation=activation or "gelu_new", attention_gap=attention_gap
        )
        certificate = certify_weights(transformer, layout_to_placement(layout))
    return LoweredColumns(
        construction=construction,
        layout=layout,
        transformer=transformer,
        certificate=_demand(certificate),
        circuit=circuit,
        placed=placed,
    )


def lower_task_to_llama(
    task: Task,
    length: int,
    *,
    dtype: DtypeName = "float32",
    attention_gap: float | None = None,
    shape: Shape | None = None,
) -> tuple[Lowered, PlacedTokens]:
    """The same as ``lower_task`` in a stock Llama, and its tokens, each of which says where it stands.

    Args:
        task: with its parameters; one whose prompts of one length have one layout.
        length: the number of items.
        dtype: number format of the weights; the result holds for runtimes that compute in it or in a wider one.
        attention_gap: the least score difference to aim at; default: 40, more for very long chains.
        shape: what is chosen of the transformer's shape; there is one layer by default.

    Raises:
        CompileError: the task has no construction, or does not fit a Llama, or would not hold at this number format.
        TaskError: the task has no such length.
    """
    shape = shape or Shape()
    if shape.addressing in ("distances", "window"):
        raise CompileError("a task's heads go by names", hint="--address distances and window take circuits")
    construction, placed = place_task(task_construction(task, length))
    transformer, layout = construction_to_llama(
        construction,
        placed,
        dtype=dtype,
        shape=replace(shape, layers=1 if shape.layers is None else shape.layers),
        attention_gap=attention_gap,
    )
    certificate = _demand(certify_weights(transformer, llama_to_placement(layout)))
    lowered = Lowered(construction=construction, layout=layout, transformer=transformer, certificate=certificate)
    return lowered, placed


def lower_task_without_chain_to_llama(
    task: Task,
    length: int,
    num_layers: int | None = None,
    *,
    method: Method = "doubling",
    dtype: DtypeName = "float32",
    attention_gap: float | None = None,
    shape: Shape | None = None,
) -> tuple[Lowered, PlacedTokens]:
    """The same as ``lower_task_without_chain`` in a stock Llama, and its tokens, each of which says where it stands.

    Args:
        task: with its parameters; one whose prompts of one length have one layout, and whose answer is a product.
        length: the number of items.
        num_layers: by default as many as every prompt needs.
        method: as in ``lower_task_without_chain``; only ``doubling`` fits.
        dtype: as in ``lower_task_to_llama``, like the options that follow.
        attention_gap: the least score difference to aim at.
        shape: all but the number of layers and the way of addressing.

    Raises:
        CompileError: the task has no such construction, or does not fit a Llama, or would not hold at this number
            format.
        TaskError: the task has no such length.
    """
    shape = shape or Shape()
    check_depth_shape(shape)
    construction = task_depth_construction(task, length, num_layers, method, ends=True)
    return _lower_depth_to_llama(construction, dtype, attention_gap, shape)


def check_depth_shape(shape: Shape) -> None:
    """Refuses what of a Llama's shape follows from the construction if there is no chain.

    >>> check_depth_shape(Shape(layers=3))
    Traceback (most recent call last):
        ...
    serialformer.errors.CompileError: without a chain the number of layers follows from the depth
    hint: a task takes a depth (--depth), a circuit layers (--layers)
    """
    if shape.layers is not None:
        raise CompileError(
            "without a chain the number of layers follows from the depth",
            hint="a task takes a depth (--depth), a circuit layers (--layers)",
        )
    if shape.addressing in ("distances", "window"):
        raise CompileError(
            "without a chain heads go by names", hint="--address distances and window take circuits with a chain"
        )


def _lower_depth_to_llama(
    construction: Construction, dtype: DtypeName, attention_gap: float | None, shape: Shape
) -> tuple[Lowered, PlacedTokens]:
    """A construction without a chain, in tokens that say where they stand."""
    construction, placed = place_without_chain(construction)
    transformer, layout = construction_to_llama(
        construction,
        placed,
        dtype=dtype,
        shape=replace(shape, layers=len(construction.layers)),
        attention_gap=attention_gap,
    )
    certificate = _demand(certify_weights(transformer, llama_to_placement(layout)))
    lowered = Lowered(construction=construction, layout=layout, transformer=transformer, certificate=certificate)
    return lowered, placed


def lower_task(
    task: Task, length: int, *, dtype: DtypeName = "float32", activation: Activation = "gelu_new",
    attention_gap: float | None = None,
) -> Lowered:  # fmt: skip
    """The transformer that makes a task's chains of thought for prompts of one length, with the proof that it does.

    Args:
        task: with its parameters; one of ``constructions.tasks.CONSTRUCTED``.
        length: the number of items; of squarings, the most.
        dtype: number format of the weights; the result holds for runtimes that compute in it or in a wider one.
        activation: ``gelu_new`` is what stock GPT-2 has; ``relu`` takes the same weights.
        attention_gap: the least score difference to aim at; default: 40, more for very long chains.

    Raises:
        CompileError: the task has no construction, it would be too large, or not hold at this number format.
        TaskError: the task has no such length.
    """
    return _lower(task_construction(task, length), dtype, activation, attention_gap)


def lower_task_without_chain(
    task: Task, length: int, num_layers: int | None = None, *, method: Method = "doubling",
    dtype: DtypeName = "float32", activation: Activation = "gelu_new", attention_gap: float | None = None,
) -> Lowered:  # fmt: skip
    """The transformer that answers a task's prompts of one length at once, with the proof that it does.

    Args:
        task: with its parameters; one of ``constructions.task_depth.CONSTRUCTED_WITHOUT_A_CHAIN``.
        length: the number of items; of gates, the most.
        num_layers: by default as many as every prompt needs; with fewer, the certificate says what is answered.
        method: ``counting`` in one layer, for tasks whose answer depends on a sum; ``doubling`` in several, or what the
            task has instead.
        dtype: as in ``lower_task``, like the options that follow.
        activation: of the hidden units.
        attention_gap: the least score difference to aim at.

    Raises:
        CompileError: the task has no such construction, it would be too large, or not hold at this number format.
        TaskError: the task has no such length.
    """
    return _lower(task_depth_construction(task, length, num_layers, method), dtype, activation, attention_gap)


def lower_evaluator(
    num_gates: int, *, dtype: DtypeName = "float32", activation: Activation = "gelu_new",
    attention_gap: float | None = None,
) -> Lowered:  # fmt: skip
    """The evaluator of circuits of up to ``num_gates`` gates, with the proof; see ``lower_task`` for the options."""
    return _lower(evaluator_construction(num_gates), dtype, activation, attention_gap)


def _lower(
    construction: Construction, dtype: DtypeName, activation: Activation, attention_gap: float | None
) -> Lowered:
    if construction.counts:
        return _lower_counting(construction, dtype, activation)
    transformer, layout = construction_to_gpt2(
        construction, dtype=dtype, activation=activation, attention_gap=attention_gap
    )
    certificate = _demand(certify_weights(transformer, layout_to_placement(layout)))
    return Lowered(construction=construction, layout=layout, transformer=transformer, certificate=certificate)


def _lower_counting(construction: Construction, dtype: DtypeName, activation: Activation) -> Lowered:
    transformer, layout = counting_to_gpt2(construction, dtype=dtype, activation=activation)
    certificate = certify_weights(transformer, counting_to_placement(layout))
    if not certificate.holds:
        raise CompileError(
            f"one layer cannot count so far in {dtype}: {certificate.failure}",
            hint="doubling (--by doubling) takes more layers, and no precision",
        )
    return Lowered(construction=construction, layout=layout, transformer=transformer, certificate=certificate)


def construction_to_placement(
    construction: Construction, architecture: Architecture, placed: PlacedTokens | None = None
) -> Placement:
    """Where a target puts a construction: the witness for a proof about weights that lie somewhere.

    Args:
        construction: what was lowered.
        architecture: of the transformer that it was lowered to.
        placed: its tokens, if each says where it stands.

    Raises:
        CompileError: no target makes a transformer of this shape of it.
    """
    if placed is not None:
        shape = Shape(
            head_width=architecture.head_width,
            hidden=architecture.width,
            key_heads=architecture.num_key_heads,
            layers=architecture.num_layers,
            tied=architecture.tied,
        )
        return llama_to_placement(lay_out_llama(construction, placed, shape))
    if not architecture.is_gpt2:
        if any(isinstance(claim, ColumnsClaim) for claim in construction.claims()):
            return paper_to_placement(lay_out_paper_depth(construction))
        return paper_to_placement(lay_out_paper(construction))
    if construction.counts:
        return counting_to_placement(lay_out_counting(construction))
    layout = lay_out(construction)
    if layout.width != architecture.width:
        layout = lay_out(construction, head_width=architecture.head_width)
    return layout_to_placement(layout)


def certify_weights(
    transformer: Transformer,
    placement: Placement,
    *,
    max_gates: int | None = GATES_WHEN_MADE,
    rotation: Rotation | None = None,
) -> Certificate:
    """The certificate of a model with a construction as its witness; the options are ``certify_construction``'s."""
    from serialformer.proofs.prove import certify_construction

    return certify_construction(transformer, placement, max_gates=max_gates, rotation=rotation)


def certify_program(transformer: Transformer, program: Program) -> Certificate:
    """The certificate of a model of one layer over bits without a witness: what it does is found in its weights."""
    from serialformer.proofs.prove import certify_chain

    return certify_chain(
        transformer, num_inputs=program.num_inputs, reads=program.reads, arity=program.arity, table=program.table
    )


def _demand(certificate: Certificate) -> Certificate:
    """Refuses a model that was not proven."""
    if certificate.holds:
        return certificate
    number_format = certificate.arithmetic.get("storage") or certificate.arithmetic["format"]
    is_float = "storage" in certificate.arithmetic
    raise CompileError(
        f"in {number_format} it would not hold: {certificate.failure}",
        hint="ask for another attention gap or another dtype" if is_float else None,
    )


def check_options(target: str, given: set[str]) -> None:
    """Refuses an unknown target, and options that it does not have.

    >>> check_options("paper", {"dtype"})
    Traceback (most recent call last):
        ...
    serialformer.errors.CompileError: target paper has no dtype
    hint: dtype requires target gpt2 or llama; target paper has precision
    """
    targets = get_args(Target)
    if target not in targets:
        raise CompileError(f"no target {target!r}", hint=f"one of {', '.join(targets)}")
    foreign = sorted(given - OPTIONS_OF[target])
    if foreign:
        others = [
            f"{name} requires target {' or '.join(other for other in targets if name in OPTIONS_OF[other])}"
            for name in foreign
        ]
        has = ", ".join(sorted(OPTIONS_OF[target]))
        raise CompileError(
            f"target {target} has no {' and no '.join(foreign)}", hint=f"{'; '.join(others)}; target {target} has {has}"
        )
