"""The names of directions, heads and hidden units that each construction lays out: one small function for each."""

from __future__ import annotations

from itertools import product

from serialformer.architecture import Architecture
from serialformer.compile.blueprint import Blueprint
from serialformer.compile.evaluator_layout import EvaluatorLayout
from serialformer.compile.evaluator_units import answer_units
from serialformer.compile.paper import PaperResidual
from serialformer.compile.residual import Residual
from serialformer.transformer.names import UNUSED, Names, UnitRange, named_units

MAX_NAMED_UNITS = 4096
"""Where a construction has more hidden units than this, the units of one table share one name."""


def circuit_names(residual: Residual | PaperResidual, architecture: Architecture) -> Names:
    """The names of a compiled circuit: a head for each fetched bit, two units for each entry of the truth table.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> from serialformer.compile.compile import compile_circuit
    >>> build = CircuitBuilder()
    >>> build.output("y", build.not_(build.input("x")))
    >>> compiled = compile_circuit(build.circuit())
    >>> names = circuit_names(compiled.residual, compiled.transformer.architecture)
    >>> names.heads, [unit.name for unit in names.units[0][:2]]
    ((('fetched[0]',),), ['fetched 0 and the table says 0', 'fetched 0 and the table says 1'])
    """
    heads = range(residual.num_heads)
    units = ["takes token 1 away", "takes token 0 away", "takes = away"] if isinstance(residual, PaperResidual) else []
    for combination, value in product(range(residual.table_size), (0, 1)):
        read = ", ".join(str(combination >> head & 1) for head in heads)
        units.append(f"fetched {read} and the table says {value}")
    return Names(
        directions=tuple(residual.directions()),
        heads=(tuple(f"fetched[{head}]" for head in heads),),
        units=(named_units(units, architecture.hidden_width),),
    )


def blueprint_names(blueprint: Blueprint, architecture: Architecture) -> Names:
    """The names of a task's construction: heads by the fields that they bring, units by what they watch for and write.

    >>> from serialformer.compile.construct import construct_task
    >>> from serialformer.tasks.modular_addition import Parity
    >>> made = construct_task(Parity(), 4)
    >>> names = blueprint_names(made.blueprint, made.transformer.architecture)
    >>> names.heads, names.units[0][0].name
    ((('symbol[0]',),), 'mode is 0 and digit[0] is 0 and symbol[0] is 0: writes digit[0] 0, equals 0')
    """
    heads = []
    for head in blueprint.heads:
        brought = ", ".join(target for _, target in head.brings)
        heads += [brought] if head.copies == 1 else [f"{brought} (part {part})" for part in range(head.copies)]
    if blueprint.num_units > MAX_NAMED_UNITS:
        tables = [
            UnitRange(
                name=f"table {number}: reads {', '.join(table.reads)}; writes {', '.join(table.writes)}",
                count=len(table.values),
            )
            for number, table in enumerate(blueprint.units)
        ]
        rest = architecture.hidden_width - blueprint.num_units
        units = (*tables, *((UnitRange(name=UNUSED, count=rest),) if rest else ()))
    else:
        units = named_units(_name_entries(blueprint), architecture.hidden_width)
    return Names(directions=tuple(blueprint.stream.directions()), heads=(tuple(heads),), units=(units,))


def evaluator_names(layout: EvaluatorLayout, architecture: Architecture) -> Names:
    """The names of the evaluator's three layers.

    >>> from serialformer.compile.evaluator import construct_evaluator
    >>> evaluator = construct_evaluator(4)
    >>> evaluator_names(evaluator.layout, evaluator.transformer.architecture).heads
    (('gate, in_chain', 'previous'), ('fetched_kind, fetched_number', 'unused'), ('value', 'unused'))
    """
    subtractions = tuple(UnitRange(name=f"gate modulo {modulus}", count=modulus**2) for modulus in layout.moduli)
    answers = (UnitRange(name="kind of the next token", count=len(list(answer_units(layout)))),)
    units = []
    for used in (subtractions, (), answers):
        rest = architecture.hidden_width - sum(part.count for part in used)
        units.append((*used, *((UnitRange(name=UNUSED, count=rest),) if rest else ())))
    return Names(
        directions=tuple(layout.directions()),
        heads=(("gate, in_chain", "previous"), ("fetched_kind, fetched_number", UNUSED), ("value", UNUSED)),
        units=tuple(units),
    )


def _name_entries(blueprint: Blueprint) -> list[str]:
    """What each hidden unit watches for and writes, as values of fields."""
    names = []
    for table in blueprint.units:
        for watched, written in zip(table.values.tolist(), table.written.tolist(), strict=True):
            reads = [
                f"{name} is {first}" if first == second else f"{name} is {first} or {second}"
                for name, (first, second) in zip(table.reads, watched, strict=True)
            ]
            writes = [f"{name} {value}" for name, value in zip(table.writes, written, strict=True)]
            names.append(f"{' and '.join(reads)}: writes {', '.join(writes)}")
    return names
