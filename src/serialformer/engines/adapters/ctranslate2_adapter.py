"""CTranslate2 on a CPU."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from serialformer.engines.adapters.adapter import Adapter, Options, Refusal, Value

SCRIPT = """
import json, tempfile
from pathlib import Path
import ctranslate2

def open_engine(directory):
    out = tempfile.mkdtemp() + "/model"
    ctranslate2.converters.TransformersConverter(directory).convert(out)
    engine = ctranslate2.Generator(out, compute_type="{compute_type}", intra_threads={threads})
    vocabulary = json.loads((Path(directory) / "tokenizer.json").read_text())["model"]["vocab"]
    names = {{index: text for text, index in vocabulary.items()}}
    ends = json.loads((Path(directory) / "config.json").read_text())["eos_token_id"]
    end = ends[0] if isinstance(ends, list) else ends

    def generate(prompts, num_tokens):
        texts = [[names[token] for token in prompt] for prompt in prompts]
        options = dict(max_length=num_tokens, beam_size=1, include_prompt_in_result=False, end_token=[end])
        return [result.sequences_ids[0] for result in engine.generate_batch(texts, **options)]

    return generate
"""


class CTranslate2Adapter(Adapter):
    """The converter, then ``Generator.generate_batch``. Tokens go in as text, and ids come back.

    Beam search is left out: it ends when as many hypotheses as beams have ended, whatever their scores, and so is not
    bound to give the greedy tokens.
    """

    name = "ctranslate2"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "dtype": ("checkpoint", "float32", "int8", "int16"),
        "threads": (1, 2),
    }
    requires = "ctranslate2 transformers torch"

    def versions(self) -> dict[str, str]:
        import ctranslate2

        return {"ctranslate2": ctranslate2.__version__}

    def open(self, directory: str, options: Options) -> dict[str, str]:
        import ctranslate2

        from serialformer.engines.tensor_file import end_token

        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "model"
        ctranslate2.converters.TransformersConverter(directory).convert(str(path))
        self._engine = ctranslate2.Generator(
            str(path),
            device="cpu",
            compute_type="default" if options["dtype"] == "checkpoint" else str(options["dtype"]),
            intra_threads=int(options["threads"]),
        )
        vocabulary = json.loads((Path(directory) / "tokenizer.json").read_text())["model"]["vocab"]
        self._names = {index: text for text, index in vocabulary.items()}
        config = json.loads((Path(directory) / "config.json").read_text())
        self._end = end_token(config)
        return {"dtype": str(self._engine.compute_type)}

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: str | None) -> list[list[int]]:
        if draft is not None:
            raise Refusal("has no draft models")
        made = self._engine.generate_batch(
            [[self._names[token] for token in prompt] for prompt in prompts],
            max_length=num_tokens,
            beam_size=1,
            include_prompt_in_result=False,
            end_token=[self._end],
        )
        return [list(result.sequences_ids[0]) for result in made]

    def script(self, options: Options) -> str:
        compute_type = "default" if options["dtype"] == "checkpoint" else options["dtype"]
        return SCRIPT.format(compute_type=compute_type, threads=options["threads"])


ADAPTER = CTranslate2Adapter
