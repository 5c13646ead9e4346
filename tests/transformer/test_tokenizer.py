"""The tokenizer of vocabularies whose tokens are longer than a character."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serialformer.architecture import Architecture
from serialformer.transformer.checkpoint import tokenizer_config_json, tokenizer_json

VOCABULARY = ("1", "2", "30", "^2", "TRUE", "=", "<unk>")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    transformers = pytest.importorskip("transformers")
    directory: Path = tmp_path_factory.mktemp("tokenizer")
    architecture = Architecture(
        vocabulary=VOCABULARY,
        num_positions=9,
        width=2,
        num_layers=1,
        num_heads=1,
        hidden_width=1,
        activation="relu",
        norm_epsilon=1e-5,
        end_token=5,
        dtype="float32",
    )
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer_json(architecture)))
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer_config_json(architecture)))
    return transformers.AutoTokenizer.from_pretrained(directory)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("1 30 ^2 TRUE", [0, 2, 3, 4, 5]),
        ("1 30 ^2 TRUE =", [0, 2, 3, 4, 5]),
        ("1 30 ^2 TRUE=", [0, 2, 3, 4, 5]),
        ("  1\n30\t^2  TRUE = \n", [0, 2, 3, 4, 5]),
        ("130 TRUE", [6, 4, 5]),
        ("1 = 2", [0, 5, 1, 5]),
        ("1 = 2 =", [0, 5, 1, 5]),
        ("", [5]),
    ],
)
def test_the_end_mark_is_appended_where_it_is_not_typed(tokenizer: Any, text: str, tokens: list[int]) -> None:
    assert tokenizer(text)["input_ids"] == tokens
    assert tokenizer.decode(tokens) == " ".join(VOCABULARY[token] for token in tokens)


def test_several_texts_are_padded_on_the_left(tokenizer: Any) -> None:
    encoded = tokenizer(["1", "30 TRUE ="], padding=True)
    assert encoded["input_ids"] == [[5, 0, 5], [2, 4, 5]]
    assert encoded["attention_mask"] == [[0, 1, 1], [1, 1, 1]]


def test_skipping_special_tokens_leaves_the_rest(tokenizer: Any) -> None:
    assert tokenizer.decode([0, 2, 5, 4], skip_special_tokens=True) == "1 30 TRUE"
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token) == ("=", "=", "<unk>")
