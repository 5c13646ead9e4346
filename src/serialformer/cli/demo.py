"""The command ``demo``: compile, run, certify and explore on one small circuit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.function.logic import Logic
from serialformer.circuits.function.multiply import multiply
from serialformer.circuits.words import Word
from serialformer.cli.options import Force, refuse_existing
from serialformer.cli.progress import progress_bar
from serialformer.models.compile import compile
from serialformer.models.load import load
from serialformer.models.prove import certify

FACTORS = (51234, 47111)

PAGE = "page.html"
"""In the checkpoint directory, where programs that load the checkpoint do not see it."""


def multiplier(width: int) -> Circuit:
    """The product of words a and b, all of its bits.

    >>> multiplier(4).evaluate(a=13, b=11)
    {'product': 143}
    """
    logic = Logic()
    a, b = ([logic.input() for _ in range(width)] for _ in range(2))
    product = multiply(logic, a, False, b, False, 2 * width)
    places = tuple(range(2 * width))
    return logic.circuit(
        product,
        input_words=(Word(name="a", bits=places[:width]), Word(name="b", bits=places[width:])),
        output_words=(Word(name="product", bits=places),),
    )


def demo_command(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The checkpoint directory to create.")
    ] = Path("serialformer-demo"),
    force: Force = False,
) -> None:
    """Compile, run and certify a 16-bit multiplier and write its page, in under a minute."""
    from serialformer.explorer.content import circuit_content
    from serialformer.explorer.page import write_page

    refuse_existing(output, force=force)
    started = time.perf_counter()
    source = multiplier(16)
    with progress_bar("compiling", None):
        model = compile(source).save(output, overwrite=force)
    seconds = time.perf_counter() - started
    shape = model.transformer.architecture
    print(f"circuit     {source.num_gates:,} gates, depth {source.depth}; it multiplies two words of 16 bits")
    print(
        f"checkpoint  {output}/: stock GPT-2, {shape.num_layers} layer, {shape.num_heads} heads, width {shape.width},"
        f" {model.transformer.num_parameters:,} parameters, {model.transformer.num_bytes / 1e6:.2f} MB,"
        f" compiled in {seconds:.1f} s"
    )

    a, b = FACTORS
    transcript = model.run(a=a, b=b)
    print(
        f"thought     {len(transcript.chain):,} tokens in {transcript.seconds:.3f} s,"
        f" the last {source.num_outputs} are the product, least significant bit first:"
    )
    print(f"            {transcript.text[-source.num_outputs :]}")
    product = transcript["product"]
    print(f"answer      {a} x {b} = {product}  ({'correct' if product == a * b else 'WRONG'})")

    certificate = certify(load(output))
    print(
        f"certified   {'' if certificate.holds else 'NOT '}{certificate.prompts} inputs, from the weights:"
        f" attention gap {certificate.attention.rounded:.1f}, logit margin {certificate.logits.rounded:.1f}"
    )
    page = output / PAGE
    with progress_bar("drawing", None):
        num_bytes = write_page(page, circuit_content(model, embedded=True))
    print(f"page        {page.resolve().as_uri()}")
    print(f"            {num_bytes / 1e6:.2f} MB: open it in a browser and watch the model think")
    print(
        f"""
What to try next:

    serialformer run {output} -i a=3 -i b=5 --trace     each token with its gate
    serialformer verify {output} --samples 100          every token against the circuit
    serialformer decompile {output} -o again.blif       the circuit, read back out of the weights

Or with transformers (pip install 'serialformer[torch]'):

    from transformers import AutoModelForCausalLM, AutoTokenizer
    model = AutoModelForCausalLM.from_pretrained("{output}")
    tokenizer = AutoTokenizer.from_pretrained("{output}")
    tokens = model.generate(**tokenizer(f"{{{a}:016b}}"[::-1] + f"{{{b}:016b}}"[::-1], return_tensors="pt"))
    int(tokenizer.decode(tokens[0])[-32:][::-1], 2)  # {a * b}"""
    )
    if product != a * b or not certificate.holds:
        raise typer.Exit(1)
