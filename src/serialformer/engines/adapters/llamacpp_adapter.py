"""llama.cpp on a CPU, by the wheel ``xllamacpp``: its server in the adapter's process."""

from __future__ import annotations

import json
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value, check_imports

FLASH = {"auto": -1, "off": 0, "on": 1}
CACHES = {"float16": 1, "float32": 0, "bfloat16": 30, "q8_0": 8}
"""llama.cpp's numbers of the formats that keys and values can be kept in."""

SLOT_MULTIPLE = 256
"""llama.cpp rounds the context of a slot up to a multiple of this."""


class LlamaCppAdapter(Adapter):
    """A GGUF file is written, and the server that ``llama-server`` is answers ``/completion`` on this machine.

    The rows of a call are requests made together, which the server puts into one batch as far as it has slots. The
    prefix cache is on as llama.cpp has it, so that later requests begin with what earlier ones left.
    """

    name = "llama.cpp"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "dtype": ("checkpoint", "float32", "float16", "bfloat16", "q8_0", "q4_0"),
        "flash": ("auto", "off", "on"),
        "cache": ("float16", "float32", "bfloat16", "q8_0"),
        "threads": (1, 2),
        "slots": (4, 1),
        "batch": (512, 32),
        "prefix_cache": (True, False),
        "speculation": ("none", "n-gram"),
    }
    requires = "xllamacpp gguf numpy"

    def __init__(self) -> None:
        self._server: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def versions(self) -> dict[str, str]:
        check_imports("gguf", "xllamacpp")

        return {"xllamacpp": version("xllamacpp"), "gguf": version("gguf")}

    def open(self, directory: str, options: Options) -> dict[str, str]:
        from serialformer.engines.tensor_file import read_config

        self.close()
        self._folder = tempfile.TemporaryDirectory()
        self._options = options
        self._paths: dict[str, str] = {}
        config = read_config(Path(directory))
        self._positions = int(config.get("n_positions") or config["max_position_embeddings"])
        self._directory = directory
        path, dtype = self._convert(directory)
        self._start(path, None)
        return {"dtype": dtype, "cache": str(options["cache"])}

    def _convert(self, directory: str) -> tuple[str, str]:
        """The path of the GGUF file of a checkpoint directory, and the format of its matrices."""
        from serialformer.engines.gguf_file import write_gguf

        assert self._folder is not None
        path = Path(self._folder.name) / f"{len(self._paths)}.gguf"
        try:
            dtype = write_gguf(Path(directory), path, str(self._options["dtype"]))
        except ValueError as error:
            raise Refusal(str(error)) from None
        self._paths[directory] = str(path)
        return str(path), dtype

    def _start(self, path: str, draft: str | None) -> None:
        """Starts the server, with or without a draft model, in the place of what runs."""
        import xllamacpp

        self._server = None
        options, slots = self._options, int(self._options["slots"])
        parameters = xllamacpp.CommonParams()
        parameters.model.path = path
        parameters.n_ctx = slots * -(-self._positions // SLOT_MULTIPLE) * SLOT_MULTIPLE
        parameters.n_parallel = slots
        parameters.n_batch = max(512, int(options["batch"]))
        parameters.n_ubatch = int(options["batch"])
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type(FLASH[str(options["flash"])])
        cache = xllamacpp.ggml_type(CACHES[str(options["cache"])])
        parameters.cache_type_k = parameters.cache_type_v = cache
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(options["threads"])
        parameters.warmup = parameters.fit_params = False
        parameters.verbosity = 1
        kinds = xllamacpp.common_speculative_type
        if draft is not None:
            parameters.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
            parameters.speculative.draft.mparams.path = draft
        elif options["speculation"] == "n-gram":
            parameters.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
        try:
            self._server = xllamacpp.Server(parameters)
        except RuntimeError as error:
            raise Refusal(str(error)) from None
        self._draft = draft

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        if draft is not None and draft not in self._paths:
            self._convert(draft)
        if self._draft != (None if draft is None else self._paths[draft]):
            self._start(self._paths[self._directory], None if draft is None else self._paths[draft])
        with ThreadPoolExecutor(len(prompts)) as threads:
            return list(threads.map(lambda prompt: self._complete(prompt, num_tokens), prompts))

    def _complete(self, prompt: Sequence[int], num_tokens: int) -> list[int]:
        body = {
            "prompt": list(prompt),
            "n_predict": num_tokens,
            "temperature": 0,
            "top_k": 1,
            "cache_prompt": bool(self._options["prefix_cache"]),
            "return_tokens": True,
        }
        request = urllib.request.Request(
            f"{self._server.listening_address}/completion",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request) as reply:
            tokens: list[int] = json.loads(reply.read())["tokens"]
        return tokens

    def close(self) -> None:
        self._server = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


ADAPTER = LlamaCppAdapter
