"""Hugging Face transformers on a CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value
from serialformer.engines.adapters.left_padding import left_padded

SCRIPT = """
import torch
from transformers import AutoModelForCausalLM

def open_engine(directory):
    torch.set_num_threads({threads})
    model = AutoModelForCausalLM.from_pretrained(directory, dtype={dtype}, attn_implementation="{attention}")
    pad = model.generation_config.pad_token_id

    def generate(prompts, num_tokens):
        longest = max(map(len, prompts))
        ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        options = dict(do_sample=False, max_new_tokens=num_tokens, num_beams={beams}{cache}{speculation})
        return model.generate(ids, attention_mask=mask, **options)[:, longest:].tolist()

    return generate
"""

LOOK_UP_TOKENS = 10
"""How many tokens prompt look-up drafts."""

CACHES = {"dynamic": "", "static": ', cache_implementation="static"', "none": ", use_cache=False"}


class TransformersAdapter(Adapter):
    """``AutoModelForCausalLM.generate``: batches are padded on the left, draft models are assistants."""

    name = "transformers"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "attention": ("sdpa", "eager"),
        "cache": ("dynamic", "static", "none"),
        "beams": (1, 3),
        "speculation": ("none", "prompt look-up"),
        "threads": (1, 2),
        "dtype": ("checkpoint", "float32"),
    }
    requires = "transformers torch"

    def versions(self) -> dict[str, str]:
        import torch
        import transformers

        return {"transformers": transformers.__version__, "torch": torch.__version__}

    def open(self, directory: str, options: Options) -> dict[str, str]:
        import torch
        from transformers import logging

        quiet: Any = logging
        quiet.set_verbosity_error()
        quiet.disable_progress_bar()
        torch.set_num_threads(int(options["threads"]))
        self._options = options
        self._model = self._load(directory)
        self._drafts: dict[str, Any] = {}
        return {"dtype": str(self._model.dtype).removeprefix("torch.")}

    def _load(self, directory: str) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        load: Any = AutoModelForCausalLM.from_pretrained
        dtype = "auto" if self._options["dtype"] == "checkpoint" else torch.float32
        return load(directory, dtype=dtype, attn_implementation=self._options["attention"]).eval()

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        more: dict[str, Any] = {"num_beams": self._options["beams"]}
        if self._options["cache"] == "static":
            more["cache_implementation"] = "static"
        elif self._options["cache"] == "none":
            more["use_cache"] = False
        looks_up = self._options["speculation"] != "none"
        if draft is not None or looks_up:
            if len(prompts) > 1 or self._options["beams"] != 1 or self._options["cache"] != "dynamic":
                raise Refusal("speculation takes one prompt, no beams and a dynamic cache")
            if looks_up and draft is not None:
                raise Refusal("either a draft model or prompt look-up")
        if looks_up:
            more["prompt_lookup_num_tokens"] = LOOK_UP_TOKENS
        if draft is not None:
            if draft not in self._drafts:
                self._drafts[draft] = self._load(draft)
            more["assistant_model"] = self._drafts[draft]
        ids, mask = left_padded(prompts, int(self._model.generation_config.pad_token_id))
        made = self._model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=num_tokens, **more)
        tokens: list[list[int]] = made[:, ids.shape[1] :].tolist()
        return tokens

    def score(self, tokens: Sequence[int]) -> list[int]:
        import torch

        with torch.no_grad():
            logits = self._model(torch.tensor([list(tokens)])).logits
        said: list[int] = logits[0].argmax(dim=-1).tolist()
        return said

    def script(self, options: Options) -> str:
        return SCRIPT.format(
            threads=options["threads"],
            dtype='"auto"' if options["dtype"] == "checkpoint" else "torch.float32",
            attention=options["attention"],
            beams=options["beams"],
            cache=CACHES[str(options["cache"])],
            speculation="" if options["speculation"] == "none" else f", prompt_lookup_num_tokens={LOOK_UP_TOKENS}",
        )


ADAPTER = TransformersAdapter
