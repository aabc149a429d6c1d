"""What is known at a probe against what the model gives there: alike, or not compared."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_curvature.measurement.ground_truth import UNFITTED
from watched import untrained

X = np.random.default_rng(0).normal(size=(32, 2))
SCORES = np.stack([X[:, 0], X[:, 1], X[:, 0] ** 2, -X[:, 1]], axis=1)
CLASSES = SCORES.argmax(axis=1)[:, None]
ONE_HOT = np.eye(4)[CLASSES[:, 0]]
PROBABILITIES = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)


def r2(value, known):
    each = ((known - value) ** 2).sum(axis=0) / ((known - known.mean(axis=0)) ** 2).sum(axis=0)
    return 1 - each.mean()


def model(*args, **kwargs):
    return lambda: built(*args, **kwargs)


def built(loss=None, activation="linear", output=None):
    """Four scores, or one of them."""
    x = keras.Input((2,))
    scores = keras.ops.stack([x[:, 0], x[:, 1], x[:, 0] ** 2, -x[:, 1]], axis=1)
    scores = scores if output is None else scores[:, output : output + 1]
    made = keras.Model(x, keras.layers.Activation(activation)(scores))
    made.compile("sgd", loss)
    return made


LOSSES = keras.losses
SPARSE = "sparse_categorical_crossentropy"
SIGN = (X[:, :1] > 0).astype(int)
SIGMOID = 1 / (1 + np.exp(-X[:, :1]))

CASES = {
    "predicted, classes": (model(), "predicted", CLASSES, None),
    "predicted, one-hot": (model(), "predicted", ONE_HOT, None),
    "margin, classes": (model(SPARSE), "margin", CLASSES.astype("float32"), None),
    "all, sparse": (model(LOSSES.SparseCategoricalCrossentropy(True)), None, CLASSES, None),
    "all, sparse by name": (model(SPARSE, "softmax"), None, CLASSES[:, 0], None),
    "all, sparse by function": (model(LOSSES.sparse_categorical_crossentropy), None, CLASSES, None),
    "one, sparse": (model(SPARSE, "softmax"), 2, CLASSES.astype("float32"), None),
    "one, whole numbers": (model(), 2, CLASSES, None),
    "one of all": (model("mse"), 2, SCORES, 1.0),
    "the one": (model("mse"), 2, SCORES[:, 2:3], 1.0),
    "a function, sparse": (model(SPARSE), lambda y: y[:, 2:3], CLASSES, None),
    "one-hot, probabilities": (
        model("categorical_crossentropy", "softmax"), None, ONE_HOT, r2(PROBABILITIES, ONE_HOT),
    ),
    "one-hot, logits": (model(LOSSES.CategoricalCrossentropy(True)), None, ONE_HOT, None),
    "sign, logit": (model(LOSSES.BinaryCrossentropy(True), output=0), None, SIGN, None),
    "sign, probability": (
        model("binary_crossentropy", "sigmoid", 0), None, SIGN, r2(SIGMOID, SIGN),
    ),
    "hinge": (model("hinge", output=0), None, 2 * SIGN - 1, None),
    "counts": (model("poisson", output=2), None, SIGN, r2(X[:, :1] ** 2, SIGN)),
    "several losses in a list": (model([SPARSE], "softmax"), None, CLASSES, None),
    "a loss of one's own": (model(lambda y, z: (y - z) ** 2), None, SCORES, 1.0),
}  # fmt: skip


@pytest.mark.every(24)
@pytest.mark.parametrize("case", CASES)
def test_the_fit_is_that_of_values_and_left_out_where_y_is_none(case):
    make, output, y, known = CASES[case]
    report = untrained(make(), (X, y), output=output).reports[""]
    if known is None:
        assert "r2" not in report.headline
        assert UNFITTED in report.method
    else:
        assert report.headline["r2"] == pytest.approx(known, rel=1e-5)
        assert UNFITTED not in report.method


@pytest.mark.slow
def test_of_several_outputs_those_that_are_values_have_a_fit():
    x = keras.Input((2,))
    price, kind = keras.layers.Dense(1, name="price")(x), keras.layers.Dense(4, name="kind")(x)
    for outputs in ({"price": price, "kind": kind}, [price, kind]):
        both = keras.Model(x, outputs)
        both.compile("sgd", {"price": "mse", "kind": LOSSES.SparseCategoricalCrossentropy(True)})
        value = keras.ops.convert_to_numpy(keras.Model(x, price)(X))
        found = untrained(both, (X, {"price": value, "kind": CLASSES})).reports
        assert found["price"].headline["r2"] == pytest.approx(1)
        assert "r2" not in found["kind"].headline
        one = untrained(both, (X, {"price": value, "kind": CLASSES}), output="kind").reports
        assert "r2" not in one[""].headline


REFUSED = {
    "classes": (model(), None, CLASSES, r"must have shape \(32, 4\).*Of classes by their numbers"),
    "width": (model(), None, SCORES[:, :3], r"must have shape \(32, 4\). Received: \(32, 3\)"),
    "one of another width": (model(), 2, SCORES[:, :3], "all 4 on its last axis"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_labels_that_do_not_fit_are_refused(case):
    make, output, y, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        untrained(make(), (X, y), output=output)


def both():
    x = keras.Input((2,))
    return keras.Model(x, {"u": keras.layers.Dense(1)(x), "v": keras.layers.Dense(2)(x)})


def in_a_list():
    x = keras.Input((2,))
    named = [keras.layers.Dense(1, name="u"), keras.layers.Dense(2, name="v")]
    return keras.Model(x, [layer(x) for layer in named])


@pytest.mark.every(4)
@pytest.mark.parametrize("make", [both, in_a_list])
@pytest.mark.parametrize("what", ["y", "reference"])
def test_what_is_known_of_one_output_of_several_says_how_to_watch_it(make, what):
    known = X[:, :1] if what == "y" else np.zeros((32, 1, 2))
    probe, options = ((X, known), {}) if what == "y" else (X, {"reference": known})
    with pytest.raises(ValueError, match=f"`{what}` must.*'u'.*'v'.*`output='u'`"):
        untrained(make(), probe, **options)
    assert untrained(make(), probe, output="u", **options).reports


def test_what_is_known_must_be_numbers():
    """A mean over these would be no number at each step of the training."""
    known = np.zeros((32, 1, 2))
    known[5, 0, 1] = np.nan
    with pytest.raises(ValueError, match=r"`reference` must be finite.* nan at index \(5, 0, 1\)"):
        untrained(both(), X, output="u", reference=known)
