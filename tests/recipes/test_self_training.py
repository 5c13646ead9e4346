"""Self-training: a small run has the rows that it names, trains on no long true chain, and README.md shows its rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from serialformer.python_file import load_python
from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.store import read_rows
from serialformer.tasks.modular_addition import ModularAddition

RECIPE = Path(__file__).parents[2] / "recipes" / "self-training"


def make_small(**options: bool):
    """A run of length 2 to 4 that takes a second."""
    run = load_python(RECIPE / "recipe.py").module.make_run(0, length=2, **options)
    config = run.config.with_steps(30, scaled=True)
    evaluation = replace(config.evaluation, num_final_samples=64, num_final_generated=8)
    return replace(run, config=replace(config, evaluation=evaluation), steps=3, pool=32, num_samples=40)


@pytest.mark.parametrize("has_longer", [True, False])
def test_a_small_run_has_its_rows(has_longer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_small(has_longer=has_longer)
    drawn: list[tuple[str, int]] = []
    sample = ModularAddition.sample

    def watch(self, random, length, num_samples, **options):
        drawn.append(("pool" if num_samples == run.pool else "batch", length))
        return sample(self, random, length, num_samples, **options)

    monkeypatch.setattr(ModularAddition, "sample", watch)
    rows = run.carry_out(Surroundings(directory=tmp_path / "run"))
    assert {row.key for row in rows} == {(run.id, *evaluation) for evaluation in run.evaluations}
    assert len(rows) == 1 + 2 * 3 + 2 * has_longer
    assert sorted({length for kind, length in drawn if kind == "pool"}) == ([3, 4] if has_longer else [])
    again = type(run).from_fields(run.fields_to_json())
    assert again == run and again.id == run.id


def test_the_chains_are_the_models_own(tmp_path: Path) -> None:
    """What is trained on for a longer length are the tokens that the model writes, right or wrong."""
    from serialformer.decode.torch_engine import TorchEngine
    from serialformer.transformer.module import TransformerModule

    run = make_small()
    model = run.train(Surroundings(directory=tmp_path / "run")).model
    module = TransformerModule(model.transformer.architecture)
    module.load(model.transformer)
    examples, share = run.write_chains(module, model, 4)
    truth = model.task.solve(examples.prompts, 4)
    assert share == (examples.chains == truth.chains).all(axis=1).mean() < 1
    assert np.array_equal(examples.chains, model.generate(truth, 4, TorchEngine(module)))


def test_rounds_train_on_pools_for_longer_lengths_and_on_true_chains_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_small()
    model = run.train(Surroundings(directory=tmp_path / "run")).model
    seen: list[tuple[int, bool]] = []
    wrong = model.task.sample(np.random.default_rng(0), 3, run.pool)
    wrong = replace(wrong, chains=(wrong.chains + 1) % 7)

    def watch(task, examples, setting, length):
        right = bool((examples.chains == task.solve(examples.prompts, length).chains).all())
        seen.append((length, right))
        raise StopIteration

    monkeypatch.setattr("serialformer.tasks.layout.lay_out", watch)
    for step in range(40):
        with pytest.raises(StopIteration):
            run.take_step(SimpleNamespace(), SimpleNamespace(), model, {3: wrong}, step)
    assert {length for length, _ in seen} == {1, 2, 3}
    assert all(right == (length < 3) for length, right in seen)


def test_rows_are_of_the_runs_and_the_readme_shows_them() -> None:
    runs, num_repeated = load_recipe(str(RECIPE))
    rows, text = read_rows(RECIPE / "expected.csv"), (RECIPE / "README.md").read_text()
    assert num_repeated == 0
    assert {row.key for row in rows} == {(run.id, *evaluation) for run in runs for evaluation in run.evaluations}
    tables = load_python(RECIPE / "tables.py").module
    assert tables.make_table(rows) in text and tables.make_label_table(rows) in text
