"""AES-128: one block under one key, the S-box computed in a tower of small fields."""

from __future__ import annotations

from report import report

from serialformer import U8, Array, U, circuit


def field_product(a: int, b: int, modulus: int) -> int:
    """The product of two polynomials over GF(2), modulo a third."""
    product = 0
    for place in range(b.bit_length()):
        product ^= (a << place) * (b >> place & 1)
    while product.bit_length() >= modulus.bit_length():
        product ^= modulus << (product.bit_length() - modulus.bit_length())
    return product


NIBBLE = 0b10011
"""GF(16) is GF(2)[x] modulo x^4 + x + 1."""

INVERSE = [next((b for b in range(16) if field_product(a, b, NIBBLE) == 1), 0) for a in range(16)]


def tower_product(a: int, b: int) -> int:
    """The product in GF(16)[y] modulo y^2 + y + SCALE; the high nibble is y's."""
    (a1, a0), (b1, b0) = divmod(a, 16), divmod(b, 16)
    both = field_product(a1, b1, NIBBLE)
    high = both ^ field_product(a1, b0, NIBBLE) ^ field_product(a0, b1, NIBBLE)
    return high << 4 | field_product(a0, b0, NIBBLE) ^ field_product(both, SCALE, NIBBLE)


def powers(root: int) -> list[int]:
    found = [1]
    for _ in range(8):
        found.append(tower_product(found[-1], root))
    return found


# y^2 + y + SCALE must have no root in GF(16).
SCALE = next(s for s in range(1, 16) if all(field_product(y, y, NIBBLE) ^ y ^ s for y in range(16)))


def transform(columns: list[int], x: int) -> int:
    """The matrix with these columns, times the bits of x."""
    result = 0
    for place, column in enumerate(columns):
        result ^= column * (x >> place & 1)
    return result


def rows(columns: list[int]) -> list[int]:
    return [sum((column >> row & 1) << place for place, column in enumerate(columns)) for row in range(8)]


AFFINE = [sum(1 << (place + k) % 8 for k in range(5)) for place in range(8)]
"""The last step of the S-box: every bit goes to its own place and the four behind it."""


def matrices(root: int) -> tuple[list[int], list[int]]:
    """The rows of the matrix into the tower, and of the one back and through the last step."""
    there = powers(root)[:8]
    back = {transform(there, x): x for x in range(256)}
    return rows(there), rows([transform(AFFINE, back[1 << place]) for place in range(8)])


# AES's field is GF(2)[z] modulo z^8 + z^4 + z^3 + z + 1: z goes to a root of that in the tower.
ROOT = next(r for r in range(2, 256) if powers(r)[8] == powers(r)[4] ^ powers(r)[3] ^ powers(r)[1] ^ 1)
ROWS_IN, ROWS_OUT = matrices(ROOT)

SCALED_SQUARE = [field_product(field_product(1 << p, 1 << p, NIBBLE), SCALE, NIBBLE) for p in range(4)]
SQUARE = [field_product(1 << p, 1 << p, NIBBLE) for p in range(4)]


@circuit
def linear(x: U8, matrix: Array[U8, 8]) -> U8:
    return U8([(x & row).parity() for row in matrix])


@circuit
def times(a: U[4], b: U[4]) -> U[4]:
    product = U[7](0)
    for place in range(4):
        product ^= (a.widen(7) << place) if b[place] else 0
    above = product[4:].widen(4)
    return product[:4] ^ above ^ (above << 1)


@circuit
def substitute(x: U8) -> U8:
    """The S-box: the inverse, 0 for 0, then an affine map."""
    mapped = linear(x, ROWS_IN)
    low, high = mapped[:4], mapped[4:]
    norm = times(high, low)
    for place in range(4):
        norm ^= U[4](SQUARE[place]) if low[place] else 0
        norm ^= U[4](SCALED_SQUARE[place]) if high[place] else 0
    inverse = U[4](INVERSE[norm])
    return linear(U8([*times(high ^ low, inverse), *times(high, inverse)]), ROWS_OUT) ^ 0x63


@circuit
def double(x: U8) -> U8:
    return (x << 1) ^ (U8(0x1B) if x[7] else 0)


@circuit
def encrypt(block: Array[U8, 16], key: Array[U8, 16]) -> Array[U8, 16]:
    key = list(key)
    state = [byte ^ k for byte, k in zip(block, key, strict=True)]
    constant = 1
    for number in range(1, 11):
        state = [substitute(byte) for byte in state]
        state = [state[(5 * place) % 16] for place in range(16)]  # row r turns r places to the left
        if number < 10:
            mixed = []
            for column in range(0, 16, 4):
                every = state[column] ^ state[column + 1] ^ state[column + 2] ^ state[column + 3]
                for row in range(4):
                    this, below = state[column + row], state[column + (row + 1) % 4]
                    mixed.append(this ^ every ^ double(this ^ below))
            state = mixed
        for row in range(4):
            key[row] ^= substitute(key[12 + (row + 1) % 4]) ^ (constant if row == 0 else 0)
        for place in range(4, 16):
            key[place] ^= key[place - 4]
        state = [byte ^ k for byte, k in zip(state, key, strict=True)]
        constant = field_product(constant, 2, 0x11B)
    return state


def main() -> None:
    # The example of the standard (FIPS 197, appendix B).
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    block = bytes.fromhex("3243f6a8885a308d313198a2e0370734")
    found = bytes(report(encrypt, block, key))
    verdict = "correct" if found.hex() == "3925841d02dc09fbdc118597196a0b32" else "WRONG"
    print(f"answer      {found.hex()}  ({verdict})")


if __name__ == "__main__":
    main()
