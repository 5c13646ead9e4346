"""Checkpoints as GGUF files, which llama.cpp and what is built on it read.

Matrices keep their format, or take the one that is asked for; vectors are float32, as llama.cpp wants them. Adapters
use this in an engine's environment, where of serialformer only this room is at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.engines.tensor_file import end_token, read_config, read_tensors, read_vocabulary

GGUF_FORMATS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "q8_0": "Q8_0", "q4_0": "Q4_0"}
"""GGUF's name of each format that weights can take."""

BLOCK = 32
"""The number of weights of a row that share a scale, in formats of 8 bits and less."""

GPT2_NAMES = {
    "ln_1.weight": "attn_norm.weight",
    "ln_1.bias": "attn_norm.bias",
    "attn.c_attn.weight": "attn_qkv.weight",
    "attn.c_attn.bias": "attn_qkv.bias",
    "attn.c_proj.weight": "attn_output.weight",
    "attn.c_proj.bias": "attn_output.bias",
    "ln_2.weight": "ffn_norm.weight",
    "ln_2.bias": "ffn_norm.bias",
    "mlp.c_fc.weight": "ffn_up.weight",
    "mlp.c_fc.bias": "ffn_up.bias",
    "mlp.c_proj.weight": "ffn_down.weight",
    "mlp.c_proj.bias": "ffn_down.bias",
}
GPT2_OUTER = {
    "wte.weight": "token_embd.weight",
    "wpe.weight": "position_embd.weight",
    "ln_f.weight": "output_norm.weight",
    "ln_f.bias": "output_norm.bias",
}
LLAMA_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.bias": "attn_v.bias",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
LLAMA_OUTER = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}

ARCHITECTURES = {"gpt2": "gpt2", "llama": "llama", "mistral": "llama", "qwen2": "qwen2"}
"""GGUF's architecture for each ``model_type``."""


def write_gguf(directory: Path, path: Path, dtype: str = "checkpoint") -> str:
    """Writes a checkpoint directory as one GGUF file.

    Args:
        directory: a GPT-2, Llama, Mistral or Qwen2 with ``model.safetensors`` and ``tokenizer.json``.
        path: the file to write.
        dtype: a key of ``GGUF_FORMATS``, or ``checkpoint``: the format of the checkpoint.

    Returns:
        The format of the matrices.

    Raises:
        ImportError: the package ``gguf`` is not installed.
        ValueError: the model cannot be said in GGUF, or not in this format; nothing is written.
    """
    import gguf

    config = read_config(directory)
    if config["model_type"] not in ARCHITECTURES:
        raise ValueError(f"expected one of {', '.join(ARCHITECTURES)}, found {config['model_type']!r}")
    if config["model_type"] == "mistral" and config.get("sliding_window"):
        raise ValueError("GGUF's llama has no sliding window")
    tensors, stored = read_tensors(directory)
    chosen = stored if dtype == "checkpoint" else dtype
    if chosen not in GGUF_FORMATS:
        raise ValueError(f"expected one of checkpoint, {', '.join(GGUF_FORMATS)}, found {dtype!r}")
    kind = gguf.GGMLQuantizationType[GGUF_FORMATS[chosen]]
    converted = dict(_convert(tensors, config))
    if chosen.startswith("q"):
        narrow = [name for name, values in converted.items() if values.ndim > 1 and values.shape[-1] % BLOCK]
        if narrow:
            raise ValueError(
                f"{chosen} takes rows of {BLOCK} weights, and {narrow[0]} has {converted[narrow[0]].shape}"
            )
    writer = gguf.GGUFWriter(str(path), ARCHITECTURES[config["model_type"]])
    _write_shape(writer, config)
    _write_tokenizer(writer, directory, config)
    for name, values in converted.items():
        if values.ndim == 1 or chosen == "float32":
            writer.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32))
        else:
            writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return chosen


