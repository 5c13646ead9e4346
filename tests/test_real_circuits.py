"""Real benchmark circuits, from file to tokens: known answers, and every token of random runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import verify
from tests.effort import later

SMALL = [
    "epfl/adder.aig",
    "epfl/cavlc.aig",
    "epfl/ctrl.blif",
    "epfl/dec.aig",
    "epfl/int2float.aig",
    "epfl/priority.blif",
    "iscas85/c17.bench",
    "iscas85/c432.bench",
    "iscas85/c880.bench",
    "iscas85/c1908.bench",
    "bristol/adder64.txt",
    "bristol/zero_equal.txt",
    "bristol/adder_32bit_old.txt",
    "aiger/halfadder.aag",
    "aiger/empty.aag",
    "aiger/true.aag",
    "aiger/xorxormiter.aag",
]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_small_files_token_for_token(real_circuits: Path, tmp_path: Path, name: str, dtype: str) -> None:
    model = serialformer.compile(real_circuits / name, dtype=dtype).save(tmp_path / "model")
    again = serialformer.load(model.directory)
    everything = again.words.num_inputs <= 7
    assert verify(again, num_samples=None if everything else 4).verified


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "layers", "samples"),
    [
        ("iscas85/c17.bench", 4, None),
        ("epfl/ctrl.aig", 11, 32),
        ("epfl/int2float.aig", 17, 8),
        ("epfl/cavlc.aig", 17, 4),
    ],
)
def test_files_without_a_chain(real_circuits: Path, name: str, dtype: str, layers: int, samples: int | None) -> None:
    """As many layers as there are levels, and one more."""
    model = serialformer.compile(real_circuits / name, chain="none", dtype=dtype)
    assert model.certificate is not None and model.certificate.holds
    assert len(model.transformer.layers) == layers == model.circuit.depth + 1
    assert verify(model, num_samples=samples, engine="dense").verified


@pytest.mark.parametrize("width", later([3, 5], [3]))
def test_multipliers_without_a_chain(width: int) -> None:
    """Ours, in rows of ripple adders; Python multiplies beside it."""
    build = serialformer.CircuitBuilder()
    a, b = build.inputs("a", width), build.inputs("b", width)
    total = [build.and_(bit, b[0]) for bit in a]
    product = [total.pop(0)]
    for other in b[1:]:
        row, carry, after = [build.and_(bit, other) for bit in a], None, []
        for left, right in zip([*total, *[None] * (width - len(total))], row, strict=True):
            bits = [bit for bit in (left, right, carry) if bit is not None]
            half = build.xor(bits[0], bits[1]) if len(bits) > 1 else bits[0]
            carries = [build.and_(bits[0], bits[1])] if len(bits) > 1 else []
            if len(bits) == 3:
                carries.append(build.and_(half, bits[2]))
                half = build.xor(half, bits[2])
            after.append(half)
            carry = None if not carries else carries[0] if len(carries) == 1 else build.or_(*carries)
        product.append(after.pop(0))
        total = [*after, *([carry] if carry is not None else [])]
    build.outputs("product", [*product, *total])
    model = serialformer.compile(build.circuit(), chain="none")
    assert len(model.transformer.layers) == model.circuit.depth + 1
    random = np.random.default_rng(width)
    pairs = [(one, other) for one in range(1 << width) for other in range(1 << width)]
    for a_value, b_value in pairs if width == 3 else random.permutation(pairs)[:12].tolist():
        assert model.run(a=a_value, b=b_value)["product"] == a_value * b_value


@pytest.mark.parametrize("name", ["iscas85/c17.bench", "epfl/ctrl.aig", "aiger/halfadder.aag"])
def test_files_through_transformers(real_circuits: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip("transformers")
    model = serialformer.compile(real_circuits / name, dtype="bfloat16").save(tmp_path / "model")
    samples = None if model.words.num_inputs <= 5 else 8
    assert verify(model, num_samples=samples, engine="hf").verified


def test_c6288_multiplies(real_circuits: Path) -> None:
    # Its ports have numbers for names: the factors' bits in file order, the product's lowest bits first; the last two
    # outputs stand in the file the other way round.
    model = serialformer.compile(real_circuits / "iscas85" / "c6288.bench")
    random = np.random.default_rng(0)
    factors = random.integers(0, 1 << 16, (4, 2))
    bits = (factors[:, :, None] >> np.arange(16) & 1).astype(np.uint8).reshape(4, 32)
    answers = model.answers(model.think(bits, model.engine())).astype(np.int64)
    answers[:, [30, 31]] = answers[:, [31, 30]]
    assert (answers @ (1 << np.arange(32))).tolist() == (factors[:, 0] * factors[:, 1]).tolist()


def test_adders_add(real_circuits: Path) -> None:
    fashion = serialformer.compile(real_circuits / "bristol" / "adder64.txt")
    a, b = 0xFEDCBA9876543210, 0x123456789ABCDEF0
    assert fashion.run(in0=a, in1=b)["out0"] == (a + b) % 2**64
    old = serialformer.compile(real_circuits / "bristol" / "adder_32bit_old.txt")
    words = {word.name: word.width for word in old.outputs}
    assert old.run(in0=0xFFFFFFFF, in1=0x12345678) == {"out0": 0xFFFFFFFF + 0x12345678} and words == {"out0": 33}


@pytest.mark.slow
def test_aes_encrypts(real_circuits: Path) -> None:
    # FIPS-197, appendix C.1: 36,663 tokens of thought. Wire 0 of a word is its least significant bit.
    model = serialformer.compile(real_circuits / "bristol" / "aes_128.txt", dtype="bfloat16")
    key = 0x000102030405060708090A0B0C0D0E0F
    message = 0x00112233445566778899AABBCCDDEEFF
    assert model.run(in0=key, in1=message)["out0"] == 0x69C4E0D86A7B0430D8CDB78070B4C55A


@pytest.mark.slow
@pytest.mark.parametrize("name", ["epfl/bar.aig", "epfl/max.aig", "epfl/sin.aig", "bristol/mult64.txt"])
def test_larger_files_token_for_token(real_circuits: Path, name: str) -> None:
    assert verify(serialformer.compile(real_circuits / name), num_samples=2).verified
