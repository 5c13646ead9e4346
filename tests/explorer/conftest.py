"""A browser for the tests of pages, and a page in it that may not complain."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from serialformer.explorer.page import write_page
from serialformer.explorer.server import PageServer

Open = Callable[..., Any]
Serve = Callable[[PageServer], str]
TIMEOUT_MS = 60_000
"""How long a page may take, on a machine that is busy with other tests."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra dev")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        # A browser is no Python package, so the extra `dev` cannot bring it.
        pytest.skip("needs Chromium on the path, which CI installs")
    playwright.expect.set_options(timeout=TIMEOUT_MS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server and gives its address; servers end after the pages, whose last requests they still answer."""
    with ExitStack() as stack:

        def serve_(server: PageServer) -> str:
            stack.enter_context(server)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server.address

        yield serve_


@pytest.fixture
def open_page(browser: Any, serve: Serve, tmp_path: Path) -> Iterator[Open]:
    """Opens content, or an address; at the end nothing may have been said on the console, thrown or fetched.

    It needs `serve` although it does not call it: so pages are closed before their servers end.
    """
    complaints: list[str] = []
    contexts = []

    def open_(content: dict[str, Any] | str, **options: Any) -> Any:
        address = content
        if not isinstance(content, str):
            write_page(tmp_path / "page.html", content)
            address = (tmp_path / "page.html").as_uri()
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        if address.startswith("file:"):
            file = address.partition("#")[0]
            page.on("request", lambda one: complaints.append(one.url) if one.url != file else None)
        page.goto(address)
        page.wait_for_selector("#page[data-ready]")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []
