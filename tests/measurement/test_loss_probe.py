"""The loss as what the monitor watches: that of Keras, for each example, by `x` alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc
from keras_curvature.measurement.loss_probe import asks_for_loss, with_loss
from keras_curvature.measurement.probe import make_probe
from watched import untrained

N, INPUTS, CLASSES = 12, 3, 4
RNG = np.random.default_rng(0)
X, WEIGHTS = RNG.normal(size=(N, INPUTS)), RNG.normal(size=(INPUTS, CLASSES))
CLASS, VALUE = RNG.integers(0, CLASSES, N), RNG.normal(size=N)
BY_LOGITS = {"from_logits": True}


class Linear(keras.Model):
    """Declares no inputs."""

    def __init__(self, weights):
        super().__init__(dtype="float64")
        self.dense = layers.Dense(weights.shape[1], use_bias=False, dtype="float64")
        self.dense.build((None, weights.shape[0]))
        self.dense.set_weights([weights])
        self.built = True

    def call(self, x):
        return self.dense(x)


def linear(weights=WEIGHTS):
    inputs = keras.Input((len(weights),), dtype="float64")
    return keras.Model(inputs, Linear(weights).dense(inputs))


def laplacians(model, probe, output="loss", **options):
    wrapped, labelled = with_loss(model, make_probe(probe), output)
    return keras.ops.convert_to_numpy(kc.laplacian(wrapped, labelled.x, **options))


def of_cross_entropy(x=X, weights=WEIGHTS):
    """`tr W (diag p - ppᵀ) Wᵀ`, the Laplacian of `log Σ exp(xW) - (xW)_y`."""
    powers = np.exp(x @ weights)
    p = powers / powers.sum(axis=1, keepdims=True)
    return (p * (weights**2).sum(axis=0)).sum(axis=1) - ((p @ weights.T) ** 2).sum(axis=1)


ONE_HOT = np.eye(CLASSES)[CLASS]
SPARSE = keras.losses.SparseCategoricalCrossentropy(**BY_LOGITS)
SQUARES = 2 * (WEIGHTS[:, 0] ** 2).sum()
"""The Laplacian of `(xw - y)²`."""

SERIES = 2 * (WEIGHTS**2).sum()
"""That of a sum of such squares over an axis of the output."""


@pytest.mark.every(5)
@pytest.mark.parametrize(
    ("compiled", "output", "y", "weights", "expected"),
    [
        (SPARSE, "loss", CLASS, WEIGHTS, of_cross_entropy()),
        (SPARSE, "loss", CLASS[:, None], WEIGHTS, of_cross_entropy()),
        (None, SPARSE, CLASS, WEIGHTS, of_cross_entropy()),
        (
            keras.losses.CategoricalCrossentropy(label_smoothing=0.1, **BY_LOGITS),
            "loss", ONE_HOT, WEIGHTS, of_cross_entropy(),
        ),
        ("mse", "loss", VALUE, WEIGHTS[:, :1], SQUARES),
        ("mean_squared_error", "loss", VALUE[:, None], WEIGHTS[:, :1], SQUARES),
        ("mse", lambda y, predicted: (y - predicted) ** 2, VALUE, WEIGHTS[:, :1], SQUARES),
        (keras.losses.MeanSquaredError(), "loss", ONE_HOT, WEIGHTS, SERIES / CLASSES),
        (lambda y, predicted: (y - predicted) ** 2, "loss", ONE_HOT, WEIGHTS, SERIES / CLASSES),
        (
            keras.losses.MeanSquaredError(reduction="sum"),
            "loss", VALUE, WEIGHTS[:, :1], SQUARES,
        ),
    ],
)  # fmt: skip
def test_the_loss_is_that_of_each_example(compiled, output, y, weights, expected):
    # Every other one declares no inputs.
    model = linear(weights) if isinstance(compiled, keras.losses.Loss) else Linear(weights)
    model.compile("sgd", compiled)
    # A smoothed label adds a term that is linear in x, and no curvature. Keras writes constants
    # and labels in float32.
    found = laplacians(model, (X, y), output)
    assert found.shape == (N, 1)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)
    loss = keras.losses.get(compiled if output == "loss" else output)
    if isinstance(loss, keras.losses.Loss) and loss.reduction != "sum":
        wrapped, labelled = with_loss(model, make_probe((X, y)), output)
        whole = float(loss(y, model(X)))  # in float32
        mean = float(keras.ops.mean(wrapped(labelled.x)))
        np.testing.assert_allclose(mean, whole, rtol=1e-5)


def test_further_axes_are_averaged_or_summed_as_the_loss_does():
    inputs = keras.Input((INPUTS,), dtype="float64")
    steps = layers.Reshape((CLASSES, 1))(Linear(WEIGHTS).dense(inputs))
    model = keras.Model(inputs, steps)
    y = ONE_HOT[..., None]
    for reduction, expected in (("sum", SERIES), ("sum_over_batch_size", SERIES / CLASSES)):
        loss = keras.losses.MeanSquaredError(reduction=reduction)
        np.testing.assert_allclose(laplacians(model, (X, y), loss), expected, rtol=1e-6)
        assert loss.reduction == reduction  # the user's own


@pytest.mark.slow
def test_inputs_keep_their_names_and_whole_numbers_are_converted():
    keras.utils.set_random_seed(0)
    one, other = keras.Input((2,), name="b"), keras.Input((1,), name="a")
    joined = layers.Concatenate()([one, other])
    model = keras.Model({"b": one, "a": other}, layers.Dense(CLASSES, "tanh")(joined))
    model.compile("sgd", SPARSE)
    x = {"b": np.arange(2 * N).reshape(N, 2) % 3, "a": X[:, :1]}
    monitor = untrained(model, (x, CLASS), output="loss", units="raw")
    assert list(monitor.reports[""].features) == ["a", "b[0]", "b[1]"]
    assert any("loss of each example" in line for line in monitor.reports[""].method)

    assert "r2" not in monitor.history  # labels are no values of the loss

    def loss(given):
        each = keras.losses.SparseCategoricalCrossentropy(reduction=None, **BY_LOGITS)
        return each(given["y"], model({"b": given["b"], "a": given["a"]}))[:, None]

    batch = {"a": x["a"], "b": x["b"].astype("float32"), "y": CLASS}
    for name in ("a", "b"):
        known = keras.ops.convert_to_numpy(kc.laplacian(loss, batch, wrt=name))
        found = laplacians(model, (x, CLASS), wrt=name)
        np.testing.assert_allclose(found, known, rtol=1e-3, atol=1e-5)  # float32
    whole = laplacians(model, (x, CLASS)).mean()
    assert monitor.history["mean"] == pytest.approx([whole], rel=1e-4)
    for wrt in ("y", 0):  # the model was made of b and a, in this order
        with pytest.raises(ValueError, match="`wrt` must name"):
            untrained(model, (x, CLASS), output="loss", wrt=wrt)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_estimates_of_tokens(policy):
    keras.utils.set_random_seed(0)
    ids = RNG.integers(0, 9, (N, 5))
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), layers.Embedding(9, 4, name="embedding", dtype=policy),
         layers.GlobalAveragePooling1D(dtype=policy), layers.Dense(CLASSES, "tanh", dtype=policy)]
    )  # fmt: skip
    model.compile("sgd", SPARSE)
    options = {"output": "loss", "wrt": "embedding", "dtype": "float64"}
    exact = untrained(model, (ids, CLASS), **options).history
    estimating = untrained(model, (ids, CLASS), directions=8, **options)
    few = estimating.history
    assert abs(few["mean"][0] - exact["mean"][0]) < 4 * few["mean_standard_error"][0]
    assert estimating.plot().axes


@pytest.mark.slow
def test_it_trains_and_is_checked_and_diagnosed(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((INPUTS,)), layers.Dense(8, "silu"), layers.Dense(CLASSES)]
    )
    model.compile("adam", SPARSE)
    x = X.astype("float32")
    monitor = kc.CurvatureMonitor((x, CLASS), tmp_path, output="loss", verify=True)
    for _ in range(2):  # a second training asks for the loss anew
        model.fit(x, CLASS, verbose=0, callbacks=[monitor])
    assert monitor.verification.ok
    assert monitor.diagnosis is not None
    assert monitor.history["step"] == [0, 1, 2]
    assert len(model.layers) == 2  # the model itself is left alone


def test_an_output_of_that_name_comes_first():
    inputs = keras.Input((INPUTS,), dtype="float64")
    ends = {"loss": inputs[:, :1] ** 2, "other": inputs}
    model = keras.Model(inputs, ends)
    assert not asks_for_loss(model, "loss")
    assert asks_for_loss(linear(), "loss")
    assert asks_for_loss(Linear(WEIGHTS), "loss")
    np.testing.assert_allclose(kc.laplacian(model, X, output="loss"), 2)


SQUARED = keras.losses.MeanSquaredError()
BINARY = "binary_crossentropy"
CATEGORICAL = keras.losses.CategoricalFocalCrossentropy()


def two_outputs():
    inputs = keras.Input((INPUTS,))
    return keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1)(inputs)])


@pytest.mark.parametrize(
    ("make", "compiled", "probe", "output", "said"),
    [
        (linear, SPARSE, X, "loss", r"`probe` must be \(x, y\)"),
        (linear, SPARSE, X, SPARSE, r"`probe` must be \(x, y\)"),
        (linear, None, (X, CLASS), "loss", "compiled with none"),
        (two_outputs, ["mse", "mse"], (X, [VALUE, VALUE]), "loss", "one output and one loss"),
        (two_outputs, None, (X, [VALUE, VALUE]), SQUARED, r"outputs \['.*with `output='dense"),
        (linear, lambda y, p: keras.ops.mean(p - y), (X, ONE_HOT), "loss", "for each example"),
        (linear, SPARSE, (X, ONE_HOT), "loss", r"number of the class.*shape \(12, 4\).*np.argmax"),
        (lambda: Linear(WEIGHTS), SPARSE, (X, ONE_HOT), "loss", "number of the class"),
        (linear, SPARSE, (X, CLASS + 1), "loss", r"from 0 to 3\. Received: 4 in `y`"),
        (linear, SPARSE, (X, CLASS + 0.5), "loss", r"from 0 to 3"),
        (linear, "categorical_crossentropy", (X, CLASS), "loss", r"to_categorical\(y, 4\)"),
        (linear, None, (X, CLASS[:, None]), CATEGORICAL, r"one-hot labels, shape \('n', 4\)"),
        (linear, BINARY, (X, ONE_HOT[:, :1]), "loss", r"shape \('n', 4\)\. Received: `y` of shape"),
        (linear, "mse", (X, CLASS), "loss", r"shape \('n', 4\)\. Received: `y` of shape \(12,\)"),
    ],
)
def test_what_is_missing_is_told_before_training(make, compiled, probe, output, said):
    model = make()
    model.compile("sgd", compiled)
    with pytest.raises(ValueError, match=said):
        untrained(model, probe, output=output)


def test_labels_to_be_ignored_are_numbers_of_no_class():
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1, **BY_LOGITS)
    y = np.where(np.arange(N) == 3, -1, CLASS)
    expected = np.where(y < 0, 0, of_cross_entropy())
    np.testing.assert_allclose(laplacians(linear(), (X, y), loss)[:, 0], expected, rtol=1e-6)


def test_functions_without_labels_say_where_they_are():
    with pytest.raises(ValueError, match=r"the monitor takes from its probe \(x, y\)"):
        kc.laplacian(linear(), X, output="loss")
