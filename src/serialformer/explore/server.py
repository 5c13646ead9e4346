"""Server: the page, and answers to what it asks, for models whose weights are too many for a page.

It listens on 127.0.0.1 only, answers a request only if its Host header names this machine (so that no other site's page
can reach it under a name of its own), knows four paths, and reads nothing from the disk.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from jaxtyping import Int64

from serialformer.decode.dense import DenseEngine
from serialformer.decode.engine import Engine, make_engine
from serialformer.errors import InputError, SerialformerError
from serialformer.explore.content import MAX_HEAT_MAP
from serialformer.explore.page import render_page
from serialformer.explore.position import Reading
from serialformer.transformer.forward import compute_attention, compute_logits
from serialformer.transformer.transformer import Transformer

MAX_REQUEST_BYTES = 64 << 20
MAX_RUNS = 4
"""Sequences that are kept; the page asks about the last of each model."""


class Thinking:
    """Runs models for a page, one request at a time."""

    def __init__(self, transformers: Sequence[Transformer]) -> None:
        self._transformers = transformers
        self._engines: dict[int, Engine] = {}
        self._runs: OrderedDict[int, Reading] = OrderedDict()
        self._made = 0
        self._lock = Lock()

    def run(self, model: int, given: Sequence[int], rest: Sequence[int]) -> dict[str, Any]:
        """Reads a sequence.

        Args:
            model: which.
            given: the tokens that it begins with.
            rest: the tokens behind them, -1 where the model's own token is to stand.

        Returns:
            A number to ask about the run by, the tokens, and for each position what the model says there.

        Raises:
            InputError: there is no such model, or no such sequence for it.
        """
        with self._lock:
            transformer = self._transformer(model)
            architecture = transformer.architecture
            tokens = np.array([*given, *rest], dtype=np.int64)
            if not len(given) or len(tokens) > architecture.num_positions:
                raise InputError(f"expected 1 to {architecture.num_positions} tokens, found {len(tokens)}")
            if not ((tokens >= -1) & (tokens < len(architecture.vocabulary))).all() or min(given) < 0:
                raise InputError(f"expected token ids below {len(architecture.vocabulary)}")
            started = time.perf_counter()
            said = self._say(model, transformer, tokens, len(given))
            reading = Reading(transformer, tokens)
            milliseconds = 1000 * (time.perf_counter() - started)
            self._made += 1
            self._runs[self._made] = reading
            while len(self._runs) > MAX_RUNS:
                self._runs.popitem(last=False)
            return {"run": self._made, "tokens": tokens.tolist(), "said": said.tolist(), "milliseconds": milliseconds}

    def view(self, run: int, position: int) -> dict[str, Any]:
        """What happens at a position of a run."""
        with self._lock:
            reading = self._reading(run)
            if not 0 <= position < len(reading.tokens):
                raise InputError(f"expected a position below {len(reading.tokens)}, found {position}")
            return reading.view(position)

    def attention(self, run: int) -> dict[str, Any]:
        """All attention weights of a run: for each layer and head the rows of all positions, one behind the other."""
        with self._lock:
            reading = self._reading(run)
            architecture, size = reading.transformer.architecture, len(reading.tokens)
            if architecture.num_layers * architecture.num_heads * size**2 > MAX_HEAT_MAP:
                raise InputError(f"{size} positions are too many for heat maps")
            layers = compute_attention(reading.transformer, reading.tokens[None])
            return {"rows": [[head.ravel().round(7).tolist() for head in layer[0]] for layer in layers]}

    def _say(
        self, model: int, transformer: Transformer, tokens: Int64[np.ndarray, " T"], num_given: int
    ) -> Int64[np.ndarray, " T"]:
        """Fills in the model's own tokens, and returns what it says at each position."""
        if (tokens[num_given:] == -1).all() and len(tokens) > num_given:
            # A chain behind a prompt, which is what engines make; what is said there, and there only, is looked at.
            prompt = tokens[None, :num_given]
            made = self._engine(model).generate(prompt, len(tokens) - num_given + 1)[0]
            end = transformer.architecture.end_token
            made = np.pad(made, (0, len(tokens) - num_given + 1 - len(made)), constant_values=end)
            tokens[num_given:] = made[:-1]
            return np.concatenate([tokens[1:num_given], made])
        # Given and made tokens in turns: as long as the sequences of tasks, so every token may read all before it.
        dense = DenseEngine(transformer)
        for place in np.flatnonzero(tokens == -1):
            tokens[place] = dense.generate(tokens[None, :place], 1)[0, 0]
        return np.asarray(compute_logits(transformer, tokens[None])[0].argmax(axis=-1), dtype=np.int64)

    def _transformer(self, model: int) -> Transformer:
        if not 0 <= model < len(self._transformers):
            raise InputError(f"no model {model}")
        return self._transformers[model]

    def _engine(self, model: int) -> Engine:
        if model not in self._engines:
            self._engines[model] = make_engine("auto", self._transformers[model])
        return self._engines[model]

    def _reading(self, run: int) -> Reading:
        if run not in self._runs:
            raise InputError(f"no run {run}", hint="reload the page")
        return self._runs[run]


