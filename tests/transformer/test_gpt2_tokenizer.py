"""The tokenizer of a GPT-2, and the rows of the tokens that begin, end and fill up a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer.architecture import Architecture, DtypeName
from serialformer.proofs.prove import certify_construction
from serialformer.targets.gpt2 import construction_to_gpt2, layout_to_placement
from serialformer.tasks.registry import make_task
from serialformer.transformer.checkpoint import WEIGHTS_FILE, load_transformer, stored_weights
from serialformer.transformer.gpt2_tokenizer import file_vocabulary, mark_rows, tokenizer_config_json, tokenizer_json
from serialformer.transformer.safetensors_file import write_safetensors
from tests.construction_cases import every_construction
from tests.effort import pairs
from tests.task_models import random_model

VOCABULARY = ("1", "2", "30", "^2", "TRUE", "=", "<unk>")


def small_architecture(vocabulary: tuple[str, ...]) -> Architecture:
    return Architecture(
        vocabulary=vocabulary,
        num_positions=9,
        width=2,
        num_layers=1,
        num_heads=1,
        hidden_width=1,
        activation="relu",
        norm_epsilon=1e-5,
        end_token=vocabulary.index("="),
        dtype="float32",
    )


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    transformers = pytest.importorskip("transformers")
    directory: Path = tmp_path_factory.mktemp("tokenizer")
    architecture = small_architecture(VOCABULARY)
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
    text = " ".join(VOCABULARY[token] for token in tokens)
    assert tokenizer.decode(tokens) == f"\n{text}"
    assert tokenizer(tokenizer.decode(tokens))["input_ids"] == tokens


def test_several_texts_are_padded_on_the_left(tokenizer: Any) -> None:
    encoded = tokenizer(["1", "30 TRUE ="], padding=True)
    assert encoded["input_ids"] == [[9, 0, 5], [2, 4, 5]]
    assert encoded["attention_mask"] == [[0, 1, 1], [1, 1, 1]]


def test_skipping_special_tokens_leaves_the_end_mark(tokenizer: Any) -> None:
    assert tokenizer.decode([9, 0, 2, 5, 4, 5, 8], skip_special_tokens=True) == "\n1 30 = TRUE ="
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token) == ("</s>", "<pad>", "<unk>")


def test_a_stream_of_tokens_is_the_text_of_them_all(tokenizer: Any) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokens = [0, 2, 5, 4, 1, 5]
    stream = tokenizers.decoders.DecodeStream(ids=tokens[:3], skip_special_tokens=True)
    pieces = [stream.step(tokenizer.backend_tokenizer, token) for token in tokens[3:]]
    assert "".join(pieces) == " TRUE 2 ="
    for count in range(1, len(tokens)):
        assert tokenizer.decode(tokens).startswith(tokenizer.decode(tokens[:count]))


@pytest.mark.parametrize(("name", "dtype"), pairs(every_construction(), ["float32", "bfloat16", "float16"]))
def test_marks_are_never_written(name: str, dtype: DtypeName) -> None:
    """A mark is a copy of a token that is proven not to win, or lags behind the winner by more than rounding can do."""
    construction = every_construction()[name]()
    transformer, layout = construction_to_gpt2(construction, dtype=dtype, activation="gelu_new")
    certificate = certify_construction(transformer, layout_to_placement(layout))
    if not certificate.holds:
        assert dtype != "float32"
        return
    embedding, lead = transformer.token_embedding, certificate.logits
    row = mark_rows(construction.vocabulary, embedding)[0]
    if "<unk>" in construction.vocabulary:
        assert np.array_equal(row, embedding[construction.vocabulary.index("<unk>")])
        return
    exact, count = embedding.astype(np.float64).mean(axis=0), len(embedding)
    norm = np.abs(transformer.final_norm_gain.astype(np.float64)).max() * np.sqrt(embedding.shape[1])
    of_row = norm * np.linalg.norm(row.astype(np.float64) - exact)
    # Rounding takes at most the difference of both leads from any lead.
    assert (count - 1) / count * lead.exact - (lead.exact - lead.rounded) - of_row > 0


def test_marks_that_were_trained_stay_tokens_of_the_model(tmp_path: Path) -> None:
    model = random_model(make_task("parity"), 4).save(tmp_path / "m")
    assert load_transformer(tmp_path / "m").architecture.vocabulary == ("0", "1", "=")
    weights = stored_weights(model.transformer)
    weights["transformer.wte.weight"][-1, 0] += 1
    write_safetensors(weights, tmp_path / "m" / WEIGHTS_FILE, metadata={"format": "pt"})
    trained = serialformer.load(tmp_path / "m")
    vocabulary = ("0", "1", "=", "<s>", "</s>", "<pad>")
    assert trained.transformer.architecture.vocabulary == vocabulary
    assert len(trained.run("0 1 1 0").made) == 4
    again = trained.save(tmp_path / "again").transformer
    assert file_vocabulary(again.architecture) == vocabulary
    assert load_transformer(tmp_path / "again").digest() == again.digest()


def test_a_vocabulary_with_a_mark_of_its_own_is_refused() -> None:
    with pytest.raises(serialformer.SerialformerError, match="'<pad>' cannot be a token"):
        file_vocabulary(small_architecture(("0", "<pad>", "=")))
