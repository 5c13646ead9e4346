"""A suite: models, the cases for each, and draft models, in one directory with checksums."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.engines.cases import Case, read_cases, write_cases
from serialformer.engines.families import FAMILIES, MIN_CHAIN_TOKENS, CaseWriter, write_families
from serialformer.engines.known import KnownAnswers
from serialformer.engines.known_columns import KnownColumns
from serialformer.engines.known_tasks import KnownTaskAnswers
from serialformer.engines.recipes import Draft, Recipe, default_recipes, recipe_to_draft, recipe_to_model
from serialformer.errors import FormatError, InputError, SerialformerError
from serialformer.files import new_directory, read_file
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.load import load
from serialformer.models.model import Model
from serialformer.transformer.gpt2_tokenizer import special_ids

SUITE_FILE = "suite.json"
FORMAT = "serialformer-suite"
VERSION = 1

DEFAULT_FAMILIES = (
    *("whole_chain", "prompt_lengths", "crossings", "altered_chain", "shared_prefixes"),
    *("unequal_rows", "equal_rows", "ends", "one_token"),
)
"""What a directory that is no suite is asked."""

SHORT_ANSWER_FAMILIES = ("whole_chain", "equal_rows", "one_token")
ANSWER_FAMILIES = (*SHORT_ANSWER_FAMILIES, "prompt_lengths", "crossings", "unequal_rows", "ends")
"""The families for models without a chain, by how many tokens an answer has."""

MIN_ANSWER_TOKENS = 12
"""The shortest answer for which all of ``ANSWER_FAMILIES`` have their cases."""

DRAFT_TOKENS = 20
"""How many tokens are asked for with a draft model."""


@dataclass(frozen=True, kw_only=True)
class SuiteModel:
    """A model of a suite as the manifest describes it.

    Attributes:
        name: of the model.
        purpose: what it is for.
        directory: where it lies.
        cases: what it is asked.
        tier: ``quick`` or ``full``.
        is_sensitive: whether a wrong answer is a warning only.
        sibling: the name of a model for comparison: of other head width or number format.
        shorter: the name of a model for comparison: of the same kind, with a shorter chain.
        end_token: the id that ends a chain.
        padding_token: the id that may follow it.
        facts: features of the model, by which failures are explained: dtype, head width and so on.
    """

    name: str
    purpose: str
    directory: Path
    cases: tuple[Case, ...]
    tier: str = "quick"
    is_sensitive: bool = False
    sibling: str | None = None
    shorter: str | None = None
    end_token: int
    padding_token: int
    facts: dict[str, Any]

    @property
    def num_tokens(self) -> int:
        """Tokens that all its cases expect."""
        return sum(len(case.expected) for case in self.cases)


def model_facts(model: Model) -> dict[str, Any]:
    """The features of a model by which failures are explained."""
    shape = model.transformer.architecture
    return {
        "family": shape.family,
        "dtype": shape.dtype,
        "layers": shape.num_layers,
        "heads": shape.num_heads,
        "key_heads": shape.num_key_heads,
        "head_width": shape.head_width,
        "width": shape.width,
        **({} if shape.window is None else {"window": shape.window}),
        "tied embeddings": shape.tied,
        "positions": shape.num_positions,
        "vocabulary": len(shape.vocabulary),
        "chain_tokens": model.num_new_tokens,
    }


def make_cases(model: Model, families: Sequence[str] = DEFAULT_FAMILIES, seed: int = 0) -> tuple[Case, ...]:
    """The cases for a compiled circuit, or for a model constructed for a task with a chain.

    Args:
        model: which one.
        families: names of ``engines.families.FAMILIES``, in order; a circuit without a chain gets those that fit.
        seed: of the random prompts.

    Raises:
        InputError: the model is neither, the prompts of its task differ in length, or its chain is shorter than the
            cases need.

    >>> from serialformer import compile
    >>> from serialformer.engines.scattered import scattered_circuit
    >>> cases = make_cases(compile(scattered_circuit(0, num_inputs=6, num_gates=57)))
    >>> len(cases), cases[0].family, len(cases[0].expected)
    (47, 'whole chain', 57)
    """
    known = known_answers(model)
    if isinstance(known, KnownColumns):
        return tuple(write_families(known, _families_of_answers(known), seed))
    if model.num_new_tokens < MIN_CHAIN_TOKENS:
        raise InputError(
            f"expected a chain of at least {MIN_CHAIN_TOKENS} tokens, found {model.num_new_tokens}",
            where=None if model.directory is None else str(model.directory),
            hint="compile a circuit of more gates, or construct the task for a greater length",
        )
    return tuple(write_families(known, families, seed))


def known_answers(model: Model) -> KnownAnswers | KnownTaskAnswers:
    """What is known of a compiled circuit, with a chain or without one, or of a constructed task."""
    if not isinstance(model.protocol, CircuitWords):
        return KnownTaskAnswers(model)
    return KnownColumns(model) if model.words.chain == "none" else KnownAnswers(model)


def _families_of_answers(known: KnownColumns) -> tuple[str, ...]:
    """The families whose cases fit the answer of a model without a chain."""
    num_tokens = known.num_tokens - known.num_prompt
    if num_tokens == 0:
        raise InputError("has no outputs, so that nothing is known", hint="compile a circuit with outputs")
    return ANSWER_FAMILIES if num_tokens >= MIN_ANSWER_TOKENS else SHORT_ANSWER_FAMILIES


def engine_cases(directory: str | os.PathLike[str], output: str | os.PathLike[str]) -> dict[str, int]:
    """Writes the cases for the compiled circuit or the constructed task in a checkpoint directory, a line each.

    Returns:
        How many cases, and how many tokens they expect.

    Raises:
        SerialformerError: there are no cases for such a model, or the file cannot be written.
    """
    cases = make_cases(load(directory))
    write_cases(cases, Path(output))
    return {"cases": len(cases), "tokens": sum(len(case.expected) for case in cases)}


def build_suite(
    output: str | os.PathLike[str],
    *,
    recipes: Sequence[Recipe] | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """Makes a suite: the same bytes each time.

    Args:
        output: the directory to make.
        recipes: which models; by default ``engines.recipes.default_recipes``.
        overwrite: whether a directory that serialformer wrote there is replaced.
        progress: called with 1 for each model that is made.

    Returns:
        How many models, cases and expected tokens it has, and its size in bytes.

    Raises:
        SerialformerError: the directory exists and is not replaced, or cannot be written.
    """
    chosen = default_recipes() if recipes is None else tuple(recipes)
    models: list[dict[str, Any]] = []
    counts = {"models": 0, "cases": 0, "tokens": 0}
    with new_directory(output, overwrite=overwrite) as target:
        (target / "models").mkdir()
        (target / "cases").mkdir()
        for recipe in chosen:
            model = recipe_to_model(recipe)
            model.save(target / "models" / recipe.name)
            cases = [*make_cases(model, recipe.families, recipe.seed), *_draft_cases(recipe, model, target)]
            write_cases(cases, target / "cases" / f"{recipe.name}.jsonl")
            models.append(_describe(recipe, model, cases))
            counts["models"] += 1
            counts["cases"] += len(cases)
            counts["tokens"] += sum(len(case.expected) for case in cases)
            if progress is not None:
                progress(1)
        (target / "README.md").write_text(_read_me(chosen, counts), encoding="utf-8")
        paths = sorted(path for path in target.rglob("*") if path.is_file())
        content = {
            "format": FORMAT,
            "version": VERSION,
            "models": models,
            "sha256": {path.relative_to(target).as_posix(): _sha256(path) for path in paths},
        }
        (target / SUITE_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        num_bytes = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return {**counts, "bytes": num_bytes}


def read_suite(directory: str | os.PathLike[str], *, quick: bool = False) -> tuple[SuiteModel, ...]:
    """The models of a suite, or the one model of a checkpoint directory with cases made for it.

    Args:
        directory: of a suite, or a checkpoint directory of a compiled circuit.
        quick: only the models of the tier ``quick``.

    Raises:
        FormatError: the suite is of another version, or a file is missing or is not what it was.
        SerialformerError: it is neither.
    """
    path = Path(directory)
    if not (path / SUITE_FILE).is_file():
        return (_model_of(path),)
    content = _read_manifest(path)
    models = tuple(_read_model(path, entry) for entry in content["models"])
    return tuple(model for model in models if model.tier == "quick" or not quick)


def choose_models(models: Sequence[SuiteModel], names: Sequence[str]) -> tuple[SuiteModel, ...]:
    """The models of these names; all of them if no name is given.

    Raises:
        InputError: there is no such model.
    """
    unknown = [name for name in names if name not in {model.name for model in models}]
    if unknown:
        known = ", ".join(model.name for model in models)
        raise InputError(f"no model {', '.join(unknown)}", where="--model", hint=f"there are {known}")
    return tuple(model for model in models if not names or model.name in names)


def _model_of(path: Path) -> SuiteModel:
    model = load(path)
    end, padding = _end_and_padding(model)
    return SuiteModel(
        name=path.resolve().name,
        purpose="The model that was given.",
        directory=path.resolve(),
        cases=make_cases(model),
        end_token=end,
        padding_token=padding,
        facts=model_facts(model),
    )


def _read_manifest(path: Path) -> dict[str, Any]:
    where = str(path / SUITE_FILE)
    try:
        content = json.loads(read_file(path / SUITE_FILE))
        found = (content["format"], content["version"])
        listed = {str(name): str(digest) for name, digest in content["sha256"].items()}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"is not the manifest of a suite: {error!r}", where=where) from None
    if found != (FORMAT, VERSION):
        raise FormatError(
            f"expected {FORMAT} version {VERSION}, found {found[0]} version {found[1]}",
            where=where,
            hint="serialformer engine-suite -o DIR makes one of this version",
        )
    wrong = [name for name, digest in listed.items() if not (path / name).is_file() or _sha256(path / name) != digest]
    if wrong:
        shown = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise FormatError(
            f"missing or not what they were made as: {shown}", where=str(path), hint="copy or make the suite again"
        )
    return dict(content)


def _read_model(path: Path, entry: dict[str, Any]) -> SuiteModel:
    try:
        return SuiteModel(
            name=str(entry["name"]),
            purpose=str(entry["purpose"]),
            directory=(path / entry["directory"]).resolve(),
            cases=read_cases(path / entry["cases"]),
            tier=str(entry["tier"]),
            is_sensitive=bool(entry["is_sensitive"]),
            sibling=entry["sibling"],
            shorter=entry["shorter"],
            end_token=int(entry["end_token"]),
            padding_token=int(entry["padding_token"]),
            facts=dict(entry["facts"]),
        )
    except SerialformerError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"a key of a model is missing or wrong: {error!r}", where=str(path / SUITE_FILE)) from None


def _draft_cases(recipe: Recipe, model: Model, target: Path) -> list[Case]:
    """Saves the draft models of a recipe, and makes the cases that use them."""
    if not recipe.drafts:
        return []
    write = CaseWriter(known=KnownAnswers(model), random=np.random.default_rng(recipe.seed + 1))
    write.next_call = 1_000_000  # after all others
    for draft in recipe.drafts:
        name = _draft_name(recipe, draft)
        recipe_to_draft(recipe, draft).save(target / "models" / name)
        purpose = f"Speculative decoding with a draft model that is {draft}: the tokens must be the same as without."
        for length in (write.first, (write.first + write.total) // 2):
            write.ask("draft model", purpose, [write.prompt(length)], DRAFT_TOKENS, draft=f"models/{name}")
    return write.cases


def _end_and_padding(model: Model) -> tuple[int, int]:
    """The ids in the files, whose padding token is none of a GPT-2's own."""
    shape = model.transformer.architecture
    padding = special_ids(shape)["pad_token_id"] if shape.padding_token is None else shape.padding_token
    return shape.end_token, int(padding)


