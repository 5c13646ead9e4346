"""mlx-lm, on Apple's chips or, by the wheel ``mlx-cpu``, on a CPU."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value, check_imports

PREFIX = "transformer."
"""What mlx-lm does not want before the names of a GPT-2's tensors."""


class MlxLmAdapter(Adapter):
    """``generate_step``, a prompt at a time. A GPT-2 is copied with the names of tensors that mlx-lm knows."""

    name = "mlx-lm"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "dtype": ("checkpoint", "float32"),
        "prefill": (2048, 16),
        "cache_bits": (0, 8),
    }
    requires = "mlx-lm (and mlx-cpu where there is no Apple chip)"

    def versions(self) -> dict[str, str]:
        check_imports("mlx.core", "mlx_lm")

        found = {}
        for name in ("mlx-lm", "mlx", "mlx-cpu", "transformers"):
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        return found

    def open(self, directory: str, options: Options) -> dict[str, str]:
        import mlx.core as mx
        from mlx_lm.utils import load_model

        config = json.loads((Path(directory) / "config.json").read_text(encoding="utf-8"))
        ends = config["eos_token_id"]
        self._ends = {int(end) for end in (ends if isinstance(ends, list) else [ends])}
        self._prefill, self._bits = int(options["prefill"]), int(options["cache_bits"])
        load: Any = load_model
        with tempfile.TemporaryDirectory() as folder:
            try:
                self._model, _ = load(_renamed(Path(directory), Path(folder)))
            except ValueError as error:
                raise Refusal(str(error)) from None
            if options["dtype"] == "float32":
                self._model.set_dtype(mx.float32)
            mx.eval(self._model.parameters())
        return {"dtype": str(config["dtype"]) if options["dtype"] == "checkpoint" else "float32"}

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        import mlx.core as mx
        from mlx_lm.generate import generate_step

        if draft is not None:
            raise Refusal("draft models are not opened by this adapter")
        if len(prompts) > 1:
            raise Refusal("batches are not asked")
        step: Any = generate_step
        more = {"kv_bits": self._bits, "kv_group_size": 32} if self._bits else {}
        made = []
        steps = step(
            mx.array(list(prompts[0])), self._model, max_tokens=num_tokens, prefill_step_size=self._prefill, **more
        )
        for token, _ in steps:
            made.append(int(token))
            if made[-1] in self._ends:
                break
        return [made]

    def score(self, tokens: Sequence[int]) -> list[int]:
        import mlx.core as mx

        said: list[int] = mx.argmax(self._model(mx.array([list(tokens)]))[0], axis=-1).tolist()
        return said


def _renamed(directory: Path, folder: Path) -> Path:
    """A copy of a checkpoint directory whose tensors have names that mlx-lm knows; a Llama's need no copy."""
    import mlx.core as mx

    weights = mx.load(str(directory / "model.safetensors"))
    if not any(name.startswith(PREFIX) for name in weights):
        return directory
    renamed = {name.removeprefix(PREFIX): values for name, values in weights.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), renamed, {"format": "mlx"})
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        if (directory / name).is_file():
            (folder / name).write_bytes((directory / name).read_bytes())
    return folder


ADAPTER = MlxLmAdapter
