"""Elementary functions whose derivatives, of any order, are right at every point.

TensorFlow has them right nearly everywhere. It writes the slope of tanh as `1 - y²`, of which
nothing is left once `y` rounds to 1, that of `x¹` as `1 · x⁰` and the next as `0 · x⁻¹`, which is
NaN at 0. Here a slope is a function of `x` that keeps its digits, and so are those that follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_curvature.engines.expansions import (
    FAR_BESSEL,
    FAR_ERROR,
    OF_I,
    OF_K,
    of_bessel_tail,
    of_error_tail,
    of_first_bessel,
)
from keras_curvature.engines.tensorflow.safe_custom_gradient import safe_custom_gradient

Function = Callable[..., tf.Tensor]

SELU_SCALE = 1.0507009873554805
SELU_SCALE_ALPHA = 1.7580993408473766
"""Klambauer et al., Self-normalizing neural networks, 2017."""


def sloped(value: Function, slope: Function) -> Function:
    """A function of one number with its slope, which is differentiated in its turn."""

    @safe_custom_gradient
    def function(x: tf.Tensor) -> tuple[tf.Tensor, Function]:
        return value(x), lambda upstream: upstream * slope(x)

    return function


def slope_of_tanh(x: tf.Tensor) -> tf.Tensor:
    """`1 - tanh²`, of which digits are left where `tanh` rounds to 1."""
    s = tf.sigmoid(-2 * tf.abs(x))
    return 4 * s * (1 - s)


_slope_of_sigmoid: Function = sloped(
    lambda x: tf.sigmoid(x) * tf.sigmoid(-x), lambda x: -_slope_of_sigmoid(x) * tanh(x / 2)
)
_slope_of_tanh: Function = sloped(slope_of_tanh, lambda x: -2 * _slope_of_tanh(x) * tanh(x))
sigmoid = sloped(tf.sigmoid, _slope_of_sigmoid)
softplus = sloped(tf.math.softplus, sigmoid)
tanh: Function = sloped(tf.tanh, _slope_of_tanh)
expm1 = sloped(tf.math.expm1, tf.exp)


def silu(x: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """`x sigmoid(βx)`."""
    return x * sigmoid(beta * x)


def elu(x: tf.Tensor) -> tf.Tensor:
    """`expm1(x)` below 0; at 0 it is on the straight branch, as its value."""
    return tf.where(x < 0, expm1(tf.minimum(x, 0)), x)


def selu(x: tf.Tensor) -> tf.Tensor:
    """As `elu`, scaled."""
    return tf.where(x < 0, SELU_SCALE_ALPHA * expm1(tf.minimum(x, 0)), SELU_SCALE * x)


def absolute(x: tf.Tensor) -> tf.Tensor:
    """`|x|`; at 0 on the branch that `x` is on, see `minimum`."""
    return tf.where(x < 0, -x, x)


def minimum(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The smaller; a tie is one where `a` is about to be the larger.

    So is it for `maximum`, which has `a`, and for `|a - b|`, which has `a - b`: these three stand
    together in formulas of smooth functions, such as `logaddexp` and `hypot`, which have their
    derivatives if all are on the branch of one neighbour of the point.
    """
    return tf.where(a < b, a, b)


