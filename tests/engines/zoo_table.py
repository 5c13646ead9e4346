"""Which families of cases find which defect of the zoo; ``python -m tests.engines.zoo_table [llama]`` finds out."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from serialformer.engines.cases import group_calls
from serialformer.engines.judge import judge
from serialformer.engines.recipes import Recipe, default_recipes
from serialformer.engines.run import ONE_PASS
from serialformer.engines.suite import SuiteModel, build_suite, read_suite
from tests.engines.llama_zoo import LLAMA_DEFECTS
from tests.engines.small_engine import SmallEngine
from tests.engines.zoo import DEFECTS

ASKED = (
    *("gpt2-128-float32", "gpt2-300-float32", "gpt2-129-decoys-float32"),
    *("gpt2-96-small-stream", "gpt2-96-offset-keys", "gpt2-4096-3-heads-float16"),
)
"""The models of the suite that the zoo is asked."""

LLAMA_ASKED = (
    *("llama-97-bfloat16-rotary", "mistral-96-bfloat16-window-32", "llama-128-float32", "llama-64-small-stream"),
    *("llama-128-float32-8-key-heads", "llama-300-float32-rotary", "llama-300-float16-5-layers"),
    *("llama-1024-float16-rotary", "qwen2-128-bfloat16-rotary"),
)
"""The Llamas and Mistrals of the suite that the defects of ``llama_zoo`` are asked."""

LONG = {
    "gpt2-4096-3-heads-float16": ("long prompt",),
    "llama-1024-float16-rotary": ("full context", "long prompt"),
    "qwen2-128-bfloat16-rotary": ("whole chain", "prompt length", "altered chain"),
}
"""Of these models only some families, and only if nothing else has found a defect: the engine is slow."""

FOUND_FILE = Path(__file__).with_name("zoo.json")
"""What was found: for each defect and family the first model and case."""

LLAMA_FOUND_FILE = Path(__file__).with_name("llama_zoo.json")
"""The same of the defects of ``llama_zoo``."""


def zoo_recipes() -> tuple[Recipe, ...]:
    """The recipes of the models that the zoo is asked."""
    return tuple(recipe for recipe in default_recipes() if recipe.name in ASKED + LLAMA_ASKED)


def found_by(make_engine: Callable[[], SmallEngine], models: tuple[SuiteModel, ...]) -> dict[str, str]:
    """For each family that finds something, the first model and case that does; each family is asked afresh."""
    found: dict[str, str] = {}
    for model in models:
        if found and model.name in LONG:
            continue
        for family in families_of(model):
            case = None if family in found else first_wrong(make_engine, model, family)
            if case is not None:
                found[family] = f"{model.name}/{case}"
    return found


def families_of(model: SuiteModel) -> tuple[str, ...]:
    """What the zoo is asked of a model."""
    return LONG.get(model.name, (*dict.fromkeys(case.family for case in model.cases), ONE_PASS))


def first_wrong(make_engine: Callable[[], SmallEngine], model: SuiteModel, family: str) -> str | None:
    """The id of the first case of a family that an engine answers wrongly, or fails on."""
    engine = make_engine()
    engine.open(model.directory)
    ids = {"end_token": model.end_token, "padding_token": model.padding_token}
    if family == ONE_PASS:
        case = max(model.cases, key=lambda case: len(case.expected))
        said = engine.score([*case.prompt, *case.expected[:-1]])
        return None if tuple(said[len(case.prompt) - 1 :]) == case.expected else case.id
    drafts: dict[str, SmallEngine] = {}
    for call in group_calls([case for case in model.cases if case.family == family]):
        first = call[0]
        if first.draft is not None and first.draft not in drafts:
            drafts[first.draft] = SmallEngine()
            drafts[first.draft].open(model.directory.parents[1] / first.draft)
        draft = None if first.draft is None else drafts[first.draft]
        try:
            answers = engine.generate([case.prompt for case in call], first.num_tokens, draft)
        except (IndexError, ValueError):
            return first.id
        for case, made in zip(call, answers, strict=True):
            if judge(case, made, **ids):
                return case.id
    return None


def write_table(found: Mapping[str, Mapping[str, str]]) -> str:
    """The table as the documents have it."""
    rows = [f"| {name} | {', '.join(sorted(of_one))} |" for name, of_one in found.items()]
    return "\n".join(["| defect | families that find it |", "|---|---|", *rows]) + "\n"


def main() -> None:
    """Tries every defect, of the one zoo or the other, and writes ``zoo.json`` or ``llama_zoo.json``."""
    is_llama = sys.argv[1:] == ["llama"]
    asked, defects = (LLAMA_ASKED, LLAMA_DEFECTS) if is_llama else (ASKED, DEFECTS)
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        suite = Path(folder) / "suite"
        build_suite(suite, recipes=zoo_recipes())
        models = tuple(model for model in read_suite(suite) if model.name in asked)
        found = {}
        for name, engine in defects.items():
            found[name] = found_by(engine, models)
            print(name, "|", ", ".join(found[name]), flush=True)
    (LLAMA_FOUND_FILE if is_llama else FOUND_FILE).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
