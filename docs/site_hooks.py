"""Additions to mkdocs: live pages, recipes, mathematics, links to the repository, and nothing from elsewhere."""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from site_live import write_live_pages  # noqa: E402  # found only once docs is on the path, by the line above
from site_math import replace_mathematics  # noqa: E402  # in docs, like site_live
from site_recipes import recipe_figures, recipe_names, recipe_page  # noqa: E402  # in docs, like site_live

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)\s]*)\)")
_FIGURE = re.compile(r"(!\[[^\]]*\]\()(?:\.\./)+(recipes/[^)\s]*\.png)\)")
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//|"""
    r"""<link\b(?=[^>]*rel=["']?(?:stylesheet|preload|preconnect|icon))[^>]*\bhref=["']?(?:https?:)?//"""
)

_SEARCH = 'data-md-component="search" role="dialog" aria-label="Search"'


def on_files(files: Any, *, config: Any, **_: Any) -> Any:
    """Adds the recipes' pages and their figures."""
    for name in recipe_names():
        files.append(File.generated(config, f"recipes/{name}.md", content=recipe_page(name)))
    for place, path in recipe_figures():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_post_build(*, config: Any, **_: Any) -> None:
    """Builds the live pages, unless SERIALFORMER_LIVE names a folder that has them."""
    ready = os.environ.get("SERIALFORMER_LIVE")
    folder = Path(config.site_dir, "live")
    if ready is None:
        write_live_pages(folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for page in Path(ready).glob("*.html"):
        (folder / page.name).write_bytes(page.read_bytes())


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Links that leave ``docs/`` work on a code host; the site has names instead, or links where it knows the host.

    Raises:
        PluginError: there is no such file.
    """
    folder = posixpath.dirname(page.file.src_uri)

    def replace(match: re.Match[str]) -> str:
        text, target = match.groups()
        path = posixpath.normpath(posixpath.join("docs", folder, target))
        recipe = re.fullmatch(r"recipes/([^/]+)/README\.md", path)
        if recipe:
            return f"[{text}]({posixpath.relpath(f'recipes/{recipe[1]}.md', folder or '.')})"
        if path.startswith("docs/"):
            return match.group()  # mkdocs checks it
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_uri} links to {target}, which does not exist")
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{path})"
        return f"{text} (`{path}`)" if text.strip("`") != path else text

    markdown = _FIGURE.sub(lambda match: f"{match[1]}{posixpath.relpath(match[2], folder or '.')})", markdown)
    return replace_mathematics(_LINK.sub(replace, markdown))


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """The page, with a name for the theme's search dialog.

    Raises:
        PluginError: it would fetch something from another host.
    """
    if found := _FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} fetches from elsewhere: {output[found.start() : found.end() + 80]}")
    return output.replace('data-md-component="search" role="dialog"', _SEARCH)
