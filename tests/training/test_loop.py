"""The loop: it learns, it resumes bit for bit, it refuses what is another run, and it says where it looks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from serialformer.errors import CheckpointError, SerialformerError, TrainingError
from serialformer.models.construct import construct
from serialformer.models.evaluate import evaluate
from serialformer.models.load import load
from serialformer.tasks.curriculum import Curriculum
from serialformer.tasks.registry import make_task
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig
from serialformer.training.initial import draw_weights
from serialformer.training.log import read_log
from serialformer.training.loop import Execution, Report, TrainingResult, train

CLOCKS = ("cpu_seconds", "seconds")
SAVE_ALWAYS = Execution(save_seconds=0.0, log_every=1)


def make_config(**fields: Any) -> TrainingConfig:
    """A run of a second."""
    plain: dict[str, Any] = {
        "task": "modular-addition",
        "parameters": {"modulus": 3},
        "length": 5,
        "setting": "cot",
        "model": ModelConfig(width=32, num_heads=2, initial_deviation=0.08),
        "optimiser": OptimiserConfig(num_steps=40, batch_size=16, warmup_steps=5, weight_decay=0.01),
        "curriculum": Curriculum(name="neutral", start=0.5, num_steps=20),
        "evaluation": EvaluationConfig(
            every=10, num_samples=64, num_generated=8, num_final_samples=64, num_final_generated=8, target=None
        ),
    }
    return TrainingConfig(**(plain | fields))


def rows(directory: Path) -> list[dict[str, Any]]:
    """The log without what the clock says."""
    return [{name: value for name, value in row.items() if name not in CLOCKS} for row in read_log(directory)]


def assert_same_run(one: Path, other: Path) -> None:
    assert rows(one) == rows(other)
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


class Stopped(Exception):
    """In the place of whatever ends a process."""


def stop_at(step: int) -> Any:
    def stop(report: Report) -> None:
        if report.step == step:
            raise Stopped

    return stop


def test_positions_may_be_trained_slower_or_not_at_all(tmp_path: Path) -> None:
    moved = {}
    for share in (0.0, 0.1, 1.0):
        optimiser = OptimiserConfig(num_steps=4, batch_size=16, warmup_steps=0, position_rate=share)
        train(make_config(optimiser=optimiser), tmp_path / f"{share}")
        trained = load(tmp_path / f"{share}").transformer
        start = draw_weights(make_config().architecture(), make_config().model, seed=0)
        moved[share] = float(np.abs(trained.position_embedding - start.position_embedding).max())
        assert np.abs(trained.token_embedding - start.token_embedding).max() > 1e-3
    # The first steps of Adam are of the rate's own size.
    assert moved[0.0] == 0.0 and moved[1.0] == pytest.approx(10 * moved[0.1], rel=0.3)


def test_it_learns_and_any_runtime_takes_what_it_made(tmp_path: Path) -> None:
    config = make_config(
        optimiser=OptimiserConfig(num_steps=400, batch_size=32, learning_rate=5e-3, warmup_steps=20),
        curriculum=None,
        evaluation=EvaluationConfig(every=50, num_samples=256, num_final_samples=1000, target=0.999),
    )
    result = train(config, tmp_path / "run")
    assert result.reached_target and result.steps < 400
    assert result.teacher_forced.accuracies["chain_accuracy"] >= 0.999
    assert result.generated.accuracies["generated_chain_accuracy"] >= 0.99
    score = evaluate(load(tmp_path / "run"), num_samples=300).score
    assert score.accuracies["generated_answer_accuracy"] >= 0.99

    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run")
    made = theirs.generate(**tokenizer("1 2 2 0 1", return_tensors="pt"), max_new_tokens=5)
    assert tokenizer.decode(made[0], skip_special_tokens=True) == "\n12201=10220"


@pytest.mark.parametrize("setting", ["base", "hint", "aligned", "filler"])
def test_every_setting_trains(tmp_path: Path, setting: str) -> None:
    result = train(make_config(setting=setting), tmp_path / "run")
    losses = [row["loss"] for row in rows(tmp_path / "run") if "loss" in row]
    assert losses[-1] < losses[0] < 2 * np.log(4)
    assert result.teacher_forced.samples == 64 and result.generated.samples == 8
    assert load(tmp_path / "run").setting == setting


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_stopped_anywhere_and_resumed_is_never_stopped(tmp_path: Path, method: Any) -> None:
    config = make_config()
    config = replace(config, optimiser=replace(config.optimiser, method=method))
    whole = train(config, tmp_path / "whole", execution=SAVE_ALWAYS)
    for stops in [(1,), (10,), (39,), (3, 4, 20, 21)]:
        directory = tmp_path / "-".join(map(str, stops))
        for stop in stops:
            with pytest.raises(Stopped):
                train(config, directory, execution=SAVE_ALWAYS, resume=True, progress=stop_at(stop))
        result = train(config, directory, execution=SAVE_ALWAYS, resume=True)
        assert_same_run(tmp_path / "whole", directory)
        assert result.teacher_forced == whole.teacher_forced and result.generated == whole.generated
    # What has ended is read, not done again.
    again = train(config, tmp_path / "whole", resume=True, progress=stop_at(1))
    assert again.teacher_forced == whole.teacher_forced and again.cpu_seconds == whole.cpu_seconds


def test_hinted_steps_have_the_labels_of_hints_and_later_ones_the_answer(tmp_path: Path) -> None:
    plain = make_config(setting="base", task="parity", parameters={}, curriculum=None)
    hinted = replace(plain, hinted_steps=7)
    train(hinted, tmp_path / "hinted", execution=SAVE_ALWAYS)
    train(replace(plain, setting="hint"), tmp_path / "hint", execution=SAVE_ALWAYS)
    losses = {name: [row["loss"] for row in rows(tmp_path / name) if "loss" in row] for name in ("hinted", "hint")}
    assert losses["hinted"][:7] == losses["hint"][:7] and losses["hinted"][7] != losses["hint"][7]
    with pytest.raises(Stopped):
        train(hinted, tmp_path / "stopped", execution=SAVE_ALWAYS, progress=stop_at(7))
    train(hinted, tmp_path / "stopped", execution=SAVE_ALWAYS, resume=True)
    assert_same_run(tmp_path / "hinted", tmp_path / "stopped")
    assert load(tmp_path / "hinted").setting == "base"


KILLED = """
import json, os, signal, sys
from serialformer.training.config import TrainingConfig
from serialformer.training.loop import Execution, train

