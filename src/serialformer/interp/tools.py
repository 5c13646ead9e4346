"""Models in the tools that people use to look into transformers: TransformerLens and nnsight."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from serialformer.errors import InputError


def open_in_transformer_lens(directory: str | os.PathLike[str], **options: Any) -> Any:
    """A checkpoint as a ``TransformerBridge`` of TransformerLens, on the CPU.

    TransformerLens encodes a letter to see whether the tokenizer adds marks. Tokenizers of tasks know no letter and no
    token for what is unknown, so here they take ``</s>`` for it, in memory alone.

    Args:
        directory: a checkpoint, such as ``model`` of a folder of the suite.
        options: of ``TransformerBridge.boot_transformers``, such as ``dtype``.

    Raises:
        InputError: TransformerLens is not installed, or there is no checkpoint.
    """
    try:
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoTokenizer
    except ImportError:
        raise InputError("TransformerLens is not installed", hint="pip install transformer-lens") from None
    path = _checkpoint(directory)
    tokenizer = AutoTokenizer.from_pretrained(path, bos_token=None)
    tokenizer.backend_tokenizer.model.unk_token = tokenizer.eos_token
    return TransformerBridge.boot_transformers(path, **({"device": "cpu", "tokenizer": tokenizer} | options))


def open_in_nnsight(directory: str | os.PathLike[str], **options: Any) -> Any:
    """A checkpoint as a ``LanguageModel`` of nnsight, on the CPU.

    Args:
        directory: a checkpoint, such as ``model`` of a folder of the suite.
        options: of ``LanguageModel``.

    Raises:
        InputError: nnsight is not installed, or there is no checkpoint.
    """
    try:
        from nnsight import LanguageModel
    except ImportError:
        raise InputError("nnsight is not installed", hint="pip install nnsight") from None
    return LanguageModel(_checkpoint(directory), **({"device_map": "cpu", "dispatch": True} | options))


def _checkpoint(directory: str | os.PathLike[str]) -> str:
    path = Path(directory)
    if not (path / "config.json").is_file():
        raise InputError("no checkpoint there", where=str(path), hint="the folder model of a model of the suite, say")
    return str(path)
