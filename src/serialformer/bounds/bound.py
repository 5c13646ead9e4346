"""``bound``: a model asked prompts of one length, as a circuit whose depth does not depend on that length."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from serialformer.architecture import Architecture, Arithmetic
from serialformer.bounds.extract import PromptTokens, extract
from serialformer.bounds.making import DEFAULT_MAX_WIRES
from serialformer.bounds.unbounded import UnboundedCircuit
from serialformer.circuits.words import Word
from serialformer.errors import EngineError, InputError
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.load import find_model
from serialformer.models.model import Model
from serialformer.models.task_items import TaskItems
from serialformer.transformer.precision import arithmetic_to_format
from serialformer.transformer.transformer import Transformer, weights_to_transformer

NUM_SAMPLES = 4096
"""Of a task, to see which tokens its prompts hold."""


class Question(NamedTuple):
    """The prompt of a model.

    Attributes:
        prompt: the tokens that each position may hold.
        input_words: names for its bits.
        chain_tokens: the tokens that a chain may be made of.
    """

    prompt: PromptTokens
    input_words: tuple[Word, ...]
    chain_tokens: tuple[int, ...]


def bound(
    model: Model | str | os.PathLike[str],
    *,
    length: int | None = None,
    chain: int = 0,
    parallel: bool = False,
    method: str | None = None,
    precision: int | None = None,
    aligned: bool = True,
    max_wires: int = DEFAULT_MAX_WIRES,
) -> UnboundedCircuit:
    """The model as a circuit of unbounded fan-in, from the bits of the prompt to the token after it.

    Without a chain its depth is a function of the number of layers and the number format alone (``depth_bound``), and
    its size is polynomial in the length of the prompt: this is the proof that a transformer of constant depth and
    precision computes only what AC0 circuits compute, carried out.

    Args:
        model: a model whose every operation is rounded, or its directory.
        length: of a model of a task: the number of items of the prompt. Default: what the model is made for.
        chain: how many tokens of a chain of thought the model makes before the answer that is wanted.
        parallel: try all chains at once instead, so that the depth does not grow with ``chain`` but the size does.
        method: how sums are made: ``flip-flops``, a cascade, the default in F_s; ``resets``, a cascade for any format;
            ``thresholds``, one layer of threshold gates whatever the precision; ``serial``, term by term, so that the
            depth grows with the number of terms.
        precision: round the weights to F_s with this s first. The model has to have no layer norm, unscaled scores and
            relu, as models that are trained with norm ``none`` have.
        aligned: whether outputs are delayed to the depth that ``depth_bound`` says. Otherwise the depth is that of the
            longest path that the weights leave.
        max_wires: refuse a circuit of more wires.

    Returns:
        The circuit. Its outputs are the word ``answer``, the id of the token; the words ``chain0``, ``chain1``, ... of
        the chain's tokens; and, where it can be true, ``undefined``, which says that a softmax divides by zero.

    Raises:
        InputError: the model cannot be asked this.
        EngineError: the model computes in floats, or its weights are no numbers of its format.
        CircuitError: the circuit has more wires than allowed.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("y", build.and_(*build.inputs("x", 2)))
    >>> circuit = bound(compile(build.circuit(), target="paper"))
    >>> circuit.depth, [circuit.evaluate(x=x)["answer"] for x in range(4)]
    (312, [0, 0, 0, 1])
    """
    found = find_model(model)
    transformer = found.transformer
    if precision is not None:
        transformer = round_transformer(transformer, Arithmetic(precision=precision))
    question = ask(found, length)
    return extract(
        transformer,
        question.prompt,
        chain=chain,
        parallel=parallel,
        chain_tokens=question.chain_tokens,
        method=method,
        aligned=aligned,
        max_wires=max_wires,
        input_words=question.input_words,
    )


def ask(model: Model, length: int | None = None) -> Question:
    """The prompts of a model, of a compiled circuit or a task.

    A prompt of a task may hold at each position what ``NUM_SAMPLES`` samples of the task hold there, of those that have
    all their items; what these miss, as they may where there are very many tokens, the circuit does not take.

    Raises:
        InputError: the model is an evaluator, or a compiled circuit and ``length`` is given.
    """
    if isinstance(model.protocol, CircuitWords):
        words = model.protocol
        if length is not None:
            raise InputError("a compiled circuit has prompts of one length", where="length", hint="leave it out")
        zeros, ones = (words.prompts(np.full((1, words.num_inputs), bit, dtype=np.uint8))[0] for bit in (0, 1))
        choices = tuple((a,) if a == b else (a, b) for a, b in zip(zeros.tolist(), ones.tolist(), strict=True))
        return Question(PromptTokens(choices=choices), words.inputs, (0, 1))
    if not isinstance(model.protocol, TaskItems):
        raise model.protocol.refuse_question(None)
    task = model.protocol.task
    items = model.protocol.length if length is None else length
    ids = model.protocol.token_ids(model.transformer.architecture, items)
    examples = task.sample(np.random.default_rng(0), items, NUM_SAMPLES)
    prompts = ids[examples.prompts[examples.prompt_lengths == task.prompt_width(items)]]
    seen = tuple(tuple(np.unique(column).tolist()) for column in prompts.T)
    end = model.transformer.architecture.end_token
    thinking = task.chain_width(items) if model.protocol.setting == "filler" else 0
    prompt = PromptTokens(choices=seen + ((end,),) * thinking)
    words_of_items: tuple[Word, ...]
    if max(prompt.widths) <= 1:
        words_of_items = (Word(name="x", bits=tuple(range(prompt.num_bits))),)
    else:
        last = np.cumsum(prompt.widths).tolist()
        words_of_items = tuple(
            Word(name=f"x{token}", bits=tuple(range(end_bit - width, end_bit)))
            for token, (width, end_bit) in enumerate(zip(prompt.widths, last, strict=True))
            if width
        )
    return Question(prompt, words_of_items, tuple(ids.tolist()))


def round_transformer(transformer: Transformer, arithmetic: Arithmetic) -> Transformer:
    """The same weights, rounded to a format, for a transformer that rounds every operation to it.

    Raises:
        EngineError: the transformer has layer norm, scaled scores, a relative bias or gelu, for which rounding is not
            defined.
    """
    found: Architecture = transformer.architecture
    if found.norm != "none" or found.scaled_scores or found.activation != "relu" or found.relative_bias:
        raise EngineError(
            "the model has layer norm, scaled scores, a relative bias or gelu, for which rounding is not defined",
            hint="train it with --set model.norm=none and --set model.activation=relu",
        )
    number_format = arithmetic_to_format(arithmetic)
    weights = {
        name: number_format.round(weight.astype(np.float64)).astype(np.float32)
        for name, weight in transformer.named_weights()
    }
    return weights_to_transformer(replace(found, arithmetic=arithmetic, dtype="float32"), weights)
