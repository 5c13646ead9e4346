"""One block of SHA-256 in Verilog, its 64 rounds unrolled by a loop."""

from __future__ import annotations

from itertools import islice
from math import isqrt

_SOURCE = """module sha256(input [511:0] block, input [255:0] state, output [255:0] digest);
 function [31:0] rotate(input [31:0] x, input integer n); rotate = (x >> n) | (x << (32 - n)); endfunction
 localparam [2047:0] ROUND = 2048'h{constants};
 reg [31:0] w [0:63];
 reg [31:0] a, b, c, d, e, f, g, h, t, u;
 integer i;
 always @* begin
  for (i = 0; i < 16; i = i + 1) w[i] = block[511 - 32 * i -: 32];
  for (i = 16; i < 64; i = i + 1)
   w[i] = w[i - 16] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >> 3))
        + w[i - 7] + (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >> 10));
  {{a, b, c, d, e, f, g, h}} = state;
  for (i = 0; i < 64; i = i + 1) begin
   t = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + ROUND[2047 - 32 * i -: 32] + w[i];
   u = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
   h = g; g = f; f = e; e = d + t; d = c; c = b; b = a; a = t + u;
  end
 end
 genvar k;
 wire [255:0] last = {{a, b, c, d, e, f, g, h}};
 generate
  for (k = 0; k < 256; k = k + 32) assign digest[k +: 32] = last[k +: 32] + state[k +: 32];
 endgenerate
endmodule
"""


def sha256_verilog() -> str:
    """The source; the constants are the first bits behind the point of the cube roots of the first primes."""
    primes = (number for number in range(2, 400) if all(number % factor for factor in range(2, isqrt(number) + 1)))
    constants = "".join(f"{_cube_root(prime << 96) % (1 << 32):08x}" for prime in islice(primes, 64))
    return _SOURCE.format(constants=constants)


def _cube_root(number: int) -> int:
    low, high = 0, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle)
    return low
