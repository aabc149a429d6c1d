"""Where JAX's own derivatives lose digits or halve a tie, and what replaces them.

JAX writes the slope of tanh as `1 - y²`, of which nothing is left once `y` rounds to 1, and that
of `max` at a tie as the mean of both slopes, whose square is that of neither. The slope of
`exp(-|x|) I₀(x)` at 0 is that mean too, but that of `exp(|x|)` is the one above 0: so their
product, JAX's `I₀`, has neither's derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from keras_curvature.engines.expansions import (
    FAR_BESSEL,
    FAR_ERROR,
    OF_I,
    of_bessel_tail,
    of_error_tail,
    of_first_bessel,
    polynomial,
)
from keras_curvature.engines.jax import less_largest

Function = Callable[..., Any]


def _sloped(value: Function, *slopes: Function) -> Function:
    """A function of some numbers with its slopes, which are differentiated in their turn."""

    @jax.custom_jvp
    def function(*x: Any) -> Any:
        return value(*x)

    @function.defjvp
    def jvp(x: Sequence[Any], along: Sequence[Any]) -> tuple[Any, Any]:
        y = function(*x)
        terms = [slope(*x) * v for slope, v in zip(slopes, along, strict=True)]
        return y, jnp.broadcast_to(sum(terms), y.shape)

    return function


def _digits_of_slope_of_tanh(x: Any) -> Any:
    """`1 - tanh²`, of which digits are left where `tanh` rounds to 1."""
    e = jnp.exp(-2 * jnp.abs(x))
    return 4 * e / (1 + e) ** 2


_slope_of_logistic: Function = _sloped(
    lambda x: lax.logistic(x) * lax.logistic(-x), lambda x: -_slope_of_logistic(x) * tanh(x / 2)
)
slope_of_tanh: Function = _sloped(
    _digits_of_slope_of_tanh, lambda x: -2 * slope_of_tanh(x) * tanh(x)
)
expm1 = _sloped(jnp.expm1, jnp.exp)
logistic: Function = _sloped(lax.logistic, _slope_of_logistic)
tanh: Function = _sloped(lax.tanh, slope_of_tanh)
logaddexp = _sloped(jnp.logaddexp, lambda a, b: logistic(a - b), lambda a, b: logistic(b - a))
logaddexp2 = _sloped(
    jnp.logaddexp2, lambda a, b: logistic(LOG_2 * (a - b)), lambda a, b: logistic(LOG_2 * (b - a))
)
LOG_2 = 0.6931471805599453


def _side(x: Any) -> Any:
    """The slope of `abs`, which at 0 is that of the numbers above it."""
    return jnp.where(x < 0, -1, 1).astype(x.dtype)


def _i1e_over_x(x: Any) -> Any:
    """`exp(-|x|) I₁(x) / x`, near 0 by the series in `x²` (DLMF 10.25.2)."""
    near = jnp.abs(x) < 2
    inside, outside = jnp.where(near, x, 0), jnp.where(near, 1, x)
    series = polynomial(of_first_bessel(1), inside**2)
    return jnp.where(near, jnp.exp(-_side(x) * inside) * series, _i1e(outside) / outside)


_i0e: Function = _sloped(lax.bessel_i0e, lambda x: _i1e(x) - _side(x) * _i0e(x))
_i1e: Function = _sloped(lax.bessel_i1e, lambda x: _i0e(x) - _i1e_over_x(x) - _side(x) * _i1e(x))
"""By `I₀' = I₁` and `I₁' = I₀ - I₁ / x` (DLMF 10.29)."""

_mills_ratio: Function = _sloped(
    lambda x: jnp.exp(-jnp.square(x) / 2 - LOG_ROOT_2_PI - jax.scipy.special.log_ndtr(x)),
    lambda x: -_mills_ratio(x) * (x + _mills_ratio(x)),
)
_log_ndtr = _sloped(jax.scipy.special.log_ndtr, _mills_ratio)
LOG_ROOT_2_PI = 0.9189385332046727


def _with_tail(
    function: Function, is_far: Function, tail: Function, in_float32: float, in_float64: float
) -> Function:
    """A function that is differentiated by its expansion where its slopes have no digits.

    In float32 it ends where its digits, fewer and fewer, are those of the expansion, more and more.
    """

    def whole(x: Any) -> Any:
        end = in_float64 if x.dtype == jnp.float64 else in_float32
        far = is_far(x, end)
        return jnp.where(far, tail(jnp.where(far, x, end)), function(jnp.where(far, 0, x)))

    return whole


def _tail_of_i(order: int) -> Function:
    terms = [OF_I * term for term in of_bessel_tail(order, -1)]

    def tail(x: Any) -> Any:
        size = jnp.abs(x)
        return _side(x) ** order * polynomial(terms, 1 / size) / jnp.sqrt(size)

    return tail


def _tail_of_log_ndtr(x: Any) -> Any:
    square = jnp.square(x)
    series = jnp.log(polynomial(of_error_tail(-1), 1 / square))
    return series - square / 2 - jnp.log(jnp.abs(x)) - LOG_ROOT_2_PI


def _is_beyond(x: Any, end: float) -> Any:
    return jnp.abs(x) > end


i0e = _with_tail(_i0e, _is_beyond, _tail_of_i(0), 10, FAR_BESSEL)
i1e = _with_tail(_i1e, _is_beyond, _tail_of_i(1), 10, FAR_BESSEL)
log_ndtr = _with_tail(_log_ndtr, lambda x, end: x < -end, _tail_of_log_ndtr, 6, FAR_ERROR)


_scaled_power: Function = _sloped(
    lambda x, p, scale: jnp.where(scale == 0, 0, scale * jnp.power(x, p)),
    lambda x, p, scale: _scaled_power(x, p - 1, scale * p),
    lambda x, p, scale: _scaled_power(x, p, scale) * _log_of_base(x, p, scale),
    lambda x, p, scale: _scaled_power(x, p, jnp.ones_like(p)),
)


def _log_of_base(x: Any, p: Any, scale: Any) -> Any:
    """`log(x)`, and 0 where a power of 0 leaves nothing of it."""
    endless = (x == 0) & (p <= 0) & (scale != 0)
    return jnp.log(jnp.where((x > 0) | endless, x, 1))


def power(x: Any, p: Any) -> Any:
    """`xᵖ`: the third of JAX's own slopes has NaN where `x` is 0."""
    whole = jnp.issubdtype(p.dtype, jnp.integer)
    return lax.pow(x, p) if whole else _scaled_power(x, p, jnp.ones_like(p))


