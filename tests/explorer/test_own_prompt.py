"""A prompt of one's own: checked by the grammar in a file, by the task itself in a served page."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tests.explorer.conftest import Open, Serve
from tests.explorer.test_browser import expect
from tests.task_models import exact_parity

from serialformer import construct
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.formats.read_write import read
from serialformer.explorer.content import own_samples, task_content
from serialformer.explorer.server import PageServer

BENCH = """
# a comment
INPUT(a)
INPUT(b)
INPUT(c)
OUTPUT(y)
y = NAND(differ, none)
differ = XOR(a, b)
none = NOR(zero, c)
zero = AND(a, nota, b)
nota = NOT(a)
"""

AIGER = """aag 9 3 0 2 4
4
6
10
{first}
{last}
16 3 13
12 7 4
2 11 6
8 12 3
i0 a
i2 c
o0 y
c
ANDs in any order, a gap in the numbers, and an input without a name
"""


def ask(page: Any, text: str, inputs: str | None = None) -> None:
    form = page.locator("form.own-prompt")
    form.locator("textarea, input").first.fill(text)
    if inputs is not None:
        form.locator("input").fill(inputs)
    form.get_by_role("button", name="Ask").click()


def test_in_a_file_by_the_grammar(open_page: Open) -> None:
    models = [exact_parity(6), exact_parity(6)]
    page = open_page(task_content(models, num_samples=2))
    problem = page.locator(".own-prompt .problem")
    ask(page, "0 1 1")
    expect(problem).to_have_text("expected 6 tokens (bits, each 0 or 1), found 3")
    ask(page, "0 1 1 0 2 1")
    expect(problem).to_have_text("token 5 is \u201c2\u201d; expected one of 0 1")
    text = "0 1 1 0 0 1"
    ask(page, text)
    expect(problem).to_have_count(0)
    expect(page.locator(".word select")).to_have_value("2")
    answer = models[0].run(text).answer[0]
    for side in range(2):
        score = page.locator(".score").nth(side)
        expect(score).to_have_text(f"answer {answer}; this page does not know the true one")
    expect(page.get_by_role("button", name="reads the true tokens")).to_be_disabled()


def test_an_evaluator_takes_a_circuit_or_a_netlist(open_page: Open, tmp_path: Path) -> None:
    model = construct("circuit-value", 16)
    page = open_page(task_content([model], num_samples=1))
    problem, score = page.locator(".own-prompt .problem"), page.locator(".score")
    text = "TRUE NA NA 1 FALSE NA NA 2 OR 1 2 3 AND 3 2 4 NOT 4 NA 5"
    ask(page, text)
    expect(score).to_have_text("\u2713 answer right all 20 tokens right")
    # What the page takes for true is what the task says.
    (sample,) = own_samples([model], text)
    expect(page.locator(".token")).to_have_count(len(sample["tokens"]) + 1)
    shown = page.locator(".token .token-text").all_inner_texts()[: sample["prompt"]]
    assert shown == [model.transformer.architecture.vocabulary[token] for token in sample["tokens"]][: len(shown)]
    for wrong, message in (
        ("TRUE NA NA 1 NOT 2 NA 2", "gate 2: input \u201c2\u201d is no earlier gate"),
        ("TRUE NA NA 1 AND 1 NA 2", "gate 2: input \u201cNA\u201d is no earlier gate"),
        ("TRUE 1 NA 1", "gate 1: TRUE has 0 inputs, found \u201c1\u201d instead of NA"),
        ("XOR NA NA 1", "gate 1: \u201cXOR\u201d is no type of gate"),
        ("TRUE NA NA 2", "gate 1: its own number is \u201c2\u201d"),
        ("TRUE NA NA", "expected four tokens for each gate, found 3 tokens"),
        ("TRUE NA NA 1 " * 17, "gate 2: its own number is \u201c1\u201d"),
        ("OUTPUT(y)\ny = NOT(y)", "y depends on itself"),
        ("OUTPUT(y)\ny = NOT(z)", "z is neither an input nor a gate"),
        ("INPUT(a)\nOUTPUT(y)\ny = NOT(a)", "input a has no value; write a=0 or a=1"),
        ("INPUT(a)\nOUTPUT(y)\ny = LUT(a)", "input a has no value; write a=0 or a=1"),
        ("aig 3 2 0 1 1\n6\n", "binary AIGER cannot be pasted; paste the ASCII form (aag), or use"),
        ("aag 1 1 0", "line 1: expected \u201caag M I L O A\u201d, found \u201caag 1 1 0\u201d"),
        ("aag 1 0 1 1 0\n2 3\n2", "line 1: the circuit has latches; an evaluator takes circuits without registers"),
        ("aag 1 0 0 0 0 1\n1", "line 1: bad states, constraints, justice and fairness are not taken"),
        ("aag 0 0 0 0 0", "the circuit has no output"),
        ("aag 1 1 0 1 0\n3\n2", "line 2: expected an even literal, found 3"),
        ("aag 1 1 0 1 0\n2", "line 3: expected the literal of an output, found \u201c\u201d"),
        ("aag 1 1 0 1 0\n2\n4", "line 3: literal 4 is larger than the header allows (3)"),
        ("aag 1 0 0 1 1\n2\n2 2 1", "literal 2 depends on itself"),
        ("aag 1 0 0 1 1\n2\n2 1 3", "literal 2 depends on itself"),
        ("aag 2 0 0 1 1\n2\n2 4 1", "literal 4 is neither an input nor an AND"),
        ("aag 1 1 0 1 1\n2\n2\n2 0 1", "line 4: literal 2 is defined twice"),
        ("aag 1 1 0 1 0\n2\n2", "input in has no value; write in=0 or in=1"),
        ("aag 1 1 0 1 0\n2\n2\nfoo", "line 4: expected a symbol such as \u201ci0 a\u201d, found \u201cfoo\u201d"),
        ("OUTPUT(y)\ny", "line 2: expected INPUT(a), OUTPUT(y) or y = AND(a, b)"),
    ):
        ask(page, wrong)
        expect(problem).to_contain_text(message)

    (tmp_path / "one.bench").write_text(BENCH)
    for bits in ((1, 0, 0), (1, 0, 1)):
        (expected,) = evaluate_outputs(read(tmp_path / "one.bench"), np.array([bits], dtype=np.uint8))[0]
        ask(page, BENCH, " ".join(f"{name}={bit}" for name, bit in zip("abc", bits, strict=True)))
        expect(score).to_contain_text("answer right")
        page.get_by_role("button", name="Last token").click()
        expect(page.locator(".token .token-text").last).to_have_text("TRUE" if expected else "FALSE")


def test_an_evaluator_takes_ascii_aiger(open_page: Open, tmp_path: Path) -> None:
    page = open_page(task_content([construct("circuit-value", 16)], num_samples=1))
    ask(page, AIGER.format(first=9, last=17), "a=1 b=0")
    expect(page.locator(".own-prompt .problem")).to_have_text("input in has no value; write in=0 or in=1")
    asked = 0
    for text in (AIGER.format(first=9, last=17), AIGER.format(first=17, last=9)):
        (tmp_path / "one.aag").write_text(text)
        circuit = read(tmp_path / "one.aag")
        for bits in ((0, 1, 0), (1, 0, 0), (1, 1, 1), (0, 0, 1)):
            asked += 1
            # The last gate of the chain is the last output, whose value is Python's.
            last = evaluate_outputs(circuit, np.array([bits], dtype=np.uint8))[0][-1]
            ask(page, text, " ".join(f"{name}={bit}" for name, bit in zip(("a", "in", "c"), bits, strict=True)))
            expect(page.locator(".word select")).to_have_value(str(asked))
            expect(page.locator(".score")).to_contain_text("answer right")
            page.get_by_role("button", name="Last token").click()
            expect(page.locator(".token .token-text").last).to_have_text("TRUE" if last else "FALSE")


def test_in_a_served_page_by_the_task(open_page: Open, serve: Serve) -> None:
    model = construct("permutation-composition", 2)
    content = task_content([model], num_samples=1, embedded=False)
    assert content["models"][0]["grammar"]["kind"] == "served"
    server = PageServer(content, [model.transformer], read_prompt=partial(own_samples, [model]))
    page = open_page(serve(server))
    ask(page, "( 2 1 3 4 5 ) ( 5 1 3 4 2 )")
    expect(page.locator(".score")).to_contain_text("answer right")
    expect(page.locator(".word select")).to_have_value("1")
    page = open_page(task_content([model], num_samples=1))
    expect(page.locator("small.own-prompt")).to_contain_text("serialformer explore DIR --serve takes one")
