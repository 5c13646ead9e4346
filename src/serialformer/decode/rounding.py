"""How far any float32 evaluation of a transformer can be from the exact one, followed token by token.

The indexed engine computes in float64 and carries, beside the residual stream, one number, how far a coordinate of the
stream can be off in float32 (or, where it searches, one number a coordinate: ``token_kernels``). Sums of n terms, in
any order, err by at most gamma(n) = n u / (1 - n u) times the sum of their magnitudes (Higham, Accuracy and Stability
of Numerical Algorithms, section 3.1), u = 2^-24.

*Layer norm.* If coordinates err by e, a centred coordinate errs by at most ``shift`` = 2 e + gamma (deviation +
|mean|), and the variance v by 2 shift sqrt(v) + shift^2 and a rounding. Relative to v + epsilon, whose root is the
deviation that the norm divides by, that is at most x = 2 r + r^2 + gamma with r = shift / deviation, so 1 / deviation
errs by a relative ``spread`` of at most (1 - x)^(-3/2) x / 2 and its own rounding. A linear map after it, with the
column w, errs by at most

    shift / deviation |w|_1 + (spread + gamma) (sum of |w_i normed_i|) + gamma |bias|.

*Attention* that is proven one-hot returns the value looked up, off by that value's own error, by LARGEST_LEAK times the
largest values, and by a few roundings. *A hidden unit* errs by 1.13 times what its input errs (the largest slope of
gelu_new), and by nothing that counts where its input is far below 0. An engine may trust a token whose logit leads by
more than the errors of both logits: then every float32 runtime makes the same token.
"""

from __future__ import annotations

UNIT_ROUNDOFF = 2.0**-24

LARGEST_LEAK = 2.0**-20
"""How much attention weight the positions besides the one looked up may have together."""
