"""Server: the page on loopback, with answers to what it asks of models that are too large to be in it.

It listens on 127.0.0.1 only. A web site that a name server makes point here (DNS rebinding) is refused by the Host
header, one that posts here by the Origin header. There are six routes and no files.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from serialformer.constructions.placed_tokens import PlacedTokens
from serialformer.errors import InputError, SerialformerError
from serialformer.explorer.content import MAX_HEAT_MAP
from serialformer.explorer.intervened import intervene, read_change
from serialformer.explorer.page import render_page
from serialformer.explorer.reading import Reading
from serialformer.transformer.transformer import Transformer

ADDRESS = "127.0.0.1"
MAX_BODY_BYTES = 64 << 20
NUM_READINGS = 4
"""Sequences whose keys and values are kept; a page that asks for an older one is told so."""


ReadPrompt = Callable[[str], list[dict[str, Any]]]
"""Makes of a text the prompt of each model, as the page shows it; see ``content.own_samples``."""


class PageServer(ThreadingHTTPServer):
    """Serves one page and what it asks; ``serve_forever`` runs it, ``address`` says where."""

    daemon_threads = True

    def __init__(
        self,
        content: dict[str, Any],
        transformers: Sequence[Transformer],
        *,
        placed: Sequence[PlacedTokens | None] = (),
        read_prompt: ReadPrompt | None = None,
        port: int = 0,
    ) -> None:
        super().__init__((ADDRESS, port), _Handler)
        self._read_prompt = read_prompt
        self.page = render_page(content)
        self.hosts = {f"{ADDRESS}:{self.server_port}", f"localhost:{self.server_port}"}
        self._transformers = list(transformers)
        self._placed = list(placed) or [None] * len(transformers)
        self._readings: OrderedDict[int, Reading] = OrderedDict()
        self._last = 0
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a page that was closed before its answer came; anything else is printed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def begin(self, body: Any) -> dict[str, Any]:
        """Reads a sequence: ``{"model": index, "tokens": [id or -1, ...]}``."""
        try:
            number = _whole(body["model"], len(self._transformers))
            tokens = np.array([_whole(token, 1 << 31, least=-1) for token in body["tokens"]], dtype=np.int64)
        except (KeyError, TypeError):
            raise InputError("expected a model and its tokens") from None
        with self._lock:
            reading = Reading(self._transformers[number], tokens, self._placed[number])
            self._last += 1
            self._readings[self._last] = reading
            while len(self._readings) > NUM_READINGS:
                self._readings.popitem(last=False)
            return {"run": self._last, **reading.summary()}

    def intervene(self, body: Any) -> dict[str, Any]:
        """Reads a sequence with an intervention: what ``begin`` takes, ``first``, ``change``, and ``other`` or None."""
        try:
            number = _whole(body["model"], len(self._transformers))
            tokens, other = (
                None if part is None else np.array([_whole(token, 1 << 31, least=-1) for token in part], dtype=np.int64)
                for part in (body["tokens"], body["other"])
            )
            change, first = read_change(body["change"]), _whole(body["first"], 1 << 31)
        except (KeyError, TypeError):
            raise InputError("expected a model, its tokens and a change") from None
        if tokens is None:
            raise InputError("expected a model, its tokens and a change")
        with self._lock:
            found = intervene(self._transformers[number], tokens, change, other, first, self._placed[number])
            return {**found}

    def prompt(self, body: Any) -> dict[str, Any]:
        """A prompt of one's own, checked by the task: ``{"text": "0 1 1"}``."""
        if self._read_prompt is None:
            raise InputError("this page is of a circuit, which has no prompts of its own")
        if not isinstance(body, dict) or not isinstance(body.get("text"), str):
            raise InputError("expected the text of a prompt")
        return {"samples": self._read_prompt(body["text"])}

    def view(self, run: int, position: int) -> dict[str, Any]:
        """What happens at a position of a sequence that was read."""
        return self._reading(run).view(position)

    def attention(self, run: int) -> dict[str, Any]:
        """All attention weights of a sequence that was read."""
        return {"rows": self._reading(run).attention_rows(MAX_HEAT_MAP)}

    def _reading(self, run: int) -> Reading:
        with self._lock:
            if run not in self._readings:
                raise InputError(f"sequence {run} is no longer kept", hint="reload the page")
            self._readings.move_to_end(run)
            return self._readings[run]


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/":
            if self._is_ours():
                self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
        elif url.path == "/api/view":
            self._answer(lambda: self.server.view(self._number(url.query, "run"), self._number(url.query, "position")))
        elif url.path == "/api/attention":
            self._answer(lambda: self.server.attention(self._number(url.query, "run")))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def do_POST(self) -> None:
        asked_for = {
            "/api/run": self.server.begin,
            "/api/prompt": self.server.prompt,
            "/api/intervene": self.server.intervene,
        }.get(urlsplit(self.path).path)
        if asked_for is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "expected a body of a known and moderate length")
            return
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected JSON")
            return
        body = self.rfile.read(int(length))

        def begin() -> dict[str, Any]:
            try:
                asked = json.loads(body)
            except (ValueError, RecursionError):
                raise InputError("expected JSON") from None
            return asked_for(asked)

        self._answer(begin)

    def _is_ours(self) -> bool:
        """Whether the request is to this address by its own name, from no other site; says no if it is not."""
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in self.server.hosts and (
            origin is None or origin in {f"http://{host}" for host in self.server.hosts}
        ):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "this page is served to this machine only")
        return False

    def _answer(self, ask: Callable[[], dict[str, Any]]) -> None:
        if not self._is_ours():
            return
        try:
            text = json.dumps(ask(), allow_nan=False)
        except SerialformerError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        else:
            self._send(HTTPStatus.OK, "application/json", text.encode())

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self.close_connection = True
        self._send(status, "application/json", json.dumps({"error": reason}).encode())

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _number(self, query: str, name: str) -> int:
        values = parse_qs(query).get(name, [])
        if len(values) != 1 or not values[0].isdecimal() or len(values[0]) > 12:
            raise InputError(f"expected a number as {name}")
        return int(values[0])

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: stderr is for what matters."""


def serve_page(
    content: dict[str, Any],
    transformers: Sequence[Transformer],
    *,
    placed: Sequence[PlacedTokens | None] = (),
    read_prompt: ReadPrompt | None = None,
    port: int,
    announce: Callable[[str], None],
) -> None:
    """Serves the page until it is interrupted.

    Args:
        content: what the page holds, made with ``embedded=False``.
        transformers: the models, in the order of the content's.
        placed: the tokens of each model that say where they stand; see ``content.page_tokens``.
        read_prompt: for models of a task: makes prompts of texts.
        port: where to listen; 0 takes a free one.
        announce: called with the page's address once it can be opened.

    Raises:
        OSError: the port is taken or may not be used.
    """
    with PageServer(content, transformers, placed=placed, read_prompt=read_prompt, port=port) as server:
        announce(server.address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _whole(value: Any, limit: int, *, least: int = 0) -> int:
    """A whole number from ``least`` to below ``limit``."""
    if type(value) is not int or not least <= value < limit:
        raise InputError(f"expected a whole number from {least} to {limit - 1}")
    return value