class PageServer(ThreadingHTTPServer):
    """A server of one page on 127.0.0.1.

    Args:
        content: of the page, without weights.
        transformers: its models.
        port: where; 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, content: dict[str, Any], transformers: Sequence[Transformer], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.page = render_page(content)
        self.thinking = Thinking(transformers)

    @property
    def address(self) -> str:
        """What to type into a browser."""
        return f"http://127.0.0.1:{self.server_port}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names under which it may be asked."""
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    """Four paths, and an error that says what is wrong for anything else."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """The page, a view of a position, or the attention of a run."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        thinking = self.server.thinking
        if not self._is_welcome():
            return
        if parts.path == "/":
            self._send(200, "text/html; charset=utf-8", self.server.page)
        elif parts.path == "/api/view":
            self._answer(lambda: thinking.view(_number(query.get("run")), _number(query.get("position"))))
        elif parts.path == "/api/attention":
            self._answer(lambda: thinking.attention(_number(query.get("run"))))
        else:
            self._refuse(404, "no such page")

    def do_POST(self) -> None:
        """A run: a JSON object with the fields model, given and rest."""
        if not self._is_welcome():
            return
        if urlsplit(self.path).path != "/api/run":
            self._refuse(404, "no such page")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal() or int(length) > MAX_REQUEST_BYTES:
            self._refuse(413, f"expected at most {MAX_REQUEST_BYTES} bytes")
            return
        if self.headers.get_content_type() != "application/json":
            self._refuse(415, "expected JSON")
            return
        body = self.rfile.read(int(length))

        def answer() -> dict[str, Any]:
            try:
                asked = json.loads(body)
                model, given, rest = asked["model"], asked["given"], asked["rest"]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise InputError("expected an object with model, given and rest") from None
            numbers = [model, *given, *rest] if isinstance(given, list) and isinstance(rest, list) else [None]
            if not all(type(number) is int and abs(number) < 1 << 31 for number in numbers):
                raise InputError("expected whole numbers")
            return self.server.thinking.run(model, given, rest)

        self._answer(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not worth a line each."""

    def _is_welcome(self) -> bool:
        """Whether it is asked under this machine's own name, and by its own page if by any."""
        origin = self.headers.get("Origin")
        own = [f"http://{host}" for host in self.server.hosts]
        if self.headers.get("Host") in self.server.hosts and (origin is None or origin in own):
            return True
        self._refuse(403, "this server answers this machine's own page only")
        return False

    def _answer(self, answer: Callable[[], dict[str, Any]]) -> None:
        try:
            content = answer()
        except SerialformerError as error:
            self._refuse(400, str(error))
            return
        self._send(200, "application/json", json.dumps(content).encode())

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True  # what was sent along has perhaps not been read
        self._send(status, "application/json", json.dumps({"error": message}).encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _number(text: str | None) -> int:
    if text is None or len(text) > 12 or not text.isascii() or not text.isdecimal():
        raise InputError(f"expected a number, found {text!r}")
    return int(text)


def serve_page(
    content: dict[str, Any], transformers: Sequence[Transformer], *, port: int, announce: Callable[[str], None]
) -> None:
    """Serves the page until Ctrl-C.

    Args:
        content: of the page, without weights.
        transformers: its models.
        port: where; 0 takes a free one.
        announce: told the address once it answers.

    Raises:
        OSError: the port is taken.
    """
    with PageServer(content, transformers, port) as server:
        announce(server.address)
        server.serve_forever()
