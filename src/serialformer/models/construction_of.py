"""The construction of a model: what its weights were made from, worked out anew from its protocol."""

from __future__ import annotations

from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.circuit_depth import circuit_depth_construction
from serialformer.constructions.construction import Construction
from serialformer.constructions.counting import SUFFIX
from serialformer.constructions.evaluator import evaluator_construction
from serialformer.constructions.packed_chain import packed_chain_construction
from serialformer.constructions.placed_depth import place_without_chain
from serialformer.constructions.placed_tasks import place_task
from serialformer.constructions.program import schedule_to_program
from serialformer.constructions.task_depth import task_depth_construction
from serialformer.constructions.tasks import task_construction
from serialformer.errors import InputError
from serialformer.models.circuit_prompt import CircuitPrompt
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.model import Model
from serialformer.models.provenance import ConstructedProvenance
from serialformer.targets.llama_layout import addressing_of


def construction_of(model: Model) -> Construction:
    """What a compiled or constructed model was made from.

    Raises:
        InputError: the model was trained, say, so that no construction says what its parts are for.
    """
    protocol = model.protocol
    if isinstance(protocol, CircuitWords):
        if protocol.chain == "none":
            depth = circuit_depth_construction(protocol.circuit, model.transformer.architecture.num_layers)
            return depth if protocol.placed is None else place_without_chain(depth)[0]
        if protocol.packed is not None:
            return packed_chain_construction(protocol.circuit, protocol.packed)
        by_distance = protocol.placed is not None and addressing_of(model.transformer.architecture) != "names"
        program = schedule_to_program(protocol.circuit, protocol.schedule)
        return program_to_construction(program, by_distance=by_distance)
    if not isinstance(model.provenance, ConstructedProvenance):
        raise InputError(
            f"was not constructed (provenance: {model.provenance.kind}): no construction says what its weights should"
            " be",
            where=None if model.directory is None else str(model.directory),
            hint="evaluate scores it on samples",
        )
    if isinstance(protocol, CircuitPrompt) and protocol.setting == "cot":
        return evaluator_construction(protocol.num_gates)
    items = model.items
    if items.setting == "base":
        if model.provenance.construction.endswith(SUFFIX):
            return task_depth_construction(items.task, items.length, method="counting")
        num_layers, is_placed = model.transformer.architecture.num_layers, items.placed is not None
        depth = task_depth_construction(items.task, items.length, num_layers, ends=is_placed)
        return place_without_chain(depth)[0] if is_placed else depth
    construction = task_construction(items.task, items.length)
    return construction if items.placed is None else place_task(construction)[0]