def _draft_name(recipe: Recipe, draft: Draft) -> str:
    return f"{recipe.name}-draft-{draft.replace(' ', '-')}"


def _describe(recipe: Recipe, model: Model, cases: Sequence[Case]) -> dict[str, Any]:
    end, padding = _end_and_padding(model)
    made = {key: value for key, value in asdict(recipe).items() if key not in ("name", "purpose", "tier")}
    return {
        "name": recipe.name,
        "purpose": recipe.purpose,
        "directory": f"models/{recipe.name}",
        "cases": f"cases/{recipe.name}.jsonl",
        "tier": recipe.tier,
        "is_sensitive": recipe.is_sensitive,
        "sibling": recipe.sibling,
        "shorter": recipe.shorter,
        "end_token": end,
        "padding_token": padding,
        "facts": model_facts(model),
        "num_cases": len(cases),
        "num_tokens": sum(len(case.expected) for case in cases),
        "recipe": made,
    }


def _read_me(recipes: Sequence[Recipe], counts: dict[str, int]) -> str:
    """What lies beside the files, for whoever finds the suite without us."""
    rows = "\n".join(f"| `{recipe.name}` | {recipe.tier} | {recipe.purpose} |" for recipe in recipes)
    used = [name for name in FAMILIES if any(name in recipe.families for recipe in recipes)]
    families = "\n".join(f"- {name.replace('_', ' ')}: {FAMILIES[name].__doc__}" for name in used)
    return f"""# Known answers for inference engines

{counts["models"]} models whose every token is known, {counts["cases"]:,} cases, {counts["tokens"]:,} tokens.
Made by `serialformer engine-suite`.

Each folder of `models/` is a checkpoint that Hugging Face transformers loads. `cases/NAME.jsonl` has a line for each
case of the model NAME: the prompt's token ids in `prompt`, how many tokens to ask for in `num_tokens`, and in
`expected` the ids that greedy decoding must give. Cases of one `call` go to the engine together, as one batch; calls go
in order. Where `expected` is shorter than `num_tokens`, the end token must come after it. `gates` and `reads` name,
for each expected token, the gate whose value it is and the positions of the tokens that decide it. `suite.json` lists
the models and the SHA-256 of every file.

| model | tier | what it is for |
|---|---|---|
{rows}

The families of cases:

{families}
- draft model: Speculative decoding with draft models that are right, wrong at some tokens, or always wrong.
"""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
