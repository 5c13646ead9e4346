"""The notebooks, executed: each finds the heads that carry, and fails where they are not those of the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parent.parent.parent / "examples" / "interpretability"
PACKAGES = {"transformer_lens": "transformer_lens", "nnsight": "nnsight", "hooks": "transformers"}


def test_every_notebook_is_executed_here() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_notebook_runs_and_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.util import find_spec

    # `make test` installs them all. The cells of hooks.ipynb are executed in every environment, by the test below.
    for package in (PACKAGES[name], "torch", "nbclient", "ipykernel"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra interp)")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # the packages' own
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    printed = "".join(output.get("text", "") for output in notebook.cells[-1].outputs)
    assert printed.splitlines()[-1] == "right"


def test_the_notebook_of_hooks_needs_nothing_but_transformers(capsys: pytest.CaptureFixture[str]) -> None:
    """Its cells run without a kernel, too, so that one notebook is executed wherever torch is."""
    import json

    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    names: dict[str, object] = {}
    for cell in json.loads((NOTEBOOKS / "hooks.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "hooks.ipynb", "exec"), names)
    assert capsys.readouterr().out.splitlines()[-1] == "right"
