"""onnxruntime on a CPU, with the ONNX file that serialformer writes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value, check_imports

LEVELS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "none": "ORT_DISABLE_ALL",
}


class OnnxruntimeAdapter(Adapter):
    """``InferenceSession.run``, a token at a time, with the largest logit taken. Batches are padded on the left."""

    name = "onnxruntime"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "dtype": ("checkpoint", "float32", "float16", "int8"),
        "optimisation": ("all", "extended", "basic", "none"),
        "cache": (True, False),
        "threads": (1, 2),
    }
    requires = "onnxruntime onnx numpy"

    def versions(self) -> dict[str, str]:
        check_imports("onnx")
        import onnxruntime

        return {"onnxruntime": onnxruntime.__version__, "onnx": version("onnx")}

    def open(self, directory: str, options: Options) -> dict[str, str]:
        import onnxruntime

        from serialformer.engines.onnx_file import write_onnx
        from serialformer.engines.tensor_file import end_token, read_config

        config = read_config(Path(directory))
        self._end = end_token(config)
        self._cache = bool(options["cache"])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            try:
                dtype = write_onnx(Path(directory), path, "float16" if options["dtype"] == "float16" else "float32")
            except ValueError as error:
                raise Refusal(str(error)) from None
            if options["dtype"] == "int8":
                from onnxruntime.quantization import QuantType, quantize_dynamic

                quantize_dynamic(path, path.with_name("int8.onnx"), weight_type=QuantType.QInt8)
                path, dtype = path.with_name("int8.onnx"), "int8"
            settings = onnxruntime.SessionOptions()
            settings.intra_op_num_threads = int(options["threads"])
            level = LEVELS[str(options["optimisation"])]
            settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
            settings.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        return {"dtype": dtype}

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        import numpy as np

        if draft is not None:
            raise Refusal("has no draft models")
        longest = max(map(len, prompts))
        tokens = np.array([[self._end] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        mask = np.array([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        made: list[list[int]] = [[] for _ in prompts]
        ended = np.zeros(len(prompts), dtype=bool)
        past: dict[str, Any] | None = None
        fed = tokens
        for _ in range(num_tokens):
            logits, present = self._run(fed, mask, past)
            best = logits[:, -1].argmax(axis=-1)
            for row, token in enumerate(best.tolist()):
                if not ended[row]:
                    made[row].append(token)
            ended |= best == self._end
            if ended.all():
                break
            tokens = np.concatenate([tokens, best[:, None]], axis=1)
            mask = np.concatenate([mask, np.ones_like(best)[:, None]], axis=1)
            past, fed = (present, best[:, None]) if self._cache else (None, tokens)
        return made

    def score(self, tokens: Sequence[int]) -> list[int]:
        import numpy as np

        logits, _ = self._run(np.array([list(tokens)]), np.ones((1, len(tokens)), dtype=np.int64), None)
        said: list[int] = logits[0].argmax(axis=-1).tolist()
        return said

    def _run(self, tokens: Any, mask: Any, past: Mapping[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        """Logits of the tokens, and the cache after them.

        Args:
            tokens: what is fed, a row each.
            mask: 1 for each token so far that is no padding.
            past: the cache of what came before; None for nothing.
        """
        import numpy as np

        places = np.maximum(mask.cumsum(axis=1) - 1, 0)[:, -tokens.shape[1] :]
        feeds = {"input_ids": tokens, "attention_mask": mask, "position_ids": places}
        for entry in self._session.get_inputs():
            if entry.name.startswith("past_key_values"):
                shape = (len(tokens), entry.shape[1], 0, entry.shape[3])
                kind = np.float16 if entry.type == "tensor(float16)" else np.float32
                feeds[entry.name] = np.zeros(shape, kind) if past is None else past[entry.name]
        names = [entry.name for entry in self._session.get_outputs()]
        made = dict(zip(names, self._session.run(names, feeds), strict=True))
        logits = made.pop("logits")
        return logits, {name.replace("present", "past_key_values"): values for name, values in made.items()}


ADAPTER = OnnxruntimeAdapter
