"""One model for every cause: what is found in it, as data and in words."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_curvature as kc
from ailing import AILING, HEALTHY, X, followed_by, in_policy, pooled, stack
from ailing_on_tensorflow import ON_TENSORFLOW
from keras_curvature.diagnosis import backend_gradients
from keras_curvature.engines.tensorflow import gradient_overrides
from keras_curvature.report.text import WIDTH


def one_of_each_kind():
    """The first ailment of each kind is tested by `make test`, the others are slow."""
    kinds = set()
    for name, ailment in (AILING | ON_TENSORFLOW).items():
        marks = [pytest.mark.slow] if ailment.kind in kinds else []
        kinds.add(ailment.kind)
        yield pytest.param(ailment, id=name, marks=marks)


@pytest.mark.every(3)
@pytest.mark.tensorflow  # elsewhere: tests/backends/test_diagnosis.py
@pytest.mark.parametrize("ailment", list(one_of_each_kind()))
def test_an_ailment_is_found_and_explained(ailment):
    keras.utils.set_random_seed(0)
    x = X if ailment.x is None else ailment.x
    report = kc.diagnose(ailment.make(), x, **ailment.options)
    assert sorted(report.kinds) == sorted((ailment.kind, *ailment.also)), str(report)
    (finding,) = [f for f in report.findings if f.kind == ailment.kind]
    assert ailment.where in finding.where
    assert finding.layers == ailment.layers
    assert ailment.advice in finding.advice
    assert ailment.found in finding.found
    assert finding.meaning
    assert finding.size > 0 or np.isnan(finding.size)
    if "altered gradient" in report.kinds:
        assert "right" not in str([f.meaning for f in report.findings]), str(report)


@pytest.mark.tensorflow  # elsewhere: tests/backends/test_diagnosis.py
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[pytest.mark.slow] * (name not in ("silu", "batch norm")))
        for name, make in HEALTHY.items()
    ],
)
def test_nothing_is_found_in_a_healthy_model(make):
    keras.utils.set_random_seed(0)
    report = kc.diagnose(make(), X, compare_tapes=True)
    assert report.healthy, str(report)


@pytest.mark.tensorflow
def test_a_wrong_derivative_that_nobody_knows_of_is_suspect(monkeypatch):
    """TensorFlow's own second derivative of a resized image, which counts as 0."""
    monkeypatch.delitem(gradient_overrides.OVERRIDES, "ResizeBilinear")
    square = keras.layers.Lambda(lambda t: tf.image.resize(t**2, (7, 7)) ** 2)
    model = stack(square, keras.layers.Flatten(), inputs=(6, 6, 1))
    x = np.random.default_rng(0).uniform(1, 2, size=(16, 6, 6, 1))
    report = kc.diagnose(model, x)
    # TensorFlow 2.16 has none instead of a wrong one.
    assert report.kinds in {("suspect",), ("no derivative",)}, str(report)
    assert report.kinds == ("suspect",) or tf.__version__ < "2.21"


def test_the_report_is_data():
    report = kc.diagnose(stack(keras.layers.Dense(8, "relu", name="bend")), X)
    (finding,) = report.findings
    assert isinstance(report, kc.Diagnosis)
    assert isinstance(finding, kc.Finding)
    assert report.kinds == ("piecewise linear",)
    assert finding.layers == ("bend",)
    assert finding.size == pytest.approx(1, abs=1e-6)
    assert dataclasses.asdict(report)["findings"][0]["kind"] == "piecewise linear"
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.findings = ()


def test_the_report_is_text():
    report = kc.diagnose(stack(keras.layers.Dense(8, "relu", name="bend")), X)
    text = str(report)
    assert text.splitlines()[0] == f"Diagnosis of {report.model}: 1 finding"
    assert "1. Piecewise linear: relu in 'bend'" in text
    for part in ("   found  100 % of", "   means  ", "   do     ", "- The graph: "):
        assert part in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_names_cannot_break_the_text():
    finding = kc.Finding("flat", "relu in 'a\n\x1b[31m'", ("a",), "f\x00", "m", "d", 1.0)
    text = str(kc.Diagnosis("model\r" + "x" * 99, (finding,), ()))
    assert not set("\x00\x1b\r") & set(text)
    assert len(text.splitlines()[0]) < 80


def test_it_looks_at_a_few_examples_however_many_there_are():
    model = stack(keras.layers.Dense(8, "silu"))
    report = kc.diagnose(model, np.repeat(X, 50, axis=0))
    assert "64 of 2000 examples" in str(report)


