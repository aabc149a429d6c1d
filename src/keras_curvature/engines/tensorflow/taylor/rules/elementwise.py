"""Derivatives of elementwise functions as TensorFlow has them: its attributes, its safe ops."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from keras_curvature.engines.op_types import Traits
from keras_curvature.engines.taylor.chain_rule import Argument
from keras_curvature.engines.taylor.elementwise import (
    chosen,
    product_with_log,
    quotient,
    where_positive,
)
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.recurrences import (
    Recurrence,
    Solution,
    itself,
    of_derivatives,
)
from keras_curvature.engines.taylor.registry import Jets, Rule, Step
from keras_curvature.engines.taylor.rule_constructors import (
    Partials,
    elementwise,
    function_of,
    partials,
)
from keras_curvature.engines.taylor.series import Series
from keras_curvature.engines.tensorflow import elementary_functions
from keras_curvature.engines.tensorflow.elementary_functions import slope_of_tanh, unless_lost


def tanh_first(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """`1 - y²`."""
    return 1 - y * y if x.dtype.is_complex else slope_of_tanh(x)


def polygamma(order: int, x: tf.Tensor) -> tf.Tensor:
    """The derivative of this order of the digamma function."""
    return tf.math.polygamma(tf.constant(order, x.dtype), x)


def by_tape(
    function: Callable[[tf.Tensor], tf.Tensor], operand: int = 0, solution: Solution | None = None
) -> Rule:
    """A function of one number by what TensorFlow makes of it.

    Args:
        function: of the operand alone.
        operand: which input it is; others follow from it.
        solution: to its power series; without it TensorFlow is asked for each order.
    """

    def slope(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
        def derivative(x: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x)

        return derivative

    first = slope(function)
    second = slope(first)

    def higher(order: int, x: tf.Tensor) -> tf.Tensor:
        derivative = second
        for _ in range(order - 2):
            derivative = slope(derivative)
        return derivative(x)

    whole = of_derivatives(higher) if solution is None else solution

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        x, y, jet = step.inputs[operand], step.outputs[0], jets[operand]
        assert jet is not None
        return [function_of(x, y, jet, mode, first(x), second(x), whole)]

    return Rule(propagate, Traits(is_pointwise=True))


def sine_over() -> Rule:
    """`sin(x) / x`, whose limit at 0 is 1."""
    return by_tape(elementary_functions.sine_over, operand=1, solution=_series_of_sine_over)


def _series_of_sine_over(x: tf.Tensor, y: tf.Tensor, *_: tf.Tensor) -> Recurrence:
    """Of `sin(x) / x`: by its polynomial near 0, and by `x y = sin(x)` elsewhere."""
    near = tf.abs(x) < 2
    inside, outside = tf.where(near, x, tf.zeros_like(x)), tf.where(near, tf.ones_like(x), x)
    far = Recurrence(tf.sin(outside) / outside)

    def coefficient(k: int) -> tf.Tensor:
        polynomial = [
            0.0 if i % 2 else (-1) ** (i // 2) / math.factorial(i + 1) * math.comb(i, k)
            for i in range(k, SINE_TERMS)
        ]
        terms = [tf.constant(term, x.dtype) for term in reversed(polynomial)]
        return tf.where(near, tf.math.polyval(terms, inside), far[k])

    def quotient(k: int) -> tf.Tensor:
        sine = tf.sin(outside + k * math.pi / 2) / math.factorial(k)
        return (sine - far[k - 1]) / outside

    far.follows(quotient)
    return Recurrence(y, coefficient)


SINE_TERMS = 31
"""Of the next one, `2³⁰ / 31!`, and of its fourth derivative less than 1e-19 is left."""


def leaky_relu() -> Rule:
    """`alpha x` below 0."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        (x,), (jet,) = step.inputs, jets
        assert jet is not None
        slope = where_positive(x, 1.0, step.op.get_attr("alpha"))
        return [mode.elementwise(step.outputs[0], [Argument(jet, slope)], {})]

    return Rule(propagate, Traits(is_pointwise=True))


