"""Servers with the completions interface: ids and text, streams, concurrency, and what is refused."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serialformer import Model, compile
from serialformer.engines.adapters.adapter import Refusal
from serialformer.engines.cases import group_calls
from serialformer.engines.report import check_engine
from serialformer.engines.scattered import scattered_circuit
from serialformer.engines.server import ServerSession
from serialformer.engines.session import Breakdown
from serialformer.engines.suite import read_suite
from serialformer.errors import EngineError, InputError


class Handler(BaseHTTPRequestHandler):
    """A server of one model by our own engine; ``mode`` breaks it."""

    model: Model
    decoding = threading.Lock()
    mode = "ids"
    meeting: threading.Barrier
    places: Iterator[int]

    def do_GET(self) -> None:
        self.reply({"data": [{"id": name} for name in (["a", "b"] if self.mode == "two" else ["the model"])]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.mode == "refuses":
            self.send_error(400, "too long")
            return
        if self.mode == "strict" and set(asked) - {"model", "prompt", "max_tokens", "temperature", "stream"}:
            self.send_response(422)
            self.end_headers()
            self.wfile.write(b"Unexpected fields in the request: {'return_token_ids'}")
            return
        if self.mode == "spaced":
            # The blank before the first token of the answer is taken off.
            self.reply({"choices": [{"text": "aa ab ab" if asked["prompt"] == " ab aa" else asked["prompt"]}]})
            return
        if self.mode == "fails":
            self.send_error(500, "broken")
            return
        if self.mode == "meets" and next(self.places) < 16:
            # None of the first 16 requests is answered before all of them are here.
            self.meeting.wait()
        words = self.model.transformer.architecture.vocabulary
        prompt = asked["prompt"] if isinstance(asked["prompt"], list) else [words.index(x) for x in asked["prompt"]]
        with self.decoding:
            engine = self.model.engine("dense")
            made = engine.generate(np.array([prompt]), asked["max_tokens"])[0].tolist()
        if self.mode == "wrong":
            made[3] ^= 1
        pieces = [made] if not asked["stream"] else [made[:2], made[2:]]
        replies = []
        for piece in pieces:
            choice: dict[str, Any] = {"text": "".join(words[token] for token in piece)}
            replies.append({"choices": [choice if self.mode in ("text", "strict") else {**choice, "token_ids": piece}]})
        if asked["stream"]:
            text = "".join(f"data: {json.dumps(reply)}\n\n" for reply in replies) + "data: [DONE]\n\n"
            self.reply_text(text)
        else:
            self.reply(replies[0])

    def reply(self, content: dict[str, Any]) -> None:
        self.reply_text(json.dumps(content))

    def reply_text(self, text: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    """As many connections may wait to be accepted; five are the default, and sixteen come at a time."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("server") / "model"
    return compile(scattered_circuit(2, num_inputs=7, num_gates=40)).save(path)


@pytest.fixture
def url(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Handler, "model", model, raising=False)
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("mode", ["ids", "text", "strict"])
def test_a_sound_server(url: str, model: Model, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "mode", mode)
    assert model.directory is not None
    report = check_engine(ServerSession(url + "/v1"), read_suite(model.directory), sweep="each", brief=True)
    assert report.status == 0
    assert [trial.options["concurrency"] for trial in report.trials] == [1, 1, 1, 4, 16]


def test_a_wrong_server(url: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "mode", "wrong")
    assert model.directory is not None
    report = check_engine(ServerSession(url), read_suite(model.directory), sweep="default", brief=True)
    assert report.status == 1 and report.failures[0].wrong[0].token == 3


def test_requests_of_several_calls_are_made_at_the_same_time(
    url: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "mode", "meets")
    monkeypatch.setattr(Handler, "meeting", threading.Barrier(16, timeout=60.0), raising=False)
    monkeypatch.setattr(Handler, "places", itertools.count(), raising=False)
    assert model.directory is not None
    suite = read_suite(model.directory)
    assert max(len(call) for call in group_calls(suite[0].cases)) < 16
    report = check_engine(ServerSession(url), suite, sweep="default", brief=True, chosen={"concurrency": 16})
    assert report.status == 0


def test_what_a_server_refuses(url: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "mode", "refuses")
    session = ServerSession(url)
    assert model.directory is not None
    options = {name: values[0] for name, values in session.options.items()}
    session.open(model.directory, options)
    with pytest.raises(Refusal, match="400"):
        session.generate([[0] * 7 + [2]], 4, None)
    report = check_engine(session, read_suite(model.directory), sweep="default")
    assert report.status == 2


def test_a_server_that_fails(url: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "mode", "fails")
    session = ServerSession(url)
    assert model.directory is not None
    session.open(model.directory, {name: values[0] for name, values in session.options.items()})
    with pytest.raises(Breakdown, match="HTTP 500"):
        session.generate([[0] * 7 + [2]], 4, None)


def test_which_model(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "mode", "two")
    with pytest.raises(EngineError, match="which model\\?\nhint: --served NAME, one of a, b"):
        ServerSession(url)
    with pytest.raises(EngineError, match="no model 'c'"):
        ServerSession(url, served="c")
    assert ServerSession(url, served="b").versions == {"model": "b"}


def test_other_machines_are_refused() -> None:
    with pytest.raises(InputError, match=r"192\.0\.2\.1 is not this machine"):
        ServerSession("http://192.0.2.1:8000")
    with pytest.raises(InputError, match="expected an address"):
        ServerSession("localhost:8000")


def test_nobody_answers() -> None:
    with pytest.raises(EngineError, match="no list of models"):
        ServerSession("http://127.0.0.1:9", timeout=5.0)


def test_text_of_a_byte_level_vocabulary(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens begin with a blank, which such a vocabulary writes as a letter."""
    monkeypatch.setattr(Handler, "mode", "spaced")
    vocabulary = {"<unk>": 0, "\u0120aa": 1, "\u0120ab": 2}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    session = ServerSession(url)
    session.open(tmp_path, {"prompts": "text", "stream": False, "concurrency": 1})
    assert session.generate([[2, 1]], 3, None) == [[1, 2, 2]]
