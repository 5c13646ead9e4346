"""Loading: one function for every directory, certificates of these weights only, and the first format."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import CircuitPrompt, CircuitWords, Model, TaskItems, certify, construct, load
from serialformer.circuits.formats.aiger.aiger import parse_sequential_aiger
from serialformer.constructions.program import schedule_to_program
from serialformer.models.lower import certify_program
from serialformer.models.provenance import (
    CompiledProvenance,
    ConstructedProvenance,
    Provenance,
    TrainedProvenance,
)
from serialformer.tasks.registry import make_task
from serialformer.transformer.checkpoint import hugging_face_name, save_weights
from serialformer.transformer.safetensors_file import write_safetensors
from serialformer.transformer.transformer import weights_to_transformer
from tests.cases import small_circuits
from tests.task_models import random_model

GOLDEN = Path(__file__).parents[1] / "golden"
VERSION1 = GOLDEN / "version1"
ONE_MARK = GOLDEN / "one_mark"
TOGGLE = b"aag 1 0 1 1 0\n2 3\n2\nl0 q\n"


def in_version1(model: Model, name: str, directory: Path) -> Model:
    """The model from a directory whose ``serialformer.json`` a release of format 1 wrote; its other files are alike."""
    model.save(directory)
    shutil.copy(VERSION1 / f"{name}.json", directory / "serialformer.json")
    return load(directory)


def test_version_1_of_a_circuit(tmp_path: Path) -> None:
    made = serialformer.compile(small_circuits()["gates of one, two and three inputs"])
    found = in_version1(made, "circuit", tmp_path / "m")
    assert found.words.to_json() == made.words.to_json() and found.certificate == made.certificate
    assert isinstance(made.provenance, CompiledProvenance)
    assert found.provenance == replace(made.provenance, optimisation=None, names=None)
    assert found.run(a=0b011) == made.run(a=0b011)


def test_version_1_of_a_sequential_circuit_with_its_certificate(tmp_path: Path) -> None:
    toggle = parse_sequential_aiger(TOGGLE, name="toggle.aag")
    made = serialformer.compile(toggle, level=1)
    made.save(tmp_path / "m")
    for name, target in (("sequential", "serialformer"), ("certificate", "certificate")):
        shutil.copy(VERSION1 / f"{name}.json", tmp_path / "m" / f"{target}.json")
    assert load(tmp_path / "m").registers == made.registers
    # Its hashes are of these very weights, and it was found in them without a construction as a witness.
    for name in ("config", "tokenizer"):
        content = json.loads((ONE_MARK / "circuit" / f"{name}.json").read_text())
        if name == "config":
            own = json.loads((tmp_path / "m" / "config.json").read_text())
            content = {**own, **{key: content[key] for key in ("vocab_size", "bos_token_id", "eos_token_id")}}
        (tmp_path / "m" / f"{name}.json").write_text(json.dumps(content))
    weights = {hugging_face_name(name): weight for name, weight in made.transformer.named_weights()}
    write_safetensors(weights, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    found = load(tmp_path / "m")
    searched = certify_program(made.transformer, schedule_to_program(made.circuit, made.schedule))
    assert found.certificate is not None and searched.holds
    assert replace(found.certificate, logits=searched.logits) == searched
    # Bounds on what rounding takes from the logits have become a little tighter since.
    assert found.certificate.logits.exact == searched.logits.exact
    assert 0.999 * searched.logits.rounded < found.certificate.logits.rounded <= searched.logits.rounded
    assert made.certificate is not None and made.certificate.witness and not searched.witness
    assert isinstance(made.provenance, CompiledProvenance)
    assert found.provenance == replace(made.provenance, source="toggle.aag", names=None)
    assert [cycle.outputs["out"] for cycle in found.simulate([{}] * 3)] == [0, 1, 0]
    paper = in_version1(serialformer.compile(toggle, target="paper"), "paper", tmp_path / "paper")
    assert isinstance(paper.provenance, CompiledProvenance) and paper.provenance.target == "paper"


def test_files_without_tokens_of_beginning_and_padding(tmp_path: Path) -> None:
    """Checkpoints of 0.1: ``=`` begins, ends and fills up texts."""
    circuit, task = load(ONE_MARK / "circuit"), load(ONE_MARK / "task")
    build = serialformer.CircuitBuilder()
    build.output("y", build.xor(*build.inputs("a", 2)))
    made = serialformer.compile(build.circuit(), dtype="bfloat16")
    assert circuit.transformer.digest() == made.transformer.digest()
    assert circuit.certificate is not None and certify(circuit).holds
    assert [circuit.run(a=value)["y"] for value in range(4)] == [0, 1, 1, 0]
    assert task.transformer.digest() == construct("parity", 2, dtype="bfloat16").transformer.digest()
    assert task.certificate is not None and certify(task).holds and task.run("1 1").answer == ("0",)
    # Saved again, they have the three tokens, and are the same models.
    for old in (circuit, task):
        new = load(old.save(tmp_path / old.protocol.kind).directory or "")
        assert new.transformer.digest() == old.transformer.digest() and new.certificate is not None
        ids = json.loads((tmp_path / old.protocol.kind / "generation_config.json").read_text())
        assert len({ids["bos_token_id"], ids["pad_token_id"], *ids["eos_token_id"]}) == 4


def test_transformers_runs_files_without_tokens_of_beginning_and_padding() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pipeline = transformers.pipeline("text-generation", str(ONE_MARK / "circuit"))
    assert [pipeline(text)[0]["generated_text"] for text in ("00=", "10=", "01=", "11=")] == [
        "00=0",
        "10=1",
        "01=1",
        "11=0",
    ]


def test_version_1_of_models_of_tasks(tmp_path: Path) -> None:
    made = construct("parity", 4)
    found = in_version1(made, "task", tmp_path / "constructed")
    assert found.protocol == made.protocol
    assert isinstance(made.provenance, ConstructedProvenance)
    assert found.provenance == replace(made.provenance, names=None)
    trained = in_version1(random_model(make_task("parity"), 4), "trained", tmp_path / "trained").provenance
    assert isinstance(trained, TrainedProvenance) and trained.steps == 20 and trained.reached_target is False
    assert trained.seed is None and trained.teacher_forced is not None and trained.teacher_forced.samples == 4096
    assert trained.generated is not None and trained.generated.generated_chains == 14
    path = tmp_path / "trained" / "serialformer.json"
    for details, expected in (({}, ""), ({"made": "by hand"}, '{"made": "by hand"}')):
        path.write_text(json.dumps({**json.loads(path.read_text()), "details": details}))
        assert load(tmp_path / "trained").provenance == Provenance(note=expected)


def test_version_1_of_an_evaluator(tmp_path: Path) -> None:
    made = construct("circuit-value", 4)
    found = in_version1(made, "evaluator", tmp_path / "m")
    assert found.protocol == made.protocol and found.provenance == replace(made.provenance, names=None)


@pytest.mark.parametrize("change", [{"kind": "song"}, {"details": []}, {"details": {"gates": 1}}, {"inputs": None}])
def test_a_broken_version_1(tmp_path: Path, change: dict[str, object]) -> None:
    serialformer.compile(small_circuits()["gates of one, two and three inputs"]).save(tmp_path / "m")
    path = tmp_path / "m" / "serialformer.json"
    path.write_text(json.dumps({**json.loads((VERSION1 / "circuit.json").read_text()), **change}))
    with pytest.raises(serialformer.SerialformerError, match="serialformer.json: a field is missing or wrong"):
        load(tmp_path / "m")


def test_one_function_loads_them_all(tmp_path: Path) -> None:
    models = {
        CircuitWords: serialformer.compile(small_circuits()["parity of ten"]),
        TaskItems: construct("parity", 4),
        CircuitPrompt: construct("circuit-value", 3),
    }
    for protocol, model in models.items():
        saved = model.save(tmp_path / protocol.__name__)
        found = load(tmp_path / protocol.__name__)
        assert type(found.protocol) is protocol and found.provenance == model.provenance
        assert found.certificate == model.certificate and repr(found) == repr(saved)
        assert serialformer.info(found) == serialformer.info(tmp_path / protocol.__name__)
    with pytest.raises(serialformer.SerialformerError, match="none: no such checkpoint directory\nhint: compile, "):
        load(tmp_path / "none")


def test_a_certificate_of_other_weights_or_of_another_circuit_is_left_out(tmp_path: Path) -> None:
    model = serialformer.compile(small_circuits()["parity of ten"]).save(tmp_path / "m")
    assert load(tmp_path / "m").certificate == model.certificate is not None
    weights = {name: weight.copy() for name, weight in model.transformer.named_weights()}
    weights["final_norm_gain"] *= np.float32(2)
    save_weights(weights_to_transformer(model.transformer.architecture, weights), tmp_path / "m")
    changed = load(tmp_path / "m")
    assert changed.certificate is None and certify(changed).holds
    assert "not certified" in repr(changed) and serialformer.info(changed)["attention_gap"] is None
    model.save(tmp_path / "again")
    path = tmp_path / "again" / "certificate.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "circuit_sha256": "0" * 64}))
    assert load(tmp_path / "again").certificate is None
    path.unlink()
    assert load(tmp_path / "again").certificate is None


def test_a_certificate_that_does_not_hold_is_loaded_as_such(tmp_path: Path) -> None:
    model = serialformer.compile(small_circuits()["parity of ten"])
    weights = {name: weight.copy() for name, weight in model.transformer.named_weights()}
    weights["layers.0.mlp_out_weight"][:] = 0
    broken = replace(model, transformer=weights_to_transformer(model.transformer.architecture, weights))
    refuted = replace(broken, proof=certify(broken)).save(tmp_path / "m")
    found = load(tmp_path / "m")
    assert found.certificate == refuted.certificate is not None and not found.certificate.holds
    assert "REFUTED" in repr(found) and repr(found.certificate).startswith("Certificate(FAILED at position 10;")


def test_a_task_at_another_version(tmp_path: Path) -> None:
    random_model(make_task("parity"), 4).save(tmp_path / "m")
    path = tmp_path / "m" / "serialformer.json"
    content = json.loads(path.read_text())
    for value in (9, None, "1"):
        path.write_text(json.dumps({**content, "format": value}))
        with pytest.raises(serialformer.SerialformerError) as error:
            load(tmp_path / "m")
        assert str(error.value).startswith(f"{path}: expected format 2, or the older format 1, found {value!r}\nhint: ")


PLAIN = (
    "no such file: the directory is a plain copy of a model, as save_pretrained makes it (config.json and"
    " model.safetensors), and nothing in it says what the model can be asked\nhint: copy from the original directory "
)
OPTIONAL = (
    "circuit.tensors if it computes a circuit, task_source.txt if it has a task of your own,"
    " certificate.json if it is certified"
)


def test_a_plain_copy_says_which_files_to_add(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    made = serialformer.compile(small_circuits()["parity of ten"]).save(original)
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    transformers.AutoModelForCausalLM.from_pretrained(original).save_pretrained(copy)
    assert not (copy / "serialformer.json").exists()
    for ask in (load, serialformer.info, serialformer.evaluate):
        with pytest.raises(serialformer.SerialformerError) as caught:
            ask(copy)
        assert (
            str(caught.value)
            == f"{copy / 'serialformer.json'}: {PLAIN}serialformer.json and tokenizer.json; also {OPTIONAL}"
        )
    shutil.copy(original / "tokenizer.json", copy)
    shutil.copy(original / "certificate.json", copy)
    with pytest.raises(serialformer.SerialformerError) as caught:
        load(copy)
    also = OPTIONAL.removesuffix(", certificate.json if it is certified")
    assert str(caught.value) == f"{copy / 'serialformer.json'}: {PLAIN}serialformer.json; also {also}"
    shutil.copy(original / "serialformer.json", copy)
    with pytest.raises(serialformer.SerialformerError, match="circuit.tensors: no such file\nhint: copy it from the"):
        load(copy)
    shutil.copy(original / "circuit.tensors", copy)
    found = load(copy)
    assert found.certificate == made.certificate is not None, "the weights are the same"
    assert found.run({word.name: 1 for word in found.inputs}) == made.run({word.name: 1 for word in made.inputs})


def test_a_directory_without_weights_is_no_plain_copy(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(serialformer.SerialformerError, match="serialformer.json: no such file\nhint: check the path"):
        load(tmp_path)
