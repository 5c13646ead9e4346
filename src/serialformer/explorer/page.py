"""Page: one HTML file that needs nothing else, with the built front end, its style and the content in it.

What comes from a checkpoint (names above all) is data: it stands in a JSON block in which ``<`` never occurs, and the
page only ever shows it as text. A content security policy allows the one script and the one style by their hashes, and
no connection at all; a page that asks a server may talk to that server.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from importlib.resources import files
from typing import Any

from serialformer.files import write_file

FRONT = ("page",)
"""The front end that computes a model: ``page.js`` and ``page.css``."""


def render_page(content: dict[str, Any], *, front: tuple[str, ...] = FRONT) -> bytes:
    """The page, as bytes of UTF-8.

    Args:
        content: what it shows.
        front: the names of the scripts and of the styles that show it, in their order.

    >>> page = render_page({"title": "</script>", "live": False})
    >>> b"</script>" in page.partition(b'id="content">')[2].partition(b"</script>")[0]
    False
    """
    script, style = ("".join(_bundled(f"{name}.{suffix}") for name in front) for suffix in ("js", "css"))
    title = html.escape(shorten(str(content["title"]), 100))
    policy = content_security_policy(script, style, connect=bool(content["live"]))
    return "".join(
        (
            "<!doctype html>\n",
            '<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            f"<title>{title} - serialformer</title>\n",
            f"<style>{style}</style>\n</head>\n<body>\n",
            '<div id="page"><p class="loading">Reading the weights ...</p></div>\n',
            "<noscript><p>This page computes a transformer in the browser, so it needs JavaScript.</p></noscript>\n",
            f'<script type="application/json" id="content">{embed_json(content)}</script>\n',
            f"<script>{script}</script>\n",
            "</body>\n</html>\n",
        )
    ).encode()


def write_page(path: str | os.PathLike[str], content: dict[str, Any], *, front: tuple[str, ...] = FRONT) -> int:
    """Writes the page, whole or not at all, and returns its size in bytes; see ``render_page``.

    Raises:
        SerialformerError: it cannot be written there.
    """
    page = render_page(content, front=front)
    write_file(path, page)
    return len(page)


def embed_json(content: dict[str, Any]) -> str:
    """JSON for use inside a script element: ASCII, without characters that are special in markup.

    >>> embed_json({"name": "</script><b>&"})
    '{"name":"\\\\u003c/script\\\\u003e\\\\u003cb\\\\u003e\\\\u0026"}'
    """
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def content_security_policy(script: str, style: str, *, connect: bool) -> str:
    """What the page may do: run this script, have this style, and connect to where it came from or nowhere."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_source_hash(script)}'",
            f"style-src '{_source_hash(style)}'",
            "connect-src 'self'" if connect else "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def shorten(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis; without what cannot be written as UTF-8.

    >>> shorten("abcdef", 4), shorten("abcd", 4)
    ('abc\N{HORIZONTAL ELLIPSIS}', 'abcd')
    """
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _bundled(name: str) -> str:
    """A file that the front end was built into; see ``explore/`` in the source repository."""
    return (files("serialformer.explorer") / name).read_text(encoding="utf-8")


def _source_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
