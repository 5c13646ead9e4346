"""The files of a Llama, a Mistral or a Qwen2: configuration, tokenizer, and Hugging Face's names of the weights.

Their linear maps are stored output by output, and queries, keys and values apart: ``LlamaPart`` says which rows of
which of their weights are which columns of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from serialformer.architecture import MERGED, UNKNOWN, Architecture, BiasName, DtypeName
from serialformer.arrays import Shaped
from serialformer.errors import CheckpointError
from serialformer.transformer.transformer import Transformer, weight_shapes

CLASSES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM"}
"""The model types that are written and read here, and Hugging Face's class of each."""

TOP_LEVEL_NAMES = {
    "token_embedding": "model.embed_tokens.weight",
    "final_norm_gain": "model.norm.weight",
    "unembedding": "lm_head.weight",
}
LAYER_NAMES = {
    "attention_norm_gain": "input_layernorm.weight",
    "attention_out_weight": "self_attn.o_proj.weight",
    "mlp_norm_gain": "post_attention_layernorm.weight",
    "mlp_in_weight": "mlp.gate_proj.weight",
    "mlp_up_weight": "mlp.up_proj.weight",
    "mlp_out_weight": "mlp.down_proj.weight",
}
PROJECTIONS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


class LlamaPart(NamedTuple):
    """One of Hugging Face's weights.

    Attributes:
        theirs: its name.
        ours: the name of the weight of ours that it is a part of.
        columns: the last dimension of ours that it covers.
        is_turned: whether its rows are our columns.
    """

    theirs: str
    ours: str
    columns: slice
    is_turned: bool


def list_parts(architecture: Architecture) -> Iterator[LlamaPart]:
    """All weights of a Llama, in Hugging Face's names.

    >>> from serialformer.architecture import Architecture
    >>> shape = {"width": 8, "num_layers": 1, "num_heads": 2, "hidden_width": 8, "num_positions": 4}
    >>> llama = Architecture(vocabulary=("0",), activation="silu", norm_epsilon=1e-5, end_token=0, dtype="float32",
    ...     norm="rms_norm", positions="rotary", rotary_base=1e4, gated=True, biases="none", key_heads=1, **shape)
    >>> [part.theirs.removeprefix("model.layers.0.") for part in list_parts(llama)][1:4]
    ['input_layernorm.weight', 'self_attn.q_proj.weight', 'self_attn.k_proj.weight']
    """
    widths = (architecture.attention_width, architecture.key_width, architecture.key_width)
    edges = np.cumsum([0, *widths]).tolist()
    for name, shape in weight_shapes(architecture).items():
        if 0 in shape:
            continue
        if name in TOP_LEVEL_NAMES:
            yield LlamaPart(TOP_LEVEL_NAMES[name], name, slice(None), False)
            continue
        _, layer, part = name.split(".")
        if part in LAYER_NAMES:
            theirs = f"model.layers.{layer}.{LAYER_NAMES[part]}"
            yield LlamaPart(theirs, name, slice(None), len(shape) == 2)
            continue
        kind = part.rpartition("_")[2]
        for projection, start, stop in zip(PROJECTIONS, edges[:-1], edges[1:], strict=True):
            theirs = f"model.layers.{layer}.{projection}.{kind}"
            yield LlamaPart(theirs, name, slice(start, stop), len(shape) == 2)


def transformer_to_llama_weights(transformer: Transformer) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The weights by Hugging Face's names."""
    weights = dict(transformer.named_weights())
    result = {}
    for part in list_parts(transformer.architecture):
        weight = weights[part.ours][..., part.columns]
        result[part.theirs] = np.ascontiguousarray(weight.T if part.is_turned else weight)
    return result


def config_to_architecture(config: dict[str, Any], vocabulary: tuple[str, ...], where: str) -> Architecture:
    """The architecture that a ``config.json`` of a Llama, a Mistral or a Qwen2 describes.

    Raises:
        CheckpointError: it asks for something that is not supported.
        KeyError, TypeError, ValueError: a field is missing or wrong.
    """
    kind = str(config["model_type"])
    rope = {**config, **(config.get("rope_parameters") or config.get("rope_scaling") or {})}
    unsupported = {
        "hidden_act": config.get("hidden_act", "silu") != "silu",
        "rope_scaling": rope.get("rope_type", rope.get("type", "default")) != "default",
        "partial_rotary_factor": rope.get("partial_rotary_factor", 1.0) != 1.0,
        "attention_bias": kind == "llama" and bool(config.get("attention_bias", False)),
        "mlp_bias": bool(config.get("mlp_bias", False)),
        "use_sliding_window": kind == "qwen2" and bool(config.get("use_sliding_window", False)),
    }
    for key, is_unsupported in unsupported.items():
        if is_unsupported:
            raise CheckpointError(f"{key}={config.get(key)!r} is not supported", where=where)
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    head_size, key_heads = config.get("head_dim"), config.get("num_key_value_heads")
    window = config.get("sliding_window") if kind == "mistral" else None
    biases: BiasName = "attention_in" if kind == "qwen2" else "none"
    dtype: DtypeName = config.get("dtype") or config.get("torch_dtype") or "float32"
    end = int(config["eos_token_id"])
    return Architecture(
        vocabulary=vocabulary,
        num_positions=int(config["max_position_embeddings"]),
        width=width,
        num_layers=int(config["num_hidden_layers"]),
        num_heads=heads,
        hidden_width=int(config["intermediate_size"]),
        activation="silu",
        norm_epsilon=float(config.get("rms_norm_eps", 1e-6)),
        end_token=end,
        dtype=dtype,
        norm="rms_norm",
        positions="rotary",
        rotary_base=float(rope.get("rope_theta", 10000.0)),
        head_size=width // heads if head_size is None else int(head_size),
        key_heads=heads if key_heads is None else int(key_heads),
        gated=True,
        biases=biases,
        tied=bool(config.get("tie_word_embeddings", False)),
        window=None if window is None else int(window),
        beginning_token=_token_id(config, "bos_token_id", end),
        padding_token=_token_id(config, "pad_token_id", end),
    )


