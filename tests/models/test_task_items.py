"""Models of tasks: checkpoints and what transformers makes of them, runs from text, refusals."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import SerialformerError, certify, decompile, evaluate, trace_lines, verify
from serialformer.decode.dense import DenseEngine
from serialformer.errors import CheckpointError, InputError, TaskError
from serialformer.models.load import load
from serialformer.models.model import Model
from serialformer.models.provenance import Provenance
from serialformer.models.task_items import TaskItems
from serialformer.tasks.layout import SETTINGS, lay_out
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue
from serialformer.transformer.forward import compute_logits
from tests.task_models import exact_parity, random_model
from tests.tasks.every_task import CASES, NAMES


def test_exact_model_runs() -> None:
    model = exact_parity(8)
    transcript = model.run_text("1 0 1 1 0 0 1 1")
    assert transcript.text == "10110011=11011101"
    assert (transcript.answer, transcript.expected) == (("1",), ("1",))
    assert transcript.engine == "dense" and transcript.seconds > 0
    assert model.run_text("10110011=", engine="dense").made == transcript.made


@pytest.mark.parametrize(("name", "given", "length"), CASES, ids=NAMES)
def test_save_and_load(tmp_path: Path, name: str, given: dict[str, ParameterValue], length: int) -> None:
    task = make_task(name, given)
    model = random_model(task, length, "hint", extra=("<unk>",))
    saved = model.save(tmp_path / "m")
    found = load(tmp_path / "m")
    assert found.protocol.kind == "task"
    assert saved.directory == found.directory == tmp_path / "m"
    assert (found.task, found.length, found.setting) == (task, length, "hint")
    weights = dict(found.transformer.named_weights())
    assert all(np.array_equal(weight, weights[key]) for key, weight in model.transformer.named_weights())


def test_provenance_and_files(tmp_path: Path) -> None:
    exact_parity(4).save(tmp_path / "m")
    assert load(tmp_path / "m").provenance == Provenance(note="made from a circuit")
    assert json.loads((tmp_path / "m" / "serialformer.json").read_text()) == {
        "format": 2,
        "kind": "task",
        "protocol": {
            "task": "parity",
            "version": 1,
            "parameters": {},
            "length": 4,
            "setting": "cot",
            "num_new_tokens": 4,
        },
        "provenance": {"kind": "unknown", "note": "made from a circuit"},
        "names": None,
    }
    assert json.loads((tmp_path / "m" / "generation_config.json").read_text())["max_new_tokens"] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    with pytest.raises(CheckpointError, match="m: exists already"):
        exact_parity(4).save(tmp_path / "m")


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    ("name", "given", "length"),
    [("parity", {}, 5), ("permutation-composition", {"degree": 3}, 2), ("iterated-squaring", {"bound": 20}, 4)],
)
def test_generation_by_reading_again_and_again(
    name: str, given: dict[str, ParameterValue], length: int, setting: str
) -> None:
    """Against the forward pass over the whole sequence, once a token, with what is given put in by hand."""
    task = make_task(name, given)
    model = random_model(task, length, setting, seed=3, extra=("<unk>", "x"))
    examples = task.sample(np.random.default_rng(0), length, 9).renumber(model.token_ids(length))
    end = examples.end_token
    for rows in examples.blocks(4):
        block = examples.select(rows)
        made = model.generate(block, length, DenseEngine(model.transformer))
        layout = lay_out(task, block, setting, length)
        for row in range(len(block)):
            sequence, said, ended = layout.tokens[row].copy(), [], False
            for place in range(block.prompts.shape[1] - 1 if setting == "hint" else 0, len(sequence)):
                if layout.labels[row, place] == -1:
                    ended = False
                    continue
                logits = compute_logits(model.transformer, sequence[None, : place + 1])[0, -1]
                said.append(end if ended else int(logits.argmax()))
                ended = said[-1] == end
                if place + 1 < len(sequence):
                    sequence[place + 1] = said[-1]
            assert made[row, : len(said)].tolist() == said
            assert (made[row, len(said) :] == end).all()


@pytest.mark.parametrize(
    ("name", "given", "length", "text"),
    [
        ("parity", {}, 6, "0 1 1 0 1 1"),
        ("modular-addition", {"modulus": 13}, 4, "12 3 0 11"),
        ("circuit-value", {}, 3, "TRUE NA NA 1 FALSE NA NA 2 AND 1 2 3"),
        ("iterated-squaring", {"bound": 100}, 3, "97 5 ^2 ^2 ^2"),
        ("permutation-composition", {}, 2, "( 2 1 3 4 5 ) ( 5 1 2 3 4 )"),
    ],
)
def test_transformers_reads_and_makes_the_same(
    tmp_path: Path, name: str, given: dict[str, ParameterValue], length: int, text: str
) -> None:
    transformers = pytest.importorskip("transformers")
    # Random weights may write any token of the vocabulary, but none of those that only the files have.
    model = random_model(make_task(name, given), length, extra=("x",)).save(tmp_path / "m")
    transcript = model.run_text(text, engine="dense")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    prompt = tokenizer(text, return_tensors="pt")
    made = theirs.generate(**prompt)[0, prompt["input_ids"].shape[1] :].tolist()
    vocabulary = model.transformer.architecture.vocabulary
    assert [vocabulary[token] for token in prompt["input_ids"][0]] == list(transcript.asked)
    # Generation ends with the end token; ours fills up with it.
    assert [vocabulary[token] for token in made] == list(transcript.made[: len(made)])
    assert set(transcript.made[len(made) :]) <= {"="}
    assert model.run_text(text, engine="hf").made == transcript.made


def test_shorter_prompts_and_longer_ones() -> None:
    model = random_model(make_task("circuit-value"), 6)
    assert len(model.run_text("TRUE NA NA 1 NOT 1 NA 2", engine="dense").made) == 8
    with pytest.raises(TaskError) as error:
        model.run_text("TRUE NA NA 1 " + " ".join(f"NOT {gate} NA {gate + 1}" for gate in range(1, 7)))
    assert str(error.value) == (
        "circuit-value of length 7: takes 56 positions, the model has 48\n"
        "hint: the model is made for length 6; ask for no more"
    )


def test_a_token_that_is_not_there() -> None:
    """Room enough, but no token for the seventh gate."""
    task = make_task("circuit-value")
    cot = random_model(task, 6)
    base = Model(transformer=cot.transformer, protocol=TaskItems(task=task, length=6, setting="base"))
    assert base.token_ids(6).tolist() == list(range(13))
    with pytest.raises(
        TaskError, match="circuit-value of length 7: has the token '7', which the model lacks\nhint: the"
    ):
        base.token_ids(7)


def test_what_does_not_fit_is_refused_at_once() -> None:
    model = random_model(make_task("parity"), 4)
    with pytest.raises(TaskError) as error:
        items = TaskItems(task=make_task("modular-addition", {"modulus": 4}), length=5)
        dataclasses.replace(model, protocol=items)
    assert str(error.value) == "modular-addition of length 5: no token 2, 3; 10 tokens do not fit 8 positions"
    with pytest.raises(TaskError, match="no setting 'chain'\nhint: one of base, cot, hint, filler, aligned"):
        dataclasses.replace(model.items, setting="chain")
    architecture = dataclasses.replace(model.transformer.architecture, end_token=0)
    with pytest.raises(TaskError, match="the end token is '0', not '='"):
        dataclasses.replace(model, transformer=dataclasses.replace(model.transformer, architecture=architecture))


def test_circuits_and_tasks_are_told_apart(tmp_path: Path) -> None:
    exact_parity(4).save(tmp_path / "task")
    task = serialformer.load(tmp_path / "task")
    asked: list[Callable[[], object]] = [
        *(lambda: task.circuit, lambda: task.inputs, lambda: next(task.run_many([{}])), lambda: task.simulation()),
        *(lambda: task.stream(a=1), lambda: verify(task), lambda: decompile(task)),
        lambda: trace_lines(task, task.run("0110")),
    ]
    for ask in asked:
        with pytest.raises(InputError) as error:
            ask()
        assert str(error.value) == (
            f"{tmp_path}/task: is a model of a task, not a compiled circuit\n"
            "hint: give a prompt as text: model.run('0 1 1'), or serialformer run DIR --prompt TEXT; evaluate scores it"
        )
    with pytest.raises(InputError) as error:
        certify(task)
    assert str(error.value) == (
        f"{tmp_path}/task: was not constructed (provenance: unknown): no construction says what its weights should be\n"
        "hint: evaluate scores it on samples"
    )
    with pytest.raises(InputError, match="is a model of a task, which takes other input\nhint: give a prompt"):
        task.run(a=1)
    with pytest.raises(InputError, match="max_tokens: a model of a task makes its whole chain\nhint: leave it out"):
        task.run("0110", max_tokens=2)
    build = serialformer.CircuitBuilder()
    build.output("y", build.not_(build.input("x")))
    serialformer.compile(build.circuit()).save(tmp_path / "circuit")
    circuit = load(tmp_path / "circuit")
    for ask in (lambda: circuit.task, lambda: circuit.token_ids(3), lambda: evaluate(circuit)):
        with pytest.raises(InputError) as error:
            ask()
        assert str(error.value) == (
            f"{tmp_path}/circuit: is a compiled circuit, not a model of a task\n"
            "hint: give a value for each input word: model.run(a=1), or serialformer run DIR -i a=1"
        )
    with pytest.raises(InputError, match="is a compiled circuit, which takes other input\nhint: give a value"):
        circuit.run("0110")
    with pytest.raises(InputError, match="is a compiled circuit, not an evaluator of circuits"):
        _ = circuit.num_gates


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "parties"}, "no task 'parties'\nhint: did you mean parity?"),
        ({"parameters": {"modulus": 3}}, "parity: no parameter 'modulus'"),
        ({"parameters": [1]}, "a field is missing or wrong: "),
        ({"length": "four"}, "a field is missing or wrong: "),
        ({"length": 5}, "parity of length 5: 10 tokens do not fit 9 positions"),
        ({"length": 0}, "parity: expected a length of at least 1, found 0"),
        ({"version": 7}, "the model is of version 7 of parity, which is at version 1 now\nhint: make the model again"),
        ({"setting": "chain"}, "no setting 'chain'"),
    ],
)
def test_a_broken_manifest(tmp_path: Path, change: dict[str, object], message: str) -> None:
    exact_parity(4).save(tmp_path / "m")
    path = tmp_path / "m" / "serialformer.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"protocol": content["protocol"] | change}))
    with pytest.raises(SerialformerError) as error:
        load(tmp_path / "m")
    assert str(error.value).startswith(f"{path}: {message}")


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint directory"):
        load(tmp_path / "m")
