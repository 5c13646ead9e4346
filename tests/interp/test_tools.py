"""Every model of the suite in TransformerLens and nnsight: logits as transformers has them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serialformer import SerialformerError
from serialformer.interp.suite import MEMBERS, write_suite
from serialformer.interp.tools import open_in_nnsight, open_in_transformer_lens

CLOSE = 1e-4
NAMES = ("adder2-chain", "adder2-chain-superposed", "parity-task", "s3-task", "two-tasks-depth-rotated")
"""Some of the suite; ``pytest -m slow`` takes all of it."""


@pytest.fixture(scope="module", params=[pytest.param(NAMES, id="some"), pytest.param(
    tuple(member.name for member in MEMBERS), id="all", marks=pytest.mark.slow)])  # fmt: skip
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools") / "suite"
    write_suite(folder, names=request.param, num_pairs=3)
    return folder


def lens_logits(path: Path, ids: Any, dtype: Any) -> Any:
    return open_in_transformer_lens(path, dtype=dtype)(ids)


def nnsight_logits(path: Path, ids: Any, dtype: Any) -> Any:
    model = open_in_nnsight(path, dtype=dtype)
    with model.trace(ids):
        logits = model.lm_head.output.save()
    return logits


@pytest.mark.parametrize(("package", "logits_of"), [("transformer_lens", lens_logits), ("nnsight", nnsight_logits)])
def test_logits_are_those_of_transformers(suite: Path, package: str, logits_of: Callable[..., Any]) -> None:
    """To within 1e-4, in float64 and in float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those packages warn of much, on import and after
        pytest.importorskip(package, reason=f"{package} is not installed (extra interp)")
        torch = pytest.importorskip("torch")
        transformers = pytest.importorskip("transformers")
        for folder in sorted(path for path in suite.iterdir() if path.is_dir()):
            lines = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
            ids = torch.tensor([lines[0]["clean_ids"], lines[0]["other_ids"]])
            for dtype in (torch.float64, torch.float32):
                model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=dtype)
                with torch.no_grad():
                    wanted, found = model(ids).logits, logits_of(folder / "model", ids, dtype)
                away = float((found - wanted).abs().max())
                assert away < CLOSE, (folder.name, dtype, away)


@pytest.mark.parametrize("open_in", [open_in_transformer_lens, open_in_nnsight])
def test_what_is_missing_is_named(open_in: Callable[..., Any], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(SerialformerError, match="is not installed|no checkpoint there"):
            open_in(tmp_path)
