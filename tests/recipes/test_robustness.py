"""The ablations: no certified checkpoint is wrong, damage is what it says, and the tables are those committed."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from serialformer.figures.damage import sum_levels
from serialformer.sweeps.row import Row
from serialformer.sweeps.store import read_rows
from serialformer.transformer.transformer import Transformer
from tests.command import run_command

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "robustness"

sys.path.insert(0, str(RECIPE))
try:
    import ablations
    import damage
    import judgement
    import summary

    from cases import find_case
finally:
    sys.path.pop(0)

RANDOM = {ablation.name for ablation in ablations.ABLATIONS if ablation.is_random}
COUNTS = ("checkpoints", "certified", "right")


@pytest.fixture(scope="module")
def expected() -> list[Row]:
    return read_rows(RECIPE / "expected.csv")


def of_variables(rows: list[Row]) -> dict[tuple[object, ...], dict[str, int]]:
    """What was counted, by what was varied, whatever the experiment's other fields."""
    return {tuple(row.variable.values()): row.measure for row in rows}


def key(run: ablations.Damage) -> tuple[object, ...]:
    return tuple(run.variables[name] for name in sorted(run.variables))


def test_no_certified_checkpoint_is_wrong(expected: list[Row]) -> None:
    """Judged anew on the smallest circuit; ``count`` raises where a certificate holds and a token is wrong."""
    counts = of_variables(expected)
    made = []
    for run in ablations.list_damage(quick=True, most_checkpoints=2, in_transformers=0):
        if run.circuit == "parity8":
            made.append((run, run.count()))
    for run, found in made:
        assert found["certified"] <= found["right"] <= found["checkpoints"]
        if run.ablation not in RANDOM | {"dropped_coordinates"}:  # of those there are more than two
            assert [found[name] for name in COUNTS] == [counts[key(run)][name] for name in COUNTS]
    assert any(found["certified"] == found["checkpoints"] for _, found in made)
    assert any(found["certified"] < found["right"] for _, found in made)
    assert any(found["right"] < found["checkpoints"] for _, found in made)


def noise(level: float, dtype: str = "float32", **options: int) -> ablations.Damage:
    return ablations.Damage(ablation="noise", weights="all", dtype=dtype, circuit="parity8", level=level, **options)


def test_transformers_agrees() -> None:
    pytest.importorskip("transformers")
    for level, certified, right in ((2.0**-16, 1, 1), (0.5, 0, 0)):
        for dtype in ablations.DTYPES:
            found = noise(level, dtype, most_checkpoints=1, in_transformers=1).count()
            assert [found["certified"], found["right"], found["right_in_transformers"]] == [certified, right, right]


def test_the_dense_engine_writes_what_is_judged() -> None:
    seen = set()
    whole = find_case("parity8", 0, "float32")
    case = replace(whole, tokens=whole.tokens[::16], expected=whole.expected[::16])
    for seed in range(12):
        damaged = damage.add_noise(case.model.transformer, "all", 2.0**-6, np.random.default_rng(seed))
        chains = (
            replace(case.model, transformer=damaged)
            .engine("dense")
            .generate(case.tokens[:, : case.model.words.num_inputs + 1], case.expected.shape[1])
        )
        is_right = chains.shape == case.expected.shape and np.array_equal(chains, case.expected)
        assert judgement.is_right(case, damaged) == is_right
        seen.add(is_right)
    assert seen == {True, False}


def test_a_contradiction_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablations, "is_certified", lambda case, transformer: True)
    with pytest.raises(
        judgement.Contradiction, match=r"level=0.5,.*, number 0 .*certified, but wrong in the reference"
    ):
        noise(0.5, most_checkpoints=3, in_transformers=0).count()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_flipped_bits_are_counted_and_nested(dtype: str) -> None:
    transformer = find_case("parity8", 0, dtype).model.transformer
    flipped = []
    for count in (1, 7, 64):
        damaged = damage.flip_bits(transformer, count, np.random.default_rng(5))
        bits = [
            np.unpackbits(before.reshape(-1).view(np.uint8) ^ after.reshape(-1).view(np.uint8))
            for (_, before), (_, after) in zip(transformer.named_weights(), damaged.named_weights(), strict=True)
        ]
        flipped.append(set(np.flatnonzero(np.concatenate(bits)).tolist()))
        assert len(flipped[-1]) == count
    assert flipped[0] < flipped[1] < flipped[2]


def slow_integers(weights: list[float], largest: int, power_of_two: bool) -> list[Fraction]:
    """One tensor or channel rounded to multiples of its scale, in fractions."""
    step = max(abs(Fraction(weight)) for weight in weights) / largest
    if power_of_two and step:
        power = Fraction(2) ** -40
        while power < step:
            power *= 2
        step = power
    return [step * round(Fraction(weight) / step) if step else Fraction(0) for weight in weights]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("power_of_two", [False, True])
def test_integers(per_channel: bool, power_of_two: bool) -> None:
    transformer = damage.add_noise(
        find_case("parity8", 0, "float32").model.transformer, "all", 0.1, np.random.default_rng(0)
    )
    damaged = dict(
        damage.round_to_integers(
            transformer, "all", 5, per_channel=per_channel, power_of_two=power_of_two
        ).named_weights()
    )
    for name, weight in transformer.named_weights():
        # A channel is an output of a matrix, a row of an embedding.
        before, after = (array if "embedding" in name else array.T for array in (weight, damaged[name]))
        if not per_channel or before.ndim == 1:
            before, after = before.reshape(1, -1), after.reshape(1, -1)
        for row in range(0, len(before), ceil(len(before) / 4)):
            right = slow_integers(before[row].tolist(), 15, power_of_two)
            np.testing.assert_allclose(after[row], [float(value) for value in right], rtol=1e-6, atol=1e-12)
            assert len(set(right)) <= 31


