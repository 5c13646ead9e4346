"""The greatest common divisor by Euclid's algorithm: a loop that ends on data."""

from __future__ import annotations

import math

from report import report

from serialformer import U8, circuit

MOST_ROUNDS = 12
"""Two neighbouring Fibonacci numbers take longest; 144 and 233 are the largest in eight bits."""


@circuit
def gcd(a: U8, b: U8) -> U8:
    for _ in range(MOST_ROUNDS):
        if b == 0:
            break
        a, b = b, a % b
    return a


def main() -> None:
    a, b = 144, 84
    found = report(gcd, a, b)
    print(f"answer      gcd({a}, {b}) = {found}  ({'correct' if found == math.gcd(a, b) else 'WRONG'})")


if __name__ == "__main__":
    main()
