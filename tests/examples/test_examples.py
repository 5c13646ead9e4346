"""Every example against what it is an example of, and its program as a whole."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import zlib
from importlib import import_module
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serialformer.circuits.evaluate import evaluate_outputs

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = ["gcd", "multiply_divide", "crc32", "sudoku4", "sha256", "aes128"]


@pytest.fixture(autouse=True)
def beside_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples find one another as they do when Python runs one."""
    monkeypatch.syspath_prepend(EXAMPLES)


@pytest.mark.parametrize("names", [PROGRAMS[:4], pytest.param(PROGRAMS, marks=pytest.mark.slow)], ids=["small", "all"])
def test_programs(names: list[str]) -> None:
    """All in one process, for most of the time would go into starting six."""
    program = f"import {', '.join(names)}\nfor example in {', '.join(names)}:\n    example.main()"
    run = subprocess.run([sys.executable, "-c", program], cwd=EXAMPLES, capture_output=True, text=True, check=True)
    assert (run.stderr, run.stdout.count("(correct)")) == ("", len(names))
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["circuit", "model", "thought", "answer"] * len(
        names
    )


def test_gcd_on_every_input() -> None:
    circuit = import_module("gcd").gcd.circuit
    index = np.arange(1 << 16)
    bits = (index[:, None] >> np.arange(16) & 1).astype(np.uint8)
    found = (evaluate_outputs(circuit, bits).astype(int) << np.arange(8)).sum(axis=1)
    assert (found == np.gcd(index & 255, index >> 8)).all()
    assert math.gcd(233, 144) == found[233 << 8 | 144]


def test_multiply_divide() -> None:
    function = import_module("multiply_divide").multiply_divide
    random = np.random.default_rng(1)
    for a, b in [(0, 1), (1, 2**32 - 1), (2**32 - 1, 2**32 - 1), *random.integers(1, 2**32, (40, 2)).tolist()]:
        b >>= a % 32
        assert function(a, b) == (a * b, *(divmod(a, b) if b else (2**32 - 1, a)))
    assert {word.name for word in function.circuit.output_words} == {"product", "quotient", "remainder"}
    assert function.circuit.num_gates <= 7_600


def test_crc32() -> None:
    function = import_module("crc32").crc32
    random = np.random.default_rng(2)
    for _ in range(20):
        message = random.bytes(16)
        assert function(message) == zlib.crc32(message)
    assert set(function.circuit.table.tolist()) <= {0b0110, 0b1001, 0b01}


def test_sudoku() -> None:
    function = import_module("sudoku4").solves
    empty = [[0] * 4] * 4
    rows = list(permutations(range(1, 5)))
    grids = list(product(rows[:1], rows, rows, rows))
    solved = [grid for grid in grids if is_solved(grid)]
    assert len(solved) == 12  # of the 288 there are, those whose first row is in order
    for grid in [*solved, *grids[::700]]:
        assert function(empty, grid) == is_solved(grid)
    first = [list(row) for row in solved[0]]
    clues = [[first[0][0], 0, 0, first[0][3]], *empty[1:]]
    assert function(clues, first) == 1
    assert function([[first[0][0] % 4 + 1, 0, 0, 0], *empty[1:]], first) == 0
    assert function(empty, [[5, *first[0][1:]], *first[1:]]) == 0


def is_solved(grid: tuple[tuple[int, ...], ...]) -> bool:
    boxes = [[grid[r + i][c + j] for i in (0, 1) for j in (0, 1)] for r in (0, 2) for c in (0, 2)]
    return all(sorted(group) == [1, 2, 3, 4] for group in [*grid, *zip(*grid, strict=True), *boxes])


def in_a_process_of_its_own(program: str, given: object) -> Any:
    """What a program makes of what it is given, both as JSON; this process checks types, which is slow."""
    program = f"import json, sys\ngiven = json.load(sys.stdin)\n{program}\nprint(json.dumps(found))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=EXAMPLES,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def test_sha256() -> None:
    random = np.random.default_rng(3)
    messages = [random.bytes(length) for length in (0, 3, 55, 56, 64, 119, 200)]
    program = (
        "import sha256\n"
        "found = sha256.compress.circuit.num_gates, [sha256.digest(bytes.fromhex(each)).hex() for each in given]"
    )
    gates, digests = in_a_process_of_its_own(program, [message.hex() for message in messages])
    assert digests == [hashlib.sha256(message).hexdigest() for message in messages]
    assert gates <= 106_500


