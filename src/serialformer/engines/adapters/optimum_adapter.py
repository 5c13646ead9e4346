"""onnxruntime on a CPU by optimum-onnx: its export, and transformers' ``generate`` with onnxruntime's forward pass."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value, check_imports
from serialformer.engines.adapters.left_padding import left_padded

SCRIPT = """
import torch
from optimum.onnxruntime import ORTModelForCausalLM

def open_engine(directory):
    model = ORTModelForCausalLM.from_pretrained(directory, export=True)

    def generate(prompts, num_tokens):
        made = []
        for prompt in prompts:
            ids = torch.tensor([prompt])
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=num_tokens)
            made.append(out[0, len(prompt):].tolist())
        return made

    return generate
"""


class OptimumAdapter(Adapter):
    """``ORTModelForCausalLM`` with ``export=True``, in float32 or with int8 weights."""

    name = "optimum"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "dtype": ("checkpoint", "float32", "int8"),
        "cache": (True, False),
        "threads": (1, 2),
    }
    requires = "optimum-onnx[onnxruntime] torch"

    def __init__(self) -> None:
        self._exported: dict[tuple[str, str], tempfile.TemporaryDirectory[str]] = {}

    def versions(self) -> dict[str, str]:
        check_imports("optimum.onnxruntime")

        return {name: version(name) for name in ("optimum-onnx", "onnxruntime", "transformers")}

    def open(self, directory: str, options: Options) -> dict[str, str]:
        import onnxruntime
        from optimum.onnxruntime import ORTModelForCausalLM

        dtype = "int8" if options["dtype"] == "int8" else "float32"
        key = (directory, dtype)
        if key not in self._exported:
            self._exported[key] = self._export(directory, dtype)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = int(options["threads"])
        load: Any = ORTModelForCausalLM.from_pretrained
        self._model = load(self._exported[key].name, session_options=settings)
        self._cache = bool(options["cache"])
        return {"dtype": dtype}

    def _export(self, directory: str, dtype: str) -> tempfile.TemporaryDirectory[str]:
        """The model as ONNX, its matrices in int8 on request."""
        import torch
        from optimum.onnxruntime import ORTModelForCausalLM

        folder = tempfile.TemporaryDirectory()
        load: Any = ORTModelForCausalLM.from_pretrained
        load(directory, export=True, dtype=torch.float32).save_pretrained(folder.name)
        if dtype == "int8":
            from pathlib import Path

            from onnxruntime.quantization import QuantType, quantize_dynamic

            path = Path(folder.name) / "model.onnx"
            quantize_dynamic(path, path.with_name("int8.onnx"), weight_type=QuantType.QInt8)
            path.with_name("int8.onnx").replace(path)
        return folder

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        if draft is not None:
            raise Refusal("draft models are not opened by this adapter")
        ids, mask = left_padded(prompts, int(self._model.generation_config.pad_token_id))
        made = self._model.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=num_tokens, use_cache=self._cache
        )
        tokens: list[list[int]] = made[:, ids.shape[1] :].tolist()
        return tokens

    def score(self, tokens: Sequence[int]) -> list[int]:
        import torch

        ids = torch.tensor([list(tokens)])
        logits = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        said: list[int] = logits[0].argmax(dim=-1).tolist()
        return said

    def close(self) -> None:
        for folder in self._exported.values():
            folder.cleanup()
        self._exported.clear()

    def script(self, options: Options) -> str:
        if options["dtype"] == "int8":
            raise Refusal("has no reproduction in int8")
        return SCRIPT


ADAPTER = OptimumAdapter
