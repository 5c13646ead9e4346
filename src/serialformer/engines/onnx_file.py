"""Checkpoints as ONNX files with a cache, named as Optimum names them.

Inputs are ``input_ids``, ``attention_mask``, ``position_ids`` and for each layer ``past_key_values.N.key`` and
``.value``; outputs ``logits``, ``present.N.key`` and ``.value``. onnxruntime, Optimum and transformers.js read that.
Adapters use this in an engine's environment, where of serialformer only this room is at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.engines.tensor_file import read_config, read_tensors

OPSET = 17
IR_VERSION = 8

FAMILIES = ("gpt2", "llama", "qwen2")

ONNX_FORMATS = ("float32", "float16")


def write_onnx(directory: Path, path: Path, dtype: str = "float32") -> str:
    """Writes a checkpoint directory as one ONNX file.

    Args:
        directory: a GPT-2, Llama or Qwen2 with ``model.safetensors``.
        path: the file to write.
        dtype: ``float32``, which holds the values of every checkpoint, or ``float16``.

    Returns:
        The format of weights and activations.

    Raises:
        ImportError: the package ``onnx`` is not installed.
        ValueError: the model or the format is another one; nothing is written.
    """
    import onnx

    config = read_config(directory)
    if config["model_type"] not in FAMILIES:
        raise ValueError(f"expected one of {', '.join(FAMILIES)}, found {config['model_type']!r}")
    if dtype not in ONNX_FORMATS:
        raise ValueError(f"expected one of {', '.join(ONNX_FORMATS)}, found {dtype!r}")
    tensors, _ = read_tensors(directory)
    prefix = "transformer." if config["model_type"] == "gpt2" else "model."
    graph = _Graph(config, {name.removeprefix(prefix): values for name, values in tensors.items()}, dtype)
    model = graph.build()
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return dtype


class _Graph:
    """The nodes of a model as they are written, one method for each part of it."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], dtype: str) -> None:
        self.config, self.tensors = config, tensors
        self.dtype = np.dtype(dtype)
        self.is_gpt2 = config["model_type"] == "gpt2"
        self.num_layers = int(config["n_layer" if self.is_gpt2 else "num_hidden_layers"])
        self.num_heads = int(config["n_head" if self.is_gpt2 else "num_attention_heads"])
        self.key_heads = self.num_heads if self.is_gpt2 else int(config["num_key_value_heads"])
        width = int(config["n_embd" if self.is_gpt2 else "hidden_size"])
        self.head_width = int(config.get("head_dim") or width // self.num_heads)
        self.vocabulary = int(config["vocab_size"])
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(
        self, kind: str, inputs: Sequence[str], outputs: int = 1, name: str | None = None, **attributes: Any
    ) -> str:
        """Adds a node; returns the name of what it computes, or of the first where there are several."""
        import onnx

        first = name or f"{kind}_{len(self.nodes)}"
        names = [first, *(f"{first}.{number}" for number in range(1, outputs))]
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return first

    def constant(self, values: np.ndarray | Sequence[int] | int, name: str | None = None) -> str:
        """The name of a constant; whole numbers are kept as they are, all others in the model's format."""
        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else self.dtype)
        name = name or f"constant_{len(self.constants)}"
        self.constants[name] = array
        return name

    def number(self, value: float) -> str:
        """The name of a number in the model's format."""
        return self.constant(np.array(value, dtype=np.float64))

    def weight(self, name: str, *, transposed: bool = False) -> str:
        """The name of a tensor of the checkpoint."""
        values = self.tensors[name]
        return self.constant(np.ascontiguousarray(values.T) if transposed else values, name)

    def linear(self, x: str, name: str) -> str:
        """A product with a matrix, and a bias where there is one; GPT-2 keeps inputs as rows, others outputs."""
        made = self.add("MatMul", [x, self.weight(f"{name}.weight", transposed=not self.is_gpt2)])
        return self.add("Add", [made, self.weight(f"{name}.bias")]) if f"{name}.bias" in self.tensors else made

    def norm(self, x: str, name: str) -> str:
        """Layer norm, or RMS norm."""
        if self.is_gpt2:
            epsilon = float(self.config["layer_norm_epsilon"])
            inputs = [x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
            return self.add("LayerNormalization", inputs, axis=-1, epsilon=epsilon)
        square = self.add("ReduceMean", [self.add("Mul", [x, x])], axes=[-1])
        root = self.add("Sqrt", [self.add("Add", [square, self.number(float(self.config["rms_norm_eps"]))])])
        return self.add("Mul", [self.add("Div", [x, root]), self.weight(f"{name}.weight")])

    def build(self) -> Any:
        """The whole model."""
        import onnx

        helper, kind = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        hidden = self.embed()
        for layer in range(self.num_layers):
            hidden = self.layer(hidden, layer)
        hidden = self.norm(hidden, "ln_f" if self.is_gpt2 else "norm")
        is_tied = bool(self.config.get("tie_word_embeddings", self.is_gpt2))
        embedding = "wte.weight" if self.is_gpt2 else "embed_tokens.weight"
        head = embedding if is_tied else "lm_head.weight"
        values = self.tensors[head]
        self.add("MatMul", [hidden, self.constant(np.ascontiguousarray(values.T), "head")], name="logits")
        shape = ["batch", self.key_heads, "past", self.head_width]
        present = [*shape[:2], "total", self.head_width]
        parts = [f"{layer}.{part}" for layer in range(self.num_layers) for part in ("key", "value")]
        whole, value = onnx.TensorProto.INT64, helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "serialformer",
            [
                value("input_ids", whole, ["batch", "sequence"]),
                value("attention_mask", whole, ["batch", "total"]),
                value("position_ids", whole, ["batch", "sequence"]),
                *(value(f"past_key_values.{part}", kind, shape) for part in parts),
            ],
            [
                value("logits", kind, ["batch", "sequence", self.vocabulary]),
                *(value(f"present.{part}", kind, present) for part in parts),
            ],
            [onnx.numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="serialformer",
        )

    def embed(self) -> str:
        """The stream before the first layer, with what all layers share: the mask, and the rotary angles."""
        past = self.add("Gather", [self.add("Shape", ["past_key_values.0.key"]), self.constant(2)])
        total = self.add("Gather", [self.add("Shape", ["attention_mask"]), self.constant(1)])
        one, zero = self.constant(1), self.constant(0)
        rows = self.add("Unsqueeze", [self.add("Range", [past, total, one]), self.constant([1])])
        columns = self.add("Unsqueeze", [self.add("Range", [zero, total, one]), self.constant([0])])
        earlier = self.add("LessOrEqual", [columns, rows])
        real = self.add("Unsqueeze", [self.add("Cast", ["attention_mask"], to=9), self.constant([1, 2])])
        lowest = self.number(float(np.finfo(self.dtype).min))
        self.mask = self.add("Where", [self.add("And", [earlier, real]), self.number(0.0), lowest])
        if self.is_gpt2:
            words = self.add("Gather", [self.weight("wte.weight"), "input_ids"])
            return self.add("Add", [words, self.add("Gather", [self.weight("wpe.weight"), "position_ids"])])
        base = float(self.config.get("rope_theta") or self.config["rope_parameters"]["rope_theta"])
        pairs = np.arange(0, self.head_width, 2, dtype=np.float64) / self.head_width
        self.constants["frequencies"] = (1.0 / base**pairs).astype(np.float32)
        positions = self.add("Unsqueeze", [self.add("Cast", ["position_ids"], to=1), self.constant([1, 3])])
        angles = self.add("Mul", [positions, "frequencies"])
        twice = self.add("Concat", [angles, angles], axis=-1)
        kind = 1 if self.dtype == np.float32 else 10
        self.cosine = self.add("Cast", [self.add("Cos", [twice])], to=kind)
        self.sine = self.add("Cast", [self.add("Sin", [twice])], to=kind)
        return self.add("Gather", [self.weight("embed_tokens.weight"), "input_ids"])

    def layer(self, hidden: str, layer: int) -> str:
        """Attention and hidden units."""
        if self.is_gpt2:
            prefix = f"h.{layer}"
            normed = self.norm(hidden, f"{prefix}.ln_1")
            both = self.add("Split", [self.linear(normed, f"{prefix}.attn.c_attn")], outputs=3, axis=-1)
            queries, keys, values = (self.heads(part, self.num_heads) for part in (both, f"{both}.1", f"{both}.2"))
            fetched = self.linear(self.attend(queries, keys, values, layer), f"{prefix}.attn.c_proj")
            hidden = self.add("Add", [hidden, fetched])
            units = self.activate(self.linear(self.norm(hidden, f"{prefix}.ln_2"), f"{prefix}.mlp.c_fc"))
            return self.add("Add", [hidden, self.linear(units, f"{prefix}.mlp.c_proj")])
        prefix = f"layers.{layer}"
        normed = self.norm(hidden, f"{prefix}.input_layernorm")
        queries = self.turn(self.heads(self.linear(normed, f"{prefix}.self_attn.q_proj"), self.num_heads))
        keys = self.turn(self.heads(self.linear(normed, f"{prefix}.self_attn.k_proj"), self.key_heads))
        values = self.heads(self.linear(normed, f"{prefix}.self_attn.v_proj"), self.key_heads)
        fetched = self.linear(self.attend(queries, keys, values, layer), f"{prefix}.self_attn.o_proj")
        hidden = self.add("Add", [hidden, fetched])
        normed = self.norm(hidden, f"{prefix}.post_attention_layernorm")
        gate = self.linear(normed, f"{prefix}.mlp.gate_proj")
        gate = self.add("Mul", [gate, self.add("Sigmoid", [gate])])
        units = self.add("Mul", [gate, self.linear(normed, f"{prefix}.mlp.up_proj")])
        return self.add("Add", [hidden, self.linear(units, f"{prefix}.mlp.down_proj")])

    def heads(self, x: str, count: int) -> str:
        """From (batch, sequence, width) to (batch, head, sequence, head width)."""
        split = self.add("Reshape", [x, self.constant([0, 0, count, self.head_width])])
        return self.add("Transpose", [split], perm=[0, 2, 1, 3])

    def turn(self, x: str) -> str:
        """Rotary positions: dimension i turns with i + half."""
        halves = self.add("Split", [x], outputs=2, axis=-1)
        crossed = self.add("Concat", [self.add("Neg", [f"{halves}.1"]), halves], axis=-1)
        return self.add("Add", [self.add("Mul", [x, self.cosine]), self.add("Mul", [crossed, self.sine])])

    def attend(self, queries: str, keys: str, values: str, layer: int) -> str:
        """What the heads of a layer fetch, side by side."""
        past = f"past_key_values.{layer}"
        keys = self.add("Concat", [f"{past}.key", keys], name=f"present.{layer}.key", axis=2)
        values = self.add("Concat", [f"{past}.value", values], name=f"present.{layer}.value", axis=2)
        shared = self.num_heads // self.key_heads
        if shared > 1:
            keys, values = (self.share(part, shared) for part in (keys, values))
        turned = self.add("Transpose", [keys], perm=[0, 1, 3, 2])
        scaled = self.add("Mul", [queries, self.number(self.head_width**-0.5)])
        scores = self.add("Add", [self.add("MatMul", [scaled, turned]), self.mask])
        fetched = self.add("MatMul", [self.add("Softmax", [scores], axis=-1), values])
        beside = self.add("Transpose", [fetched], perm=[0, 2, 1, 3])
        return self.add("Reshape", [beside, self.constant([0, 0, self.num_heads * self.head_width])])

    def share(self, x: str, count: int) -> str:
        """Repeats each head of keys or values for the query heads that share it."""
        shape = self.add("Shape", [self.add("Unsqueeze", [x, self.constant([2])])])
        factors = self.add("Mul", [shape, self.constant([1, 1, count, 1, 1])])
        wide = self.add("Expand", [self.add("Unsqueeze", [x, self.constant([2])]), factors])
        return self.add("Reshape", [wide, self.constant([0, self.num_heads, -1, self.head_width])])

    def activate(self, x: str) -> str:
        """The activation of a GPT-2: relu, or gelu by its formula with tanh or exactly with erf."""
        if self.config["activation_function"] == "relu":
            return self.add("Relu", [x])
        half = self.add("Mul", [x, self.number(0.5)])
        if self.config["activation_function"] == "gelu":
            inner = self.add("Erf", [self.add("Mul", [x, self.number(2.0**-0.5)])])
        else:
            cube = self.add("Mul", [self.add("Mul", [x, x]), x])
            bent = self.add("Add", [x, self.add("Mul", [cube, self.number(0.044715)])])
            inner = self.add("Tanh", [self.add("Mul", [bent, self.number((2.0 / np.pi) ** 0.5)])])
        return self.add("Mul", [half, self.add("Add", [inner, self.number(1.0)])])
