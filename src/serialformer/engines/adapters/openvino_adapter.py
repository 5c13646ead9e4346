"""OpenVINO on a CPU, by optimum-intel: transformers' ``generate`` with OpenVINO's forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value, check_imports
from serialformer.engines.adapters.left_padding import left_padded

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""OpenVINO's names of the formats that it computes in."""

SCRIPT = """
import numpy as np, torch
from optimum.intel import OVModelForCausalLM

def open_engine(directory):
    model = OVModelForCausalLM.from_pretrained(directory, export=True, compile=False, load_in_8bit=False)
    model.ov_config = {{**(model.ov_config or {{}}), **{config}}}
    model.compile()

    def generate(prompts, num_tokens):
        made = []
        for prompt in prompts:
            ids = torch.tensor([prompt])
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=num_tokens)
            made.append(out[0, len(prompt):].tolist())
        return made

    return generate
"""


def settings(options: Options) -> dict[str, str | int]:
    """OpenVINO's properties for a configuration; the others keep OpenVINO's defaults."""
    chosen: dict[str, str | int] = {"INFERENCE_NUM_THREADS": int(options["threads"])}
    if options["dtype"] != "checkpoint":
        chosen["INFERENCE_PRECISION_HINT"] = PRECISIONS[str(options["dtype"])]
    if options["cache"] != "default":
        chosen["KV_CACHE_PRECISION"] = PRECISIONS.get(str(options["cache"]), "u8")
    return chosen


def precision_name(found: object) -> str:
    """The name of a format as we have it, from OpenVINO's."""
    text = str(found).lower()
    for name, short in (("bfloat16", "bf16"), ("float16", "f16"), ("float32", "f32"), ("float32", "float32")):
        if short in text or name in text:
            return name
    return text


class OpenvinoAdapter(Adapter):
    """``OVModelForCausalLM``. Computing in bfloat16 is OpenVINO's default where the processor has AMX."""

    name = "openvino"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "dtype": ("checkpoint", "float32", "bfloat16"),
        "cache": ("default", "float32", "int8"),
        "threads": (1, 2),
    }
    requires = "openvino optimum-intel nncf torch transformers"

    def versions(self) -> dict[str, str]:
        check_imports("openvino", "optimum.intel")

        names = ("openvino", "optimum-intel", "transformers")
        return {name: version(name) for name in names}

    def open(self, directory: str, options: Options) -> dict[str, str]:
        from optimum.intel import OVModelForCausalLM

        load: Any = OVModelForCausalLM.from_pretrained
        self._model = load(directory, export=True, compile=False, load_in_8bit=False)
        self._model.ov_config = {**(self._model.ov_config or {}), **settings(options)}
        self._model.compile()
        compiled = self._model.request
        compiled = getattr(compiled, "get_compiled_model", lambda: compiled)()
        return {
            "dtype": precision_name(compiled.get_property("INFERENCE_PRECISION_HINT")),
            "cache": precision_name(compiled.get_property("KV_CACHE_PRECISION")),
        }

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        if draft is not None:
            raise Refusal("draft models are not opened by this adapter")
        ids, mask = left_padded(prompts, int(self._model.generation_config.pad_token_id))
        made = self._model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=num_tokens)
        tokens: list[list[int]] = made[:, ids.shape[1] :].tolist()
        return tokens

    def score(self, tokens: Sequence[int]) -> list[int]:
        import torch

        ids = torch.tensor([list(tokens)])
        logits = self._model(ids, attention_mask=torch.ones_like(ids)).logits
        said: list[int] = logits[0].argmax(dim=-1).tolist()
        return said

    def script(self, options: Options) -> str:
        return SCRIPT.format(config=settings(options))


ADAPTER = OpenvinoAdapter
