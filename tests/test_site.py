"""The site's own code, and that its pages list what there is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def docs_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    for name in ("site_live", "site_math", "site_recipes"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_every_recipe_is_in_the_navigation_and_in_the_index() -> None:
    from site_recipes import recipe_figures, recipe_names, recipe_page

    navigation = (ROOT / "mkdocs.yml").read_text()
    index = (DOCS / "examples.md").read_text()
    names = recipe_names()
    assert len(names) >= 15
    for name in names:
        assert f": recipes/{name}.md\n" in navigation, name
        assert f"(../recipes/{name}/README.md)" in index, name
        assert "../docs/" not in recipe_page(name).replace("`docs/", "")
    assert all(path.is_file() for _, path in recipe_figures())


def test_every_example_and_notebook_is_in_the_index() -> None:
    index = (DOCS / "examples.md").read_text()
    found = [path for path in (ROOT / "examples").iterdir() if path.name not in ("__pycache__", "notebooks")]
    found += (ROOT / "examples" / "notebooks").glob("*.ipynb")
    assert [path.name for path in found if f"../{path.relative_to(ROOT).as_posix()}" not in index] == []


def test_every_live_page_is_shown() -> None:
    from site_live import LIVE

    index = (DOCS / "examples.md").read_text()
    assert [name for name in LIVE if f'src="../live/{name}.html"' not in index] == []
    assert index.count('class="live"') == len(LIVE)


def test_mathematics_becomes_mathml_and_code_stays() -> None:
    pytest.importorskip("latex2mathml", reason="of the extra docs")
    from site_math import replace_mathematics

    page = replace_mathematics(r"$T(n)$ and `$T$`" "\n\n    $ serialformer demo\n\n```console\n$ a $b$\n```\n")
    assert page.count("<math") == 1 and "`$T$`" in page
    assert "    $ serialformer demo" in page and "$ a $b$" in page


def test_the_picture_is_what_its_program_draws() -> None:
    from figures.adder import draw

    assert (DOCS / "figures" / "adder.svg").read_text() == draw()


def test_the_workflow_builds_with_make() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "site.yml").read_text())
    assert {"run": "make docs"} in workflow["jobs"]["build"]["steps"]
    assert workflow["jobs"]["publish"]["needs"] == "build"
