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


_OF_I1 = [1 / (2 * 4**k * math.factorial(k) * math.factorial(k + 1)) for k in range(14)]


def _i1e_over_x(x: Any) -> Any:
    """`exp(-|x|) I₁(x) / x`, near 0 by the series in `x²` (DLMF 10.25.2)."""
    near = jnp.abs(x) < 2
    inside, outside = jnp.where(near, x, 0), jnp.where(near, 1, x)
    series = jnp.polyval(jnp.asarray(_OF_I1[::-1], x.dtype), inside**2)
    return jnp.where(near, jnp.exp(-_side(x) * inside) * series, i1e(outside) / outside)


i0e: Function = _sloped(lax.bessel_i0e, lambda x: i1e(x) - _side(x) * i0e(x))
i1e: Function = _sloped(lax.bessel_i1e, lambda x: i0e(x) - _i1e_over_x(x) - _side(x) * i1e(x))
"""By `I₀' = I₁` and `I₁' = I₀ - I₁ / x` (DLMF 10.29)."""


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
    options = {"dimension_numbers": numbers, "mode": params["mode"]}
    if params["unique_indices"] or places.ndim != 2:
        return lax.scatter_mul(x, places, factors, **options, unique_indices=True)
    (axis,) = set(range(factors.ndim)) - set(numbers.update_window_dims)

    def multiplied(y: Any, given: Any) -> tuple[Any, None]:
        place, factor = given
        factor = jnp.expand_dims(factor, axis)
        return lax.scatter_mul(y, place[None], factor, **options, unique_indices=True), None

    return lax.scan(multiplied, x, (places, jnp.moveaxis(factors, axis, 0)))[0]


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
    "logaddexp": _of_inputs(logaddexp),
    "logaddexp2": _of_inputs(logaddexp2),
    "logistic": _of_inputs(logistic),
    "max": _of_inputs(_first_is_larger),
    "min": _of_inputs(_first_is_smaller),
    less_largest.PASSED: _of_inputs(jnp.copy),  # another array: gradients are kept by array
    "relu": _of_inputs(_sloped(lambda x: jnp.maximum(x, 0), lambda x: x > 0)),
    "relu6": _of_inputs(_sloped(lambda x: jnp.clip(x, 0, 6), lambda x: (x > 0) & (x < 6))),
    "scatter-mul": _scatter_products,
    "tanh": _of_inputs(tanh),
}
"""Operation type -> from its parameters and inputs, real numbers, to its result."""
