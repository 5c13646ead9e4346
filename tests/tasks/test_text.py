"""Prompts as they are typed: spacing, and the wording of errors."""

from __future__ import annotations

import pytest

from serialformer.errors import TaskError
from serialformer.tasks.registry import parse_task
from serialformer.tasks.text import read_prompt


@pytest.mark.parametrize("text", ["3 5 6 =", "356=", "3 5 6", " 35 6\n", "3\t5 6= "])
def test_characters_need_no_blanks(text: str) -> None:
    ids, length = read_prompt(parse_task("modular-addition", []), text)
    assert ids.tolist() == [3, 5, 6, 7] and length == 3


def test_longer_tokens_do() -> None:
    ids, length = read_prompt(parse_task("modular-addition", ["modulus=12"]), "11 5 =")
    assert ids.tolist() == [11, 5, 12] and length == 2


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        (["modular-addition"], "", "0 tokens are no prompt\nhint: expected residues, each a number below the modulus"),
        (["modular-addition"], "3 8", "no token '8' at place 2\nhint: expected residues"),
        (["modular-addition"], "3 = 5", "no token '=' at place 2\nhint: expected residues"),
        (["modular-addition", "modulus=12"], "3 111", "no token '111' at place 2\nhint: did you mean 11?"),
        (["parity"], "0 1 2", "no token '2' at place 3\nhint: expected bits, each 0 or 1, then ="),
        (["majority"], "0 1 2", "'2' is no bit\nhint: expected bits"),
        (["permutation-composition"], "( 1 2 3 4 5", "6 tokens are no prompt\nhint: expected permutations"),
        (
            ["permutation-composition"],
            "( 1 2 3 4 5 ) ( 1 2 3 4 4 )",
            "'( 1 2 3 4 4 )' at place 8 is no permutation of 5 symbols",
        ),
        (["permutation-composition"], ") 1 2 3 4 5 (", "') 1 2 3 4 5 (' at place 1 is no permutation of 5 symbols"),
        (["permutation-composition", "format=token"], "12345 11345", "no token '11345' at place 2\nhint: did you mean"),
        (["iterated-squaring"], "7 3", "2 tokens are no prompt\nhint: expected a prime"),
        (["iterated-squaring"], "9 3 ^2", "'9' is no prime below 1000"),
        (["iterated-squaring"], "^2 3 ^2", "'^2' is no prime below 1000"),
        (["iterated-squaring"], "7 7 ^2", "'7' is not from 1 to 6"),
        (["iterated-squaring"], "7 0 ^2", "'0' is not from 1 to 6"),
        (["iterated-squaring"], "7 3 ^2 3", "expected ^2, found '3'"),
        (["circuit-value"], "TRUE NA NA", "3 tokens are no prompt\nhint: expected four tokens per gate"),
        (["circuit-value"], "TRU NA NA 1", "no token 'TRU' at place 1\nhint: did you mean TRUE?"),
        (["circuit-value"], "NA NA NA 1", "gate 1: 'NA' is no type of gate"),
        (["circuit-value"], "TRUE NA NA 1 NOT 1 NA 1", "gate 2: its own number is '1'"),
        (["circuit-value"], "TRUE NA NA 1 NOT 2 NA 2", "gate 2: input '2' is no earlier gate"),
        (["circuit-value"], "TRUE NA NA 1 NOT 1 1 2", "gate 2: NOT has 1 inputs, found '1' instead of NA"),
        (["circuit-value"], "TRUE NA NA 1 AND 1 NA 2", "gate 2: input 'NA' is no earlier gate"),
        (["word-problem", "group=Z5"], "3 5", "no token '5' at place 2\nhint: expected elements"),
        (["automaton"], "a q0", "'q0' is no letter\nhint: expected letters"),
        (["arithmetic-expression"], "( 1 + 2", "4 tokens are no prompt"),
        (["arithmetic-expression"], "( 1 2 + )", "what the bracket at place 5 closes is no operation on two numbers"),
        (["arithmetic-expression"], "( 4 / 0 )", "division by zero in the bracket that place 5 closes"),
        (["arithmetic-expression"], "( 1 / ( 3 - 3 ) )", "division by zero in the bracket that place 9 closes"),
        (["arithmetic-expression"], "1 + 2 + 3", "it is no single expression"),
        (["edit-distance"], "a b | b", "4 tokens are no prompt"),
        (["edit-distance"], "a | b b b", "expected '|' at place 3, found 'b'"),
        (["edit-distance"], "a 1 | b b", "'1' is no letter"),
    ],
)
def test_errors(task: list[str], text: str, message: str) -> None:
    made = parse_task(task[0], task[1:])
    with pytest.raises(TaskError) as error:
        read_prompt(made, text)
    assert str(error.value).startswith(f"prompt of {task[0]}: {message}")
    assert "\nhint: " in str(error.value)
