"""Which adapters there are."""

from __future__ import annotations

ADAPTERS = {
    "transformers": "transformers_adapter",
    "ctranslate2": "ctranslate2_adapter",
}
"""The module of each engine's adapter, by the engine's name."""
