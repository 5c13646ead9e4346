"""Every command that needs to know what a model can be asked says which files a plain copy of one lacks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import serialformer
from serialformer.circuits.formats.blif.blif import read_blif
from tests.command import Result

COMMANDS = {
    "run": ("run", "DIR", "-i", "a=1"),
    "info": ("info", "DIR"),
    "certify": ("certify", "DIR"),
    "verify": ("verify", "DIR"),
    "explore": ("explore", "DIR", "-o", "OUT"),
    "decompile": ("decompile", "DIR", "-o", "OUT"),
    "bound": ("bound", "DIR", "-o", "OUT"),
    "evaluate": ("evaluate", "DIR"),
    "engine-test": ("engine-test", "DIR", "--engine", "transformers"),
    "engine-cases": ("engine-cases", "DIR", "-o", "OUT"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_plain_copy(command: str, cli: Callable[..., Result], adder_file: Path, tmp_path: Path) -> None:
    original, copy, out = tmp_path / "original", tmp_path / "copy", tmp_path / "out.aag"
    serialformer.compile(read_blif(adder_file)).save(original)
    copy.mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(original / name, copy)
    words = {"DIR": copy, "OUT": out}
    result = cli(*(words.get(word, word) for word in COMMANDS[command]))
    assert result.status == 2 and not result.out and not out.exists()
    assert result.err.startswith(f"error: {copy / 'serialformer.json'}: no such file: the directory is a plain copy")
    assert "hint: copy from the original directory serialformer.json and tokenizer.json; also" in result.err