def swish() -> Rule:
    """`x sigmoid(βx)`, in the form in which TensorFlow writes it: of the result, `x` and `β`."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        _, x, beta = step.inputs
        jet = jets[1]
        if jet is None or jets[2] is not None:
            raise NotImplementedError("a trained steepness of swish")
        s, rest = tf.sigmoid(beta * x), tf.sigmoid(-beta * x)
        first = s * (1 + beta * x * rest)
        second = beta * s * rest * (2 + beta * x * (rest - s))
        y = step.outputs[0]

        def solution(*_: tf.Tensor) -> Recurrence:
            share = Recurrence(s)
            share.grows(share * (1 - share) * beta)
            return itself(x) * share

        return [function_of(x, y, jet, mode, first, second, solution)]

    return Rule(lambda *args: [*propagate(*args), None, None])


def power(x: tf.Tensor, p: tf.Tensor, y: tf.Tensor) -> Partials:
    """`x ** p`, with 0 where a factor of 0 meets an infinite power."""
    no_nan = tf.math.multiply_no_nan
    real = x.dtype.is_floating
    log = tf.math.log(tf.where(x > 0, x, tf.ones_like(x)) if real else x)
    first = no_nan(tf.pow(x, p - 1), p * tf.ones_like(x))
    second = no_nan(tf.pow(x, p - 2), p * (p - 1) * tf.ones_like(x))
    steep = tf.where(tf.equal(x, 0) & (p <= 1), tf.math.log(x), log) if real else log
    mixed = tf.pow(x, p - 1) * (1 + p * steep)
    return [first, y * log], {(0, 0): second, (0, 1): mixed, (1, 1): y * log * log}


def safe_quotient(a: tf.Tensor, b: tf.Tensor, y: tf.Tensor) -> Partials:
    """`a / b`, and 0 where `b` is 0."""
    inverse = tf.math.divide_no_nan(tf.ones_like(b), b)
    return [inverse, -y * inverse], {(0, 1): -inverse * inverse, (1, 1): 2 * y * inverse * inverse}


def times_log(a: tf.Tensor, b: tf.Tensor, y: tf.Tensor) -> Partials:
    """`a log(b)`, and 0 where both are 0."""
    defined = unless_lost(a, b, b > 0, 1)
    return _unless_replaced(b, defined, _times(a, defined, tf.math.log(defined)))


def times_log1p(a: tf.Tensor, b: tf.Tensor, y: tf.Tensor) -> Partials:
    """`a log(1 + b)`, and 0 where `a` is 0 and `b` is -1."""
    defined = unless_lost(a, b, b > -1, 0)
    return _unless_replaced(b, defined, _times(a, 1 + defined, tf.math.log1p(defined)))


def _times(a: tf.Tensor, b: tf.Tensor, log: tf.Tensor) -> Partials:
    by_b = a / b
    return [log, by_b], {(0, 1): 1 / b, (1, 1): -by_b / b}


def over(a: tf.Tensor, b: tf.Tensor, y: tf.Tensor) -> Partials:
    """`a / b`, and 0 where both are 0."""
    defined = unless_lost(a, b, tf.not_equal(b, 0), 1)
    return _unless_replaced(b, defined, quotient(a, defined, y))


def safe_quotient_series(a: Series, b: Series) -> Series:
    """The same, as a series."""
    inverse = tf.math.divide_no_nan(tf.ones_like(b.value), b.value)
    powers = [inverse]
    for _ in range(b.orders.highest):
        powers.append(-powers[-1] * inverse)
    return a * b.through(powers)


def times_log_series(a: Series, b: Series) -> Series:
    """`a log(b)`, and 0 where both are 0."""
    return product_with_log(a, _where_defined(a, b, b.value > 0, 1))


def times_log1p_series(a: Series, b: Series) -> Series:
    """`a log(1 + b)`, and 0 where `a` is 0 and `b` is -1."""
    defined = _where_defined(a, b, b.value > -1, 0)
    return product_with_log(a, Series(a.orders, 1 + defined.value, defined.coefficients))


def over_series(a: Series, b: Series) -> Series:
    """`a / b`, and 0 where both are 0."""
    return a / _where_defined(a, b, tf.not_equal(b.value, 0), 1)


def _where_defined(a: Series, b: Series, defined: tf.Tensor, instead: float) -> Series:
    """`b`, or a constant where `a` is 0 and the function of `b` is not defined."""
    value = unless_lost(a.value, b.value, defined, instead)
    kept = tf.cast(tf.equal(b.value, value), value.dtype)
    return b.map(lambda stack: stack * kept, value)


def _unless_replaced(b: tf.Tensor, defined: tf.Tensor, found: Partials) -> Partials:
    """Nothing of second order where a constant stands for `b`: nothing of the first is left."""
    firsts, seconds = found
    kept = tf.equal(b, defined)
    return firsts, {
        pair: tf.where(kept, bend, tf.zeros_like(bend)) for pair, bend in seconds.items()
    }


def on_the_other_side() -> dict[str, Rule]:
    """What is taken on the other side of its tie than by itself, see `ties`."""
    return {
        "max(b, a)": partials(chosen(tf.greater)),
        "min(b, a)": partials(chosen(tf.less_equal)),
        "|-x|": elementwise(lambda x, y: where_positive(x, 1.0, -1.0)),
    }
