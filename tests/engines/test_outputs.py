"""What is differentiated of a classifier."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_curvature as kc


def classifier(classes=4):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(classes)]
    return keras.Sequential([keras.Input((3,)), *layers])


X = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")


@pytest.mark.every(4)
@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize("output", ["predicted", "margin"])
def test_of_a_classifier_it_is_that_of_the_classes_at_each_point(output, engine):
    model = classifier()
    scores = model(X).numpy()
    first, second = np.argsort(-scores, axis=1)[:, :2].T
    assert len(set(first)) > 1
    rows = np.arange(len(X))
    names = ["value", "jacobian", "hessian", "laplacian"]
    found = kc.derivatives(model, X, names, output=output, engine=engine, dtype="float64")
    every = kc.derivatives(model, X, names, dtype="float64")
    for name in names:
        known = every[name].numpy()[rows, first]
        if output == "margin":
            known = known - every[name].numpy()[rows, second]
        np.testing.assert_allclose(found[name].numpy()[:, 0], known, atol=1e-12, err_msg=name)
    assert found["laplacian"].shape == (16, 1)


def test_a_model_s_own_name_comes_first():
    inputs = keras.Input((2,))
    outputs = {"margin": keras.layers.Dense(1)(inputs), "other": keras.layers.Dense(3)(inputs)}
    model = keras.Model(inputs, outputs)
    value = kc.derivatives(model, np.ones((2, 2)), ["value"], output="margin")["value"]
    np.testing.assert_allclose(value, model(np.ones((2, 2)))["margin"], rtol=1e-6)


@pytest.mark.parametrize("output", ["predicted", "margin"])
def test_one_class_is_none_to_choose_from(output):
    with pytest.raises(ValueError, match="two classes"):
        kc.laplacian(classifier(1), X, output=output)


def two_outputs():
    x = keras.Input((3,))
    outputs = {"u": keras.layers.Dense(1)(x), "v": keras.layers.Dense(3)(x)}
    return keras.Model(x, outputs)


SQUARED = keras.losses.MeanSquaredError()
TOLD = {
    "no such name": ("w", r"one of the model's outputs \['u', 'v'\]"),
    "no such index": (5, r"index of the model's outputs \['u', 'v'\]"),
    "a class of several outputs": ("predicted", "called \\['u', 'v'\\]. Choose one.*`output='u'`"),
    "loss": ("loss", r"kc\.CurvatureMonitor\(\(x, y\), output='loss'\)"),
    "a loss": (SQUARED, r"kc\.CurvatureMonitor\(\(x, y\), output='loss'\)"),
    "a function of labels": (lambda y, z: z - y, "needs labels"),
}


@pytest.mark.parametrize("case", TOLD)
def test_an_error_says_which_outputs_there_are(case):
    output, message = TOLD[case]
    with pytest.raises(ValueError, match=message):
        kc.laplacian(two_outputs(), X, output=output)
