"""Which damage is done, at which levels and how often, and the experiment that counts what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from damage import (
    add_noise,
    cast,
    drop_coordinates,
    flip_bits,
    merge_levels,
    num_ways_to_drop,
    round_to_integers,
    scale_answers,
    scale_queries,
)
from judgement import Contradiction, is_certified, is_right, is_right_in_transformers

from cases import LARGE, NUM_RANDOM_CIRCUITS, SMALL, Case, find_case
from serialformer.architecture import DtypeName
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.program import schedule_to_program
from serialformer.models.lower import certify_weights, construction_to_placement
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.row import Row
from serialformer.targets.gpt2 import construction_to_gpt2
from serialformer.transformer.transformer import Transformer

Level = float | int | str

NUM_SEEDS = 20

DTYPES: tuple[DtypeName, ...] = ("float32", "bfloat16")
ALL, POSITIONS = "all", "position_embedding"


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """One way to damage checkpoints.

    Attributes:
        name: as in the tables.
        levels: least damage first.
        damage: makes the checkpoint from a case, the weights to be hit, a level and the checkpoint's number.
        weights: which weights are hit, one after the other.
        count: how many checkpoints there are to each case of this kind and level.
        is_random: whether numbers are seeds.
        skip_on_large: on the large circuit only every such level is looked at.
    """

    name: str
    levels: tuple[Level, ...]
    damage: Callable[[Case, str, Level, int], Transformer]
    weights: tuple[str, ...] = (ALL, POSITIONS)
    count: Callable[[str, Level], int]
    is_random: bool = False
    skip_on_large: int = 1

    def levels_of(self, circuit: str) -> tuple[Level, ...]:
        return self.levels[:: self.skip_on_large] if circuit == LARGE else self.levels


def seeds(circuit: str, level: Level) -> int:
    return NUM_SEEDS


def one_per_circuit(circuit: str, level: Level) -> int:
    return NUM_RANDOM_CIRCUITS if circuit == "random" else 1


def choices_of_coordinates(circuit: str, level: Level) -> int:
    return num_ways_to_drop(find_case(circuit, 0, "float32").layout.codings["name"].length, int(level))


def _noise(case: Case, weights: str, level: Level, number: int) -> Transformer:
    return add_noise(case.model.transformer, weights, float(level), np.random.default_rng(number))


def _flips(case: Case, weights: str, level: Level, number: int) -> Transformer:
    return flip_bits(case.model.transformer, int(level), np.random.default_rng(number))


def _integers(per_channel: bool, power_of_two: bool) -> Callable[[Case, str, Level, int], Transformer]:
    def damage(case: Case, weights: str, level: Level, number: int) -> Transformer:
        return round_to_integers(
            case.model.transformer, weights, int(level), per_channel=per_channel, power_of_two=power_of_two
        )

    return damage


def _cast(case: Case, weights: str, level: Level, number: int) -> Transformer:
    return cast(case.model.transformer, weights, str(level))


def _drop(case: Case, weights: str, level: Level, number: int) -> Transformer:
    return drop_coordinates(case.model.transformer, case.layout, int(level), number)


def _merge(case: Case, weights: str, level: Level, number: int) -> Transformer:
    return merge_levels(case.model.transformer, case.layout, int(level))


def _gap(case: Case, weights: str, level: Level, number: int) -> Transformer:
    assert case.model.certificate is not None
    return scale_queries(case.model.transformer, float(level) / case.model.certificate.attention.exact)


def _asked_gap(case: Case, weights: str, level: Level, number: int) -> Transformer:
    architecture = case.model.transformer.architecture
    program = schedule_to_program(case.model.circuit, case.model.schedule)
    built, _ = construction_to_gpt2(
        program_to_construction(program),
        dtype=architecture.dtype,
        activation=architecture.activation,
        attention_gap=float(level),
    )
    return built


def _answers(case: Case, weights: str, level: Level, number: int) -> Transformer:
    return scale_answers(case.model.transformer, float(level))


GAPS = (64, 48, 40, 32, 24, 20, 16, 14, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
BITS = (8, 7, 6, 5, 4, 3, 2)
FORMATS = (
    *("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e3m4"),
    *("float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"),
)
FACTORS = (1.0, 0.75, 0.5, 0.45, 0.4, 0.35, 0.325, 0.3, 0.275, 0.2625, 0.25, 0.225, 0.2, 0.175, 0.15, 0.125)

ABLATIONS = (
    Ablation(
        name="noise",
        levels=tuple(2.0**exponent for exponent in range(-17, 0)),
        damage=_noise, count=seeds, is_random=True, skip_on_large=4,
    ),
    Ablation(
        name="bit_flips",
        levels=tuple(2**exponent for exponent in range(12)),
        damage=_flips, weights=(ALL,), count=seeds, is_random=True, skip_on_large=3,
    ),
    Ablation(name="integers_per_tensor", levels=BITS, damage=_integers(False, False), count=one_per_circuit),
    Ablation(name="integers_per_channel", levels=BITS, damage=_integers(True, False), count=one_per_circuit),
    Ablation(
        name="integers_per_channel_power_of_two", levels=BITS, damage=_integers(True, True), count=one_per_circuit
    ),
    Ablation(name="casts", levels=FORMATS, damage=_cast, count=one_per_circuit),
    Ablation(
        name="dropped_coordinates", levels=(0, 1, 2, 3), damage=_drop, weights=("names",), count=choices_of_coordinates
    ),
    Ablation(name="levels_of_names", levels=(4, 3, 2), damage=_merge, weights=("names",), count=one_per_circuit),
    Ablation(name="attention_gap", levels=GAPS, damage=_gap, weights=("queries",), count=one_per_circuit),
    Ablation(name="attention_gap_asked", levels=GAPS, damage=_asked_gap, weights=("queries",), count=one_per_circuit),
    Ablation(name="answer", levels=FACTORS, damage=_answers, weights=("mlp_output",), count=one_per_circuit),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Damage(Experiment):
    """Damages and judges checkpoints of one circuit, in one way, at one level.

    Attributes:
        ablation: the way.
        weights: which are hit.
        dtype: of the checkpoints.
        circuit: which is compiled.
        level: how much.
        most_checkpoints: no more of them than this.
        in_transformers: how many of them transformers runs as well.
    """

    kind: ClassVar[str] = "damage"

    ablation: str
    weights: str
    dtype: DtypeName
    circuit: str
    level: Level
    most_checkpoints: int = 1 << 20
    in_transformers: int = 2

    @property
    def work(self) -> float:
        return 100.0 if self.circuit == LARGE else 1.0

    @property
    def variables(self) -> dict[str, Level]:
        """What the tables are by."""
        names = ("ablation", "weights", "dtype", "circuit", "level")
        return {name: getattr(self, name) for name in names}

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        """Raises Contradiction if a checkpoint is certified and wrong."""
        return [self.row(surroundings, variables=self.variables, measures=self.count())]

    def count(self) -> dict[str, int]:
        """Checkpoints, and how many of them are certified, right, and right in transformers."""
        (ablation,) = (ablation for ablation in ABLATIONS if ablation.name == self.ablation)
        number_of = min(ablation.count(self.circuit, self.level), self.most_checkpoints)
        certified = right = tried = right_there = 0
        for number in range(number_of):
            case = find_case(self.circuit, number, self.dtype)
            damaged = ablation.damage(case, self.weights, self.level, number)
            holds, is_exact = is_certified(case, damaged), is_right(case, damaged)
            if self.ablation == "attention_gap_asked" and holds != _compiles(case, damaged):
                raise Contradiction(f"{self}, number {number}: compile does not say what certify says")
            wrong = [] if is_exact else ["the reference in float32"]
            if number < self.in_transformers:
                tried += 1
                if holds and not is_right(case, damaged, np.float64):
                    wrong.append("the reference in float64")
                if is_right_in_transformers(case, damaged):
                    right_there += 1
                else:
                    wrong.append(f"transformers in {self.dtype}")
            if holds and wrong:
                places = ", ".join(wrong)
                raise Contradiction(f"{self}, number {number} (its seed): certified, but wrong in {places}")
            certified, right = certified + holds, right + is_exact
        return {
            "checkpoints": number_of,
            "certified": certified,
            "right": right,
            "in_transformers": tried,
            "right_in_transformers": right_there,
        }


def list_damage(*, quick: bool = False, **options: int) -> list[Damage]:
    """All experiments, in the order of the table; a small part of them if quick."""
    found = []
    for ablation in ABLATIONS:
        for weights in ablation.weights:
            for dtype in DTYPES:
                for circuit in SMALL[:2] if quick else (*SMALL, LARGE):
                    levels = ablation.levels_of(circuit)
                    found += [
                        Damage(
                            ablation=ablation.name,
                            weights=weights,
                            dtype=dtype,
                            circuit=circuit,
                            level=level,
                            **options,
                        )
                        for level in (levels[:: max(1, len(levels) // 3)] if quick else levels)
                    ]
    return found


def _compiles(case: Case, transformer: Transformer) -> bool:
    """Whether ``compile`` would hand these weights out: the last of its passes."""
    program = schedule_to_program(case.model.circuit, case.model.schedule)
    return certify_weights(
        transformer, construction_to_placement(program_to_construction(program), transformer.architecture)
    ).holds
