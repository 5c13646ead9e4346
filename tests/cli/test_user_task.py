"""FILE.py:Class on the command line: trained, scored, run, resumed, and never run because a checkpoint says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serialformer import load
from serialformer.training.run import load_config
from tests.command import Result, run_command
from tests.tasks.test_user_task import MAXIMUM

TRAIN = ("train", "mytask.py:Maximum", "--length", "4", "--setting", "cot", "--steps", "3", "--set", "model.width=16")
FEW = ("--set", "evaluation.num_final_samples=16", "--set", "evaluation.num_final_generated=4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task and a model that was trained on it."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "mytask.py").write_text(MAXIMUM)
    call(folder, *TRAIN, *FEW, "-o", "model")
    return folder


def call(folder: Path, *arguments: str, status: int = 0) -> Result:
    done = run_command(*arguments, folder=folder)
    assert done.status == status, done.err
    return done


def test_the_checkpoint_holds_the_source(folder: Path) -> None:
    assert (folder / "model" / "task_source.txt").read_text() == MAXIMUM
    manifest = json.loads((folder / "model" / "serialformer.json").read_text())
    assert manifest["protocol"]["task"] == "mytask.py:Maximum" and str(folder) not in json.dumps(manifest)
    assert json.loads((folder / "model" / "run.json").read_text())["config"]["task"] == "mytask.py:Maximum"


def test_it_is_scored_once_it_is_named_again(folder: Path) -> None:
    named = call(folder, "evaluate", "model", "--task", "mytask.py:Maximum", "--samples", "8", "--json")
    assert json.loads(named.out)["task"] == "mytask.py:Maximum"
    trusted = call(folder, "evaluate", "model", "--trust-code", "--samples", "8", "--json")
    assert json.loads(trusted.out)["counts"] == json.loads(named.out)["counts"]
    run = call(folder, "run", "model", "--prompt", "3 1 4 1", "--task", "mytask.py:Maximum", "--json")
    assert json.loads(run.out)["expected"] == ["4"]
    assert json.loads(call(folder, "info", "model", "--trust-code", "--json").out)["layers"] == 1
    assert call(folder, *TRAIN, *FEW, "-o", "model", "--resume").out.startswith("directory: model\nsteps: 3")
    page = call(folder, "explore", "model", "-o", "page.html", "--trust-code", "--samples", "1")
    assert page.out.startswith("page: page.html")


def test_it_is_not_run_because_a_checkpoint_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file lying right there, under the name that the checkpoint has."""
    (folder / "model" / "task_source.txt").write_text("raise SystemExit('it was run')\n")
    (folder / "mytask.py").write_text("raise SystemExit('it was run')\n")
    try:
        for command in (("evaluate", "model"), ("run", "model", "--prompt", "1"), ("info", "model")):
            refused = call(folder, *command, status=2)
            assert "is a model of the task mytask.py:Maximum, which is not part of serialformer" in refused.err
            assert "--task mytask.py:Maximum names the file again; --trust-code runs" in refused.err
        drawn = call(folder, "plot", "model", "-o", "loss.png")
        assert drawn.out.startswith("figure: loss.png")
        monkeypatch.chdir(folder)
        with pytest.raises(ValueError, match="is not part of serialformer"):
            load_config(Path("model"))
        with pytest.raises(ValueError, match="is not part of serialformer"):
            load("model")
    finally:
        (folder / "mytask.py").write_text(MAXIMUM)
        (folder / "model" / "task_source.txt").write_text(MAXIMUM)


def test_refusals(folder: Path) -> None:
    (folder / "other.py").write_text(MAXIMUM.replace("max(", "min("))
    for arguments, message in (
        (("--task", "other.py:Maximum"), "is not the file that the model was made with: model/task_source.txt differs"),
        (("--task", "mytask.py:Minimum"), "is a model of mytask.py:Maximum, not of mytask.py:Minimum"),
        (("--task", "parity"), "is a model of mytask.py:Maximum, not of parity"),
        (("--task", "mytask.py:Maximum", "--trust-code"), "expected --task or --trust-code, found both"),
    ):
        assert message in call(folder, "evaluate", "model", *arguments, status=2).err
    assert (
        "other.py: is not the file"
        in call(folder, "train", "other.py:Maximum", *TRAIN[2:], *FEW, "-o", "model", "--resume", status=2).err
    )
    assert (
        "has no construction"
        in call(folder, "construct", "mytask.py:Maximum", "--length", "4", "-o", "made", status=2).err
    )
    assert not (folder / "made").exists()


def test_tasks_shows_it(folder: Path) -> None:
    shown = call(folder, "tasks", "mytask.py:Maximum", "-p", "digits=4", "--json")
    (entry,) = json.loads(shown.out).values()
    assert entry["parameters"] == {"digits": 4} and entry["description"] == "The largest digit so far."


def test_it_is_found_by_a_process_that_has_not_seen_it(folder: Path) -> None:
    """Here the file has been imported before; there it has not."""
    command = ("run", "model", "--prompt", "3 1 4 1", "--task", "mytask.py:Maximum", "--engine", "dense", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "serialformer", *command], cwd=folder, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["expected"] == ["4"]


def test_mistakes_are_refused_before_torch_is_imported() -> None:
    """All in one process, for most of the time would go into starting four."""
    mistakes = (
        (("paritty",), "no task 'paritty'\nhint: did you mean parity or majority?"),
        (
            ("parity", "-p", "a=1", "-p", "b=2"),
            "parity: no parameter 'a'; no parameter 'b'\nhint: it has no parameters",
        ),
        (("parity", "--set", "model.depth=3"), "configuration: unknown key model.depth"),
        (("mytask.py:Maximum",), "mytask.py: no such file"),
    )
    program = (
        "import sys; from serialformer.cli.main import main\n"
        f"for words in {[words for words, _ in mistakes]!r}:\n"
        "    sys.argv = ['serialformer', 'train', *words, '--length', '4', '--setting', 'cot', '-o', 'nowhere']\n"
        "    try: main()\n"
        "    except SystemExit as error: assert error.code == 2\n"
        "    print('end of what', words, 'says', file=sys.stderr)\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    said = done.stderr.split("end of what")
    assert all(message in text for (_, message), text in zip(mistakes, said[:-1], strict=True))
