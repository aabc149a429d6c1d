"""Where JAX's own derivatives lose digits or halve a tie, and what replaces them.

JAX writes the slope of tanh as `1 - y²`, of which nothing is left once `y` rounds to 1, and that
of `max` at a tie as the mean of both slopes, whose square is that of neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

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


def slope_of_tanh(x: Any) -> Any:
    """`1 - tanh²`, of which digits are left where `tanh` rounds to 1."""
    s = lax.logistic(-2 * jnp.abs(x))
    return 4 * s * (1 - s)


_slope_of_logistic: Function = _sloped(
    lambda x: lax.logistic(x) * lax.logistic(-x), lambda x: -_slope_of_logistic(x) * tanh(x / 2)
)
_slope_of_tanh: Function = _sloped(slope_of_tanh, lambda x: -2 * _slope_of_tanh(x) * tanh(x))
expm1 = _sloped(jnp.expm1, jnp.exp)
logistic: Function = _sloped(lax.logistic, _slope_of_logistic)
tanh: Function = _sloped(lax.tanh, _slope_of_tanh)
logaddexp = _sloped(jnp.logaddexp, lambda a, b: logistic(a - b), lambda a, b: logistic(b - a))
logaddexp2 = _sloped(
    jnp.logaddexp2, lambda a, b: logistic(LOG_2 * (a - b)), lambda a, b: logistic(LOG_2 * (b - a))
)
LOG_2 = 0.6931471805599453


_first_is_larger = _sloped(jnp.maximum, lambda a, b: a >= b, lambda a, b: a < b)
_first_is_smaller = _sloped(jnp.minimum, lambda a, b: a < b, lambda a, b: a >= b)
"""A tie is one where `a` is about to be the larger.

So is it for `abs(a - b)`, which has `a - b`: these three stand together in formulas of smooth
functions, such as `celu` and `hypot`, which have their derivatives if all are on the branch of one
neighbour of the point.
"""

OVERRIDES: dict[str, Function] = {
    "expm1": expm1,
    "logaddexp": logaddexp,
    "logaddexp2": logaddexp2,
    "logistic": logistic,
    "max": _first_is_larger,
    "min": _first_is_smaller,
    "relu": _sloped(lambda x: jnp.maximum(x, 0), lambda x: x > 0),
    "relu6": _sloped(lambda x: jnp.clip(x, 0, 6), lambda x: (x > 0) & (x < 6)),
    "tanh": tanh,
}
"""Operation type -> a function of real numbers in its place."""
