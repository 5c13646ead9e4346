"""Compares CTranslate2 with transformers on a random Mistral: prompts shorter and longer than its sliding window.

    ENVIRONMENT/bin/python benchmarks/engines/sliding_window.py

Needs nothing of serialformer, only the environment ``ctranslate2``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

ROWS = 4
NEW_TOKENS = 20
VOCABULARY = 64


def save_model(window: int | None, directory: Path) -> Any:
    """A random Mistral with a vocabulary of words ``t0`` to ``t63``."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
    config = MistralConfig(
        vocab_size=VOCABULARY, sliding_window=window, eos_token_id=63, bos_token_id=62, **sizes, **heads
    )
    model: Any = MistralForCausalLM(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.mul_(4.0)
    model.save_pretrained(directory)
    words = {"type": "WordLevel", "vocab": {f"t{token}": token for token in range(VOCABULARY)}, "unk_token": "t0"}
    parts = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    tokenizer: dict[str, Any] = {"version": "1.0", "added_tokens": [], "model": words, **dict.fromkeys(parts)}
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "t62", "eos_token": "t63", "unk_token": "t0"}
    (directory / "tokenizer_config.json").write_text(json.dumps(names))
    return model


def compare(window: int | None, prompt_length: int) -> list[tuple[int, int]]:
    """For each row how many of its new tokens are those of transformers, asked alone and in a batch."""
    import ctranslate2
    import torch

    with tempfile.TemporaryDirectory() as folder:
        model = save_model(window, Path(folder))
        ctranslate2.converters.TransformersConverter(folder).convert(f"{folder}/converted")
        engine = ctranslate2.Generator(f"{folder}/converted", device="cpu", compute_type="float32", intra_threads=1)
        prompts = torch.randint(3, 60, (ROWS, prompt_length))
        mask = torch.ones_like(prompts)
        lengths: dict[str, Any] = {"do_sample": False, "max_new_tokens": NEW_TOKENS}
        made = model.generate(prompts, attention_mask=mask, eos_token_id=None, pad_token_id=0, **lengths)
        expected = made[:, prompt_length:].tolist()

        def answer(rows: Any) -> list[list[int]]:
            texts = [[f"t{token}" for token in row] for row in rows.tolist()]
            limits: dict[str, Any] = {"max_length": NEW_TOKENS, "min_length": NEW_TOKENS, "beam_size": 1}
            results = engine.generate_batch(texts, include_prompt_in_result=False, end_token=["t63"], **limits)
            return [result.sequences_ids[0] for result in results]

        alone = [answer(prompts[row : row + 1])[0] for row in range(ROWS)]
        together = answer(prompts)
    same = [
        [sum(a == b for a, b in zip(row, right, strict=True)) for row, right in zip(rows, expected, strict=True)]
        for rows in (alone, together)
    ]
    return list(zip(*same, strict=True))


def main() -> None:
    for window, prompt_length in ((None, 40), (64, 40), (16, 10), (16, 40)):
        for row, (alone, together) in enumerate(compare(window, prompt_length)):
            print(f"window {window}, prompt {prompt_length}, row {row}: {alone} alone, {together} in a batch", end="")
            print(f" of {NEW_TOKENS}", flush=True)


if __name__ == "__main__":
    main()
