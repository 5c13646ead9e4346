"""TransformerLens on a CPU, by ``TransformerBridge``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value, check_imports

SCRIPT = """
import torch
from transformer_lens.model_bridge import TransformerBridge

def open_engine(directory):
    model = TransformerBridge.boot_transformers(directory, device="cpu", dtype=torch.{dtype})

    def generate(prompts, num_tokens):
        options = dict(do_sample=False, verbose=False, return_type="tokens", eos_token_id={end})
        options["use_past_kv_cache"] = {cache}
        return [
            model.generate(torch.tensor([prompt]), max_new_tokens=num_tokens, **options)[0, len(prompt):].tolist()
            for prompt in prompts
        ]

    return generate
"""


class TransformerLensAdapter(Adapter):
    """``TransformerBridge.generate`` on token ids, with and without its cache. Rows of one length are one batch."""

    name = "transformer-lens"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "cache": (True, False),
        "dtype": ("checkpoint", "float32"),
    }
    requires = "transformer-lens torch"

    def versions(self) -> dict[str, str]:
        import torch

        check_imports("transformer_lens")

        names = {name: version(name) for name in ("transformer-lens", "transformers")}
        return {**names, "torch": torch.__version__}

    def open(self, directory: str, options: Options) -> dict[str, str]:
        import json
        from pathlib import Path

        import torch
        from transformer_lens.model_bridge import TransformerBridge

        from serialformer.engines.tensor_file import end_token

        config = json.loads((Path(directory) / "config.json").read_text(encoding="utf-8"))
        self._end = end_token(config)
        dtype = str(config["dtype"]) if options["dtype"] == "checkpoint" else "float32"
        boot: Any = TransformerBridge.boot_transformers
        self._model = boot(directory, device="cpu", dtype=getattr(torch, dtype))
        self._cache = bool(options["cache"])
        self._dtype = dtype
        return {"dtype": dtype}

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        import torch

        if draft is not None:
            raise Refusal("has no draft models")
        if len({len(prompt) for prompt in prompts}) > 1:
            raise Refusal("batches of unequal lengths are not asked")
        made = self._model.generate(
            torch.tensor([list(prompt) for prompt in prompts]),
            max_new_tokens=num_tokens,
            do_sample=False,
            use_past_kv_cache=self._cache,
            eos_token_id=self._end,
            return_type="tokens",
            verbose=False,
        )
        tokens: list[list[int]] = made[:, len(prompts[0]) :].tolist()
        return tokens

    def score(self, tokens: Sequence[int]) -> list[int]:
        import torch

        with torch.no_grad():
            logits = self._model(torch.tensor([list(tokens)]))
        said: list[int] = logits[0].argmax(dim=-1).tolist()
        return said

    def script(self, options: Options) -> str:
        return SCRIPT.format(dtype=self._dtype, cache=options["cache"], end=self._end)


ADAPTER = TransformerLensAdapter
