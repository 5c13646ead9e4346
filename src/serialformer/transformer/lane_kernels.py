"""Vectors of sixteen float32 numbers, a lane each, for loops that numba compiles: one instruction works on all of them.

From loops over numbers the compiler makes vectors by guessing, with checks before every loop, and half as wide as the
registers are. These are written as vectors, and stay in registers between operations, alone or in a tuple. A processor
with narrower registers uses several for each.

Arrays are contiguous and float32, of any shape; nothing checks that an index lies within. ``places`` is a tuple of
integers; only its length matters, which the compiler knows.
"""

import math
import operator

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16
_FLOATS, _INTEGERS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
_FUSED = ("contract",)
"""What lets a product and a sum be rounded once, where the processor can."""


class _Lanes(types.Type):
    """The type of a vector, for numba."""


_LANES = _Lanes(name="Lanes")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _FLOATS)


@intrinsic
def spread(typing, number):
    """The number in every lane."""
    return _LANES(types.float32), lambda context, builder, signature, given: _spread(builder, given[0])


@intrinsic
def load(typing, array, index):
    """Row ``index`` of an array whose rows are sixteen wide."""

    def generate(context, builder, signature, given):
        return builder.load(_address(context, builder, array, given[0], given[1], LANES), align=4)

    return _LANES(array, types.intp), generate


@intrinsic
def store(typing, array, index, vector):
    """The inverse of ``load``."""

    def generate(context, builder, signature, given):
        builder.store(given[2], _address(context, builder, array, given[0], given[1], LANES), align=4)

    return types.void(array, types.intp, _LANES), generate


@intrinsic
def read(typing, array, offset, places):
    """As many numbers as there are places, from an offset on; the other lanes are 0."""
    part = ir.VectorType(ir.FloatType(), places.count)
    chosen = ir.Constant(_INTEGERS, [min(lane, places.count) for lane in range(LANES)])

    def generate(context, builder, signature, given):
        numbers = builder.load(_address(context, builder, array, given[0], given[1], 1, part), align=4)
        return builder.shuffle_vector(numbers, ir.Constant(part, [0.0] * places.count), chosen)

    return _LANES(array, types.intp, places), generate


@intrinsic
def write(typing, array, offset, places, vector):
    """The inverse of ``read``."""
    part = ir.VectorType(ir.FloatType(), places.count)
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), places.count), list(range(places.count)))

    def generate(context, builder, signature, given):
        numbers = builder.shuffle_vector(given[3], given[3], chosen)
        builder.store(numbers, _address(context, builder, array, given[0], given[1], 1, part), align=4)

    return types.void(array, types.intp, places, _LANES), generate


@intrinsic
def load_all(typing, array, places):
    """A tuple of the first rows, one for each place."""

    def generate(context, builder, signature, given):
        vectors = [
            builder.load(address, align=4) for address in _addresses(context, builder, array, given[0], places.count)
        ]
        return context.make_tuple(builder, signature.return_type, vectors)

    return types.UniTuple(_LANES, places.count)(array, places), generate


@intrinsic
def store_all(typing, array, vectors):
    """The inverse of ``load_all``."""

    def generate(context, builder, signature, given):
        for place, address in enumerate(_addresses(context, builder, array, given[0], vectors.count)):
            builder.store(builder.extract_value(given[1], place), address, align=4)

    return types.void(array, vectors), generate


