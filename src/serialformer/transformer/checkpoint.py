"""The Hugging Face directory, which ``AutoModelForCausalLM`` and ``AutoTokenizer`` load without our code.

Written without torch or transformers. The mapping between our names of weights and GPT-2's is the table below; that of
a Llama is in ``llama_files``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError, safe_open

from serialformer.architecture import (
    DTYPES,
    TEXT_MARKS,
    Activation,
    Architecture,
    Arithmetic,
    DtypeName,
    NormName,
)
from serialformer.arrays import Shaped
from serialformer.errors import CheckpointError, SerialformerError
from serialformer.files import allow_reading, read_file
from serialformer.transformer.gpt2_tokenizer import (
    add_mark_rows,
    ends_with_mark_rows,
    file_vocabulary,
    special_ids,
    tokenizer_config_json,
    tokenizer_json,
)
from serialformer.transformer.llama_files import (
    CLASSES,
    config_to_architecture,
    list_parts,
    llama_config_json,
    llama_tokenizer_config_json,
    llama_tokenizer_json,
    read_vocabulary,
    special_token_ids,
    transformer_to_llama_weights,
)
from serialformer.transformer.precision import arithmetic_to_format
from serialformer.transformer.safetensors_file import write_safetensors
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer

TOP_LEVEL_NAMES = {
    "token_embedding": "transformer.wte.weight",
    "position_embedding": "transformer.wpe.weight",
    "final_norm_gain": "transformer.ln_f.weight",
    "final_norm_bias": "transformer.ln_f.bias",
}
LAYER_NAMES = {
    "attention_norm_gain": "ln_1.weight",
    "attention_norm_bias": "ln_1.bias",
    "attention_in_weight": "attn.c_attn.weight",
    "attention_in_bias": "attn.c_attn.bias",
    "attention_relative_bias": "attn.relative_bias",
    "attention_out_weight": "attn.c_proj.weight",
    "attention_out_bias": "attn.c_proj.bias",
    "mlp_norm_gain": "ln_2.weight",
    "mlp_norm_bias": "ln_2.bias",
    "mlp_in_weight": "mlp.c_fc.weight",
    "mlp_in_bias": "mlp.c_fc.bias",
    "mlp_out_weight": "mlp.c_proj.weight",
    "mlp_out_bias": "mlp.c_proj.bias",
}

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"

OWN_MODEL_TYPE = "serialformer"
"""Of decoders that differ from GPT-2 in ``norm``, in the scaling of scores or in the arithmetic."""


def hugging_face_name(name: str) -> str:
    """The name that Hugging Face's GPT-2 gives a weight.

    >>> hugging_face_name("layers.0.mlp_in_weight")
    'transformer.h.0.mlp.c_fc.weight'
    """
    if name in TOP_LEVEL_NAMES:
        return TOP_LEVEL_NAMES[name]
    _, layer, part = name.split(".")
    return f"transformer.h.{layer}.{LAYER_NAMES[part]}"


def save_transformer(transformer: Transformer, directory: Path, *, num_new_tokens: int) -> None:
    """Writes config, generation config, weights and tokenizer into an existing directory.

    Args:
        transformer: the model.
        directory: where to.
        num_new_tokens: how many tokens ``generate`` makes unless told otherwise.

    Raises:
        OSError: it cannot be written.
    """
    architecture = transformer.architecture
    is_llama = architecture.family in CLASSES
    files = {
        CONFIG_FILE: llama_config_json(architecture) if is_llama else config_json(architecture),
        "generation_config.json": {
            "do_sample": False,
            **(special_token_ids(architecture) if is_llama else special_ids(architecture)),
            "max_new_tokens": max(1, num_new_tokens),
        },
        TOKENIZER_FILE: llama_tokenizer_json(architecture) if is_llama else tokenizer_json(architecture),
        "tokenizer_config.json": (
            llama_tokenizer_config_json(architecture) if is_llama else tokenizer_config_json(architecture)
        ),
    }
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    save_weights(transformer, directory)


def save_weights(transformer: Transformer, directory: Path) -> None:
    """Writes the weights into a checkpoint directory, in the place of those that are there, whole or not at all.

    Raises:
        OSError: they cannot be written.
    """
    weights = stored_weights(transformer)
    temporary = directory / f".{WEIGHTS_FILE}.tmp"
    try:
        write_safetensors(weights, temporary, metadata={"format": "pt"})
        allow_reading(temporary)
        temporary.replace(directory / WEIGHTS_FILE)
    finally:
        temporary.unlink(missing_ok=True)


def stored_weights(transformer: Transformer) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The weights by Hugging Face's names, as a checkpoint holds them."""
    if transformer.architecture.family in CLASSES:
        return transformer_to_llama_weights(transformer)
    weights = dict(transformer.named_weights())
    weights["token_embedding"] = add_mark_rows(transformer.architecture.vocabulary, transformer.token_embedding)
    return {
        hugging_face_name(name): np.ascontiguousarray(weight)
        for name, weight in weights.items()
        if weight.size  # a transformer without layer norm has none of its weights
    }


