"""The suite: the same bytes each time, small, checked when it is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from serialformer import compile, load
from serialformer.engines.cases import Case
from serialformer.engines.recipes import DRAFTS, Recipe, default_recipes, recipe_to_draft, recipe_to_model
from serialformer.engines.scattered import scattered_circuit
from serialformer.engines.suite import build_suite, make_cases, read_suite
from serialformer.errors import FormatError, InputError, SerialformerError

SMALL = (
    Recipe(name="first", purpose="Short.", total=70, tier="quick", drafts=DRAFTS, sibling="second"),
    Recipe(name="second", purpose="With three heads.", total=64, fan_in=3, dtype="bfloat16", spare=0),
)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "suite"
    build_suite(path, recipes=SMALL)
    return path


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_bytes_each_time(suite: Path, tmp_path: Path) -> None:
    counts = build_suite(tmp_path / "again", recipes=SMALL)
    assert digests(tmp_path / "again") == digests(suite)
    assert counts["bytes"] == sum(path.stat().st_size for path in suite.rglob("*") if path.is_file())


def test_the_manifest_lists_every_file(suite: Path) -> None:
    listed = json.loads((suite / "suite.json").read_text())["sha256"]
    assert listed == {name: digest for name, digest in digests(suite).items() if name != "suite.json"}


def test_what_is_read(suite: Path) -> None:
    first, second = read_suite(suite)
    assert (first.name, first.sibling, second.facts["heads"], second.facts["dtype"]) == (
        "first",
        "second",
        3,
        "bfloat16",
    )
    assert read_suite(suite, quick=True) == (first,)
    assert {case.draft for case in first.cases if case.draft} == {
        "models/first-draft-right",
        "models/first-draft-wrong-at-some-tokens",
        "models/first-draft-always-wrong",
    }
    for model in (first, second):
        engine = load(model.directory).engine()
        for case in model.cases:
            made = engine.generate(np.array([case.prompt]), case.num_tokens)[0].tolist()
            assert tuple(made[: len(case.expected)]) == case.expected, case.id


def test_end_and_padding_are_those_of_the_files(suite: Path) -> None:
    """Batches whose rows end at different times are filled up with the token that the files name."""
    models = read_suite(suite)
    for model in models:
        files = json.loads((model.directory / "generation_config.json").read_text())
        assert model.padding_token == files["pad_token_id"] != model.end_token
        assert model.end_token in np.atleast_1d(files["eos_token_id"])
    assert models


def test_drafts_are_as_wrong_as_they_are_meant_to_be() -> None:
    recipe = SMALL[0]
    known = recipe_to_model(recipe)
    bits = np.random.default_rng(0).integers(0, 2, (20, 10), dtype=np.uint8)
    prompts = known.words.prompts(bits)
    sequences = np.concatenate([prompts, known.engine("indexed").generate(prompts, 59)], axis=1)
    shares = []
    for draft in DRAFTS:
        from serialformer.transformer.forward import compute_logits

        model = recipe_to_draft(recipe, draft)
        said = compute_logits(model.transformer, sequences[:, :-1]).argmax(axis=-1)[:, 10:]
        shares.append(float((said != sequences[:, 11:]).mean()))
    assert shares[0] == 0 and shares[2] == 1 and 0.1 < shares[1] < 0.2


def test_a_checkpoint_directory_is_a_suite_of_one(tmp_path: Path) -> None:
    compile(scattered_circuit(0, num_inputs=6, num_gates=57)).save(tmp_path / "model")
    (model,) = read_suite(tmp_path / "model")
    assert (model.name, model.facts["chain_tokens"], len(model.cases)) == ("model", 57, 47)


def test_a_chain_that_is_too_short_is_refused() -> None:
    shortest, shorter = (compile(scattered_circuit(0, num_inputs=3, num_gates=num_gates)) for num_gates in (27, 26))
    assert len(make_cases(shortest)) > 30
    with pytest.raises(InputError, match="expected a chain of at least 27 tokens, found 26"):
        make_cases(shorter)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    build_suite(tmp_path / "suite", recipes=SMALL[1:])
    weights = tmp_path / "suite" / "models" / "second" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    (tmp_path / "suite" / "cases" / "second.jsonl").unlink()
    with pytest.raises(FormatError, match=r"not what they were made as: cases/second.jsonl, models/second/model.safe"):
        read_suite(tmp_path / "suite")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not the manifest of a suite"),
        ("[]", "is not the manifest of a suite"),
        (
            '{"format": "serialformer-suite", "version": 9, "models": [], "sha256": {}}',
            "found serialformer-suite version 9",
        ),
        ('{"format": "serialformer-suite", "version": 1, "models": [{}], "sha256": {}}', "a key of a model is missing"),
    ],
)
def test_manifests_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "suite.json").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_suite(tmp_path)


def test_an_existing_directory_is_left_alone(suite: Path) -> None:
    before = digests(suite)
    with pytest.raises(SerialformerError, match="exists already"):
        build_suite(suite, recipes=SMALL)
    assert digests(suite) == before


@pytest.mark.slow
def test_the_whole_suite_is_small(tmp_path: Path) -> None:
    counts = build_suite(tmp_path / "suite")
    assert counts["bytes"] < 40_000_000 and counts["models"] == len(default_recipes())


def test_the_suite_spans_what_it_should() -> None:
    recipes = default_recipes()
    totals = {recipe.total for recipe in recipes}
    assert {recipe.dtype for recipe in recipes} == {"float32", "bfloat16", "float16"}
    assert min(totals) == 61 and max(totals) == 30_000
    assert {255, 256, 257, 511, 512, 513, 1023, 1024, 1025} <= totals
    assert any(recipe.spare == 0 for recipe in recipes) and any(recipe.drafts for recipe in recipes)


def test_a_case_is_made_of_plain_values(suite: Path) -> None:
    (case, *_) = read_suite(suite)[0].cases
    assert isinstance(case, Case) and all(type(token) is int for token in (*case.prompt, *case.expected))
