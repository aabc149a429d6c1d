"""Whatever a model's call does besides its result, looking at the model does not do it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc

X = np.random.default_rng(0).normal(size=(8, 1)).astype("float32")


class World:
    """What a call can leave behind: an effect by name, and how to see it."""

    def __init__(self, folder):
        self.average = tf.Variable([0.5])
        self.calls = tf.Variable(0)
        self.generator = tf.random.Generator.from_seed(1)
        self.seeds = keras.random.SeedGenerator(1)
        self.metric = keras.metrics.Mean()
        self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)
        self.queue = tf.queue.FIFOQueue(100, tf.float32, [[]])
        self.noted = []
        self.writer = tf.summary.create_file_writer(str(folder / "log"))
        self.folder = folder

    def act(self, x, jumps):
        """The identity, nearly, and everything that one should not do in a call.

        Args:
            x: the input.
            jumps: whether to do some of it in a branch, which may be where a function jumps.
        """
        mean = tf.reduce_mean(x)
        self.average.assign(0.9 * self.average + 0.1 * mean)
        self.calls.assign_add(1)
        self.metric.update_state(mean)
        self.table.insert("calls", tf.cast(self.calls, tf.int64))
        self.queue.enqueue(mean)
        tf.py_function(lambda: self.noted.append(1), [], [])
        tf.print(mean, output_stream=f"file://{self.folder}/printed")
        with self.writer.as_default(step=0):
            tf.summary.scalar("mean", mean)
        drawn = self.generator.normal([]) + self.generator.uniform([])
        drawn += keras.random.normal([], seed=self.seeds) + np.random.normal()  # noqa: NPY002
        x = tf.raw_ops.Print(input=x, data=[mean], message="printed")

        def branch():
            self.calls.assign_add(100)
            return tf.identity(x)

        if jumps:
            x = tf.cond(mean > -100, branch, lambda: x)
        return x + 1e-3 * drawn - self.average

    def seen(self):
        """Every effect so far."""
        self.writer.flush()
        printed, log = self.folder / "printed", self.folder / "log"
        return {
            "assignment": self.average.numpy().tolist(),
            "counter": int(self.calls),
            "generator": self.generator.state.numpy().tolist(),
            "seed generator": np.asarray(self.seeds.state.value).tolist(),
            "metric": float(self.metric.total),
            "table": int(self.table.lookup("calls")),
            "queue": int(self.queue.size()),
            "py_function": len(self.noted),
            "print": printed.read_text() if printed.exists() else "",
            "summary": sum(1 for _ in tf.data.TFRecordDataset([str(f) for f in log.iterdir()])),
            "NumPy": np.random.get_state()[2:],  # noqa: NPY002
        }


def network(world, jumps=True):
    class Acting(keras.layers.Layer):
        def call(self, x):
            return world.act(x, jumps)

    keras.utils.set_random_seed(0)
    layers = [Acting(), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((1,)), *layers])


NAMES = ["value", "jacobian", "hessian", "laplacian", "hessian_vector_product"]
FUNCTIONS = {
    **{
        engine: lambda model, engine=engine: kc.derivatives(model, X, NAMES, v=[1.0], engine=engine)
        for engine in ("taylor", "nested", "finite_difference")
    },
    "in float64": lambda model: kc.hessian_diagonal(model, X, dtype="float64"),
    "in a graph": lambda model: tf.function(lambda x: kc.directional_curvature(model, x, [1.0]))(X),
    "random directions": lambda model: kc.laplacian(model, X, directions=2),
    "scale_curvature": lambda model: kc.scale_curvature(model, X),
    "hidden_fraction": lambda model: kc.hidden_fraction(model, X),
    "estimate": lambda model: kc.estimate(model, X, ["trace", "diagonal", "eigenvalues"]),
    "engine_choice": lambda model: kc.engine_choice(model, X, ["hessian"]),
    "kinks": lambda model: kc.kinks(model, -1, 1),
    "smooth": lambda model: kc.laplacian(kc.smooth(model, 10.0), X),
    "diagnose": lambda model: kc.diagnose(model, X),
    "verify": lambda model: kc.verify(model, X),
}


SLOW = {"estimate", "log, verify, diagnosis", "random directions", "of the loss"}


def columns(table):
    """Its keys, those that take long marked."""
    return [pytest.param(key, marks=[pytest.mark.slow] * (key in SLOW)) for key in table]


@pytest.mark.slow
@pytest.mark.parametrize("function", columns(FUNCTIONS))
def test_a_function_does_nothing(function, tmp_path, capfd):
    world = World(tmp_path)
    model = network(world, jumps=function != "kinks")
    before = world.seen()
    FUNCTIONS[function](model)
    assert world.seen() == before
    assert "printed" not in capfd.readouterr().err
    model(X)
    after = world.seen()
    assert not [effect for effect in before if before[effect] == after[effect]]


def trained(folder, wrap=lambda net: net, monitor=lambda: None):
    """What is left behind of a training, and the weights."""
    folder.mkdir()
    world = World(folder)
    model = wrap(network(world))
    model.compile("sgd", "mse")
    watching = [callback for callback in [monitor()] if callback]
    model.fit(X, X**2, batch_size=4, verbose=0, shuffle=False, callbacks=watching)
    seen = world.seen()
    seen["print"] = seen["print"].count("\n")  # a mean is summed in any order
    return seen, [weight.tolist() for weight in model.get_weights()]


MONITORS = {
    "plain": lambda folder: kc.CurvatureMonitor(X),
    "log, verify, diagnosis": lambda folder: kc.CurvatureMonitor(X, folder / "tb", verify=True),
    "random directions": lambda folder: kc.CurvatureMonitor(X, directions=2, shape={0: "convex"}),
    "of the loss": lambda folder: kc.CurvatureMonitor((X, X**2), output="loss"),
}


@pytest.mark.parametrize("monitor", columns(MONITORS))
def test_a_watched_training_leaves_behind_what_it_does_alone(monitor, tmp_path):
    alone = trained(tmp_path / "alone")
    watched = trained(tmp_path / "watched", monitor=lambda: MONITORS[monitor](tmp_path))
    assert watched == alone


LAYERS = {
    "DerivativeOutput": lambda net: kc.DerivativeOutput(net, "value"),
    "CurvaturePenalty": lambda net: kc.CurvaturePenalty(net, 1e-2),
    "ShapePenalty": lambda net: kc.ShapePenalty(net, {0: "convex"}, 1e-2),
}


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_in_training_acts_as_one_call_of_the_network(layer, tmp_path):
    def wrap(inner):
        return lambda net: keras.Sequential([keras.Input((1,)), inner(net)])

    nested, _ = trained(tmp_path / "nested", wrap(lambda net: net))
    wrapped, _ = trained(tmp_path / "wrapped", wrap(LAYERS[layer]))
    assert wrapped == nested


TAKING = {
    "a queue": lambda world: world.queue.dequeue,
    "a py_function": lambda world: lambda: tf.numpy_function(lambda: np.float32(2), [], tf.float32),
}


@pytest.mark.parametrize("taking", TAKING)
def test_what_cannot_be_had_without_acting_is_refused(taking, tmp_path):
    world = World(tmp_path)
    world.queue.enqueue(1.0)
    with pytest.raises(ValueError, match=r"back into Python|takes from outside"):
        kc.laplacian(lambda x: x**2 * TAKING[taking](world)(), X)
    assert int(world.queue.size()) == 1
