"""The CRC-32 of sixteen bytes, as in zip files: nothing but exclusive or."""

from __future__ import annotations

import zlib

from report import report

from serialformer import U8, U32, Array, circuit

POLYNOMIAL = 0xEDB88320


@circuit
def crc32(message: Array[U8, 16]) -> U32:
    crc = U32(0xFFFFFFFF)
    for byte in message:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (U32(POLYNOMIAL) if crc[0] else 0)
    return ~crc


def main() -> None:
    message = b"chain of thought"
    found = report(crc32, message)
    print(f"answer      crc32({message!r}) = {found:#010x}  ({'correct' if found == zlib.crc32(message) else 'WRONG'})")


if __name__ == "__main__":
    main()
