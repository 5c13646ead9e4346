"""Which adapters there are."""

from __future__ import annotations

ADAPTERS = {
    "transformers": "transformers_adapter",
    "ctranslate2": "ctranslate2_adapter",
    "llama.cpp": "llamacpp_adapter",
    "onnxruntime": "onnxruntime_adapter",
    "onnxruntime-genai": "onnxruntime_genai_adapter",
    "vllm": "vllm_adapter",
    "openvino": "openvino_adapter",
    "openvino-genai": "openvino_genai_adapter",
    "optimum": "optimum_adapter",
    "transformer-lens": "transformer_lens_adapter",
    "mlx-lm": "mlx_lm_adapter",
    "quanto": "quanto_adapter",
}
"""The module of each engine's adapter, by the engine's name."""
