"""Sessions with a server: the completions interface that most inference servers have."""

from __future__ import annotations

import ipaddress
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from serialformer.engines.adapters.adapter import Options, Refusal
from serialformer.engines.session import Breakdown, Call, Session
from serialformer.errors import EngineError, InputError
from serialformer.transformer.checkpoint import TOKENIZER_FILE, read_json

CONCURRENCY = (1, 4, 16)

BYTE_LEVEL_BLANK = "\u0120"

EXTRA_FIELDS = {"skip_special_tokens": False, "return_token_ids": True}
"""What some servers take beside the fields that all of them know."""

MAX_REPLY_BYTES = 1 << 26


class ServerSession(Session):
    """A server with ``/v1/completions``, asked greedily, with token ids or with text.

    Each row is a request of its own. As many as the option ``concurrency`` says are made at a time, those of several
    calls as well if a call has fewer rows. Text that comes back is cut into the tokens of the model's vocabulary.

    Args:
        url: of the server, such as ``http://127.0.0.1:8000``; ``/v1`` at its end may be left out.
        served: the name by which the server knows the model; by default that of the only one that it serves.
        allow_remote: whether the server may be on another machine.
        timeout: how many seconds an answer may take.

    Raises:
        InputError: it is no address, or is on another machine.
        EngineError: nothing answers there, or it serves several models or another one.
    """

    keeps_running = True

    def __init__(
        self, url: str, *, served: str | None = None, allow_remote: bool = False, timeout: float = 300.0
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"expected an address, found {url!r}", where="--url", hint="http://127.0.0.1:8000")
        if not allow_remote and not is_loopback(parts.hostname):
            raise InputError(
                f"{parts.hostname} is not this machine", where="--url", hint="--allow-remote sends prompts there anyway"
            )
        self._base = url.rstrip("/").removesuffix("/v1") + "/v1"
        self._timeout = timeout
        # No proxy stands between this machine and itself.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.name = url
        self.options = {"prompts": ("ids", "text"), "stream": (False, True), "concurrency": CONCURRENCY}
        self._extra_fields: Mapping[str, bool] = EXTRA_FIELDS
        self._served = self._choose(served)
        self.versions = {"model": self._served}

    def _choose(self, served: str | None) -> str:
        try:
            listed = [str(model["id"]) for model in json.loads(self._request("/models", None))["data"]]
        except (Breakdown, ValueError, KeyError, TypeError) as error:
            raise EngineError(f"no list of models: {error}", where=f"{self._base}/models") from None
        if served is None and len(listed) == 1:
            return listed[0]
        if served not in listed:
            shown = ", ".join(listed[:10]) or "none"
            missing = "which model?" if served is None else f"no model {served!r}"
            raise EngineError(missing, where=self._base, hint=f"--served NAME, one of {shown}")
        return served

    def open(self, directory: Path, options: Options) -> dict[str, str]:
        self._options = options
        tokenizer = read_json(directory / TOKENIZER_FILE)
        vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
        # A byte-level vocabulary writes the blank before a token as a letter of its own.
        self._is_spaced = any(name.startswith(BYTE_LEVEL_BLANK) for name in vocabulary)
        self._ids = {name.replace(BYTE_LEVEL_BLANK, " "): index for name, index in vocabulary.items()}
        self._names = {index: text for text, index in self._ids.items()}
        return {}

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: Path | None) -> list[list[int]]:
        call = Call(prompts=tuple(tuple(prompt) for prompt in prompts), num_tokens=num_tokens, draft=draft)
        return self.generate_at_once([call])[0]

    def num_at_once(self, options: Options) -> int:
        return int(options["concurrency"])

    def generate_at_once(self, calls: Sequence[Call]) -> list[list[list[int]]]:
        if any(call.draft is not None for call in calls):
            raise Refusal("a server has the draft model that it was started with")
        with ThreadPoolExecutor(self.num_at_once(self._options)) as threads:
            pending = [[threads.submit(self._complete, row, call.num_tokens) for row in call.prompts] for call in calls]
            return [[request.result() for request in requests] for requests in pending]

    def _complete(self, prompt: Sequence[int], num_tokens: int) -> list[int]:
        as_text = self._options["prompts"] == "text"
        body = {
            "model": self._served,
            "prompt": "".join(self._names[token] for token in prompt) if as_text else list(prompt),
            "max_tokens": num_tokens,
            "temperature": 0,
            "stream": bool(self._options["stream"]),
        }
        reply = self._ask_for_more(body)
        pieces = list(_events(reply)) if self._options["stream"] else [_json(reply)]
        tokens: list[int] = []
        text = ""
        for piece in pieces:
            for choice in piece.get("choices", ()):
                text += choice.get("text") or ""
                tokens += choice.get("token_ids") or ()
        return tokens if tokens or not text else self._cut(text)

    def _ask_for_more(self, body: Mapping[str, Any]) -> bytes:
        """The reply to a request for token ids and special tokens as well, unless the server knows no such fields."""
        try:
            return self._request("/completions", {**body, **self._extra_fields})
        except Refusal as error:
            if not any(field in str(error) for field in EXTRA_FIELDS):
                raise
        self._extra_fields = {}
        return self._request("/completions", body)

    def _cut(self, text: str) -> list[int]:
        """The ids of the tokens of a text, the longest that fits each time.

        Some servers take the blank off the first token.
        """
        if self._is_spaced and text[:1] not in ("", " ", "<"):
            text = f" {text}"
        tokens, longest, start = [], max(map(len, self._ids)), 0
        while start < len(text):
            for length in range(min(longest, len(text) - start), 0, -1):
                if text[start : start + length] in self._ids:
                    tokens.append(self._ids[text[start : start + length]])
                    start += length
                    break
            else:
                if not text[start].isspace():
                    raise Breakdown("error", f"text that is no token: {text[start : start + 40]!r}")
                start += 1
        return tokens

    def _request(self, path: str, body: Mapping[str, Any] | None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=self._timeout) as reply:
                content: bytes = reply.read(MAX_REPLY_BYTES)
                return content
        except urllib.error.HTTPError as error:
            detail = error.read(2000).decode("utf-8", "replace")
            error.close()
            if error.code in (400, 404, 422):
                raise Refusal(f"{error.code}: {detail[:300]}") from None
            raise Breakdown("error", f"HTTP {error.code}", detail) from None
        except (TimeoutError, urllib.error.URLError, ConnectionError, OSError) as error:
            reason = getattr(error, "reason", error)
            kind = "timeout" if isinstance(reason, TimeoutError) else "exit"
            raise Breakdown(kind, f"no answer from {self._base}: {reason}") from None


def is_loopback(host: str) -> bool:
    """Whether every address of a host is this machine's own.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("192.0.2.1")
    (True, True, False)
    """
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def _json(reply: bytes) -> dict[str, Any]:
    try:
        content = json.loads(reply)
    except ValueError:
        raise Breakdown("error", f"expected JSON, found {reply[:200]!r}") from None
    if not isinstance(content, dict):
        raise Breakdown("error", f"expected an object, found {reply[:200]!r}")
    return content


def _events(reply: bytes) -> Iterator[dict[str, Any]]:
    """The objects of a stream of server-sent events."""
    for line in reply.decode("utf-8", "replace").splitlines():
        if line.startswith("data:") and line[5:].strip() != "[DONE]":
            yield _json(line[5:].strip().encode())
