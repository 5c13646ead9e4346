"""Adapters of engines that are not installed here, against stand-ins that take the same calls.

The stand-ins answer with serialformer's own engine, so what is tested is the adapter: what it hands over, what it makes
of the answers, and what it refuses. ``benchmarks/engines`` runs the engines themselves.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from serialformer import Model, compile, load
from serialformer.engines.adapters.adapter import Adapter, Refusal
from serialformer.engines.adapters.registry import ADAPTERS
from serialformer.engines.known import KnownAnswers
from serialformer.engines.scattered import scattered_circuit


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("adapters") / "model"
    return compile(scattered_circuit(2, num_inputs=7, num_gates=60)).save(path)


@pytest.fixture(autouse=True)
def versions_of_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        try:
            return real(name)
        except metadata.PackageNotFoundError:
            return "stand-in"

    monkeypatch.setattr(metadata, "version", version)


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def adapter_of(monkeypatch: pytest.MonkeyPatch, name: str) -> Adapter:
    """A fresh adapter, whose module takes ``version`` from the stand-ins."""
    module = import_module(f"serialformer.engines.adapters.{ADAPTERS[name]}")
    if hasattr(module, "version"):
        monkeypatch.setattr(module, "version", metadata.version)
    made: Adapter = module.ADAPTER()
    return made


def own_answer(directory: str, prompt: list[int], num_tokens: int) -> list[int]:
    made: list[int] = load(directory).engine().generate(np.array([prompt], dtype=np.int64), num_tokens)[0].tolist()
    return made


def default_options(adapter: Adapter) -> dict[str, Any]:
    return {name: values[0] for name, values in adapter.options.items()}


def check(adapter: Adapter, model: Model, *, rows: int = 2) -> None:
    """It opens a model, and its answers are the tokens behind the prompts and no more."""
    facts = adapter.facts()
    assert facts["name"] == adapter.name and facts["versions"]
    json.dumps(facts)
    effects = adapter.open(str(model.directory), default_options(adapter))
    assert effects["dtype"] == "float32"
    known = KnownAnswers(model)
    prompts = [known.prompt([1, 0, 1, 1, 0, row % 2, 1]) for row in range(rows)]
    made = adapter.generate(prompts, 20, None)
    assert [tuple(answer) for answer in made] == [known.continue_prompt(prompt, 20) for prompt in prompts]


class FakeLlm:
    """What the adapter uses of ``vllm.LLM``."""

    def __init__(self, *, model: str, dtype: str, enforce_eager: bool, **options: Any) -> None:
        if options["max_num_batched_tokens"] < 2048 and not options["enable_chunked_prefill"]:
            raise AssertionError("long prompts would not fit")
        if dtype == "float16":
            raise ValueError("head size 19 is not supported")
        self.directory, self.options = model, options
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(dtype="torch.float32"))

    def generate(self, asked: list[dict[str, Any]], parameters: Any, use_tqdm: bool) -> list[Any]:
        answers = []
        for request in asked:
            prompt = request["prompt_token_ids"]
            tokens = own_answer(self.directory, prompt, parameters.max_tokens)
            ranked = [None, *({7: SimpleNamespace(rank=2), token: SimpleNamespace(rank=1)} for token in prompt[1:])]
            answers.append(SimpleNamespace(outputs=[SimpleNamespace(token_ids=tokens)], prompt_logprobs=ranked))
        return answers


def test_vllm(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    stand_in(monkeypatch, "vllm", LLM=FakeLlm, SamplingParams=lambda **given: SimpleNamespace(**given))
    adapter = adapter_of(monkeypatch, "vllm")
    check(adapter, model)
    prompt = KnownAnswers(model).prompt([1, 0, 1, 1, 0, 0, 1])
    # The stand-in says that the prompt itself was likeliest; behind it comes the first token.
    assert adapter.score(prompt)[:-1] == prompt[1:]
    assert adapter.score(prompt)[-1] == KnownAnswers(model).continue_prompt(prompt, 1)[0]
    options = default_options(adapter)
    adapter.open(str(model.directory), {**options, "speculation": "n-gram", "block": 32, "batched_tokens": 64})
    engine: Any = vars(adapter)["_engine"]
    assert engine.options["speculative_config"]["method"] == "ngram" and engine.options["block_size"] == 32
    with pytest.raises(Refusal, match="head size 19"):
        adapter.open(str(model.directory), {**options, "dtype": "float16"})
    with pytest.raises(Refusal, match="draft models"):
        adapter.generate([prompt], 1, "draft")


class FakeServer:
    """What the adapter uses of ``xllamacpp.Server``: an address at which ``/completion`` answers."""

    directory = ""
    opened: ClassVar[list[Any]] = []

    def __init__(self, parameters: Any) -> None:
        self.parameters = parameters
        if parameters.cache_type_k == 8:
            raise RuntimeError("Failed to init server")
        FakeServer.opened.append(parameters)
        directory = self.directory

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == "/completion" and asked["temperature"] == 0 and asked["return_tokens"]
                reply = json.dumps({"tokens": own_answer(directory, asked["prompt"], asked["n_predict"])}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.listening_address = f"http://127.0.0.1:{self.server.server_address[1]}"
        SERVERS.append(self)


SERVERS: list[FakeServer] = []


@pytest.fixture
def xllamacpp(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("gguf")

    class Parameters(SimpleNamespace):
        def __init__(self) -> None:
            super().__init__(model=SimpleNamespace(), cpuparams=SimpleNamespace(), cpuparams_batch=SimpleNamespace())
            self.speculative = SimpleNamespace(types=[], draft=SimpleNamespace(mparams=SimpleNamespace()))

    kinds = SimpleNamespace(COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE="draft", COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE="n-gram")
    FakeServer.directory, FakeServer.opened = str(model.directory), []
    stand_in(
        monkeypatch,
        "xllamacpp",
        CommonParams=Parameters,
        Server=FakeServer,
        ggml_type=int,
        llama_flash_attn_type=int,
        common_speculative_type=kinds,
    )
    yield
    for server in SERVERS:
        server.server.shutdown()
        server.thread.join()
        server.server.server_close()
    SERVERS.clear()


def test_llamacpp(model: Model, xllamacpp: None, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapter_of(monkeypatch, "llama.cpp")
    check(adapter, model)
    (parameters,) = FakeServer.opened
    assert parameters.n_parallel == 4 and parameters.n_ctx == 4 * 256
    assert Path(parameters.model.path).read_bytes()[:4] == b"GGUF"
    prompt = KnownAnswers(model).prompt([1, 0, 1, 1, 0, 0, 1])
    adapter.generate([prompt], 5, str(model.directory))
    assert FakeServer.opened[-1].speculative.types == ["draft"] and len(FakeServer.opened) == 2
    adapter.generate([prompt], 5, str(model.directory))
    assert len(FakeServer.opened) == 2
    options = default_options(adapter)
    adapter.open(str(model.directory), {**options, "speculation": "n-gram"})
    assert FakeServer.opened[-1].speculative.types == ["n-gram"]
    with pytest.raises(Refusal, match="Failed to init server"):
        adapter.open(str(model.directory), {**options, "cache": "q8_0"})
    with pytest.raises(Refusal, match="q8_0 takes rows of 32 weights"):
        adapter.open(str(model.directory), {**options, "dtype": "q8_0"})
    adapter.close()


def test_onnxruntime_genai_takes_pieces_of_one_prompt_only(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapter_of(monkeypatch, "onnxruntime-genai")
    vars(adapter)["_chunk"] = 16
    with pytest.raises(Refusal, match="prompts in pieces one at a time"):
        adapter.generate([[0, 1], [1, 0]], 3, None)
    with pytest.raises(Refusal, match="unequal lengths"):
        adapter.generate([[0, 1], [1]], 3, None)


def test_transformer_lens(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")

    class Bridge:
        @staticmethod
        def boot_transformers(directory: str, device: str, dtype: Any) -> Bridge:
            assert device == "cpu" and dtype == torch.float32
            made = Bridge()
            made.directory = directory
            return made

        directory = ""

        def generate(self, ids: Any, max_new_tokens: int, use_past_kv_cache: bool, **_: Any) -> Any:
            rows = ids.tolist()
            return torch.tensor([[*row, *own_answer(self.directory, row, max_new_tokens)] for row in rows])

    stand_in(monkeypatch, "transformer_lens")
    stand_in(monkeypatch, "transformer_lens.model_bridge", TransformerBridge=Bridge)
    adapter = adapter_of(monkeypatch, "transformer-lens")
    check(adapter, model)
    with pytest.raises(Refusal, match="unequal lengths"):
        adapter.generate([[0, 2], [0]], 1, None)
    assert '"use_past_kv_cache"] = True' in adapter.script(default_options(adapter))


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_missing_engine_is_an_import_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the adapter turns that into one message with the line for pip."""
    missing = {
        "transformers": "transformers",
        "ctranslate2": "ctranslate2",
        "llama.cpp": "xllamacpp",
        "onnxruntime": "onnxruntime",
        "onnxruntime-genai": "onnxruntime_genai",
        "vllm": "torch",
        "openvino": "openvino",
        "openvino-genai": "openvino_genai",
        "optimum": "optimum.onnxruntime",
        "transformer-lens": "transformer_lens",
        "mlx-lm": "mlx.core",
        "quanto": "optimum.quanto",
    }[name]
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, "onnx_ir", ModuleType("onnx_ir"))
    with pytest.raises(ImportError):
        adapter_of(monkeypatch, name).versions()
