"""Columns of a weight matrix: a linear map by its outputs, without the weights that are zero.

The indexed engine has the like (``decode.flat``). A proof shares no arithmetic with the engines that it is to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from serialformer.arrays import Float64, Int64


class ColumnArrays(NamedTuple):
    """The fields of ``Columns`` as the kernels take them, with ``inputs`` for its ``index``."""

    start: Int64[np.ndarray, " outputs_and_one"]
    inputs: Int64[np.ndarray, " entries"]
    value: Float64[np.ndarray, " entries"]
    bias: Float64[np.ndarray, " outputs"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Outputs of a linear map: output j is ``sum(value * input[index]) + bias[j]`` over its entries.

    Attributes:
        start: for each output its first entry, and one more at the end.
        index: the input of each entry.
        value: its weight.
        bias: what is added.
    """

    start: Int64[np.ndarray, " outputs_and_one"]
    index: Int64[np.ndarray, " entries"]
    value: Float64[np.ndarray, " entries"]
    bias: Float64[np.ndarray, " outputs"]

    @property
    def num_outputs(self) -> int:
        return len(self.bias)

    def arrays(self) -> ColumnArrays:
        """The record that the kernels take."""
        return ColumnArrays(start=self.start, inputs=self.index, value=self.value, bias=self.bias)


def to_columns(weight: Float64[np.ndarray, "inputs outputs"], bias: Float64[np.ndarray, " outputs"]) -> Columns:
    """The entries of a matrix that are not zero, output by output.

    >>> to_columns(np.array([[0.0, 2.0], [3.0, 0.0]]), np.zeros(2)).index
    array([1, 0])
    """
    outputs, inputs = np.nonzero(weight.T)
    return Columns(
        start=np.searchsorted(outputs, np.arange(weight.shape[1] + 1)).astype(np.int64),
        index=inputs.astype(np.int64),
        value=np.ascontiguousarray(weight.T[outputs, inputs]),
        bias=np.ascontiguousarray(bias),
    )
