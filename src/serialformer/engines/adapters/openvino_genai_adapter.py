"""openvino-genai on a CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value, check_imports
from serialformer.engines.adapters.openvino_adapter import settings

BACKENDS = {"paged": "PA", "sdpa": "SDPA"}

SCRIPT = """
import numpy as np, openvino, openvino_genai, openvino_tokenizers
from optimum.exporters.openvino import main_export
from transformers import AutoTokenizer

def open_engine(directory):
    out = tempfile.mkdtemp()
    main_export(directory, output=out, task="text-generation-with-past", stateful=True)
    both = openvino_tokenizers.convert_tokenizer(AutoTokenizer.from_pretrained(directory), with_detokenizer=True)
    for part, name in zip(both, ("tokenizer", "detokenizer")):
        openvino.save_model(part, out + "/openvino_" + name + ".xml")
    pipeline = openvino_genai.LLMPipeline(out, "CPU", **{config})

    def generate(prompts, num_tokens):
        made = []
        for prompt in prompts:
            ids = np.array([prompt], dtype=np.int64)
            inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids)))
            config = openvino_genai.GenerationConfig(max_new_tokens=num_tokens, do_sample=False, eos_token_id={end})
            made.append(list(pipeline.generate(inputs, config).tokens[0]))
        return made

    return generate
"""


class OpenvinoGenaiAdapter(Adapter):
    """optimum-intel's export, then ``LLMPipeline`` on token ids, with either of its two attention backends."""

    name = "openvino-genai"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "dtype": ("checkpoint", "float32", "bfloat16"),
        "cache": ("default", "float32", "int8"),
        "attention": ("paged", "sdpa"),
        "threads": (1, 2),
    }
    requires = "openvino-genai openvino-tokenizers optimum-intel nncf torch transformers"

    def __init__(self) -> None:
        self._pipeline: Any = None
        self._exported: dict[str, tempfile.TemporaryDirectory[str]] = {}

    def versions(self) -> dict[str, str]:
        check_imports("openvino_genai", "optimum.intel")

        return {name: version(name) for name in ("openvino-genai", "openvino", "optimum-intel")}

    def open(self, directory: str, options: Options) -> dict[str, str]:
        import json
        from pathlib import Path

        import openvino_genai

        from serialformer.engines.tensor_file import end_token

        self._pipeline = None
        if directory not in self._exported:
            self._exported[directory] = _export(directory)
        config = json.loads((Path(directory) / "config.json").read_text(encoding="utf-8"))
        self._end = end_token(config)
        self._pad = int(config.get("pad_token_id", self._end))
        properties = {**settings(options), "ATTENTION_BACKEND": BACKENDS[str(options["attention"])]}
        self._pipeline = openvino_genai.LLMPipeline(self._exported[directory].name, "CPU", **properties)
        if options["dtype"] == "checkpoint":
            # The pipeline does not tell. On processors with AMX the plug-in chooses bfloat16.
            return {"dtype": _default_precision()}
        return {"dtype": str(options["dtype"])}

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        import numpy as np
        import openvino
        import openvino_genai

        if draft is not None:
            raise Refusal("draft models are not opened by this adapter")
        longest = max(map(len, prompts))
        ids = np.array([[self._pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts], dtype=np.int64)
        mask = np.array([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], dtype=np.int64)
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(mask))
        config = openvino_genai.GenerationConfig(max_new_tokens=num_tokens, do_sample=False, eos_token_id=self._end)
        made = self._pipeline.generate(inputs, config)
        return [[int(token) for token in row] for row in made.tokens]

    def close(self) -> None:
        self._pipeline = None
        for folder in self._exported.values():
            folder.cleanup()
        self._exported.clear()

    def script(self, options: Options) -> str:
        properties = {**settings(options), "ATTENTION_BACKEND": BACKENDS[str(options["attention"])]}
        return SCRIPT.format(config=properties, end=self._end)


def _export(directory: str) -> tempfile.TemporaryDirectory[str]:
    """The model and its tokenizer as openvino-genai reads them."""
    import openvino
    import openvino_tokenizers
    from optimum.exporters.openvino import main_export
    from transformers import AutoTokenizer

    folder = tempfile.TemporaryDirectory()
    export: Any = main_export
    export(directory, output=folder.name, task="text-generation-with-past", stateful=True)
    tokenizer: Any = AutoTokenizer.from_pretrained
    both = openvino_tokenizers.convert_tokenizer(tokenizer(directory), with_detokenizer=True)
    for part, name in zip(both, ("tokenizer", "detokenizer"), strict=True):
        openvino.save_model(part, f"{folder.name}/openvino_{name}.xml")
    return folder


def _default_precision() -> str:
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bfloat16" if "BF16" in capabilities else "float32"


ADAPTER = OpenvinoGenaiAdapter