def config_json(architecture: Architecture) -> dict[str, Any]:
    """The content of ``config.json``; of a model type of our own if the architecture is not a GPT-2.

    Raises:
        SerialformerError: no model type has an architecture like this.
    """
    if not architecture.is_gpt2 and (
        architecture.positions != "learned" or architecture.gated or not architecture.tied
    ):
        raise SerialformerError("no checkpoint format has an architecture like this", where=repr(architecture))
    config: dict[str, Any] = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": len(file_vocabulary(architecture)),
        "n_positions": architecture.num_positions,
        "n_ctx": architecture.num_positions,
        "n_embd": architecture.width,
        "n_layer": architecture.num_layers,
        "n_head": architecture.num_heads,
        "n_inner": None if architecture.hidden_width == 4 * architecture.width else architecture.hidden_width,
        "activation_function": architecture.activation,
        "layer_norm_epsilon": architecture.norm_epsilon,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
        "tie_word_embeddings": True,
        **special_ids(architecture),
        "dtype": architecture.dtype,
        "torch_dtype": architecture.dtype,
        "use_cache": True,
    }
    if not architecture.is_gpt2:
        # No stock runtime knows it, and none shall take it for a GPT-2.
        del config["architectures"]
        config["model_type"] = OWN_MODEL_TYPE
        config["scale_attn_weights"] = architecture.scaled_scores
        config["norm"] = architecture.norm
        config["relative_bias"] = architecture.relative_bias
        config["arithmetic"] = None if architecture.arithmetic is None else asdict(architecture.arithmetic)
    return config


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; anything else is one clear error."""
    try:
        content = json.loads(read_file(path))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"is not JSON: {error}", where=str(path)) from None
    if not isinstance(content, dict):
        raise CheckpointError("expected a JSON object", where=str(path))
    return content


def load_transformer(directory: Path) -> Transformer:
    """Reads ``config.json``, ``tokenizer.json`` and the weights of a GPT-2 or a Llama, compiled here or not.

    Raises:
        SerialformerError: a file is missing or not what it should be.
    """
    config = read_json(directory / CONFIG_FILE)
    architecture = _architecture(directory, config)
    path = directory / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointError("no weights", where=str(path), hint="is this a checkpoint directory?")
    try:
        with safe_open(path, framework="numpy") as file:
            if architecture.family in CLASSES:
                return weights_to_transformer(architecture, _read_llama_weights(architecture, file, path))
            present = set(file.keys())
            weights: dict[str, Shaped[np.ndarray, ...]] = {}
            for name, shape in weight_shapes(architecture).items():
                theirs = hugging_face_name(name)
                theirs = theirs if theirs in present else theirs.removeprefix("transformer.")
                if 0 in shape:
                    if theirs in present:
                        raise CheckpointError(f"{theirs} in a model without layer norm", where=str(path))
                    weights[name] = np.zeros(shape, DTYPES[architecture.dtype])
                    continue
                if theirs not in present:
                    raise CheckpointError(f"no weight {hugging_face_name(name)!r}", where=str(path))
                found = tuple(file.get_slice(theirs).get_shape())
                if found != shape:
                    raise CheckpointError(f"{theirs} is {list(found)}, not {list(shape)}", where=str(path))
                weights[name] = file.get_tensor(theirs)
        return _without_mark_rows(weights_to_transformer(architecture, weights))
    except CheckpointError:
        raise
    except SafetensorError as error:
        raise CheckpointError(f"is not a safetensors file: {error}", where=str(path)) from None
    except SerialformerError as error:
        raise CheckpointError(error.message, where=str(path)) from None


def _without_mark_rows(transformer: Transformer) -> Transformer:
    """The transformer without the rows that the files have for ``TEXT_MARKS``; unchanged if they are no such rows."""
    architecture, embedding = transformer.architecture, transformer.token_embedding
    if not ends_with_mark_rows(architecture.vocabulary, embedding):
        return transformer
    count = len(architecture.vocabulary) - len(TEXT_MARKS)
    return replace(
        transformer,
        architecture=replace(architecture, vocabulary=architecture.vocabulary[:count]),
        token_embedding=embedding[:count],
    )


def _read_llama_weights(architecture: Architecture, file: Any, path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The weights of a Llama from an open file, put together as ours."""
    shapes, present = weight_shapes(architecture), set(file.keys())
    dtype = DTYPES[architecture.dtype]
    # What is not stored is the size 0.
    weights = {name: np.zeros(shape if 0 in shape else 0, dtype) for name, shape in shapes.items()}
    for part in list_parts(architecture):
        theirs = part.theirs if part.theirs in present else part.theirs.removeprefix("model.")
        if theirs not in present:
            raise CheckpointError(f"no weight {part.theirs!r}", where=str(path))
        found = file.get_tensor(theirs)
        if found.dtype != dtype:
            raise CheckpointError(f"{theirs} is {found.dtype}, not {dtype}", where=str(path))
        if weights[part.ours].shape != shapes[part.ours]:
            weights[part.ours] = np.empty(shapes[part.ours], dtype)
        ours = weights[part.ours][..., part.columns]
        turned = found.T if part.is_turned else found
        if turned.shape != ours.shape:
            expected = list(ours.T.shape if part.is_turned else ours.shape)
            raise CheckpointError(f"{theirs} is {list(found.shape)}, not {expected}", where=str(path))
        ours[...] = turned
    return weights


