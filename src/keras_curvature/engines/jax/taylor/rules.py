"""How each of JAX's primitives hands derivatives on: the list of what Taylor propagation knows."""

from __future__ import annotations

import functools
import operator
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from jax import lax

from keras_curvature.engines.jax import less_largest
from keras_curvature.engines.jax.gradient_overrides import LOG_2, slope_of_tanh
from keras_curvature.engines.jax.taylor import jvp, scan
from keras_curvature.engines.jax.taylor.linear_rules import (
    beside,
    broadcast,
    convolution,
    gathered,
    linear,
    matrix_product,
    moved,
    reshaped,
    summed,
    transposed,
)
from keras_curvature.engines.op_types import (
    EVERY_INPUT,
    OWN,
    Traits,
    difference,
    elsewhere,
    itself,
)
from keras_curvature.engines.taylor import elementwise as formulas
from keras_curvature.engines.taylor import recurrences
from keras_curvature.engines.taylor.chain_rule import Argument
from keras_curvature.engines.taylor.jets import spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step, never, register
from keras_curvature.engines.taylor.rule_constructors import (
    elementwise,
    identity,
    linear_in,
    nothing,
    partials,
)
from keras_curvature.engines.taylor.series import Series


def _piecewise(word: str, instead: str, switches: Any = None) -> Rule:
    rule = Rule(functools.partial(jvp.propagate, piecewise_linear=True))
    return rule.kinked(word, instead, switches)


def by_power() -> Rule:
    """`x ** n` for an integer n."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        (x,), (jet,), n = step.inputs, jets, step.op.params["y"]
        assert jet is not None
        first = n * lax.integer_pow(x, n - 1) if n else jnp.zeros_like(x)
        second = n * (n - 1) * lax.integer_pow(x, n - 2) if n not in (0, 1) else None
        bends = {} if second is None else {(0, 0): second}

        def of_series(mode: Any) -> Any:
            exponent = Series(mode.orders, jnp.asarray(n, x.dtype))
            return formulas.power_series(mode.series(x, jet), exponent)

        return [mode.elementwise(step.outputs[0], [Argument(jet, first)], bends, of_series)]

    return Rule(propagate, Traits(is_pointwise=True))


def selection() -> Rule:
    """`select_n`: each entry comes from one of the cases."""

    def taken(step: Step, i: int, stack: Any) -> Any:
        which = step.inputs[0]
        chosen = which == (bool(i - 1) if which.dtype == bool else i - 1)
        return jnp.where(chosen, spread(stack, step.inputs[i]), jnp.zeros((), stack.dtype))

    return replace(
        linear_in(EVERY_INPUT, taken, never),
        traits=Traits(linear_in=range(1, 99)),
    ).kinked("where", "a smooth transition", elsewhere)


def power(x: Any, p: Any, y: Any) -> Any:
    """`x ** p`, with 0 where a factor of 0 meets an infinite power."""
    p = jnp.asarray(p, x.dtype)

    def times(power_of_x: Any, factor: Any) -> Any:
        factor = jnp.broadcast_to(factor, power_of_x.shape)
        return jnp.where(factor == 0, 0, power_of_x * factor)

    log = jnp.log(jnp.where(x > 0, x, 1))
    steep = jnp.where((x == 0) & (p <= 1), jnp.log(x), log)
    mixed = lax.pow(x, p - 1) * (1 + p * steep)
    first, second = times(lax.pow(x, p - 1), p), times(lax.pow(x, p - 2), p * (p - 1))
    return [first, y * log], {(0, 0): second, (0, 1): mixed, (1, 1): y * log * log}


def sum_of_exponentials(a: Any, b: Any, y: Any) -> Any:
    """`log(exp(a) + exp(b))`."""
    return _shares(a, b, 1)


def sum_of_powers_of_2(a: Any, b: Any, y: Any) -> Any:
    """The same to the base 2."""
    return _shares(a, b, LOG_2)


def _shares(a: Any, b: Any, rate: float) -> Any:
    one, other = lax.logistic(rate * (a - b)), lax.logistic(rate * (b - a))
    bend = rate * one * other
    return [one, other], {(0, 0): bend, (0, 1): -bend, (1, 1): bend}


def _sigmoid_bend(x: Any, y: Any) -> Any:
    rest = lax.logistic(-x)
    return y * rest * (rest - y)


def _polygamma(order: int, x: Any) -> Any:
    return lax.polygamma(jnp.full_like(x, order), x)


def _at_largest(function: Any) -> Rule:
    """A linear function of a row for as long as the same entry is the largest."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        x, axis = step.inputs[0], step.op.params["axis"]
        plain = linear_in((0,), lambda step, i, stack: function(x, stack, axis), never)
        return plain.propagate(step, [jets[0]], mode)

    return Rule(propagate, Traits(linear_in=EVERY_INPUT, is_piecewise=True))


