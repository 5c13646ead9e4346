"""The model card: ``README.md`` of a checkpoint directory, as model hubs show it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from serialformer.architecture import token_separator
from serialformer.circuits.words import Word
from serialformer.files import write_file
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.provenance import CompiledProvenance, TrainedProvenance
from serialformer.models.task_items import TaskItems
from serialformer.notebook import count, first_few

if TYPE_CHECKING:
    from serialformer.models.model import Model

CARD_FILE = "README.md"

CITATION = """@inproceedings{li2024chain,
  title     = {Chain of Thought Empowers Transformers to Solve Inherently Serial Problems},
  author    = {Zhiyuan Li and Hong Liu and Denny Zhou and Tengyu Ma},
  booktitle = {International Conference on Learning Representations},
  year      = {2024},
  url       = {https://arxiv.org/abs/2402.12875},
}"""
"""BibTeX of the paper whose construction compiled models follow."""

MAX_PROMPT = 120
"""Longer prompts are not written out."""

_FAMILIES = {"gpt2": "GPT-2", "llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"}


def write_card(model: Model, directory: Path, *, licence: str | None = None) -> None:
    """Writes the card into a checkpoint directory."""
    write_file(directory / CARD_FILE, model_card(model, licence=licence).encode())


def model_card(model: Model, *, licence: str | None = None) -> str:
    """What the model computes, its words, how to run it, what is proven of it, and where it comes from.

    Args:
        model: any model.
        licence: its identifier on hubs, such as ``mit``; None if it follows from that of the circuit.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> card = model_card(compile(build.circuit()), licence="mit")
    >>> print(*card.splitlines()[7:10], sep="\\n")
    # A circuit of 1 gate as a GPT-2
    <BLANKLINE>
    Compiled. The model evaluates the circuit by chain of thought, one token for each gate.
    """
    parts = [_header(model, licence), f"# {_title(model)}\n\n{_summary(model)}", *_words(model), _usage(model)]
    parts += [_proof(model), *_scores(model), _source(model, licence)]
    return "\n\n".join(parts) + "\n"


def _header(model: Model, licence: str | None) -> str:
    architecture, kind = model.transformer.architecture, model.protocol.kind
    about = model.protocol.task.name if isinstance(model.protocol, TaskItems) else kind
    tags = ", ".join(
        dict.fromkeys(("serialformer", model.provenance.kind, json.dumps(about) if ":" in about else about))
    )
    stock = ["library_name: transformers", "pipeline_tag: text-generation"] if architecture.is_stock else []
    lines = [*([] if licence is None else [f"license: {licence}"]), *stock, f"tags: [{tags}]"]
    return "\n".join(["---", *lines, "---"])


def _title(model: Model) -> str:
    family = _FAMILIES.get(model.transformer.architecture.family, "transformer")
    protocol = model.protocol
    if isinstance(protocol, CircuitWords):
        return f"A circuit of {count(protocol.circuit.num_gates, 'gate')} as a {family}"
    if isinstance(protocol, TaskItems):
        return f"{protocol.task.name}, length {protocol.length}, as a {family}"
    return f"An evaluator of circuits as a {family}"


def _summary(model: Model) -> str:
    protocol, made = model.protocol, model.provenance.kind.capitalize()
    if isinstance(protocol, CircuitWords):
        if protocol.chain == "none":
            return f"{made}. The model answers at once, without a chain of thought: layers compute the gates."
        tokens = "one token for each gate" if protocol.packed is None else "several gates in each token"
        return f"{made}. The model evaluates the circuit by chain of thought, {tokens}."
    if isinstance(protocol, TaskItems):
        given = "".join(f", {name} {value}" for name, value in protocol.task.parameters.items())
        return f"{made}. A model of the task {protocol.task.name}{given}, in the setting `{protocol.setting}`."
    facts = protocol.info()
    return f"{made}. The model evaluates every circuit of up to {facts['gates']:,} gates that stands in its prompt."


def _words(model: Model) -> Iterator[str]:
    """Of a circuit: its words and the order of their bits."""
    protocol = model.protocol
    if not isinstance(protocol, CircuitWords):
        return
    inputs, outputs = (
        first_few([f"`{word.name}` ({count(word.width, 'bit')})" for word in words])
        for words in (protocol.inputs, protocol.outputs)
    )
    if _is_plain(protocol) and _in_order(protocol.inputs) and _in_order(protocol.outputs):
        order = (
            "The prompt is the input bits in this order, the least significant bit of each word first, and the last"
            " tokens are the output bits, likewise."
        )
    else:
        order = "`serialformer.json` lists which bit of which word each place of prompt and answer holds."
    yield f"Inputs: {inputs}. Outputs: {outputs}. {order}"


def _is_plain(protocol: CircuitWords) -> bool:
    """Whether each token is a bit, of the prompt or of a gate."""
    return protocol.chain == "gates" and protocol.placed is None and protocol.packed is None


def _in_order(words: Sequence[Word]) -> bool:
    places = [bit for word in words for bit in word.bits]
    return places == list(range(len(places)))


def _usage(model: Model) -> str:
    lines = []
    prompt = _example_prompt(model)
    if model.transformer.architecture.is_stock and prompt is not None:
        lines += [
            "from transformers import pipeline",
            "",
            f'print(pipeline("text-generation", ".")({prompt})[0]["generated_text"])',
            "```",
            "",
            "With serialformer, which reads the answer and can prove the model right:",
            "",
            "```python",
        ]
    lines += ["import serialformer", "", 'model = serialformer.load(".")', *_own_lines(model)]
    return "\n".join(["In this directory:", "", "```python", *lines, "```"])


def _own_lines(model: Model) -> list[str]:
    if isinstance(model.protocol, CircuitWords):
        words = ", ".join(f"{json.dumps(word.name)}: 0" for word in model.protocol.inputs)
        return [f"print(model.run({{{words}}}))"] if len(words) <= MAX_PROMPT else ["print(model)"]
    prompt = _example_prompt(model, is_own=True)
    if isinstance(model.protocol, TaskItems):
        return [f"print(model.run({prompt}))"] if prompt is not None else ["print(serialformer.evaluate(model))"]
    return ['print(model.run(serialformer.read("CIRCUIT.blif"), {"a": 1}))']


def _example_prompt(model: Model, *, is_own: bool = False) -> str | None:
    """A prompt as a string in Python, for transformers or for our own package; None if there is none, or it is long."""
    protocol = model.protocol
    if isinstance(protocol, CircuitWords):
        if _is_plain(protocol):
            zeros = "0" * protocol.num_inputs
            return f'"{zeros}"' if len(zeros) <= MAX_PROMPT else f'"0" * {len(zeros)}'
        tokens = model.prompts(np.zeros((1, protocol.num_inputs), dtype=np.uint8))[0]
        vocabulary = model.transformer.architecture.vocabulary
        separator = " " if protocol.placed is not None else token_separator(vocabulary)
        text = separator.join(vocabulary[token] for token in tokens)
    elif isinstance(protocol, TaskItems):
        if protocol.setting in ("aligned", "filler"):
            return None
        task, length = protocol.task, protocol.length
        made = task.sample(np.random.default_rng(0), length, 1)
        vocabulary = task.vocabulary(length)
        words = [vocabulary[token] for token in made.prompts[0, : made.prompt_lengths[0] - 1]]
        text = token_separator(model.transformer.architecture.vocabulary).join(words)
        if protocol.placed is not None and is_own:
            text = token_separator(vocabulary).join(words)
        elif protocol.placed is not None:
            tokens = protocol.place(made.prompts)[0]
            text = " ".join(model.transformer.architecture.vocabulary[token] for token in tokens)
    else:
        text = "TRUE NA NA 1 NOT 1 NA 2"
    return json.dumps(text, ensure_ascii=False) if len(text) <= MAX_PROMPT else None


def _proof(model: Model) -> str:
    certificate = model.certificate
    if certificate is None:
        return "The model has no certificate. `serialformer certify .` tries to prove it right on every prompt."
    if not certificate.holds:
        return "The model was **refuted**: see `certificate.json`."
    prompts = f"{certificate.prompts} prompts" if "^" in certificate.prompts else certificate.prompts
    return (
        f"**Certified**: `certificate.json` proves from the weights that every token is right, for {prompts} and any"
        f" order of summation; the least logit margin is {certificate.logits.rounded:.1f}. `serialformer certify .`"
        " repeats the proof."
    )


def _scores(model: Model) -> Iterator[str]:
    """Of a trained model: the accuracies of its final evaluation."""
    provenance = model.provenance
    if not isinstance(provenance, TrainedProvenance):
        return
    score = provenance.teacher_forced
    if score is None:
        yield f"Trained for {provenance.steps:,} steps so far, and not evaluated yet."
        return
    chains, answers = (score.accuracies[name] for name in ("chain_accuracy", "answer_accuracy"))
    yield (
        f"Trained for {provenance.steps:,} steps. Of {score.samples:,} new samples {chains:.2%} have every labelled"
        f" token right, and {answers:.2%} the answer, each token predicted from the true ones before it."
    )


def _source(model: Model, licence: str | None) -> str:
    provenance = model.provenance
    lines = []
    if isinstance(provenance, CompiledProvenance):
        source = "a circuit made in Python" if provenance.source is None else f"`{provenance.source}`"
        lines.append(f"Source: {source}.")
        if licence is None:
            lines.append("The weights are a form of that circuit, and so its licence applies to them.")
    return "\n".join([*lines, *([""] if lines else []), "```bibtex", CITATION, "```"])
