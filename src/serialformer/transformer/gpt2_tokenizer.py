"""The tokenizer of a GPT-2, and the tokens that begin, end and fill up a text.

``=`` separates a prompt from its chain and ends the chain. Runtimes expect that the tokens of beginning, end and
padding do not occur in a prompt, so the files of a GPT-2 have three more tokens, ``TEXT_MARKS``, and three more rows in
the embedding. Each of these rows is that of the unknown token, which a proven model never writes. A vocabulary without
that token has the mean of its rows instead: the unembedding is the embedding, so the logit of such a token is the mean
of all logits and is never the largest. The model writes what it would write without the rows. Generation stops at
``=`` or at ``</s>``.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from serialformer.architecture import TEXT_MARKS, UNKNOWN, Architecture, token_separator
from serialformer.arrays import Shaped
from serialformer.errors import SerialformerError


def file_vocabulary(architecture: Architecture) -> tuple[str, ...]:
    """The text of each token of the files: the vocabulary, then ``TEXT_MARKS`` if it does not end with them.

    >>> from serialformer.architecture import Architecture
    >>> sizes = {"num_positions": 4, "width": 2, "num_layers": 1, "num_heads": 1, "hidden_width": 1}
    >>> file_vocabulary(Architecture(vocabulary=("0", "1", "="), activation="relu", norm_epsilon=1e-5, end_token=2,
    ...     dtype="float32", **sizes))
    ('0', '1', '=', '<s>', '</s>', '<pad>')

    Raises:
        SerialformerError: one of the marks is a token of the vocabulary with another meaning.
    """
    vocabulary = architecture.vocabulary
    if has_text_marks(vocabulary):
        return vocabulary
    taken = [text for text in TEXT_MARKS if text in vocabulary]
    if taken:
        raise SerialformerError(
            f"{', '.join(map(repr, taken))} cannot be a token: it begins, ends or fills up texts in files of a GPT-2",
            hint="give the token another name",
        )
    return (*vocabulary, *TEXT_MARKS)


def has_text_marks(vocabulary: tuple[str, ...]) -> bool:
    """Whether the last tokens are those that begin, end and fill up a text."""
    return vocabulary[-len(TEXT_MARKS) :] == TEXT_MARKS


def special_ids(architecture: Architecture) -> dict[str, Any]:
    """The tokens that begin, end and fill up a text, as configurations name them. The first of the ends is ``=``."""
    first = len(file_vocabulary(architecture)) - len(TEXT_MARKS)
    return {
        "bos_token_id": first,
        "eos_token_id": [architecture.end_token, first + 1],
        "pad_token_id": first + 2,
    }


def mark_rows(
    vocabulary: tuple[str, ...], embedding: Shaped[np.ndarray, "vocabulary width"]
) -> Shaped[np.ndarray, "marks width"]:
    """The rows of ``TEXT_MARKS``: that of the unknown token, or the mean of all rows if there is no such token.

    >>> embedding = np.array([[1, 2], [3, -2], [2, 3]], dtype=np.float32)
    >>> mark_rows(("0", "1", "="), embedding)[0].tolist(), mark_rows(("0", "=", "<unk>"), embedding)[0].tolist()
    ([2.0, 1.0], [2.0, 3.0])
    """
    if UNKNOWN in vocabulary:
        row = embedding[vocabulary.index(UNKNOWN)]
    else:
        row = (np.add.reduce(embedding, axis=0, dtype=np.float64) / len(embedding)).astype(embedding.dtype)
    return np.tile(row, (len(TEXT_MARKS), 1))


def add_mark_rows(
    vocabulary: tuple[str, ...], embedding: Shaped[np.ndarray, "vocabulary width"]
) -> Shaped[np.ndarray, "tokens width"]:
    """The embedding of the files, one row for each token of ``file_vocabulary``."""
    if has_text_marks(vocabulary):
        return embedding
    return np.concatenate([embedding, mark_rows(vocabulary, embedding)])


def ends_with_mark_rows(vocabulary: tuple[str, ...], embedding: Shaped[np.ndarray, "tokens width"]) -> bool:
    """Whether the last rows are what ``add_mark_rows`` added; they are not, for example, after further training."""
    count = len(TEXT_MARKS)
    if not has_text_marks(vocabulary) or len(vocabulary) == count:
        return False
    return bool(np.array_equal(embedding[-count:], mark_rows(vocabulary[:-count], embedding[:-count])))


def tokenizer_json(architecture: Architecture) -> dict[str, Any]:
    """The content of ``tokenizer.json``: encoding appends ``=`` to a text if it is not typed.

    A token a character, blanks dropped; or, where a token of the vocabulary is longer than a character, tokens
    separated by blanks, and written so. A decoded text begins with a line break: pipelines write what they decode right
    after the prompt as it was typed, usually without ``=``.
    """
    end, end_id = architecture.vocabulary[architecture.end_token], architecture.end_token
    spaced = token_separator(architecture.vocabulary) == " "
    appended = {"SpecialToken": {"id": end, "type_id": 0}}
    prompt = {"Sequence": {"id": "A", "type_id": 0}}
    # Tokens never begin with the prefix, so this joins them by blanks.
    joined = {"type": "WordPiece", "prefix": "##", "cleanup": False} if spaced else {"type": "Fuse"}
    beginning = {"Regex": r"^(?<![\s\S])(?=[\s\S])"}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index} | token for index, token in _special_tokens(architecture).items()],
        # The end mark may be typed or not: it is dropped here and appended below.
        "normalizer": {"type": "Replace", "pattern": {"Regex": _dropped(end, spaced)}, "content": ""},
        "pre_tokenizer": {"type": "WhitespaceSplit"}
        if spaced
        else {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [prompt, appended],
            "pair": [prompt, {"Sequence": {"id": "B", "type_id": 0}}, appended],
            "special_tokens": {end: {"id": end, "ids": [end_id], "tokens": [end]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [joined, {"type": "Fuse"}, {"type": "Replace", "pattern": beginning, "content": "\n"}],
        },
        "model": {
            "type": "WordLevel",
            "vocab": {text: index for index, text in enumerate(file_vocabulary(architecture))},
            "unk_token": UNKNOWN,
        },
    }


def tokenizer_config_json(architecture: Architecture) -> dict[str, Any]:
    """The content of ``tokenizer_config.json``."""
    beginning, end, padding = TEXT_MARKS
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": {str(index): token for index, token in _special_tokens(architecture).items()},
        "bos_token": beginning,
        "eos_token": end,
        "pad_token": padding,
        "unk_token": UNKNOWN,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "model_max_length": architecture.num_positions,
        "model_input_names": ["input_ids", "attention_mask"],
    }


def _dropped(end: str, spaced: bool) -> str:
    """A pattern of what encoding drops: an end mark at the end; and blanks, unless they separate tokens."""
    return rf"\s*{re.escape(end)}\s*(?![\s\S])" if spaced else rf"{re.escape(end)}\s*(?![\s\S])|[\s_]"


def _special_tokens(architecture: Architecture) -> dict[int, dict[str, Any]]:
    """The marks and the unknown token, as the tokenizers library writes them, by id."""
    return {
        index: {
            "content": text,
            # Not recognised next to a bit.
            "single_word": True,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, text in enumerate(file_vocabulary(architecture))
        if text == UNKNOWN or text in TEXT_MARKS
    }
