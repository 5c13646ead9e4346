# The sieve of Eratosthenes over the numbers below 50, a byte each; then their count and their sum.

    li   s0, 0x400          # the sieve: 1 where a number is composite
    li   s1, 50
    li   s2, 2              # the number that is looked at
    li   a0, 0              # how many primes
    li   a1, 0              # their sum

next_number:
    bge  s2, s1, report
    add  t0, s0, s2
    lbu  t1, 0(t0)
    bne  t1, zero, composite
    addi a0, a0, 1
    add  a1, a1, s2
    mv   a2, s2
    jal  ra, strike

composite:
    addi s2, s2, 1
    j    next_number

strike:                     # strikes the multiples of a2, from its square on
    mv   t2, a2
    mv   t3, zero
square:
    add  t3, t3, a2
    addi t2, t2, -1
    bne  t2, zero, square
    li   t1, 1
strike_next:
    bge  t3, s1, struck
    add  t0, s0, t3
    sb   t1, 0(t0)
    add  t3, t3, a2
    j    strike_next
struck:
    ret

report:
    sw   a0, 0x100(s0)
    sw   a1, 0x104(s0)
    ecall
