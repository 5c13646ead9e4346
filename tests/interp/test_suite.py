"""The suite and its judge."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from serialformer import SerialformerError, load
from serialformer.interp.judge import auroc, judge, read_scores, read_truth
from serialformer.interp.pairs import draw_pairs
from serialformer.interp.suite import MEMBERS, find_truth, write_suite
from serialformer.interp.universe import all_edges

NAMES = ("two-tasks-chain", "parity4-depth")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite") / "suite"
    write_suite(folder, names=NAMES, num_pairs=6)
    return folder


def test_the_files_are_there_and_the_same_again(suite: Path, tmp_path: Path) -> None:
    content = json.loads((suite / "suite.json").read_text())
    assert [model["name"] for model in content["models"]] == [name.name for name in MEMBERS if name.name in NAMES]
    assert {"parity4-depth/truth.json", "parity4-depth/pairs.jsonl", "parity4-depth/README.md"} <= set(content["files"])
    write_suite(tmp_path / "again", names=NAMES, num_pairs=6)
    assert (tmp_path / "again" / "suite.json").read_bytes() == (suite / "suite.json").read_bytes()


def test_pairs_say_what_the_checkpoint_writes(suite: Path) -> None:
    for name in NAMES:
        model = load(suite / name / "model")
        for line in (suite / name / "pairs.jsonl").read_text().splitlines():
            pair = json.loads(line)
            for which in ("clean", "other"):
                ids, first = pair[f"{which}_ids"], pair["first_written"]
                prompt = model.words.prompts(np.array([ids[: model.words.num_inputs]], dtype=np.uint8))[0]
                assert ids[:first] == prompt.tolist()
                assert (
                    model.think(np.array([ids[: model.words.num_inputs]], dtype=np.uint8), model.engine("dense"))[
                        0
                    ].tolist()
                    == ids[first:]
                )


def test_true_edges_change_answers_in_the_weights_and_others_do_not(suite: Path) -> None:
    """The truth comes from the construction; here every edge of a model of three layers is patched in its weights."""
    model = load(suite / "parity4-depth" / "model")
    truth = read_truth(suite / "parity4-depth")
    pairs = draw_pairs(model, 6, np.random.default_rng(0))
    for patch in all_edges(model.transformer.architecture):
        has_effect = any((pair.measured(patch) != pair.written).any() for pair in pairs)
        assert has_effect == truth["edges"][patch.name], patch.name
    assert 0 < sum(truth["edges"].values()) < len(truth["edges"])


def test_a_task_needs_a_part_of_what_both_need(suite: Path) -> None:
    model = next(member for member in MEMBERS if member.name == "two-tasks-depth").make()
    truth = find_truth(model, draw_pairs(model, 6, np.random.default_rng(1)), "task")
    both = {name for name, is_true in truth["edges"].items() if is_true}
    each = [{name for name, is_true in task["edges"].items() if is_true} for task in truth["tasks"].values()]
    assert all(found and found < both for found in each) and each[0] != each[1]


def test_the_judge_knows_the_truth_from_chance(suite: Path) -> None:
    truth = read_truth(suite / "parity4-depth" / "truth.json")
    perfect = judge(truth, {name: float(is_true) for name, is_true in truth["edges"].items()})
    assert (perfect.edge_auroc, perfect.edge_average_precision, perfect.edge_precision) == (1.0, 1.0, 1.0)
    assert (perfect.node_auroc, perfect.node_precision) == (1.0, 1.0)
    random = np.random.default_rng(0)
    by_chance = [judge(truth, {name: random.random() for name in truth["edges"]}).edge_auroc for _ in range(200)]
    assert np.mean(by_chance) == pytest.approx(0.5, abs=0.02)
    none = judge(truth, {})
    assert (none.edge_auroc, none.edge_precision, none.scored) == (0.5, 0.0, 0)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    random = np.random.default_rng(0)
    scores, is_true = random.integers(0, 5, 40).astype(float), random.random(40) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[is_true] for b in scores[~is_true]]
    assert auroc(scores, is_true) == pytest.approx(np.mean(pairs))


def test_files_of_edge_attribution_are_read(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps({"cfg": {}, "edges": {"input->m0": {"score": -0.5, "in_graph": True}}}))
    assert read_scores(path) == {"input->m0": -0.5}
    path.write_text(json.dumps({"input->m0": 2}))
    assert read_scores(path) == {"input->m0": 2.0}


def test_a_truth_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text("{}")
    with pytest.raises(SerialformerError, match="expected format 1, found None"):
        read_truth(tmp_path)
    with pytest.raises(SerialformerError, match="every edge is true, or none is"):
        judge({"edges": {"input->m0": True}, "nodes": {"input": True, "m0": True}}, {})


def test_the_folder_is_a_data_set_with_a_configuration_for_each_model(suite: Path) -> None:
    yaml = pytest.importorskip("yaml")
    _, header, text = (suite / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    assert card["license"] == "mit" and (suite / "LICENSE").read_text().startswith("MIT License")
    for config in card["configs"]:
        lines = (suite / config["data_files"]).read_text().splitlines()
        assert len({tuple(json.loads(line)) for line in lines}) == 1  # the same columns in every row
        assert f"| {config['config_name']} |" in text
    assert {config["config_name"] for config in card["configs"]} == set(NAMES)


def test_datasets_reads_the_pairs_of_the_folder_and_of_each_model(suite: Path, tmp_path: Path) -> None:
    """The folder as it is written, which is what is uploaded to a hub."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own, on import
        datasets = pytest.importorskip("datasets", reason="datasets is not installed (extra interp)")
        options = {"split": "train", "cache_dir": str(tmp_path / "cache")}
        names = datasets.get_dataset_config_names(str(suite))
        assert names == [member.name for member in MEMBERS if member.name in NAMES]
        for name in NAMES:
            lines = (suite / name / "pairs.jsonl").read_text().splitlines()
            rows = datasets.load_dataset(str(suite), name, **options)
            assert list(rows) == [json.loads(line) for line in lines]
            own = datasets.load_dataset(str(suite / name), "pairs", **options)
            assert list(own) == list(rows)


@pytest.mark.parametrize("name", ["s5-depth", "adder2-chain-superposed", "parity4-depth-superposed"])
def test_true_edges_of_the_other_kinds_are_those_that_change_answers(name: str) -> None:
    model = next(member for member in MEMBERS if member.name == name).make()
    pairs = draw_pairs(model, 5, np.random.default_rng(3))
    truth = find_truth(model, pairs)
    for patch in all_edges(model.transformer.architecture):
        has_effect = any((pair.measured(patch) != pair.written).any() for pair in pairs)
        assert has_effect == truth["edges"][patch.name], patch.name
    assert 0 < sum(truth["edges"].values()) < len(truth["edges"])


def test_what_is_taken_from_an_unpatched_prediction_changes_nothing() -> None:
    from serialformer.interp.predict import predict

    model = next(member for member in MEMBERS if member.name == "adder2-depth").make()
    (pair,) = draw_pairs(model, 1, np.random.default_rng(0))
    followed, heads = pair.clean.followed, pair.clean.heads
    for patch in all_edges(model.transformer.architecture):
        anew = predict(followed.construction, heads, followed.tokens, pair.other_prediction, [patch])
        assert np.array_equal(anew.tokens[followed.first_writer :], pair.predicted(patch)), patch.name
