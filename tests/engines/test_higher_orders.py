"""Third and fourth derivatives of the table's models, against differences of second ones."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import higher_orders
from cases import model_of, named
from higher_orders import NOT_OF_VALUES, QUICK
from keras_curvature.engines.api import Options, differentiate, engine_choice
from keras_curvature.engines.quantities import BIHARMONIC, LAPLACIAN, partial_name, partials_among
from keras_curvature.engines.taylor import registry
from keras_curvature.engines.taylor.rule_constructors import elementwise

THIRD = partial_name((0, 0, 1))

REFUSED = {
    "differentiating/gradient[recurrent]",
    "differentiating/of_a_loop",
    "ops/associative_scan",
    "ops/average",
    "ops/ctc_loss",
    "ops/lu_factor",
    "tensorflow/dilation2d",
}
"""What there is no Taylor propagation for: see `test_engines.py`."""


def rows():
    for case in higher_orders.table():
        if case.id not in REFUSED:
            marks = [] if case.id in QUICK else [pytest.mark.slow]
            yield pytest.param(case, id=case.id, marks=marks)


def rows_of_values():
    return [row for row in rows() if not row.values[0].tags & NOT_OF_VALUES]


@pytest.mark.every(3)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", rows_of_values())
def test_power_series_are_right(case, dtype):
    if dtype == "float64" and "float32_only" in case.tags:
        pytest.skip("there is no float64 model to be right about")
    higher_orders.check(case, model_of(case, "float32"), dtype)


@pytest.mark.parametrize(
    "case",
    [
        # Seconds each, which go into compiling gradients of gradients of gradients.
        pytest.param(case, id=case.id, marks=[] if "Dense" in case.id else [pytest.mark.slow])
        for case in named(*QUICK)
    ],
)
def test_engines_agree(case):
    higher_orders.check_engines_agree(case, model_of(case, "float32"))


@pytest.mark.parametrize("case", named("activations/gelu"))
def test_finite_differences_are_close(case):
    higher_orders.check(case, model_of(case, "float32"), "float32", "finite_difference")


def asked(*names):
    """Quantities as a user asks for them."""
    return {name: partials_among([name]).get(name, name) for name in names}


def third_of(model, x):
    (found,) = differentiate(model, x, asked(THIRD), None, Options(dtype="float64")).values()
    return np.asarray(found)


def named_for(model, x, name):
    return {place.op_type for place in engine_choice(model, x, asked(name), Options()).fallbacks}


@pytest.mark.usefixtures("rules_as_before")
def test_a_rule_without_a_series_is_named_and_the_backend_asked():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(tf.math.lgamma)])
    x = np.linspace(1, 2, 6).reshape(2, 3).astype("float32")
    known = third_of(model, x)
    assert named_for(model, x, THIRD) == set()
    registry.deregister("Lgamma")
    rule = elementwise(
        lambda x, y: tf.math.digamma(x), lambda x, y: tf.math.polygamma(tf.ones_like(x), x)
    )
    registry.register("Lgamma", rule)
    assert named_for(model, x, THIRD) == {"Lgamma"}
    assert named_for(model, x, BIHARMONIC) == {"Lgamma"}
    assert named_for(model, x, LAPLACIAN) == set()
    np.testing.assert_allclose(third_of(model, x), known, rtol=1e-12)


@pytest.mark.parametrize(("name", "order"), [(THIRD, 3), (BIHARMONIC, 4)])
def test_the_choice_says_how_far_the_series_go(name, order):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "tanh")])
    choice = engine_choice(model, np.ones((1, 2), "float32"), asked(name), Options())
    assert str(choice) == f"engine 'taylor': exact, by power series up to order {order}"


class ByItsAuthor(keras.Layer):
    """A function whose author wrote its gradient, which looks up what changes."""

    def call(self, x):
        @tf.custom_gradient
        def function(x):
            y = tf.sinh(x)
            return y, lambda upstream: upstream * tf.sqrt(1 + y * y)

        return tf.exp(function(x)[:, :1]) * function(x * x)


class Plain(keras.Layer):
    """The same function."""

    def call(self, x):
        return tf.exp(tf.sinh(x)[:, :1]) * tf.sinh(x * x)


@pytest.mark.slow
def test_custom_gradients_have_higher_orders():
    x = np.array([[0.3, -0.4], [0.6, 0.2]], "float32")
    models = [keras.Sequential([keras.Input((2,)), layer()]) for layer in (ByItsAuthor, Plain)]
    names = (*map(partial_name, [(0,), (0, 1), (0, 0, 1), (0, 0, 0, 0), (0, 0, 1, 1)]), BIHARMONIC)
    found, right = (
        differentiate(model, x, asked(*names), None, Options(dtype="float64", engine="taylor"))
        for model in models
    )
    for name in names:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-12, err_msg=name)