_first_is_larger = _sloped(jnp.maximum, lambda a, b: a >= b, lambda a, b: a < b)
_first_is_smaller = _sloped(jnp.minimum, lambda a, b: a < b, lambda a, b: a >= b)
"""A tie is one where `a` is about to be the larger.

So is it for `abs(a - b)`, which has `a - b`: these three stand together in formulas of smooth
functions, such as `celu` and `hypot`, which have their derivatives if all are on the branch of one
neighbour of the point.
"""


def _scatter_products(params: Mapping[str, Any], x: Any, places: Any, factors: Any) -> Any:
    """One factor after the other: JAX has no derivative where a place has several."""
    numbers = params["dimension_numbers"]
    options = {"dimension_numbers": numbers, "mode": params["mode"], "unique_indices": True}
    apart = numbers.scatter_indices_batching_dims
    over = [axis for axis in range(places.ndim - 1) if axis not in apart]
    if params["unique_indices"] or math.prod(places.shape[axis] for axis in over) == 1:
        return lax.scatter_mul(x, places, factors, **options)
    axes = [axis for axis in range(factors.ndim) if axis not in numbers.update_window_dims]

    def multiplied(y: Any, given: Any) -> tuple[Any, None]:
        return lax.scatter_mul(y, *given, **options), None

    each = _one_by_one(places, over), _one_by_one(factors, [axes[axis] for axis in over])
    return lax.scan(multiplied, x, each)[0]


def _one_by_one(x: Any, axes: Sequence[int]) -> Any:
    """All entries along some axes, one behind the other, with 1 in the place of each axis."""
    front = jnp.moveaxis(x, axes, range(len(axes)))
    flat = jnp.reshape(front, (-1, *front.shape[len(axes) :]))
    return jnp.expand_dims(flat, [axis + 1 for axis in axes])


def _cumulative_logsumexp(params: Mapping[str, Any], x: Any) -> Any:
    return lax.associative_scan(logaddexp, x, reverse=params["reverse"], axis=params["axis"])


def _of_inputs(function: Function) -> Function:
    """Of an operation without parameters that change its meaning."""
    return lambda params, *inputs: function(*inputs)


OVERRIDES: dict[str, Function] = {
    "bessel_i0e": _of_inputs(i0e),
    "bessel_i1e": _of_inputs(i1e),
    "cumlogsumexp": _cumulative_logsumexp,
    "expm1": _of_inputs(expm1),
    less_largest.LARGEST: lambda params, x: less_largest.largest(x, x, params["axis"]),
    less_largest.LESS_LARGEST: lambda params, x, shift: less_largest.shifted(
        x, shift, params["axis"]
    ),
    "log_ndtr": _of_inputs(log_ndtr),
    "logaddexp": _of_inputs(logaddexp),
    "logaddexp2": _of_inputs(logaddexp2),
    "logistic": _of_inputs(logistic),
    "max": _of_inputs(_first_is_larger),
    "min": _of_inputs(_first_is_smaller),
    less_largest.PASSED: _of_inputs(jnp.copy),  # another array: gradients are kept by array
    "pow": _of_inputs(power),
    "relu": _of_inputs(_sloped(lambda x: jnp.maximum(x, 0), lambda x: x > 0)),
    "relu6": _of_inputs(_sloped(lambda x: jnp.clip(x, 0, 6), lambda x: (x > 0) & (x < 6))),
    "scatter-mul": _scatter_products,
    "tanh": _of_inputs(tanh),
}
"""Operation type -> from its parameters and inputs, real numbers, to its result."""