def test_sha256_has_the_constants_of_the_standard() -> None:
    sha256 = import_module("sha256")
    assert (sha256.START[0], sha256.ROUND[0], sha256.ROUND[-1]) == (0x6A09E667, 0x428A2F98, 0xC67178F2)
    assert (len(sha256.START), len(sha256.ROUND)) == (8, 64)


@pytest.mark.parametrize(("max_fan_in", "most_gates"), [pytest.param(2, 106_500, marks=pytest.mark.slow), (3, 48_500)])
def test_sha256_by_chain_of_thought(max_fan_in: int, most_gates: int) -> None:
    program = """
import serialformer
from sha256 import compress, digest
max_fan_in, message = given
circuit = compress.circuit_for(max_fan_in)
if max_fan_in > 2:
    circuit, _ = serialformer.optimise(circuit, max_fan_in=max_fan_in)
model = serialformer.compile(circuit)
def think(state, block):
    return compress.value(model.run(compress.words(state, block)))
found = digest(bytes.fromhex(message), think).hex(), model.num_new_tokens
"""
    found, tokens = in_a_process_of_its_own(program, (max_fan_in, b"abc".hex()))
    assert found == hashlib.sha256(b"abc").hexdigest()
    assert tokens <= most_gates


def test_aes128() -> None:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    random = np.random.default_rng(4)
    pairs = [(random.bytes(16), random.bytes(16)) for _ in range(8)]
    program = (
        "from aes128 import encrypt\nrun = lambda pair: bytes(encrypt(*map(bytes.fromhex, pair))).hex()\n"
        "found = encrypt.circuit.num_gates, list(map(run, given))"
    )
    gates, found = in_a_process_of_its_own(program, [(block.hex(), key.hex()) for block, key in pairs])
    for (block, key), ciphertext in zip(pairs, found, strict=True):
        cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        assert cipher.update(block).hex() == ciphertext
    assert gates <= 42_700


def test_digits() -> None:
    """Some unseen images: the transformer, the circuit and numpy against the network in Python's integers."""
    program = """
import digits
from serialformer.circuits.evaluate import evaluate_outputs
images = digits.TEST_IMAGES[:given]
bits = digits.images_to_bits(images)
model, made = digits.compiled()
found = {
    "images": images.tolist(),
    "digits": digits.TEST_DIGITS[:given].tolist(),
    "layers": [digits.HIDDEN, digits.SCORES],
    "shift": digits.SHIFT,
    "answers": [
        digits.NETWORK.classify(images).tolist(),
        digits.bits_to_digits(evaluate_outputs(digits.classify.circuit, bits)).tolist(),
        digits.bits_to_digits(model.run_bits(bits)).tolist(),
        [model.run(digits.classify.words(image.tolist()))["out"] for image in images[:2]],
    ],
    "gates": [digits.classify.circuit.num_gates, model.num_new_tokens],
}
"""
    found = in_a_process_of_its_own(program, 100)
    expected = []
    for image in found["images"]:
        hidden, scores = found["layers"]
        sums = [sum(p * w for p, w in zip(image, weights, strict=True)) + bias for weights, bias in hidden]
        units = [min(max(total, 0) // 2 ** found["shift"], 15) for total in sums]
        totals = [sum(u * w for u, w in zip(units, weights, strict=True)) + bias for weights, bias in scores]
        expected.append(totals.index(max(totals)))
    assert found["answers"] == [expected, expected, expected, expected[:2]]
    assert sum(map(int.__eq__, expected, found["digits"])) >= 93
    assert found["gates"][0] <= 17_500 and found["gates"][1] <= 6_500


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["digits.py"], ["sha256.py", "--lut", "3"]], ids=" ".join)
def test_programs_that_optimise(arguments: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, *arguments], cwd=EXAMPLES, capture_output=True, text=True, check=True, timeout=120
    )
    assert (run.stderr, run.stdout.count("(correct)")) == ("", 1)


def test_the_s_box_is_a_permutation_without_fixed_points() -> None:
    substitute = import_module("aes128").substitute
    values = [substitute(x) for x in range(256)]
    assert sorted(values) == list(range(256))
    assert (values[0], values[0x53]) == (0x63, 0xED)
    assert all(value not in (x, x ^ 255) for x, value in enumerate(values))