def test_casts_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    transformer = damage.add_noise(
        find_case("parity8", 0, "float32").model.transformer, "all", 0.3, np.random.default_rng(0)
    )
    for number_format in ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"):
        damaged = dict(damage.cast(transformer, "all", number_format).named_weights())
        for name, weight in transformer.named_weights():
            theirs = torch.from_numpy(weight.copy()).to(getattr(torch, number_format)).float().numpy()
            np.testing.assert_array_equal(damaged[name], theirs)


def test_damage_hits_what_it_says() -> None:
    case = find_case("random", 0, "float32")
    transformer, layout = case.model.transformer, case.layout
    random = np.random.default_rng(0)
    assert changed(transformer, damage.add_noise(transformer, "position_embedding", 1.0, random)) == {
        "position_embedding"
    }
    moved = damage.add_noise(transformer, "all", 0.25, random).position_embedding - transformer.position_embedding
    assert abs(moved.std() - 0.25) < 0.02
    blind = damage.drop_coordinates(transformer, layout, 2, 1)
    before, after = (each.layers[0].attention_in_weight for each in (transformer, blind))
    # Choice 1 of two coordinates is the first and the third; every key and each head's query lose both.
    lost = np.flatnonzero((before != after).any(axis=1))
    starts = [layout.starts["name"], *(layout.starts[f"read[{head}]"] for head in range(layout.num_heads))]
    assert lost.tolist() == [start + place for start in starts for place in (0, 2)]
    assert changed(transformer, blind) == {"layers.0.attention_in_weight"}
    two = damage.merge_levels(transformer, layout, 2).position_embedding
    assert set(np.unique(two[:, starts[0] : layout.span(f"read[{layout.num_heads - 1}]").stop]).tolist()) == {-2.0, 2.0}
    assert np.array_equal(two[:, : starts[0]], transformer.position_embedding[:, : starts[0]])
    halved = damage.scale_queries(transformer, 0.5).layers[0].attention_in_weight
    width = transformer.architecture.width
    assert np.array_equal(halved[:, :width], before[:, :width] / 2)
    assert np.array_equal(halved[:, width:], before[:, width:])
    assert changed(transformer, damage.scale_answers(transformer, 0.5)) == {
        "layers.0.mlp_out_weight",
        "layers.0.mlp_out_bias",
    }


def changed(before: Transformer, after: Transformer) -> set[str]:
    pairs = zip(before.named_weights(), after.named_weights(), strict=True)
    return {name for (name, one), (_, other) in pairs if not np.array_equal(one, other)}


def test_the_expected_table_has_all_rows_and_no_contradiction(expected: list[Row]) -> None:
    runs = ablations.list_damage()
    assert [row.run for row in expected] == [run.id for run in runs]
    assert [tuple(row.variable.values()) for row in expected] == [key(run) for run in runs]
    for row in expected:
        count = row.measure
        assert count["certified"] <= count["right"] <= count["checkpoints"]
        # What transformers ran are the first ones; those of them that are certified, it must have right.
        assert count["right_in_transformers"] >= count["in_transformers"] - (count["checkpoints"] - count["certified"])


def test_the_readme_shows_the_expected_tables(expected: list[Row]) -> None:
    readme = (RECIPE / "README.md").read_text()
    lines = summary.threshold_lines(expected) + summary.quantisation_lines(expected)
    assert len(lines) == 2 * len(summary.THRESHOLDS) + 4 * len(summary.QUANTISATIONS)
    for line in lines:
        assert line in readme
    checkpoints = sum(row.measure["checkpoints"] for row in expected)
    certified = sum(row.measure["certified"] for row in expected)
    assert f"{checkpoints:,} damaged checkpoints" in readme
    right = sum(row.measure["right"] for row in expected)
    assert f"{certified:,} were certified and {right:,} were right" in readme


def test_levels_are_summed_over_the_small_circuits(expected: list[Row]) -> None:
    small = sum_levels(expected, "noise", "all", "float32")
    assert list(small) == [str(2.0**exponent) for exponent in range(-17, 0)]
    assert {counts[0] for counts in small.values()} == {60}
    assert {counts[0] for counts in sum_levels(expected, "noise", "all", "float32", large=True).values()} == {20}


def test_the_command(tmp_path: Path, expected: list[Row]) -> None:
    """Part of the quick runs, through a sweep and its processes."""
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        f"import sys\nsys.path.insert(0, {str(RECIPE)!r})\nfrom ablations import list_damage\n\n\ndef runs():\n"
        "    found = list_damage(quick=True, most_checkpoints=3, in_transformers=0)\n"
        "    return [run for run in found if run.ablation == 'answer']\n"
    )
    store = tmp_path / "damage.csv"
    done = run_command("sweep", recipe, "-o", store, "--workers", "1")
    assert done.status == 0 and done.out == f"{store}: 16 runs; 0 were there, 16 done now, 0 failed\n"
    counts, made = of_variables(expected), of_variables(read_rows(store))
    assert len(made) == 16
    for name, found in made.items():
        all_certified = counts[name]["certified"] == counts[name]["checkpoints"]
        assert (found["certified"] == found["checkpoints"]) == all_certified
