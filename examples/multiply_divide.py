"""32-bit multiplication with all 64 bits of the product, and division with remainder."""

from __future__ import annotations

from report import report

from serialformer import U32, U64, circuit


@circuit
def multiply_divide(a: U32, b: U32) -> tuple[U64, U32, U32]:
    product = a.full_mul(b)
    quotient, remainder = divmod(a, b)
    return product, quotient, remainder


def main() -> None:
    a, b = 4_000_000_007, 65_537
    found = report(multiply_divide, a, b)
    verdict = "correct" if found == (a * b, *divmod(a, b)) else "WRONG"
    print(f"answer      {a} x {b} = {found[0]}, {a} / {b} = {found[1]} rest {found[2]}  ({verdict})")


if __name__ == "__main__":
    main()
