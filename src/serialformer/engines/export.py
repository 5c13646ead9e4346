"""Checkpoints in the formats of other engines: GGUF and ONNX."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from serialformer.engines.gguf_file import write_gguf
from serialformer.engines.onnx_file import write_onnx
from serialformer.errors import InputError, SerialformerError
from serialformer.files import write_file


def export_gguf(
    directory: str | os.PathLike[str], output: str | os.PathLike[str], *, dtype: str = "checkpoint"
) -> dict[str, str | int]:
    """Writes a checkpoint directory as a GGUF file, which llama.cpp reads.

    Args:
        directory: a GPT-2, Llama or Qwen2, or a Mistral without a window.
        output: the file to write.
        dtype: the format of the matrices: ``checkpoint`` for that of the checkpoint, ``float32``, ``float16``,
            ``bfloat16``, ``q8_0`` or ``q4_0``.

    Returns:
        The file, the format and the size in bytes.

    Raises:
        InputError: the package ``gguf`` is not installed, or the model or the format is another one.
        SerialformerError: a file cannot be read or written.
    """
    return _export(directory, output, dtype, write_gguf, "gguf")


def export_onnx(
    directory: str | os.PathLike[str], output: str | os.PathLike[str], *, dtype: str = "float32"
) -> dict[str, str | int]:
    """Writes a checkpoint directory as an ONNX file with a cache, whose inputs are named as Optimum names them.

    Args:
        directory: a GPT-2, Llama or Qwen2.
        output: the file to write.
        dtype: ``float32``, which holds the weights of every checkpoint, or ``float16``.

    Returns:
        The file, the format and the size in bytes.

    Raises:
        InputError: the package ``onnx`` is not installed, or the model or the format is another one.
        SerialformerError: a file cannot be read or written.
    """
    return _export(directory, output, dtype, write_onnx, "onnx")


def _export(
    directory: str | os.PathLike[str],
    output: str | os.PathLike[str],
    dtype: str,
    write: Callable[[Path, Path, str], str],
    package: str,
) -> dict[str, str | int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "exported"
        try:
            chosen = write(Path(directory), path, dtype)
        except ImportError as error:
            raise InputError(
                f"the package {package} is needed: {error}", hint="pip install 'serialformer[engines]'"
            ) from None
        except FileNotFoundError as error:
            raise SerialformerError(
                f"no such file: {Path(str(error.filename)).name}",
                where=str(directory),
                hint="give a checkpoint directory",
            ) from None
        except (ValueError, KeyError) as error:
            raise InputError(f"cannot be said in {package.upper()}: {error}", where=str(directory)) from None
        data = path.read_bytes()
    write_file(output, data)
    return {"file": str(output), "dtype": chosen, "bytes": len(data)}