config, (whole, directory, *moments) = TrainingConfig.from_json(json.load(open(sys.argv[1]))), sys.argv[2:]
execution, last = Execution(save_seconds=0.0, log_every=1), None

def watch(event, arguments):
    global last
    if last is not None and event in ("open", "os.rename", "os.remove", "os.mkdir") and directory in str(arguments[0]):
        last -= 1
        if last == 0:
            os.kill(os.getpid(), signal.SIGKILL)

train(config, whole, execution=execution)  # and all is imported once
sys.addaudithook(watch)
for moment in moments:
    process = os.fork()
    if process == 0:
        last = int(moment)
        train(config, directory, execution=execution, resume=True)
        os._exit(0)
    print(-os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
train(config, directory, execution=execution, resume=True)
"""


def test_killed_at_any_moment_and_resumed_is_never_stopped(tmp_path: Path) -> None:
    """SIGKILL to another process as it is about to touch a file, whichever: most of them are written at the time."""
    config = make_config(optimiser=OptimiserConfig(num_steps=40, batch_size=16))
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    # Each of the first, and some that were drawn.
    moments = [*range(1, 12), *np.random.default_rng(0).integers(12, 60, 5).tolist()]
    command = [sys.executable, "-c", KILLED, *(str(tmp_path / name) for name in ("config.json", "whole", "killed"))]
    run = subprocess.run([*command, *map(str, moments)], check=True, capture_output=True, text=True)
    assert run.stdout.split() == [str(int(signal.SIGKILL))] * len(moments)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_saves_and_a_second_one_does_not_wait(tmp_path: Path) -> None:
    def press(report: Report) -> None:
        if report.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(make_config(), tmp_path / "run", execution=Execution(log_every=1), progress=press)
    assert rows(tmp_path / "run")[-1]["step"] == 7
    assert load(tmp_path / "run").provenance.steps == 7
    train(make_config(), tmp_path / "run", execution=Execution(log_every=1), resume=True)
    train(make_config(), tmp_path / "whole", execution=Execution(log_every=1))
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_batches_of_several_lengths(tmp_path: Path) -> None:
    """Trained on 2 to 5 items, with a max_length of 7: it learns all four, and can be asked about longer ones."""
    optimiser = OptimiserConfig(num_steps=300, batch_size=32, warmup_steps=5, learning_rate=5e-3)
    result = train(make_config(shortest=2, max_length=7, optimiser=optimiser), tmp_path / "mixed")
    for length in range(2, 6):
        score = evaluate(result.model, length=length, num_samples=200).score
        assert score.accuracies["token_accuracy"] > 0.6, length  # chance is a third
    assert evaluate(result.model, length=7, num_samples=20).score.samples == 20
    with pytest.raises(SerialformerError, match="takes 16 positions, the model has 14"):
        evaluate(result.model, length=8)
    optimiser = replace(optimiser, num_steps=20)
    same = train(make_config(shortest=5, optimiser=optimiser), tmp_path / "same")
    plain = train(make_config(optimiser=optimiser), tmp_path / "plain")
    assert same.teacher_forced == plain.teacher_forced
    assert rows(tmp_path / "mixed")[0]["loss"] != rows(tmp_path / "plain")[0]["loss"]


def test_what_a_seed_means(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(make_config(seed=seed), tmp_path / name)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert rows(tmp_path / "a") != rows(tmp_path / "c")


def test_narrow_products_and_compiled_steps(tmp_path: Path) -> None:
    config = make_config()
    narrow = replace(config, optimiser=replace(config.optimiser, precision="bfloat16"))
    losses = {}
    for name, chosen in (("wide", config), ("narrow", narrow)):
        train(chosen, tmp_path / name, execution=Execution(log_every=1))
        losses[name] = np.array([row["loss"] for row in rows(tmp_path / name) if "loss" in row])
    assert (losses["wide"] != losses["narrow"]).any()
    np.testing.assert_allclose(losses["narrow"], losses["wide"], atol=0.1)


@pytest.mark.slow  # a minute of compiling
def test_torch_compile_changes_roundings_only(tmp_path: Path) -> None:
    losses = []
    for compiled in (False, True):
        directory = tmp_path / str(compiled)
        train(make_config(), directory, execution=Execution(log_every=1, compiled=compiled))
        losses.append([row["loss"] for row in rows(directory) if "loss" in row])
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-3)


def test_pointers_of_the_construction_itself_are_its_own(tmp_path: Path) -> None:
    """Trained not at all from the construction's weights, every pointer has the whole attention."""
    task = make_task("modular-addition", {"modulus": 3})
    construction = construct(task, 5).transformer
    config = make_config(
        initial="0" * 64,
        optimiser=OptimiserConfig(num_steps=10, batch_size=4, learning_rate=0.0),
        evaluation=EvaluationConfig(
            every=5, num_samples=64, num_generated=8, num_final_samples=64, num_final_generated=8, pointers=True
        ),
    )
    result = train(config, tmp_path / "run", initial=construction, construction=construction)
    assert result.reached_target and result.steps == 5
    assert result.teacher_forced.accuracies["chain_accuracy"] == 1
    shares = [row["pointer_shares"] for row in rows(tmp_path / "run") if "pointer_shares" in row]
    assert len(shares) == 2 and len(shares[0]) == 1  # the next residue; the sum so far is the own token
    assert np.allclose(shares, 1)

    untrained = replace(config, initial=None, evaluation=replace(config.evaluation, target=None))
    train(untrained, tmp_path / "untrained", construction=construction)
    low = [row["pointer_share"] for row in rows(tmp_path / "untrained") if "pointer_share" in row]
    assert max(low) < 0.5


def test_refusals(tmp_path: Path) -> None:
    config = make_config()
    with pytest.raises(Stopped):
        train(config, tmp_path / "run", execution=SAVE_ALWAYS, progress=stop_at(3))
    with pytest.raises(CheckpointError, match="run: exists already"):
        train(config, tmp_path / "run")
    with pytest.raises(TrainingError, match="is another run: seed 0 and not 1\nhint: choose another directory"):
        train(replace(config, seed=1), tmp_path / "run", resume=True)
    with pytest.raises(TrainingError, match="no device 'abacus'"):
        train(config, tmp_path / "other", execution=Execution(device="abacus"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"run.json: no run here\nhint: leave --resume out"):
        train(config, tmp_path / "empty", resume=True)
    with pytest.raises(TrainingError, match="weights to start from go with their digest"):
        train(config, tmp_path / "other", initial=construct(config.make_task(), 5).transformer)
    assert not (tmp_path / "other").exists()
    state = tmp_path / "run" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(TrainingError, match=r"state.safetensors: is not the state of a run"):
        train(config, tmp_path / "run", resume=True)
    (tmp_path / "run" / "run.json").write_text('{"format": 1, "config": {"task": "parity", "size": 3}}')
    with pytest.raises(TrainingError, match=r"run.json: unknown key size; length is missing; setting is missing"):
        train(config, tmp_path / "run", resume=True)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    wild = make_config(
        model=ModelConfig(width=32, num_heads=2, norm="none", activation="relu", initial_deviation=100.0),
        optimiser=OptimiserConfig(num_steps=40, learning_rate=1e30, clip_norm=None, warmup_steps=0),
    )
    with pytest.raises(
        TrainingError, match="the loss is (nan|inf) at step .*\nhint: a smaller optimiser.learning_rate"
    ):
        train(wild, tmp_path / "run")


def test_a_log_shorter_than_its_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(make_config(), tmp_path / "run", execution=SAVE_ALWAYS, progress=stop_at(5))
    (tmp_path / "run" / "log.jsonl").write_text("")
    with pytest.raises(SerialformerError, match=r"log.jsonl: has 0 bytes, its run's state says \d+"):
        train(make_config(), tmp_path / "run", resume=True)


def test_a_full_disk_loses_nothing_that_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "run"
    with pytest.raises(Stopped):
        train(make_config(), directory, execution=SAVE_ALWAYS, progress=stop_at(5))
    before = (directory / "state.safetensors").read_bytes()

    def refuse(*arguments: Any) -> TrainingResult:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(SerialformerError, match="cannot be written: No space left on device"):
        train(make_config(), directory, execution=SAVE_ALWAYS, resume=True)
    monkeypatch.undo()
    assert (directory / "state.safetensors").read_bytes() == before
    assert not [path for path in directory.iterdir() if path.name.startswith(".")]
    train(make_config(), directory, execution=SAVE_ALWAYS, resume=True)
    train(make_config(), tmp_path / "whole", execution=SAVE_ALWAYS)
    assert_same_run(tmp_path / "whole", directory)


def test_threads_are_left_as_they_were(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    short = make_config(optimiser=OptimiserConfig(num_steps=1, batch_size=1))
    train(short, tmp_path / "run", execution=Execution(num_threads=2))
    assert torch.get_num_threads() == before


def test_tensorboard_reads_what_the_log_says(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(make_config(), tmp_path / "run", execution=Execution(tensorboard=True))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    for name in ("loss", "learning_rate", "chain_accuracy"):
        expected = [(row["step"], pytest.approx(row[name])) for row in rows(tmp_path / "run") if name in row]
        assert [(event.step, event.value) for event in events.Scalars(name)] == expected


@pytest.mark.parametrize("stop", [None, 25, 55])
def test_an_extended_run_is_the_run_that_was_never_shorter(tmp_path: Path, stop: int | None) -> None:
    first = make_config()
    whole = train(first.extended(80), tmp_path / "whole", execution=SAVE_ALWAYS)
    more = replace(first, optimiser=replace(first.optimiser, num_steps=80))
    if stop == 25:  # extended before the first schedule has ended
        with pytest.raises(Stopped):
            train(first, tmp_path / "parts", execution=SAVE_ALWAYS, progress=stop_at(stop))
    else:
        train(first, tmp_path / "parts", execution=SAVE_ALWAYS)
    if stop == 55:
        with pytest.raises(Stopped):
            train(more, tmp_path / "parts", execution=SAVE_ALWAYS, resume=True, progress=stop_at(stop))
    result = train(more, tmp_path / "parts", execution=SAVE_ALWAYS, resume=True)
    assert (result.steps, result.config.optimiser.num_steps) == (80, 80)
    assert result.teacher_forced == whole.teacher_forced
    names = ("whole", "parts")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in names)
    assert one == other
    late = [[row for row in rows(tmp_path / name) if row["step"] > 40 and "loss" in row] for name in names]
    assert late[0] == late[1] and len(late[0]) == 40
    rates = [row["learning_rate"] for row in late[0]]
    assert rates[0] == first.optimiser.learning_rate / 10 and rates[-1] < rates[0]
    assert train(more, tmp_path / "parts", resume=True).steps == 80, "it has ended, and nothing is left to do"


def test_extending_a_run_that_reached_its_target_changes_nothing(tmp_path: Path) -> None:
    config = make_config(evaluation=replace(make_config().evaluation, target=0.01))
    ended = train(config, tmp_path / "run")
    assert ended.reached_target and ended.steps < 40
    more = replace(config, optimiser=replace(config.optimiser, num_steps=80))
    result = train(more, tmp_path / "run", resume=True)
    assert (result.steps, result.config.optimiser.num_steps) == (ended.steps, 80)


def test_a_run_is_not_made_shorter(tmp_path: Path) -> None:
    config = make_config()
    train(config, tmp_path / "run")
    less = replace(config, optimiser=replace(config.optimiser, num_steps=30))
    with pytest.raises(TrainingError, match=r"is another run: optimiser.num_steps 40 and not 30"):
        train(less, tmp_path / "run", resume=True)
    other = replace(config, seed=1, optimiser=replace(config.optimiser, num_steps=80))
    with pytest.raises(TrainingError, match="is another run: seed 0 and not 1"):
        train(other, tmp_path / "run", resume=True)
