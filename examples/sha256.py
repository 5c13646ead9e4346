"""SHA-256's compression function on one block, and a digest by chain of thought; ``--lut 3`` halves the chain."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable

from report import report

from serialformer import U32, Array, circuit


def fraction_of_root(number: int, degree: int) -> int:
    """The first 32 bits behind the point of a root, exactly."""
    target, low, high = number << (32 * degree), 0, number << 32
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= target else (low, middle)
    return low & 0xFFFFFFFF


PRIMES = [number for number in range(2, 312) if all(number % divisor for divisor in range(2, number))]
START = [fraction_of_root(prime, 2) for prime in PRIMES[:8]]
ROUND = [fraction_of_root(prime, 3) for prime in PRIMES]


@circuit
def compress(state: Array[U32, 8], block: Array[U32, 16]) -> Array[U32, 8]:
    words = list(block)
    for t in range(16, 64):
        early, late = words[t - 15], words[t - 2]
        sigma0 = early.rotr(7) ^ early.rotr(18) ^ (early >> 3)
        sigma1 = late.rotr(17) ^ late.rotr(19) ^ (late >> 10)
        words.append(sum([sigma0, sigma1, words[t - 16], words[t - 7]]))
    a, b, c, d, e, f, g, h = state
    for constant, word in zip(ROUND, words, strict=True):
        sum1 = e.rotr(6) ^ e.rotr(11) ^ e.rotr(25)
        choice = g ^ (e & (f ^ g))
        first = sum([h, sum1, choice, word, constant])
        sum0 = a.rotr(2) ^ a.rotr(13) ^ a.rotr(22)
        majority = b ^ ((a ^ b) & (b ^ c))
        a, b, c, d, e, f, g, h = sum([first, sum0, majority]), a, b, c, d + first, e, f, g
    return [old + new for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


def blocks(message: bytes) -> list[list[int]]:
    """The message with a 1, zeros and its length behind it, as blocks of sixteen words."""
    padded = message + b"\x80" + bytes(-(len(message) + 9) % 64) + (8 * len(message)).to_bytes(8, "big")
    words = [int.from_bytes(padded[start : start + 4], "big") for start in range(0, len(padded), 4)]
    return [words[start : start + 16] for start in range(0, len(words), 16)]


def digest(message: bytes, compress: Callable[[list[int], list[int]], list[int]] = compress) -> bytes:
    """The message's hash, one call of the compression function a block."""
    state = START
    for block in blocks(message):
        state = compress(state, block)
    return b"".join(word.to_bytes(4, "big") for word in state)


def main(max_fan_in: int = 2) -> None:
    message = b"abc"
    found = digest(message, lambda state, block: report(compress, state, block, max_fan_in=max_fan_in))
    verdict = "correct" if found == hashlib.sha256(message).digest() else "WRONG"
    print(f"answer      sha256({message!r}) = {found.hex()}  ({verdict})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lut", type=int, default=2, metavar="K", help="gates of up to K inputs, 2 to 6")
    main(parser.parse_args().lut)