def maximum(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The larger; a tie is as in `minimum`."""
    return tf.where(a >= b, a, b)


ON_THE_OTHER_SIDE: dict[str, Function] = {
    "max(b, a)": lambda a, b: maximum(b, a),
    "min(b, a)": lambda a, b: minimum(b, a),
    "|-x|": lambda x: absolute(-x),
}
"""Kind of op -> what it is on the other side of its tie than by itself, see `ties`."""


def power(x: tf.Tensor, p: tf.Tensor) -> tf.Tensor:
    """`x ** p`."""
    if p.shape.rank:
        shape = tf.broadcast_dynamic_shape(tf.shape(x), tf.shape(p))
        x, p = tf.broadcast_to(x, shape), tf.broadcast_to(p, shape)
    return _scaled_power(x, p, tf.ones_like(p))


@safe_custom_gradient
def _scaled_power(
    x: tf.Tensor, p: tf.Tensor, scale: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
    """`scale x ** p`, which is 0 where the scale is, as that of a high derivative of `x²`."""
    value = tf.math.multiply_no_nan(tf.pow(x, p), scale)

    def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
        endless = tf.equal(x, 0) & (p <= 0) & tf.not_equal(scale, 0)
        log = tf.math.log(tf.where((x > 0) | endless, x, tf.ones_like(x)))
        by_p = upstream * _scaled_power(x, p, scale) * log
        by_scale = upstream * _scaled_power(x, p, tf.ones_like(p))
        if not p.shape.rank:
            by_p, by_scale = tf.reduce_sum(by_p), tf.reduce_sum(by_scale)
        return [upstream * _scaled_power(x, p - 1, scale * p), by_p, by_scale]

    return value, gradient


def angle(b: tf.Tensor, a: tf.Tensor) -> tf.Tensor:
    """`atan2(b, a)` of numbers whose squares are numbers still: its slope has `a² + b²`."""
    scale = tf.stop_gradient(1 / tf.maximum(tf.abs(a), tf.abs(b)))
    return tf.atan2(b * scale, a * scale)


def times_log(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """`a log(b)`, of which nothing is left where both are 0."""
    return a * tf.math.log(unless_lost(a, b, b > 0, 1))


def times_log1p(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """`a log(1 + b)`, of which nothing is left where `a` is 0 and `b` is -1."""
    return a * tf.math.log1p(unless_lost(a, b, b > -1, 0))


def over(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """`a / b`, of which nothing is left where both are 0."""
    return a / unless_lost(a, b, tf.not_equal(b, 0), 1)


def unless_lost(a: tf.Tensor, b: tf.Tensor, defined: tf.Tensor, instead: float) -> tf.Tensor:
    """`b`, or a constant where `a` is 0 and the function of `b` is not defined."""
    return tf.where(tf.not_equal(a, 0) | defined, b, tf.constant(instead, b.dtype))


def _series(x: tf.Tensor, coefficients: Sequence[float], within: float, far: Function) -> tf.Tensor:
    """A quotient that is 0 / 0 at 0: a series in `x²` near it, or what it is `far` out."""
    near = tf.abs(x) < within
    inside, outside = tf.where(near, x, tf.zeros_like(x)), tf.where(near, tf.ones_like(x), x)
    total = tf.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = coefficient + tf.square(inside) * total
    return tf.where(near, total, far(outside))


def sine_over(x: tf.Tensor) -> tf.Tensor:
    """`sin(x) / x`."""
    # The next term is less than 1e-20 of the first.
    series = [(-1) ** k / math.factorial(2 * k + 1) for k in range(14)]
    return _series(x, series, 2, lambda x: tf.sin(x) * (1 / x))


def _slope_of_spence(x: tf.Tensor) -> tf.Tensor:
    """`log(x) / (1 - x)`, by `log(x) = 2 artanh(u)`."""
    u = (x - 1) / (x + 1)
    series = [1 / (2 * k + 1) for k in range(28)]
    return -2 / (x + 1) * _series(u, series, 0.5, lambda u: tf.math.atanh(u) * (1 / u))


spence = sloped(tf.math.special.spence, _slope_of_spence)


def _bessel(order_0: Function, order_1: Function, sign: int) -> tuple[Function, Function]:
    """`I₀` and `I₁`, or `J₀` and `J₁`, by `I₀' = I₁` and `I₁' = I₀ - I₁ / x` (DLMF 10.29)."""
    series = of_first_bessel(sign)

    def slope_of_first(x: tf.Tensor) -> tf.Tensor:
        return zeroth(x) - _series(x, series, 2, lambda x: first(x) * (1 / x))

    zeroth = sloped(order_0, lambda x: sign * first(x))
    first = sloped(order_1, slope_of_first)
    return zeroth, first


def _side(x: tf.Tensor) -> tf.Tensor:
    """The slope of `abs`, which at 0 is that of the numbers above it."""
    return tf.where(x < 0, -tf.ones_like(x), tf.ones_like(x))


bessel_i0, bessel_i1 = _bessel(tf.math.bessel_i0, tf.math.bessel_i1, 1)
bessel_j0, bessel_j1 = _bessel(tf.math.special.bessel_j0, tf.math.special.bessel_j1, -1)


def _with_tail(function: Function, tail: Function, beginning: float) -> Function:
    """A function whose slope, the difference of two numbers like its value, has no digits far out.

    Nearer it is differentiated in float64, where enough of them are left.
    """

    def whole(x: tf.Tensor) -> tf.Tensor:
        far, end = tf.abs(x) > beginning, tf.constant(beginning, x.dtype)
        near = function(tf.cast(tf.where(far, end, x), tf.float64))
        return tf.where(far, tail(tf.where(far, x, end)), tf.cast(near, x.dtype))

    return whole


def _bessel_tail(order: int, sign: int, factor: float) -> Function:
    """Of `I` and `K` without their exponentials."""
    terms = [factor * term for term in of_bessel_tail(order, sign)]

    def tail(x: tf.Tensor) -> tf.Tensor:
        size = tf.abs(x)
        return tf.math.polyval([*map(_as(x), reversed(terms))], 1 / size) / tf.sqrt(size)

    return tail


def _dawson_tail(x: tf.Tensor) -> tf.Tensor:
    terms = [*map(_as(x), reversed(of_error_tail(1)))]
    return tf.math.polyval(terms, 1 / (2 * x**2)) / (2 * x)


def _as(x: tf.Tensor) -> Callable[[float], tf.Tensor]:
    return lambda number: tf.constant(number, x.dtype)


def _i1e_over_x(x: tf.Tensor) -> tf.Tensor:
    """`exp(-|x|) I₁(x) / x`, near 0 by its series."""
    near = tf.where(tf.abs(x) < 2, x, tf.zeros_like(x))
    # At 0 `abs` has another slope in TensorFlow.
    factor = tf.exp(-_side(x) * near)
    return factor * _series(x, of_first_bessel(1), 2, lambda x: _i1e(x) * (1 / x))


_i0e: Function = sloped(tf.math.bessel_i0e, lambda x: _i1e(x) - _side(x) * _i0e(x))
_i1e: Function = sloped(tf.math.bessel_i1e, lambda x: _i0e(x) - _i1e_over_x(x) - _side(x) * _i1e(x))
_tail_of_i1 = _bessel_tail(1, -1, OF_I)

WITH_TAILS: dict[str, Function] = {
    "BesselI0e": _with_tail(_i0e, _bessel_tail(0, -1, OF_I), FAR_BESSEL),
    "BesselI1e": _with_tail(_i1e, lambda x: tf.sign(x) * _tail_of_i1(x), FAR_BESSEL),
    "BesselK0e": _with_tail(tf.math.special.bessel_k0e, _bessel_tail(0, 1, OF_K), FAR_BESSEL),
    "BesselK1e": _with_tail(tf.math.special.bessel_k1e, _bessel_tail(1, 1, OF_K), FAR_BESSEL),
    "Dawsn": _with_tail(tf.math.special.dawsn, _dawson_tail, FAR_ERROR),
}
"""Op type -> the function with slopes that keep their digits."""