LINEAR: dict[str, Rule] = {
    "add": partials(lambda a, b, y: ([None, None], {}), linear_in=EVERY_INPUT),
    "add_any": partials(lambda a, b, y: ([None, None], {}), linear_in=EVERY_INPUT),
    "broadcast_in_dim": moved(broadcast),
    "concatenate": linear_in(None, beside, never),
    "convert_element_type": moved(lambda step, stack: stack.astype(step.outputs[0].dtype)),
    "copy": identity(),
    "copy_p": identity(),
    less_largest.PASSED: identity(),
    "cumsum": linear(0),
    "dynamic_slice": linear(0),
    "dynamic_update_slice": linear(0, 1),
    "expand_dims": moved(reshaped),
    "fft": linear(0),
    "gather": gathered(),
    "imag": linear(0),
    "neg": moved(lambda step, stack: -stack),
    "pad": linear(0, 1),
    "real": linear(0),
    "reduce_sum": moved(summed),
    "reduce_window_sum": linear(0),
    "reshape": moved(reshaped),
    "rev": linear(0),
    "scatter": linear(0, 2),
    "scatter-add": linear(0, 2),
    "slice": linear(0),
    "squeeze": moved(reshaped),
    "sub": partials(lambda a, b, y: ([None, -jnp.ones((), y.dtype)], {}), linear_in=EVERY_INPUT),
    "transpose": moved(transposed),
}

PIECEWISE_LINEAR: dict[str, Rule] = {
    less_largest.LARGEST: _at_largest(less_largest.largest),
    less_largest.LESS_LARGEST: _at_largest(less_largest.less_largest),
    "abs": elementwise(lambda x, y: formulas.where_negative(x, -1, 1)).kinked(
        "abs", "sqrt(x² + ε)", itself
    ),
    "clamp": _piecewise("clipping", "tanh", lambda low, x, high: [x - low, x - high]),
    "cummax": _piecewise("cumulative maximum", "logsumexp"),
    "cummin": _piecewise("cumulative minimum", "logsumexp"),
    "max": partials(formulas.chosen(jnp.greater_equal)).kinked("maximum", "logaddexp", difference),
    "min": partials(formulas.chosen(jnp.less)).kinked("minimum", "-logaddexp(-a, -b)", difference),
    "reduce_max": _piecewise("maximum over an axis", "a mean or logsumexp"),
    "reduce_min": _piecewise("minimum over an axis", "a mean or logsumexp"),
    "reduce_window_max": _piecewise("max pooling", "average pooling"),
    "reduce_window_min": _piecewise("min pooling", "average pooling"),
    "relu": elementwise(lambda x, y: formulas.where_positive(x, 1, 0)).kinked(
        "relu", "softplus or silu", itself
    ),
    "relu6": elementwise(lambda x, y: ((x > 0) & (x < 6)).astype(x.dtype)).kinked(
        "relu6", "silu", lambda x: [x, x - 6]
    ),
    "rem": _piecewise("remainder", "a sine and a cosine"),
    "select_n": selection(),
    "sort": _piecewise("sorting", "softmax weights"),
    "top_k": _piecewise("sorting", "softmax weights"),
}