@pytest.mark.parametrize("count", [1, 2])
def test_few_examples_are_enough(count):
    report = kc.diagnose(stack(keras.layers.Dense(32, "relu")), X[:count])
    assert report.kinds == ("piecewise linear",)


def test_of_many_outputs_a_mixture_is_looked_at():
    report = kc.diagnose(stack(keras.layers.Dense(16, "relu"), units=50), X)
    assert report.kinds == ("piecewise linear",)
    assert "a mixture of all 50 outputs" in str(report)


def test_a_function_of_a_tensor_can_be_diagnosed():
    report = kc.diagnose(lambda x: ops.sum(ops.abs(x), axis=1, keepdims=True), X)
    assert report.kinds == ("piecewise linear",)
    assert report.findings[0].where == "abs"


def test_the_rest_of_the_model_does_not_count():
    """Only what lies between `wrt` and `output` is looked at."""
    x = keras.Input((3,))
    first = keras.layers.Dense(8, "relu", name="first")(x)
    second = keras.layers.Dense(8, "tanh", name="second")(first)
    model = keras.Model(x, keras.layers.Dense(1)(second))
    assert kc.diagnose(model, X, wrt="first").healthy
    assert kc.diagnose(model, X).kinds == ("piecewise linear",)


@pytest.mark.tensorflow  # on JAX Keras itself does it: tests/jax/test_diagnosis.py
def test_a_layer_that_rounds_float64_is_named():
    def make(dtype):
        return stack(layers.Lambda(lambda t: ops.sin(ops.cast(t, dtype)), name="ailing"))

    x = X.astype("float64")
    report = kc.diagnose(in_policy("float64", lambda: make("float32"))(), x)
    assert [(f.kind, f.layers) for f in report.findings] == [("below float64", ("ailing",))]
    assert kc.diagnose(in_policy("float64", lambda: make("float64"))(), x).healthy


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_error_of_tensorflow_is_that_of_nested_tapes():
    keras.utils.set_random_seed(0)
    model = followed_by(keras.layers.LayerNormalization)()
    x = tf.constant(X[:4])
    true = kc.hessian(model, x)[:, 0].numpy()
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = model(x)
        slope = inner.gradient(y, x)
    own = outer.batch_jacobian(slope, x).numpy()
    error = np.linalg.norm(own - true) / np.linalg.norm(true)
    (finding,) = kc.diagnose(model, x, compare_tapes=True).findings
    # The report has the worst of four directions relative to the largest: not the same norm.
    assert 0.1 * error < finding.size < 10 * error


@pytest.mark.slow
def test_tapes_are_asked_only_where_one_wants_to_know(monkeypatch, tmp_path):
    """They have to be compiled, and a logged training is diagnosed twice."""

    def asked(*_):
        raise AssertionError("asked")

    monkeypatch.setattr(backend_gradients, "own_answer", asked)
    model = followed_by(keras.layers.LayerNormalization)()
    assert kc.diagnose(model, X).healthy
    with pytest.raises(AssertionError, match="asked"):
        kc.diagnose(model, X, compare_tapes=True)
    model.compile("sgd", "mse")
    monitor = kc.CurvatureMonitor(X, tmp_path)
    model.fit(X, X[:, :1], verbose=0, callbacks=[monitor])
    assert monitor.diagnosis.healthy


def test_random_numbers_and_weights_are_left_alone():
    model = pooled(keras.layers.MaxPooling2D)()
    before = [w.numpy() for w in model.weights]
    keras.utils.set_random_seed(3)
    expected = keras.random.normal((2,))
    keras.utils.set_random_seed(3)
    kc.diagnose(model, np.random.default_rng(1).normal(size=(8, 6, 6, 1)))
    np.testing.assert_array_equal(keras.random.normal((2,)), expected)
    for weight, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)


def test_errors_say_what_to_do():
    model = stack(keras.layers.Dense(8, "relu"))
    with pytest.raises(ValueError, match="Received"):
        kc.diagnose(model, X[:, :2])
    with pytest.raises(ValueError, match="no_such_layer"):
        kc.diagnose(model, X, wrt="no_such_layer")
    with pytest.raises(ValueError, match="scale"):
        kc.diagnose(model, X, scale=-1.0)


@pytest.mark.parametrize("wrt", ["a", 1])
def test_the_other_inputs_stay_as_they_are(wrt):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    product = keras.layers.Multiply()([keras.layers.Dense(4, "silu")(x) for x in (a, b)])
    model = keras.Model([a, b], keras.layers.Dense(1)(product))
    assert kc.diagnose(model, [X, X[::-1]], wrt=wrt).healthy
