"""The server answers this machine about the models it was given, and nobody about anything else."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.explorer.models import adder, compiled_adder
from tests.task_models import exact_parity

from serialformer import SerialformerError, compile
from serialformer.explorer.content import circuit_content, own_samples, task_content
from serialformer.explorer.server import PageServer
from serialformer.transformer.forward import compute_attention

Ask = Callable[..., tuple[int, Any]]
TOKENS = [1, 0, 1, 1, 2, -1, -1, -1]


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    model = compiled_adder()
    with PageServer(circuit_content(model, embedded=False), [model.transformer]) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def ask(server: PageServer) -> Ask:
    def call(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json else text

    return call


def test_it_listens_on_loopback_only(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/"


def test_the_page_asks_and_is_answered(ask: Ask) -> None:
    status, page = ask("GET", "/")
    assert (status, page[:15]) == (200, b"<!doctype html>")
    assert b"connect-src 'self'" in page
    status, run = ask("POST", "/api/run", {"model": 0, "tokens": TOKENS})
    assert status == 200
    transformer = compiled_adder().transformer
    expected = compute_attention(transformer, np.array([run["tokens"]], dtype=np.int64))[0][0]
    status, view = ask("GET", f"/api/view?run={run['run']}&position=6")
    assert status == 200
    for head, looks in enumerate(view["attention"][0]):
        assert looks[0]["weight"] == pytest.approx(expected[head, 6].max(), rel=1e-12)
        assert looks[0]["position"] == expected[head, 6].argmax()
    status, rows = ask("GET", f"/api/attention?run={run['run']}")
    np.testing.assert_allclose(np.array(rows["rows"][0]).reshape(expected.shape), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("error", "printed"), [(BrokenPipeError, False), (ConnectionResetError, False), (ValueError, True)]
)
def test_a_page_that_is_closed_early_prints_no_traceback(
    server: PageServer, error: type[Exception], printed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        raise error("gone")
    except Exception:
        server.handle_error(None, ("127.0.0.1", 1))
    assert (error.__name__ in capsys.readouterr().err) == printed


def test_prompts_are_checked_by_the_task(ask: Ask) -> None:
    assert ask("POST", "/api/prompt", {"text": "0 1"}) == (
        400,
        {"error": "this page is of a circuit, which has no prompts of its own"},
    )
    models = [exact_parity(3)]
    with PageServer(
        task_content(models, num_samples=1, embedded=False),
        [models[0].transformer],
        read_prompt=partial(own_samples, models),
    ) as server:
        assert server.prompt({"text": "0 1 1"})["samples"] == [
            {"tokens": [0, 1, 1, 2, 0, 1], "labels": [-1, -1, -1, 0, 1, 0], "made": [0] * 4 + [1] * 2}
            | {"prompt": 4, "answer": [5]}
        ]
        with pytest.raises(SerialformerError, match="no token '2' at place 1"):
            server.prompt({"text": "2 1 1"})
        wrong: list[Any] = [{"text": 3}, {}, []]
        for body in wrong:
            with pytest.raises(SerialformerError, match="expected the text of a prompt"):
                server.prompt(body)


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "127.0.0.1"}, {"Origin": "http://evil.example"}]
)
@pytest.mark.parametrize("path", ["/", "/api/view?run=1&position=5", "/api/attention?run=1"])
def test_other_names_and_sites_are_refused(ask: Ask, path: str, headers: dict[str, str]) -> None:
    assert ask("GET", path, **headers) == (403, {"error": "this page is served to this machine only"})


def test_another_site_cannot_make_it_read(ask: Ask) -> None:
    body = {"model": 0, "tokens": TOKENS}
    assert ask("POST", "/api/run", body, Origin="http://evil.example")[0] == 403
    assert ask("POST", "/api/run", body, **{"Content-Type": "text/plain"})[0] == 415


@pytest.mark.parametrize(
    "path", ["/index.html", "/../../etc/passwd", "/model.safetensors", "//etc/passwd", "/api", "/api/run", "/?x/../y/z"]
)
def test_there_is_nothing_else(ask: Ask, path: str) -> None:
    status, answer = ask("GET", path)
    if path.startswith("/?"):
        assert status == 200  # the page: what follows the question mark says nothing
    else:
        assert (status, answer) == (404, {"error": "there is nothing here"})
    assert ask("POST", path.replace("/api/run", "/api/other"), {})[0] == 404


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"[" * 100_000, b"\xff", [], {}, {"model": 0}, {"model": 1, "tokens": TOKENS}]
    + [{"model": 0, "tokens": tokens} for tokens in ("abc", [], [0.5], [True], [99], [-1], [10**30], [0] * 500)],
)
def test_what_it_cannot_read_is_an_error_of_one_line(ask: Ask, body: Any) -> None:
    status, answer = ask("POST", "/api/run", body)
    assert status == 400
    assert answer["error"]


@pytest.mark.parametrize("query", ["", "run=1", "run=x&position=1", "run=99&position=1", "run=1&run=2&position=1"])
def test_a_view_of_nothing_is_an_error(ask: Ask, query: str) -> None:
    status, answer = ask("GET", f"/api/view?{query}")
    assert status == 400
    assert "expected a number as" in answer["error"] or "is no longer kept" in answer["error"]


def test_only_the_last_sequences_are_kept(ask: Ask) -> None:
    runs = [ask("POST", "/api/run", {"model": 0, "tokens": TOKENS})[1]["run"] for _ in range(5)]
    assert ask("GET", f"/api/view?run={runs[0]}&position=5")[0] == 400
    assert ask("GET", f"/api/view?run={runs[-1]}&position=5")[0] == 200


def test_a_llama_is_told_of_in_plain_bits() -> None:
    model = compile(adder(), target="llama")
    transcript = model.run(a=1, b=3)
    content = circuit_content(model, embedded=False)
    assert content["models"][0]["architecture"]["vocabulary"] == ["0", "1", "=", "<unk>"]
    with PageServer(content, [model.transformer], placed=[model.placed]) as server:
        sequence = [*transcript.prompt.tolist(), *[-1] * len(transcript.chain)]
        run = server.begin({"model": 0, "tokens": sequence})
        assert run["tokens"] == [*transcript.prompt.tolist(), *transcript.chain.tolist()]
        assert run["said"][len(transcript.prompt) - 1 :] == [*transcript.chain.tolist(), 2]
        for position in range(len(transcript.prompt) - 1, len(sequence)):
            view = server.view(run["run"], position)
            assert int(np.argmax(view["logits"])) == run["said"][position]
            assert [look[0]["weight"] for layer in view["attention"] for look in layer] == pytest.approx([1.0] * 8)