@intrinsic
def turn(typing, array, turned):
    """Transposes sixteen rows of sixteen; the two arrays may be the same.

    Interleaving each row i with row i + 8, four times over, does that.
    """
    halves = [
        ir.Constant(_INTEGERS, [half + lane // 2 + lane % 2 * LANES for lane in range(LANES)])
        for half in (0, LANES // 2)
    ]

    def generate(context, builder, signature, given):
        rows = [builder.load(row, align=4) for row in _addresses(context, builder, array, given[0], LANES)]
        for _ in range(LANES.bit_length() - 1):
            pairs = zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True)
            rows = [builder.shuffle_vector(*pair, half) for pair in pairs for half in halves]
        for row, address in zip(rows, _addresses(context, builder, turned, given[1], LANES), strict=True):
            builder.store(row, address, align=4)

    return types.void(array, turned), generate


@intrinsic
def inner(typing, vectors, array, index):
    """The sum of the vectors, each times its number in row ``index`` of an array with as many columns."""

    def generate(context, builder, signature, given):
        sums = []
        for place, number in enumerate(_spread_row(context, builder, array, given[1], given[2], vectors.count)):
            product = builder.fmul(builder.extract_value(given[0], place), number, flags=_FUSED)
            if place < 2:  # two sums, so that one need not wait for the other
                sums.append(product)
            else:
                sums[place % 2] = builder.fadd(sums[place % 2], product, flags=_FUSED)
        return builder.fadd(*sums)

    return _LANES(vectors, array, types.intp), generate


@intrinsic
def add_outer(typing, vectors, weights, array, index):
    """The vectors, to each of which the weights are added, times its number in row ``index`` of an array."""

    def generate(context, builder, signature, given):
        sums = []
        for place, number in enumerate(_spread_row(context, builder, array, given[2], given[3], vectors.count)):
            product = builder.fmul(given[1], number, flags=_FUSED)
            sums.append(builder.fadd(builder.extract_value(given[0], place), product, flags=_FUSED))
        return context.make_tuple(builder, signature.return_type, sums)

    return vectors(vectors, _LANES, array, types.intp), generate


@intrinsic
def larger(typing, vector, other):
    """The larger number in each lane; the second where either is NaN."""

    def generate(context, builder, signature, given):
        return builder.select(builder.fcmp_ordered(">", *given), *given)

    return _LANES(_LANES, _LANES), generate


@intrinsic
def up_to(typing, limits, number, vector, otherwise):
    """The vector where the number is at most the lane's limit, the other one elsewhere."""

    def generate(context, builder, signature, given):
        return builder.select(builder.fcmp_ordered(">=", given[0], _spread(builder, given[1])), given[2], given[3])

    return _LANES(_LANES, types.float32, _LANES, _LANES), generate


@intrinsic
def reciprocal(typing, vector):
    return _LANES(_LANES), lambda context, builder, signature, given: builder.fdiv(_constant(1.0), given[0])


@intrinsic
def exp2(typing, vector):
    """Two to the power of numbers up to 126, to 2e-7 of itself; 0 below -126.

    Adding ``first`` rounds a number to an integer n, and leaves n in its lowest bits, of which those of an exponent are
    made. A Taylor polynomial takes the rest, which is at most a half.
    """
    first, exponent_bits, exponent_bias = 1.5 * 2**23, 23, 127
    coefficients = [math.log(2) ** power / math.factorial(power) for power in range(8)]

    def generate(context, builder, signature, given):
        rounded = builder.fadd(given[0], _constant(first))
        rest = builder.fsub(given[0], builder.fsub(rounded, _constant(first)))
        result = _constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = builder.fadd(builder.fmul(result, rest, flags=_FUSED), _constant(coefficient), flags=_FUSED)
        exponents = builder.add(builder.bitcast(rounded, _INTEGERS), _integers(exponent_bias))
        power = builder.bitcast(builder.shl(exponents, _integers(exponent_bits)), _FLOATS)
        is_small = builder.fcmp_ordered("<", given[0], _constant(-126.0))
        return builder.select(is_small, _constant(0.0), builder.fmul(result, power))

    return _LANES(_LANES), generate


def _register(function, operation):
    """Gives two vectors a Python operator."""

    @infer_global(function)
    class _Operator(AbstractTemplate):
        def generic(self, arguments, keywords):
            return _LANES(_LANES, _LANES) if arguments == (_LANES, _LANES) else None

    @lower_builtin(function, _Lanes, _Lanes)
    def generate(context, builder, signature, given):
        return getattr(builder, operation)(*given, flags=_FUSED)


for _function, _operation in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _register(_function, _operation)


def _constant(number):
    return ir.Constant(_FLOATS, [number] * LANES)


def _integers(number):
    return ir.Constant(_INTEGERS, [number] * LANES)


def _spread(builder, number):
    alone = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(alone, alone, _integers(0))


def _spread_row(context, builder, array_type, array, index, count):
    """Each number of a row in every lane."""
    data = context.make_array(array_type)(context, builder, array).data
    data = builder.gep(data, [builder.mul(index, index.type(count))])
    return [_spread(builder, builder.load(builder.gep(data, [index.type(place)]))) for place in range(count)]


def _address(context, builder, array_type, array, index, width, vector=_FLOATS):
    """Where a vector lies in an array: ``index`` times ``width`` numbers from its beginning."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [builder.mul(index, index.type(width))]), vector.as_pointer())


def _addresses(context, builder, array_type, array, count):
    """Where the first rows of sixteen lie."""
    data = context.make_array(array_type)(context, builder, array).data
    data = builder.bitcast(data, _FLOATS.as_pointer())
    return [builder.gep(data, [ir.IntType(64)(row)]) for row in range(count)]
