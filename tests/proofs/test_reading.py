"""Circuits read from weights alone: what heads find, errors in it, and positions that are read twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serialformer.architecture import DtypeName
from serialformer.circuits.builder import CircuitBuilder
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.placement import Placement
from serialformer.constructions.program import Program, schedule_to_program
from serialformer.constructions.schedule import schedule_chain
from serialformer.models.lower import certify_program
from serialformer.proofs.canonical import canonical_functions
from serialformer.proofs.codes import find_grid_of_codes, round_to_codes
from serialformer.proofs.prove import certify_chain
from serialformer.proofs.reading import Context, group_equal_rows, list_sources
from serialformer.proofs.rounding import covered_rounding
from serialformer.transformer.transformer import Transformer
from tests.proofs.alterations import alter_weight
from tests.proofs.test_certificate import noisy
from tests.proofs.test_constructions import lower, lower_paper

FORMATS: tuple[DtypeName, DtypeName] = ("bfloat16", "float32")


def circuit() -> tuple[Transformer, Placement, Program]:
    """y = (a and b) xor b. Inputs stand at positions 0 and 1, ``=`` at 2 and the chain at 3 and 4."""
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    build.output("y", build.xor(build.and_(a, b), b))
    made = build.circuit()
    program = schedule_to_program(made, schedule_chain(made))
    return *lower(program_to_construction(program)), program


def reason_of(transformer: Transformer, program: Program) -> tuple[int, str]:
    failure = certify_program(transformer, program).failure
    return (-1, "") if failure is None else (failure.position, failure.reason)


def test_what_heads_find() -> None:
    transformer, placement, program = circuit()
    name, read = placement.spans["name"], placement.spans["read[0]"]
    names = transformer.position_embedding[:, name].copy()
    assert reason_of(transformer, program) == (-1, "")

    def with_row(position: int, span: slice, row: np.ndarray) -> tuple[int, str]:
        wrong = alter_weight(transformer, "position_embedding", lambda rows: rows[position].__setitem__(span, row))
        return reason_of(wrong, program)

    position, reason = with_row(3, read, names[4])
    assert position == 3 and "looks for position 4, which comes later" in reason
    position, reason = with_row(1, name, names[0])
    assert position == 2 and "finds the same key at positions 0 and 1" in reason
    position, reason = with_row(3, read, names[0])
    assert position == 3 and "the circuit says" in reason
    position, reason = with_row(4, read, -names[0])
    assert position == 4 and "looks for a key that no position has" in reason
    position, reason = with_row(1, name, 1.5 * names[1])
    assert position == 2 and ("by a score gap of" in reason or "keys that are no codes" in reason)


def test_queries_do_not_depend_on_the_token() -> None:
    transformer, placement, program = circuit()
    token, read = placement.spans["token"], placement.spans["read[0]"]
    codes = placement.codes["token"]
    tells = token.start + int(np.flatnonzero(codes[0] != codes[1])[0])
    into = transformer.layers[0].attention_in_weight
    columns = np.flatnonzero(into[read, : placement.width].any(axis=0))[:1]
    wrong = alter_weight(
        transformer,
        "layers.0.attention_in_weight",
        lambda weight: weight.__setitem__((tells, columns), 500),
    )
    assert "looks for another position when the token changes" in reason_of(wrong, program)[1]


def test_keys_do_not_depend_on_the_token() -> None:
    transformer, placement, program = circuit()
    codes = placement.codes["token"]
    tells = placement.spans["token"].start + int(np.flatnonzero(codes[0] != codes[1])[0])
    wrong = alter_weight(
        transformer,
        "layers.0.attention_in_weight",
        lambda weight: weight[tells, placement.width : placement.width + 3].__iadd__(0.75),
    )
    position, reason = reason_of(wrong, program)
    assert position >= 2 and ("score gap" in reason or "no position has" in reason or "no codes" in reason)


def test_another_circuit_is_refused_with_its_position() -> None:
    """Changes each entry of each table and each position read, one at a time."""
    transformer, _, program = circuit()
    for token in range(len(program.arity)):
        for entry in range(1 << int(program.arity[token])):
            table = program.table.copy()
            table[token] ^= np.uint64(1 << entry)
            position, reason = reason_of(transformer, replace(program, table=table))
            assert position == 2 + token and "the weights write" in reason and "the circuit says" in reason
        for place in range(int(program.arity[token])):
            reads = program.reads.copy()
            reads[token, place] = 0 if reads[token, place] else 1
            position, reason = reason_of(transformer, replace(program, reads=reads))
            assert position == 2 + token and "the circuit says" in reason


def test_the_end_is_written_at_the_end_and_nowhere_else() -> None:
    transformer, _, program = circuit()
    shorter = replace(program, reads=program.reads[:1], arity=program.arity[:1], table=program.table[:1])
    position, reason = reason_of(transformer, shorter)
    assert position == 3 and "some bits make it write" in reason


def test_positions_read_twice_count_once() -> None:
    states = np.array([[0, 1], [0, 1], [2, 2], [0, 1], [0, 1]], dtype=np.uint8)
    context = Context(states=states, num_inputs=2, zero=0, one=1, end=2)
    targets = np.array([[0, 0], [1, 2], [3, 1]], dtype=np.int32)
    variables, count, rank = list_sources(context, targets, 2)
    assert count.tolist() == [1, 2, 3]
    assert [row[:number].tolist() for row, number in zip(variables, count, strict=True)] == [[0], [1, 3], [1, 3, 4]]
    assert rank.tolist() == [[-1, 0, 0], [1, 0, -1], [2, 1, 0]]
    _, count, rank = list_sources(context, np.array([[4, 4]], dtype=np.int32), 4)
    assert count.tolist() == [1] and rank.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_functions_have_the_same_form_if_and_only_if_they_are_equal(seed: int) -> None:
    """Checked on every assignment, including tables that read a position twice or ignore one."""
    random = np.random.default_rng(seed)
    reads, arity = random.integers(0, 4, (40, 3)), random.integers(0, 4, 40)
    table = np.array([random.integers(0, 1 << (1 << int(number))) for number in arity], dtype=np.uint64)
    sources, fan_in, canonical = canonical_functions(reads, arity, table)
    bits = np.array(list(np.ndindex(2, 2, 2, 2)))

    def values(places: np.ndarray, function: int) -> tuple[int, ...]:
        entries = (bits[:, places] << np.arange(len(places))).sum(axis=1)
        return tuple((function >> int(entry)) & 1 for entry in entries)

    forms: dict[tuple[int, ...], tuple[tuple[int, ...], int]] = {}
    for row in range(40):
        own = sources[row, : fan_in[row]]
        meant = values(reads[row, : arity[row]], int(table[row]))
        assert values(own, int(canonical[row])) == meant
        assert list(own) == sorted(set(own.tolist()))
        form = tuple(own.tolist()), int(canonical[row])
        assert forms.setdefault(meant, form) == form


def test_rows_are_grouped_if_equal_to_the_bit() -> None:
    rows = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 3.0], [0.0, 1.0, 2.0], [-0.0, 1.0, 2.0], [5.0, 1.0, 2.0]])
    leaders, group = group_equal_rows((rows,))
    assert leaders.tolist() == [0, 1, 3, 4] and group.tolist() == [0, 1, 0, 2, 3]
    leaders, group = group_equal_rows((rows[:, :1], np.array([1, 2, 3, 1, 1])))
    assert len(leaders) == 5 and group.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(4))
def test_distances_from_codes(seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.choice([-2.0, 2.0], (30, 6))
    grid = find_grid_of_codes(points)
    assert grid is not None
    off = random.standard_normal((30, 2, 6)) * 0.1
    errors = np.abs(random.standard_normal((30, 2, 6))) * 0.1
    codes = round_to_codes(points[:, None] + off, errors, np.ones((30, 2)), grid)
    assert codes.agrees.all()
    assert np.allclose(codes.distance[:, 0], np.linalg.norm(off, axis=2).max(axis=1))
    assert np.allclose(codes.distance[:, 1], np.linalg.norm(np.abs(off) + errors, axis=2).max(axis=1))
    assert np.allclose(codes.square, np.square(points).sum(axis=1))
    assert len(np.unique(codes.number)) == len(np.unique(points, axis=0))
    flipped = points[:, None] * np.array([1.0, -1.0])[:, None]
    other = round_to_codes(flipped, 0 * errors, np.ones((30, 2)), grid)
    assert not other.agrees.any() and np.isinf(other.distance).all()
    far = round_to_codes(9 * points[:, None].repeat(2, axis=1), 0 * errors, np.ones((30, 2)), grid)
    assert np.isinf(far.distance).all()


def test_what_other_positions_bring_is_counted() -> None:
    """If heads lead only just enough, all other positions together get up to 2^-10 of the attention."""
    transformer, placement, program = circuit()
    strong = certify_program(transformer, program)
    needed = float(np.log(5 * 2.0**10))

    def weaken(weight: np.ndarray) -> None:
        weight[..., : placement.width] *= np.float32(1.4 * needed / strong.attention.exact)

    weak = alter_weight(
        alter_weight(transformer, "layers.0.attention_in_weight", weaken), "layers.0.attention_in_bias", weaken
    )
    certificate = certify_program(weak, program)
    assert certificate.holds and certificate.logits.exact == pytest.approx(strong.logits.exact)
    assert certificate.logits.rounded < strong.logits.rounded - 1e-4


def test_a_value_from_a_bias_alone_counts() -> None:
    """A constant value can still change the token that is written."""
    transformer, placement, program = circuit()
    layer, width = transformer.layers[0], placement.width
    idle = np.flatnonzero(~layer.attention_in_weight[:, 2 * width :].any(axis=0))[0]
    one = placement.codes["token"][1].astype(np.float32)
    loud = alter_weight(transformer, "layers.0.attention_in_bias", lambda bias: bias.__setitem__(2 * width + idle, 50))
    assert reason_of(loud, program) == (-1, "")
    span = placement.spans["token"]
    wrong = alter_weight(
        loud, "layers.0.attention_out_weight", lambda out: out[idle, span].__setitem__(slice(None), one)
    )
    assert reason_of(wrong, program)[0] == 2


@pytest.mark.parametrize(
    ("name", "place"),
    [("layers.0.attention_in_weight", (0, -1)), ("layers.0.mlp_in_weight", (0, -1))],
)
def test_parts_without_effect_must_not_overflow(name: str, place: tuple[int, ...]) -> None:
    transformer, _, program = circuit()
    assert dict(transformer.named_weights())[name][place] == 0
    loud = alter_weight(transformer, name, lambda weight: weight.__setitem__(place, 3.4e38))
    assert "parts without effect reach" in reason_of(loud, program)[1]


def test_a_lead_smaller_than_rounding_is_refused() -> None:
    """With noise on every weight, the logits lead in float32 by more than rounding can take, but not in bfloat16."""
    transformer, _, program = circuit()
    narrow, wide = (
        certify_chain(
            noisy(transformer, 1e-3),
            num_inputs=2,
            reads=program.reads,
            arity=program.arity,
            table=program.table,
            rounding=covered_rounding(dtype),
        )
        for dtype in FORMATS
    )
    assert wide.holds and narrow.failure is not None
    assert "no logit leads by more than rounding can take" in narrow.failure.reason


def test_what_heads_find_in_the_papers_arithmetic() -> None:
    program = circuit()[2]
    transformer, placement = lower_paper(program_to_construction(program))
    name, read = placement.spans["name"], placement.spans["read[0]"]
    names = transformer.position_embedding[:, name].copy()
    assert reason_of(transformer, program) == (-1, "")
    for position, span, row, where, reason in (
        (3, read, names[4], 3, "looks for position 4, which comes later"),
        (2, name, names[0], 2, "finds the same key at positions 0 and 2"),
        (3, read, names[0], 3, "the circuit says"),
        (4, read, -names[0], 4, "looks for a key that no position has"),
        (3, read, 0.5 * names[1], 3, "looks for what is no interleaved code"),
        (1, name, 0.5 * names[1], 1, "sees a key that is no interleaved code"),
    ):
        wrong = alter_weight(
            transformer,
            "position_embedding",
            lambda rows, position=position, span=span, row=row: rows[position].__setitem__(span, row),
        )
        found, text = reason_of(wrong, program)
        assert found == where and reason in text, (found, text, reason)
    shorter = replace(program, reads=program.reads[:1], arity=program.arity[:1], table=program.table[:1])
    assert "some bits make it write" in reason_of(transformer, shorter)[1]
    silent = alter_weight(transformer, "layers.0.mlp_out_weight", lambda weight: weight.fill(0))
    assert reason_of(silent, program)[0] == 2
    strange = alter_weight(transformer, "layers.0.mlp_in_bias", lambda bias: bias.__setitem__(0, 0.25))
    assert "holds what is no number of F_1" in reason_of(strange, program)[1]
