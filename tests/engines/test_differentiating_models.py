"""Models that differentiate inside, in every situation; `cases/differentiating` has the ways."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc
import truth
from cases import model_of, named, true_hessian

X = np.random.default_rng(0).normal(size=(8, 2))


@keras.saving.register_keras_serializable()
class ForceField(keras.Model):
    """An energy and the force that it makes."""

    def __init__(self, **options):
        super().__init__(**options)
        self.hidden = layers.Dense(4, "tanh", dtype=self.dtype_policy)
        self.energy = layers.Dense(1, dtype=self.dtype_policy)

    def call(self, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            energy = self.energy(self.hidden(x))
        return {"energy": energy, "force": -tape.gradient(energy, x)}


class TrainedByItself(ForceField):
    """Says how it is trained and nothing else."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            force = self(x, training=True)["force"]
            loss = tf.reduce_mean((force - tf.cast(y, force.dtype)) ** 2)
            loss += 0.01 * tf.reduce_mean(kc.laplacian(self, x, output="energy") ** 2)
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss}


def field(kind=ForceField, dtype="float64"):
    keras.utils.set_random_seed(0)
    model = kind(dtype=dtype)
    model(X.astype(dtype))
    for weight in model.weights:
        weight.assign_add(0.2 * np.random.default_rng(1).normal(size=weight.shape))
    return model


def true_laplacian(model, output="force"):
    """Of float64 values, `(n, outputs)`."""
    hessian = truth.hessian_of_value(lambda z: model(z)[output].numpy(), X, 1 / 128)
    return np.trace(hessian, axis1=2, axis2=3)


@pytest.mark.slow
def test_watched_in_a_training():
    plain, watched = field(), field()
    for model in (plain, watched):
        model.compile(keras.optimizers.SGD(0.05), {"energy": "mse", "force": "mse"})
    y = {"energy": np.sin(X[:, :1]), "force": X}
    options = {"epochs": 2, "shuffle": False, "verbose": 0}
    monitor = kc.CurvatureMonitor(X, output=lambda y: y["force"][:, :1], units="raw")
    plain.fit(X, y, **options)
    watched.fit(X, y, callbacks=[monitor], **options)
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    wanted = true_laplacian(watched)[:, 0].mean()
    np.testing.assert_allclose(monitor.history["mean"][-1], wanted, rtol=1e-6)


def test_trained_by_a_step_of_its_own():
    model = field(TrainedByItself)
    model.compile(keras.optimizers.SGD(0.05))
    monitor = kc.CurvatureMonitor(X, output="energy", units="raw")
    model.fit(X, X, epochs=2, verbose=0, callbacks=[monitor])
    wanted = true_laplacian(model, "energy").mean()
    np.testing.assert_allclose(monitor.history["mean"][-1], wanted, rtol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_function(jit_compile):
    model = field()
    compiled = tf.function(
        lambda x: kc.laplacian(model, x, output="force"), autograph=False, jit_compile=jit_compile
    )
    np.testing.assert_allclose(compiled(tf.constant(X)), true_laplacian(model), atol=1e-8)


def test_saved_and_loaded(tmp_path):
    model = field()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    found = kc.laplacian(loaded, X, output="force")
    np.testing.assert_allclose(found, true_laplacian(model), atol=1e-8)


@pytest.mark.slow
def test_what_taylor_propagation_cannot_do_the_other_engine_does():
    """The derivative of a loop keeps what it needs in lists."""
    (case,) = named("differentiating/of_a_loop")
    model, x = model_of(case), case.batch()
    choice = kc.engine_choice(model, x, ["laplacian"])
    assert choice.name == "nested"
    assert "TensorListPushBack" in choice.reason
    wanted = np.trace(true_hessian(case), axis1=2, axis2=3)
    np.testing.assert_allclose(kc.laplacian(model, x), wanted, atol=1e-8)
    with pytest.raises(ValueError, match=r'TensorListPushBack.* Use `engine="auto"`'):
        kc.laplacian(model, x, engine="taylor")


def loss_of(model):
    return tf.reduce_sum(kc.laplacian(model, tf.constant(X), output="force") ** 2)


def true_slope(model):
    """The derivative of the loss along all ones in the first kernel."""
    kernel = model.trainable_variables[0]
    start = kernel.numpy()

    def losses(points):
        found = []
        for t in points[:, 0]:
            kernel.assign(start + t)
            found.append([loss_of(model).numpy()])
        kernel.assign(start)
        return np.array(found)

    return truth.gradient(losses, np.zeros((1, 1)), h=1e-3)[0, 0, 0]


def by_a_tape(model):
    with tf.GradientTape() as tape:
        loss = loss_of(model)
    assert {id(v) for v in tape.watched_variables()} == {id(w.value) for w in model.weights}
    return tf.reduce_sum(tape.gradient(loss, model.trainable_variables[0]))


def by_an_accumulator(model):
    kernel = model.trainable_variables[0].value
    with tf.autodiff.ForwardAccumulator(kernel, tf.ones_like(kernel)) as forward:
        loss = loss_of(model)
    return forward.jvp(loss)


@pytest.mark.parametrize(
    "way", [by_a_tape, pytest.param(by_an_accumulator, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("place", ["eagerly", "function"])
def test_inside_the_callers_own_derivative(way, place):
    """It is traced there, and what the caller records is the derivative alone."""
    model = field()
    asked = way if place == "eagerly" else tf.function(way, autograph=False)
    found = asked(model).numpy()
    wanted = true_slope(model)
    np.testing.assert_allclose(found, wanted, rtol=1e-7)
    # The same trace serves afterwards, when the caller's tape is gone.
    fresh = field()
    np.testing.assert_allclose(loss_of(model), loss_of(fresh), rtol=1e-12)