def _convert(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """GGUF's names and layouts: rows are outputs, and a Llama's rotary pairs stand side by side."""
    is_gpt2 = config["model_type"] == "gpt2"
    inner, outer = (GPT2_NAMES, GPT2_OUTER) if is_gpt2 else (LLAMA_NAMES, LLAMA_OUTER)
    seen = set()
    for name, values in tensors.items():
        short = name.removeprefix("transformer.").removeprefix("model.")
        head, _, rest = short.partition(".")
        if head in ("h", "layers"):
            layer, _, part = rest.partition(".")
            if part in ("attn.bias", "attn.masked_bias"):
                continue
            if part not in inner:
                raise ValueError(f"unexpected tensor {name!r}")
            if is_gpt2 and part.endswith("weight") and values.ndim == 2:
                values = values.T
            if config["model_type"] in ("llama", "mistral") and part.startswith(("self_attn.q", "self_attn.k")):
                num_heads = config["num_attention_heads" if ".q_" in part else "num_key_value_heads"]
                values = _pair_up(values, int(num_heads))
            yield f"blk.{layer}.{inner[part]}", values
        elif short in outer:
            seen.add(outer[short])
            yield outer[short], values
        elif not (is_gpt2 and short == "lm_head.weight"):
            raise ValueError(f"unexpected tensor {name!r}")
    is_tied = bool(config.get("tie_word_embeddings", is_gpt2))
    if not is_tied and is_gpt2 and "lm_head.weight" in tensors:
        yield "output.weight", tensors["lm_head.weight"]
    elif not is_tied and "output.weight" not in seen:
        raise ValueError("lm_head.weight is missing, and the embedding is not tied")


def _pair_up(values: np.ndarray, num_heads: int) -> np.ndarray:
    """Rows i and i + half of each head, which turn together, moved to 2 i and 2 i + 1."""
    rows = values.reshape(num_heads, 2, -1, *values.shape[1:])
    return np.swapaxes(rows, 1, 2).reshape(values.shape)


def _write_shape(writer: Any, config: Mapping[str, Any]) -> None:
    writer.add_name("serialformer")
    if config["model_type"] == "gpt2":
        width = int(config["n_embd"])
        writer.add_context_length(int(config["n_positions"]))
        writer.add_embedding_length(width)
        writer.add_block_count(int(config["n_layer"]))
        writer.add_feed_forward_length(int(config.get("n_inner") or 4 * width))
        writer.add_head_count(int(config["n_head"]))
        writer.add_layer_norm_eps(float(config["layer_norm_epsilon"]))
        return
    heads = int(config["num_attention_heads"])
    head_width = int(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config["num_key_value_heads"]))
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_rope_dimension_count(head_width)
    base = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    writer.add_rope_freq_base(float(base))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(int(config["vocab_size"]))


def _write_tokenizer(writer: Any, directory: Path, config: Mapping[str, Any]) -> None:
    """A byte-level BPE. llama.cpp wants a merge; where there is none, one that never applies is made up."""
    import gguf

    content = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = read_vocabulary(directory)
    count = int(config["vocab_size"])
    texts = [f"<pad {token}>" for token in range(count)]
    kinds = [gguf.TokenType.UNUSED] * count
    for text, token in vocabulary.items():
        texts[token] = text
        kinds[token] = gguf.TokenType.NORMAL
    for entry in content.get("added_tokens", ()):
        texts[entry["id"]] = entry["content"]
        kinds[entry["id"]] = gguf.TokenType.CONTROL if entry["special"] else gguf.TokenType.USER_DEFINED
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in content["model"].get("merges", ())]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2" if config["model_type"] == "gpt2" else "llama-bpe")
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges or [f"{texts[-1]} {texts[-1]}"])
    if config.get("bos_token_id") is not None:
        writer.add_bos_token_id(int(config["bos_token_id"]))
    if config.get("eos_token_id") is not None:
        # One end is all that the format has; that is what ends a chain.
        writer.add_eos_token_id(end_token(config))
    if config.get("pad_token_id") is not None:
        writer.add_pad_token_id(int(config["pad_token_id"]))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
