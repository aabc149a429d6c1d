"""Models made for a certain number of examples, one example alone, and other batch axes."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
import truth

L = keras.layers
BATCH, D = 4, 4
X = np.random.default_rng(0).normal(size=(2 * BATCH, 2, 2))
STEP = 0.02
"""Of the differences: leaves 1e-10 of a tanh."""

FLATTEN = functools.partial(L.Flatten, dtype="float64")


class NumberInPython(L.Layer):
    def call(self, x):
        return tf.reshape(tf.sin(tf.reshape(x, [int(x.shape[0]), -1])), x.shape)


class Placed(L.Layer):
    """Has a state for each place in the batch, and moves it on, as stateful RNNs do."""

    def build(self, shape):
        self.states = [self.add_weight((BATCH, *shape[1:]), "ones", trainable=False)]

    def call(self, x):
        (state,) = self.states
        result = tf.sin(x * state)
        state.assign(0.9 * state + 0.1 * x)
        return result


class Undeclared(keras.Model):
    """Has no inputs of Keras, so that nothing says how many examples it takes."""

    def __init__(self):
        super().__init__(dtype="float64")
        self.inner = Placed(dtype="float64")

    def call(self, x):
        return tf.reduce_sum(self.inner(x), axis=1)


def functional(*layers):
    inputs = keras.Input((2, 2), batch_size=BATCH, dtype="float64")
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def subclassed():
    model = Undeclared()
    model(X[:BATCH])
    return model


MODELS = {
    "stateful": lambda: functional(Placed(dtype="float64"), FLATTEN()),
    "LSTM": lambda: functional(L.LSTM(2, stateful=True, dtype="float64")),
    "stateful, subclassed": subclassed,
    "number in Python": lambda: functional(NumberInPython(dtype="float64"), FLATTEN()),
    "batch_size only": lambda: functional(FLATTEN(), L.Dense(2, "tanh", dtype="float64")),
}
ANY_NUMBER = "batch_size only"
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name == "LSTM")) for name in MODELS]


def built(name):
    """The model, each place in its batch with a state of its own."""
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    for variable in states(model):
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    return model


def states(model):
    """Those of recurrent layers are in none of the model's lists of variables."""
    return [v for layer in model._flatten_layers() for v in getattr(layer, "states", None) or ()]


def values(model):
    """The model's values at whole batches, from the state that it has now."""
    kept = [v.numpy() for v in states(model)]

    @tf.function
    def one(x):
        for variable, value in zip(states(model), kept, strict=True):
            variable.assign(value)
        return model(x)

    def f(rows):
        batches = rows.reshape(-1, BATCH, 2, 2)
        found = np.concatenate([one(tf.constant(batch)).numpy() for batch in batches])
        for variable, value in zip(states(model), kept, strict=True):
            variable.assign(value)
        return found

    return f


MODES = {
    "eager": lambda function: function,
    "graph": tf.function,
    "xla": lambda function: tf.function(function, jit_compile=True),
}


@pytest.mark.every(9)
@pytest.mark.parametrize(
    ("engine", "mode"),
    [("auto", "eager"), ("auto", "graph"), ("auto", "xla"), ("finite_difference", "eager")],
)
@pytest.mark.parametrize("name", NAMES)
def test_its_own_batch(name, engine, mode):
    model = built(name)
    flat = X[:BATCH].reshape(BATCH, D)
    true = truth.hessian_of_value(values(model), flat, STEP)
    names = ["jacobian", "hessian", "laplacian"]
    ask = MODES[mode](lambda x: kc.derivatives(model, x, names, engine=engine))
    found = {k: v.numpy() for k, v in ask(tf.constant(X[:BATCH])).items()}
    # A difference of gradients is off by 1e-10.
    close = {"rtol": 0, "atol": 1e-8}
    np.testing.assert_allclose(found["hessian"].reshape(true.shape), true, **close)
    np.testing.assert_allclose(found["laplacian"], np.trace(true, axis1=2, axis2=3), **close)
    slopes = truth.gradient(values(model), flat, STEP)
    np.testing.assert_allclose(found["jacobian"].reshape(slopes.shape), slopes, **close)