def _token_id(config: dict[str, Any], key: str, end: int) -> int | None:
    """The id of a separate token, or None if it is missing or is the end token."""
    value = config.get(key)
    return None if value is None or int(value) == end else int(value)


def llama_config_json(architecture: Architecture) -> dict[str, Any]:
    """The content of ``config.json``."""
    family = architecture.family
    config: dict[str, Any] = {
        "architectures": [CLASSES[family]],
        "model_type": family,
        "vocab_size": len(architecture.vocabulary),
        "hidden_size": architecture.width,
        "intermediate_size": architecture.hidden_width,
        "num_hidden_layers": architecture.num_layers,
        "num_attention_heads": architecture.num_heads,
        "num_key_value_heads": architecture.num_key_heads,
        "head_dim": architecture.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": architecture.num_positions,
        "rms_norm_eps": architecture.norm_epsilon,
        # Older programs look for the base at the top, newer ones inside.
        "rope_theta": architecture.rotary_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": architecture.rotary_base},
        "attention_dropout": 0.0,
        "tie_word_embeddings": architecture.tied,
        **special_token_ids(architecture),
        "dtype": architecture.dtype,
        "torch_dtype": architecture.dtype,
        "use_cache": True,
    }
    if family == "llama":
        config |= {"attention_bias": False, "mlp_bias": False, "pretraining_tp": 1}
    elif family == "mistral":
        config["sliding_window"] = architecture.window
    else:
        config |= {"use_sliding_window": False, "sliding_window": None}
    return config


def special_token_ids(architecture: Architecture) -> dict[str, int]:
    """The tokens that begin, end and fill up a text, as configurations name them."""
    end, beginning, padding = architecture.end_token, architecture.beginning_token, architecture.padding_token
    return {
        "bos_token_id": end if beginning is None else beginning,
        "eos_token_id": end,
        "pad_token_id": end if padding is None else padding,
    }


def _special_tokens(architecture: Architecture) -> dict[int, dict[str, Any]]:
    ids = set(special_token_ids(architecture).values())
    if UNKNOWN in architecture.vocabulary:
        ids.add(architecture.vocabulary.index(UNKNOWN))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {index: {"content": architecture.vocabulary[index], **flags} for index in sorted(ids)}


def llama_tokenizer_json(architecture: Architecture) -> dict[str, Any]:
    """The content of ``tokenizer.json``: byte-level BPE in which every token is a word with a blank before it.

    The words are letters only, so the patterns by which programs split text into words keep each of them whole, and
    ``ignore_merges`` looks whole words up. A text that is no token becomes ``<unk>``.
    """
    special = _special_tokens(architecture)
    vocabulary = {
        text if index in special or text in MERGED or text.startswith("<") else f"Ġ{text}": index
        for index, text in enumerate(architecture.vocabulary)
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index} | token for index, token in special.items()],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": UNKNOWN,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": vocabulary,
            "merges": [list(MERGED[:2])],
        },
    }


def llama_tokenizer_config_json(architecture: Architecture) -> dict[str, Any]:
    """The content of ``tokenizer_config.json``."""
    texts = {
        name.removesuffix("_id"): architecture.vocabulary[index]
        for name, index in special_token_ids(architecture).items()
    }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": {str(index): token for index, token in _special_tokens(architecture).items()},
        **texts,
        "unk_token": UNKNOWN,
        "add_bos_token": False,
        "add_eos_token": False,
        "add_prefix_space": True,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "model_max_length": architecture.num_positions,
        "model_input_names": ["input_ids", "attention_mask"],
    }


def read_vocabulary(tokenizer: dict[str, Any]) -> tuple[str, ...]:
    """The texts of a tokenizer's tokens by id, without a leading space if the rest is unambiguous.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: a field is missing or wrong.
    """
    texts = {int(index): str(text) for text, index in tokenizer["model"]["vocab"].items()}
    texts |= {int(token["id"]): str(token["content"]) for token in tokenizer.get("added_tokens", ())}
    if sorted(texts) != list(range(len(texts))):
        raise ValueError("the ids of the tokens are not 0, 1, ...")
    taken = set(texts.values())
    return tuple(
        text[1:] if len(text) > 1 and text[0] == "Ġ" and text not in MERGED and text[1:] not in taken else text
        for _, text in sorted(texts.items())
    )