ELEMENTWISE: dict[str, Rule] = {
    "acos": elementwise(
        lambda x, y: -lax.rsqrt(1 - x * x),
        lambda x, y: -x * lax.rsqrt(1 - x * x) ** 3,
        recurrences.arcsine,
    ),
    "acosh": elementwise(
        lambda x, y: lax.rsqrt(x * x - 1),
        lambda x, y: -x * lax.rsqrt(x * x - 1) ** 3,
        recurrences.arcsinh,
    ),
    "asin": elementwise(
        lambda x, y: lax.rsqrt(1 - x * x),
        lambda x, y: x * lax.rsqrt(1 - x * x) ** 3,
        recurrences.arcsine,
    ),
    "asinh": elementwise(
        lambda x, y: lax.rsqrt(1 + x * x),
        lambda x, y: -x * lax.rsqrt(1 + x * x) ** 3,
        recurrences.arcsinh,
    ),
    "atan": elementwise(
        lambda x, y: 1 / (1 + x * x), lambda x, y: -2 * x / (1 + x * x) ** 2, recurrences.arctan
    ),
    "atan2": partials(formulas.angle_of, formulas.angle_series),
    "atanh": elementwise(
        lambda x, y: 1 / (1 - x * x), lambda x, y: 2 * x / (1 - x * x) ** 2, recurrences.arctanh
    ),
    "cos": elementwise(lambda x, y: -jnp.sin(x), lambda x, y: -y, recurrences.oscillating),
    "cosh": elementwise(lambda x, y: jnp.sinh(x), lambda x, y: y, recurrences.hyperbolic),
    "digamma": elementwise(
        lambda x, y: _polygamma(1, x),
        lambda x, y: _polygamma(2, x),
        recurrences.of_derivatives(_polygamma),
    ),
    "div": partials(formulas.quotient, operator.truediv, linear_in=(0,)),
    "erf": elementwise(
        lambda x, y: formulas.TWO_OVER_ROOT_PI * jnp.exp(-x * x),
        lambda x, y: -2 * x * formulas.TWO_OVER_ROOT_PI * jnp.exp(-x * x),
        recurrences.error_function,
    ).smooth("gelu or erf"),
    "erfc": elementwise(
        lambda x, y: -formulas.TWO_OVER_ROOT_PI * jnp.exp(-x * x),
        lambda x, y: 2 * x * formulas.TWO_OVER_ROOT_PI * jnp.exp(-x * x),
        recurrences.error_function,
    ).smooth("gelu or erf"),
    "erf_inv": elementwise(
        lambda x, y: jnp.exp(y * y) / formulas.TWO_OVER_ROOT_PI,
        lambda x, y: 2 * y * jnp.exp(2 * y * y) / formulas.TWO_OVER_ROOT_PI**2,
        recurrences.inverse_error_function,
    ),
    "exp": elementwise(lambda x, y: y, lambda x, y: y, recurrences.exponential).smooth("exp"),
    "exp2": elementwise(
        lambda x, y: LOG_2 * y, lambda x, y: LOG_2**2 * y, recurrences.to_the_base(2)
    ).smooth("exp"),
    "expm1": elementwise(
        lambda x, y: jnp.exp(x), lambda x, y: jnp.exp(x), recurrences.exponential_slope
    ),
    "integer_pow": by_power(),
    "lgamma": elementwise(
        lambda x, y: lax.digamma(x),
        lambda x, y: _polygamma(1, x),
        recurrences.of_derivatives(lambda k, x: _polygamma(k - 1, x)),
    ),
    "log": elementwise(lambda x, y: 1 / x, lambda x, y: -1 / (x * x), recurrences.logarithm),
    "log1p": elementwise(
        lambda x, y: 1 / (1 + x), lambda x, y: -1 / (1 + x) ** 2, recurrences.logarithm
    ),
    "logistic": elementwise(
        lambda x, y: y * lax.logistic(-x), _sigmoid_bend, recurrences.sigmoid
    ).smooth("sigmoid"),
    "logaddexp": partials(sum_of_exponentials, formulas.log_of_sum(1)).smooth("softplus"),
    "logaddexp2": partials(sum_of_powers_of_2, formulas.log_of_sum(LOG_2)).smooth("softplus"),
    "mul": partials(
        lambda a, b, y: ([b, a], {(0, 1): jnp.ones((), y.dtype)}), operator.mul, is_multilinear=True
    ),
    "pow": partials(power, formulas.power_series),
    "rsqrt": elementwise(lambda x, y: -0.5 * y**3, lambda x, y: 0.75 * y**5, recurrences.rsqrt),
    "sin": elementwise(lambda x, y: jnp.cos(x), lambda x, y: -y, recurrences.oscillating),
    "sinh": elementwise(lambda x, y: jnp.cosh(x), lambda x, y: y, recurrences.hyperbolic),
    "sqrt": elementwise(lambda x, y: 0.5 / y, lambda x, y: -0.25 / (x * y), recurrences.sqrt),
    "square": elementwise(
        lambda x, y: 2 * x, lambda x, y: jnp.full((), 2, x.dtype), recurrences.square
    ),
    "tan": elementwise(lambda x, y: 1 + y * y, lambda x, y: 2 * y * (1 + y * y), recurrences.tan),
    "tanh": elementwise(
        lambda x, y: slope_of_tanh(x), lambda x, y: -2 * y * slope_of_tanh(x), recurrences.tanh
    ).smooth("tanh"),
}

OF_WHOLE_ROWS: dict[str, Rule] = {
    "conv_general_dilated": convolution(),
    "dot_general": matrix_product(),
    "scan": Rule(scan.propagate),
}

WITHOUT_DERIVATIVE: dict[str, Rule] = {
    **dict.fromkeys(
        ("argmax", "argmin", "ceil", "eq", "floor", "is_finite", "ne", "nextafter",
         "population_count", "round", "stop_gradient"),
        nothing(),
    ),
    **dict.fromkeys(("ge", "gt", "le", "lt"), nothing(switches=difference)),
    "sign": nothing(switches=itself),
}  # fmt: skip


for _rules in (LINEAR, PIECEWISE_LINEAR, ELEMENTWISE, OF_WHOLE_ROWS, WITHOUT_DERIVATIVE):
    for _op_type, _rule in _rules.items():
        register(_op_type, _rule)
        OWN[_op_type] = _rule.traits