def test_several_batches_one_after_the_other():
    model = built("stateful")
    both = kc.laplacian(model, X).numpy()
    each = [kc.laplacian(model, X[start : start + BATCH]).numpy() for start in (0, BATCH)]
    np.testing.assert_allclose(both, np.concatenate(each), rtol=1e-12)
    scaled = kc.scale_curvature(model, X, 0.1).numpy()
    parts = [kc.scale_curvature(model, X[s : s + BATCH], 0.1).numpy() for s in (0, BATCH)]
    np.testing.assert_allclose(scaled, np.concatenate(parts), rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_another_number_of_examples_is_refused_in_words(name):
    declared = "subclassed" not in name
    words = r"must hold 4 examples.*Received: 3" if declared else "4 output rows for 3 examples"
    with pytest.raises(ValueError, match=words):
        kc.laplacian(built(name), X[:3])


@pytest.mark.parametrize("name", [name for name in MODELS if name != ANY_NUMBER])
def test_taylor_propagation_is_refused_and_not_chosen(name):
    model = built(name)
    assert kc.engine_choice(model, X[:BATCH], ["laplacian"]).name == "nested"
    with pytest.raises(ValueError, match=r"takes 4 examples at a time.*'nested'"):
        kc.laplacian(model, X[:BATCH], engine="taylor")


def trained(layer, probe=None):
    """The weights and states after a training, and its history."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2, 2), batch_size=BATCH)
    model = keras.Model(inputs, L.Dense(1)(L.Flatten()(layer()(inputs))))
    model.compile("adam", "mse")
    watching = [] if probe is None else [kc.CurvatureMonitor(probe)]
    history = model.fit(X, X[:, 0, :1], batch_size=BATCH, verbose=0, callbacks=watching).history
    return [*model.get_weights(), *(v.numpy() for v in states(model))], history


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (Placed, 2 * BATCH),
        pytest.param(lambda: L.LSTM(2, stateful=True), BATCH, marks=pytest.mark.slow),
    ],
    ids=["a state", "LSTM"],
)
def test_a_stateful_network_trains_while_it_is_watched(layer, count):
    alone, _ = trained(layer)
    watched, history = trained(layer, X[:count])
    assert np.isfinite(history["curvature_rms"]).all()
    for a, b in zip(alone, watched, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_probe_of_another_size_is_refused_before_training():
    with pytest.raises(ValueError, match=r"must hold 4 examples, or several times as many"):
        trained(Placed, X[:5])


@pytest.mark.slow
@pytest.mark.parametrize(
    "look", [kc.diagnose, kc.verify, kc.hidden_fraction], ids=lambda f: f.__name__
)
def test_it_can_be_looked_at(look):
    found = look(built("stateful"), X)
    if look is kc.verify:
        assert found.ok
    if look is kc.diagnose:
        assert found.kinds == ()


WRAPPERS = {
    "DerivativeOutput": lambda net: kc.DerivativeOutput(net, "laplacian"),
    "CurvaturePenalty": lambda net: kc.CurvaturePenalty(net, 1.0, directions=2),
    "ShapePenalty": lambda net: kc.ShapePenalty(net, {0: "convex"}),
}


@pytest.mark.every(6)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_layers_take_its_batch(wrapper):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2, 2), batch_size=2 * BATCH)
    outputs = L.Dense(1, "tanh")(L.Flatten()(NumberInPython()(inputs)))
    model = keras.Sequential([inputs, WRAPPERS[wrapper](keras.Model(inputs, outputs))])
    model.compile("sgd", "mse")
    history = model.fit(X, X[:, 0, :1], batch_size=2 * BATCH, verbose=0).history
    assert history["loss"][0] > 0


def test_kinks():
    network = keras.Sequential([keras.Input((1,), batch_size=BATCH), L.ReLU()])
    assert kc.kinks(network, -1, 1).positions.tolist() == [0.0]
    fixed = keras.Sequential([keras.Input((1,), batch_size=BATCH), NumberInPython()])
    with pytest.raises(ValueError, match="any number of examples"):
        kc.kinks(fixed, -1, 1)


COUPLED = {
    "norm over everything": lambda x: tf.math.l2_normalize(x),
    "mean of the batch": lambda x: tf.sin(x) * tf.reduce_mean(x, axis=0),
    "sum of the batch": lambda x: x**2 / (3 + tf.reduce_sum(x)),
    "number of examples": lambda x: x**3 / tf.cast(tf.shape(x)[0], x.dtype),
    "constant shape": lambda x: tf.reshape(tf.reduce_sum(x**3), (1, 1)),
}
CONSTANT = "constant shape"
POINT = np.array([[0.6, -0.8]])


@pytest.mark.every(9)
@pytest.mark.filterwarnings("ignore:The model gives an example another output")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", COUPLED)
def test_one_example_alone(name, mode):
    """Is right: what depends on the whole batch is a function of one example."""

    def f(rows):
        return np.concatenate([COUPLED[name](tf.constant(row[None])).numpy() for row in rows])

    true = truth.hessian_of_value(f, POINT, 0.01)
    # The differences round by 1e-10.
    names = ["hessian", "laplacian"]
    found = MODES[mode](lambda x: kc.derivatives(COUPLED[name], x, names))(tf.constant(POINT))
    np.testing.assert_allclose(found["hessian"], true, atol=1e-8)
    np.testing.assert_allclose(found["laplacian"], np.trace(true, axis1=2, axis2=3), atol=1e-8)


@pytest.mark.every(9)
@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("x", [POINT, np.repeat(POINT, 3, axis=0)], ids=["one", "copies of one"])
@pytest.mark.parametrize("name", [name for name in COUPLED if name != CONSTANT])
def test_coupled_examples_are_told(name, x, mode):
    with pytest.warns(UserWarning, match="influence each other"):
        MODES[mode](lambda x: kc.laplacian(COUPLED[name], x))(tf.constant(x))


APART = {
    "zero": (lambda x: x**3, np.zeros((1, 2))),
    "in a small domain": (lambda x: tf.math.atanh(x) + tf.sqrt(x), np.array([[0.99, 0.01]])),
    "features": (lambda x: tf.math.l2_normalize(x, axis=1), POINT),
}


@pytest.mark.parametrize("name", APART)
@pytest.mark.filterwarnings("error")
def test_one_example_of_others_is_not_blamed(name):
    kc.laplacian(*APART[name])


OTHER_AXES = {
    "one for all": (lambda x: tf.reshape(tf.reduce_sum(x**3), (1, 1)), "1 output row for 3 ex"),
    "some": (lambda x: x[:2] ** 3, "2 output rows for 3 examples"),
    "twice": (lambda x: tf.concat([x, x], axis=0) ** 3, "6 output rows for 3 examples"),
    "features in front": (lambda x: tf.reshape(x**3, [-1, 1]), "6 output rows for 3 examples"),
    "of one output": (lambda x: {"a": x**3, "b": x[:1] ** 3}, "1 output row for 3 examples"),
}


@pytest.mark.parametrize("rows", [4, 9])
def test_an_output_that_leaves_out_what_comes_after_so_many_examples(rows):
    """However many are tried for whether examples influence each other."""
    with pytest.raises(ValueError, match=f"{rows} output rows for 12 examples"):
        kc.hessian_diagonal(lambda x: x[:rows] ** 3, tf.ones((12, 2)))


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("name", OTHER_AXES)
def test_an_output_with_another_batch_axis(name, mode):
    function, words = OTHER_AXES[name]
    with pytest.raises(ValueError, match=words):
        MODES[mode](lambda x: kc.hessian(function, x))(tf.ones((3, 2)))
