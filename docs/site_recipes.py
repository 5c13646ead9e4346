"""The recipes as pages of the site: their READMEs, with links and figures as the site has them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?\)")


def recipe_names() -> list[str]:
    """The recipes, in alphabetical order."""
    return sorted(path.parent.name for path in ROOT.glob("recipes/*/README.md"))


def recipe_page(name: str) -> str:
    """The page ``recipes/NAME.md`` of the site.

    >>> "(../figures/bounds.png)" in recipe_page("bounds")
    True
    """
    text = (ROOT / "recipes" / name / "README.md").read_text(encoding="utf-8")

    def replace(match: re.Match[str]) -> str:
        start, target, anchor = match[1], match[2], match[3] or ""
        if ":" in target:
            return match[0]
        return f"{start}{site_path(posixpath.normpath(posixpath.join('recipes', name, target)))}{anchor})"

    return _LINK.sub(replace, text)


def site_path(path: str) -> str:
    """Where a page in ``recipes/`` of the site finds a file of the repository.

    >>> site_path("docs/claims.md"), site_path("recipes/depth/README.md"), site_path("recipes/depth/depth.png")
    ('../claims.md', 'depth.md', 'depth/depth.png')
    """
    parts = path.split("/")
    if parts[0] == "docs":
        return "../" + "/".join(parts[1:])
    if parts[0] == "recipes" and parts[-1] == "README.md":
        return f"{parts[1]}.md"
    if parts[0] == "recipes" and parts[-1].endswith(".png"):
        return "/".join(parts[1:])
    return "../../" + path


def recipe_figures() -> Iterator[tuple[str, Path]]:
    """The figures in the folders of recipes: the path on the site, and the file."""
    for path in sorted(ROOT.glob("recipes/*/*.png")):
        yield f"recipes/{path.parent.name}/{path.name}", path
