"""optimum-quanto on a CPU: a model of transformers whose weights are quantised."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, ClassVar

from serialformer.engines.adapters.adapter import NOT_A_NUMBER, NOWHERE, Options, Refusal, Value, check_imports
from serialformer.engines.adapters.transformers_adapter import TransformersAdapter


class QuantoAdapter(TransformersAdapter):
    """``quantize`` and ``freeze``, then ``generate``. A GPT-2's layers are made linear ones of torch first.

    The first tensor that holds something that is no number after quantising is told among what is in effect.
    """

    name = "quanto"
    options: ClassVar[Mapping[str, tuple[Value, ...]]] = {
        "weights": ("qint8", "qfloat8", "qint4", "none"),
        "attention": ("sdpa",),
        "cache": ("dynamic",),
        "beams": (1,),
        "speculation": ("none",),
        "threads": (1,),
        "dtype": ("checkpoint", "float32"),
    }
    requires = "optimum-quanto transformers torch"

    def versions(self) -> dict[str, str]:
        check_imports("optimum.quanto")

        return {"optimum-quanto": version("optimum-quanto"), **super().versions()}

    def open(self, directory: str, options: Options) -> dict[str, str]:
        effects = super().open(directory, options)
        kind = str(options["weights"])
        return effects if kind == "none" else {**effects, "weights": kind, NOT_A_NUMBER: self._not_a_number()}

    def _not_a_number(self) -> str:
        """The first tensor that holds something that is no number, or NOWHERE."""
        import torch

        for name, values in self._model.state_dict().items():
            if values.is_floating_point() and bool(torch.isnan(values.float()).any()):
                return str(name)
        return NOWHERE

    def _load(self, directory: str) -> Any:
        import optimum.quanto
        import torch
        from transformers.pytorch_utils import Conv1D

        model = super()._load(directory)
        if self._options["weights"] == "none":
            return model
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, Conv1D):
                    inputs, outputs = child.weight.shape
                    linear = torch.nn.Linear(inputs, outputs, dtype=child.weight.dtype)
                    with torch.no_grad():
                        linear.weight.copy_(child.weight.T)
                        linear.bias.copy_(child.bias)
                    setattr(module, name, linear)
        quanto: Any = optimum.quanto
        quanto.quantize(model, weights=getattr(quanto, str(self._options["weights"])))
        quanto.freeze(model)
        return model

    def script(self, options: Options) -> str:
        if options["weights"] == "none":
            return super().script(options)
        raise Refusal("has no reproduction")


ADAPTER = QuantoAdapter