def _architecture(directory: Path, config: dict[str, Any]) -> Architecture:
    where = str(directory / CONFIG_FILE)
    model_type = config.get("model_type")
    if model_type in CLASSES:
        return _llama_architecture(directory, config, where)
    if model_type not in ("gpt2", OWN_MODEL_TYPE):
        known = ", ".join(f"'{name}'" for name in ("gpt2", *CLASSES))
        raise CheckpointError(f"expected model_type {known} or '{OWN_MODEL_TYPE}', found {model_type!r}", where=where)
    own = model_type == OWN_MODEL_TYPE
    scaled = config.get("scale_attn_weights", True)
    for key, plain in (
        ("scale_attn_weights", scaled is True or not own),
        ("scale_attn_by_inverse_layer_idx", False),
        ("tie_word_embeddings", True),
        ("add_cross_attention", False),
        # Fields of our own model type; a GPT-2 that has them is not what it says.
        *((("norm", None), ("arithmetic", None), ("relative_bias", None)) if not own else ()),
    ):
        if config.get(key, plain) is not plain:
            raise CheckpointError(f"{key}={config[key]!r} is not supported", where=where)
    tokenizer = read_json(directory / TOKENIZER_FILE)
    try:
        vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: int(item[1]))
        width = int(config["n_embd"])
        activation = config.get("activation_function", "gelu_new")
        if activation not in ("relu", "gelu_new"):
            raise CheckpointError(f"no activation {activation!r}", where=where, hint="relu or gelu_new")
        if own and config["norm"] not in ("layer_norm", "none"):
            raise CheckpointError(f"no norm {config['norm']!r}", where=where, hint="layer_norm or none")
        if [index for _, index in vocabulary] != list(range(int(config["vocab_size"]))):
            raise CheckpointError("the tokenizer's vocabulary is not the configuration's", where=where)
        return Architecture(
            vocabulary=tuple(text for text, _ in vocabulary),
            num_positions=int(config["n_positions"]),
            width=width,
            num_layers=int(config["n_layer"]),
            num_heads=int(config["n_head"]),
            hidden_width=int(config.get("n_inner") or 4 * width),
            activation=cast(Activation, activation),
            norm_epsilon=float(config.get("layer_norm_epsilon", 1e-5)),
            end_token=_end_token(config["eos_token_id"]),
            dtype=cast(DtypeName, config.get("dtype") or config.get("torch_dtype") or "float32"),
            norm=cast(NormName, config["norm"]) if own else "layer_norm",
            scaled_scores=scaled,
            arithmetic=_arithmetic(config["arithmetic"]) if own else None,
            relative_bias=own and _flag(config, "relative_bias"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        if isinstance(error, SerialformerError):
            raise CheckpointError(error.message, where=where, hint=error.hint) from None
        raise CheckpointError(f"a field is missing or wrong: {error!r}", where=where) from None


def _end_token(ends: Any) -> int:
    """The token that ends a chain: the first, if a configuration lists several that end generation."""
    return int(ends[0] if isinstance(ends, list) and ends else ends)


def _llama_architecture(directory: Path, config: dict[str, Any], where: str) -> Architecture:
    tokenizer = read_json(directory / TOKENIZER_FILE)
    try:
        vocabulary = read_vocabulary(tokenizer)
        if len(vocabulary) != int(config["vocab_size"]):
            raise CheckpointError("the tokenizer's vocabulary is not the configuration's", where=where)
        return config_to_architecture(config, vocabulary, where)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        if isinstance(error, SerialformerError):
            raise CheckpointError(error.message, where=where, hint=error.hint) from None
        raise CheckpointError(f"a field is missing or wrong: {error!r}", where=where) from None


def _flag(config: dict[str, Any], key: str) -> bool:
    """A field that is true or false, and false where it is missing."""
    value = config.get(key, False)
    if type(value) is not bool:
        raise TypeError(f"{key}={value!r}")
    return value


def _arithmetic(fields: dict[str, Any] | None) -> Arithmetic | None:
    """The rounding that a configuration asks for: exactly its two whole numbers, and such that there is that format."""
    if fields is None:
        return None
    if set(fields) != {"precision", "exponent_bits"} or any(type(value) is not int for value in fields.values()):
        raise TypeError(f"arithmetic={fields!r}")
    arithmetic = Arithmetic(**fields)
    arithmetic_to_format(arithmetic)
    return arithmetic
