"""onnxruntime-genai on a CPU."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value, check_imports

FORMATS = {
    "checkpoint": ("fp32", "float32"),
    "float32": ("fp32", "float32"),
    "int8 weights": ("int8 accuracy_level=1", "int8"),
    "int8": ("int8", "int8 by int8"),
    "int4": ("int4", "int4"),
}
"""The builder's precision with its options, and what is then in effect.

For a CPU the builder chooses ``accuracy_level=4`` unless told otherwise, which rounds what the weights are multiplied
with to int8 as well.
"""


class OnnxruntimeGenaiAdapter(Adapter):
    """Its model builder, then ``Generator``. Rows of one length are one batch; others are refused."""

    name = "onnxruntime-genai"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "dtype": ("checkpoint", "float32", "int8 weights", "int8", "int4"),
        "chunk": (0, 16),
        "threads": (1, 2),
    }
    requires = "onnxruntime-genai onnx onnx_ir torch transformers"

    def __init__(self) -> None:
        self._engine: Any = None
        self._built: dict[tuple[str, str], tempfile.TemporaryDirectory[str]] = {}

    def versions(self) -> dict[str, str]:
        check_imports("onnx_ir", "onnxruntime_genai")
        import transformers

        return {"onnxruntime-genai": version("onnxruntime-genai"), "transformers": transformers.__version__}

    def open(self, directory: str, options: Options) -> dict[str, str]:
        import json

        import onnxruntime_genai

        self._engine = None
        precision, effect = FORMATS[str(options["dtype"])]
        if (directory, precision) not in self._built:
            self._built[directory, precision] = self._build(directory, precision)
        self._path = Path(self._built[directory, precision].name)
        config = json.loads((self._path / "genai_config.json").read_text(encoding="utf-8"))
        session = config["model"]["decoder"]["session_options"]
        session["intra_op_num_threads"] = int(options["threads"])
        (self._path / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
        self._positions = int(config["model"]["context_length"])
        self._chunk = int(options["chunk"])
        self._engine = onnxruntime_genai.Model(str(self._path))
        return {"dtype": effect}

    def _build(self, directory: str, precision: str) -> tempfile.TemporaryDirectory[str]:
        """Converts a checkpoint directory.

        Raises:
            Refusal: the builder does not take it.
        """
        folder = tempfile.TemporaryDirectory()
        name, *extra = precision.split()
        words = ["-i", directory, "-o", folder.name, "-p", name, "-e", "cpu", "-c", f"{folder.name}/cache"]
        words += ["--extra_options", *extra] if extra else []
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            lines = done.stdout.strip().splitlines() or ["nothing"]
            raise Refusal(f"the model builder ends with: {lines[-1][:300]}")
        return folder

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        if draft is not None:
            raise Refusal("has no draft models")
        lengths = {len(prompt) for prompt in prompts}
        if len(lengths) > 1:
            raise Refusal("batches of unequal lengths are not asked")
        if self._chunk and len(prompts) > 1:
            raise Refusal("takes prompts in pieces one at a time only")
        import numpy as np
        import onnxruntime_genai

        (length,) = lengths
        parameters = onnxruntime_genai.GeneratorParams(self._engine)
        most = min(length + num_tokens, self._positions)
        parameters.set_search_options(do_sample=False, max_length=most, batch_size=len(prompts))
        generator = onnxruntime_genai.Generator(self._engine, parameters)
        ids = np.array(prompts, dtype=np.int32)
        step = self._chunk or length
        for start in range(0, length, step):
            generator.append_tokens(np.ascontiguousarray(ids[:, start : start + step]))
        while not generator.is_done():
            generator.generate_next_token()
        return [[int(token) for token in generator.get_sequence(row)[length:]] for row in range(len(prompts))]

    def close(self) -> None:
        self._engine = None
        for folder in self._built.values():
            folder.cleanup()
        self._built.clear()


ADAPTER = OnnxruntimeGenaiAdapter
